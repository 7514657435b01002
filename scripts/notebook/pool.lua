-- A pool of processes: which of them did which argument.
local function task(x)
    mpi.sleep(0.01) -- as if it took some work
    return ("process %d did %d"):format(mpi.getpid(), x)
end

mpi.pool(function (pool)
    for _, line in ipairs(pool:map(task, {1, 2, 3, 4, 5, 6, 7, 8})) do print(line) end
end)
