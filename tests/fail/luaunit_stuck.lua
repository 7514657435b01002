-- ranks: 3
-- exit: 1
-- stderr: rank 1: TestStuck.test_rank_1_fails_before_it_sends failed, and rank 0 is still in it:
-- once: no message today
-- never: 0 failed
local lu = require "mpi.luaunit"
lu.patience = 0.5
TestStuck = {}
function TestStuck:test_rank_1_fails_before_it_sends()
    if mpi.COMM_WORLD:rank() == 1 then lu.fail("no message today") end
    mpi.COMM_WORLD:recv(1)
end
os.exit(lu.run())
