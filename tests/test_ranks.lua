-- ranks: 1 2
local lu = require "mpi.luaunit"
local ranks = require "mpi.ranks"

TestRanks = {}

function TestRanks:test_runs_of_ranks_are_shortened()
    lu.assertEquals(ranks.text {3}, "rank 3")
    lu.assertEquals(ranks.text {0, 1, 2, 5}, "ranks 0-2,5")
    lu.assertEquals(ranks.text {1, 3, 4, 7, 8, 9}, "ranks 1,3-4,7-9")
end

function TestRanks:test_equal_texts_are_merged_in_the_order_of_their_first_ranks()
    lu.assertEquals(ranks.groups {n = 5, "b", false, "a", "b", nil}, {{text = "b", ranks = {0, 3}}, {text = "a", ranks = {2}}})
    lu.assertEquals(ranks.groups({n = 2, "x", "x"}, {4, 7}), {{text = "x", ranks = {4, 7}}})
    lu.assertEquals(ranks.groups {n = 0}, {})
end

function TestRanks:test_a_failure_groups_messages_and_is_the_first_one()
    local failure = ranks.failure {
        {message = "no z", rank = 0, traceback = "t0"}, {message = "no y", rank = 2}, {message = "no z", rank = 3},
    }
    lu.assertEquals(tostring(failure), "no z  [ranks 0,3]\nno y  [rank 2]")
    lu.assertEquals({failure.message, failure.rank, failure.traceback}, {"no z", 0, "t0"})
end

function TestRanks:test_a_failure_travels()
    local failure = mpi.unpack(mpi.pack(ranks.failure {{message = "boom", rank = 1}}))
    lu.assertEquals(tostring(failure), "boom  [rank 1]")
end

local function described(value)
    local _, description = xpcall(function () error(value, 0) end, ranks.described)
    return description
end

function TestRanks:test_any_error_value_is_described()
    lu.assertEquals(described("boom").message, "boom")
    lu.assertStrContains(described("boom").traceback, "stack traceback:")
    lu.assertNil(described("boom").value)
    lu.assertEquals(described(7).message, "7")
    lu.assertEquals(described({code = 3}).message, "(error object is a table value)")
    lu.assertEquals(described({code = 3}).value, {code = 3})
    lu.assertEquals(described(nil).message, "(error object is a nil value)")
    local speaking = setmetatable({}, {__tostring = function () return "said" end})
    lu.assertEquals(described(speaking).message, "said")
    lu.assertNil(described(speaking).value) -- its metatable has no name to travel by
    lu.assertEquals(described(setmetatable({}, {__tostring = error})).message, "(error object is a table value)")
end

function TestRanks:test_a_failure_passed_on_stays_the_one_it_was()
    lu.assertEquals(described(ranks.failure {{message = "boom", rank = 1, traceback = "there"}}).traceback, "there")
end

os.exit(lu.run())
