-- Ranks as engines, told from one place what to do.
local function hello()
    return "hello from engine " .. comm:rank()
end

local function nap(seconds)
    mpi.sleep(seconds)
    return ("engine %d slept %.2f s"):format(comm:rank(), seconds)
end

mpi.pool(function (engines)
    print("engines " .. table.concat(engines.ids, " "))
    print(engines[0]:call(hello)[1])                   -- one engine
    print(table.concat(engines:call(hello), "\n"))     -- all engines

    local delays = (array.random(8) * 0.1):totable()   -- whoever is free takes the next
    local naps, info = engines:map(nap, delays, {chunk = 1})
    print(table.concat(naps, "\n"))
    print(("%.2f s of naps in %.2f s"):format(info.serial, info.wall))
end)
