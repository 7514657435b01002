-- ranks: 3
-- exit: 1
-- stderr: luampi: deadlock: no rank can go on
-- stderr: rank 0 waits in comm:recv(source=2, tag=11) at tests/fail/deadlock_ring.lua:8
-- stderr: rank 1 waits in comm:recv(source=0, tag=11) at tests/fail/deadlock_ring.lua:8
-- stderr: rank 2 waits in comm:recv(source=1, tag=11) at tests/fail/deadlock_ring.lua:8
-- once: no rank can go on
comm:recv((comm:rank() - 1) % comm:size(), 11)
