-- 64 naps, dealt out beforehand or taken by whoever is free: who slept when.
local delays = array.random(64) * 0.05

for _, schedule in ipairs {"static", "dynamic"} do
    local _, info = comm:map(mpi.sleep, delays, {schedule = schedule, chunk = 1, trace = true})
    if comm:rank() == 0 then
        print(schedule .. ":")
        mpi.gantt(info)
        mpi.gantt(info, schedule .. ".svg")
    end
end
