-- Writes the messages in tests/corpus/wire: LUA_CPATH="bin/?.so" lua5.4 tests/corpus/wire.lua (luampi would not load the
-- stripped function). Run it again when the format changes.
local mpi = require "mpi"
local array = mpi.array

local function save(name, bytes)
    local file <close> = assert(io.open("tests/corpus/wire/" .. name, "wb"))
    file:write(bytes)
end

local messages = 0
local function message(value)
    messages = messages + 1
    save(("value-%02d"):format(messages), mpi.pack(value))
end

message(nil)
message(true)
message(-17)
message(1 << 62)
message(0 / 0)
message("short")
message(("long"):rep(20))
message({1.5, 2.5, 3.5})
message({1, 200, 70000, 1 << 40})
message({-5, "a", 2.5, false, {}})
message({x = 1, y = "b", [2.5] = true, [-1] = "c", [true] = {1, nil, 3}})
local cycle = {name = "cycle", list = {}}
cycle.self, cycle.list[1], cycle[cycle] = cycle, cycle.list, ("z"):rep(50)
cycle.again = cycle[cycle]
message(cycle)
local records = {}
for i = 1, 40 do records[i] = {id = i, name = "name " .. i, x = i / 2} end
message(records)
for i = 1, 60 do
    local r = {id = i, name = "name " .. i % 9, [i % 4] = i}
    r[i % 3 == 0 and "third" or "other"], r.inner = i / 3, i % 5 == 0 and {id = r, name = {id = i}, deep = {}} or nil
    records[i] = r
end
message(records)
local keys = {}
for i = 1, 100 do keys["key" .. i] = i end
message({keys, keys, "key50", "key99"})
message({print, string.format, math, _G, mpi.pack})
message(setmetatable({x = 1}, mpi.register("class", {})))
message({array.of({1, 2, 3}), array.zeros({2, 3}, "int16"), array.zeros(0)})

local count = 0
local function up() count = count + 1 return count end
local function down() count = count - 1 return count, up end
local function factorial(n) return n < 2 and 1 or n * factorial(n - 1) end
message({up, down, up})
message(factorial)
message(function (a, b, ...)
    local t = {a, b, x = a.y, [b] = a[1], ...}
    for i = 1, #t, 2 do if t[i] == "s" or t[i] < 3 then t[i] = t[i] + 1 else goto next end ::next:: end
    for k, v in pairs(t) do t[k] = function () return v, a, count end end
    local c <close> = setmetatable({}, {__close = print})
    return a .. b .. "end", a // 2 & 7 ~ b << 1, t:method(...), select("#", ...)
end)
message(function (x)
    local total = 0.5
    while x > 0 do
        repeat local y = x % 3 total = total * 2.5 - y / 7 ^ 2 until y ~= 1 or not x
        x = x - 1
    end
    return (tostring(total)):rep(2, ", "), {total, {x, nil, nil}, f = 1, g = {h = x}}
end)
save("stripped", mpi.pack(load(string.dump(function (a, ...) return a * 2, ... end, true))))
local lines = {"local x = ..."}
for i = 1, 150 do lines[#lines + 1] = ("x = x + %d x.a%d = x"):format(i, i) end
message(load(table.concat(lines, "\n")))

-- Some cut short, some with a byte changed.
math.randomseed(1)
for i = 1, messages do
    local file = assert(io.open(("tests/corpus/wire/value-%02d"):format(i), "rb"))
    local bytes = file:read("a")
    file:close()
    if #bytes > 4 then
        save(("cut-%02d"):format(i), bytes:sub(1, math.random(#bytes - 1)))
        local at = math.random(2, #bytes)
        save(("changed-%02d"):format(i), bytes:sub(1, at - 1) .. string.char(math.random(0, 255)) .. bytes:sub(at + 1))
    end
end
