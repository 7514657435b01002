-- What several ranks have to say, as few words: equal texts merged, each with the ranks it comes from.

local trace = require "mpi.trace"
local mpi = package.loaded.mpi -- nil where there is only text to merge

-- whatever a task or a line at the prompt does to the globals
local getmetatable, ipairs, math, pcall, setmetatable, table, tonumber, tostring, type =
    getmetatable, ipairs, math, pcall, setmetatable, table, tonumber, tostring, type

local ranks = {}

--- {0, 1, 2, 5} → "0-2,5". The list is in ascending order.
function ranks.list(list)
    local parts, i = {}, 1
    while i <= #list do
        local last = i
        while list[last + 1] == list[last] + 1 do last = last + 1 end
        parts[#parts + 1] = i == last and tostring(list[i]) or list[i] .. "-" .. list[last]
        i = last + 1
    end
    return table.concat(parts, ",")
end

--- "0-2,5" → {0, 1, 2, 5}, in ascending order and without doubles, for a job of `size` ranks; or nil and what is
--- wrong.
function ranks.parse(text, size)
    local chosen, list = {}, {}
    for part in (text .. ","):gmatch("([^,]*),") do
        local first, last = part:match("^%s*(%d+)%s*%-%s*(%d+)%s*$")
        first = first or part:match("^%s*(%d+)%s*$")
        if not first then return nil, ("'%s' is no rank or range of ranks"):format(part) end
        first, last = math.tointeger(tonumber(first)), math.tointeger(tonumber(last or first))
        if not (first and last) or math.max(first, last) >= size then
            return nil, ("no rank %s: this job has ranks 0 to %d"):format(last or first or part, size - 1)
        end
        if first > last then return nil, ("'%s': the range is empty"):format(part) end
        for rank = first, last do chosen[rank] = true end
    end
    for rank = 0, size - 1 do
        if chosen[rank] then list[#list + 1] = rank end
    end
    return list
end

--- {0, 1, 2, 5} → "ranks 0-2,5"; {3} → "rank 3".
function ranks.text(list) return (#list == 1 and "rank " or "ranks ") .. ranks.list(list) end

--- Merges equal texts. `texts` is a list by rank with the field n, where nil and false have nothing to say; entry i is
--- of rank ids[i], or i - 1. → list of {text =, ranks = {…}} in the order of their first ranks.
function ranks.groups(texts, ids)
    local groups, by_text = {}, {}
    for i = 1, texts.n do
        local text = texts[i]
        if text then
            local group = by_text[text]
            if not group then
                group = {text = text, ranks = {}}
                by_text[text], groups[#groups + 1] = group, group
            end
            table.insert(group.ranks, ids and ids[i] or i - 1)
        end
    end
    return groups
end

-- Errors of ranks ---------------------------------------------------------------------------------------------

local failure = {}

--- "attempt to index a nil value (global 'z')  [ranks 0-3]", a line for each different message.
function failure:__tostring()
    local texts, ids = {n = #self.errors}, {}
    for i, one in ipairs(self.errors) do texts[i], ids[i] = one.message, one.rank end
    local lines = {}
    for i, group in ipairs(ranks.groups(texts, ids)) do
        lines[i] = ("%s  [%s]"):format(group.text, ranks.text(group.ranks))
    end
    return table.concat(lines, "\n")
end

if mpi then mpi.register("mpi.failure", failure) end

--- One error object of what went wrong on one rank or several: `errors` is a list of {message, traceback, rank, value}
--- in the order of the ranks. Its own message, traceback, rank and value are the first one's.
function ranks.failure(errors)
    local first = errors[1]
    return setmetatable({message = first.message, traceback = first.traceback, rank = first.rank, value = first.value,
                         errors = errors}, failure)
end

--- Handler for xpcall: what is told of an error to another rank. `value` is there when the error is no string and can
--- travel.
function ranks.described(value)
    if getmetatable(value) == failure then return value.errors[1] end
    local text = type(value) == "string" and trace.message(value) or nil
    if not text then
        local fine, said = pcall(tostring, value)
        local meta = getmetatable(value)
        local speaks = type(meta) == "table" and meta.__tostring or type(value) == "number"
        text = fine and speaks and said or ("(error object is a %s value)"):format(type(value))
    end
    local described = trace.describe {message = text, traceback = trace.traceback(text)}
    if type(value) ~= "string" and pcall(mpi.pack, value) then described.value = value end
    return described
end

return ranks
