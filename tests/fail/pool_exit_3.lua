-- ranks: 1 4
-- exit: 3
-- within: 6
-- never: after
-- never: deadlock
mpi.pool(function (pool)
    pool:submit(function () mpi.sleep(1000) end)
    os.exit(3)
end)
print "after"
