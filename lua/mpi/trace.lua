-- Messages and tracebacks of errors as the script's author wants them: what is compiled in does not appear.

-- whatever a task does to the globals
local debug, error, getmetatable, package, pairs, rawlen, setmetatable, table, type =
    debug, error, getmetatable, package, pairs, rawlen, setmetatable, table, type

local trace = {}

-- Modules that call tasks, and how they do: nothing above these lines of a traceback is the task's own.
local callers = {map = true, isolate = true, pool = true, pooldesk = true, poolmap = true, pooltask = true}
local function is_caught(line)
    return line == "\t[C]: in function 'xpcall'" or line:find "^\t%[C%]: in function 'mpi%.[%w.]*%.run'$"
end

local TAIL_CALLS = "\t(...tail calls...)"

--- The text and, below "stack traceback:", the calls that led to the error, from within its handler: without those of
--- modules compiled in and of what called the task. Only the text when no call of Lua code is left.
function trace.traceback(text)
    local lines, speaks = {}, false
    for line in debug.traceback("", 1):gmatch "\n(\t[^\n]+)" do
        local module = line:match "^\tmpi/([%w_]+)%.lua:"
        if is_caught(line) or module and callers[module] and #lines > 0 then break end
        local idle = line == TAIL_CALLS or line == "\t[C]: in function 'error'"
        if not module and (#lines > 0 or not idle) then
            lines[#lines + 1] = line
            speaks = speaks or line ~= TAIL_CALLS and not line:find "^\t%[C%]:"
        end
    end
    if lines[#lines] == TAIL_CALLS then table.remove(lines) end
    return speaks and text .. "\nstack traceback:\n" .. table.concat(lines, "\n") or text
end

-- The C function that raised the error whose handler runs, as modules call it.
local function raised_by()
    local level = 2
    local at = debug.getinfo(level, "Sf")
    while at and at.what ~= "C" do
        level = level + 1
        at = debug.getinfo(level, "Sf")
    end
    for name, module in pairs(package.loaded) do
        for key, f in pairs(at and type(module) == "table" and module or {}) do
            if f == at.func then return name == "_G" and key or ("%s.%s"):format(name, key) end
        end
    end
end

--- An error's message, from within its handler: what a function of C's said to its caller is without that place when it
--- is compiled in, and says its name, not that of the caller's local.
function trace.message(text)
    local rest = text:match "^mpi/[%w_]+%.lua:%d+: (.*)$"
    if not rest then return text end
    local argument, complaint = rest:match "^(bad argument #%d+ to )'[%w_]+' (.*)$"
    local name = argument and raised_by()
    return name and ("%s'%s' %s"):format(argument, name, complaint) or rest
end

-- The message of a text that may have a traceback below it.
local function head(text)
    local below = text:find "\nstack traceback[%w ]*:\n"
    return below and text:sub(1, below - 1) or text
end

local descriptions = setmetatable({}, {__mode = "k"})

--- What a handler tells another rank of an error: a table with message, traceback, and perhaps the value.
function trace.describe(description)
    descriptions[description] = true
    return description
end

--- What was raised, and its text with the traceback if it has been made, from the value that __close gets. That is what the
--- handler has made of the error: the program's, when nobody catches it, a text, the prompt's a list of both, a task's a
--- description.
function trace.raised(problem)
    if problem ~= nil and descriptions[problem] then
        local value = problem.value
        if value == nil then value = problem.message end
        return value, problem.traceback
    elseif type(problem) == "string" then
        local message = head(problem)
        return message, message ~= problem and problem or nil
    elseif type(problem) == "table" and not getmetatable(problem) and rawlen(problem) == 2 then
        local value, text = problem[1], problem[2]
        if type(text) == "string" and text:find("\nstack traceback:\n", 1, true) then return value, text end
    end
    return problem
end

--- The script's line, as "file:1"; nil when none has been called. What is compiled in is not meant.
function trace.place()
    local level = 2
    local at = debug.getinfo(level, "Sl")
    while at and (at.currentline < 1 or at.source:find "^@mpi/") do
        level = level + 1
        at = debug.getinfo(level, "Sl")
    end
    return at and ("%s:%d"):format(at.short_src, at.currentline)
end

--- Raises the text as an error of the script's line.
function trace.complain(text)
    local place = trace.place()
    error(place and place .. ": " .. text or text, 0)
end

--- Raises what is wrong with the object of a method that is not called with a colon.
function trace.complain_of_dot(object, class, call, got)
    trace.complain(("bad argument #1 to '%s' (%s expected, got %s; a method is called with a colon, as %s:%s(…))"):format(
        call, class, type(got), object, call))
end

return trace
