-- ranks: 1 2
-- exit: 1
-- stderr: rank 0 waits in comm:recv(source=ANY_SOURCE) at tests/fail/deadlock_collective_and_recv.lua:5
-- within: 10
if comm:rank() == 0 then comm:recv() else comm:allreduce(1) end
