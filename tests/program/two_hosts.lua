-- Sharing work between two hosts that have no memory in common.
-- run: tests/two_hosts 2 $luampi $file
-- exit: 0
-- within: 60
-- stdout: two hosts
local rank, size = comm:rank(), comm:size()
local function square(x) return x * x end

assert(comm:split_type("shared"):size() == 2)
local names = {}
for i = 1, 500 do names[i] = "name " .. i end

for _, schedule in ipairs {"dynamic", "static", "cyclic"} do
    local results, info = comm:map(function (name, i) return name .. i end, rank == 0 and names or nil,
                                   {schedule = schedule, trace = true})
    for i = 1, 500 do
        assert(results[i] == names[i] .. i)
        local t = info.tasks[i]
        assert(t.index == i and -0.01 < t.t0 and t.t0 <= t.t1 and t.t1 < info.wall + 0.01)
    end
    local a = comm:map(square, 1000, {into = array.zeros(1000), schedule = schedule})
    for i = 1, 1000 do assert(a[i] == i * i) end
end

for _, ordered in ipairs {false, true} do
    local count, k = 0, 0
    for i, v in comm:imap(square, 2000, {ordered = ordered}) do
        assert(v == i * i and (not ordered or i == count + 1))
        count = count + 1
    end
    for i, v in comm:imap(square, function () if k < 500 then k = k + 1 return k end end, {ordered = ordered}) do
        assert(v == i * i)
        count = count + 1
    end
    assert(count == (rank == 0 and 2500 or 0))
end

local sum = 0
for i, name in comm:share(rank == 0 and names or nil) do
    assert(name == names[i])
    sum = sum + i
end
assert(comm:allreduce(sum) == 500 * 501 // 2)
assert(comm:mapreduce(function (i) return i .. " " end, 30, {op = function (a, b) return a .. b end}) ==
       "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 ")

for bad = 1, 400, 133 do
    local fine, e = pcall(comm.map, comm, function (i) if i == bad then error("broken", 0) end end, 400)
    assert(not fine and tostring(e) == ("broken  [rank %d, item %d]"):format(e.rank, bad))
end
local done = 0
for _ in comm:share(10 ^ 6, {chunk = 1}) do
    done = done + 1
    if rank == size - 1 and done == 10 then break end
end
assert(comm:allreduce(done) < 10 ^ 6)

dofile "tests/random_maps.lua"(60, 7)

mpi.pool(function (pool)
    local ids = pool:call(function () return comm:rank() end)
    for r = 0, size - 1 do assert(ids[r + 1] == r) end
end)
if rank == 0 then print "two hosts: every item once, and in its place" end
