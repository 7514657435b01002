-- A module that is loaded once more leaves the requests alone that are open.
-- run: LUA_CPATH="$(dirname $module)/?.so" $mpirun -n 2 lua5.4 $file
-- asan: no
-- exit: 0
-- stdout: rank 0 gets 100000
-- stdout: rank 1 gets 100000
-- never: never waited for
local comm = require("mpi").COMM_WORLD
local other = 1 - comm:rank()
local r = comm:irecv(other)
package.loaded.mpi = nil
require "mpi"
collectgarbage()
local s = comm:isend(("x"):rep(100000), other)
print(("rank %d gets %d"):format(comm:rank(), #r:wait()))
s:wait()
comm:barrier()
