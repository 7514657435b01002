-- A finalizer may receive the message that a receive has just found among those that were probed. A job of its own: its
-- small heap is collected so often that the finalizer runs at that moment.
-- ranks: 2
-- exit: 0
-- stdout: a finalizer took some
local n, times = 100, 0
local armed, taken

local function litter()
    setmetatable({}, {__gc = function ()
        if armed and comm:iprobe(0, 1) then taken = comm:recv(0, 1) end
        armed = false
        if n then litter() end
    end})
end

if comm:rank() == 0 then
    for i = 1, n do
        comm:send(i, 1, 1)
        comm:send(-i, 1, 2)
        comm:recv(1, 3)
    end
else
    collectgarbage("incremental", 1, 1000, 20)
    litter()
    for i = 1, n do
        comm:probe(0, 1)
        for _ = 1, 20 do comm:iprobe(0, 4) end -- the other one comes
        armed, taken = true, nil
        local first = comm:recv(0)
        armed = false
        assert(first == (taken and -i or i))
        if taken then assert(taken == i) else assert(comm:recv(0, 2) == -i) end
        times = times + (taken and 1 or 0)
        comm:send(true, 0, 3)
    end
    assert(times > 0)
    print "a finalizer took some"
end
n = nil
