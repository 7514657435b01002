-- ranks: 2 4
-- exit: 1
-- within: 6
-- once: rank 0: tests/fail/pool_function_raises.lua:8: boom
-- once: in local 'inner'
-- never: deadlock
mpi.pool(function (pool)
    local function inner() error "boom" end
    pool[1]:submit(function () comm:recv() end) -- has not ended, and never would
    inner()
    return "no tail call"
end)
