-- Wherever memory runs out in a receive, the sender of the message goes on.
-- ranks: 2
-- exit: 0
-- stdout: all has come or gone
local module = arg[-1]:gsub("[^/]+$", "tests/scarce.so")
local scarce = assert(package.loadlib(module, "luaopen_scarce"))()

local long = {}
for i = 1, 3000 do long[i] = {id = i, name = "record " .. i} end
local messages = {long, ("text"):rep(30000)} -- a stream and a payload
local a = array.zeros(4)
local receives = {
    function () comm:recv(0, 1) end,
    function () comm:probe(0, 1) comm:recv(0, 1) end,
    function () comm:Recv(a, 0, 1) end,
    function () comm:irecv(0, 1):wait() end,
}

local consumed = 0
for _, receive in ipairs(receives) do
    for n = 0, 40 do
        for _, message in ipairs(messages) do
            if comm:rank() == 0 then
                comm:send(message, 1, 1)
                comm:send("next", 1, 2)
            else
                local fine = scarce.pcall(n, receive)
                collectgarbage()
                local status = comm:probe(0)
                if status.tag == 2 and not fine then consumed = consumed + 1 end
                if status.tag == 1 then assert(#comm:recv(0, 1) == #message) end
                assert(comm:recv(0) == "next")
            end
        end
    end
end
if comm:rank() == 1 then
    assert(consumed > 100, consumed)
    print "all has come or gone"
end
