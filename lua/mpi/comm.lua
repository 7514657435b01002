-- What of the module and its communicators is Lua: run once, with the module as its argument.
local mpi = ...
local comm = mpi.comm

-- What needs more is loaded when it is first used.
for _, name in ipairs {"imap", "map", "mapreduce", "share"} do
    comm[name] = function (...)
        comm[name] = require "mpi.map"[name]
        return comm[name](...)
    end
end

-- The same for the module itself: name → the module that puts it there. Any other name is a mistake.
local later = {pool = "mpi.pool", as_completed = "mpi.pool"}

setmetatable(mpi, {__index = function (_, name)
    -- nil would do for an operator, and be the sum
    if not later[name] then error(("the module mpi has no '%s'"):format(tostring(name)), 2) end
    require(later[name])
    return rawget(mpi, name)
end})
