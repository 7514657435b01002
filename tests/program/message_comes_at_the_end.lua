-- A program ends while a long message is on its way into a receive that nobody waits for.
-- run: $mpirun --mca btl_vader_single_copy_mechanism none -n 2 $luampi $file
-- exit: 0
-- once: rank 0: irecv at tests/program/message_comes_at_the_end.lua:8 was never waited for (1 times)
-- never: rank 1:
local n = 40000000
if comm:rank() == 0 then
    comm:irecv(1, 5)
    comm:recv(1, 6)
    for _ = 1, 3 do comm:iprobe(1, 7) end -- it begins to come
else
    local s = comm:isend(("x"):rep(n), 0, 5)
    comm:send(true, 0, 6)
    s:wait()
end
