-- ranks: 2
-- exit: 1
-- stderr: waits in comm:Send(dest=1, tag=0) at tests/fail/deadlock_long_sends.lua:5
-- stderr: waits in comm:Send(dest=0, tag=0) at tests/fail/deadlock_long_sends.lua:5
comm:Send(array.zeros(100000), 1 - comm:rank())
comm:Recv(array.zeros(100000))
