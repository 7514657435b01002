-- Wherever memory runs out in a call that begins to send or to receive, either nothing has begun, or all of it is right.
-- ranks: 1
-- exit: 0
-- stdout: nothing was left half done
local module = arg[-1]:gsub("[^/]+$", "tests/scarce.so")
local scarce = assert(package.loadlib(module, "luaopen_scarce"))()
local me = comm:rank()

local long, list = ("x"):rep(10000), {}
for i = 1, 3000 do list[i] = i end
local function strided(value) return array.full({100, 200}, value):slice({1, 100}, {1, 100}) end
local from, to = strided(1), strided(2)

-- Calls f with more and more memory until it has enough, each time between before() and after(whether it had).
local function with_little(f, before, after)
    for n = 0, 200 do
        if before then before() end
        local fine = scarce.pcall(n, f)
        collectgarbage()
        after(fine)
        if fine then return end
    end
    error "it is never enough"
end

-- The number of messages with this tag that are there. They go.
local function count(tag)
    local n = 0
    while comm:iprobe(me, tag) do
        n = n + 1
        pcall(comm.recv, comm, me, tag)
    end
    return n
end

-- What a probe has found stays there until a receive is open.
for _, value in ipairs {"short", long} do
    local send, receive
    with_little(function () receive = comm:irecv(me, 1) end, function ()
        send, receive = comm:isend(value, me, 1), nil
        comm:probe(me, 1)
    end, function ()
        local fine, came = pcall(function () return receive and receive:wait() or comm:recv(me, 1) end)
        assert(fine and came == value or not fine and value == long and came:find "not enough memory")
        send:wait()
    end)
end

-- A send that raises has sent nothing.
for _, send in ipairs {
    function () comm:isend(list, me, 3) end,
    function () comm:Isend(from, me, 3) end,
} do
    with_little(send, nil, function (fine) assert(count(3) == (fine and 1 or 0)) end)
end
for _, exchange in ipairs {
    function () comm:Sendrecv(from, me, to, me, 3, 3) end,
    function () comm:Sendrecv_replace(to, me, me, 3, 3) end,
} do
    with_little(exchange, nil, function () assert(count(3) == 0) end)
end

-- One that fails to receive has sent all.
local receive
with_little(function () comm:sendrecv(list, me, me, 3) end, function ()
    receive = comm:irecv(me, 3)
    comm:send("found", me, 5)
    comm:send("passed over", me, 4)
    comm:probe(me, 4)
end, function ()
    local fine, came = pcall(function () return receive:cancel() and list or receive:wait() end)
    assert(fine and #came == #list or not fine and came:find "not enough memory")
    count(4)
    count(5)
end)
print "nothing was left half done"
