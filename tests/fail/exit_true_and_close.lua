-- ranks: 1 2
-- exit: 0
-- once: closed
-- never: not here
local _ <close> = setmetatable({}, {__close = function () if comm:rank() == 0 then print "closed" end end})
os.exit(true, true)
print "not here"
