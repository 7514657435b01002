-- What of the module and its communicators is Lua: run once, with the module as its argument.
local mpi = ...
local comm = mpi.comm
local require = require -- whatever the script does to the globals

-- What needs more is loaded when it is first used.
for _, name in ipairs {"imap", "map", "mapreduce", "share"} do
    comm[name] = function (...)
        comm[name] = require "mpi.map"[name]
        return comm[name](...)
    end
end

-- The same for the module itself: name → the module that puts it there.
local later = {pool = "mpi.pool", as_completed = "mpi.pool"}

setmetatable(mpi, {__index = function (_, name)
    -- nil would do for an operator, and be the sum
    if not later[name] then require "mpi.missing".complain("the module mpi", name, mpi, later) end
    require(later[name])
    return rawget(mpi, name)
end})

-- Any other name is a mistake.
for what, names in pairs {["a communicator"] = comm, ["a request"] = mpi.request, ["the module array"] = mpi.array} do
    setmetatable(names, {__index = function (_, name) require "mpi.missing".complain(what, name, names) end})
end
