-- ranks: 3
-- exit: 1
-- stdout: rank 1: tests/fail/luaunit_stuck.lua:13: no message today
-- stdout: rank 0: interrupted in comm:recv(source=1) at tests/fail/luaunit_stuck.lua:14: no rank can go on
-- stdout: rank 2: interrupted in comm:barrier() at tests/fail/luaunit_stuck.lua:15: no rank can go on
-- stdout: interrupted at tests/fail/luaunit_stuck.lua:20
-- once: 1 passed, 2 failed
local lu = require "mpi.luaunit"
lu.patience = 2 -- more than a deadlock needs to be found
TestStuck = {}
function TestStuck:test_1_rank_1_fails_before_it_sends()
    local rank = comm:rank()
    if rank == 1 then lu.fail("no message today") end
    if rank == 0 then comm:recv(1) end
    comm:barrier()
end
function TestStuck:test_2_rank_1_fails_while_the_others_compute()
    mpi.sleep(0.01)
    if comm:rank() == 1 then error "no loop today" end
    while true do end
end
function TestStuck:test_3_the_next_test_runs()
    lu.assertEquals(comm:allreduce(1), comm:size())
end
os.exit(lu.run())
