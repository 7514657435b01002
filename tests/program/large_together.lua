-- Blocks that are small each and large together are compared after the first thousand calls, too: MPI sends many as one.
-- ranks: 2 4 5
-- exit: 0
-- stdout: nothing was written behind the arrays
local rank, size = comm:rank(), comm:size()
for _ = 1, 1001 do comm:barrier() end

local n = rank == 0 and 300 or 490
for _, case in ipairs {
    {"Allgather", n, n * size},
    {"Gather", n, n * size},
    {"Scatter", n * size, n},
    {"Alltoall", n * size, n * size},
} do
    local name, sent, received = table.unpack(case)
    local memory = array.full(10000, -1)
    local fine, problem = pcall(comm[name], comm, array.ones(sent), memory:slice(1, received))
    assert(not fine and problem:find("the ranks do not make the same call: [0] comm:" .. name .. "(float64[300]", 1, true), problem)
    assert(memory:sum() == -10000)
end
if rank == 0 then print "nothing was written behind the arrays" end
