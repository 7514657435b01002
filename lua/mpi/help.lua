-- Help and reference from the annotation stubs (lua/meta/*.lua), which are compiled in. The stubs are Lua files with
-- LuaLS comments; of their grammar this reads:
--
--   --- text                         above a function, class or field: its text. Standing alone, it belongs to the
--                                    chapter; a first line `--- # Title` or `--- ## Section` heads it
--   ---@class name                   above `X = {}`; X's methods are then found under the name's last part
--   ---@field name type text         a field of the class
--   ---@param name[?] type text      ---@return type text      ---@overload fun(…)      ---@type type
--   ---@alias name type, ---| value # text
--   function X.name(…) end, function X:name(…) end, X.name = value
--
-- A name is `chapter.function` or `class.method`: help "array.zeros", help "comm.Allreduce".

local near = require "mpi.near"
local source = require "mpi.source"

local help = {}

local first_chapters = {mpi = 1, comm = 2, array = 3}

-- Parsing -----------------------------------------------------------------------------------------------------

-- The type at the start of a text, which may hold spaces in brackets, around '|' and after a function's ':'; and
-- the rest.
local function split_type(text)
    local at = 1
    while at <= #text do
        local _, last = text:find("^%b()", at)
        for _, pattern in ipairs {"^%b<>", "^%b{}", "^%b[]", '^%b""', "^%s*|%s*", "^:%s*", "^,%s*"} do
            if last then break end
            _, last = text:find(pattern, at)
        end
        last = last or text:find("^%S", at)
        if not last then break end
        at = last + 1
    end
    return text:sub(1, at - 1), (text:sub(at):gsub("^%s*#?%s*", ""))
end

local tags = {}

function tags.param(doc, rest)
    local name, optional, after = rest:match("^([%w_.]+)(%??)%s*(.*)$")
    if not name then return end
    local type, text = split_type(after)
    table.insert(doc.params, {name = name, type = type, text = text,
                              optional = optional == "?" or type:match("%?$") ~= nil or type:match("|%s*nil%f[%W]") ~= nil})
end

tags["return"] = function (doc, rest)
    local type, text = split_type(rest)
    table.insert(doc.returns, {type = type, text = text})
end

function tags.field(doc, rest)
    local name, after = rest:match("^([%w_]+%??)%s+(.*)$")
    if not name then return end
    local type, text = split_type(after)
    table.insert(doc.fields, {name = name:gsub("%?", ""), type = type, text = text})
end

function tags.overload(doc, rest) table.insert(doc.overloads, rest) end
function tags.operator(doc, rest) table.insert(doc.operators, rest) end
function tags.type(doc, rest) doc.type = split_type(rest) end
function tags.class(doc, rest) doc.class = rest:match("^%(.-%)%s*([%w_.]+)") or rest:match("^[%w_.]+") end

function tags.alias(doc, rest)
    local name, type = rest:match("^([%w_.]+)%s*(.*)$")
    doc.alias, doc.type = name, type ~= "" and type or nil
end

local function new_doc()
    return {lines = {}, params = {}, returns = {}, fields = {}, overloads = {}, operators = {}, values = {}}
end

local function text_of(doc)
    return (table.concat(doc.lines, "\n"):gsub("^%s+", ""):gsub("%s+$", ""))
end

-- "(send[, recv[, op]])" from the names in the declaration and what the annotations say of them
local function arguments(names, doc)
    local optional = {}
    for _, param in ipairs(doc.params) do optional[param.name] = param.optional end
    local list = {}
    for name in names:gmatch("[%w_.]+") do list[#list + 1] = name end
    local from = #list + 1 -- where the optional ones at the end begin
    while from > 1 and (optional[list[from - 1]] or list[from - 1] == "...") do from = from - 1 end
    if list[from] == "..." then from = from + 1 end
    local out = {}
    for i, name in ipairs(list) do
        local comma = i > 1 and ", " or ""
        out[i] = i >= from and "[" .. comma .. name or comma .. name
    end
    return "(" .. table.concat(out) .. ("]"):rep(#list - from + 1) .. ")"
end

--- One stub file → {name, title, text, entries}. An entry: {name, kind, signature, text, params, returns, …}.
function help.parse(name, stub)
    local chapter = {name = name, title = name, text = "", entries = {}}
    local class_of = {} -- variable of the stub → last part of its class's name
    local doc

    local function add(kind, owner, member, signature)
        doc = doc or new_doc()
        local entry = {name = member and owner .. "." .. member or owner, kind = kind, signature = signature, text = text_of(doc)}
        for _, key in ipairs {"params", "returns", "overloads", "operators", "values", "type"} do entry[key] = doc[key] end
        table.insert(chapter.entries, entry)
        return entry
    end

    local function add_class(variable)
        local short = doc.class:match("[%w_]+$")
        if variable then class_of[variable] = short end
        local fields = doc.fields
        if text_of(doc) ~= "" then add("class", short, nil, doc.class) end
        for _, field in ipairs(fields) do
            doc = new_doc()
            doc.lines, doc.type = {field.text}, field.type
            add("field", short, field.name, short .. "." .. field.name)
        end
    end

    local function finish(line)
        local variable, separator, member, names = line:match("^function ([%w_]+)([.:])([%w_]+)%((.-)%)")
        if variable then
            doc = doc or new_doc()
            local owner = separator == ":" and class_of[variable] or variable
            add("function", owner, member, owner .. separator .. member .. arguments(names, doc))
            return
        end
        variable, member = line:match("^([%w_]+)%.([%w_]+)%s*=")
        if variable then
            add("field", variable, member, variable .. "." .. member)
            return
        end
        if not doc then return end
        if doc.class then
            add_class(line:match("^local ([%w_]+)%s*=") or line:match("^([%w_]+)%s*="))
        elseif doc.alias then
            add("alias", doc.alias, nil, doc.alias)
        else
            local text = text_of(doc)
            local section, rest = text:match("^##%s+([^\n]+)\n*(.*)$")
            if section then
                table.insert(chapter.entries, {kind = "section", signature = section, text = rest})
            else
                local title, below = text:match("^#%s+([^\n]+)\n*(.*)$")
                if title then chapter.title, text = title, below end
                chapter.text = (chapter.text .. "\n\n" .. text):gsub("^\n+", ""):gsub("\n+$", "")
            end
        end
    end

    for line in (stub .. "\n"):gmatch("(.-)\r?\n") do
        local tag, rest = line:match("^%-%-%-@(%w+)%s*(.*)$")
        local value = line:match("^%-%-%-|%s*(.*)$")
        local text = line:match("^%-%-%-%s?(.*)$")
        if tag then
            if tag ~= "meta" then doc = doc or new_doc() end
            if tags[tag] then tags[tag](doc, rest) end
        elseif value then
            doc = doc or new_doc()
            table.insert(doc.values, value)
        elseif text then
            doc = doc or new_doc()
            table.insert(doc.lines, text)
        elseif not line:find("^%s*%-%-") then
            finish(line)
            doc = nil
        end
    end
    return chapter
end

local chapters_made

-- mpi, comm, array, then the others by name
local function chapters()
    if chapters_made then return chapters_made end
    chapters_made = {}
    for _, module in ipairs(source()) do
        local name = module:match("^meta%.(.+)$")
        if name then table.insert(chapters_made, help.parse(name, source(module))) end
    end
    table.sort(chapters_made, function (a, b)
        local i, j = first_chapters[a.name] or math.huge, first_chapters[b.name] or math.huge
        return i < j or i == j and a.name < b.name
    end)
    return chapters_made
end

-- Help ----------------------------------------------------------------------------------------------------------

local function heading(entry)
    local returns = {}
    for i, value in ipairs(entry.returns) do returns[i] = value.type end
    local kind = entry.type and entry.kind ~= "alias" and ": " .. entry.type or ""
    return entry.signature .. kind .. (#returns > 0 and " → " .. table.concat(returns, ", ") or "")
end

-- The first sentence, on one line.
local function summary(text)
    local paragraph = (text .. "\n\n"):match("^(.-)\n%s*\n"):gsub("%s+", " ")
    local from = 1
    while true do
        local stop, after = paragraph:match("()[.!?]%f[%s%z]%s*()", from)
        if not stop then return paragraph end
        local sentence = paragraph:sub(1, stop)
        local _, ticks = sentence:gsub("`", "")
        if ticks % 2 == 0 and not paragraph:find("^%l", after) then return sentence end
        from = after
    end
end

local function length(text) return utf8.len(text) or #text end

-- The words of a text in lines of at most `width` columns, the first behind `first`, the others behind `others`.
local function fill(text, width, first, others)
    local lines, line, column = {}, first, length(first)
    local empty = true
    for word in text:gmatch("%S+") do
        local n = length(word)
        if not empty and column + 1 + n > width then
            lines[#lines + 1] = line
            line, column, empty = others, length(others), true
        end
        line, column = line .. (empty and "" or " ") .. word, column + n + (empty and 0 or 1)
        empty = false
    end
    lines[#lines + 1] = line:gsub("%s+$", "")
    return table.concat(lines, "\n")
end

-- A text of paragraphs and items of lists; code (four columns to the right), tables and headings stay as they are, and
-- without a width all of it.
local function filled(text, width)
    if not width then return text end
    local out, paragraph, start = {}, {}, ""
    local function finish()
        if #paragraph > 0 then out[#out + 1] = fill(table.concat(paragraph, " "), width, start, (" "):rep(#start)) end
        paragraph, start = {}, ""
    end
    for line in (text .. "\n"):gmatch("(.-)\n") do
        local item, rest = line:match("^(%s?%s?%s?%- )(.*)$")
        if not line:find("%S") or #paragraph == 0 and line:find("^    ") or line:find("^[|#]") then
            finish()
            out[#out + 1] = line
        elseif item then
            finish()
            start, paragraph = item, {rest}
        else
            paragraph[#paragraph + 1] = line
        end
    end
    finish()
    return table.concat(out, "\n")
end

-- Rows of three columns, the first two padded, the third filled; where the first two leave it too little room it begins
-- below them.
local function columns(rows, indent, width)
    local widths = {0, 0}
    for _, row in ipairs(rows) do
        for i = 1, 2 do widths[i] = math.max(widths[i], length(row[i])) end
    end
    local out = {}
    local room = width and width // 2 or math.huge
    local start = math.min(#indent + widths[1] + widths[2] + (widths[2] > 0 and 4 or 2), room)
    for _, row in ipairs(rows) do
        local left = indent .. row[1]
        if row[2] ~= "" then left = left .. (" "):rep(widths[1] - length(row[1]) + 2) .. row[2] end
        local behind = length(left) + 2 <= start
        if behind then left = left .. (" "):rep(start - length(left)) end
        if row[3] == "" then
            out[#out + 1] = left:gsub("%s+$", "")
        elseif not width then
            out[#out + 1] = left .. row[3]
        else
            if not behind then out[#out + 1] = left end
            out[#out + 1] = fill(row[3], width, behind and left or (" "):rep(start), (" "):rep(start))
        end
    end
    return table.concat(out, "\n")
end

local function entry_text(entry, width)
    local parts = {heading(entry)}
    for _, form in ipairs(entry.overloads) do table.insert(parts, form) end
    parts = {table.concat(parts, "\n")}
    if entry.text ~= "" then table.insert(parts, filled(entry.text, width)) end
    local rows = {}
    for _, param in ipairs(entry.params) do
        table.insert(rows, {param.name, param.type, param.text})
    end
    for _, value in ipairs(entry.returns) do
        if value.text ~= "" then table.insert(rows, {"→", value.type, value.text}) end
    end
    for _, operator in ipairs(entry.operators) do table.insert(rows, {"operator", operator, ""}) end
    for _, value in ipairs(entry.values) do table.insert(rows, {"|", value, ""}) end
    if #rows > 0 then table.insert(parts, columns(rows, "  ", width)) end
    return table.concat(parts, "\n\n")
end

local function chapter_text(chapter, width)
    local rows = {}
    for _, entry in ipairs(chapter.entries) do
        if entry.kind ~= "section" then table.insert(rows, {entry.signature, "", summary(entry.text)}) end
    end
    return chapter.title .. "\n\n" .. (chapter.text ~= "" and filled(chapter.text, width) .. "\n\n" or "")
        .. columns(rows, "  ", width)
end

local function each_entry(visit)
    for _, chapter in ipairs(chapters()) do
        for _, entry in ipairs(chapter.entries) do
            if entry.name then visit(entry, chapter) end
        end
    end
end

--- Names of all that has help, in the order of the reference.
function help.list()
    local names = {}
    each_entry(function (entry) names[#names + 1] = entry.name end)
    return names
end

-- What kind of object a name stands for: the last part of its metatable's __name, as in "array"; else nil.
local function kind_of(path)
    local value = _G
    for name in path:gmatch("[^.]+") do
        if type(value) ~= "table" then return nil end
        value = rawget(value, name)
    end
    local mt = debug.getmetatable(value)
    local name = type(mt) == "table" and rawget(mt, "__name")
    return type(value) ~= "string" and type(name) == "string" and name:match("[%w_]+$") or nil
end

-- The texts on a name that is written with points: those of the very name, else those of members that are called so. A
-- chapter stands before its function of the same name, and tells of those elsewhere.
local function texts_on(wanted, width)
    local exact, members, own, elsewhere = {}, {}, {}, {}
    each_entry(function (entry, chapter)
        local text = (entry.name == wanted or entry.name:match("[^.]+$") == wanted) and entry_text(entry, width)
        if not text then return end
        table.insert(entry.name == wanted and exact or members, text)
        if entry.kind ~= "function" then return end
        if chapter.name == wanted then table.insert(own, text) else table.insert(elsewhere, "?" .. entry.name) end
    end)
    for _, chapter in ipairs(chapters()) do
        if chapter.name == wanted then
            table.insert(own, 1, chapter_text(chapter, width))
            if #elsewhere > 0 then table.insert(own, "See also " .. table.concat(elsewhere, ", ")) end
            return own
        end
    end
    return #exact > 0 and exact or members
end

--- The help on a name: "comm.Allreduce", "comm:Allreduce", "Allreduce", a chapter, "array", or "a:sum" where the global a
--- is an array. Always a text: where there is no help it says so, with the names that come near. With a width, text is
--- broken into lines of so many columns.
function help.text(name, width)
    local wanted = name:gsub(":", "."):gsub("%s", ""):gsub("%(.*$", "")
    local found = texts_on(wanted, width)
    if #found == 0 then
        local owner, member = wanted:match("^(.+)%.([^.]+)$")
        local kind = kind_of(owner or wanted)
        if kind then wanted = member and kind .. "." .. member or kind end
        found = texts_on(wanted, width)
    end
    if #found > 0 then return table.concat(found, "\n\n") end
    local names, known = {}, help.list()
    for i, chapter in ipairs(chapters()) do
        names[i] = chapter.name
        known[#known + 1] = chapter.name
    end
    local come_near = near(wanted, known)
    local text = #come_near == 0 and ("no help on '%s'; there are chapters: %s"):format(name, table.concat(names, ", "))
        or ("no help on '%s'; near it: %s"):format(name, table.concat(come_near, ", "))
    return filled(text, width)
end

-- Reference -------------------------------------------------------------------------------------------------------

local function anchor(name) return ('<a id="%s"></a>'):format(name) end

local function entry_markdown(entry, write, mark)
    if entry.kind == "section" then
        write("### ", entry.signature, "\n\n")
    else
        write("#### ", mark(entry.kind == "class" and entry.signature or entry.name), "`", heading(entry), "`\n\n")
    end
    for _, form in ipairs(entry.overloads or {}) do write("`", form, "`\n\n") end
    if entry.text ~= "" then write(entry.text, "\n\n") end
    if entry.kind == "section" then return end
    for _, param in ipairs(entry.params) do
        write("- `", param.name, "` (`", param.type, "`", param.optional and ", optional" or "", ") ", param.text, "\n")
    end
    for _, value in ipairs(entry.returns) do
        if value.text ~= "" then write("- → `", value.type, "` ", value.text, "\n") end
    end
    for _, operator in ipairs(entry.operators) do write("- operator `", operator, "`\n") end
    for _, value in ipairs(entry.values) do write("- `", (value:gsub("%s*#%s*", "` ", 1)), value:find("#") and "" or "`", "\n") end
    if #entry.params + #entry.returns + #entry.operators + #entry.values > 0 then write("\n") end
end

--- The whole reference as Markdown. With a width it is for reading as it is: without links, in lines of so many columns.
function help.markdown(width)
    local out = {}
    local mark = width and function () return "" end or anchor
    local function write(...)
        for i = 1, select("#", ...) do out[#out + 1] = (select(i, ...)) end
    end
    write("# Reference\n\n")
    for _, chapter in ipairs(chapters()) do
        write("- ", width and chapter.title or ("[%s](#%s)"):format(chapter.title, chapter.name))
        local links = {}
        for _, entry in ipairs(chapter.entries) do
            if entry.kind == "function" then
                local member = entry.name:match("[^.]+$")
                links[#links + 1] = width and member or ("[%s](#%s)"):format(member, entry.name)
            end
        end
        write(#links > 0 and ": " or "", table.concat(links, " "), "\n")
    end
    for _, chapter in ipairs(chapters()) do
        write("\n## ", mark(chapter.name), chapter.title, "\n\n")
        if chapter.text ~= "" then write(chapter.text, "\n\n") end
        for _, entry in ipairs(chapter.entries) do entry_markdown(entry, write, mark) end
    end
    return filled((table.concat(out):gsub(" +\n", "\n"):gsub("\n\n\n+", "\n\n")), width)
end

return setmetatable(help, {__call = function (_, name) return help.text(name) end})
