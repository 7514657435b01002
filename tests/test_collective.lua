local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message, everywhere, dtypes = support.message, support.everywhere, support.dtypes
local rank, size = comm:rank(), comm:size()

-- The numbers a rank sends: n of them, different for every rank and place.
local function block(c, n, dtype, r)
    local a = array.zeros(n, dtype)
    for i = 1, n do a[i] = ((r or c:rank()) * 7 + i) % 100 end
    return a
end

-- The blocks of all ranks, one behind the other.
local function blocks(c, n, dtype)
    local a = array.zeros(n * c:size(), dtype)
    for r = 0, c:size() - 1 do
        for i = 1, n do a[r * n + i] = (r * 7 + i) % 100 end
    end
    return a
end

-- A receiving array with a sentinel behind it, and a check that it is untouched.
local function guarded(n, dtype)
    local memory = array.full(n + 1, 99, dtype)
    return memory:slice(1, n), function () lu.assertEquals(memory[n + 1], 99) end
end

local sizes = {0, 1, 3, 700}

TestData = {}

local function with_all(f)
    everywhere(function (c)
        for _, dtype in ipairs(dtypes) do
            for _, n in ipairs(sizes) do f(c, n, dtype) end
        end
    end)
end

function TestData:test_Bcast_from_every_root()
    with_all(function (c, n, dtype)
        for root = 0, c:size() - 1 do
            local a, untouched = guarded(n, dtype)
            if c:rank() == root then a:copyfrom(block(c, n, dtype)) end
            lu.assertIs(c:Bcast(a, root), a)
            lu.assertTrue(a == block(c, n, dtype, root))
            untouched()
        end
    end)
end

function TestData:test_Scatter_from_every_root()
    with_all(function (c, n, dtype)
        for root = 0, c:size() - 1 do
            local a, untouched = guarded(n, dtype)
            lu.assertIs(c:Scatter(c:rank() == root and blocks(c, n, dtype) or nil, a, root), a)
            lu.assertTrue(a == block(c, n, dtype))
            untouched()
        end
    end)
end

function TestData:test_Gather_to_every_root()
    with_all(function (c, n, dtype)
        for root = 0, c:size() - 1 do
            local a, untouched = guarded(n * c:size(), dtype)
            local got = c:Gather(block(c, n, dtype), c:rank() == root and a or nil, root)
            if c:rank() == root then
                lu.assertTrue(a == blocks(c, n, dtype))
            else
                lu.assertNil(got)
            end
            untouched()
        end
    end)
end

function TestData:test_Allgather_and_Alltoall()
    with_all(function (c, n, dtype)
        local a, untouched = guarded(n * c:size(), dtype)
        c:Allgather(block(c, n, dtype), a)
        lu.assertTrue(a == blocks(c, n, dtype))
        untouched()
        local b, untouched_too = guarded(n * c:size(), dtype)
        local send = array.zeros(n * c:size(), dtype)
        for r = 0, c:size() - 1 do
            for i = 1, n do send[r * n + i] = (c:rank() * 7 + r * 3 + i) % 100 end
        end
        c:Alltoall(send, b)
        for r = 0, c:size() - 1 do
            for i = 1, n do lu.assertEquals(b[r * n + i], (r * 7 + c:rank() * 3 + i) % 100) end
        end
        untouched_too()
    end)
end

function TestData:test_receiving_arrays_left_out_are_made()
    everywhere(function (c)
        local n = c:size()
        local m = array.full({2, 3}, c:rank(), "int16")
        local all = c:Allgather(m)
        lu.assertEquals({all:shape()}, {2 * n, 3})
        lu.assertEquals({all:dtype(), all:get(2 * n, 3)}, {"int16", n - 1})
        local at_root = c:Gather(m, nil, n - 1)
        if c:rank() == n - 1 then lu.assertTrue(at_root == all) else lu.assertNil(at_root) end
        lu.assertEquals({c:Allreduce(m):shape()}, {2, 3})
        lu.assertEquals({c:Alltoall(array.zeros {n, 2}):shape()}, {n, 2})
        local reduced = c:Reduce(m)
        if c:rank() == 0 then lu.assertEquals({reduced:shape()}, {2, 3}) else lu.assertNil(reduced) end
        lu.assertEquals({c:Allgather(array.full({}, c:rank())):shape()}, {n})
    end)
end

function TestData:test_strided_views_travel()
    everywhere(function (c)
        local n, r = c:size(), c:rank()
        local m = array.full({4, 3}, r)
        local to = array.full({4 * n, 2}, -1)
        c:Allgather(m:col(2), to:col(2))
        for i = 1, 4 * n do lu.assertEquals({to:get(i, 1), to:get(i, 2)}, {-1, (i - 1) // 4}) end
        local b = array.full({3, 2}, r)
        c:Bcast(b:col(1), n - 1)
        lu.assertEquals(b:totable(), {{n - 1, r}, {n - 1, r}, {n - 1, r}})
        local s = array.full({3, 2}, 1)
        c:Allreduce(s:col(1), s:col(2))
        lu.assertEquals(s:totable(), {{1, n}, {1, n}, {1, n}})
    end)
end

function TestData:test_IN_PLACE_where_MPI_has_it()
    everywhere(function (c)
        local n, r = c:size(), c:rank()
        local a = array.full(2 * n, -1)
        a:slice(2 * r + 1, 2 * r + 2):fill(r)
        c:Allgather(mpi.IN_PLACE, a)
        for i = 1, 2 * n do lu.assertEquals(a[i], (i - 1) // 2) end
        lu.assertEquals(c:Allreduce(mpi.IN_PLACE, array.full(3, r + 1)):totable(), array.full(3, n * (n + 1) // 2):totable())
        for root = 0, n - 1 do
            local g = array.full(n, -1)
            if r == root then g[r + 1] = r end
            c:Gather(r == root and mpi.IN_PLACE or array.full(1, r), r == root and g or nil, root)
            if r == root then lu.assertTrue(g == array.range(0, n - 1):as "float64") end
            local s = array.range(0, n - 1)
            c:Scatter(r == root and s or nil, r == root and mpi.IN_PLACE or s:slice(1, 1), root)
            lu.assertEquals(s[1], r == root and 0 or r)
            local d = array.full(2, 1)
            c:Reduce(r == root and mpi.IN_PLACE or d, r == root and d or nil, mpi.SUM, root)
            lu.assertEquals(d[2], r == root and n or 1)
        end
        lu.assertEquals(c:Scan(mpi.IN_PLACE, array.ones(2))[2], r + 1)
    end)
end

TestVarying = {}

-- Rank r has r + 1 rows, or none when it is odd.
local function rows_of(r) return r % 2 == 1 and 0 or r + 1 end

local function counts_of(c)
    local counts, total = {}, 0
    for r = 0, c:size() - 1 do
        counts[r + 1] = rows_of(r)
        total = total + rows_of(r)
    end
    return counts, total
end

function TestVarying:test_Allgatherv_joins_blocks_of_different_size()
    everywhere(function (c)
        local counts, total = counts_of(c)
        local mine = array.full({rows_of(c:rank()), 3}, c:rank(), "int32")
        for _, all in ipairs {c:Allgatherv(mine), c:Allgatherv(mine, nil, counts), c:Allgatherv(mine, array.zeros({total, 3}, "int32"), counts)} do
            lu.assertEquals({all:shape()}, {total, 3})
            local i = 0
            for r = 0, c:size() - 1 do
                for _ = 1, rows_of(r) do
                    i = i + 1
                    lu.assertEquals(all[i]:totable(), {r, r, r})
                end
            end
        end
    end)
end

function TestVarying:test_Gatherv_and_Scatterv_are_each_others_reverse()
    everywhere(function (c)
        local counts, total = counts_of(c)
        for root = 0, c:size() - 1 do
            local mine = array.full(rows_of(c:rank()), c:rank())
            local here = c:rank() == root
            local all = c:Gatherv(mine, nil, here and counts or nil, root)
            if here then lu.assertEquals(all:size(), total) else lu.assertNil(all) end
            local back, untouched = guarded(rows_of(c:rank()), "float64")
            c:Scatterv(all, here and counts or nil, back, root)
            lu.assertTrue(back == mine)
            untouched()
            c:Scatterv(all, nil, back, root)
            lu.assertTrue(back == mine)
        end
    end)
end

function TestVarying:test_wrong_counts_raise_on_every_rank()
    if size == 1 then lu.skip "one rank" end
    local counts = counts_of(comm)
    counts[1] = 5
    local mine = array.zeros(rows_of(rank))
    lu.assertStrContains(message(comm.Allgatherv, comm, mine, nil, counts), "(counts[1] is 5, but the array on rank 0 has 1 rows)")
    lu.assertStrContains(message(comm.Gatherv, comm, mine, nil, counts), "(counts[1] is 5, but the array on rank 0 has 1 rows)")
    lu.assertStrContains(message(comm.Gatherv, comm, mine, nil, rank == 0 and {1} or nil), ("counts: list of %d integers expected, one for each rank, got 1"):format(size))
    counts[1] = -1
    lu.assertStrContains(message(comm.Allgatherv, comm, mine, nil, counts), "counts[1] is not a count of rows")
    lu.assertStrContains(message(comm.Allgatherv, comm, mine, array.zeros(100)), "recv has 100 rows, the counts make")
    lu.assertEquals(comm:allreduce(1), size)
end

function TestVarying:test_rows_of_another_length_raise()
    if size == 1 then lu.skip "one rank" end
    local mine = array.zeros {2, rank == 0 and 3 or 4}
    lu.assertStrContains(message(comm.Allgatherv, comm, mine), "the ranks do not make the same call: [0] comm:Allgatherv(float64[3])")
end

function TestVarying:test_Alltoallv_exchanges_blocks_of_different_size()
    everywhere(function (c)
        local n, me = c:size(), c:rank()
        -- rank a sends b + 1 rows to rank b when a + b is even
        local function rows(a, b) return (a + b) % 2 == 0 and b + 1 or 0 end
        local sendcounts, recvcounts, sent, received = {}, {}, 0, 0
        for r = 0, n - 1 do
            sendcounts[r + 1], recvcounts[r + 1] = rows(me, r), rows(r, me)
            sent, received = sent + rows(me, r), received + rows(r, me)
        end
        local send = array.zeros({sent, 2}, "int32")
        local i = 0
        for r = 0, n - 1 do
            for _ = 1, rows(me, r) do
                i = i + 1
                send[i] = me * 10 + r
            end
        end
        local target, untouched = guarded(received * 2, "int32")
        for _, got in ipairs {
            c:Alltoallv(send, sendcounts),
            c:Alltoallv(send, sendcounts, target:reshape {received, 2}, recvcounts),
            (c:Ialltoallv(send, sendcounts, array.zeros({received, 2}, "int32"), recvcounts):wait()),
        } do
            i = 0
            for r = 0, n - 1 do
                for _ = 1, rows(r, me) do
                    i = i + 1
                    lu.assertEquals(got[i]:totable(), {r * 10 + me, r * 10 + me})
                end
            end
            lu.assertEquals((got:shape()), received)
        end
        untouched()
    end)
end

function TestVarying:test_Alltoallv_refuses_counts_that_do_not_fit_together()
    if size == 1 then lu.skip "one rank" end
    local ones, two = {}, {}
    for r = 1, size do ones[r], two[r] = 1, r == 1 and 2 or 1 end
    lu.assertStrContains(message(comm.Alltoallv, comm, array.zeros(size), ones, array.zeros(size + 1), rank == 0 and two or ones), "counts[1] is 2, but rank 0 sends 1 rows")
    lu.assertStrContains(message(comm.Alltoallv, comm, array.zeros(size), two), ("send has %d rows, the counts make %d"):format(size, size + 1))
    lu.assertStrContains(message(comm.Alltoallv, comm, array.zeros(size)), "counts is missing")
    lu.assertEquals(comm:allreduce(1), size)
end

function TestVarying:test_Alltoallv_in_place_exchanges_blocks_of_different_size()
    everywhere(function (c)
        local n, me = c:size(), c:rank()
        -- ranks a and b exchange a + b rows
        local counts, total = {}, 0
        for r = 0, n - 1 do
            counts[r + 1] = me + r
            total = total + me + r
        end
        for _, name in ipairs {"Alltoallv", "Ialltoallv"} do
            local a, untouched = guarded(total, "int32")
            local i = 0
            for r = 0, n - 1 do
                for _ = 1, me + r do
                    i = i + 1
                    a[i] = me * 10 + r
                end
            end
            local got = c[name](c, mpi.IN_PLACE, nil, a, counts)
            if name == "Ialltoallv" then got = got:wait() end
            lu.assertIs(got, a)
            i = 0
            for r = 0, n - 1 do
                for _ = 1, me + r do
                    i = i + 1
                    lu.assertEquals(a[i], r * 10 + me)
                end
            end
            untouched()
        end
    end)
end

function TestVarying:test_Alltoallv_in_place_refuses_counts_that_are_not_the_other_ranks()
    if size == 1 then lu.skip "one rank" end
    local counts, total = {}, size
    for r = 1, size do counts[r] = 1 end
    if rank == 0 then counts[size], total = 1000, total + 999 end
    local memory = array.full(total + 1000, 7)
    local problem = message(comm.Alltoallv, comm, mpi.IN_PLACE, nil, memory:slice(1, total), counts)
    lu.assertStrContains(problem, ("[0] bad argument #4 to 'Alltoallv' (counts[%d] is 1000, but rank %d sends 1 rows)"):format(size, size - 1))
    lu.assertStrContains(problem, ("[%d] bad argument #4 to 'Alltoallv' (counts[1] is 1, but rank 0 sends 1000 rows)"):format(size - 1))
    lu.assertEquals(memory:sum(), 7 * (total + 1000))
    lu.assertEquals(comm:allreduce(1), size)
end

function TestVarying:test_Reduce_scatter_gives_each_its_part_of_the_sum()
    everywhere(function (c)
        local n, me = c:size(), c:rank()
        for _, op in ipairs {mpi.SUM, function (a, b) return a + b end} do
            local all = array.range(1, 2 * n):reshape {n, 2}
            local part = c:Reduce_scatter(all, nil, nil, op)
            lu.assertEquals(part:totable(), {{(2 * me + 1) * n, (2 * me + 2) * n}})
            local counts, total = counts_of(c)
            local whole = array.full({total, 2}, 1.5)
            local mine, untouched = guarded(counts[me + 1] * 2, "float64")
            c:Reduce_scatter(whole, mine:reshape {counts[me + 1], 2}, counts, op)
            lu.assertEquals(mine:sum(), 1.5 * n * 2 * counts[me + 1])
            untouched()
        end
    end)
    if size > 1 then
        lu.assertStrContains(message(comm.Reduce_scatter, comm, array.zeros(size + 1)), ("which %d ranks do not divide; pass counts"):format(size))
        local counts = {}
        for r = 1, size do counts[r] = 1 end
        if rank == 0 then counts[1], counts[2] = 2, 0 end
        lu.assertStrContains(message(comm.Reduce_scatter, comm, array.zeros(size), nil, counts), "the ranks do not make the same call")
    end
end

function TestVarying:test_Reduce_scatter_of_a_single_number_gives_it_to_one_rank()
    everywhere(function (c)
        local n, me, counts = c:size(), c:rank(), {}
        for r = 1, n do counts[r] = r == n and 1 or 0 end
        for _, op in ipairs {mpi.SUM, function (a, b) return a + b end} do
            local function one() return array.full({}, me + 1) end
            local expected = me == n - 1 and {n * (n + 1) / 2} or {}
            lu.assertEquals(c:Reduce_scatter(one(), nil, counts, op):totable(), expected)
            lu.assertEquals(c:Ireduce_scatter(one(), nil, counts, op):wait():totable(), expected)
            lu.assertEquals(c:Reduce_scatter(mpi.IN_PLACE, one(), counts, op):get(), expected[1] or me + 1)
            lu.assertEquals(c:Ireduce_scatter(mpi.IN_PLACE, one(), counts, op):wait():get(), expected[1] or me + 1)
        end
    end)
end

function TestVarying:test_Reduce_scatter_in_place_fills_the_first_rows()
    everywhere(function (c)
        local n, me = c:size(), c:rank()
        local counts, total = counts_of(c)
        local first = 0
        for r = 1, me do first = first + counts[r] end
        for _, op in ipairs {mpi.SUM, function (a, b) return a + b end, mpi.op(function (a, b) b:add_(a) end)} do
            for _, name in ipairs {"Reduce_scatter", "Ireduce_scatter"} do
                for _, wide in ipairs {array.zeros {total, 2}, array.zeros({total, 4}):slice({1, total}, {2, 3})} do
                    for i = 1, total do wide[i] = i + 100 * me end
                    local got = c[name](c, mpi.IN_PLACE, wide, counts, op)
                    if name == "Ireduce_scatter" then got = got:wait() end
                    lu.assertIs(got, wide)
                    for i = 1, total do
                        local expected = i <= counts[me + 1] and n * (first + i) + 50 * n * (n - 1) or i + 100 * me
                        lu.assertEquals(wide[i]:totable(), {expected, expected})
                    end
                end
            end
        end
    end)
end

function TestVarying:test_Reduce_scatter_refuses_counts_beyond_all_numbers()
    local counts = {}
    for r = 1, size do counts[r] = r == 1 and 2147483647 or 0 end
    lu.assertStrContains(message(comm.Reduce_scatter, comm, array.zeros {0, 1 << 40}, nil, counts), "send has 0 rows, the counts make 2147483647")
end

TestNonblocking = {}

function TestNonblocking:test_every_twin_gives_what_the_blocking_call_gives()
    everywhere(function (c)
        local n, me = c:size(), c:rank()
        local counts, total = counts_of(c)
        local mine = array.full(rows_of(me), me)
        for _, count in ipairs {0, 1, 900} do
            local function a() return array.full({count, 2}, me + 1) end
            local function each() return array.full({count * n, 2}, me + 1) end
            for root = 0, n - 1 do
                local here = me == root
                for _, case in ipairs {
                    {"bcast", "Bcast", function () return a(), root end},
                    {"scatter", "Scatter", function () return here and each() or nil, a(), root end},
                    {"gather", "Gather", function () return a(), nil, root end},
                    {"reduce", "Reduce", function () return a(), nil, mpi.MAX, root end},
                    {"scatterv", "Scatterv", function ()
                        return here and array.range(1, total):as "float64" or nil, here and counts or nil, mine:copy(), root
                    end},
                    {"gatherv", "Gatherv", function () return mine, nil, here and counts or nil, root end},
                    {"allgather", "Allgather", function () return a() end},
                    {"allgatherv", "Allgatherv", function () return mine, nil, counts end},
                    {"alltoall", "Alltoall", function () return each() end},
                    {"allreduce", "Allreduce", function () return a() end},
                    {"scan", "Scan", function () return a() end},
                    {"exscan", "Exscan", function () return a() end},
                } do
                    local twin, name, arguments = table.unpack(case)
                    local expected = c[name](c, arguments())
                    local got = c["I" .. twin](c, arguments()):wait()
                    lu.assertTrue(got == expected, name)
                end
            end
        end
    end)
end

function TestNonblocking:test_reductions_with_every_kind_of_operator()
    everywhere(function (c)
        local n, me = c:size(), c:rank()
        local sum = n * (n + 1) / 2
        local block = mpi.op(function (a, b) b:copyfrom(array.of {a[1] + b[1], a[2] + b[2]}) end)
        for _, op in ipairs {mpi.SUM, function (a, b) return a + b end, block} do
            lu.assertEquals(c:Iallreduce(array.full(2, me + 1), nil, op):wait():totable(), {sum, sum})
            lu.assertEquals(c:Iscan(array.full(2, 1), nil, op):wait():totable(), {me + 1, me + 1})
            local before = c:Iexscan(array.full(2, 1), nil, op):wait()
            lu.assertEquals(before and before:totable(), me > 0 and {me, me} or nil)
            lu.assertEquals(c:Ireduce_scatter(array.full({n, 2}, 1), nil, nil, mpi.SUM):wait():totable(), {{n, n}})
            local at_root = c:Ireduce(array.full(2, me + 1), nil, op, n - 1):wait()
            lu.assertEquals(at_root and at_root:totable(), me == n - 1 and {sum, sum} or nil)
        end
        lu.assertEquals(c:Iallreduce(array.of {{me, me}}, nil, mpi.MAXLOC):wait():totable(), {{n - 1, n - 1}})
        lu.assertEquals(c:Iallgather(array.full(2, me)):wait()[2 * n], n - 1)
        lu.assertEquals(c:Ialltoall(array.full(n, me)):wait():totable(), array.range(0, n - 1):totable())
        lu.assertEquals(c:Iallreduce(mpi.IN_PLACE, array.full(2, 1)):wait():totable(), {n, n})
    end)
end

function TestNonblocking:test_several_are_under_way_at_once_and_views_too()
    everywhere(function (c)
        local n = c:size()
        local m = array.full({100, 3}, c:rank() + 1)
        local requests = {}
        for j = 1, 3 do requests[j] = c:Iallreduce(m:col(j), nil, j == 2 and mpi.MAX or mpi.SUM) end
        local values = mpi.waitall(requests)
        lu.assertEquals({values[1][100], values[2][1], values[3][50]}, {n * (n + 1) / 2, n, n * (n + 1) / 2})
        local target = array.zeros {100, 2}
        c:Ibcast(c:rank() == 0 and m:col(1) or target:col(2)):wait()
        if c:rank() > 0 then lu.assertEquals({target:get(100, 2), target:get(100, 1)}, {1, 0}) end
    end)
end

function TestNonblocking:test_arrays_are_marked_until_it_is_complete()
    local a = array.ones(100)
    local r = comm:Iallreduce(a)
    if not r:test() then lu.assertStrContains(message(function () a[1] = 2 end), "the array is being sent by a request") end
    r:wait()
    a[1] = 2
    if size > 1 then
        local b = array.zeros(5)
        r = comm:Ibcast(b)
        if not r:test() then lu.assertStrContains(message(b.fill, b, 1), "the array is being") end
        r:wait()
    end
end

function TestNonblocking:test_a_raising_operator_raises_at_wait()
    if size == 1 then lu.skip "one rank" end
    local r = comm:Iallreduce(array.ones(2), nil, function () error "later" end)
    lu.assertStrContains(message(r.wait, r), "later")
    lu.assertEquals(comm:allreduce(1), size)
end

function TestNonblocking:test_mistakes_raise_at_once()
    lu.assertStrContains(message(comm.Iallreduce, comm, {}), "bad argument #1 to 'Iallreduce' (send: array expected, got table)")
    lu.assertStrContains(message(comm.Iallgatherv, comm, array.ones(1)), "bad argument #3 to 'Iallgatherv' (counts is missing)")
end

TestReductions = {}

local expected = {
    SUM = function (a, b) return a + b end,
    PROD = function (a, b) return a * b end,
    MAX = math.max,
    MIN = math.min,
    LAND = function (a, b) return a ~= 0 and b ~= 0 and 1 or 0 end,
    LOR = function (a, b) return (a ~= 0 or b ~= 0) and 1 or 0 end,
    LXOR = function (a, b) return (a ~= 0) ~= (b ~= 0) and 1 or 0 end,
    BAND = function (a, b) return a & b end,
    BOR = function (a, b) return a | b end,
    BXOR = function (a, b) return a ~ b end,
}

local operators = {"SUM", "PROD", "MAX", "MIN", "LAND", "LOR", "LXOR", "BAND", "BOR", "BXOR"}

-- Small numbers, some zero: rank r's element i.
local function element(r, i) return (r + i) % 3 end

local function numbers(c, n, dtype)
    local a = array.zeros(n, dtype)
    for i = 1, n do a[i] = element(c:rank(), i) end
    return a
end

local function combined(f, last, n)
    local result = {}
    for i = 1, n do
        local v = element(0, i)
        for r = 1, last do v = f(v, element(r, i)) end
        result[i] = v
    end
    return result
end

function TestReductions:test_every_operator_and_dtype()
    everywhere(function (c)
        local last = c:size() - 1
        for _, name in ipairs(operators) do
            local f = expected[name]
            for _, dtype in ipairs(dtypes) do
                local bits = name:sub(1, 1) == "B"
                if not (bits and dtype:find "float") then
                    for _, n in ipairs {0, 1, 5} do
                        local a, untouched = guarded(n, dtype)
                        c:Allreduce(numbers(c, n, dtype), a, mpi[name])
                        lu.assertEquals(a:totable(), array.of(combined(f, last, n), dtype):totable())
                        untouched()
                        for root = 0, last do
                            local got = c:Reduce(numbers(c, n, dtype), nil, mpi[name], root)
                            if c:rank() == root then lu.assertTrue(got == a) end
                        end
                        lu.assertEquals(c:Scan(numbers(c, n, dtype), nil, mpi[name]):totable(), array.of(combined(f, c:rank(), n), dtype):totable())
                    end
                end
            end
        end
    end)
end

function TestReductions:test_MAXLOC_and_MINLOC_on_pairs()
    everywhere(function (c)
        for _, dtype in ipairs(dtypes) do
            local pairs_of = array.of({{c:rank() % 2, c:rank()}, {1, c:rank()}}, dtype)
            local most = c:Allreduce(pairs_of, nil, mpi.MAXLOC)
            local least = c:Allreduce(pairs_of, nil, mpi.MINLOC)
            lu.assertEquals(most:totable(), c:size() == 1 and {{0, 0}, {1, 0}} or {{1, 1}, {1, 0}})
            lu.assertEquals(least:totable(), {{0, 0}, {1, 0}})
        end
    end)
end

function TestReductions:test_Exscan_leaves_rank_0_alone()
    everywhere(function (c)
        local a = array.full(3, -5)
        c:Exscan(array.ones(3), a)
        lu.assertEquals(a:totable(), array.full(3, c:rank() == 0 and -5 or c:rank()):totable())
        local made = c:Exscan(array.ones(3))
        if c:rank() == 0 then lu.assertNil(made) else lu.assertEquals(made[3], c:rank()) end
    end)
end

function TestReductions:test_a_Lua_function_combines_pairs_of_numbers_in_rank_order()
    everywhere(function (c)
        local digits = 0
        for r = 0, c:size() - 1 do digits = digits * 10 + r end
        local function append(a, b) return a * 10 + b end
        local a = c:Allreduce(array.full(4, c:rank(), "int64"), nil, c:size() <= 2 and append or function (x, y) return math.max(x, y) end)
        lu.assertEquals(a[4], c:size() <= 2 and digits or c:size() - 1)
        lu.assertEquals(c:Allreduce(array.full({2, 2}, 1.5), nil, function (x, y) return x + y end):get(2, 2), 1.5 * c:size())
    end)
end

function TestReductions:test_an_operator_on_whole_blocks()
    -- 2×2 matrices multiply associatively, not commutatively
    local multiply = mpi.op(function (a, b) b:copyfrom(a:dot(b)) end)
    everywhere(function (c)
        local product = array.of {{1, 0}, {0, 1}}
        for r = 0, c:size() - 1 do product = product:dot(array.of {{1, r}, {r, 2}}) end
        local mine = array.of {{1, c:rank()}, {c:rank(), 2}}
        lu.assertTrue(c:Allreduce(mine, nil, multiply) == product)
    end)
end

function TestReductions:test_a_raising_operator_raises_on_every_rank_and_leaves_the_communicator_usable()
    if size == 1 then lu.skip "one rank" end
    lu.assertStrContains(message(comm.Allreduce, comm, array.ones(3), nil, function () error "never" end), "never")
    lu.assertStrContains(message(comm.Allreduce, comm, array.ones(3), nil, function () return "x" end), "the operator returned a string, expected a number")
    lu.assertStrContains(message(comm.Allreduce, comm, array.ones(3), nil, mpi.op(function () comm:barrier() end)), "an operator cannot communicate")
    local hidden = setmetatable({}, {__tostring = function () error "not to be shown" end})
    lu.assertStrContains(message(comm.Allreduce, comm, array.ones(3), nil, function () error(hidden) end), "(error object is a table value)")
    lu.assertEquals(comm:Allreduce(array.ones(3))[1], size)
end

function TestReductions:test_an_operator_that_raises_on_one_rank_raises_on_every_rank()
    if size == 1 then lu.skip "one rank" end
    for _, name in ipairs {"Reduce", "Allreduce", "Reduce_scatter", "Scan", "Exscan"} do
        for r = 0, size - 1 do
            local reached = false
            local op = mpi.op(function (a, b)
                reached = reached or rank == r
                if rank == r then error "only here" end
                b:add_(a)
            end)
            local recv = array.full(name == "Reduce_scatter" and 1 or size, 7)
            local fine, problem = pcall(comm[name], comm, array.ones(size), recv, table.unpack(name == "Reduce_scatter" and {nil, op} or {op}, 1, 2))
            lu.assertEquals(fine, not comm:allreduce(reached, mpi.LOR))
            if not fine then lu.assertStrContains(problem, ("[%d] tests/test_collective.lua:"):format(r)) end
        end
    end
end

function TestReductions:test_an_operator_that_raises_on_some_values_raises_on_every_rank_that_waits()
    if size == 1 then lu.skip "one rank" end
    local function f(a, b) return b == size - 1 and error "too many" or a + b end
    for _, name in ipairs {"Ireduce", "Iallreduce", "Iscan", "Iexscan"} do
        local r = comm[name](comm, array.full(3, rank), nil, f)
        lu.assertStrContains(message(r.wait, r), "too many")
    end
    lu.assertStrContains(message(comm.Reduce_scatter, comm, array.full(size, rank), nil, nil, f), "too many")
end

function TestReductions:test_no_operator_can_communicate()
    if size == 1 then lu.skip "one rank" end
    local function f() comm:barrier() end
    for _, name in ipairs {"Ireduce", "Iallreduce", "Iscan", "Iexscan"} do
        local r = comm[name](comm, array.ones(3), nil, f)
        lu.assertStrContains(message(r.wait, r), "an operator cannot communicate")
    end
    lu.assertStrContains(message(comm.Reduce_scatter, comm, array.ones(size), nil, nil, f), "an operator cannot communicate")
    lu.assertEquals(comm:allreduce(1), size)
end

function TestReductions:test_what_an_operator_raises_need_not_be_a_text()
    if size == 1 then lu.skip "one rank" end
    local unspeakable = setmetatable({}, {__tostring = function () error "no words" end})
    for _, name in ipairs {"Allreduce", "Reduce_scatter"} do
        local function f() error(unspeakable) end
        local problem = message(comm[name], comm, array.ones(size), nil, table.unpack(name == "Allreduce" and {f} or {nil, f}, 1, 2))
        lu.assertStrContains(problem, "(error object is a table value)")
    end
    lu.assertEquals(comm:allreduce(1), size)
end

TestMistakes = {}

function TestMistakes:test_each_names_its_call_and_argument()
    local a = array.zeros(3)
    for _, case in ipairs {
        {"Bcast", {5}, "bad argument #1 to 'Bcast' (array: array expected, got number)"},
        {"Bcast", {a, size}, ("bad argument #2 to 'Bcast' (root is %d, but the ranks of this communicator are 0 to %d)"):format(size, size - 1)},
        {"Allreduce", {{1}}, "bad argument #1 to 'Allreduce' (send: array expected, got table)"},
        {"Allreduce", {a, mpi.MAX}, "bad argument #2 to 'Allreduce' (recv: array expected, got mpi.op)"},
        {"Allreduce", {a, a}, "bad argument #2 to 'Allreduce' (send and recv share memory; pass mpi.IN_PLACE instead of one)"},
        {"Allreduce", {a, array.zeros(4)}, "bad argument #2 to 'Allreduce' (recv has 4 elements, expected 3)"},
        {"Allreduce", {a, array.zeros(3, "int8")}, "bad argument #2 to 'Allreduce' (recv is int8, send is float64)"},
        {"Allreduce", {a, nil, "max"}, "bad argument #3 to 'Allreduce' (operator expected (mpi.SUM or a function), got string)"},
        {"Allreduce", {a, nil, mpi.BAND}, "bad argument #3 to 'Allreduce' (BAND combines integers only)"},
        {"Allreduce", {a, nil, mpi.MAXLOC}, "bad argument #3 to 'Allreduce' (MAXLOC combines pairs: an array of shape (n, 2))"},
        {"Allreduce", {mpi.IN_PLACE}, "bad argument #2 to 'Allreduce' (recv: array expected, got nil)"},
        {"Allgather", {a, array.zeros(3 * size + 1)}, ("bad argument #2 to 'Allgather' (recv has %d elements, expected %d)"):format(3 * size + 1, 3 * size)},
        {"Scatter", {array.zeros(3 * size), nil}, "bad argument #2 to 'Scatter' (recv: array expected, got nil)"},
    } do
        local text = message(comm[case[1]], comm, table.unpack(case[2], 1, 4))
        lu.assertStrContains(text, case[3])
    end
    if size > 1 then
        lu.assertStrContains(message(comm.Alltoall, comm, array.zeros(size + 1)),
            ("bad argument #1 to 'Alltoall' (send has %d elements, which %d ranks do not divide)"):format(size + 1, size))
    end
    lu.assertEquals(comm:allreduce(1), size)
end

function TestMistakes:test_ranks_that_disagree_learn_it_before_data_moves()
    if size == 1 then lu.skip "one rank" end
    local function differ(a, b, f)
        local target = array.full(8, 3)
        local text = message(function () f(rank == 0 and a or b, target) end)
        lu.assertStrContains(text, "the ranks do not make the same call: [0] comm:")
        lu.assertStrContains(text, "tests/test_collective.lua:")
        lu.assertTrue(target == array.full(8, 3))
        lu.assertEquals(comm:allreduce(1), size)
    end
    differ(4, 5, function (n, target) comm:Bcast(target:slice(1, n)) end)
    differ(0, 1, function (root, target) comm:Bcast(target, root) end)
    differ(mpi.SUM, mpi.PROD, function (op, target) comm:Allreduce(array.ones(8), target, op) end)
    differ("int32", "int64", function (dtype) comm:Allreduce(array.ones(8, dtype)) end)
    differ(true, false, function (yes, target) if yes then comm:Bcast(target) else comm:Allreduce(array.ones(8), target) end end)
    differ(1000, 90000, function (n) comm:Bcast(array.ones(n)) end)
end

function TestMistakes:test_large_blocks_are_always_compared()
    if size == 1 then lu.skip "one rank" end
    local c <close> = comm:dup()
    for _ = 1, 1100 do c:barrier() end
    local a = array.full(20001, 5, "uint8")
    local text = message(c.Bcast, c, a:slice(1, rank == 0 and 20000 or 10000))
    lu.assertStrContains(text, "[0] comm:Bcast(uint8[20000], root=0)")
    lu.assertEquals(a[20001], 5)
end

function TestMistakes:test_barrier_passes()
    everywhere(function (c) for _ = 1, 10 do c:barrier() end end)
end

function TestMistakes:test_an_operator_on_blocks_that_returns_its_result_raises()
    if size == 1 then lu.skip "one rank" end
    local problem = message(comm.Allreduce, comm, array.ones(3), nil, mpi.op(function (a, b) return a + b end))
    lu.assertStrContains(problem, "the operator returned mpi.array; its result is what it leaves in b, as by b:copyfrom(a + b)")
    lu.assertEquals(comm:Allreduce(array.ones(2), nil, mpi.op(function (a, b) return b:add_(a) end)):totable(), {size, size})
end

os.exit(lu.run())
