-- Nonblocking collectives: the ranks compare them without waiting, and they begin in one order.
local lu = require "mpi.luaunit"
local rank, size = comm:rank(), comm:size()
local last = size - 1

local function message(f, ...)
    local fine, text = pcall(f, ...)
    lu.assertFalse(fine)
    return text
end

-- What waiting for the request of a call raises.
local function late(c, name, ...)
    local r = c[name](c, ...)
    return (message(r.wait, r):gsub("tests/test_turn.lua:%d+", "LINE"))
end

-- The communicator is as good as new.
local function works(c)
    local sum = c:Iallreduce(array.ones(3)):wait()
    lu.assertEquals(sum:totable(), {size, size, size})
    lu.assertEquals(c:allreduce(1), size)
    lu.assertEquals(c:Ibcast(array.full(2000, c:rank()), last):wait():max(), last)
end

TestDifferent = {}

function TestDifferent:setUp() lu.ranks(2) end

function TestDifferent:test_sizes_raise_on_every_rank_and_touch_nothing()
    for _, n in ipairs {5, 64, 501, 40000, 300000} do
        for _, c in ipairs {comm, comm:dup()} do
            local a, behind = array.full(rank == 0 and n or 4, rank), array.full(64, 7)
            lu.assertEquals(late(c, "Ibcast", a), ("the ranks do not make the same call: [0] comm:Ibcast(float64[%d], root=0) at LINE; " ..
                "[%s] comm:Ibcast(float64[4], root=0) at LINE"):format(n, size == 2 and "1" or "1-" .. last))
            lu.assertTrue(a:allclose(array.full(a:size(), rank)))
            lu.assertEquals(behind:sum(), 7 * 64)
            works(c)
            if c ~= comm then c:free() end
        end
    end
end

function TestDifferent:test_each_form_raises_on_every_rank()
    local function other(n) return rank == last and n + size or n end
    for _, case in ipairs {
        {"Ibcast", array.ones(other(3))},
        {"Ibcast", array.ones(3), rank == last and 1 or 0},
        {"Iscatter", rank == 0 and array.ones(3 * size) or nil, array.ones(rank == last and 4 or 3)},
        {"Igather", array.ones(other(3))},
        {"Iallgather", array.ones(other(3))},
        {"Ialltoall", array.ones(other(size))},
        {"Ireduce", array.ones(other(3))},
        {"Iallreduce", array.ones(other(3))},
        {"Iallreduce", array.ones(3, rank == last and "int8" or "int16")},
        {"Iallreduce", array.ones(3), nil, rank == last and mpi.MAX or mpi.MIN},
        {"Iallreduce", array.ones(other(3)), nil, function (x, y) return x + y end},
        {"Ireduce_scatter", array.ones(other(size))},
        {"Iscan", array.ones(other(3))},
        {"Iexscan", array.ones(other(3))},
    } do
        local text = late(comm, table.unpack(case, 1, 4))
        lu.assertStrContains(text, "the ranks do not make the same call: [0")
        lu.assertStrContains(text, ("; [%d] comm:%s("):format(last, case[1]))
        works(comm)
    end
end

function TestDifferent:test_calls_raise_on_every_rank()
    local text = rank == 0 and late(comm, "ibarrier") or late(comm, "Ibcast", array.ones(3))
    lu.assertStrContains(text, "[0] comm:ibarrier() at LINE")
    lu.assertStrContains(text, "comm:Ibcast(float64[3], root=0) at LINE")
    works(comm)
end

function TestDifferent:test_counts_that_do_not_fit_the_others_rows_raise_on_every_rank()
    local counts, rows = {}, rank == last and 5000 or 2
    for r = 1, size do counts[r] = 2 end
    local whole, behind = array.zeros(2 * size), array.full(64, 7)
    local text = late(comm, "Igatherv", array.ones(rows), rank == 0 and whole or nil, rank == 0 and counts or nil)
    lu.assertStrContains(text, ("[0] comm:Igatherv(float64[1], rows=2, counts={%s}, root=0)"):format(table.concat(counts, ", ")))
    lu.assertStrContains(text, ("[%d] comm:Igatherv(float64[1], rows=5000, root=0)"):format(last))
    works(comm)
    text = late(comm, "Iscatterv", rank == 0 and array.ones(2 * size) or nil, rank == 0 and counts or nil, array.zeros(rank == last and 1 or 2))
    lu.assertStrContains(text, ("[%d] comm:Iscatterv(float64[1], rows=1, root=0)"):format(last))
    works(comm)
    text = late(comm, "Iallgatherv", array.ones(rows), whole, counts)
    lu.assertStrContains(text, ("[%d] comm:Iallgatherv(float64[1], rows=5000, counts={2"):format(last))
    works(comm)
    local sent = {table.unpack(counts)}
    if rank == last then sent[1] = 900 end
    local total = 0
    for _, n in ipairs(sent) do total = total + n end
    text = late(comm, "Ialltoallv", array.ones(total), sent, whole, counts)
    lu.assertStrContains(text, ("[%d] comm:Ialltoallv(float64[1], counts={900"):format(last))
    works(comm)
    lu.assertEquals(whole:sum(), 0)
    lu.assertEquals(behind:sum(), 7 * 64)
end

function TestDifferent:test_a_mistake_raises_at_once_where_it_is_made_and_late_on_the_others()
    local mistake = "bad argument #1 to 'Iallreduce' (send: array expected, got string)"
    for _ = 1, 3 do
        if rank == last then lu.assertStrContains(message(comm.Iallreduce, comm, "x"), mistake)
        else lu.assertEquals(late(comm, "Iallreduce", array.ones(3)), ("[%d] %s at LINE"):format(last, mistake))
        end
        works(comm)
    end
end

function TestDifferent:test_rows_beyond_an_int_are_a_mistake()
    local many = array.zeros {2^31 + 2, 0}
    if rank == last then lu.assertStrContains(message(comm.Igatherv, comm, many), "more than 2^31 rows")
    else
        local whole, counts = rank == 0 and array.zeros {2 * size, 0} or nil, {}
        for r = 1, size do counts[r] = 2 end
        lu.assertStrContains(late(comm, "Igatherv", array.zeros {2, 0}, whole, counts), "more than 2^31 rows")
    end
    works(comm)
end

function TestDifferent:test_mistakes_on_all_ranks_raise_at_once()
    for _ = 1, 3 do lu.assertStrContains(message(comm.Ibcast, comm, {}), "array expected, got table") end
    works(comm)
end

function TestDifferent:test_requests_before_and_behind_are_as_they_would_be()
    local before = comm:Iallreduce(array.full(3, 1))
    local wrong = comm:Iallreduce(array.ones(rank == last and 2 or 3))
    local behind = comm:Iallreduce(array.full(3, 2))
    lu.assertEquals(behind:wait():totable(), {2 * size, 2 * size, 2 * size})
    lu.assertStrContains(message(mpi.waitall, {before, wrong}), "the ranks do not make the same call")
    lu.assertEquals(before:wait():totable(), {size, size, size})
end

TestOrder = {}

function TestOrder:test_a_call_returns_although_the_others_have_not_made_it()
    lu.ranks(2)
    if rank == 0 then
        local r = comm:Ibcast(array.full(30000, 5))
        comm:send("go on", last)
        lu.assertEquals(r:wait():sum(), 150000)
    else
        if rank == last then lu.assertEquals((comm:recv(0)), "go on") end
        lu.assertEquals(comm:Ibcast(array.zeros(30000)):wait():sum(), 150000)
    end
end

-- More than are compared at the beginning of a communicator, waited for from both ends.
function TestOrder:test_thousands_open_at_once_are_all_right()
    local c, requests = comm:dup(), {}
    for i = 1, 1500 do
        requests[i] = i % 3 == 0 and c:Ibcast(array.full(2, rank == i % size and i or 0), i % size) or c:Iallreduce(array.full(2, i))
        if i % 100 == 0 then lu.assertEquals(c:allreduce(i), i * size) end
        if i % 300 == 0 then c:Bcast(array.ones(3000), last) end
    end
    for k = 1, 1500 do
        local i = rank % 2 == 0 and k or 1501 - k
        lu.assertEquals(requests[i]:wait():totable(), i % 3 == 0 and {i, i} or {i * size, i * size})
    end
    c:free()
end

function TestOrder:test_a_communicator_may_be_freed_with_requests_open()
    for _ = 1, 5 do
        local c = comm:dup()
        local r, s = c:Iallreduce(array.ones(3)), c:Iallgather(array.full(2000, rank))
        c:free()
        lu.assertEquals(r:wait():sum(), 3 * size)
        lu.assertEquals(s:wait():max(), last)
    end
end

function TestOrder:test_unequal_blocks_arrive()
    local counts, total = {}, 0
    for r = 1, size do counts[r] = r total = total + r end
    for _ = 1, 3 do
        local whole = comm:Iallgatherv(array.full(rank + 1, rank), nil, counts):wait()
        lu.assertEquals(whole:size(), total)
        lu.assertEquals(whole:get(total), last)
        local part = array.zeros(rank + 1)
        comm:Iscatterv(rank == 0 and whole or nil, rank == 0 and counts or nil, part):wait()
        lu.assertEquals(part:sum(), rank * (rank + 1))
        local back = comm:Igatherv(part, nil, rank == last and counts or nil, last):wait()
        if rank == last then lu.assertEquals(back:totable(), whole:totable()) end
        local each = {}
        for r = 1, size do each[r] = 2 end
        lu.assertEquals(comm:Ialltoallv(array.full(2 * size, rank), each, nil, each):wait():sum(), last * size)
    end
end

os.exit(lu.run())
