-- work(name, code[, a, b[, operations]]): measures code, which sees comm, rank, a and b, and prints the seconds an
-- operation took. Collective. Batches double until one takes BENCH_SECONDS; then the best of all that size counts,
-- the first and as many more as take four times as long.
-- Code that raises is no measurement: what it says is printed instead. The same in measure.py and measure.h.
local enough = tonumber(os.getenv "BENCH_SECONDS")
local rank = comm:rank()

local function batch(run, n, a, b)
    comm:barrier()
    local began = mpi.wtime()
    run(n, comm, rank, a, b)
    comm:barrier()
    return comm:bcast(mpi.wtime() - began)
end

return function (name, code, a, b, operations)
    local run = assert(load("local n, comm, rank, a, b = ... for _ = 1, n do " .. code .. " end"))
    local function measure()
        local n, best = 1, nil
        repeat
            n = 2 * n
            best = batch(run, n, a, b)
        until best >= enough
        local left = 4 * enough
        repeat
            local again = batch(run, n, a, b)
            best, left = math.min(best, again), left - again
        until left <= 0
        return best / n / (operations or 1)
    end
    local _, result = pcall(measure)
    if rank == 0 then print(name, (tostring(result):gsub("^.-:%d+: ", ""))) end
end
