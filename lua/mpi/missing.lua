-- Names that something does not have: reading one is a mistake.
local near = require "mpi.near"
local trace = require "mpi.trace"

local missing = {}

--- Raises that `what` has no such name, with those near it of the tables whose keys it has.
function missing.complain(what, name, ...)
    local known = {}
    for _, names in ipairs {...} do
        for key in next, names do
            if type(key) == "string" then known[#known + 1] = key end
        end
    end
    table.sort(known)
    local close = near(tostring(name), known)
    local more = #close > 0 and "; near it: " .. table.concat(close, ", ") or ""
    if what == "an array" and rawget(require "mpi".array, name) then more = ("; there is array.%s"):format(name) end
    trace.complain(("%s has no '%s'%s"):format(what, tostring(name), more))
end

return missing
