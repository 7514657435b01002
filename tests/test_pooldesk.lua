-- Submitted tasks and their futures.
local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local raised, pooled = support.raised, support.pooled
local rank, size = comm:rank(), comm:size()

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
        local function receiving(path)
            io.open(path, "w"):close()
            comm:recv(0, 9)
        end
        for _, f in ipairs {busy, asleep, threaded, receiving} do
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

function TestFutures:test_a_loop_that_was_given_up_with_its_task_takes_nothing_any_more()
    lu.ranks(2)
    with_gate(function (pool, gate)
        local future = pool[1]:submit(function (path)
            left = {own = mpi.COMM_SELF:dup()}
            left.next, _, _, left.loop = left.own:share(10)
            left.next()
            io.open(path, "w"):close()
            while true do end
        end, gate)
        until_there(gate)
        future:cancel()
        local seen = pool[1]:call(function ()
            local function use()
                local fine, text = pcall(left.next)
                local closed, problem = pcall(getmetatable(left.loop).__close, left.loop)
                return {fine, text:match ": (.*)", closed, problem:match ": (.*)"}
            end
            local seen, n = {}, 0
            for i in left.own:share(100) do
                n = n + 1
                if i == 5 then seen[1] = use() end
            end
            seen[2] = use()
            left.own:free()
            seen[3], left = use(), nil
            return {n, seen}
        end)[1]
        local refused = "comm:share was given up, with its task or its communicator"
        local each = {false, refused, false, refused}
        lu.assertEquals(seen, {100, {each, each, each}})
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

-- Calls f() at the first `most` instructions of the pool's own, as a finalizer is called at some of them.
local function in_the_midst(most, f)
    debug.sethook(function ()
        if most == 0 or debug.getinfo(2, "S").source ~= "@mpi/pooldesk.lua" then return end
        most = most - 1
        f(most)
    end, "", 1)
end

function TestFutures:test_finalizers_and_hooks_may_submit_and_cancel_at_any_time()
    lu.ranks(2)
    pooled(function (pool)
        local others, dropped, futures = {}, {}, {}
        in_the_midst(300, function (k)
            if k % 3 > 0 then others[#others + 1] = pool[k % size]:submit(math.abs, -#others - 1)
            else
                local future = pool:submit(until_there, "never there")
                dropped[#dropped + 1] = {future, future:cancel()}
            end
        end)
        for i = 1, 10 do futures[i] = pool[size - 1]:submit(math.abs, -i) end
        for i, future in ipairs(futures) do lu.assertEquals(future:get(), i) end
        debug.sethook()
        lu.assertEquals({#others, #dropped}, {200, 100})
        for i, future in ipairs(others) do lu.assertEquals(future:get(), i) end
        for _, entry in ipairs(dropped) do
            lu.assertTrue(entry[2])
            lu.assertEquals(raised(entry[1].get, entry[1]), "cancelled")
        end
    end)
end

function TestFutures:test_a_finalizer_or_hook_cannot_wait_while_the_pool_is_at_work()
    lu.ranks(2)
    with_gate(function (pool, gate)
        local told = {}
        local blocked = pool[1]:submit(until_there, gate)
        in_the_midst(300, function ()
            if blocked.desk.turning then
                told[select(2, pcall(blocked.get, blocked)):match ": (.*)"] = true
                told[select(2, pcall(pool.call, pool, print)):match ": (.*)"] = true
                if blocked:done() then told.done = true end
            end
        end)
        pool:submit(math.abs, -1):wait(0)
        debug.sethook()
        touch(gate)
        blocked:get()
        lu.assertEquals(told, {["future:get: the pool is at work, and a finalizer or hook cannot wait for it"] = true,
                               ["pool:call: the pool is at work, and a finalizer or hook cannot wait for it"] = true})
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

TestInnerPools = {}

-- f(pool, path) as with_gate does, while `pair` is a communicator of ranks 1 and 2, there.
local function with_pair(f)
    lu.ranks(3)
    pair = comm:subset{1, 2}
    local fine, problem = pcall(with_gate, f)
    if pair then pair:free() end
    pair = nil
    pooled(function (pool) lu.assertEquals(pool:call(math.abs, -1).n, size) end)
    if not fine then error(problem, 0) end
end

local function follow() mpi.pool(function () end, pair) end

function TestInnerPools:test_all_of_its_ranks_may_be_cancelled()
    with_pair(function (pool, gate)
        pool[1]:submit(function (path)
            mpi.pool(function ()
                io.open(path, "w"):close()
                while true do end
            end, pair)
        end, gate)
        pool[2]:submit(follow)
        until_there(gate)
    end)
end

function TestInnerPools:test_rank_0_learns_that_another_one_was_cancelled()
    with_pair(function (pool, gate)
        local leader = pool[1]:submit(function (begun)
            return mpi.pool(function (inner)
                local futures = {inner[1]:submit(function () while true do end end)}
                io.open(begun, "w"):close()
                while io.open(begun) do mpi.sleep(0.002) end
                for i = 2, 3 do futures[i] = inner[1]:submit(math.abs, -1) end
                local told = {}
                for i, future in ipairs(futures) do told[i] = tostring(select(2, pcall(future.get, future))) end
                told[4] = tostring(select(2, pcall(inner.call, inner, math.abs, -1)))
                return told
            end, pair)
        end, gate)
        local follower = pool[2]:submit(follow)
        until_there(gate)
        lu.assertTrue(follower:cancel())
        pool[2]:submit(math.abs, -1):get()
        os.remove(gate)
        local gone, told = "the rank has left the pool: its task was cancelled  [rank 1]", leader:get()
        lu.assertStrMatches(told[1], ".*cancelled  %[rank 1]") -- its result may come before it leaves, or not
        lu.assertEquals({told[2], told[3], told[4]}, {gone, gone, gone})
    end)
end

function TestInnerPools:test_others_learn_that_rank_0_was_cancelled_whatever_they_do()
    with_pair(function (pool, gate)
        local leader = pool[1]:submit(function (begun)
            mpi.pool(function (inner)
                inner[1]:call(function ()
                    -- handlers run to their end
                    xpcall(error, function ()
                        io.open(begun, "w"):close()
                        while io.open(begun) do mpi.sleep(0.002) end
                    end)
                end)
            end, pair)
        end, gate)
        local follower = pool[2]:submit(follow)
        until_there(gate)
        lu.assertTrue(leader:cancel())
        lu.assertEquals(pool[1]:submit(math.abs, -1):get(), 1)
        os.remove(gate)
        lu.assertEquals(raised(follower.get, follower).message,
            "mpi.pool: rank 0 was in a task that was cancelled inside the pool's function")
    end)
end

os.exit(lu.run())
