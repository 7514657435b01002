local lu = require "mpi.luaunit"

local comm = mpi.COMM_WORLD
local rank, size = comm:rank(), comm:size()
local last = size - 1

-- Runs a suite inside the test: → exit code, LuaUnit's result, the lines printed on this rank.
local function inner(tests, options)
    local lines, print = {}, _G.print
    _G.print = function (...) lines[#lines + 1] = table.concat({...}, "\t") end
    local runner = lu.LuaUnit.new()
    local ok, code = pcall(runner.runSuiteByInstances, runner, {{"TestInner", tests}}, options or "-q")
    _G.print = print
    if not ok then
        runner:unregisterSuite()
        error(code, 0)
    end
    return code, runner.result, lines
end

-- "rank 3: text", or the bare text on a job of one rank
local function on(ranks, text) return size == 1 and text or ranks .. ": " .. text end

local function all() return size == 2 and "ranks 0-1" or "ranks 0-" .. last end

TestLuaunit = {}

function TestLuaunit:test_a_failure_on_one_rank_fails_the_test_on_every_rank()
    local code, result = inner {test_one = function () lu.assertTrue(rank ~= last) end}
    lu.assertEquals(code, 1)
    lu.assertEquals({result.successCount, result.failureCount, result.errorCount}, {0, 1, 0})
end

function TestLuaunit:test_success_everywhere_is_exit_code_0()
    local code, result, lines = inner {test_one = function () end, test_two = function () end}
    lu.assertEquals(code, 0)
    lu.assertEquals(result.successCount, 2)
    lu.assertEquals(lines[#lines], rank == 0 and "2 passed, 0 failed" or nil)
end

function TestLuaunit:test_rank_0_alone_prints()
    local _, _, lines = inner {test_one = function () error "bad" end}
    lu.assertEquals(#lines > 0, rank == 0)
    lu.assertEquals(lines[#lines], rank == 0 and "0 passed, 1 failed" or nil)
end

function TestLuaunit:test_the_message_names_the_ranks_that_have_it()
    local _, result = inner {test_one = function () if rank == last then error("bad", 0) end end}
    lu.assertEquals(result.errorTests[1].msg, on("rank " .. last, "bad"))
end

function TestLuaunit:test_equal_messages_are_merged()
    local _, result = inner {test_one = function () error("bad", 0) end}
    lu.assertEquals(result.errorTests[1].msg, on(all(), "bad"))
end

function TestLuaunit:test_each_distinct_message_is_there()
    lu.ranks(3)
    local _, result = inner {test_one = function () error(rank == 1 and "odd" or "even", 0) end}
    lu.assertEquals(result.errorTests[1].msg, size == 3 and "ranks 0,2: even\nrank 1: odd" or "ranks 0,2-3: even\nrank 1: odd")
end

function TestLuaunit:test_an_error_on_one_rank_and_a_failure_on_another_is_an_error()
    lu.ranks(2)
    local _, result = inner {test_one = function () if rank == 0 then lu.fail "no" else error "bad" end end}
    lu.assertEquals({result.failureCount, result.errorCount}, {0, 1})
end

function TestLuaunit:test_after_setUp_fails_on_one_rank_the_body_runs_nowhere()
    local ran = false
    local _, result = inner {
        setUp = function () if rank == last then error "bad" end end,
        test_one = function () ran = true end,
    }
    lu.assertFalse(ran)
    lu.assertEquals(result.errorCount, 1)
end

function TestLuaunit:test_an_error_in_tearDown_counts()
    local code, result = inner {tearDown = function () if rank == last then error "bad" end end, test_one = function () end}
    lu.assertEquals(code, 1)
    lu.assertEquals(result.errorCount, 1)
end

function TestLuaunit:test_an_error_in_setupClass_counts()
    local code, result = inner {setupClass = function () if rank == last then error "bad" end end, test_one = function () end}
    lu.assertEquals(code, 1)
    lu.assertEquals({result.successCount, result.errorCount}, {1, 1})
    lu.assertEquals(result.errorTests[1].testName, "TestInner.setupClass")
end

function TestLuaunit:test_skipped_for_want_of_ranks_is_neither_passed_nor_failed()
    local code, result, lines = inner {test_one = function () lu.ranks(size + 1) end, test_two = function () lu.ranks(size) end}
    lu.assertEquals(code, 0)
    lu.assertEquals({result.successCount, result.skippedCount}, {1, 1})
    lu.assertEquals(lines[#lines], rank == 0 and "1 passed, 0 failed, 1 skipped" or nil)
end

function TestLuaunit:test_skipping_on_one_rank_skips_the_test()
    local _, result = inner {test_one = function () lu.skipIf(rank == last, "not here") end}
    lu.assertEquals(result.skippedCount, 1)
    lu.assertEquals(result.skippedTests[1].msg, on("rank " .. last, "not here"))
end

function TestLuaunit:test_shuffled_tests_run_in_the_same_order_on_every_rank()
    local order, tests = {}, {}
    for i = 1, 30 do tests["test_" .. i] = function () order[#order + 1] = i end end
    inner(tests, "-s")
    lu.assertEquals(#order, 30)
    local orders = comm:allgather(order)
    for i = 1, size do lu.assertEquals(orders[i], orders[1]) end
end

function TestLuaunit:test_a_test_that_is_missing_on_a_rank_raises_on_every_rank()
    lu.ranks(2)
    local tests = {test_one = function () end}
    if rank == 0 then tests.test_two = function () end end
    lu.assertErrorMsgContains("TestInner.test_two is a test on rank 0 but not on rank 1", inner, tests)
end

function TestLuaunit:test_a_test_that_rank_0_lacks_raises_on_every_rank()
    lu.ranks(2)
    local tests = {test_one = function () end}
    if rank == 1 then tests.test_two = function () end end
    lu.assertErrorMsgContains("rank 1 has tests that rank 0 has not", inner, tests)
end

function TestLuaunit:test_a_message_may_hold_anything()
    local _, result = inner {
        test_percent = function () error("100% :5: %1 bad", 0) end,
        test_nil = function () error() end,
        test_object = function () error(setmetatable({}, {__tostring = function () return "an object" end})) end,
    }
    lu.assertEquals(result.errorCount, 3)
end

function TestLuaunit:test_a_test_that_leaves_by_os_exit_fails()
    local _, result = inner {test_one = function () os.exit(0) end}
    lu.assertEquals(result.errorCount, 1)
    lu.assertStrContains(result.errorTests[1].msg, "trying to exit")
end

os.exit(lu.run())
