-- A rank without memory for what comes in a collective raises; the others go on, and the next call is right.
-- ranks: 3 9
-- within: 60
-- exit: 0
-- stdout: all have gone on
local module = arg[-1]:gsub("[^/]+$", "tests/scarce.so")
local scarce = assert(package.loadlib(module, "luaopen_scarce"))()
local rank, size = comm:rank(), comm:size()
local ring <close> = comm:cart{dims = {size}, periods = true}

local function text(n, from) return ("%d|"):format(from):rep(n // 2) end

local function longer(a, b) return #a > #b and a or b end

-- What all ranks call, and what the ranks that have memory get, when rank `poor` gets values of n bytes.
local poor = 1
local calls = {
    bcast = function (n) return comm:bcast(rank == 0 and text(n, 0) or nil) == text(n, 0) end,
    gather = function (n)
        local got = comm:gather(rank == poor and 1 or text(n, rank), poor)
        return rank ~= poor or got[1] == text(n, 0)
    end,
    allgather = function (n)
        local got = comm:allgather(rank == poor and 1 or text(n, rank))
        for r = 0, size - 1 do
            if got[r + 1] ~= (r == poor and 1 or text(n, r)) then return false end
        end
        return true
    end,
    scatter = function (n)
        local all = rank == 0 and {}
        for r = 0, all and size - 1 or -1 do all[r + 1] = text(n, r) end
        return comm:scatter(all or nil) == text(n, rank)
    end,
    alltoall = function (n)
        local all = {}
        for r = 0, size - 1 do all[r + 1] = rank ~= poor and r == poor and text(n, rank) or rank end
        return comm:alltoall(all)[1] == (rank == poor and text(n, 0) or 0)
    end,
    neighbor_allgather = function (n)
        local got = ring:neighbor_allgather(rank == poor and 1 or text(n, rank))
        return got[1] == ((rank - 1) % size == poor and 1 or text(n, (rank - 1) % size))
    end,
    reduce = function (n)
        local longest = comm:reduce(rank == poor and "" or text(n, rank), longer, poor)
        return rank ~= poor or #longest == n
    end,
    allreduce = function (n) return #comm:allreduce(rank == poor and "" or text(n, rank), longer) == n end,
}

-- The result of f on this rank, or of pcall(f) with little memory on the poor one.
local function attempt(try, grant, f, n)
    if rank ~= poor then return pcall(f, n) end
    return try(grant, function () return f(n) end)
end

for _, name in ipairs {"bcast", "gather", "allgather", "scatter", "alltoall", "neighbor_allgather", "reduce"} do
    for _, n in ipairs {1 << 17, 5 << 18} do
        local fine, result = attempt(scarce.small, 1 << 16, calls[name], n)
        local everywhere = name == "reduce" -- the error is the result
        assert(fine == not (rank == poor or everywhere), name)
        assert(fine and result or not fine and result:find "not enough memory", name)
        assert(comm:allreduce(1) == size)
    end
end

-- however little there is: where nothing is needed before the data comes, or all ranks learn of it
collectgarbage "stop"
for _, name in ipairs(size <= 8 and {"bcast", "gather", "allgather", "scatter", "reduce", "allreduce"} or {}) do
    local together = name:find "reduce"
    for n = 30, 0, -1 do
        local fine, result = attempt(scarce.pcall, n, calls[name], 300 * (n + 1))
        assert(fine and result or not fine and result:find "not enough memory", name)
        assert(rank == poor or fine or together, name)
        assert(rank ~= poor or n > 0 or not fine, name)
        assert(comm:allreduce(1) == size)
    end
end
if rank == 0 then print "all have gone on" end
