-- Arrays against NumPy, in turn in one run, one thread each: luampi scripts/bench_array.lua [rounds]
local here = arg[0]:match "^(.*)/[^/]*$" or "."
local rounds = tonumber(arg[1]) or 3
local path = os.tmpname() .. ".npy"

local function best(f, calls)
    local least = math.huge
    for _ = 1, calls > 1 and 5 or 50 do
        local start = mpi.wtime()
        for _ = 1, calls do f() end
        least = math.min(least, (mpi.wtime() - start) / calls)
    end
    return least
end

local names, ours, numpy = {}, {}, {}

local function note(times, name, n, seconds)
    local key = name .. "\t" .. n
    if not ours[key] and not numpy[key] then names[#names + 1] = key end
    times[key] = math.min(times[key] or math.huge, seconds)
end

local function run()
    for _, size in ipairs {{1000000, 1}, {1000, 5000}} do
        local n, calls = table.unpack(size)
        local a, b = array.random(n), array.random(n)
        note(ours, "a + b", n, best(function () return a + b end, calls))
        note(ours, "a * s", n, best(function () return a * 2.5 end, calls))
        note(ours, "exp", n, best(function () return a:exp() end, calls))
        note(ours, "sum", n, best(function () return a:sum() end, calls))
        note(ours, "max", n, best(function () return a:max() end, calls))
        note(ours, "a:dot(b)", n, best(function () return a:dot(b) end, calls))
        note(ours, "random", n, best(function () return array.random(n) end, calls))
    end
    local m, w, v = array.random {1024, 1024}, array.random {1024, 1024}, array.random(1024)
    note(ours, "M:dot(v)", 1024, best(function () return m:dot(v) end, 20))
    note(ours, "M:dot(M)", 1024, best(function () return m:dot(w) end, 2))
    local big = array.random(10000000)
    note(ours, "save", 10000000, best(function () return array.save(path, big) end, 2))
    note(ours, "load", 10000000, best(function () return array.load(path) end, 2))
end

for _ = 1, rounds do
    run()
    local pipe <close> = io.popen(("python3 '%s/bench_array.py' '%s'"):format(here, path))
    for line in pipe:lines() do
        local name, n, seconds = line:match "^([^\t]+)\t(%d+)\t(%S+)$"
        note(numpy, name, math.tointeger(n), tonumber(seconds))
    end
end
os.remove(path)

print(("%-10s %9s %12s %12s %6s"):format("operation", "size", "here / µs", "NumPy / µs", "ratio"))
for _, key in ipairs(names) do
    local name, n = key:match "^([^\t]+)\t(%d+)$"
    print(("%-10s %9s %12.2f %12.2f %6.2f"):format(name, n, ours[key] * 1e6, numpy[key] * 1e6, ours[key] / numpy[key]))
end

-- Elements one by one, against a table.
local t, a = {}, array.random(1000)
for i, x in a:ipairs() do t[i] = x end
local function reading(x)
    return function ()
        local s = 0
        for i = 1, 1000 do s = s + x[i] end
        return s
    end
end
local function writing(x)
    return function () for i = 1, 1000 do x[i] = i end end
end
local function looping(x, f)
    return function ()
        local s = 0
        for _, v in f(x) do s = s + v end
        return s
    end
end
print(("\n%-10s %12s %12s %6s"):format("element", "array / ns", "table / ns", "ratio"))
for _, row in ipairs {{"read", reading(a), reading(t)}, {"write", writing(a), writing(t)},
    {"ipairs", looping(a, a.ipairs), looping(t, ipairs)}} do
    local array_time, table_time = best(row[2], 3000), best(row[3], 3000)
    print(("%-10s %12.1f %12.1f %6.2f"):format(row[1], array_time * 1e6, table_time * 1e6, array_time / table_time))
end
