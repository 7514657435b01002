---@meta mpi.luaunit

--- # Tests: mpi.luaunit
---
--- `require "mpi.luaunit"` is LuaUnit 3.4 for ranks: all of its assertions, options and outputs, and what follows.
---
---     -- test_ring.lua
---     local lu = require "mpi.luaunit"
---     TestRing = {}
---     function TestRing:test_a_token_comes_round()
---         local n, r = comm:size(), comm:rank()
---         lu.assertEquals(comm:sendrecv(r, (r + 1) % n, (r - 1) % n), (r - 1) % n)
---     end
---     os.exit(lu.run())
---
--- In the shell:
---
---     luampi -n 4 test_ring.lua
---
--- Every rank runs every test, in the same order. After setUp, the test and tearDown the ranks agree: what fails
--- on one rank fails the test, which is reported once, by rank 0, with the message of each rank that failed. The
--- last line is `N passed, N failed`, and how many were skipped.

---@class mpi.luaunit
local lu = {}

--- Runs the tests the command line asks for, all without arguments. Collective.
---@param ... string options and names, instead of the command line's
---@return integer code 0 when all passed, 1 when not: `os.exit(lu.run())`
function lu.run(...) end

--- Skips the running test on a job of fewer than `n` ranks.
---@param n integer
function lu.ranks(n) end

--- Skips the running test. A test that one rank skips and no rank fails counts as skipped.
---@param message string why
function lu.skip(message) end

--- Whether a test that fails on one rank stops the others where they wait for it, in a receive or a collective: each
--- then fails with "interrupted in comm:recv(source=1) at …", and the next test runs. True unless the environment says
--- LUAMPI_GUARDED=0; set it before `lu.run`. While it is true, all collectives are compared between ranks.
---@type boolean
lu.guarded = nil

--- Seconds that a rank whose test failed waits for ranks that go on with it, 10 at first; then it stops them.
---@type number
lu.patience = nil

return lu
