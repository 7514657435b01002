-- ranks: 3
-- exit: 1
-- within: 6
-- stderr: rank 0 has ended its program inside the pool's function
-- never: deadlock
-- never: never freed
abandoned = coroutine.wrap(function () mpi.pool(coroutine.yield) end)
abandoned()
