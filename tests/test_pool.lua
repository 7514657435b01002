local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message, raised, pooled = support.message, support.raised, support.pooled
local rank, size = comm:rank(), comm:size()

-- Every rank's value in one list, from what a function gives for a rank.
local function by_rank(f)
    local list = {n = size}
    for r = 0, size - 1 do list[r + 1] = f(r) end
    return list
end

TestPool = {}

function TestPool:test_it_runs_on_rank_0_and_returns_there_what_the_function_returns()
    local got = table.pack(mpi.pool(function (pool)
        lu.assertEquals(pool:size(), size)
        return rank, nil, "end", nil
    end))
    if rank == 0 then lu.assertEquals(got, {n = 4, 0, nil, "end", nil})
    else lu.assertEquals(got, {n = 0})
    end
    lu.assertEquals(comm:allreduce(1), size)
end

function TestPool:test_an_error_of_the_function_raises_on_every_rank()
    lu.assertEquals(message(mpi.pool, function () error "boom" end), "boom")
    lu.assertEquals(table.pack(pcall(mpi.pool, function () error(nil) end)), {n = 2, false})
    local fine, problem = pcall(mpi.pool, function () error {code = 3} end)
    lu.assertFalse(fine)
    lu.assertEquals(problem, {code = 3})
    local fine, problem = pcall(mpi.pool, function () error(coroutine.create(print)) end)
    lu.assertFalse(fine)
    if rank > 0 then lu.assertEquals(problem, "(error object is a thread value)") end
    lu.assertEquals(comm:allreduce(1), size)
end

function TestPool:test_a_coroutine_that_is_closed_ends_the_pool()
    local co = coroutine.create(function () mpi.pool(coroutine.yield) end)
    lu.assertTrue(coroutine.resume(co))
    lu.assertTrue(coroutine.close(co))
    lu.assertEquals(comm:allreduce(1), size)
end

function TestPool:test_wrong_arguments_are_refused()
    lu.assertEquals(message(mpi.pool), "bad argument #1 to 'pool' (function expected, got nil)")
    lu.assertEquals(message(mpi.pool, print, {}), "bad argument #2 to 'pool' (mpi.comm expected, got table)")
    pooled(function (pool)
        lu.assertEquals(message(pool.submit, pool, 7), "bad argument #1 to 'submit' (function expected, got number)")
        lu.assertEquals(message(pool.call, pool), "bad argument #1 to 'call' (function expected, got nil)")
        lu.assertEquals(message(pool.exec, pool, print), "bad argument #1 to 'exec' (string expected, got function)")
        lu.assertStrContains(raised(pool.exec, pool, "x = = 1"), "exec:1: unexpected symbol near '='")
        lu.assertEquals(message(pool.push, pool, {7}), "bad argument #1 to 'push' (names expected, got a number)")
        lu.assertEquals(message(pool.scatter, pool, "x", 7), "bad argument #2 to 'scatter' (list or array expected, got number)")
        lu.assertEquals(message(function () return pool[size] end),
            ("%d is not a rank of this pool, which has %s"):format(size, size == 1 and "rank 0" or "ranks 0-" .. size - 1))
        lu.assertEquals(message(pool, {0, 0}), "rank 0 is listed twice")
        lu.assertEquals(message(pool, {}), "a list of ranks is expected, such as pool{0, 2}")
        lu.assertEquals(message(mpi.as_completed, {7}), "bad argument #1 to 'as_completed' (entry 1 is a number, no future)")
        local future = pool:submit(print)
        lu.assertEquals(message(future.get, future, "x"), "bad argument #1 to 'get' (seconds expected, got x)")
        lu.assertEquals(message(future.wait, future, -1), "bad argument #1 to 'wait' (seconds expected, got -1)")
    end)
end

function TestPool:test_pools_of_other_communicators()
    local half <close> = comm:split(rank % 2)
    local sum = mpi.pool(function (pool)
        local s = 0
        for _, r in ipairs(pool:call(function () return comm:rank() end)) do s = s + r end
        return s
    end, half)
    if half:rank() == 0 then
        local expected = 0
        for r = rank, size - 1, 2 do expected = expected + r end
        lu.assertEquals(sum, expected)
    end
    lu.assertEquals(mpi.pool(function (pool) return pool:submit(function () return 7 end):get() end, mpi.COMM_SELF), 7)
end

function TestPool:test_pools_in_pools()
    pooled(function (pool)
        lu.assertEquals(mpi.pool(function (inner) return inner:size() end, mpi.COMM_SELF), 1)
        if size > 1 then lu.assertStrContains(message(mpi.pool, print), "mpi.pool in the function of a pool") end
        -- in a call all ranks run the same, so a pool of all of them can be used there
        local sizes = pool:call(function ()
            return mpi.pool(function (inner) return #inner:call(function () return 1 end) end) or false
        end)
        lu.assertEquals(sizes, by_rank(function (r) return r == 0 and size end))
        lu.assertEquals(pool:submit(function ()
            return mpi.pool(function (inner) return inner:submit(function () return "inner" end):get() end, mpi.COMM_SELF)
        end):get(), "inner")
    end)
end

function TestPool:test_a_task_cannot_use_its_pool()
    pooled(function (pool)
        local future
        _G.the_pool, _G.the_future = pool, pool:submit(print)
        lu.assertEquals(message(pool[0].call, pool[0], function () the_pool:submit(print) end),
            "pool:submit: a task cannot use its pool  [rank 0]")
        local queued = pool[0]:submit(print)
        _G.the_future = queued
        lu.assertEquals(message(pool[0].call, pool[0], function () the_future:get() end),
            "future:get: a task cannot use its pool  [rank 0]")
        lu.assertStrContains(message(pool.call, pool, function () return pool end),
            "a task cannot use its pool or a future, which is at value.f (upvalue 'pool')")
        _G.the_pool, _G.the_future = nil, nil
    end)
end

function TestPool:test_after_its_end_it_cannot_be_used_but_futures_keep_their_results()
    local kept
    pooled(function (pool)
        kept = {pool = pool, done = pool:submit(function () return 7 end)}
        kept.done:wait()
        kept.open = pool[0]:submit(print)
    end)
    if rank > 0 then return end
    lu.assertEquals(message(kept.pool.submit, kept.pool, print), "pool:submit: the pool has ended")
    lu.assertEquals(kept.done:get(), 7)
    lu.assertEquals(message(kept.open.get, kept.open), "cancelled")
end

TestParts = {}

function TestParts:test_call_gives_each_ranks_first_result()
    pooled(function (pool)
        lu.assertEquals(pool:call(function (a, b) return comm:rank() * a + b, "not this" end, 10, 1),
            by_rank(function (r) return 10 * r + 1 end))
        lu.assertEquals(pool:call(function () end), {n = size})
        lu.assertEquals(pool:call(function (...) return select("#", ...) end, nil, nil), by_rank(function () return 2 end))
        -- the ranks are in it together
        lu.assertEquals(pool:call(function () return comm:allreduce(1) end), by_rank(function () return size end))
    end)
end

function TestParts:test_parts_have_the_same_methods_on_some_ranks()
    pooled(function (pool)
        local last = size - 1
        lu.assertEquals(pool.ids, table.pack(table.unpack(by_rank(function (r) return r end), 1, size)).n and pool.ids)
        for r = 0, last do
            lu.assertEquals(pool[r]:size(), 1)
            lu.assertEquals(pool[r].ids, {r})
            lu.assertEquals(pool[r]:call(function () return comm:rank() end), {n = 1, r})
            lu.assertEquals(pool[r]:submit(function () return comm:rank() end):get(), r)
        end
        if size == 1 then return end
        local two = pool {last, 0}
        lu.assertEquals(two.ids, {last, 0})
        lu.assertEquals(two:call(function () return comm:rank() end), {n = 2, last, 0})
        lu.assertEquals(tostring(two[last]), "mpi.pool (rank " .. last .. ")")
        two:push {only_two = 7}
        lu.assertEquals(pool:pull "only_two", by_rank(function (r) return (r == 0 or r == last) and 7 or nil end))
        pool:push {only_two = false}
        for _ = 1, 10 do
            local future = two:submit(function () return comm:rank() end)
            local got = future:get()
            lu.assertTrue(got == 0 or got == last)
            lu.assertEquals(future.rank, got)
        end
    end)
end

function TestParts:test_push_pull_and_exec_work_on_globals()
    pooled(function (pool)
        pool:push {a = 1, t = {u = {v = "deep"}}}
        lu.assertEquals(pool:pull "a", by_rank(function () return 1 end))
        lu.assertEquals(pool:pull "t.u.v", by_rank(function () return "deep" end))
        pool:push {["t.u.w"] = 2}
        lu.assertEquals(pool:pull "t.u", by_rank(function () return {v = "deep", w = 2} end))
        lu.assertEquals(pool:exec "a = a + comm:rank() return a", by_rank(function (r) return 1 + r end))
        lu.assertEquals(pool:pull "a", by_rank(function (r) return 1 + r end))
        lu.assertStrContains(message(pool.pull, pool, "t.none.x"), "cannot pull t.none.x: t.none is a nil value  [rank")
        lu.assertStrContains(message(pool.push, pool, {["a.b"] = 1}), "cannot push a.b: a is a number value  [rank")
        pool:exec "a, t = nil"
    end)
end

function TestParts:test_scatter_and_gather_of_lists()
    pooled(function (pool)
        for _, n in ipairs {0, 1, size, 10} do
            local list = {}
            for i = 1, n do list[i] = i * i end
            pool:scatter("block", list)
            lu.assertEquals(pool:gather "block", list)
            local from = 0
            lu.assertEquals(pool:pull "block", by_rank(function (r)
                local length = n // size + (r < n % size and 1 or 0)
                from = from + length
                return table.move(list, from - length + 1, from, 1, {})
            end))
        end
        pool:exec "block = comm:rank() == 0 and {1} or 7"
        if size > 1 then lu.assertEquals(message(pool.gather, pool, "block"), "gather: block is a number on rank 1, not a list") end
        lu.assertEquals(message(pool.gather, pool, "none"), "gather: none is a nil on rank 0, not a list or an array")
        pool:exec "block = nil"
    end)
end

function TestParts:test_scatter_and_gather_of_arrays()
    pooled(function (pool)
        for _, n in ipairs {1, size, 10} do
            local a = array.range(1, 3 * n):reshape {n, 3}
            pool:scatter("rows", a)
            lu.assertEquals(pool:call(function () return (rows:shape()) end), by_rank(function (r)
                return n // size + (r < n % size and 1 or 0)
            end))
            lu.assertTrue(pool:gather "rows" == a)
            pool:exec "rows:mul_(2)"
            lu.assertTrue(pool:gather "rows" == a * 2)
        end
        pool:exec "rows = nil"
    end)
end

function TestParts:test_closures_that_share_a_local_still_share_it()
    pooled(function (pool)
        local count = 0
        local function up() count = count + 1 return count end
        local function get() return count end
        lu.assertEquals(pool:call(function () up() up() return get() end), by_rank(function () return 2 end))
        lu.assertEquals(pool:submit(function (f, g) f() return g() end, up, get):get(), 1)
        lu.assertEquals(count, 0) -- they were copies, on rank 0 too
    end)
end

function TestParts:test_what_cannot_be_sent_is_named()
    pooled(function (pool)
        local thread = coroutine.create(print)
        local function bad() return thread end
        for _, name in ipairs {"submit", "call"} do
            lu.assertEquals(message(pool[name], pool, bad), "cannot send a thread at value.f (upvalue 'thread')")
            lu.assertEquals(message(pool[name], pool, print, 1, {t = thread}), "cannot send a thread at value.args[2].t")
        end
        lu.assertEquals(message(pool.push, pool, {a = {thread}}), "cannot send a thread at value.args[1].a[1]")
        lu.assertStrContains(message(pool[size - 1].call, pool[size - 1], function () return coroutine.create(print) end),
            "a task's result: cannot send a thread at value[1]  [rank " .. size - 1 .. "]")
        lu.assertEquals(pool:submit(function () return 7 end):get(), 7)
    end)
end

TestErrors = {}

function TestErrors:test_equal_errors_are_told_once_with_their_ranks()
    pooled(function (pool)
        local all = size == 1 and "rank 0" or "ranks 0-" .. size - 1
        lu.assertEquals(tostring(raised(pool.exec, pool, "local y = z.x")),
            ("exec:1: attempt to index a nil value (global 'z')  [%s]"):format(all))
        lu.assertEquals(message(pool.call, pool, function () error(comm:rank() == 0 and "a" or "b", 0) end),
            size == 1 and "a  [rank 0]" or ("a  [rank 0]\nb  [%s]"):format(size == 2 and "rank 1" or "ranks 1-" .. size - 1))
        lu.assertEquals(message(pool.call, pool, function () if comm:rank() == comm:size() - 1 then error("last", 0) end end),
            ("last  [rank %d]"):format(size - 1))
        lu.assertEquals(pool:call(function () return 1 end), by_rank(function () return 1 end))
    end)
end

function TestErrors:test_an_error_has_message_traceback_rank_and_value()
    pooled(function (pool)
        local function inner() error {code = 7} end
        for _, part in ipairs {pool[0], pool[size - 1]} do
            local future = part:submit(function () inner() end)
            local fine, problem = pcall(future.get, future)
            lu.assertFalse(fine)
            lu.assertEquals(problem.message, "(error object is a table value)")
            lu.assertEquals(problem.value, {code = 7})
            lu.assertEquals(problem.rank, part.ids[1])
            lu.assertStrMatches(problem.traceback, ".*in upvalue 'inner'.*")
            lu.assertNotStrContains(problem.traceback, "mpi/pool")
            lu.assertEquals(tostring(problem), ("(error object is a table value)  [rank %d]"):format(part.ids[1]))
            -- asked again, it is the same
            lu.assertIs(select(2, pcall(future.get, future)), problem)
        end
    end)
end

function TestErrors:test_an_error_that_ends_a_loop_or_pool_in_a_task_keeps_its_message_and_value()
    local dup <close> = comm:dup()
    other = dup
    pooled(function (pool)
        local function share(problem)
            local function inner() error(problem, 0) end
            for _ in other:share(10) do inner() end
        end
        local function imap(problem)
            for _ in other:imap(math.abs, 10) do error(problem, 0) end
        end
        local function all(problem) mpi.pool(function () error(problem, 0) end, other) end
        for _, task in ipairs {share, imap, all} do
            local text = raised(pool.call, pool, task, "boom")
            for _, e in ipairs(text.errors) do lu.assertStrMatches(e.message, "boom.*") end
            if task == share then lu.assertStrContains(text.value.traceback, "in local 'inner'") end
            local value = raised(pool.call, pool, task, {code = 7})
            for _, e in ipairs(value.errors) do lu.assertEquals((e.value.value or e.value).code, 7) end
        end
    end)
    other = nil
end

function TestErrors:test_a_mistake_is_told_at_the_scripts_line()
    pooled(function (pool)
        local future = pool:submit(math.abs, 1)
        local function told(f) return raised(function () f() return nil end) end
        lu.assertStrMatches(told(function () future.get() end),
            "tests/test_pool.lua:%d+: bad argument #1 to 'get' %(mpi.future expected, got nil; a method is called with a colon, as future:get%(…%)%)")
        for _, name in ipairs {"map", "imap", "starmap", "submit", "call", "size"} do
            lu.assertStrMatches(told(function () pool[name](print, {1}) end), "tests/test_pool.lua:%d+: bad argument #1 to '" .. name
                .. "' %(mpi.pool expected, got function; a method is called with a colon, as pool:" .. name .. "%(…%)%)")
        end
        lu.assertStrMatches(told(function () return future:get "x" end), "tests/test_pool.lua:%d+: bad argument #1 to 'get' .*")
        local problem = raised(pool.starmap, pool, math.max, {1, 2})
        lu.assertEquals(problem.message, "starmap: the item is a number, not a list of arguments")
        future = pool:submit(math.sqrt)
        lu.assertEquals(raised(future.get, future).message, "bad argument #1 to 'math.sqrt' (number expected, got no value)")
    end)
end

function TestErrors:test_unknown_options_are_told_with_those_a_pool_takes()
    pooled(function (pool)
        lu.assertEquals(message(pool.imap, pool, print, 3, {chunks = 1}), "bad argument #3 to 'imap' (unknown option 'chunks'; known are: "
            .. "ordered schedule chunk seed progress ahead isolate memory timeout tries)")
    end)
end

function TestErrors:test_a_task_that_has_its_pool_or_a_future_is_told_so()
    pooled(function (pool)
        local future = pool:submit(math.abs, 1)
        local function uses_future() return future:get() end
        for _, part in ipairs {pool, pool[size - 1]} do
            lu.assertEquals(message(part.map, part, function () return pool:size() end, 3),
                "a task cannot use its pool or a future, which is at value.f (upvalue 'pool')")
            lu.assertEquals(message(part.submit, part, uses_future),
                "a task cannot use its pool or a future, which is at value.f (upvalue 'future')")
            lu.assertStrContains(message(function () for _ in part:imap(uses_future, 2) do end end), "a task cannot use its pool or a future")
            lu.assertStrContains(message(part.submit, part, print, setmetatable({}, {})), "a table with a metatable that mpi.register has not named")
        end
        future:get()
    end)
end

os.exit(lu.run())
