-- Any arguments to any function, at random and different on every rank: an error or a result, no crash, and afterwards
-- the communicator works. LUAMPI_MISUSE=N makes the calls N.
local lu = require "mpi.luaunit"
local interrupt = require "mpi.interrupt"
local rank, size = comm:rank(), comm:size()
local random = math.random

lu.guarded = false -- calls that fit no others' are stopped here
interrupt.begin()

-- What ends the program, waits for a person or an hour, or writes files.
local left_out = {abort = true, sleep = true, pool = true, gantt = true, save = true, load = true, print = true, free = true}

local names = {comm = {}, array = {}, request = {}, mpi = {}}
for _, full in ipairs(require "mpi.help".list()) do
    local owner, name = full:match "^(%w+)%.([%w_]+)$"
    if names[owner] and not left_out[name] then table.insert(names[owner], name) end
end

local requests, communicators = {}, {comm}

local function some_array()
    local dtype = ({"float64", "float32", "int8", "int16", "int32", "int64", "uint8", "uint64"})[random(8)]
    return ({
        function () return array.zeros(random(0, 5), dtype) end,
        function () return array.zeros({random(0, 4), random(0, 4)}, dtype) end,
        function () return array.ones({4, 6}, dtype):col(random(1, 6)) end,
        function () return array.ones({6, 4}, dtype):slice(1, 6, 2) end,
        function () return array.ones({3, 4}, dtype):t() end,
        function () return array.ones(size * 3, dtype) end,
        function () return array.ones({size * 2, 3}, dtype) end,
        function () return array.ones(random(3000), dtype) end,
    })[random(8)]()
end

local some_value
local kinds = {
    function () return random(0, size) end,
    function () return random(-3, 3) end,
    function () return random() * 10 - 5 end,
    function () return nil end,
    function () return random(2) == 1 end,
    function () return ("x"):rep(random(0, 9000)) end,
    function () return ({"float64", "shared", "all", "static", "1"})[random(5)] end,
    function () return ({math.huge, 0 / 0, 2^53, -2^63, 1 << 40, math.maxinteger, math.mininteger})[random(7)] end,
    function () return ({mpi.SUM, mpi.MAX, mpi.MAXLOC, mpi.BAND, mpi.LAND})[random(5)] end,
    function () return ({mpi.ANY_SOURCE, mpi.ANY_TAG, mpi.PROC_NULL, mpi.UNDEFINED, mpi.IN_PLACE})[random(5)] end,
    function () return function (a) return a end end,
    function () return function () error "no" end end,
    function () return coroutine.create(print) end,
    function () return requests[random(math.max(#requests, 1))] end,
    function () return communicators[random(#communicators)] end,
    function (depth)
        local t = {}
        for i = 1, random(0, 5) do t[i] = some_value(depth + 1) end
        return t
    end,
    function (depth) return {dims = some_value(depth + 1), periods = some_value(depth + 1), to = some_value(3), chunk = some_value(3)} end,
    function ()
        local t = {}
        for i = 1, size do t[i] = random(0, 3) end
        return t
    end,
}

function some_value(depth)
    local k = random(#kinds + 8)
    if k > #kinds then return some_array() end
    if depth > 2 and k > 15 then return k end
    return kinds[k](depth)
end

-- The name of a function, alike on every rank, the function, and the list of its object on this rank or of none.
local function some_call()
    local owner = ({"comm", "comm", "comm", "array", "request", "mpi"})[random(6)]
    local name = names[owner][random(#names[owner])]
    math.randomseed(random(1 << 30), rank)
    if owner == "mpi" then return name, rawget(mpi, name), {} end
    if owner == "array" and rawget(array, name) then return name, array[name], {} end
    local object = owner == "comm" and communicators[random(#communicators)] or owner == "array" and some_array() or comm:irecv()
    return name, object[name], {object}
end

TestMisuse = {}

function TestMisuse:test_any_call_raises_or_ends_and_the_communicator_works()
    for round = 1, tonumber(os.getenv "LUAMPI_MISUSE" or 40) do
        math.randomseed(8, round)
        local name, f, arguments = some_call()
        local given = #arguments
        local n = given + random(0, 4)
        for i = given + 1, n do arguments[i] = some_value(0) end
        if type(f) == "function" then
            local result = table.pack(interrupt.run(function ()
                if name ~= "imap" and name ~= "share" then return f(table.unpack(arguments, 1, n)) end
                for i in f(table.unpack(arguments, 1, n)) do if i == 100 then break end end
            end))
            for i = 2, result.n do
                local kind = type(result[i]) == "userdata" and getmetatable(result[i])
                if kind == "mpi.request" then requests[#requests % 20 + 1] = result[i]
                elseif kind == "mpi.comm" then communicators[#communicators % 10 + 1] = result[i]
                end
            end
        end
        local stopped = interrupt.meet()
        communicators[1] = comm
        local fine, sum
        for _ = 1, 2 do -- the first may meet what some ranks alone have begun
            fine, sum = interrupt.run(function () return comm:allreduce(1) end)
            if not interrupt.meet() then break end
        end
        lu.assertTrue(fine, ("%s in round %d: %s"):format(name, round, tostring(sum)))
        lu.assertEquals(sum, size)
        if stopped then collectgarbage() end
    end
end

os.exit(lu.run())
