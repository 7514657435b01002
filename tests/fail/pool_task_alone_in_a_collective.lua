-- ranks: 2
-- exit: 1
-- stderr: luampi: deadlock: no rank can go on
-- stderr: rank 0 waits in future:get at tests/fail/pool_task_alone_in_a_collective.lua:6
-- stderr: rank 1 waits in comm:barrier() at tests/fail/pool_task_alone_in_a_collective.lua:6
mpi.pool(function (pool) pool[1]:submit(function () comm:barrier() end):get() end)
