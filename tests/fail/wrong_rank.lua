-- ranks: 2
-- exit: 1
-- once: tests/fail/wrong_rank.lua:4: bad argument #2 to 'send' (dest is 2, but the ranks of this communicator are 0 to 1)
if comm:rank() == 1 then comm:send("x", 2) else comm:recv() end
