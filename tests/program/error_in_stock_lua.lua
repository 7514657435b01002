-- run: LUA_CPATH="$(dirname $module)/?.so" $mpirun -n 3 lua5.4 $file
-- exit: 1
-- within: 10
-- asan: no
-- once: lua5.4: tests/program/error_in_stock_lua.lua:7: alone
local mpi = require "mpi"
if mpi.COMM_WORLD:rank() == 1 then error "alone" end
mpi.COMM_WORLD:barrier()
