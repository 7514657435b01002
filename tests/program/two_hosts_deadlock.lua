-- Four ranks on two hosts that wait for one of them for longer than it takes to find a deadlock, and then for one another.
-- run: LUAMPI_LIMIT=100 tests/two_hosts 2 $luampi $file
-- matches: luampi: deadlock: no rank can go on.*rank 0 waits in comm:recv%(source=1%).*rank 2 waits in comm:recv%(source=0%).*rank 3 has finished
-- within: 110
-- exit: 1
-- once: two hosts: everybody has waited
-- once: rank 1 waits in comm:barrier() at tests/program/two_hosts_deadlock.lua:
local rank = comm:rank()
assert(comm:split_type("shared"):size() == 2)
if rank == 3 then
    os.execute("sleep 12")
    comm:send("now", 2)
elseif rank == 2 then
    comm:recv(3)
end
comm:barrier()
if rank == 0 then
    print "two hosts: everybody has waited"
    comm:recv(1)
elseif rank == 1 then
    comm:barrier()
elseif rank == 2 then
    comm:recv(0)
end
