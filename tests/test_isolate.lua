-- ranks: 1 2 4
local lu = require "mpi.luaunit"
local isolate = require "mpi.isolate"
local rank, size = comm:rank(), comm:size()

local function output_of(command)
    local pipe <close> = assert(io.popen(command))
    return pipe:read "a"
end

local binary = output_of("readlink /proc/" .. mpi.getpid() .. "/exe"):gsub("\n", "")
local crash = assert(package.loadlib(binary:gsub("[^/]+$", "tests/crash.so"), "luaopen_crash"))()

local function handler(message) return {message = message, trace = debug.traceback()} end

local function isolated(options, f, ...)
    return assert(isolate.new(options))(f, handler, ...)
end

-- The reason for which a task of one try is given up.
local function reason(options, f, ...)
    options.tries = 1
    local ok, failure, crashed = isolated(options, f, ...)
    lu.assertFalse(ok)
    lu.assertTrue(crashed)
    return failure.message
end

-- This rank's children, as the kernel lists them
local function children()
    local file <close> = assert(io.open(("/proc/self/task/%d/children"):format(mpi.getpid())))
    return file:read "a"
end

local function contents(path)
    local file <close> = assert(io.open(path))
    return file:read "a"
end

TestIsolate = {}

function TestIsolate:setUp() self.children = children() end

function TestIsolate:tearDown()
    lu.assertEquals(children(), self.children)
    -- what is left of the others is in order, too
    lu.assertEquals(comm:allreduce(rank), size * (size - 1) // 2)
end

function TestIsolate:test_values_come_back()
    for _, value in ipairs {1, 2.5, "text", true, false, {1, {2, x = "y"}}, ("long"):rep(1e6)} do
        local ok, got = isolated({}, function (v) return v end, value)
        lu.assertTrue(ok)
        lu.assertEquals(got, value)
    end
    local ok, got = isolated({}, function (...) return array.of {...} end, 1, 2, 3)
    lu.assertTrue(ok and got == array.of {1, 2, 3})
    lu.assertEquals(table.pack(isolated({}, function () end)), {true, nil, false, n = 3})
    lu.assertEquals(table.pack(isolated({}, function (...) return select("#", ...) end, nil, nil)), {true, 2, false, n = 3})
end

function TestIsolate:test_the_rank_keeps_its_variables()
    local n = 1
    isolated({}, function () n = 2 end)
    lu.assertEquals(n, 1)
end

function TestIsolate:test_an_error_goes_through_the_handler_and_is_no_crash()
    local count = os.tmpname()
    local function deep() error {code = 7} end
    local ok, failure, crashed = isolated({}, function ()
        local file <close> = io.open(count, "a")
        file:write "x"
        deep()
    end)
    lu.assertEquals({ok, crashed}, {false, false})
    lu.assertEquals(failure.message, {code = 7})
    lu.assertStrContains(failure.trace, "in upvalue 'deep'")
    lu.assertEquals(contents(count), "x")
    os.remove(count)
end

function TestIsolate:test_a_value_that_cannot_travel_is_an_error_that_says_where()
    local ok, failure, crashed = isolated({}, function () return {job = {co = coroutine.create(print)}} end)
    lu.assertEquals({ok, failure.message, crashed}, {false, "cannot send a thread at value.job.co", false})
    ok, failure = isolated({}, function () error(io.stdout) end)
    lu.assertFalse(ok)
    lu.assertStrContains(failure.message, "cannot send a FILE* at value")
end

function TestIsolate:test_every_crash_has_its_reason()
    lu.assertEquals(reason({}, crash.segfault), "killed by signal 11 (Segmentation fault)")
    lu.assertEquals(reason({}, crash.abort), "killed by signal 6 (Aborted)")
    lu.assertEquals(reason({}, crash.overflow), "killed by signal 11 (Segmentation fault)")
    lu.assertEquals(reason({}, crash.raise, 9), "killed by signal 9 (Killed)")
    lu.assertEquals(reason({}, os.execute, "kill -BUS $PPID; sleep 5"), "killed by signal 7 (Bus error)")
    lu.assertEquals(reason({}, lu.oldOsExit, 3), "left by os.exit(3)")
    lu.assertEquals(reason({}, lu.oldOsExit, 4, true), "left by os.exit(4)")
    lu.assertEquals(reason({}, lu.oldOsExit), "left by os.exit(0)")
    lu.assertEquals(reason({}, crash.leave, 200), "left by os.exit(200)")
end

function TestIsolate:test_a_limit_of_memory_counts_what_the_task_adds()
    local held = ("x"):rep(1 << 26)
    local function take(n) return #("y"):rep(n) + #held end
    lu.assertEquals({isolated({memory = "32M"}, take, 1 << 23)}, {true, (1 << 23) + (1 << 26), false})
    lu.assertEquals(reason({memory = "32M"}, take, 1 << 26), "ran out of its memory (32 MB)")
    lu.assertEquals(reason({memory = 3 << 19}, take, 1 << 24), "ran out of its memory (1.5 MB)")
    lu.assertEquals(reason({memory = "32M"}, function () return array.zeros(1 << 23):sum() end), "ran out of its memory (32 MB)")
    if os.getenv "ASAN_OPTIONS" then return end -- there, small pieces of memory that are refused end the process
    lu.assertEquals(reason({memory = "32M"}, function ()
        local t = {}
        for i = 1, math.huge do t[i] = {i} end
    end), "ran out of its memory (32 MB)")
end

function TestIsolate:test_a_task_may_catch_that_its_memory_is_out()
    local ok, caught = isolated({memory = "16M"}, function () return pcall(string.rep, "x", 1 << 26) end)
    lu.assertEquals({ok, caught}, {true, false})
end

function TestIsolate:test_a_task_that_hangs_is_ended()
    local expected = "took longer than its timeout (0.05 s)"
    lu.assertEquals(reason({timeout = 0.05}, function () while true do end end), expected)
    lu.assertEquals(reason({timeout = 0.05}, mpi.sleep, 1000), expected)
    lu.assertEquals(reason({timeout = 0.05}, crash.raise, 19), expected) -- stopped
    lu.assertEquals(reason({timeout = 0.05}, os.execute, "exec sleep 1000"), expected)
end

function TestIsolate:test_what_a_task_starts_ends_with_it()
    -- tearDown sees what is left
    lu.assertTrue(isolated({}, function () os.execute("sleep 1000 & sleep 1000 & (sleep 1000; sleep 1000) &") end))
    lu.assertTrue(isolated({}, function () os.execute("setsid sh -c 'sleep 1000; :' &") end))
    reason({}, function ()
        os.execute("sleep 1000 &")
        crash.abort()
    end)
    local ok, value = isolated({}, function () return crash.fork() == 0 and mpi.sleep(1000) or "first" end)
    lu.assertEquals({ok, value}, {true, "first"})
end

function TestIsolate:test_a_crash_is_tried_again_and_given_up_after_three()
    local count = os.tmpname()
    local function work(good)
        local file <close> = io.open(count, "a")
        file:write "x"
        file:flush()
        if #contents(count) ~= good then crash.segfault() end
        return "done"
    end
    lu.assertEquals({isolated({}, work, 3)}, {true, "done", false})
    lu.assertEquals(contents(count), "xxx")
    local ok, failure, crashed = isolated({}, work, 3)
    lu.assertEquals({ok, failure.message, crashed}, {false, "killed by signal 11 (Segmentation fault), given up after 3 tries", true})
    lu.assertEquals(contents(count), "xxxxxx")
    ok, failure = isolated({tries = 2}, work, 3)
    lu.assertEquals({ok, failure.message}, {false, "killed by signal 11 (Segmentation fault), given up after 2 tries"})
    os.remove(count)
end

function TestIsolate:test_a_task_cannot_communicate()
    local request = comm:irecv(rank, 5)
    local dup = comm:dup()
    local a = array.zeros(3)
    for _, call in ipairs {
        function () comm:barrier() end, function () comm:send(1, rank) end, function () comm:recv() end,
        function () return comm:iprobe() end, function () comm:Allreduce(a) end, function () comm:isend(1, rank) end,
        function () request:wait() end, function () request:test() end, function () request:cancel() end,
        function () mpi.waitall {request} end, function () return mpi.testany {request} end,
        function () comm:dup() end, function () dup:free() end, function () local d <close> = dup end,
        function () array.save("/tmp/never", a, {comm = comm}) end,
    } do
        local ok, failure, crashed = isolated({}, call)
        lu.assertEquals({ok, crashed}, {false, false})
        lu.assertStrContains(failure.message, "a task in isolation cannot communicate")
    end
    local ok, failure = isolated({}, mpi.abort, 3)
    lu.assertFalse(ok)
    lu.assertStrContains(failure.message, "a task in isolation cannot end the job")
    -- and nothing of it reached the rank
    comm:send("still there", rank, 5)
    lu.assertEquals(request:wait(), "still there")
    dup:free()
end

function TestIsolate:test_what_needs_no_message_works()
    local request = comm:irecv(rank, 5)
    local ok, value = isolated({}, function ()
        return {comm:rank(), comm:size(), mpi.wtime() >= 0, tostring(request):match "irecv", comm == mpi.COMM_WORLD}
    end)
    comm:send(1, rank, 5)
    request:wait()
    lu.assertEquals({ok, value}, {true, {rank, size, true, "irecv", true}})
end

function TestIsolate:test_messages_flow_while_others_crash()
    local next, before = (rank + 1) % size, (rank - 1) % size
    for i = 1, 10 do
        local request = comm:irecv(before, i)
        local sent = comm:isend({i, ("x"):rep(i * 3000)}, next, i)
        lu.assertStrContains(reason({}, i % 2 == 0 and crash.segfault or crash.overflow), "Segmentation fault")
        lu.assertEquals(request:wait(), {i, ("x"):rep(i * 3000)})
        sent:wait()
    end
end

function TestIsolate:test_shared_memory_cannot_be_written()
    local ok, lines = isolated({}, function ()
        local found = {}
        for line in io.lines "/proc/self/maps" do
            if line:match "^%S+ .w.s" then found[#found + 1] = line end
        end
        return found
    end)
    lu.assertTrue(ok)
    lu.assertEquals(lines, {})
end

function TestIsolate:test_the_kernel_ends_a_task_before_its_rank_when_memory_is_out()
    local function likelihood() return tonumber(contents "/proc/self/oom_score_adj") end
    local before = likelihood()
    lu.assertEquals({isolated({}, likelihood)}, {true, 1000, false})
    lu.assertEquals(likelihood(), before)
end

function TestIsolate:test_inherited_files_do_nothing_and_their_numbers_stay_taken()
    local path, other = os.tmpname(), os.tmpname()
    local file = io.open(path, "w")
    file:write "once "
    local ok, value = isolated({}, function ()
        local own = io.open(other, "w")
        own:write "the task's"
        local wrote = file:write(("x"):rep(1e5))
        file:close()
        local written = own:close()
        return {wrote = wrote, written = written, read = io.read "a"}
    end)
    file:write "and twice"
    file:close()
    lu.assertEquals({ok, value}, {true, {wrote = nil, written = true, read = ""}})
    lu.assertEquals(contents(path), "once and twice")
    lu.assertEquals(contents(other), "the task's")
    os.remove(path)
    os.remove(other)
end

function TestIsolate:test_no_descriptor_is_left()
    for _ = 1, 2 do collectgarbage() end -- files that other tests left
    local function open() -- io.popen has closed its other end meanwhile
        return select(2, output_of(("sleep 0.05; ls /proc/%d/fd"):format(mpi.getpid())):gsub("\n", ""))
    end
    local before = open()
    for i = 1, 5 do
        isolated({}, function () return i end)
        reason({}, crash.abort)
        reason({timeout = 0.01}, mpi.sleep, 1000)
    end
    lu.assertEquals(open(), before)
end

function TestIsolate:test_random_numbers_differ_between_tasks()
    local seen = {}
    for i = 1, 5 do
        local _, value = isolated({}, math.random, 0)
        lu.assertNil(seen[value])
        seen[value] = true
    end
end

function TestIsolate:test_random_arrays_differ_between_tasks()
    local seen = {[array.random(1)[1]] = true}
    for _ = 1, 3 do
        local _, value = isolated({}, function () return array.random(1)[1] end)
        lu.assertNil(seen[value])
        seen[value] = true
    end
end

function TestIsolate:test_seeded_tasks_have_the_ranks_random_numbers()
    math.randomseed(17)
    local ok, value = isolated({seeded = true}, math.random, 0)
    math.randomseed(17)
    lu.assertEquals({ok, value}, {true, math.random(0)})
end

-- Calls f(…) while a hook calls act() as soon as there is a child, and ever again.
local function with_hook(self, act, f, ...)
    debug.sethook(function () if children() ~= self.children then act() end end, "", 1)
    local results = table.pack(pcall(f, ...))
    debug.sethook()
    return table.unpack(results, 1, results.n)
end

function TestIsolate:test_a_task_whose_rank_is_stopped_ends()
    -- tearDown sees whether
    local fine, message = with_hook(self, function () error("stopped", 0) end, isolated, {}, mpi.sleep, 1000)
    lu.assertEquals({fine, message}, {false, "stopped"})
    lu.assertEquals({isolated({}, math.abs, -1)}, {true, 1, false})
end

function TestIsolate:test_one_at_a_time()
    local inner
    local fine, ok, value = with_hook(self, function ()
        if inner then return end
        inner = {pcall(isolated, {}, math.abs, -1)}
    end, isolated, {}, function () return mpi.sleep(0.3) or "done" end)
    lu.assertEquals({fine, ok, value}, {true, true, "done"})
    lu.assertFalse(inner[1])
    lu.assertStrContains(inner[2], "a task in isolation is running already")
end

function TestIsolate:test_wrong_options_are_named()
    for expected, options in pairs {
        ["memory is 12Q; expected bytes, or a text such as \"512M\""] = {memory = "12Q"},
        ["memory is -1; expected bytes, or a text such as \"512M\""] = {memory = -1},
        ["timeout is 0; expected seconds above 0"] = {timeout = 0},
        ["timeout is 2 s; expected seconds above 0"] = {timeout = "2 s"},
        ["tries is 0; expected an integer above 0"] = {tries = 0},
        ["unknown option 'memry' of isolation; known are: memory seeded timeout tries"] = {memry = 1},
    } do
        lu.assertEquals({isolate.new(options)}, {nil, expected})
    end
end

TestIsolatedMap = {setUp = TestIsolate.setUp, tearDown = TestIsolate.tearDown}

function TestIsolatedMap:test_results_are_those_of_a_plain_map()
    local function task(x, i) return {x, i, math.random(1000)} end
    for _, items in ipairs {{"a", "b", nil, "d", n = 4}, 10, array.range(1, 6)} do
        lu.assertEquals((comm:map(task, items, {seed = 3, isolate = true})), (comm:map(task, items, {seed = 3})))
    end
    local into = array.zeros(9)
    lu.assertTrue(comm:map(function (x) return x / 2 end, 9, {isolate = true, into = into}) == into)
    lu.assertEquals(into:sum(), 22.5)
end

function TestIsolatedMap:test_an_error_is_the_tasks_own()
    local function inner() error {code = 5} end
    local fine, e = pcall(comm.map, comm, function (x) if x == 4 then inner() end return x end, 8, {isolate = true})
    lu.assertFalse(fine)
    lu.assertEquals({e.index, e.value, rank = e.rank >= 0 and e.rank < size}, {4, {code = 5}, rank = true})
    lu.assertStrContains(e.traceback, "in upvalue 'inner'")
    lu.assertNotStrContains(e.traceback, "mpi/")
    fine, e = pcall(comm.map, comm, function () error("simple", 0) end, 1, {isolate = true})
    lu.assertEquals({fine, tostring(e):match "^simple  %[rank %d, item 1%]$" ~= nil}, {false, true})
    fine, e = pcall(comm.map, comm, function () error(io.stdout) end, 1, {isolate = true})
    lu.assertStrContains(e.value, "file (")
end

function TestIsolatedMap:test_a_crash_stops_the_map_with_its_reason()
    local fine, e = pcall(comm.map, comm, function (x) if x == 3 then crash.segfault() end return x end, 6, {isolate = true})
    lu.assertFalse(fine)
    lu.assertEquals({e.message, e.index}, {"killed by signal 11 (Segmentation fault), given up after 3 tries", 3})
    lu.assertEquals((comm:map(math.abs, 3)), {1, 2, 3, n = 3})
end

function TestIsolatedMap:test_of_60_tasks_9_crash_and_51_have_results()
    local ways = {
        [4] = {crash.segfault, "killed by signal 11 (Segmentation fault)"},
        [11] = {crash.abort, "killed by signal 6 (Aborted)"},
        [12] = {crash.overflow, "killed by signal 11 (Segmentation fault)"},
        [25] = {function () crash.raise(9) end, "killed by signal 9 (Killed)"},
        [33] = {function () lu.oldOsExit(3) end, "left by os.exit(3)"},
        [34] = {function () return #("x"):rep(1 << 28) end, "ran out of its memory (64 MB)"},
        [48] = {function () while true do end end, "took longer than its timeout (0.2 s)"},
        [57] = {function () os.execute "kill -FPE $PPID; exec sleep 1000" end, "killed by signal 8 (Floating point exception)"},
        [60] = {function () lu.oldOsExit(true, true) end, "left by os.exit(0)"},
    }
    local results, info = comm:map(function (x)
        if ways[x] then ways[x][1]() end
        return x * x
    end, 60, {isolate = true, errors = "collect", memory = "64M", timeout = 0.2})
    local done = 0
    for i = 1, 60 do
        if not ways[i] then
            lu.assertEquals(results[i], i * i)
            done = done + 1
        else lu.assertNil(results[i])
        end
    end
    lu.assertEquals({done, #info.errors}, {51, 9})
    for _, e in ipairs(info.errors) do
        lu.assertEquals(e.message, ways[e.index][2] .. ", given up after 3 tries")
    end
end

function TestIsolatedMap:test_a_task_cannot_use_any_communicator()
    local dup <close> = comm:dup()
    for _, call in ipairs {function () comm:barrier() end, function () dup:barrier() end, function () dup:map(print, 2) end} do
        local _, info = comm:map(call, size, {isolate = true, errors = "collect"})
        lu.assertEquals(#info.errors, size)
        for _, e in ipairs(info.errors) do lu.assertStrContains(e.message, "a task in isolation cannot communicate") end
    end
end

function TestIsolatedMap:test_random_numbers_differ_between_tasks()
    math.randomseed(os.time(), rank)
    local seen, results = {}, comm:map(function () return math.random(0) end, 20, {isolate = true})
    for _, number in ipairs(results) do
        lu.assertNil(seen[number])
        seen[number] = true
    end
end

function TestIsolatedMap:test_imap_and_mapreduce_isolate_too()
    local own = mpi.getpid()
    local function task(x) return mpi.getpid() ~= own and x end
    local sum = 0
    for i, x in comm:imap(task, 12, {isolate = true}) do
        lu.assertEquals(x, i)
        sum = sum + x
    end
    lu.assertEquals(sum, rank == 0 and 78 or 0)
    lu.assertEquals((comm:mapreduce(task, 12, {isolate = true})), 78)
    for _, call in ipairs {
        function (f) for _ in comm:imap(f, 12, {isolate = true, tries = 1}) do end end,
        function (f) comm:mapreduce(f, 12, {isolate = true, tries = 1}) end,
    } do
        local fine, e = pcall(call, function (x) return x == 5 and crash.abort() or x end)
        lu.assertEquals({fine, e.message, e.index}, {false, "killed by signal 6 (Aborted)", 5})
    end
end

function TestIsolatedMap:test_tasks_that_failed_are_in_the_trace()
    local _, info = comm:map(function (x) return x == 2 and crash.abort() or x end, 3,
                             {isolate = true, tries = 1, errors = "collect", trace = true})
    lu.assertEquals({#info.tasks, info.tasks[2].index}, {3, 2})
end

function TestIsolatedMap:test_wrong_options_are_named()
    local function complaint(opts) return tostring(select(2, pcall(comm.map, comm, print, 3, opts))) end
    lu.assertStrContains(complaint {isolate = 1}, "isolate is 1, expected a boolean")
    lu.assertStrContains(complaint {isolate = true, memory = "lots"}, "memory is 'lots', expected bytes, or a text such as \"512M\"")
    lu.assertStrContains(complaint {isolate = true, timeout = 0}, "timeout is 0, expected seconds above 0")
    lu.assertStrContains(complaint {isolate = true, tries = 0}, "tries is 0, expected an integer from 1")
    lu.assertStrContains(complaint {timeout = 3}, "timeout needs isolate = true")
end

os.exit(lu.run())
