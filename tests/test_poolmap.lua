-- Maps whose function and items come from rank 0 of a pool.
local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message, raised, pooled = support.message, support.raised, support.pooled
local rank, size = comm:rank(), comm:size()

TestMaps = {}

local function numbers(n)
    local list = {n = n}
    for i = 1, n do list[i] = i end
    return list
end

-- f(part) for the whole pool and for parts with and without rank 0.
local function on_parts(f)
    pooled(function (pool)
        f(pool)
        f(pool[0])
        f(pool[size - 1])
        if size > 2 then f(pool {2, 0}) f(pool {2, 1}) end
    end)
end

function TestMaps:test_results_come_in_order_from_any_part()
    on_parts(function (part)
        local factor = 10
        for _, n in ipairs {0, 1, 7, 100} do
            local results, info = part:map(function (x, i) return x * factor + i end, numbers(n))
            lu.assertEquals(results.n, n)
            for i = 1, n do lu.assertEquals(results[i], 11 * i) end
            lu.assertEquals(info.per_rank.n, part:size())
        end
        lu.assertEquals(part:map(function (x) return x < 3 and x or nil end, 4), {n = 4, 1, 2})
        -- only the ranks of the part work
        local member = {}
        for _, r in ipairs(part.ids) do member[r] = true end
        for _, r in ipairs(part:map(function () return comm:rank() end, 20)) do lu.assertTrue(member[r]) end
    end)
end

function TestMaps:test_items_may_be_an_array_or_come_from_a_generator()
    on_parts(function (part)
        lu.assertEquals(part:map(function (x) return x / 2 end, array.range(1, 9)), {n = 9, .5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5})
        local i = 0
        local results = part:map(function (x) return x * x end, function () i = i + 1 return i <= 30 and i or nil end)
        lu.assertEquals({results.n, results[30]}, {30, 900})
    end)
end

function TestMaps:test_options_go_to_the_map()
    on_parts(function (part)
        local into = array.zeros(20)
        lu.assertIs(part:map(function (x) return 2 * x end, 20, {into = into}), into)
        lu.assertTrue(into == array.range(2, 40, 2):as "float64")
        local results, info = part:map(function (x) if x == 3 then error("three", 0) end return x end, 5,
            {errors = "collect", trace = true})
        lu.assertEquals(results, {n = 5, 1, 2, nil, 4, 5})
        lu.assertEquals({info.errors[1].message, info.errors[1].index}, {"three", 3})
        local member = {}
        for _, r in ipairs(part.ids) do member[r] = true end
        for _, task in ipairs(info.tasks) do lu.assertTrue(member[task.rank]) end
        lu.assertEquals(message(part.map, part, print, 3, {to = 0}),
            "bad argument #3 to 'map' (option 'to': in a pool items come from rank 0, and results go there)")
        lu.assertEquals(message(part.map, part, nil, 3), "bad argument #1 to 'map' (function expected, got nil)")
        lu.assertEquals(message(part.imap, part, print, 3, 7), "bad argument #3 to 'imap' (table of options expected, got number)")
        lu.assertStrContains(tostring(raised(part.map, part, print, 3, {chunks = 3})), "unknown option 'chunks'")
        lu.assertStrContains(tostring(raised(part.map, part, print, true)), "items: list, array, count or generator expected, got boolean")
    end)
end

function TestMaps:test_starmap_calls_with_the_arguments_of_a_list()
    on_parts(function (part)
        lu.assertEquals(part:starmap(function (a, b, ...) return a .. tostring(b) .. select("#", ...) end,
            {{1, 2}, {n = 3, "x", nil, nil}, {"y", true, 1, 2}}), {n = 3, "120", "xnil1", "ytrue2"})
        lu.assertEquals(part:starmap(math.max, array.of {{1, 5}, {7, 2}}), {n = 2, 5, 7})
    end)
end

function TestMaps:test_imap_gives_each_result_once()
    on_parts(function (part)
        for _, ordered in ipairs {false, true} do
            for _, generated in ipairs {false, true} do
                local list, sum, last, k = numbers(50), 0, 0, 0
                local items = generated and function () k = k + 1 return list[k] end or list
                for i, x in part:imap(function (x) return x * x end, items, {ordered = ordered}) do
                    lu.assertEquals(x, i * i)
                    if ordered then lu.assertEquals(i, last + 1) end
                    sum, last = sum + i, i
                end
                lu.assertEquals(sum, 1275)
            end
        end
        for _ in part:imap(print, 0) do lu.fail("there is none") end
        for i, x in part:imap(function () return nil end, 1) do lu.assertEquals({i, x}, {1, nil}) end
    end)
end

function TestMaps:test_a_loop_may_be_left_and_its_error_is_the_bodys()
    on_parts(function (part)
        for i in part:imap(function (x) return x end, 100) do
            if i > 0 then break end
        end
        local problem = {}
        lu.assertIs(raised(function ()
            for _ in part:imap(function (x) return x end, 100) do error(problem) end
        end), problem)
        lu.assertEquals(part:call(function () return 1 end).n, part:size())
    end)
    -- left open, it ends with the pool
    pooled(function (pool) pool:imap(function (x) return x end, 100)() end)
    lu.assertEquals(comm:allreduce(1), size)
end

function TestMaps:test_a_loop_with_rank_0_refuses_another_one_and_goes_on()
    local function same(x) return x end
    pooled(function (pool)
        local other = size > 2 and pool{0, 2} or pool[0]
        local seen = {}
        for i, x in (size > 1 and pool{0, 1} or pool):imap(same, 6) do
            seen[i] = x
            for _, call in ipairs {"imap", "map", "call"} do
                lu.assertEquals(message(other[call], other, same, 3), ("pool:%s: an imap has not ended on rank 0"):format(call))
            end
        end
        lu.assertEquals(seen, {1, 2, 3, 4, 5, 6})
        lu.assertEquals(pool:map(same, 3), {n = 3, 1, 2, 3})
    end)
end

function TestMaps:test_a_loop_does_not_go_on_after_the_pool()
    local function same(x) return x end
    local steps = {}
    pooled(function (pool)
        steps[1] = pool:imap(same, 100)
        steps[1]()
    end)
    pooled(function (pool)
        steps[2] = pool:imap(same, 3)
        for _ in steps[2] do end
        lu.assertNil(steps[2]())
    end)
    pooled(function (pool)
        steps[3] = pool[size - 1]:imap(same, 100)
        steps[3]()
    end)
    for _, step in ipairs(steps) do lu.assertEquals(message(step), "pool:imap: the pool has ended") end
end

function TestMaps:test_a_task_or_generator_that_yields_raises_on_rank_0_too()
    pooled(function (pool)
        local map = coroutine.wrap(function () return pcall(pool.map, pool, coroutine.yield, 6) end)
        local loop = coroutine.wrap(function () return pcall(function () for _ in pool:imap(print, coroutine.yield) do end end) end)
        for _, run in ipairs {map, loop} do
            local fine, problem = run()
            lu.assertFalse(fine)
            lu.assertStrContains(problem.message, "attempt to yield")
        end
        lu.assertEquals(pool:map(math.abs, {-1}), {n = 1, 1})
    end)
end

function TestMaps:test_a_task_that_fails_while_its_loop_is_left_raises()
    lu.ranks(2)
    pooled(function (pool)
        local part, path = pool{size - 1, 0}, os.tmpname()
        local function say(text) io.open(path, "w"):write(text):close() end
        local function await(text)
            while io.open(path):read "a" ~= text do mpi.sleep(0.001) end
        end
        local failed = raised(function ()
            local function task(i)
                if comm:rank() == 0 then return i end
                await "in the body"
                say "about to fail"
                error("boom", 0)
            end
            for _ in part:imap(task, 1000, {chunk = 1}) do
                say "in the body"
                await "about to fail"
                break
            end
        end)
        os.remove(path)
        lu.assertEquals({failed.message, failed.rank}, {"boom", size - 1})
    end)
end

function TestMaps:test_a_wait_for_ranks_that_are_at_a_loop_raises()
    lu.ranks(2)
    local function same(x) return x end
    pooled(function (pool)
        for _, ordered in ipairs {true, false} do
            local part = pool[1]:imap(same, 100, {ordered = ordered})
            lu.assertEquals({part()}, {1, 1})
            for _ in pool:imap(same, 10) do
                local task, other = pool[1]:submit(math.abs, -1), pool[0]:submit(math.abs, -2)
                lu.assertEquals(message(task.get, task), "future:get: an imap has not ended on rank 1")
                lu.assertEquals(message(task.get, task, 0.001), "timeout")
                local next_one = mpi.as_completed {task, other}
                lu.assertIs(next_one(), other)
                lu.assertEquals(message(next_one), "mpi.as_completed: an imap has not ended on rank 1")
                task:cancel()
                lu.assertIs(next_one(), task)
                lu.assertNil(next_one())
                local fine, i, problem = true, 1, nil
                while fine do
                    fine, problem = pcall(part)
                    i = fine and problem or i
                end
                lu.assertStrMatches(problem, ".*pool:imap: an imap has not ended on rank 1")
                lu.assertTrue(i < 100)
                break
            end
            local last = 1
            for i in part do last = math.max(last, i) end
            lu.assertEquals(last, 100)
        end
    end)
end

-- Rank 0 takes in what comes between any two instructions, also while it is the last one to make a part's communicator.
function TestMaps:test_making_the_communicator_of_a_part_is_no_message_of_the_pool()
    local serve, ids = require "mpi.serve", {}
    for r = 0, size - 1 do ids[r + 1] = r end
    local own <close> = comm:dup()
    if rank == 0 then lu.assertNil(serve.wait(own, "mpi.pool", 0.2)) end
    local group <close> = serve.group(own, ids)
    lu.assertEquals(group:allreduce(1), size)
end

function TestMaps:test_an_error_in_a_task_has_its_index()
    on_parts(function (part)
        for _, call in ipairs {"map", "starmap"} do
            local e = raised(part[call], part, function (x) if x == 7 then error("seven", 0) end end,
                call == "map" and 10 or {{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}})
            lu.assertEquals({e.message, e.index}, {"seven", 7})
            local member = {}
            for _, r in ipairs(part.ids) do member[r] = true end
            lu.assertTrue(member[e.rank])
        end
        local e = raised(function ()
            for _ in part:imap(function (x) if x == 7 then error("seven", 0) end end, 10) do end
        end)
        lu.assertEquals({e.message, e.index}, {"seven", 7})
        lu.assertEquals(part:map(function (x) return x end, 3), {n = 3, 1, 2, 3})
    end)
end

function TestMaps:test_what_cannot_be_sent_to_a_map_is_named()
    pooled(function (pool)
        local co = coroutine.create(print)
        lu.assertEquals(message(pool.map, pool, function () return co end, 3), "cannot send a thread at value.f (upvalue 'co')")
        if size > 1 then lu.assertStrContains(raised(pool.map, pool, print, {1, co}), "cannot send a thread at items[2]") end
        lu.assertEquals(pool:map(function (x) return x end, 3), {n = 3, 1, 2, 3})
    end)
end

function TestMaps:test_random_numbers_depend_on_the_seed_alone()
    local seen
    on_parts(function (part)
        local function draw() return math.random(1 << 40) end
        local results = part:map(draw, 10, {seed = 7})
        seen = seen or results
        lu.assertEquals(results, seen)
        for i, x in part:imap(draw, 10, {seed = 7}) do lu.assertEquals(x, seen[i]) end
    end)
end

function TestMaps:test_tasks_in_isolation_may_crash()
    on_parts(function (part)
        local function task(x) return x == 3 and os.execute "kill -SEGV $PPID; sleep 10" or x end
        local opts = {isolate = true, tries = 1}
        local function text(...) return tostring(raised(...)) end
        local reason = "killed by signal 11 (Segmentation fault)"
        local results, info = part:map(task, 5, {isolate = true, tries = 1, errors = "collect"})
        lu.assertEquals({results[2], results[3], #info.errors, info.errors[1].message}, {2, nil, 1, reason})
        lu.assertStrContains(text(part.map, part, task, 5, opts), reason)
        lu.assertStrContains(text(function () for _ in part:imap(task, 5, opts) do end end), reason)
        local sum = 0
        for _, x in part:imap(function (x) return x end, 10, opts) do sum = sum + x end
        lu.assertEquals(sum, 55)
        lu.assertStrContains(text(part.imap, part, task, 5, {isolate = true, memory = "much"}), "much")
        lu.assertStrContains(text(part.map, part, function () return comm:rank() + comm:allreduce(1) end, 2, opts),
            "a task in isolation cannot communicate")
    end)
end

function TestMaps:test_a_journal_keeps_what_was_done()
    local path = comm:bcast(comm:rank() == 0 and os.tmpname() or nil)
    on_parts(function (part)
        os.remove(path)
        local function task(x) return x * x end
        lu.assertEquals(part:map(task, 20, {journal = path})[20], 400)
        lu.assertEquals(part:map(error, 20, {journal = path})[20], 400)
    end)
    os.remove(path)
end

function TestMaps:test_submitted_tasks_and_maps_get_along()
    pooled(function (pool)
        local futures = {}
        for i = 1, 20 do futures[i] = pool:submit(function (k) return k end, i) end
        lu.assertEquals(pool:map(function (x) return x end, 50).n, 50)
        for i = 1, 20 do lu.assertEquals(futures[i]:get(), i) end
        if size > 1 then
            for _ in pool:imap(function (x) return x end, 50) do
                lu.assertEquals(message(pool.map, pool, print, 3), "pool:map: an imap has not ended on rank 0")
                lu.assertEquals(message(pool[1].call, pool[1], print), "pool:call: an imap has not ended on rank 1")
                local future = pool[1]:submit(math.abs, -1)
                lu.assertFalse(future:wait(0))
                lu.assertTrue(future:cancel())
                break
            end
        end
        _G.the_pool = pool
        lu.assertStrContains(tostring(raised(pool[0].map, pool[0], function () the_pool:size() the_pool:submit(print) end, 1)),
            "pool:submit: a task cannot use its pool")
        _G.the_pool = nil
    end)
end

os.exit(lu.run())
