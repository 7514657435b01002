-- ranks: 3
-- exit: 1
-- stderr: rank 1 waits in the end of its program: Iallreduce at tests/fail/nonblocking_collective_on_one_rank.lua:6 is open
-- stderr: rank 0 has finished
-- once: no rank can go on
if comm:rank() == 1 then comm:Iallreduce(array.ones(3)) end
