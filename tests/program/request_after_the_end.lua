-- What was made before the module is finalized after it: requests cannot be opened then.
-- run: LUA_CPATH="$(dirname $module)/?.so" $mpirun -n 2 lua5.4 $file
-- asan: no
-- exit: 0
-- stdout: isend: the program has ended
-- stdout: Irecv: the program has ended
-- never: never waited for
local a, comm
keeper = setmetatable({}, {__gc = function ()
    print(select(2, pcall(comm.isend, comm, 1, 0)))
    print(select(2, pcall(comm.Irecv, comm, a, 0)))
end})
local mpi = require "mpi"
a, comm = mpi.array.zeros(3), mpi.COMM_WORLD
comm:barrier()
