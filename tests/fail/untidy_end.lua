-- run: LUAMPI_STRICT=1 $mpirun -n 2 $luampi $file
-- exit: 4
-- once: rank 0: the communicator made at tests/fail/untidy_end.lua:8 was never freed
-- once: rank 1: 2 messages were never received on mpi.COMM_WORLD
-- once: rank 0: irecv at tests/fail/untidy_end.lua:12 was never waited for (3 times)
-- once: rank 1: Iallreduce at tests/fail/untidy_end.lua:16 was never waited for (1 times)
-- never: deadlock
local d = comm:dup()
if comm:rank() == 0 then
    comm:send("one", 1, 1)
    comm:send("two", 1, 2)
    for _ = 1, 3 do comm:irecv(1, 9) end
else
    comm:probe(0, 2)
end
comm:Iallreduce(array.ones(1))
