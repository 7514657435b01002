-- ranks: 2
-- exit: 1
-- stderr: [0] comm:print() at tests/fail/different_calls_in_print.lua:5; [1] comm:barrier() at tests/fail/different_calls_in_print.lua:5
-- never: mpi/comm.lua
if comm:rank() == 0 then comm:print "here" else comm:barrier() end
