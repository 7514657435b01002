-- ranks: 3
-- exit: 1
-- within: 6
-- once: rank 0: exec:1: attempt to index a nil value (global 'z')  [ranks 0-2]
-- once: stack traceback of the task:
-- once: exec:1: in main chunk
-- never: mpi/pool
mpi.pool(function (pool) pool:exec "local y = z.x" end)
