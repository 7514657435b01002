-- What of the module and its communicators is Lua: run once, with the module as its argument.
local mpi = ...
local comm = mpi.comm

local function line(...)
    local texts = table.pack(...)
    for i = 1, texts.n do texts[i] = tostring(texts[i]) end
    return table.concat(texts, "\t")
end

function comm:print(...)
    local fine, text = pcall(line, ...)
    local lines = self:allgather {fine, fine and text or tostring(text)}
    for i, entry in ipairs(lines) do
        if not entry[1] then error(("[%d] %s"):format(i - 1, entry[2]), 2) end
        lines[i] = entry[2]
    end
    if self:rank() == 0 then print(table.concat(lines, "\n")) end
end

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
    if not later[name] then return nil end
    require(later[name])
    return rawget(mpi, name)
end})
