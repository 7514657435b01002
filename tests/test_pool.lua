local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message = support.message
local rank, size = comm:rank(), comm:size()

-- Runs f(pool) on rank 0, which alone raises what fails there.
local function pooled(f)
    local problem
    mpi.pool(function (pool)
        local fine, raised = pcall(f, pool)
        if not fine then problem = raised end
    end)
    if problem then error(problem, 0) end
end

-- What f(...) raises.
local function raised(f, ...)
    local fine, problem = pcall(f, ...)
    lu.assertFalse(fine)
    return problem
end

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

TestFutures = {}

function TestFutures:test_get_gives_all_results_again_and_again()
    pooled(function (pool)
        local future = pool:submit(function (...) return ... end, 1, nil, {2}, nil)
        lu.assertEquals(table.pack(future:get()), {n = 4, 1, nil, {2}, nil})
        lu.assertEquals(table.pack(future:get()), {n = 4, 1, nil, {2}, nil})
        lu.assertTrue(future:done())
        lu.assertTrue(future:wait())
        lu.assertTrue(future:wait(0))
        lu.assertTrue(future.t0 >= 0 and future.t1 >= future.t0)
        lu.assertEquals(tostring(future), "mpi.future (done on rank " .. future.rank .. ")")
        lu.assertEquals(table.pack(pool:submit(function () end):get()), {n = 0})
    end)
end

function TestFutures:test_arguments_and_results_of_any_size()
    pooled(function (pool)
        local futures, long = {}, ("x"):rep(1000000)
        for i = 1, 3 * size do futures[i] = pool:submit(function (s, k) return s .. k, comm:rank() end, long, i) end
        for i = 3 * size, 1, -1 do lu.assertTrue((futures[i]:get()) == long .. i) end
    end)
end

function TestFutures:test_a_thousand_tasks_are_each_done_once()
    pooled(function (pool)
        local futures, seen = {}, {}
        for i = 1, 1000 do futures[i] = pool:submit(function (k) return k end, i) end
        for future in mpi.as_completed(futures) do
            local k = future:get()
            lu.assertNil(seen[k])
            seen[k] = true
        end
        lu.assertEquals(#seen, 1000)
    end)
end

-- Holds the rank that runs it until a file is there.
local function until_there(path)
    local file
    repeat
        mpi.sleep(0.002)
        file = io.open(path)
    until file
    file:close()
end

local function touch(path) io.open(path, "w"):close() end

-- f(pool, path) with a path that no file has yet, removed afterwards.
local function with_gate(f)
    pooled(function (pool)
        local path = os.tmpname()
        os.remove(path)
        local fine, problem = pcall(f, pool, path)
        os.remove(path)
        if not fine then error(problem, 0) end
    end)
end

function TestFutures:test_as_completed_gives_them_in_the_order_they_end()
    if size == 1 then -- where it is the order in which they are done
        return pooled(function (pool)
            local a, b, order = pool:submit(print), pool:submit(math.abs, 1), {}
            lu.assertEquals(b:get(), 1)
            for future in mpi.as_completed {a, b} do table.insert(order, future) end
            lu.assertIs(order[1], b)
            lu.assertIs(order[2], a)
        end)
    end
    with_gate(function (pool, gate)
        local slow, quick = pool[1]:submit(until_there, gate), pool[0]:submit(math.abs, -7)
        local order = {}
        for future in mpi.as_completed {slow, quick} do
            table.insert(order, future)
            touch(gate)
        end
        lu.assertIs(order[1], quick)
        lu.assertIs(order[2], slow)
        lu.assertEquals(#order, 2)
        for _ in mpi.as_completed {} do lu.fail("there is none") end
        -- an iterator that is left does no harm
        for _ in mpi.as_completed {pool:submit(math.abs, 1), pool:submit(math.abs, 2)} do break end
    end)
end

function TestFutures:test_a_limited_wait_ends()
    lu.ranks(2)
    with_gate(function (pool, gate)
        local future = pool[1]:submit(until_there, gate)
        lu.assertFalse(future:wait(0.01))
        lu.assertFalse(future:done())
        lu.assertEquals(select(2, pcall(future.get, future, 0.01)), "timeout")
        lu.assertEquals(select(2, pcall(future.get, future, 0)), "timeout")
        touch(gate)
        lu.assertEquals(table.pack(future:get()).n, 0)
    end)
end

function TestFutures:test_what_only_rank_0_can_do_is_done_when_it_is_asked_for()
    pooled(function (pool)
        lu.assertTrue(pool[0]:submit(math.abs, 1):done())
        lu.assertTrue(pool[0]:submit(math.abs, 1):wait(0))
        lu.assertEquals(pool[0]:submit(math.abs, -3):get(0), 3)
    end)
end

function TestFutures:test_a_queued_task_can_be_cancelled()
    pooled(function (pool)
        local future = pool[0]:submit(error, "never runs")
        lu.assertTrue(future:cancel())
        lu.assertFalse(future:cancel())
        lu.assertTrue(future:done())
        lu.assertEquals(raised(future.get, future), "cancelled")
        lu.assertEquals(tostring(future), "mpi.future (cancelled)")
        local finished = pool:submit(math.abs, -1)
        lu.assertEquals(finished:get(), 1)
        lu.assertFalse(finished:cancel())
        lu.assertEquals(finished:get(), 1)
    end)
end

function TestFutures:test_a_task_behind_a_running_one_can_be_cancelled()
    lu.ranks(2)
    with_gate(function (pool, gate)
        local first = pool[1]:submit(until_there, gate)
        local futures = {}
        for i = 1, 4 do futures[i] = pool[1]:submit(function (k) ran = (ran or "") .. k end, i) end
        lu.assertTrue(futures[1]:cancel())
        lu.assertTrue(futures[3]:cancel())
        touch(gate)
        first:get()
        futures[4]:get()
        lu.assertEquals(pool[1]:pull "ran", {n = 1, "24"})
        pool[1]:push {ran = false}
    end)
end

function TestFutures:test_a_running_task_can_be_cancelled()
    lu.ranks(2)
    with_gate(function (pool, gate)
        local function busy(path)
            io.open(path, "w"):close()
            while true do
                for _ = 1, 1e5 do end
                pcall(function () while true do end end) -- catching it does not help
            end
        end
        local function asleep(path)
            io.open(path, "w"):close()
            mpi.sleep(1000)
        end
        local function threaded(path)
            io.open(path, "w"):close()
            coroutine.wrap(function () while true do end end)()
        end
        for _, f in ipairs {busy, asleep, threaded} do
            local future = pool[1]:submit(f, gate)
            until_there(gate)
            os.remove(gate)
            lu.assertTrue(future:cancel())
            lu.assertEquals(raised(future.get, future), "cancelled")
            lu.assertEquals(pool[1]:submit(math.abs, -5):get(), 5)
        end
    end)
end

-- Tasks that catch every error: (path of what tells that they run, n, f) loop for ever, n steps at a time, or call f, which
-- does.
local stubborn = {
    {"pcall of what does not end", function (path, n, f)
        io.open(path, "w"):close()
        while true do
            for _ = 1, n do end
            pcall(f)
        end
    end},
    {"pcall of all steps", function (path, n)
        io.open(path, "w"):close()
        while true do pcall(function () for _ = 1, n do end end) end
    end},
    {"calls in calls", function (path, n)
        io.open(path, "w"):close()
        local function call(deeper)
            while true do
                pcall(deeper, deeper)
                for _ = 1, n do end
            end
        end
        call(call)
    end},
    {"xpcall, and its handler", function (path, n, f)
        io.open(path, "w"):close()
        while true do
            for _ = 1, n do end
            xpcall(f, function (problem)
                for _ = 1, n do end
                return problem
            end)
        end
    end},
    {"coroutine.wrap", function (path, n, f)
        io.open(path, "w"):close()
        while true do
            for _ = 1, n do end
            pcall(coroutine.wrap(f))
        end
    end},
    {"coroutines that end by themselves", function (path, n)
        io.open(path, "w"):close()
        while true do coroutine.resume(coroutine.create(function () for _ = 1, n do end end)) end
    end},
    {"inside a coroutine", function (path, n, f)
        io.open(path, "w"):close()
        coroutine.wrap(function ()
            while true do
                for _ = 1, n do end
                pcall(f)
            end
        end)()
    end},
    {"closing a variable", function (path, n, f)
        io.open(path, "w"):close()
        local guard <close> = setmetatable({}, {__close = function ()
            while true do
                for _ = 1, n do end
                pcall(f)
            end
        end})
        f()
    end},
    {"closing a coroutine", function (path, n, f)
        local thread = coroutine.create(function ()
            local guard <close> = setmetatable({}, {__close = function ()
                while true do
                    for _ = 1, n do end
                    pcall(f)
                end
            end})
            coroutine.yield()
        end)
        coroutine.resume(thread)
        io.open(path, "w"):close()
        coroutine.close(thread)
    end},
    {"finalizers", function (path, n)
        io.open(path, "w"):close()
        while true do
            pcall(function ()
                setmetatable({}, {__gc = function () for _ = 1, n do end end})
                collectgarbage()
            end)
        end
    end},
    {"sleep", function (path, n)
        io.open(path, "w"):close()
        while true do
            pcall(mpi.sleep, 1000)
            for _ = 1, n do end
        end
    end},
}

function TestFutures:test_a_task_that_catches_every_error_can_be_cancelled()
    lu.ranks(2)
    with_gate(function (pool, gate)
        local function forever() while true do end end
        for _, kind in ipairs(stubborn) do
            for _, n in ipairs {1e3, 1e5} do
                local future = pool[1]:submit(kind[2], gate, n, forever)
                until_there(gate)
                os.remove(gate)
                lu.assertTrue(future:cancel(), kind[1])
                lu.assertEquals(pool[1]:submit(math.abs, -5):get(), 5)
            end
        end
    end)
end

function TestFutures:test_a_cancelled_task_has_a_moment_to_tidy_up()
    lu.ranks(2)
    with_gate(function (pool, gate)
        local function guarded(path)
            local guard <close> = setmetatable({}, {__close = function ()
                for _ = 1, 1e4 do end
                tidied = true
            end})
            io.open(path, "w"):close()
            while true do end
        end
        local future = pool[1]:submit(guarded, gate)
        until_there(gate)
        lu.assertTrue(future:cancel())
        lu.assertEquals(pool[1]:pull "tidied", {n = 1, true})
        pool[1]:push {tidied = false}
    end)
end

function TestFutures:test_maps_and_pools_that_a_cancelled_task_cannot_end_are_given_up()
    lu.ranks(2)
    local function caught() while true do pcall(function () for _ = 1, 1e3 do end end) end end
    local tasks = {
        function (path, f)
            for _ in mpi.COMM_SELF:share(3) do
                io.open(path, "w"):close()
                f()
            end
        end,
        function (path, f)
            for _ in mpi.COMM_SELF:imap(math.abs, 3) do
                io.open(path, "w"):close()
                f()
            end
        end,
        function (path, f)
            mpi.COMM_SELF:map(function ()
                io.open(path, "w"):close()
                f()
            end, 3)
        end,
        function (path, f)
            mpi.pool(function (pool)
                io.open(path, "w"):close()
                pool:call(f)
            end, mpi.COMM_SELF)
        end,
        function (path)
            io.open(path, "w"):close()
            while true do pcall(mpi.pool, function () end, mpi.COMM_SELF) end
        end,
        function (path)
            io.open(path, "w"):close()
            while true do pcall(function () for _ in mpi.COMM_SELF:share(3) do end end) end
        end,
    }
    with_gate(function (pool, gate)
        for _, task in ipairs(tasks) do
            local future = pool[1]:submit(task, gate, caught)
            until_there(gate)
            os.remove(gate)
            lu.assertTrue(future:cancel())
            local sum = pool[1]:submit(function ()
                local sum = mpi.COMM_SELF:mapreduce(function (i) return i end, 10)
                mpi.pool(function (own) sum = sum + own:submit(math.abs, -5):get() end, mpi.COMM_SELF)
                return sum
            end)
            lu.assertEquals(sum:get(), 60)
        end
        lu.assertEquals(pool:map(math.abs, {-1, -2, -3}), {n = 3, 1, 2, 3})
    end)
end

function TestFutures:test_open_futures_are_cancelled_at_the_end()
    lu.ranks(2)
    local futures = {}
    with_gate(function (pool, gate)
        futures[1] = pool[1]:submit(function (path)
            io.open(path, "w"):close()
            while true do end
        end, gate)
        for i = 2, 5 do futures[i] = pool[1]:submit(math.abs, i) end
        futures[6] = pool[0]:submit(math.abs, 6)
        until_there(gate)
    end)
    for _, future in ipairs(futures) do
        lu.assertTrue(future:done())
        lu.assertEquals(raised(future.get, future), "cancelled")
    end
end

function TestFutures:test_a_task_does_not_wait_behind_a_long_one_while_a_rank_is_free()
    lu.ranks(2)
    with_gate(function (pool, gate)
        -- more tasks than ranks: some wait behind the long ones, whose end one of the others brings
        local futures = {}
        for i = 1, size - 1 do futures[i] = pool:submit(until_there, gate) end
        local short = {}
        for i = 1, size - 1 do short[i] = pool:submit(math.abs, -i) end
        for i = 1, size - 1 do lu.assertEquals(short[i]:get(), i) end
        touch(gate)
        for i = 1, size - 1 do futures[i]:get() end
        for i = 1, size - 1 do lu.assertEquals(short[i].rank, 0) end
    end)
end

function TestFutures:test_other_ranks_go_on_while_rank_0_computes()
    lu.ranks(3)
    with_gate(function (pool, gate)
        -- the tasks of rank 1 end only when rank 0 keeps giving them, while it is itself in something long
        local others = {}
        for i = 1, 50 do others[i] = pool[1]:submit(math.abs, -i) end
        pool[1]:submit(touch, gate)
        until_there(gate)
        for i = 1, 50 do lu.assertTrue(others[i]:done()) end
        -- the same while rank 0 is in a task
        os.remove(gate)
        local own = pool[0]:submit(until_there, gate)
        for i = 1, 50 do others[i] = pool[1]:submit(math.abs, -i) end
        pool[1]:submit(touch, gate)
        own:get()
        lu.assertEquals(own.rank, 0)
    end)
end

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
                lu.assertEquals(message(pool.map, pool, print, 3), "pool:map: an imap has not ended on rank 1")
                lu.assertEquals(message(pool.call, pool, print), "pool:call: an imap has not ended on rank 1")
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
