-- 64 naps, dealt out beforehand or taken by whoever is free: who slept when. With an argument also as drawings, into that folder:
--     bin/luampi -n 4 scripts/notebook/timeline.lua /tmp
local delays = array.random(64) * 0.05

for _, schedule in ipairs {"static", "dynamic"} do
    local _, info = comm:map(mpi.sleep, delays, {schedule = schedule, chunk = 1, trace = true})
    if comm:rank() == 0 then
        print(schedule .. ":")
        mpi.gantt(info)
        if arg[1] then
            mpi.gantt(info, arg[1] .. "/" .. schedule .. ".svg")
            print("written: " .. arg[1] .. "/" .. schedule .. ".svg")
        end
    end
end
