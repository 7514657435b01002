-- ranks: 1 3
-- exit: 1
-- once: 1) TestOne.test_it_fails
-- once: 1 passed, 1 failed
-- never: test_outside_the_pattern
local lu = require "mpi.luaunit"
TestOne = {}
function TestOne:test_it_fails() lu.assertEquals(1, 2) end
function TestOne:test_it_passes() end
function TestOne:test_outside_the_pattern() error "run" end
os.exit(lu.run("-p", "it_"))
