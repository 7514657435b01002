-- Names that nothing has: the error says what comes near.
-- ranks: 1 2
local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message = support.message

-- What `code` raises, with x as its only name besides the globals.
local function wrong(code, x) return message(assert(load("local x = ... " .. code, "=code")), x) end

TestMissing = {}

function TestMissing:test_communicators()
    lu.assertEquals(wrong("x:brodcast(1)", comm), "a communicator has no 'brodcast'; near it: Bcast, bcast")
    lu.assertEquals(wrong("return x.Get_rank", comm), "a communicator has no 'Get_rank'; near it: rank")
    lu.assertEquals(wrong("return x.xyz", comm), "a communicator has no 'xyz'")
    lu.assertEquals(type(comm.map), "function")
end

function TestMissing:test_arrays_and_their_module()
    local a = array.ones(3)
    lu.assertEquals(wrong("x:dott(x)", a), "an array has no 'dott'; near it: dot")
    lu.assertEquals(wrong("return x.x", a), "an array has no 'x'")
    lu.assertEquals(wrong("x:save 'x.npy'", a), "an array has no 'save'; there is array.save")
    lu.assertEquals(wrong("return array.zeroes(3)"), "the module array has no 'zeroes'; near it: zeros")
    lu.assertEquals(a["2"], 1)
end

function TestMissing:test_the_module()
    lu.assertEquals(wrong("return mpi.MAXIMUM"), "the module mpi has no 'MAXIMUM'")
    lu.assertEquals(wrong("mpi.waital {}"), "the module mpi has no 'waital'; near it: waitall, waitany")
    lu.assertEquals(type(mpi.pool), "function")
end

function TestMissing:test_requests()
    local r = comm:irecv()
    lu.assertEquals(wrong("return x.value", r), "a request has no 'value'")
    r:cancel()
end

function TestMissing:test_pools()
    local text
    mpi.pool(function (pool)
        text = wrong("x:execute 'y = 1'", pool)
        lu.assertEquals(wrong("x:mapp()", pool), "a pool has no 'mapp'; near it: map")
    end)
    if comm:rank() == 0 then lu.assertEquals(text, "a pool has no 'execute'; near it: exec") end
end

os.exit(lu.run())
