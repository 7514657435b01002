-- Ranks that make the same collectives in another order, after the first thousand: long data comes only where it fits.
-- ranks: 2 4
-- exit: 0
-- stdout: nothing was written behind the arrays
local rank = comm:rank()
local c = comm:dup()
for _ = 1, 1001 do c:barrier() end

local memory = array.full(50000, -1)
local function broadcast(n)
    memory:fill(-1)
    local a = memory:slice(1, n)
    if rank == 0 then a:fill(n) end
    c:Bcast(a)
    assert(a:sum() == n * n and memory:sum() == n * n - (50000 - n))
end

for _, n in ipairs(rank == 0 and {5, 30000} or {30000, 5}) do broadcast(n) end
comm:barrier()

-- requests made in another order
for round = 1, 2 do
    local a, b, behind = array.zeros(30000), array.zeros(5), array.full(30000, -1)
    local requests = {}
    for _, x in ipairs((rank == 0) == (round == 1) and {a, b} or {b, a}) do
        if rank == 0 then x:fill(x:size()) end
        requests[#requests + 1] = c:Ibcast(x)
    end
    mpi.waitall(requests)
    assert(a:sum() == 30000^2 and b:sum() == 25 and behind:sum() == -30000)
end

comm:barrier()
c:free()
if rank == 0 then print "nothing was written behind the arrays" end
