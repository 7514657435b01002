-- Tiny tasks on 2 ranks.
local work = require "measure"

local function square(x) return x * x end
local function empty(x) return x end
local millions, some = 10 ^ 6, 10 ^ 5

work("map, 10^6 tasks x*x", "comm:map(a, b)", square, millions, millions)
work("map, one task at a time", "comm:map(a, b, {chunk = 1})", empty, some, some)
