-- Random traffic on two communicators at once, the same plan on every rank, every message checked. LUAMPI_TRAFFIC says how
-- many rounds (300).
local lu = require "mpi.luaunit"
local rank, size = comm:rank(), comm:size()

TestTraffic = {}

-- What rank `from` sends as message `i` of a size class: recognisable, and different for each.
local function content(kind, from, i, n)
    if kind == "value" then return {from = from, i = i, body = (string.char(97 + i % 26)):rep(n)} end
    return array.full(n, from * 1000 + i, kind)
end

local function check(kind, got, from, i, n)
    if kind == "value" then
        lu.assertEquals({got.from, got.i, #got.body}, {from, i, n})
    else
        lu.assertEquals({got:size(), got:dtype()}, {n, kind})
        if n > 0 then lu.assertEquals({got[1], got[n]}, {from * 1000 + i, from * 1000 + i}) end
    end
end

local kinds, lengths = {"value", "float64", "int16"}, {0, 1, 17, 490, 1990, 3990, 5000, 70000}

local function round(comms, random)
    local receives, expected, sends = {}, {}, {}
    for i = 1, random(1, 12) do
        local m = {c = comms[random(#comms)], from = random(0, size - 1), to = random(0, size - 1), kind = kinds[random(#kinds)],
                   n = lengths[random(#lengths)], tag = random(0, 3), synchronous = random() < 0.3}
        if m.to == rank then
            receives[#receives + 1] = m.kind == "value" and m.c:irecv(m.from, m.tag)
                                      or m.c:Irecv(array.zeros(m.n, m.kind), m.from, m.tag)
            expected[#receives] = {m.kind, m.from, i, m.n}
        end
        if m.from == rank then
            local body = content(m.kind, rank, i, m.n)
            local call = (m.kind == "value" and "i" or "I") .. (m.synchronous and "ssend" or "send")
            sends[#sends + 1] = m.c[call](m.c, body, m.to, m.tag)
        end
    end
    local collective = random(6)
    if collective == 1 then comms[1]:barrier()
    elseif collective == 2 then lu.assertEquals(comms[2]:allreduce(1), size)
    elseif collective == 3 then lu.assertEquals(comms[1]:Allreduce(array.ones(3000))[3000], size)
    end
    while true do
        local i, value = mpi.waitany(receives)
        if not i then break end
        check(expected[i][1], value, table.unpack(expected[i], 2))
    end
    mpi.waitall(sends)
end

function TestTraffic:test_two_communicators_at_random()
    local dup <close> = comm:dup()
    math.randomseed(20)
    local rounds = tonumber(os.getenv "LUAMPI_TRAFFIC") or 300
    for _ = 1, rounds do round({comm, dup}, math.random) end
    lu.assertNil(comm:iprobe())
    lu.assertNil(dup:iprobe())
end

os.exit(lu.run())
