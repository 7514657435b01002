-- ranks: 2
-- exit: 1
-- once: tests/fail/wrong_tag.lua:4: bad argument #3 to 'Send' (tag is 2147483648, expected 0 to 2147483647)
if comm:rank() == 1 then comm:Send(array.zeros(3), 0, 1 << 31) else comm:recv() end
