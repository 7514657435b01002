-- ranks: 3
-- exit: 1
-- stderr: the ranks do not make the same call: [0-1] comm:bcast(root=0) at tests/fail/different_calls.lua:4; [2] comm:barrier() at tests/fail/different_calls.lua:4
if comm:rank() < 2 then comm:bcast(1) else comm:barrier() end
