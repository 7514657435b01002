-- ranks: 2
-- exit: 1
-- once: tests/fail/closed_communicator.lua:7: calling 'send' on bad self (the communicator was freed)
-- once: stack traceback
local c = comm:dup()
c:free()
if comm:rank() == 1 then c:send(1, 0) else comm:recv() end
