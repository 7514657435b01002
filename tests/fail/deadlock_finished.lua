-- ranks: 2
-- exit: 1
-- stderr: rank 0 waits in comm:recv(source=1) at tests/fail/deadlock_finished.lua:5
-- stderr: rank 1 has finished
if comm:rank() == 0 then comm:recv(1) end
