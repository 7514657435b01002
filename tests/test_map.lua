local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message, everywhere, numbers = support.message, support.everywhere, support.numbers
local rank, size = comm:rank(), comm:size()

local schedules = {"dynamic", "static", "cyclic"}
local function square(x) return x * x end

-- The error f(...) raises, which may name this file as the place of the call.
local function failure(f, ...)
    local fine, e = pcall(f, ...)
    assert(not fine, "no error was raised")
    return e
end

local function squares(n)
    local list = {n = n}
    for i = 1, n do list[i] = i * i end
    return list
end

TestMap = {}

function TestMap:test_every_number_of_items_on_every_communicator()
    everywhere(function (c)
        for _, n in ipairs {0, 1, 2, 3, 5, 17, 100} do
            lu.assertEquals((c:map(square, n)), squares(n))
        end
    end)
end

function TestMap:test_schedules_and_chunks()
    for _, schedule in ipairs(schedules) do
        for _, chunk in ipairs {1, 2, 7, 1000} do
            lu.assertEquals((comm:map(square, 50, {schedule = schedule, chunk = chunk})), squares(50))
        end
        lu.assertEquals((comm:map(square, 5000, {schedule = schedule})), squares(5000))
    end
end

function TestMap:test_nobody_waits_for_a_rank_that_is_busy()
    if size == 1 then return end
    local dup <close> = comm:dup()
    local busy
    -- the one task lasts until all others are done, which tell every rank
    local results = comm:map(function (i)
        for r = 0, size - 1 do if r ~= rank then dup:send(i, r) end end
        if i > 1 then return rank end
        busy = true
        for _ = 2, 60 do dup:recv() end
        return rank
    end, 60)
    for i = 2, 60 do lu.assertNotEquals(results[i], results[1]) end
    for i = 1, 60 do if not busy and results[i] ~= rank then dup:recv() end end
    dup:barrier()
end

function TestMap:test_a_static_schedule_gives_every_rank_a_block_and_a_cyclic_one_turns()
    local _, info = comm:map(square, 12 * size, {schedule = "static", trace = true})
    for i, task in ipairs(info.tasks) do lu.assertEquals({task.index, task.rank}, {i, (i - 1) // 12}) end
    _, info = comm:map(square, 12 * size, {schedule = "cyclic", chunk = 3, trace = true})
    for i, task in ipairs(info.tasks) do lu.assertEquals({task.index, task.rank}, {i, (i - 1) // 3 % size}) end
end

function TestMap:test_the_items_of_the_root_are_mapped()
    for root = 0, size - 1 do
        local items = rank == root and {"a", "b", "c", {deep = "d"}, 5.5} or nil
        local results = comm:map(function (x, i) return {i, x, rank} end, items, {root = root})
        lu.assertEquals(results.n, 5)
        for i, x in ipairs {"a", "b", "c", {deep = "d"}, 5.5} do
            lu.assertEquals({results[i][1], results[i][2]}, {i, x})
        end
    end
end

function TestMap:test_a_long_list_of_small_and_large_items()
    local items = {}
    for i = 1, 3000 do items[i] = i % 100 == 0 and ("x"):rep(20000) .. i or i end
    local results = comm:map(function (x, i) assert(x == items[i]) return #tostring(x) end, rank == 0 and items or nil)
    for i = 1, 3000 do assert(results[i] == #tostring(items[i])) end
end

function TestMap:test_items_that_every_rank_has_are_not_sent()
    local unsendable = {coroutine.create(print), coroutine.create(print)}
    local results = comm:map(function (x) return type(x) end, unsendable, {items = "same"})
    lu.assertEquals(results, {"thread", "thread", n = 2})
end

function TestMap:test_elements_and_rows_of_arrays_are_items()
    local results = comm:map(square, rank == 0 and array.range(1, 30) or nil)
    lu.assertEquals(results, squares(30))
    local m = array.of {{1, 2}, {3, 4}, {5, 6}}
    results = comm:map(function (row) return row:sum() end, rank == 0 and m or nil)
    lu.assertEquals(results, {3, 7, 11, n = 3})
    lu.assertEquals((comm:map(square, array.zeros(0))), {n = 0})
end

function TestMap:test_nil_and_false_among_items_and_results_are_kept()
    local items = {1, nil, false, 4, nil, n = 5}
    local results = comm:map(function (x) return x end, rank == 0 and items or nil)
    lu.assertEquals(results.n, 5)
    for i = 1, 5 do lu.assertEquals(results[i], items[i]) end
    results = comm:map(function () end, 100)
    lu.assertEquals(results, {n = 100})
end

function TestMap:test_results_to_one_rank()
    for to = 0, size - 1 do
        local results, info = comm:map(square, 40, {to = to})
        if rank == to then lu.assertEquals(results, squares(40)) else lu.assertNil(results) end
        lu.assertEquals(#info.per_rank, size)
    end
end

function TestMap:test_many_results()
    for _, to in ipairs {"all", size - 1} do
        local results = comm:map(function (i) return i % 3 == 0 and "three" or i / 2 end, 30000, {to = to})
        if to == "all" or to == rank then
            for i = 1, 30000 do assert(results[i] == (i % 3 == 0 and "three" or i / 2)) end
        end
    end
end

function TestMap:test_many_numbers()
    for _, f in ipairs {square, function (i) return i / 2 end, function (i) return i % 2 == 0 and i or i / 2 end} do
        for _, opts in ipairs {{}, {to = size - 1}, {chunk = 1}, {schedule = "cyclic", chunk = 7}} do
            local results = comm:map(f, 10500, opts)
            if not opts.to or rank == opts.to then
                lu.assertEquals(results.n, 10500)
                for i = 1, 10500 do
                    local x = f(i)
                    assert(results[i] == x and math.type(results[i]) == math.type(x))
                end
            end
        end
    end
end

TestInto = {}

function TestInto:test_numbers_go_into_an_array()
    for _, schedule in ipairs(schedules) do
        for _, n in ipairs {0, 1, 7, 1000} do
            local a = array.zeros(n, "int64")
            local results = comm:map(square, n, {into = a, schedule = schedule, chunk = 3})
            lu.assertIs(results, a)
            for i = 1, n do assert(a[i] == i * i) end
        end
    end
end

function TestInto:test_more_numbers_than_travel_at_a_time()
    local n = 200001
    local a = comm:map(square, n, {into = array.zeros(n)})
    lu.assertTrue(a:eq(array.range(1, n):as "float64" ^ 2):all())
    for to = 0, size - 1 do
        a = comm:map(square, n, {into = rank == to and array.zeros(n) or nil, to = to})
        if rank == to then lu.assertTrue(a:eq(array.range(1, n):as "float64" ^ 2):all()) else lu.assertNil(a) end
    end
end

function TestInto:test_arrays_fill_rows_also_of_a_strided_view()
    local a = comm:map(function (i) return array.of {i, 10 * i} end, 3, {into = array.zeros {3, 2}})
    lu.assertEquals(a:totable(), {{1, 10}, {2, 20}, {3, 30}})
    local whole = array.zeros {4, 3}
    comm:map(square, 4, {into = whole:col(2), chunk = 1})
    lu.assertEquals(whole:totable(), {{0, 1, 0}, {0, 4, 0}, {0, 9, 0}, {0, 16, 0}})
end

function TestInto:test_rows_without_elements()
    local into = array.zeros {4, 0}
    lu.assertIs(comm:map(function () return array.zeros {0} end, 4, {into = into}), into)
    lu.assertEquals({into:shape()}, {4, 0})
end

function TestInto:test_a_wrong_length_raises_before_the_first_task()
    local called = false
    lu.assertStrContains(message(comm.map, comm, function () called = true end, 7, {into = array.zeros(6)}),
        "bad argument #3 to 'map' (into has 6 elements, there are 7 items)")
    lu.assertFalse(comm:allreduce(called, mpi.LOR))
end

function TestInto:test_what_is_no_number_raises_with_its_item()
    local e = failure(comm.map, comm, function (i) return i == 4 and "four" or i end, 7, {into = array.zeros(7)})
    lu.assertEquals(e.index, 4)
    lu.assertEquals(e.message, "cannot put a string into an array of float64")
end

TestErrors = {}

function TestErrors:test_an_error_in_any_task_raises_the_same_on_every_rank_and_the_next_map_works()
    everywhere(function (c)
        for _, schedule in ipairs(schedules) do
            for _, bad in ipairs {1, 23, 40} do
                local e = failure(c.map, c, function (_, i) if i == bad then error "broken" end return i end, 40, {schedule = schedule})
                lu.assertEquals(e.index, bad)
                lu.assertStrMatches(e.message, "tests/test_map.lua:%d+: broken")
                lu.assertEquals(e.value, e.message)
                lu.assertStrContains(e.traceback, "stack traceback:\n\ttests/test_map.lua:")
                lu.assertNotStrContains(e.traceback, "mpi/map.lua")
                lu.assertEquals(tostring(e), ("%s  [rank %d, item %d]"):format(e.message, e.rank, bad))
                for _, other in ipairs(c:allgather(tostring(e) .. e.traceback)) do lu.assertEquals(other, tostring(e) .. e.traceback) end
                lu.assertEquals((c:map(square, 10)), squares(10))
            end
        end
    end)
end

local function innermost(t) local value = t.x.y return value end
local function outer() local value = innermost {} return value end

function TestErrors:test_the_traceback_is_of_the_whole_task_and_of_nothing_else()
    for _, opts in ipairs {{}, {seed = 1, trace = true}, {isolate = true}, {errors = "collect"}} do
        local fine, e, info = pcall(comm.map, comm, outer, 3, opts)
        e = fine and info.errors[1] or e
        lu.assertStrMatches(e.traceback, e.message:gsub("%p", "%%%0") .. "\nstack traceback:\n\ttests/test_map.lua:%d+: in [^\n]*'innermost'"
            .. "\n\ttests/test_map.lua:%d+: in [^\n]+")
        fine, e, info = pcall(comm.map, comm, function () local value = nil + 1 return value end, 3, opts)
        e = fine and info.errors[1] or e
        lu.assertStrMatches(e.traceback, "[^\n]*\nstack traceback:\n\ttests/test_map.lua:%d+: in [^\n]+")
    end
end

function TestErrors:test_without_lua_code_in_the_task_there_is_no_traceback()
    for _, opts in ipairs {{}, {isolate = true}} do
        local e = failure(comm.map, comm, math.sqrt, {"x"}, opts)
        lu.assertEquals(e.message, "bad argument #1 to 'math.sqrt' (number expected, got string)")
        lu.assertEquals(e.traceback, e.message)
    end
    local e = failure(comm.map, comm, function () repeat until false end, 1, {isolate = true, tries = 1, timeout = 0.05})
    lu.assertEquals({e.message, e.traceback}, {"took longer than its timeout (0.05 s)", "took longer than its timeout (0.05 s)"})
end

function TestErrors:test_a_result_that_cannot_be_added_is_told_without_the_machinerys_place()
    local text = tostring(failure(comm.mapreduce, comm, function () end, 3)) -- found by a task or by who combines
    lu.assertStrContains(text, "attempt to perform arithmetic on a nil value (local 'result')")
    lu.assertNotStrContains(text, "mpi/")
end

function TestErrors:test_a_result_that_cannot_travel_is_told_with_its_item()
    if size == 1 then return end
    local function task(i) return i == 7 and coroutine.create(print) or {i} end
    for _, n in ipairs {10, 20000} do
        local text = failure(comm.map, comm, task, n)
        lu.assertStrMatches(text, "tests/test_map.lua:%d+: the result of item 7 cannot travel: cannot send a thread")
        lu.assertEquals(text, comm:bcast(text))
    end
    local fine, text = pcall(comm.map, comm, function (i) return i == size and coroutine.create(print) or i end, size,
        {to = 0, schedule = "static"})
    lu.assertFalse(fine)
    lu.assertStrContains(text, ("the result of item %d cannot travel"):format(size))
    lu.assertEquals((comm:map(square, 4)), squares(4))
end

function TestErrors:test_a_result_that_can_travel_alone_but_not_in_a_list_is_told()
    if size == 1 then return end
    local deep = {}
    while pcall(mpi.pack, {deep}) do deep = {deep} end
    mpi.pack(deep)
    for _, n in ipairs {10, 20000} do
        lu.assertStrContains(failure(comm.map, comm, function (i) return i == n and deep or {i} end, n), "nested deeper than")
    end
end

function TestErrors:test_the_place_of_a_wrong_call_is_told_once()
    lu.assertStrMatches(failure(comm.map, comm, "f", 3),
        "tests/test_map.lua:%d+: [^ ]* ?bad argument #1 to 'map' %(function expected, got string%)")
    lu.assertStrContains(message(comm.mapreduce, comm, square, 3, mpi.MAX), "got userdata; the operator is the option op, as in {op = mpi.MAX}")
end

function TestErrors:test_errors_everywhere_raise_that_of_the_lowest_item()
    local dup <close> = comm:dup()
    local e = failure(comm.map, comm, function (_, i)
        dup:barrier()
        error("item " .. i, 0)
    end, size, {schedule = "static"})
    lu.assertEquals(tostring(e), "item 1  [rank 0, item 1]")
end

function TestErrors:test_error_values_that_are_no_strings()
    local e = failure(comm.map, comm, function () error {code = 7} end, 3)
    lu.assertEquals(e.value, {code = 7})
    e = failure(comm.map, comm, function () error(nil) end, 3)
    lu.assertEquals(e.message, "nil")
    e = failure(comm.map, comm, function () error(coroutine.create(print)) end, 3)
    lu.assertStrContains(e.value, "thread: ")
end

function TestErrors:test_collecting_errors_finishes_the_rest()
    local results, info = comm:map(function (x, i) if i % 10 == 0 then error("bad " .. i, 0) end return x end, 45, {errors = "collect"})
    lu.assertEquals(results.n, 45)
    for i = 1, 45 do lu.assertEquals(results[i], i % 10 ~= 0 and i or nil) end
    lu.assertEquals(#info.errors, 4)
    for k, e in ipairs(info.errors) do
        lu.assertEquals({e.message, e.index}, {"bad " .. 10 * k, 10 * k})
        lu.assertStrContains(e.traceback, "stack traceback:")
    end
end

function TestErrors:test_a_task_that_uses_the_communicator_raises_and_names_the_call()
    local c <close> = comm:dup()
    for _, case in ipairs {
        {"barrier", function () c:barrier() end}, {"allreduce", function () c:allreduce(1) end},
        {"Bcast", function () c:Bcast(array.zeros(1)) end}, {"send", function () c:send(1, 0) end},
        {"free", function () c:free() end}, {"dup", function () c:dup() end}, {"map", function () c:map(square, 3) end},
    } do
        local name, call = table.unpack(case)
        local e = failure(c.map, c, call, 2 * size)
        lu.assertStrContains(e.message, ("comm:%s in a task of comm:map on the same communicator"):format(name))
        lu.assertEquals(c:allreduce(1), size)
    end
    lu.assertEquals((c:map(function () return c:size() end, 2)), {size, size, n = 2})
end

function TestErrors:test_items_that_cannot_travel_raise_on_every_rank()
    local items = {}
    for i = 1, 20 do items[i] = i end
    items[17] = {co = coroutine.create(print)}
    if size > 1 then
        lu.assertStrContains(message(comm.map, comm, square, rank == 0 and items or nil), "cannot send a thread at items[17].co")
    end
    lu.assertEquals((comm:map(square, 3)), squares(3))
end

function TestErrors:test_wrong_arguments_raise_on_every_rank()
    local last = rank == size - 1
    for _, case in ipairs {
        {7, 3, nil, "bad argument #1 to 'map' (function expected, got number)"},
        {square, {}, 7, "bad argument #3 to 'map' (table of options expected, got number)"},
        {square, 3, {chunks = 2}, "bad argument #3 to 'map' (unknown option 'chunks'; known are: to schedule chunk into"},
        {square, 3, {chunk = 0}, "bad argument #3 to 'map' (chunk is 0, expected an integer from 1)"},
        {square, 3, {schedule = "guided"}, "(schedule is 'guided', expected \"dynamic\" or \"static\" or \"cyclic\")"},
        {square, 3, {to = size}, "bad argument #3 to 'map' (to is " .. size .. ", expected \"all\" or a rank from 0 to " .. size - 1},
        {square, 3, {into = {}}, "(into is table, expected an array)"},
    } do
        local f, items, opts, text = table.unpack(case, 1, 4)
        lu.assertStrContains(message(function ()
            if last then comm:map(f, items, opts) else comm:map(square, 3) end
        end), text)
    end
    for _, case in ipairs {{"text", "list, array, count or generator expected, got string"}, {-1, "-1 is no number of items"},
                           {2.5, "2.5 is no number of items"}} do
        lu.assertStrContains(message(comm.map, comm, square, case[1]), case[2])
    end
end

function TestErrors:test_ranks_that_do_not_make_the_same_call_get_an_error()
    if size == 1 then return end
    local text = message(function () if rank == 0 then comm:map(square, 3) else comm:mapreduce(square, 3) end end)
    lu.assertStrContains(text, "the ranks do not make the same call: [0] comm:map()")
    text = message(function () comm:map(square, 3, {chunk = rank + 1}) end)
    lu.assertStrContains(text, "with different arguments")
end

TestNested = {}

function TestNested:test_maps_on_other_communicators_in_a_task()
    local half <close> = comm:split(rank % 2)
    local all = comm:map(function (x)
        local inner = mpi.COMM_SELF:map(function (y) return x * y end, 4)
        return inner[4]
    end, 10)
    for i = 1, 10 do lu.assertEquals(all[i], 4 * i) end
    -- every rank has one task, so that the ranks of a half meet in theirs
    local results = comm:map(function (x) return half:map(square, 3)[3] + x end, size, {schedule = "static"})
    for i = 1, size do lu.assertEquals(results[i], 9 + i) end
end

function TestNested:test_an_error_in_the_inner_map()
    local e = failure(comm.map, comm, function (x)
        mpi.COMM_SELF:map(function (y) if x == 3 and y == 2 then error("inner", 0) end end, 4)
    end, 10)
    lu.assertEquals(e.index, 3)
    lu.assertEquals(e.message, "inner  [rank 0, item 2]")
end

TestSeed = {}

local function draws(c, schedule, chunk)
    return c:map(function () return math.random(1 << 40) + math.random() end, 30, {seed = 42, schedule = schedule, chunk = chunk})
end

function TestSeed:test_random_numbers_do_not_depend_on_ranks_or_schedule()
    local expected = draws(mpi.COMM_SELF)
    lu.assertNotEquals(expected[1], expected[2])
    everywhere(function (c)
        for _, schedule in ipairs(schedules) do
            for chunk = 1, 3 do lu.assertEquals(draws(c, schedule, chunk), expected) end
        end
    end)
end

function TestSeed:test_the_state_of_random_is_put_back()
    math.randomseed(7)
    local first = {math.random(), math.random()}
    math.randomseed(7)
    math.random()
    draws(comm)
    lu.assertEquals(math.random(), first[2])
    math.randomseed(7)
    math.random()
    pcall(comm.map, comm, function () error(math.random()) end, 3, {seed = 1})
    lu.assertEquals(math.random(), first[2])
    math.randomseed()
end

TestInfo = {}

function TestInfo:test_it_is_the_same_on_every_rank()
    local function check(_, info)
        for _, other in ipairs(comm:allgather(info)) do lu.assertEquals(other, info) end
    end
    local last = size - 1
    check(comm:map(square, 10))
    check(comm:map(square, 20000))
    check(comm:map(square, 10, {to = last}))
    check(comm:map(square, 10, {to = last, trace = true, schedule = "static"}))
    check(comm:map(square, 10, {into = array.zeros(10)}))
    check(comm:map(square, 10, {into = array.zeros(10), to = last}))
    check(comm:mapreduce(square, 10))
    check(comm:mapreduce(square, 10, {root = last}))
    check(comm:map(error, 10, {errors = "collect"}))
end

function TestInfo:test_the_times_add_up()
    local _, info = comm:map(function () mpi.sleep(0.001) end, 5 * size, {trace = true})
    local items, busy = 0, 0
    for _, r in ipairs(info.per_rank) do
        items, busy = items + r.items, busy + r.busy
        lu.assertAlmostEquals(r.busy + r.idle, info.wall, 1e-9)
    end
    lu.assertEquals(items, 5 * size)
    lu.assertAlmostEquals(busy, info.serial, 1e-9)
    lu.assertTrue(info.serial >= 5e-3 * size)
    lu.assertAlmostEquals(info.speedup, info.serial / info.wall, 1e-9)
    lu.assertAlmostEquals(info.efficiency, info.speedup / size, 1e-9)
    lu.assertEquals(#info.tasks, 5 * size)
    for i, t in ipairs(info.tasks) do
        lu.assertEquals(t.index, i)
        lu.assertTrue(t.t0 >= 0 and t.t1 >= t.t0 + 1e-3 and t.t1 <= info.wall + 1e-3)
    end
end

TestReduce = {}

function TestReduce:test_operators_combine_in_the_order_of_the_items()
    everywhere(function (c)
        for _, n in ipairs {1, 2, 7, 100} do
            for _, chunk in ipairs {false, 1, 5} do
                local opts = {chunk = chunk or nil, op = function (a, b) return a .. b end}
                local expected = {}
                for i = 1, n do expected[i] = "<" .. i .. ">" end
                lu.assertEquals((c:mapreduce(function (i) return "<" .. i .. ">" end, n, opts)), table.concat(expected))
            end
            lu.assertEquals((c:mapreduce(square, n)), n * (n + 1) * (2 * n + 1) // 6)
            lu.assertEquals((c:mapreduce(square, n, {op = mpi.MAX})), n * n)
        end
    end)
end

function TestReduce:test_init_comes_first_and_stands_for_no_items()
    lu.assertEquals((comm:mapreduce(square, 0)), nil)
    lu.assertEquals((comm:mapreduce(square, 0, {init = "none"})), "none")
    lu.assertEquals((comm:mapreduce(tostring, rank == 0 and {7, 8, 9} or nil, {init = "0", op = function (a, b) return a .. b end})), "0789")
end

function TestReduce:test_uneven_tasks_keep_the_order()
    local text = comm:mapreduce(function (i) mpi.sleep(i % 7 == 0 and 0.004 or 0.0005) return string.char(64 + i) end, 26,
        {op = function (a, b) return a .. b end})
    lu.assertEquals(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
end

function TestReduce:test_an_operator_or_a_task_that_raises_raises_on_every_rank()
    local e = failure(comm.mapreduce, comm, function (i) if i == 9 then error("nine", 0) end return i end, 20)
    lu.assertEquals({e.message, e.index}, {"nine", 9})
    lu.assertStrContains(tostring(failure(comm.mapreduce, comm, square, 20, {op = function () error("no", 0) end})), "no")
    lu.assertStrContains(tostring(failure(comm.mapreduce, comm, square, 1, {init = 1, op = function () error("no", 0) end})), "no")
    lu.assertStrContains(message(comm.mapreduce, comm, square, 3, {op = 7}), "op is 7, expected an operator such as mpi.SUM")
    lu.assertEquals((comm:mapreduce(square, 3)), 14)
end

function TestReduce:test_seeded_tasks_give_the_same_on_any_number_of_ranks()
    local function f() return math.random(1 << 30) end
    lu.assertEquals((comm:mapreduce(f, 50, {seed = 3})), (mpi.COMM_SELF:mapreduce(f, 50, {seed = 3})))
end

TestShare = {}

function TestShare:test_every_item_comes_once()
    everywhere(function (c)
        for _, schedule in ipairs(schedules) do
            for _, n in ipairs {0, 1, 3, 50} do
                local sum = 0
                for i, item in c:share(n, {schedule = schedule}) do sum = sum + i * item end
                lu.assertEquals(c:allreduce(sum), n * (n + 1) * (2 * n + 1) // 6)
            end
        end
    end)
end

function TestShare:test_the_largest_numbers_of_items_and_chunks()
    local last = math.maxinteger
    for _, schedule in ipairs {"dynamic", "cyclic"} do
        for _, chunk in ipairs {last, last - 2, last - 1, 2^62 | 0} do
            local got = {}
            for i in comm:share(last, {chunk = chunk, schedule = schedule}) do
                got[#got + 1] = i
                if i < 10 or #got == 3 then break end
            end
            for k, i in ipairs(got) do lu.assertEquals(i, k == 1 and (i == 1 and 1 or chunk + 1) or got[k - 1] + 1) end
        end
    end
end

function TestShare:test_items_of_the_root()
    local seen = {}
    for i, item in comm:share(rank == 0 and {"a", "b", nil, "d", n = 4} or nil) do seen[#seen + 1] = i .. tostring(item) end
    local all = {}
    for _, list in ipairs(comm:allgather(seen)) do table.move(list, 1, #list, #all + 1, all) end
    table.sort(all)
    lu.assertEquals(all, {"1a", "2b", "3nil", "4d"})
end

function TestShare:test_break_on_one_rank_ends_the_loop_for_all()
    for r = 0, size - 1 do
        local done = 0
        for i in comm:share(100000, {chunk = 1}) do
            done = done + 1
            if rank == r then break end
            mpi.sleep(1e-3) -- that rank may come late
        end
        lu.assertTrue(comm:allreduce(done) < 100000 or size == 1)
        lu.assertEquals(comm:allreduce(1), size)
    end
end

function TestShare:test_leaving_the_loop_in_other_ways()
    local function first() for i in comm:share(100) do return i end end
    first()
    for _ in comm:share(10) do goto out end
    ::out::
    lu.assertEquals(comm:allreduce(1), size)
end

function TestShare:test_an_error_in_the_body_raises_on_every_rank()
    for _, bad in ipairs {1, 17, 30} do
        local e = failure(function () for i in comm:share(30) do if i == bad then error("body", 0) end end end)
        lu.assertEquals({e.message, e.index}, {"body", bad})
        lu.assertEquals(comm:allreduce(1), size)
    end
end

function TestShare:test_a_body_that_uses_the_communicator_raises()
    local e = failure(function () for _ in comm:share(3 * size) do comm:barrier() end end)
    lu.assertStrContains(e.message, "comm:barrier in a task of comm:share on the same communicator")
end

function TestShare:test_wrong_arguments()
    lu.assertStrContains(message(comm.share, comm, "x"), "bad argument #1 to 'share' (items: list, array, count or generator expected")
    lu.assertStrContains(message(comm.share, comm, 3, {into = 1}), "bad argument #2 to 'share' (unknown option 'into'")
end

TestImap = {}

function TestImap:test_every_result_comes_once_on_the_rank_of_the_loop()
    everywhere(function (c)
        for to = 0, c:size() - 1 do
            for _, n in ipairs {0, 1, 3, 200} do
                for _, items in ipairs {n, numbers(n)} do
                    local seen = {n = n}
                    for i, v in c:imap(square, items, {to = to}) do
                        lu.assertNil(seen[i])
                        lu.assertEquals(c:rank(), to)
                        seen[i] = v
                    end
                    if c:rank() == to then lu.assertEquals(seen, squares(n)) end
                end
            end
        end
    end)
end

function TestImap:test_ordered_results_come_in_order()
    for _, chunk in ipairs {false, 1, 3} do
        for _, stream in ipairs {false, true} do
            local last = 0
            for i, v in comm:imap(function (x) mpi.sleep(x % 5 == 0 and 1e-3 or 0) return x * x end, stream and numbers(60) or 60,
                                  {ordered = true, chunk = chunk or nil}) do
                lu.assertEquals({i, v}, {last + 1, i * i})
                last = i
            end
            lu.assertEquals(last, rank == 0 and 60 or 0)
        end
    end
end

function TestImap:test_nil_results_and_large_ones()
    local count, bytes = 0, 0
    for i, v in comm:imap(function (i) if i % 2 == 0 then return ("x"):rep(100000) end end, 41) do
        count = count + 1
        if i % 2 == 0 then bytes = bytes + #v else lu.assertNil(v) end
    end
    lu.assertEquals({count, bytes}, rank == 0 and {41, 2000000} or {0, 0})
end

function TestImap:test_large_results_of_a_stream_that_another_rank_reads()
    local root, count = size - 1, 0
    for i, v in comm:imap(function (x) return ("x"):rep(40000) .. x end, rank == root and numbers(300) or nil,
                          {root = root, ordered = true, chunk = 3}) do
        count = count + 1
        lu.assertEquals({i, v:sub(-#tostring(i))}, {count, tostring(i)})
    end
    lu.assertEquals(count, rank == 0 and 300 or 0)
end

-- The other ranks send no more than some results ahead of the loop.
function TestImap:test_a_loop_may_be_left_while_large_results_wait()
    local large = ("x"):rep(300000)
    local function task(i)
        mpi.sleep(1e-3)
        if i == 0 then error("bad", 0) end
        return large
    end
    for _, stream in ipairs {false, true} do
        for _, ordered in ipairs {false, true} do
            local count = 0
            for _ in comm:imap(task, stream and numbers(60) or 60, {ordered = ordered, schedule = not stream and "static" or nil, chunk = 1}) do
                count = count + 1
                if count == 1 then mpi.sleep(0.1) end
                if count == 3 then break end
            end
            lu.assertEquals(count, rank == 0 and 3 or 0)
        end
    end
    -- the last rank ends it, which begins with a task that takes longer
    local items = {}
    for i = 1, 60 do items[i] = i end
    items[60 - 60 // size + 1] = 0
    local e = failure(function ()
        for i in comm:imap(function (i)
            if i == 0 then mpi.sleep(0.1) end
            return task(i)
        end, items, {schedule = "static", ordered = true}) do
            if i < 3 then mpi.sleep(0.06) end
        end
    end)
    lu.assertEquals(e.message, "bad")
end

function TestImap:test_break_ends_it_on_all_ranks()
    for _, ordered in ipairs {false, true} do
        for _, items in ipairs {100000, numbers(100000)} do
            local count = 0
            for _ in comm:imap(square, items, {ordered = ordered}) do
                count = count + 1
                if count == 10 then break end
            end
            lu.assertEquals(count, rank == 0 and 10 or 0)
            lu.assertEquals(comm:allreduce(1), size)
        end
    end
end

function TestImap:test_errors_in_a_task_in_the_body_and_in_the_generator_raise_on_every_rank()
    for _, bad in ipairs {1, 30, 60} do
        for _, stream in ipairs {false, true} do
            local function task(x) if x == bad then error("task", 0) end return x end
            local e = failure(function () for _ in comm:imap(task, stream and numbers(60) or 60) do end end)
            lu.assertEquals({e.message, e.index}, {"task", bad})
            e = failure(function ()
                for i in comm:imap(square, stream and numbers(60) or 60) do if i == bad then error("body", 0) end end
            end)
            lu.assertEquals({e.message, e.index, e.rank}, {"body", bad, 0})
        end
    end
    local k = 0
    local e = failure(function ()
        for _ in comm:imap(square, function ()
            k = k + 1
            return k < 20 and k or error("generator", 0)
        end) do end
    end)
    lu.assertEquals({e.message, e.index, e.rank}, {"generator", 20, 0})
    lu.assertEquals(comm:allreduce(1), size)
end

function TestImap:test_a_generator_runs_ahead_of_the_loop_by_so_many_items_at_most()
    for _, ahead in ipairs {1, 5} do
        local given, got, most = 0, 0, 0
        local function generator()
            if given < 40 then
                given = given + 1
                return given
            end
        end
        for _ in comm:imap(square, generator, {ahead = ahead}) do
            most = math.max(most, given - got)
            got = got + 1
            mpi.sleep(1e-4)
        end
        lu.assertTrue(most <= ahead, ("%d items ahead instead of %d"):format(most, ahead))
        lu.assertEquals(comm:allreduce(got), 40)
    end
end

function TestImap:test_random_numbers_of_the_body_are_its_own()
    math.randomseed(7)
    local first = {math.random(), math.random(), math.random()}
    math.randomseed(7)
    local seen, drawn = {}, {}
    for i, v in comm:imap(function () return math.random(1 << 40) + math.random() end, 30, {seed = 42}) do
        seen[i] = v
        if #drawn < 3 then drawn[#drawn + 1] = math.random() end
    end
    math.randomseed()
    if rank == 0 then
        lu.assertEquals(drawn, first)
        local expected = draws(mpi.COMM_SELF)
        for i = 1, 30 do lu.assertEquals(seen[i], expected[i]) end
    else
        draws(mpi.COMM_SELF)
    end
end

function TestImap:test_a_body_that_uses_the_communicator_raises()
    local e = failure(function () for _ in comm:imap(square, 30) do comm:barrier() end end)
    lu.assertStrContains(e.message, "comm:barrier in a task of comm:imap on the same communicator")
end

TestGenerator = {}

function TestGenerator:test_map_share_and_mapreduce_take_generators()
    everywhere(function (c)
        for root = 0, c:size() - 1 do
            for _, n in ipairs {0, 1, 150} do
                local here = c:rank() == root
                lu.assertEquals((c:map(square, here and numbers(n) or nil, {root = root})), squares(n))
                local sum = 0
                for i, x in c:share(here and numbers(n) or nil, {root = root, chunk = 2}) do
                    lu.assertEquals(i, x)
                    sum = sum + x
                end
                lu.assertEquals(c:allreduce(sum), n * (n + 1) // 2)
                local text = c:mapreduce(tostring, here and numbers(n) or nil, {root = root, init = "", op = function (a, b) return a .. b end})
                local expected = {}
                for i = 1, n do expected[i] = i end
                lu.assertEquals(text, table.concat(expected))
            end
        end
    end)
end

function TestGenerator:test_errors()
    local function raises() error("generator", 0) end
    for _, call in ipairs {
        function () comm:map(square, raises) end,
        function () for _ in comm:share(raises) do end end,
        function () comm:mapreduce(square, raises) end,
    } do
        lu.assertEquals(tostring(failure(call)), "generator  [rank 0, item 1]")
        lu.assertEquals(comm:allreduce(1), size)
    end
    local e = failure(comm.mapreduce, comm, square, numbers(20), {op = function (a, b) if b == 100 then error("op", 0) end return a + b end})
    lu.assertEquals({e.message, e.index}, {"op", 10})
    if size > 1 then
        e = failure(comm.map, comm, square, function () return coroutine.create(print) end)
        lu.assertStrContains(e.message, "cannot send a thread at items[1]")
    end
    lu.assertStrContains(message(comm.map, comm, square, numbers(3), {into = array.zeros(3)}), "into needs to know how many items there are")
end

function TestGenerator:test_a_loop_over_a_generator_may_be_left()
    for i in comm:share(numbers(100000)) do if i >= 10 then break end end
    lu.assertEquals(comm:allreduce(1), size)
end

TestRandom = {}

function TestRandom:test_any_calls_one_after_another()
    local random_maps = dofile "tests/random_maps.lua"
    for seed = 1, 4 do random_maps(150, seed) end
end

os.exit(lu.run())
