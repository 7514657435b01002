-- What TAB does at the prompt.
-- require "mpi.complete" (entries, commands) → complete(before, after) → what to insert, what to show below or nil.
-- entries(folder) lists a folder; commands are the names of the prompt's own.

local help = require "mpi.help"

local keywords = {"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local",
                  "nil", "not", "or", "repeat", "return", "then", "true", "until", "while"}

local SHOWN, WIDTH, DEPTH = 120, 80, 10 -- names; columns; tables behind __index

-- Names ----------------------------------------------------------------------------------------------------------

local function add_keys(names, t)
    for key in next, t do
        if type(key) == "string" and key:find("^[%a_][%w_]*$") then names[key] = true end
    end
end

-- What can be asked of a value by name: its own keys, those of the tables behind its metatable's __index, and where
-- that is a function, what the reference knows of the kind.
local function names_of(value)
    local names, seen = {}, value
    for _ = 1, DEPTH do
        if type(seen) == "table" then add_keys(names, seen) end
        local mt = debug.getmetatable(seen)
        if type(mt) ~= "table" then break end
        seen = rawget(mt, "__index")
        if type(seen) == "function" then
            local kind = type(mt.__name) == "string" and mt.__name:match("[%w_]+$")
            for _, name in ipairs(kind and help.list() or {}) do
                local owner, member = name:match("^([%w_]+)%.([%w_]+)$")
                if owner == kind then names[member] = true end
            end
        end
        if type(seen) ~= "table" then break end
    end
    return names
end

-- value[name], whatever its metatable does
local function index(value, name)
    local fine, result = pcall(function () return value[name] end)
    return fine and result or nil
end

local function is_callable(value)
    local mt = debug.getmetatable(value)
    return type(value) == "function" or type(mt) == "table" and rawget(mt, "__call") ~= nil
end

-- "comm:all" → the word "all" and all names that may stand for it
local function expression(text)
    local path, separator, word = text:match("([%a_][%w_%.:]*)([.:])([%a_]?[%w_]*)$")
    if not path or text:find("%.%.[%w_]*$") then
        local names = {}
        word = text:match("([%a_][%w_]*)$") or ""
        if text:find("[%d%.:)%]\"'][%a_]*$") and not text:find("[^%w_][%a_][%w_]*$") and not text:find("^[%a_][%w_]*$") then return word, names end
        add_keys(names, _G)
        for _, keyword in ipairs(keywords) do names[keyword] = true end
        return word, names
    end
    local value = _G
    for name in path:gmatch("[^.:]+") do
        value = index(value, name)
        if value == nil then return word, {} end
    end
    local names = {}
    for name in pairs(names_of(value)) do
        local member = index(value, name)
        if member ~= nil and (separator == "." or is_callable(member)) then names[name] = true end
    end
    return word, names
end

-- The text of the string literal that is open at the end of the text, or nil.
local function open_quote(text)
    local quote, from
    local i = 1
    while i <= #text do
        local c = text:sub(i, i)
        if quote then
            if c == "\\" then i = i + 1
            elseif c == quote then quote = nil
            end
        elseif c == '"' or c == "'" then
            quote, from = c, i + 1
        elseif text:find("^%-%-", i) then
            return nil
        end
        i = i + 1
    end
    if quote then return text:sub(from), quote end
end

-- Choosing --------------------------------------------------------------------------------------------------------

local again -- whether the same is asked once more: all names are to be shown

local function columns(names)
    local width, count = 0, again and #names or math.min(#names, SHOWN)
    local more = #names - count
    for i = 1, count do width = math.max(width, utf8.len(names[i]) or #names[i]) end
    local per_line = math.max(1, WIDTH // (width + 2))
    local out = {}
    local rows = (count + per_line - 1) // per_line
    for row = 1, rows do
        local line = {}
        for i = row, count, rows do
            line[#line + 1] = names[i] .. (" "):rep(width + 2 - (utf8.len(names[i]) or #names[i]))
        end
        out[row] = table.concat(line):gsub("%s+$", "") .. "\n"
    end
    if more > 0 then out[#out + 1] = ("… %d more: TAB shows all\n"):format(more) end
    return table.concat(out)
end

-- From a set of names those that begin with the word, in order.
local function matching(word, names)
    local list = {}
    for name in pairs(names) do
        if name:sub(1, #word) == word then list[#list + 1] = name end
    end
    table.sort(list)
    return list
end

-- What all of the names begin with; never a part of a character.
local function common(list)
    local first, last = list[1], list[#list] -- they are sorted
    local n = 0
    while n < #first and first:byte(n + 1) == last:byte(n + 1) do n = n + 1 end
    while n > 0 and n < #first and first:byte(n + 1) & 0xc0 == 0x80 do n = n - 1 end
    return first:sub(1, n)
end

-- What the word becomes; `ending` is inserted when there is but one way.
local function choose(word, names, ending)
    local list = matching(word, names)
    if #list == 0 then return "" end
    local inserted = common(list):sub(#word + 1)
    if #list == 1 then return inserted .. (ending and ending(list[1]) or "") end
    return inserted, inserted == "" and columns(list) or nil
end

local function file(text, quote, after, entries)
    local folder, word = text:match("^(.*/)([^/]*)$")
    folder, word = folder or "", word or text
    local place = folder:gsub("^~/", (os.getenv("HOME") or "~"):gsub("%%", "%%%%") .. "/")
    local names = {}
    for _, name in ipairs(entries(place == "" and "." or place) or {}) do
        if name:sub(1, 1) ~= "." or word:sub(1, 1) == "." then names[name] = true end
    end
    return choose(word, names, function (name)
        return name:sub(-1) ~= "/" and after:sub(1, 1) ~= quote and quote or ""
    end)
end

local function set(list)
    local names = {}
    for _, name in ipairs(list) do names[name] = true end
    return names
end

return function (entries, commands)
    local latest
    return function (before, after)
        again, latest = before == latest, before
        local asked = before:match("^%s*%?%s*(.*)$")
        if asked then return choose((asked:gsub(":", ".")), set(help.list())) end
        local command, rest = before:match("^%s*:(%w*)(.*)$")
        if command and rest == "" then return choose(command, set(commands)) end
        local open, quote = open_quote(before)
        if open then return file(open, quote, after, entries) end
        return choose(expression(before))
    end
end
