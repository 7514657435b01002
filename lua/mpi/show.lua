-- What the prompt shows: values, printed output and errors of all ranks, equal ones merged under their ranks.
-- require "mpi.show" (size, colour) → the functions for a job of `size` ranks.

local ranks = require "mpi.ranks"

-- what a line does to the globals does not matter here
local ipairs, next, rawget, rawlen, require, select, tonumber, tostring, type =
    ipairs, next, rawget, rawlen, require, select, tonumber, tostring, type
local coroutine, debug, math, table, utf8 = coroutine, debug, math, table, utf8

-- Levels of a table; entries of one table, of all; bytes of a string; columns of a table on one line, as the first of
-- several values and as another
local DEPTH, EACH, ENTRIES, LONGEST, LINE, OTHER = 5, 50, 150, 2000, 72, 200

local BEHIND = 2 -- seconds after which a rank that stays behind is named

-- Values as text ------------------------------------------------------------------------------------------------

-- Addresses differ between ranks and tell nobody anything.
local function thing(value)
    local kind = type(value)
    if kind == "function" then
        local about = debug.getinfo(value, "S")
        if about.what == "C" then return "function: builtin" end
        return ("function: %s:%d"):format(about.short_src, about.linedefined)
    elseif kind == "thread" then
        return "thread: " .. coroutine.status(value)
    end
    return (tostring(value):gsub(": 0x%x+", ""):gsub("%(0x%x+%)", "(open)"))
end

local function has_text(value)
    local mt = debug.getmetatable(value)
    return type(mt) == "table" and rawget(mt, "__tostring") ~= nil
end

local function order(a, b)
    if type(a) == type(b) and (type(a) == "string" or type(a) == "number") then return a < b end
    return type(a) < type(b)
end

-- The keys of a table that do not belong to its first `length` entries, in order.
local function other_keys(value, length)
    local keys = {}
    for key in next, value do
        if not (math.type(key) == "integer" and key >= 1 and key <= length) then keys[#keys + 1] = key end
    end
    table.sort(keys, order)
    return keys
end

-- A copy that inspect can print: as deep and as long as is readable, level by level until there are ENTRIES, without
-- metatables. What inspect could not print itself, or would print otherwise, becomes a mark that `texts` has the text
-- of.
local function readable(root, levels)
    local texts, copies, tables, left = {}, {[root] = {}}, {{root}}, ENTRIES

    local function mark(text)
        texts[#texts + 1] = text
        return ("\1text %d\1"):format(#texts)
    end

    local function leaf(value)
        if type(value) == "string" then
            if #value > LONGEST then
                return mark(('"%s" … %d more bytes'):format(value:sub(1, LONGEST):gsub("%c", "."), #value - LONGEST))
            end
            return value:find("^\1text %d+\1$") and mark(("%q"):format(value)) or value
        elseif type(value) == "number" or type(value) == "boolean" then
            return value
        elseif type(value) == "table" and not has_text(value) then
            return mark(next(value) == nil and "{}" or "{…}")
        end
        return mark((thing(value):gsub("\n%s*", " ")))
    end

    local function copied(value, below)
        if type(value) ~= "table" or has_text(value) or left == 0 or not below then return leaf(value) end
        if not copies[value] then
            copies[value] = {}
            below[#below + 1] = value
        end
        return copies[value]
    end

    for level = 1, levels do
        local below = level < levels and {} or nil
        tables[level + 1] = below
        for _, value in ipairs(tables[level]) do
            local copy, length = copies[value], rawlen(value)
            local keys = other_keys(value, length)
            local own = math.min(EACH, math.max(left, 3))
            for i = 1, math.min(length, own) do copy[i] = copied(rawget(value, i), below) end
            if length > own then copy[own + 1] = mark(("… %d more"):format(length - own)) end
            for i = 1, math.min(#keys, own) do copy[leaf(keys[i])] = copied(rawget(value, keys[i]), below) end
            if #keys > own then copy["\xff"] = mark(("… %d more"):format(#keys - own)) end -- behind all other keys
            left = math.max(0, left - math.min(length, own) - math.min(#keys, own))
        end
    end
    return copies[root], texts
end

local inspect = require "inspect"

local function table_text(value, first)
    local copy, texts = readable(value, first and DEPTH or 1)
    local function fill(text)
        text = text:gsub('%["\xff"%] = ', "")
        return (text:gsub('"\\1text (%d+)\\1"', function (i) return texts[tonumber(i)] end))
    end
    local line = fill(inspect(copy, {newline = " ", indent = ""}))
    if (utf8.len(line) or #line) <= (first and LINE or OTHER) then return line end
    return fill(inspect(copy))
end

local function value_text(value, first)
    if type(value) == "string" then return value end
    if type(value) == "table" and not has_text(value) then return table_text(value, first) end
    return thing(value)
end

-- Many values as one text ------------------------------------------------------------------------------------------

return function (size, colour)
    local show = {}

    --- The columns that the longest list of ranks takes before a text.
    show.margin = size > 1 and #("[0-%d] "):format(size - 1) or 0

    -- Groups of ranks with equal texts, each with the start of its lines.
    local function groups_of(texts)
        texts.n = size
        local groups = ranks.groups(texts)
        for _, group in ipairs(groups) do group.start = size > 1 and "[" .. ranks.list(group.ranks) .. "] " or "" end
        return groups
    end

    local function dim(text) return colour and text:find("%S") and "\27[2m" .. text .. "\27[0m" or text end

    -- The lines of a text, each behind its own start.
    local function lines(text, first, others, code)
        local open, close = "", ""
        if code and colour then open, close = ("\27[%sm"):format(code), "\27[0m" end
        text = text:gsub("\n$", "")
        if first == "" and others == "" and open == "" then return text .. "\n" end
        return dim(first) .. open .. text:gsub("\n", close .. "\n" .. dim(others) .. open) .. close .. "\n"
    end

    --- One text from the results of a function: show.values(f(…)). nil when there are none. What comes second is often
    --- there besides: of its tables one level is shown.
    function show.values(...)
        local n = select("#", ...)
        if n == 0 then return nil end
        local texts = {}
        for i = 1, n do texts[i] = value_text((select(i, ...)), i == 1) end
        return table.concat(texts, "\t")
    end

    --- What the ranks' texts (a list by rank) look like: on one line when they are short, else one below the other.
    function show.results(texts, width)
        local groups = groups_of(texts)
        local short, length = #groups > 1, 0
        for _, group in ipairs(groups) do
            if group.text:find("\n") then short = false end
            length = length + #group.start + (utf8.len(group.text) or #group.text) + 2
        end
        local out = {}
        for i, group in ipairs(groups) do
            if short and length - 2 <= width then
                out[i] = (i > 1 and "  " or "") .. dim(group.start) .. group.text .. (i == #groups and "\n" or "")
            else
                out[i] = lines(group.text, group.start, (" "):rep(#group.start))
            end
        end
        return table.concat(out)
    end

    --- What the ranks printed (a list by rank), every line under its ranks.
    function show.output(texts)
        local out = {}
        for i, group in ipairs(groups_of(texts)) do out[i] = lines(group.text, group.start, group.start) end
        return table.concat(out)
    end

    --- Errors, a list by rank of {message=, trace=}: each message once, with the calls that led there on the first
    --- of its ranks. The interruptions that others brought about come last.
    function show.errors(errors)
        local messages, own, interrupted = {}, {}, {}
        for i = 1, size do messages[i] = errors[i] and errors[i].message end
        for _, group in ipairs(groups_of(messages)) do
            local text = lines(group.text, group.start, (" "):rep(#group.start), "31")
            local trace = errors[group.ranks[1] + 1].trace
            if trace then text = text .. lines(trace, "", "") end
            table.insert(group.text:find("^interrupted ") and interrupted or own, text)
        end
        return table.concat(own) .. table.concat(interrupted)
    end

    local since, told -- when ranks began to stay behind, and when that is to be told next, in seconds

    --- Tells of ranks that go on while others have been done for a while, seldomer and seldomer: from the states by rank
    --- that mpi.interrupt knows, and the time. nil when there is nothing to tell.
    function show.behind(states, now)
        local going, done, n = {n = size}, {}, 0
        for i = 1, size do
            local state = states[i]
            if state == "done" or state == "failed" or state == "idle" then
                done[#done + 1] = i - 1
            else
                going[i], n = state, n + 1
            end
        end
        if n == 0 or #done == 0 then
            since = nil
            return nil
        end
        if not since then since, told = now, BEHIND end
        if now - since < told then return nil end
        told = told * 2
        local out = {}
        for i, group in ipairs(ranks.groups(going)) do
            local who = ranks.text(group.ranks)
            out[i] = who .. " " .. (group.text == "running" and (#group.ranks == 1 and "still runs" or "still run")
                or #group.ranks == 1 and group.text or group.text:gsub("^waits", "wait"))
        end
        return lines(table.concat(out, ", ") .. "; the others are done", "", "", "33")
    end

    --- Tells of ranks that do not stop though they were asked, from the states by rank: code in Lua stops at once. Rank 0
    --- tells the others, so while it goes on nothing is known of them. nil when there is nothing to tell.
    function show.stuck(states)
        local going = {}
        for i = 1, states[1] == "running" and 1 or size do
            if states[i] == "running" then going[#going + 1] = i - 1 end
        end
        if #going == 0 then return nil end
        return lines(("%s %s still in a C function; Ctrl-C again ends the session"):format(ranks.text(going),
            #going == 1 and "is" or "are"), "", "", "33")
    end

    --- What is wrong with a line before it runs.
    function show.complaint(message) return lines(message, "", "", "31") end

    return show
end
