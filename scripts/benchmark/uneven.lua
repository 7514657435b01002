-- 64 tasks that take from 0 to 20 ms, on 4 ranks, 20 times, or in short rounds 5 times: uneven.lua [ideal]. The ideal is a
-- quarter of what they take together.
local name, total = "64 tasks of 0 to 20 ms", 0
local times = tonumber(os.getenv "BENCH_SECONDS") < 0.02 and 5 or 20
local seconds = array.random({20, 64}, {seed = 2026}) * 0.02
for i = 1, times do
    if arg[1] == "ideal" then total = total + seconds:row(i):sum() / 4
    else
        local began = mpi.wtime()
        comm:map(mpi.sleep, seconds:row(i):copy(), {items = "same"})
        total = total + mpi.wtime() - began
    end
end
if comm:rank() == 0 then print(name, total / times) end
