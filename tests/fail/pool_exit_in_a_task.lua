-- ranks: 3
-- exit: 0
-- within: 6
-- once: the rank has left the pool: os.exit in a task  [rank 1]
-- once: rank 2 is still there
-- never: deadlock
-- never: never freed
mpi.pool(function (pool)
    print(select(2, pcall(pool[1].call, pool[1], os.exit, 0)))
    print(pool[2]:call(function () return "rank " .. comm:rank() .. " is still there" end)[1])
end)
