-- Tasks that may crash: each runs in a forked child of its rank, which sends back what came of it. A crash is whatever
-- ends the child before that: a signal, os.exit, too much memory or time. Options of map; see lua/meta/map.lua.

local core = require "mpi.isolate.core"

local isolate = {}

local known = {memory = true, timeout = true, tries = true, seeded = true}
local units = {[""] = 1, K = 1 << 10, M = 1 << 20, G = 1 << 30, T = 1 << 40}

--- Bytes of "512M" or 2^29, or nil.
function isolate.bytes(memory)
    local number, unit = memory, ""
    if type(memory) == "string" then
        number, unit = memory:match "^%s*([%d.]+)%s*(%a?)[iI]?[bB]?%s*$"
        number, unit = tonumber(number), unit and unit:upper()
        if unit == "B" then unit = "" end
    end
    if type(number) ~= "number" or not units[unit] then return nil end
    local bytes = math.tointeger(number * units[unit] // 1)
    return bytes and bytes > 0 and bytes or nil
end

local function memory_text(bytes)
    for _, unit in ipairs {"T", "G", "M", "K"} do
        if bytes >= units[unit] then return ("%.4g %sB"):format(bytes / units[unit], unit) end
    end
    return bytes .. " bytes"
end

-- The options as given, checked: memory as bytes (0: any), seconds, number of tries; or nil and what is wrong.
local function read(options)
    for name in pairs(options) do
        if not known[name] then
            return nil, ("unknown option '%s' of isolation; known are: memory seeded timeout tries"):format(name)
        end
    end
    local memory, timeout, tries = options.memory, options.timeout, options.tries
    if memory ~= nil then
        memory = isolate.bytes(memory)
        if not memory then
            return nil, ("memory is %s; expected bytes, or a text such as \"512M\""):format(tostring(options.memory))
        end
    end
    if timeout ~= nil and not (type(timeout) == "number" and timeout > 0) then
        return nil, ("timeout is %s; expected seconds above 0"):format(tostring(timeout))
    end
    if tries ~= nil and not (math.type(tries) == "integer" and tries > 0) then
        return nil, ("tries is %s; expected an integer above 0"):format(tostring(tries))
    end
    return {memory = memory or 0, timeout = timeout or math.huge, tries = tries or 3, seeded = options.seeded}
end

local function no_memory(message)
    return type(message) == "string" and message:find("not enough memory", 1, true) ~= nil
end

-- In the child: whether f went well, and its value or what the handler made of its error.
local function task(x, y, limited, f, handler, ...)
    if x then math.randomseed(x, y) end
    local out_of_memory
    local ok, value = xpcall(f, function (message)
        out_of_memory = limited and no_memory(message)
        return handler(message)
    end, ...)
    if ok then return true, value end
    return false, {value = value, out_of_memory = out_of_memory or limited and no_memory(value)}
end

local function breathe() end

-- One try → true, value; or false, failure; or nil and how it crashed.
local function attempt(limits, f, handler, ...)
    local x, y
    -- or every child would go on with the same random numbers
    if not limits.seeded then x, y = math.random(0), math.random(0) end
    local limited = limits.memory > 0
    local how, what, name = core.run(limits.memory, limits.timeout, breathe, task, x, y, limited, f, handler, ...)
    if how == "result" then return true, what end
    if how == "failure" and what.out_of_memory or how == "trouble" and limited and no_memory(what) then
        return nil, ("ran out of its memory (%s)"):format(memory_text(limits.memory))
    end
    if how == "failure" then return false, what.value end
    if how == "trouble" then return false, handler(what) end
    if how == "signal" then return nil, ("killed by signal %d (%s)"):format(what, name) end
    if how == "exit" then return nil, ("left by os.exit(%d)"):format(what) end
    if how == "timeout" then return nil, ("took longer than its timeout (%g s)"):format(limits.timeout) end
    return nil, "ended, and something else in this program has waited for it"
end

--- Reads the options → run(f, handler, …): as xpcall, but f and, when it raises, the handler run in a child. A task that
--- crashes is tried again, up to `tries` times (3); then run returns false, handler(reason), true. With `seeded` the child
--- goes on with this rank's random numbers, else with ones of its own. Nil and a message when an option is wrong.
function isolate.new(options)
    local limits, mistake = read(options)
    if not limits then return nil, mistake end
    return function (f, handler, ...)
        for try = 1, limits.tries do
            local ok, result = attempt(limits, f, handler, ...)
            if ok ~= nil then return ok, result, false end
            if try == limits.tries then
                local times = try > 1 and (", given up after %d tries"):format(try) or ""
                return false, handler(result .. times), true
            end
        end
    end
end

return isolate
