local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local journal = require "mpi.journal"
local core = require "mpi.journal.core"
local message = support.message
local rank, size = comm:rank(), comm:size()

local function contents(path)
    local file <close> = assert(io.open(path, "rb"))
    return file:read "a"
end

local function write(path, text)
    local file <close> = assert(io.open(path, "wb"))
    file:write(text)
end

-- On rank 0, while the others wait.
local function alone(f)
    comm:barrier()
    if rank == 0 then f() end
    comm:barrier()
end

-- f, and how often it was called on all ranks
local function counted(f)
    local count = 0
    return function (x, i)
        count = count + 1
        return f(x, i)
    end, function () return comm:allreduce(count) end
end

local function square(x) return x * x end

-- What the ranks write on stderr while f runs, on rank 0
local function notes(f)
    local original, said = io.stderr, {}
    io.stderr = {write = function (_, ...) table.insert(said, table.concat {...}) end}
    local fine, problem = pcall(f)
    io.stderr = original
    if not fine then error(problem, 0) end
    return table.concat(said)
end

TestJournal = {}

function TestJournal:setUp()
    self.path = comm:bcast(rank == 0 and os.tmpname() or nil)
    alone(function () os.remove(self.path) end)
end

function TestJournal:tearDown() alone(function () os.remove(self.path) end) end

-- Runs the map with the journal. → results, executions
function TestJournal:map(f, items, opts)
    local task, count = counted(f)
    opts = opts or {}
    opts.journal = self.path
    local results = comm:map(task, items, opts)
    return results, count()
end

function TestJournal:test_what_is_done_is_not_done_again()
    local plain = comm:map(square, 50)
    lu.assertEquals({self:map(square, 50)}, {plain, 50})
    for _, schedule in ipairs {"dynamic", "static", "cyclic"} do
        lu.assertEquals({self:map(square, 50, {schedule = schedule})}, {plain, 0})
    end
end

function TestJournal:test_a_map_that_failed_goes_on_with_the_rest()
    local items = {}
    for i = 1, 40 do items[i] = {name = "item " .. i, i, sub = {a = i, b = {i}}} end
    local function task(x, i)
        if i == 30 and self.bad then error("not today", 0) end
        return {x.name, x.sub.a, x.sub.b}
    end
    local plain = comm:map(task, items)
    self.bad = true
    lu.assertStrContains(message(self.map, self, task, items), "not today")
    local before = comm:bcast(rank == 0 and #contents(self.path) or nil)
    self.bad = false
    local results, count = self:map(task, items)
    lu.assertEquals(results, plain)
    -- what was done had its record
    local records = 0
    for _ in contents(self.path):sub(before + 1):gmatch "\x1Elm\x1E" do records = records + 1 end
    lu.assertEquals(count, records)
    lu.assertTrue(count >= 1 and count <= 40)
    lu.assertEquals({self:map(task, items)}, {plain, 0})
end

function TestJournal:test_errors_that_are_collected_have_no_record()
    local function task(x, i) if i % 5 == 0 and self.bad then error("bad", 0) end return x end
    self.bad = true
    local results, count = self:map(task, 20, {errors = "collect"})
    lu.assertEquals({results[4], results[5], count}, {4, nil, 20})
    self.bad = false
    results, count = self:map(task, 20, {errors = "collect"})
    lu.assertEquals({results[5], results[20], count}, {5, 20, 4})
end

function TestJournal:test_every_kind_of_value_is_kept()
    local function task(i)
        return ({nil, false, ("x"):rep(100000), {a = {1, 2}}, array.range(1, 1000), function () return 7 end, 1.5, ""})[i]
    end
    local first = self:map(task, 8)
    local results, count = self:map(task, 8)
    lu.assertEquals(count, 0)
    lu.assertEquals(results.n, 8)
    lu.assertEquals(results[6](), 7)
    results[6], first[6] = nil, nil
    lu.assertTrue(results[5] == array.range(1, 1000) and first[5] == results[5])
    results[5], first[5] = nil, nil
    lu.assertEquals(results, first)
end

function TestJournal:test_results_go_into_an_array_or_to_one_rank()
    local function task(x, i)
        if i > 6 and self.bad then error("later", 0) end
        return array.of {x, x * x}
    end
    self.bad = true
    message(self.map, self, task, 10, {into = array.zeros {10, 2}})
    self.bad = false
    local into = array.zeros {10, 2}
    lu.assertTrue(self:map(task, 10, {into = into}) == into)
    for i = 1, 10 do lu.assertTrue(into[i] == array.of {i, i * i}) end
    local results = self:map(task, 10, {to = size - 1})
    lu.assertEquals(results and #results, rank == size - 1 and 10 or nil)
    if results then lu.assertTrue(results[10] == array.of {10, 100}) end
end

function TestJournal:test_a_kept_result_that_does_not_fit_raises_on_every_rank()
    self:map(function (x) return "s" .. x end, 8)
    for _, to in ipairs {"all", 0, size - 1} do
        local problem = support.raised(self.map, self, square, 8, {to = to, into = array.zeros(8)})
        lu.assertEquals(problem.message, "cannot put a string into an array of float64")
        lu.assertEquals(problem.rank, to == "all" and 0 or to)
        lu.assertEquals(comm:allreduce(1), size)
    end
end

function TestJournal:test_seeded_results_are_those_of_an_undisturbed_map()
    local function task(_, i)
        if i > 10 and self.bad then error("later", 0) end
        return math.random()
    end
    local plain = comm:map(task, 20, {seed = 5})
    self.bad = true
    message(self.map, self, task, 20, {seed = 5})
    self.bad = false
    lu.assertEquals((self:map(task, 20, {seed = 5})), plain)
end

function TestJournal:test_other_ranks_go_on()
    local half <close> = comm:split(rank % 2)
    local task, count = counted(square)
    if rank % 2 == 0 then half:map(task, 30, {journal = self.path}) end
    lu.assertEquals(count(), 30)
    task, count = counted(square)
    lu.assertEquals(comm:map(task, 30, {journal = self.path})[30], 900)
    lu.assertEquals(count(), 0)
end

function TestJournal:test_a_torn_record_at_the_end_is_dropped_with_a_note()
    local plain = self:map(square, 20)
    local whole = comm:bcast(rank == 0 and contents(self.path) or nil)
    for cut = 1, 31, 6 do
        alone(function () write(self.path, whole:sub(1, -cut - 1)) end)
        local results, count
        local said = notes(function () results, count = self:map(square, 20) end)
        lu.assertEquals({results, count}, {plain, 1})
        if rank == 0 then
            lu.assertStrMatches(said, "luampi: journal '.*': an unfinished record of %d+ bytes at its end is dropped\n")
        end
        lu.assertEquals({self:map(square, 20)}, {plain, 0})
    end
end

function TestJournal:test_a_damaged_record_is_done_again_and_the_others_are_not()
    local plain = self:map(function (i) return ("value %d"):format(i) end, 20)
    alone(function ()
        local text = contents(self.path)
        local at = text:find("value", 1, true) -- whichever item's: one at the end would be an unfinished one
        write(self.path, text:sub(1, at - 1) .. "V" .. text:sub(at + 1))
    end)
    local results, count
    local said = notes(function () results, count = self:map(function (i) return ("value %d"):format(i) end, 20) end)
    lu.assertEquals({results, count}, {plain, 1})
    if rank == 0 then lu.assertStrMatches(said, "luampi: journal '.*': %d+ bytes in it are no record, and left out\n") end
end

function TestJournal:test_a_journal_of_other_tasks_is_refused_naming_both()
    self:map(square, {1, 2, 3}, {seed = 1})
    local before = contents(self.path)
    for _, other in ipairs {
        {{1, 2, 3, 4}, 1, "4 items with fingerprint %x+, seed 1"}, {{1, 2, 4}, 1, "3 items with fingerprint %x+, seed 1"},
        {{1, 2, 3}, 2, "3 items with fingerprint %x+, seed 2"}, {3, nil, "3 items, no seed"},
    } do
        lu.assertStrMatches(message(self.map, self, square, other[1], {seed = other[2]}), ".*journal '.*': it belongs to other tasks: "
            .. "it has 3 items with fingerprint %x+, seed 1; this map has " .. other[3])
    end
    lu.assertEquals(contents(self.path), before)
    lu.assertEquals(self:map(square, {1, 2, 3}, {seed = 1})[3], 9)
end

function TestJournal:test_what_is_no_journal_is_left_alone()
    for _, text in ipairs {"precious\n", ("precious"):rep(100), "l"} do
        alone(function () write(self.path, text) end)
        lu.assertStrContains(message(self.map, self, square, 3), ("journal '%s': it is no journal"):format(self.path))
        lu.assertEquals(contents(self.path), text)
    end
    alone(function () write(self.path, "luampi journal 0.0.7\n") end)
    lu.assertStrContains(message(self.map, self, square, 3), "it was written by luampi 0.0.7, this is " .. mpi.version)
    alone(function () write(self.path, ("luampi journal %s\n"):format(mpi.version)) end)
    lu.assertStrContains(message(self.map, self, square, 3), "its head is damaged")
end

function TestJournal:test_a_file_that_cannot_be_opened_raises_on_every_rank()
    lu.assertStrContains(message(comm.map, comm, square, 3, {journal = "/no/such/folder/j"}),
        "journal '/no/such/folder/j': No such file or directory")
    lu.assertEquals(comm:allreduce(1), size)
end

function TestJournal:test_a_rank_that_sees_another_file_is_named()
    if size == 1 then lu.skip "needs two ranks" end
    local tasks = {n = 3, items = "count"}
    local own = rank == 1 and self.path .. ".other" or self.path
    local text = message(journal.open, comm, own, tasks, 0)
    lu.assertStrMatches(text, "journal '.*': rank 1 %(.*%) cannot open it: No such file or directory")
    if rank == 1 then write(own, "something") end
    text = message(journal.open, comm, own, tasks, 0)
    lu.assertStrMatches(text, "journal '.*': rank 1 %(.*%) sees another file under this name; it must lie where all ranks see it")
    if rank == 1 then os.remove(own) end
end

function TestJournal:test_two_jobs_cannot_use_it_at_a_time()
    local function open(c) return journal.open(c, self.path, {n = 3, items = "count"}, 0) end
    if rank == 0 then
        local first <close> = open(mpi.COMM_SELF)
        lu.assertStrContains(message(open, mpi.COMM_SELF), "another job is using it")
        first:close()
        local second <close> = open(mpi.COMM_SELF)
    end
end

function TestJournal:test_a_result_that_cannot_travel_is_that_tasks_error()
    lu.assertStrContains(message(self.map, self, function (i) return i == 3 and {coroutine.create(print)} or i end, 5),
        "cannot send a thread at value[1]")
end

function TestJournal:test_a_full_disk_is_the_error_of_a_task()
    local full = core.open("/dev/full", false)
    lu.assertEquals({full:append(1, "value")}, {nil, "No space left on device"})
    full:close()
end

function TestJournal:test_the_checksum_is_crc32c()
    lu.assertEquals(core.checksum "123456789", 0xE3069283)
    lu.assertEquals(core.checksum(("\0"):rep(32)), 0x8A9136AA)
    local bytes = {}
    for i = 0, 31 do bytes[i + 1] = string.char(i) end
    lu.assertEquals(core.checksum(table.concat(bytes)), 0x46DD794E)
    for cut = 0, 9 do
        lu.assertEquals(core.checksum(("123456789"):sub(cut + 1), core.checksum(("123456789"):sub(1, cut))), 0xE3069283)
    end
end

-- A table whose pairs were set in another order, with other tables in between, and so lie in another order
local function record(order)
    local t = {1, 2, "three"}
    for _, i in ipairs(order) do t["key " .. i] = {i, x = i} end
    return t
end

function TestJournal:test_fingerprints_are_those_of_equal_values()
    local a, b = record {1, 2, 3, 4, 5, 6, 7, 8, 9}, record {9, 3, 5, 1, 8, 2, 7, 4, 6}
    a.self, b.self = a, b
    a.list, b.list = {a, {a}}, {b, {b}}
    for _, value in ipairs {1, "text", 1.5, true, {}, array.range(1, 5), {1, 2, 3}, ("x"):rep(1000), print, square} do
        a.more, b.more = value, value
        lu.assertEquals(journal.fingerprint({a}, 1), journal.fingerprint({b}, 1))
        -- the same in another process: the strings hash otherwise there
        lu.assertEquals(comm:bcast(journal.fingerprint({a}, 1)), journal.fingerprint({a}, 1))
    end
    lu.assertEquals(journal.fingerprint(array.range(1, 1e6), 1e6), journal.fingerprint(array.range(1, 1e6), 1e6))
end

function TestJournal:test_fingerprints_of_different_items_differ()
    local seen = {}
    for i, items in ipairs {
        {1}, {2}, {1.0}, {"1"}, {true}, {false}, {{}}, {{1}}, {{x = 1}}, {{y = 1}}, {{x = 2}}, {{1, x = 1}}, {{{1}}}, {{1, 2}}, {{2, 1}},
        {array.of {1, 2}}, {array.of({1, 2}, "float32")}, {array.of {2, 1}}, {array.of {{1, 2}}}, {("x"):rep(100)}, {("x"):rep(101)},
        {square}, {function (x) return x + x end}, {1, 2}, {2, 1}, {{x = {y = 1}, z = 2}}, {{x = {y = 2}, z = 1}},
        array.of {1, 2}, array.of {1, 3}, array.of {{1, 2}, {3, 4}}, array.range(1, 1e5),
    } do
        local print = journal.fingerprint(items, #items)
        lu.assertNil(seen[print], i)
        seen[print] = i
    end
    local one, two = array.zeros(1e6), array.zeros(1e6)
    two[1e6] = 1
    lu.assertNotEquals(journal.fingerprint(one, 1e6), journal.fingerprint(two, 1e6))
end

function TestJournal:test_items_from_a_generator_are_refused()
    lu.assertStrContains(message(self.map, self, square, rank == 0 and function () end or nil),
        "a journal needs to know the items, which a generator gives one by one")
end

function TestJournal:test_wrong_names_are_refused()
    lu.assertStrContains(message(comm.map, comm, square, 3, {journal = 7}), "journal is 7, expected the name of a file")
    lu.assertStrContains(message(comm.map, comm, square, 3, {journal = ""}), "journal is '', expected the name of a file")
end

os.exit(lu.run())
