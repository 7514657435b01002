local work = require "measure"

for _, size in ipairs {"10^6", "10^3"} do
    local count = size == "10^6" and 10^6 or 10^3
    local a, b = array.random(count), array.random(count)
    local function on(name, code, second) work(name .. ", " .. size, code, a, second or b) end
    on("a + b", "local c = a + b")
    on("a * s", "local c = a * b", 2.5)
    on("exp", "local c = a:exp()")
    on("sum", "local s = a:sum()")
    on("max", "local s = a:max()")
    on("a:dot(b)", "local s = a:dot(b)")
    on("random", "local c = array.random(b)", count)
end

local M, v = array.random {1024, 1024}, array.random(1024)
work("M:dot(v), 1024^2", "local c = a:dot(b)", M, v)
work("M:dot(M), 1024^2", "local c = a:dot(a)", M)

local path = "80MB.npy"
work("save 80 MB", "array.save(b, a)", array.random(10^7), path)
work("load 80 MB", "local c = array.load(b)", nil, path)
os.remove(path)
