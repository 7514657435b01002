-- Finalizers that run while room is made for a result change what it is made of: that may raise, and never ends the program.
-- ranks: 1
-- exit: 0
-- stdout: all went on
local function go_on(times, finalizer, f)
    setmetatable({}, {__gc = finalizer})
    for _ = 1, times do
        if not pcall(f) then return end
    end
end

for _, name in ipairs {"idiv", "mod"} do
    for _, dtype in ipairs {"int64", "uint8"} do
        local a, b = array.ones(100000, dtype), array.ones(100000, dtype)
        go_on(1000, function () b:fill(0) end, function () return a[name](a, b) end)
    end
end

local wide = array.zeros {1, 2, 300 * 20000}:slice({1, 1}, {1, 2}, {1, 300})
local list = {array.zeros {1, 300, 2}, array.zeros {1, 300, 2}}
go_on(100000, function () list[1] = wide end, function () return array.concat(list) end)
print "all went on"
