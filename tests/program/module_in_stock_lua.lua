-- run: LUA_CPATH="$(dirname $module)/?.so" $mpirun -n 3 lua5.4 $file
-- asan: no
-- exit: 0
-- once: 3 ranks in lua5.4, 6
local mpi = require "mpi"
local comm = mpi.COMM_WORLD
local sum = comm:allreduce(mpi.array.full(2, comm:rank() + 1):sum())
if comm:rank() == 0 then print(("%d ranks in lua5.4, %d"):format(comm:size(), sum // 2)) end
