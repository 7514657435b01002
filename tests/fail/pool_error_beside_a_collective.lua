-- ranks: 3
-- exit: 1
-- stderr: luampi: deadlock: no rank can go on
-- stderr: rank 0 waits in comm:barrier() at tests/fail/pool_error_beside_a_collective.lua:10
-- stderr: rank 1 waits in mpi.pool after the error 'boom' at tests/fail/pool_error_beside_a_collective.lua:7
-- once: no rank can go on
mpi.pool(function (pool)
    pool:call(function ()
        if comm:rank() == 1 then error("boom", 0) end
        comm:barrier()
    end)
end)
