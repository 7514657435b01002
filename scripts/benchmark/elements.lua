-- The same loops on an array and on a table: elements.lua array|table.
local work = require "measure"

local count = 10^4
local a = array.random(count)
if arg[1] == "table" then a = a:totable() end

work("read an element", "for i = 1, b do local x = a[i] end", a, count, count)
work("write an element", "for i = 1, b do a[i] = 2.5 end", a, count, count)
