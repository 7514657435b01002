-- Long values, which travel in chunks from a blocking send to whatever receives them.
local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message = support.message
local rank, size = comm:rank(), comm:size()

local function list(n, f)
    local t = {}
    for i = 1, n do t[i] = f(i) end
    return t
end

local function half(i) return i / 2 + 0.25 end
local function record(i) return {id = i, name = "record " .. i, weight = i / 3} end

-- Tables that outgrow an envelope in every way.
local values = {
    floats = list(20000, half),
    integers = list(5000, function (i) return i end),
    records = list(3000, record),
    strings = list(300, function (i) return ("s"):rep(i) end),
    named = {},
    both = list(2000, half),
    nested = {name = "run", rows = list(300, function (i) return list(i % 50, half) end), {1, 2}, last = list(900, record)},
    array = {array.ones(1000), array.zeros(100000), "end", list(800, half)},
    holes = list(3000, half),
    -- what goes out first cannot stay
    changes = list(3000, half),
    widens = list(5000, function (i) return i < 4000 and 1 or i << 33 end),
    again = list(3000, record),
    itself = list(3000, half),
}
for i = 1, 3000 do values.named["key " .. i], values.both["key " .. i] = i, {i} end
for i = 7, 3000, 7 do values.holes[i] = nil end
values.changes[3000] = "text"
values.again.first = values.again[1]
values.itself.self = values.itself

-- Whether two values are alike, and what is the same table in the one is in the other.
local function alike(a, b, seen)
    if type(a) == "userdata" then return a == b end
    if type(a) ~= "table" then return rawequal(a, b) end
    if type(b) ~= "table" then return false end
    if seen[a] then return seen[a] == b end
    seen[a] = b
    for k, v in pairs(a) do
        if not alike(v, b[k], seen) then return false end
    end
    for k in pairs(b) do
        if a[k] == nil then return false end
    end
    return true
end

local function assertAlike(name, got) lu.assertTrue(alike(values[name], got, {}), name) end

local names = {}
for name in pairs(values) do names[#names + 1] = name end
table.sort(names)

-- A long list that cannot be sent, because of its item n.
local function broken(n)
    local t = list(n, half)
    t[n] = coroutine.create(print)
    return t
end

-- A value is a stream when its receiver waits in recv already: here it says so, and the sender gives it the time.
local function waits(c, source) c:send(0, source, 97) end
local function until_waits(c, dest)
    c:recv(dest, 97)
    mpi.sleep(2e-4)
end

-- How messages may be received: value, status = f(source, tag).
local receives = {
    recv = function (source, tag)
        waits(comm, source)
        return comm:recv(source, tag)
    end,
    irecv = function (...) return comm:irecv(...):wait() end,
    irecv_test = function (...)
        local r = comm:irecv(...)
        local done, value, status
        repeat done, value, status = r:test() until done
        return value, status
    end,
    probe = function (...)
        local status = comm:probe(...)
        local value, again = comm:recv(status.source, status.tag)
        lu.assertEquals({status.source, status.tag, status.count}, {again.source, again.tag, again.count})
        return value, again
    end,
    iprobe = function (...)
        local status
        repeat status = comm:iprobe(...) until status
        local r = comm:irecv(status.source, status.tag)
        return r:wait()
    end,
    sendrecv = function (source, tag) return comm:sendrecv(0, rank, source, 99, tag) end,
}

-- Calls f(receive, how) on rank 1 for every way to receive, and give(ready) on rank 0 as often, which calls ready before
-- what a call of receive shall get.
local function from_0_to_1(give, f)
    if size == 1 then lu.skip "one rank" end
    for _, name in ipairs {"recv", "irecv", "irecv_test", "probe", "iprobe", "sendrecv"} do
        if rank == 0 then give(name == "recv" and until_waits or function () end) end
        if rank == 1 then
            f(receives[name], name)
            if name == "sendrecv" then lu.assertEquals(comm:recv(1, 99), 0) end
        end
    end
end

TestChunks = {}

function TestChunks:test_values_of_every_kind_arrive_by_every_call()
    from_0_to_1(function (ready)
        for tag, name in ipairs(names) do
            ready(comm, 1)
            comm:send(values[name], 1, tag)
        end
    end, function (receive, how)
        for tag, name in ipairs(names) do
            if how == "sendrecv" and tag > 1 then lu.assertEquals(comm:recv(1, 99), 0) end
            local got, status = receive(0, tag)
            assertAlike(name, got)
            lu.assertEquals({status.source, status.tag}, {0, tag})
        end
    end)
end

function TestChunks:test_the_status_tells_how_many_bytes_came()
    from_0_to_1(function (ready)
        for _, name in ipairs {"floats", "again"} do
            ready(comm, 1)
            comm:send(values[name], 1)
        end
    end, function (receive, how)
        local function count()
            local _, status = receive(0)
            return status.count
        end
        lu.assertEquals(count(), #mpi.pack(values.floats))
        if how == "sendrecv" then lu.assertEquals(comm:recv(1, 99), 0) end
        lu.assertEquals(count(), #mpi.pack(values.again))
    end)
end

function TestChunks:test_sizes_around_the_chunks()
    if size == 1 then lu.skip "one rank" end
    for n = 480, 1520 do
        if rank == 0 then
            if n % 10 == 0 then until_waits(comm, 1) end
            comm:send(list(n, half), 1)
        elseif rank == 1 then
            if n % 10 == 0 then waits(comm, 0) end
            local got = comm:recv(0)
            lu.assertEquals({#got, got[n]}, {n, half(n)})
        end
    end
end

function TestChunks:test_messages_keep_their_order()
    if size == 1 then lu.skip "one rank" end
    if rank == 0 then
        for i = 1, 20 do
            comm:send(i, 1, i % 3)
            comm:send(list(300 * i, half), 1, i % 3)
        end
    end
    if rank == 1 then
        for i = 1, 20 do
            local r = i % 2 == 0 and comm:irecv(0, i % 3)
            if i % 5 == 0 then comm:probe(0, i % 3) end
            lu.assertEquals(r and r:wait() or comm:recv(0, i % 3), i)
            lu.assertEquals(#comm:recv(0, i % 3), 300 * i)
        end
    end
end

function TestChunks:test_everybody_sends_to_rank_0()
    if rank > 0 then
        for i = 1, 10 do comm:send({rank, i, rows = values.records}, 0, i) end
        return
    end
    local last = list(size, function () return 0 end)
    for _ = 1, 10 * (size - 1) do
        local got, status = comm:recv()
        lu.assertEquals({got[1], got[2]}, {status.source, status.tag})
        lu.assertEquals(got[2], last[got[1]] + 1)
        last[got[1]] = got[2]
        lu.assertEquals(#got.rows, 3000)
    end
end

function TestChunks:test_several_are_received_in_the_background()
    if size == 1 then lu.skip "one rank" end
    if rank == 0 then
        local requests = {}
        for r = 1, size - 1 do
            for tag, name in ipairs(names) do requests[#requests + 1] = comm:irecv(r, tag) end
        end
        comm:barrier()
        local got = mpi.waitall(requests)
        for i = 1, #requests do assertAlike(names[(i - 1) % #names + 1], got[i]) end
    else
        comm:barrier()
        for tag = #names, 1, -1 do comm:send(values[names[tag]], 0, tag) end
    end
end

function TestChunks:test_what_cannot_be_sent_was_never_a_message()
    local errors = {}
    from_0_to_1(function (ready)
        ready(comm, 1)
        for _, n in ipairs {600, 3000, 20000} do errors[#errors + 1] = message(comm.send, comm, broken(n), 1, 7) end
        comm:send("after", 1, 7)
    end, function (receive)
        local got, status = receive(0, 7)
        lu.assertEquals({got, status.tag}, {"after", 7})
    end)
    if rank > 0 then return end
    lu.assertEquals(#errors, 18)
    for i = 1, 18, 3 do
        lu.assertEquals({table.unpack(errors, i, i + 2)}, {"cannot send a thread at value[600]",
            "cannot send a thread at value[3000]", "cannot send a thread at value[20000]"})
    end
end

function TestChunks:test_what_cannot_be_sent_disturbs_no_order()
    if size == 1 then lu.skip "one rank" end
    for i = 1, 20 do
        if rank == 0 then
            comm:recv(1, 8)
            message(comm.send, comm, broken(3000 + i), 1)
            comm:send("a", 1)
            comm:send(list(3000, half), 1)
        elseif rank == 1 then
            local first, second = comm:irecv(0), comm:irecv(0)
            comm:send(true, 0, 8)
            lu.assertEquals({(first:wait()), #second:wait()}, {"a", 3000})
        end
    end
end

function TestChunks:test_what_cannot_be_sent_is_seen_by_no_probe_and_no_receive_of_an_array()
    if size == 1 then lu.skip "one rank" end
    if rank == 0 then
        comm:barrier()
        message(comm.send, comm, broken(3000), 1)
        comm:barrier()
        message(comm.send, comm, broken(3000), 1)
        comm:Send(array.full(3, 5), 1)
        message(comm.send, comm, broken(3000), 1)
        comm:Send(array.full(3, 6), 1)
        return
    end
    comm:barrier()
    if rank == 1 then comm:iprobe(0) end
    comm:barrier()
    if rank > 1 then return end
    lu.assertNil((comm:iprobe(0)) and nil)
    local a = array.zeros(3)
    comm:Recv(a, 0)
    lu.assertEquals(a[1], 5)
    comm:Irecv(a, 0):wait()
    lu.assertEquals(a[3], 6)
    lu.assertNil(comm:iprobe())
end

function TestChunks:test_a_message_for_an_array_is_refused_and_gone()
    if size == 1 then lu.skip "one rank" end
    local text = "the message from rank 0 (tag 3) is a value, not an array; receive it with recv"
    if rank == 0 then
        for _ = 1, 3 do comm:send(values.records, 1, 3) comm:send("next", 1, 3) end
    end
    if rank == 1 then
        local a = array.zeros(10)
        lu.assertEquals(message(comm.Recv, comm, a, 0), "Recv: " .. text)
        lu.assertEquals(comm:recv(0), "next")
        local r = comm:Irecv(a, 0)
        lu.assertEquals(message(r.wait, r), "Irecv: " .. text)
        lu.assertEquals(comm:recv(0), "next")
        comm:probe(0)
        lu.assertEquals(message(comm.Recv, comm, a, 0), "Recv: " .. text)
        lu.assertEquals(comm:recv(0), "next")
        lu.assertTrue(a == array.zeros(10))
    end
end

function TestChunks:test_an_error_of_decoding_leaves_nothing_behind()
    if size == 1 then lu.skip "one rank" end
    local value = list(5000, record)
    if rank == 0 then value[2000] = setmetatable({}, mpi.register("test_chunks.only_rank_0", {})) end
    from_0_to_1(function (ready)
        for _, v in ipairs {value, "next"} do
            ready(comm, 1)
            comm:send(v, 1)
        end
    end, function (receive, how)
        lu.assertErrorMsgContains("test_chunks.only_rank_0", receive, 0)
        if how == "sendrecv" then lu.assertEquals(comm:recv(1, 99), 0) end
        lu.assertEquals((receive(0)), "next")
    end)
end

-- Objects whose finalizers call f, until it has run n times.
local function litter(n, f)
    local left = n
    local function drop()
        setmetatable({}, {__gc = function ()
            if left == 0 then return end
            left = left - 1
            f()
            drop()
        end})
    end
    drop()
    return function () return left end
end

function TestChunks:test_finalizers_may_communicate_while_a_value_is_decoded()
    if size == 1 then lu.skip "one rank" end
    local other = size > 2 and 2 or 0 -- whose messages the finalizers receive
    local requests = {}
    for i = 1, rank == other and 60 or 0 do
        if other == 0 then requests[i] = comm:isend(list(2000, half), 1, 2)
        else comm:send(list(2000, half), 1, 2)
        end
    end
    if rank == 0 then
        for _ = 1, 60 do
            until_waits(comm, 1)
            comm:send(values.records, 1, 1)
        end
    elseif rank == 1 then
        local got = 0
        local left = litter(60, function ()
            lu.assertEquals(#comm:recv(other, 2), 2000)
            got = got + 1
            lu.assertEquals(comm:sendrecv(got, rank, rank, 8, 8), got)
        end)
        for _ = 1, 60 do assertAlike("records", receives.recv(0, 1)) end
        for _ = 1, 60 do collectgarbage() end
        lu.assertEquals(got, 60)
    end
    mpi.waitall(requests)
end

function TestChunks:test_an_error_of_decoding_has_the_line_of_the_call()
    if size == 1 then lu.skip "one rank" end
    local value = list(5000, record)
    if rank == 0 then
        value[1] = setmetatable({}, mpi.register("test_chunks.unknown", {}))
        comm:send(value[1], 1)
        comm:send(value, 1)
    elseif rank == 1 then
        local errors = {}
        for i = 1, 2 do
            local _, e = pcall(function ()
                local value <const> = comm:recv(0)
                return value
            end)
            errors[i] = e
        end
        lu.assertStrContains(errors[1], "test_chunks.lua:")
        lu.assertEquals(errors[2], errors[1])
    end
end

function TestChunks:test_no_finalizer_meets_an_object_of_what_was_no_message()
    if size == 1 then lu.skip "one rank" end
    local finalized = 0
    local class = mpi.register("test_chunks.finalized", {__gc = function () finalized = finalized + 1 end})
    local value = list(3000, half)
    if rank == 0 then value[1] = setmetatable({}, class) end
    from_0_to_1(function (ready)
        ready(comm, 1)
        value[3001] = coroutine.create(print)
        lu.assertStrContains(message(comm.send, comm, value, 1), "cannot send a thread")
        value[3001] = value[1] -- the first one changes
        comm:send(value, 1)
    end, function (receive)
        finalized = 0
        local got = receive(0)
        lu.assertEquals(getmetatable(got[1]), class)
        collectgarbage()
        collectgarbage()
        lu.assertEquals(finalized, 0)
        got = nil
        collectgarbage()
        collectgarbage()
        lu.assertEquals(finalized, 1)
    end)
end

-- The same plan on every rank; LUAMPI_TRAFFIC says how many messages (300).
function TestChunks:test_messages_at_random()
    if size == 1 then lu.skip "one rank" end
    local dup <close> = comm:dup()
    local ways = {"recv", "recv", "irecv", "probe"}
    math.randomseed(11)
    for _ = 1, tonumber(os.getenv "LUAMPI_TRAFFIC") or 300 do
        local from, tag, name, way = math.random(0, size - 1), math.random(0, 3), names[math.random(#names)], ways[math.random(#ways)]
        local to = (from + math.random(size - 1)) % size
        tag = tag * size + from -- ANY_SOURCE may find no other
        local c, fails, any = math.random() < 0.5 and comm or dup, math.random() < 0.2, math.random() < 0.5
        local n, early = math.random(400, 9000), math.random() < 0.5
        if rank == from then
            if early then until_waits(c, to) end
            if fails then lu.assertEquals(message(c.send, c, broken(n), to, tag), "cannot send a thread at value[" .. n .. "]") end
            c:send(values[name], to, tag)
        elseif rank == to then
            local source = not any and from or mpi.ANY_SOURCE
            local request = way == "irecv" and c:irecv(source, tag)
            if early then waits(c, from) end
            if not request and way == "probe" then c:probe(source, tag) end
            assertAlike(name, request and request:wait() or c:recv(source, tag))
        end
    end
end

function TestChunks:test_a_rank_sends_to_itself()
    local r = comm:irecv(rank)
    comm:send(values.records, rank)
    assertAlike("records", r:wait())
end

function TestChunks:test_halves_and_duplicates()
    local dup <close> = comm:dup()
    local half_of <close> = comm:split(rank % 2)
    for _, c in ipairs {dup, half_of} do
        local n, r = c:size(), c:rank()
        local request = c:irecv((r - 1) % n)
        c:send({r, values.named}, (r + 1) % n)
        local got = request:wait()
        lu.assertEquals(got[1], (r - 1) % n)
        lu.assertTrue(alike(values.named, got[2], {}))
    end
end

os.exit(lu.run())
