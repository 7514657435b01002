-- A probe waits for ever, too, when a long value has begun to come that could not be sent.
-- ranks: 2
-- exit: 1
-- stderr: deadlock
-- stderr: rank 0 waits in comm:recv(source=1) at
-- stderr: rank 1 waits in comm:probe(source=0) at
if comm:rank() == 1 then comm:probe(0) end
local t = {}
for i = 1, 20000 do t[i] = i / 2 end
t[20000] = coroutine.create(print)
assert(not pcall(comm.send, comm, t, 1))
comm:recv(1)
