-- ranks: 1 2 3 4 9
-- within: 120
local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message, everywhere = support.message, support.everywhere
local rank, size = comm:rank(), comm:size()

local samples = {1, -2.5, true, "text", ("long"):rep(1000), {}, {1, {x = {"deep"}}}, {("l"):rep(300), ("m"):rep(300)}}

-- A value that rank 1 alone can decode.
local strange = setmetatable({}, {})
if rank == 1 then mpi.register("known to rank 1", getmetatable(strange)) end

TestBcast = {}

function TestBcast:test_every_root_reaches_every_rank()
    everywhere(function (c)
        for root = 0, c:size() - 1 do
            for _, v in ipairs(samples) do
                lu.assertEquals(c:bcast(c:rank() == root and v or nil, root), v)
            end
            lu.assertNil(c:bcast(nil, root))
        end
    end)
end

function TestBcast:test_sizes_around_the_first_block()
    everywhere(function (c)
        for n = 220, 260 do
            local s = ("b"):rep(n)
            lu.assertEquals(c:bcast(c:rank() == 0 and s or nil), s)
        end
    end)
end

function TestBcast:test_the_root_gets_its_own_value_back()
    local t = {}
    local got = comm:bcast(t)
    if rank == 0 then lu.assertIs(got, t) else lu.assertNotIs(got, t) end
end

function TestBcast:test_what_cannot_be_sent_raises_on_every_rank()
    local text = message(function () comm:bcast(rank == 0 and {f = coroutine.create(print)} or nil) end)
    lu.assertStrContains(text, "cannot send a thread at value.f")
    lu.assertEquals(comm:allreduce(1), size)
end

function TestBcast:test_a_wrong_root_raises_on_every_rank()
    lu.assertStrContains(message(function () comm:bcast(1, size) end),
        ("bad argument #2 to 'bcast' (root is %d, but the ranks of this communicator are 0 to %d)"):format(size, size - 1))
    lu.assertStrContains(message(function () comm:bcast(1, "0x") end), "bad argument #2 to 'bcast' (root: rank expected, got string)")
    lu.assertStrContains(message(function () comm:bcast(1, mpi.PROC_NULL) end), "root is -2")
end

TestFinalizers = {}

function TestFinalizers:test_they_may_pack_values_while_others_are_on_their_way()
    local c <close> = comm:dup() -- the first calls on the world are compared: that is for other tests
    local packed, other = 0, ("other"):rep(2000)
    local function litter()
        setmetatable({}, {__gc = function ()
            if not packed then return end
            mpi.pack({other, litter and {}})
            packed = packed + 1
            litter()
        end})
    end
    for _ = 1, 20 do litter() end
    for i = 1, 300 do
        for _, length in ipairs {10, 400, 5000} do
            local text = ("%d of %d "):format(i, rank):rep(length // 10)
            local list, gathered = c:allgather({text}), c:gather({text}, i % size)
            local root = (i // 2) % size
            lu.assertEquals(#c:bcast({("%d "):format(root):rep(length)}, root)[1], 2 * length)
            for r = 0, size - 1 do
                local expected = ("%d of %d "):format(i, r):rep(length // 10)
                lu.assertEquals(list[r + 1][1], expected)
                lu.assertEquals(gathered and gathered[r + 1][1], gathered and expected)
            end
        end
    end
    lu.assertTrue(packed > 20)
    packed = nil
end

TestGather = {}

function TestGather:test_every_root_gets_the_list_by_rank()
    everywhere(function (c)
        for root = 0, c:size() - 1 do
            for _, v in ipairs(samples) do
                local list = c:gather({c:rank(), v}, root)
                if c:rank() == root then
                    lu.assertEquals(list.n, c:size())
                    for r = 0, c:size() - 1 do lu.assertEquals(list[r + 1], {r, v}) end
                else
                    lu.assertNil(list)
                end
            end
        end
    end)
end

function TestGather:test_nil_leaves_a_hole()
    local list = comm:gather(rank % 2 == 0 and rank or nil)
    if rank == 0 then
        lu.assertEquals(list.n, size)
        for r = 0, size - 1 do
            if r % 2 == 0 then lu.assertEquals(list[r + 1], r) else lu.assertNil(list[r + 1]) end
        end
    end
end

function TestGather:test_values_of_very_different_sizes()
    everywhere(function (c)
        local v = ("g"):rep(10 ^ (c:rank() % 6) // 1 | 0)
        local list = c:gather(v)
        if list then for r = 0, c:size() - 1 do lu.assertEquals(#list[r + 1], 10 ^ (r % 6) // 1 | 0) end end
        list = c:allgather(v)
        for r = 0, c:size() - 1 do lu.assertEquals(#list[r + 1], 10 ^ (r % 6) // 1 | 0) end
    end)
end

function TestGather:test_one_rank_that_cannot_send_raises_on_every_rank()
    local text = message(function () comm:gather(rank == size - 1 and io.stdout or 1) end)
    lu.assertStrContains(text, "cannot send a FILE* at value")
    lu.assertEquals(comm:allreduce(1), size)
end

function TestGather:test_allgather_gives_every_rank_the_list()
    everywhere(function (c)
        for _, v in ipairs(samples) do
            local list = c:allgather({c:rank(), v})
            lu.assertEquals(list.n, c:size())
            for r = 0, c:size() - 1 do lu.assertEquals(list[r + 1], {r, v}) end
        end
    end)
end

function TestGather:test_what_the_root_cannot_decode_raises_there_and_the_others_go_on()
    if size == 1 then lu.skip "one rank" end
    local fine, problem = pcall(comm.gather, comm, rank == 1 and strange or ("long"):rep(50000))
    lu.assertEquals(fine, rank > 0)
    if not fine then lu.assertStrContains(problem, "known to rank 1") end
    lu.assertEquals(comm:allreduce(1), size)
end

TestScatter = {}

function TestScatter:test_every_root_gives_each_rank_its_entry()
    everywhere(function (c)
        for root = 0, c:size() - 1 do
            for _, v in ipairs(samples) do
                local list
                if c:rank() == root then
                    list = {}
                    for r = 0, c:size() - 1 do list[r + 1] = {r, v} end
                end
                lu.assertEquals(c:scatter(list, root), {c:rank(), v})
            end
        end
    end)
end

function TestScatter:test_a_list_with_holes_says_its_length_in_n()
    lu.assertNil((comm:scatter {n = size}))
end

function TestScatter:test_a_list_of_another_length_raises_on_every_rank()
    local short = {}
    for i = 1, size + 1 do short[i] = i end
    lu.assertStrContains(message(function () comm:scatter(rank == 0 and short or nil) end),
        ("bad argument #1 to 'scatter' (list of %d values expected, one for each rank, got %d)"):format(size, size + 1))
    lu.assertStrContains(message(function () comm:scatter(rank == 0 and 5 or nil) end),
        ("list of %d values expected, one for each rank, got number"):format(size))
    lu.assertEquals(comm:allreduce(1), size)
end

function TestScatter:test_alltoall_exchanges_all_pairs()
    everywhere(function (c)
        for _, v in ipairs(samples) do
            local list = {}
            for r = 0, c:size() - 1 do list[r + 1] = {c:rank(), r, v} end
            local got = c:alltoall(list)
            lu.assertEquals(got.n, c:size())
            for r = 0, c:size() - 1 do lu.assertEquals(got[r + 1], {r, c:rank(), v}) end
        end
    end)
end

function TestScatter:test_alltoall_of_lists_too_short_raises_on_every_rank()
    lu.assertStrContains(message(function () comm:alltoall(rank == size - 1 and {} or setmetatable({n = size}, nil)) end),
        ("list of %d values expected, one for each rank, got 0"):format(size))
    lu.assertEquals(comm:allreduce(1), size)
end

function TestScatter:test_lists_are_read_without_metamethods()
    local list = {}
    for r = 0, size - 1 do list[r + 1] = rank * size + r end
    setmetatable(list, {__index = function () error "read" end, __len = function () error "measured" end})
    lu.assertEquals(comm:scatter(rank == 0 and list or nil), rank)
    local got = comm:alltoall(list)
    for r = 0, size - 1 do lu.assertEquals(got[r + 1], r * size + rank) end
end

TestReduce = {}

local function sum_of(n) return n * (n + 1) // 2 end

function TestReduce:test_every_operator_on_numbers()
    everywhere(function (c)
        local r, n = c:rank(), c:size()
        local fact = 1
        for i = 2, n do fact = fact * i end
        lu.assertEquals(c:allreduce(r + 1), sum_of(n))
        lu.assertEquals(c:allreduce(r + 1, mpi.SUM), sum_of(n))
        lu.assertEquals(c:allreduce(r + 1, mpi.PROD), fact)
        lu.assertEquals(c:allreduce(r, mpi.MAX), n - 1)
        lu.assertEquals(c:allreduce(r, mpi.MIN), 0)
        lu.assertEquals(c:allreduce(r == 0, mpi.LAND), n == 1)
        lu.assertEquals(c:allreduce(r == 0, mpi.LOR), true)
        lu.assertEquals(c:allreduce(true, mpi.LXOR), n % 2 == 1)
        lu.assertEquals(c:allreduce(r, mpi.LAND), 0)
        lu.assertEquals(c:allreduce(2.5, mpi.LOR), 1)
        lu.assertEquals(c:allreduce(1 << r | 1 << 60, mpi.BAND), n == 1 and 1 << 60 | 1 or 1 << 60)
        lu.assertEquals(c:allreduce(1 << r, mpi.BOR), (1 << n) - 1)
        lu.assertEquals(c:allreduce(1 << r, mpi.BXOR), (1 << n) - 1)
        lu.assertEquals(c:allreduce({r % 2, r}, mpi.MAXLOC), n == 1 and {0, 0} or {1, 1})
        lu.assertEquals(c:allreduce({0.5, r + 10}, mpi.MINLOC), {0.5, 10})
    end)
end

function TestReduce:test_integers_stay_integers_and_mix_with_floats()
    lu.assertEquals(math.type(comm:allreduce(1)), "integer")
    lu.assertEquals(math.type(comm:allreduce(1.0)), "float")
    lu.assertEquals(math.type(comm:allreduce(rank == 0 and 1.0 or 1)), "float")
    lu.assertEquals(comm:allreduce(rank == 0 and 0.5 or 1), size - 0.5)
    lu.assertEquals(comm:allreduce(math.maxinteger, mpi.MAX), math.maxinteger)
    lu.assertEquals(comm:allreduce(rank == 0 and math.maxinteger or 0.5, mpi.MAX), math.maxinteger)
    lu.assertEquals(comm:allreduce(rank == 0 and math.mininteger or -2.0^63 * 2, mpi.MIN), size == 1 and math.mininteger or -2.0^64)
    lu.assertEquals(math.type(comm:allreduce(rank + 0.0, mpi.BOR)), "integer")
end

function TestReduce:test_any_function_on_any_value_in_rank_order()
    everywhere(function (c)
        local expected = {}
        for r = 0, c:size() - 1 do expected[#expected + 1] = r end
        local function join(a, b) return table.move(b, 1, #b, #a + 1, a) end
        lu.assertEquals(c:allreduce({c:rank()}, join), expected)
        lu.assertEquals(c:allreduce(tostring(c:rank()), function (a, b) return a .. b end), table.concat(expected))
        lu.assertEquals(c:allreduce(("x"):rep(1000), function (a, b) return a .. b end), ("x"):rep(1000 * c:size()))
        lu.assertEquals(c:allreduce(c:rank(), function (a, b) return a * 10 + b end), tonumber(table.concat(expected)))
    end)
end

function TestReduce:test_reduce_gives_the_root_alone()
    everywhere(function (c)
        for root = 0, c:size() - 1 do
            local v = c:reduce(c:rank() + 1, mpi.SUM, root)
            lu.assertEquals(v, c:rank() == root and sum_of(c:size()) or nil)
            v = c:reduce({c:rank() + 1}, function (a, b) return {a[1] + b[1]} end, root)
            lu.assertEquals(v, c:rank() == root and {sum_of(c:size())} or nil)
        end
    end)
end

function TestReduce:test_tables_that_cannot_be_added_raise()
    if size == 1 then lu.skip "one rank" end
    local mt = {__add = function (a, b) return {x = a.x + b.x} end}
    lu.assertStrContains(message(comm.allreduce, comm, {x = 1}), "allreduce with mpi.SUM: attempt to perform arithmetic on a table value; a Lua function may combine any values")
    lu.assertStrContains(message(comm.allreduce, comm, setmetatable({x = 1}, mt)), "metatable")
end

function TestReduce:test_arrays_of_bools_and_nils_raise_on_every_rank()
    if size == 1 then lu.skip "one rank" end
    lu.assertStrContains(message(comm.allreduce, comm, true), "attempt to perform arithmetic on a boolean value")
    lu.assertStrContains(message(comm.allreduce, comm, nil), "attempt to perform arithmetic on a nil value")
    lu.assertStrContains(message(comm.allreduce, comm, rank == 0 and "a" or 1), "attempt to add a 'string' with a 'number'")
    lu.assertStrContains(message(comm.allreduce, comm, 1.5, mpi.BAND), "number has no integer representation")
    lu.assertStrContains(message(comm.allreduce, comm, "x", mpi.LOR), "attempt to combine a string value with a logical operator")
    lu.assertEquals(comm:allreduce(1), size)
end

function TestReduce:test_a_raising_operator_raises_the_same_on_every_rank()
    if size == 1 then lu.skip "one rank" end
    local text = message(comm.allreduce, comm, rank, function () error "no way" end)
    lu.assertStrContains(text, "no way")
    for _, other in ipairs(comm:allgather(text)) do lu.assertEquals(other, text) end
    text = message(comm.scan, comm, rank, function () error {} end)
    lu.assertEquals(comm:allreduce(1), size)
end

function TestReduce:test_an_operators_error_that_cannot_be_shown_raises_on_every_rank()
    if size == 1 then lu.skip "one rank" end
    local hidden = setmetatable({}, {__tostring = function () error "not to be shown" end})
    local function f() error(hidden) end
    for _, call in ipairs {"allreduce", "reduce", "scan"} do
        lu.assertEquals(message(comm[call], comm, rank, f), "(error object is a table value)")
    end
    lu.assertEquals(comm:allreduce(1), size)
end

function TestReduce:test_a_value_that_cannot_be_decoded_where_they_meet_raises_on_every_rank()
    if size == 1 then lu.skip "one rank" end
    for _, call in ipairs {"allreduce", "reduce", "scan"} do
        for _, op in ipairs {mpi.SUM, function () return 1 end} do
            local text = message(comm[call], comm, rank == 1 and strange or ("long"):rep(1000), op)
            lu.assertStrMatches(text, "the message has a table registered as 'known to rank 1'.*")
        end
    end
    lu.assertEquals(comm:allreduce(1), size)
end

function TestReduce:test_different_operators_raise_on_every_rank()
    if size == 1 then lu.skip "one rank" end
    local text = message(function () comm:allreduce(1, rank == 0 and mpi.SUM or mpi.PROD) end)
    lu.assertStrContains(text, "the ranks do not make the same call: [0] comm:allreduce(op=SUM) at tests/test_collective_values.lua:")
    lu.assertStrContains(text, size == 2 and "; [1] comm:allreduce(op=PROD) at" or "; [1-" .. size - 1 .. "] comm:allreduce(op=PROD) at")
end

function TestReduce:test_what_is_no_operator_raises()
    lu.assertStrContains(message(comm.allreduce, comm, 1, "+"), "bad argument #2 to 'allreduce' (operator expected (mpi.SUM or a function), got string)")
    lu.assertStrContains(message(comm.allreduce, comm, 1, mpi.op(print)), "mpi.op works on arrays")
end

function TestReduce:test_scan_and_exscan_on_every_rank()
    everywhere(function (c)
        local r = c:rank()
        lu.assertEquals(c:scan(r + 1), sum_of(r + 1))
        lu.assertEquals(c:exscan(r + 1), r > 0 and sum_of(r) or nil)
        lu.assertEquals(c:scan(r, mpi.MAX), r)
        lu.assertEquals(c:scan(r + 0.5), sum_of(r) + (r + 1) * 0.5)
        local function cat(a, b) return a .. b end
        local all = "012345678"
        lu.assertEquals(c:scan(tostring(r), cat), all:sub(1, r + 1))
        lu.assertEquals(c:exscan(tostring(r), cat), r > 0 and all:sub(1, r) or nil)
        lu.assertEquals(c:exscan(r == 0 and {1} or 1, function () return 0 end), r > 0 and (r == 1 and {1} or 0) or nil)
    end)
end

TestHooks = {}

function TestHooks:test_a_hook_may_pack_while_a_value_is_on_its_way()
    local list = {}
    for i = 1, 5000 do list[i] = i * 0.5 end
    debug.sethook(function () mpi.pack "something else" end, "cr")
    local fine, value = pcall(comm.bcast, comm, rank == 0 and list or nil)
    debug.sethook()
    lu.assertTrue(fine, tostring(value))
    lu.assertEquals(value, list)
end

TestManyCalls = {}

-- The calls of a communicator are compared at first only; everything must be right afterwards too.
function TestManyCalls:test_after_the_checks_values_and_failures_are_as_before()
    local c <close> = comm:dup()
    for i = 1, 1100 do lu.assertEquals(c:allreduce(i), i * size) end
    lu.assertEquals(c:bcast("b"), "b")
    local list = c:gather(rank == size - 1 and ("g"):rep(2000) or "g")
    if rank == 0 then lu.assertEquals(#list[size], 2000) end
    if size > 1 then
        -- the one that cannot send and the one that waits for it raise; the others go on, unless the calls of a program
        -- that can be stopped are compared throughout
        local fine, text = pcall(c.gather, c, rank == 1 and io.stdout or 1)
        lu.assertEquals(fine, rank > 1 and not lu.guarded)
        if not fine then lu.assertStrContains(text, "cannot send a FILE* at value") end
        fine, text = pcall(c.scatter, c, rank == 0 and {1} or nil)
        lu.assertFalse(fine)
        lu.assertStrContains(text, ("list of %d values expected"):format(size))
        fine, text = pcall(c.bcast, c, rank == 0 and io.stdout or nil)
        lu.assertFalse(fine)
        lu.assertStrContains(text, "cannot send a FILE* at value")
        fine, text = pcall(c.allgather, c, rank == 1 and io.stdout or 1)
        lu.assertFalse(fine)
        lu.assertStrContains(text, "[1] cannot send a FILE* at value")
    end
    lu.assertEquals(c:allreduce(1), size)
end

os.exit(lu.run())
