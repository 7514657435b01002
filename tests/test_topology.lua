-- ranks: 1 2 3 4 6
local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message = support.message
local rank, size = comm:rank(), comm:size()

local function line(periodic) return comm:cart {dims = {size}, periods = periodic} end

-- The neighbour's rank one step down or up a line.
local function beside(step, periodic)
    local r = rank + step
    if periodic then return r % size end
    return r >= 0 and r < size and r or nil
end

-- A grid of all ranks, its sizes, and whether each dimension is periodic, for every combination.
local function each_grid(f)
    local shapes = {{size}, mpi.dims(size, 2), mpi.dims(size, 3), {1, size}, {size, 1}}
    for _, dims in ipairs(shapes) do
        for bits = 0, (1 << #dims) - 1 do
            local periods = {}
            for d = 1, #dims do periods[d] = bits >> (d - 1) & 1 == 1 end
            local grid <close> = comm:cart {dims = dims, periods = periods}
            f(grid, dims, periods)
        end
    end
end

-- The neighbours in MPI's order, PROC_NULL where there is none.
local function neighbours(grid, dims)
    local list = {}
    for d = 1, #dims do
        local lower, higher = grid:shift(d, 1)
        table.insert(list, lower)
        table.insert(list, higher)
    end
    return list
end

TestTopology = {}

function TestTopology:test_coordinates_count_in_row_major_order()
    each_grid(function (grid, dims)
        lu.assertEquals({grid:rank(), grid:size()}, {rank, size})
        for r = 0, size - 1 do
            local rest, coords = r, {}
            for d = #dims, 1, -1 do
                coords[d] = rest % dims[d]
                rest = rest // dims[d]
            end
            lu.assertEquals(grid:coords(r), coords)
            lu.assertEquals(grid:rank_at(coords), r)
        end
        lu.assertEquals(grid:coords(), grid:coords(rank))
    end)
end

function TestTopology:test_a_shift_stops_at_a_border_or_wraps()
    each_grid(function (grid, dims, periods)
        for d = 1, #dims do
            for _, n in ipairs {0, 1, -1, 2, -3, 100, math.maxinteger} do
                local function at(step)
                    local coords = grid:coords()
                    local to = coords[d] + step
                    if periods[d] then coords[d] = (coords[d] + step % dims[d]) % dims[d]
                    elseif math.abs(step) > size or to < 0 or to >= dims[d] then return mpi.PROC_NULL
                    else coords[d] = to
                    end
                    return grid:rank_at(coords)
                end
                lu.assertEquals({grid:shift(d, n)}, {at(-n), at(n)})
            end
            lu.assertEquals({grid:shift(d)}, {grid:shift(d, 1)})
        end
    end)
end

function TestTopology:test_rank_at_wraps_where_periodic_and_raises_elsewhere()
    local ring <close> = line(true)
    local open <close> = line(false)
    lu.assertEquals(ring:rank_at {size}, 0)
    lu.assertEquals(ring:rank_at {-1}, size - 1)
    lu.assertEquals(ring:rank_at {math.mininteger}, math.mininteger % size)
    lu.assertStrContains(message(open.rank_at, open, {size}), ("coordinate 1 is %d, expected 0 to %d"):format(size, size - 1))
    lu.assertStrContains(message(open.rank_at, open, {-1}), "coordinate 1 is -1")
    lu.assertStrContains(message(open.rank_at, open, {0, 0}), "list of 1 coordinates expected, got 2")
    lu.assertStrContains(message(open.rank_at, open, {"x"}), "coordinate 1: integer expected, got string")
    lu.assertStrContains(message(open.coords, open, size), ("rank is %d, expected 0 to %d"):format(size, size - 1))
    lu.assertStrContains(message(open.shift, open, 2, 1), "dim is 2, expected 1 to 1")
    lu.assertStrContains(message(open.shift, open, 0, 1), "dim is 0, expected 1 to 1")
end

function TestTopology:test_periods_default_to_false_and_may_be_one_boolean()
    local grid <close> = comm:cart {dims = {size, 1}}
    local torus <close> = comm:cart {dims = {size, 1}, periods = true, reorder = false}
    lu.assertEquals({grid:shift(2, 1)}, {mpi.PROC_NULL, mpi.PROC_NULL})
    lu.assertEquals({torus:shift(2, 1)}, {rank, rank})
end

function TestTopology:test_a_smaller_grid_leaves_ranks_out()
    lu.ranks(2)
    local grid <close> = comm:cart {dims = {size - 1}}
    if rank == size - 1 then lu.assertNil(grid)
    else lu.assertEquals({grid:rank(), grid:size()}, {rank, size - 1})
    end
end

function TestTopology:test_bad_options_raise_on_every_rank()
    local function refused(options, expected)
        lu.assertStrContains(message(comm.cart, comm, options), "bad argument #1 to 'cart' (" .. expected)
    end
    refused({dims = {size + 1}}, ("dims make more ranks than the %d of the communicator)"):format(size))
    refused({dims = {1 << 30, 1 << 30, 1 << 30}}, "dims make more ranks")
    refused({dims = {size}, perods = true}, "unknown option 'perods'; known are: dims periods reorder)")
    refused({dims = {size}, [1] = true}, "unknown option '1'")
    refused({}, "dims: list of integers expected, got nil)")
    refused({dims = {}}, "dims: 1 to 16 dimensions expected, got 0)")
    refused({dims = {0}}, "dims[1] is not a number of ranks)")
    refused({dims = {1, 1.5}}, "dims[2] is not a number of ranks)")
    refused({dims = {size}, periods = {true, false}}, "periods: list of 1 booleans expected, got 2)")
    refused({dims = {size}, periods = {1}}, "periods[1]: boolean expected, got number)")
    refused({dims = {size}, periods = "x"}, "periods: boolean or list of booleans expected, got string)")
    refused({dims = {size}, reorder = 1}, "reorder: boolean expected, got number)")
    refused(nil, "table {dims=…} expected, got nil)")
end

function TestTopology:test_a_mistake_of_one_rank_raises_on_all()
    lu.ranks(2)
    lu.assertStrContains(message(comm.cart, comm, {dims = {rank == 1 and "x" or size}}), "[1] bad argument #1 to 'cart' (dims[1]")
    lu.assertStrContains(message(comm.cart, comm, {dims = {rank == 1 and 1 or size}}), "with different arguments")
    local grid <close> = line()
    lu.assertStrContains(message(grid.sub, grid, {rank == 0}), "with different arguments")
    lu.assertStrContains(message(grid.neighbor_allgather, grid, rank == 1 and print or coroutine.create(print)), "cannot send a thread")
    lu.assertStrContains(message(grid.neighbor_alltoall, grid, rank == 0 and 7 or {1, 2}), "[0] bad argument #1 to 'neighbor_alltoall'")
    lu.assertEquals(grid:allreduce(1), size)
end

function TestTopology:test_sub_keeps_some_dimensions()
    each_grid(function (grid, dims)
        for bits = 0, (1 << #dims) - 1 do
            local keep, kept, coords = {}, 1, {}
            for d = 1, #dims do
                keep[d] = bits >> (d - 1) & 1 == 1
                if keep[d] then
                    kept = kept * dims[d]
                    table.insert(coords, grid:coords()[d])
                end
            end
            local slice <close> = grid:sub(keep)
            lu.assertEquals(slice:size(), kept)
            lu.assertEquals(slice:coords(), coords)
            lu.assertEquals(slice:allreduce(1), kept)
            lu.assertEquals(slice:neighbor_allgather(1).n, 2 * #coords)
        end
        lu.assertStrContains(message(grid.sub, grid, {}), "keep: list of " .. #dims .. " booleans expected, got 0")
        lu.assertStrContains(message(grid.sub, grid), "booleans expected, got nil")
    end)
end

function TestTopology:test_without_topology_every_call_says_so()
    for _, name in ipairs {"coords", "rank_at", "shift", "sub", "neighbor_allgather", "neighbor_alltoall",
                           "Neighbor_allgather", "Neighbor_alltoall", "Ineighbor_allgather"} do
        lu.assertEquals(message(comm[name], comm), name .. ": the communicator has no topology; comm:cart makes one that has")
    end
end

function TestTopology:test_a_dup_keeps_the_topology()
    local grid <close> = line(true)
    local dup <close> = grid:dup()
    lu.assertEquals(dup:coords(), {rank})
end

function TestTopology:test_values_of_the_neighbours_come_in_order()
    for _, long in ipairs {"", ("x"):rep(300), ("x"):rep(100000)} do
        each_grid(function (grid, dims)
            local list = neighbours(grid, dims)
            local got = grid:neighbor_allgather {rank, long}
            lu.assertEquals(got.n, #list)
            for i, r in ipairs(list) do
                if r == mpi.PROC_NULL then lu.assertNil(got[i])
                else lu.assertEquals({got[i][1], got[i][2] == long}, {r, true})
                end
            end
        end)
    end
end

-- What the lower neighbour gives is what it sent to its higher one, also when both are the same rank.
function TestTopology:test_each_neighbour_gets_its_own_value()
    for _, long in ipairs {"", ("x"):rep(300), ("x"):rep(100000)} do
        each_grid(function (grid, dims)
            local list, send = neighbours(grid, dims), {n = 2 * #dims}
            for i in ipairs(list) do send[i] = {rank, i, long} end
            local got = grid:neighbor_alltoall(send)
            for i, r in ipairs(list) do
                if r == mpi.PROC_NULL then lu.assertNil(got[i])
                else lu.assertEquals({got[i][1], got[i][2], got[i][3] == long}, {r, (i - 1 ~ 1) + 1, true})
                end
            end
        end)
    end
end

function TestTopology:test_entries_for_missing_neighbours_may_be_missing()
    local open <close> = line(false)
    local lower, higher = beside(-1), beside(1)
    local send = {}
    if lower then send[1] = rank end
    if higher then send[2] = rank end
    lu.assertEquals(open:neighbor_alltoall(send), {lower, higher, n = 2})
end

local function block(r, i) return {r * 100 + i, r * 100 + i + 0.5} end

local function check_blocks(got, list, expected, untouched)
    for i, r in ipairs(list) do
        local row = {got:get(2 * i - 1), got:get(2 * i)}
        lu.assertEquals(row, r == mpi.PROC_NULL and {untouched, untouched} or expected(r, i))
    end
end

function TestTopology:test_arrays_of_the_neighbours()
    each_grid(function (grid, dims)
        local list = neighbours(grid, dims)
        local mine = array.of(block(rank, 0))
        local function expected(r) return block(r, 0) end
        check_blocks(grid:Neighbor_allgather(mine), list, expected, 0)
        local recv = array.full(2 * #list, -1)
        grid:Neighbor_allgather(mine, recv)
        check_blocks(recv, list, expected, -1)
        recv:fill(-1)
        lu.assertEquals(grid:Ineighbor_allgather(mine, recv):wait() == recv, true)
        check_blocks(recv, list, expected, -1)
    end)
end

function TestTopology:test_arrays_for_each_neighbour()
    each_grid(function (grid, dims)
        local list = neighbours(grid, dims)
        local send = array.zeros {2 * #list, 1}
        for i in ipairs(list) do
            local b = block(rank, i)
            send:set(2 * i - 1, 1, b[1])
            send:set(2 * i, 1, b[2])
        end
        local function expected(r, i) return block(r, (i - 1 ~ 1) + 1) end
        local made = grid:Neighbor_alltoall(send)
        lu.assertEquals({made:shape()}, {2 * #list, 1})
        check_blocks(made:col(1), list, expected, 0)
        local wide = array.full({2 * #list, 3}, -1)
        grid:Neighbor_alltoall(send, wide:col(2))
        check_blocks(wide:col(2), list, expected, -1)
        lu.assertEquals(wide:col(1):sum() + wide:col(3):sum(), -4.0 * #list)
    end)
end

function TestTopology:test_arrays_for_each_neighbour_in_the_background()
    each_grid(function (grid, dims, periods)
        local list, narrow = neighbours(grid, dims), nil
        local send, recv = array.range(1, #list), array.full(#list, -1, "int64")
        for d = 1, #dims do narrow = narrow or periods[d] and dims[d] < 3 and d end
        if narrow then
            lu.assertEquals(message(grid.Ineighbor_alltoall, grid, send, recv), "Ineighbor_alltoall: dimension " .. narrow
                            .. " is periodic and has fewer than 3 ranks; the blocking call takes it")
        else
            grid:Ineighbor_alltoall(send, recv):wait()
            for i, r in ipairs(list) do lu.assertEquals(recv[i], r == mpi.PROC_NULL and -1 or (i - 1 ~ 1) + 1) end
        end
    end)
end

function TestTopology:test_arrays_that_do_not_fit_raise()
    local open <close> = line(true)
    lu.assertStrContains(message(open.Neighbor_alltoall, open, array.zeros(3)), "send has 3 elements, which 2 neighbours do not divide")
    lu.assertStrContains(message(open.Neighbor_allgather, open, array.zeros(3), array.zeros(5)), "recv has 5 elements, expected 6")
    lu.assertStrContains(message(open.Neighbor_allgather, open, mpi.IN_PLACE, array.zeros(6)), "send: array expected")
    lu.assertEquals(open:allreduce(1), size)
end

function TestTopology:test_dims_divides_evenly()
    lu.assertEquals(mpi.dims(12, 2), {4, 3})
    lu.assertEquals(mpi.dims(8, 3), {2, 2, 2})
    lu.assertEquals(mpi.dims(7, 1), {7})
    lu.assertEquals(mpi.dims(12, {0, 2, 0}), {3, 2, 2})
    lu.assertEquals(mpi.dims(6, {2, 3}), {2, 3})
    lu.assertStrContains(message(mpi.dims, 12, {5, 0}), "12 ranks cannot be divided so")
    lu.assertStrContains(message(mpi.dims, 12, {2, 3}), "12 ranks cannot be divided so")
    lu.assertStrContains(message(mpi.dims, 12, {-1, 0}), "entry 1 is neither a number of ranks nor 0")
    lu.assertStrContains(message(mpi.dims, 0, 2), "n is 0, expected 1 to 2147483647")
    lu.assertStrContains(message(mpi.dims, 4, 0), "k is 0, expected 1 to 16")
end

os.exit(lu.run())
