local lu = require "mpi.luaunit"
local mpi = require "mpi"
local help = require "mpi.help"
local source = require "mpi.source"

-- The methods of an object: its metatable's __index, or the tables a function there keeps.
local function methods(object)
    local index, found = debug.getmetatable(object).__index, {}
    local function take(t)
        for name, value in pairs(t) do
            if type(name) == "string" and type(value) == "function" then found[name] = true end
        end
    end
    if type(index) == "table" then take(index) return found end
    for i = 1, math.huge do
        local name, value = debug.getupvalue(index, i)
        if not name then return found end
        if type(value) == "table" then take(value) end
    end
end

local function names(t)
    local found = {}
    for name in pairs(t) do
        if type(name) == "string" then found[name] = true end
    end
    return found
end

local function union(a, b)
    for name in pairs(b) do a[name] = true end
    return a
end

require "mpi.pool" -- adds to mpi what is loaded when it is used

local pool_methods = {}
mpi.pool(function (pool) pool_methods = {methods(pool), methods(pool:submit(print))} end, mpi.COMM_SELF)

-- owner → set of names, as they are in the program
local public = {
    mpi = names(mpi),
    comm = methods(mpi.COMM_WORLD),
    array = union(names(mpi.array), methods(mpi.array.zeros(1))),
    request = mpi.comm.ibarrier and methods(mpi.COMM_SELF:ibarrier()),
    lu = names(lu),
    pool = union({ids = true}, pool_methods[1]),
    future = union({rank = true, t0 = true, t1 = true}, pool_methods[2]),
    status = {source = true, tag = true, count = true, cancelled = true},
}

-- Those of which everything must be documented: each that has a stub of its own. LuaUnit has its own documentation.
local complete = {}
for _, owner in ipairs {"mpi", "comm", "array", "request", "pool", "future"} do
    if owner == "future" or source("meta." .. owner) then table.insert(complete, owner) end
end

local documented = {}
for _, name in ipairs(help.list()) do
    local owner, member = name:match("^(.+)%.([^.]+)$")
    if public[owner] then documented[name] = member and owner end
end

local stub = [[
---@meta

--- # Boats
--- Of all sizes.
--- They float.

---@alias boat.kind string
---| "sail" # with wind
---| "row"

--- A boat.
---@class sea.boat
---@field length integer in metres
---@operator add(sea.boat): sea.fleet
local Boat = {}

--- ## Under way
--- What moves.

--- Goes somewhere.
---
--- Slowly.
---@param to string | fun(x: integer, y: integer): string where to
---@param speed? number in knots
---@param ... any whatever
---@return boolean arrived true when it is there
---@return string? # why not
---@overload fun(to: string): boolean
function Boat:go(to, speed, ...) end

-- a remark that is no documentation
function boats.new() end

--- How many there are.
---@type integer
boats.COUNT = 0
]]

local boats = help.parse("boats", stub)

local function entry(name)
    for _, e in ipairs(boats.entries) do if e.name == name then return e end end
end

TestHelp = {}

function TestHelp:test_everything_public_is_documented()
    local missing = {}
    for _, owner in ipairs(complete) do
        for name in pairs(public[owner]) do
            if not name:find("^__") and not documented[owner .. "." .. name] then
                table.insert(missing, owner .. "." .. name)
            end
        end
    end
    table.sort(missing)
    lu.assertEquals(missing, {})
end

function TestHelp:test_everything_documented_exists()
    local extra = {}
    for name, owner in pairs(documented) do
        if not public[owner][name:match("[^.]+$")] then table.insert(extra, name) end
    end
    table.sort(extra)
    lu.assertEquals(extra, {})
end

function TestHelp:test_a_status_has_its_documented_fields()
    local _, status = mpi.COMM_SELF:recv(mpi.PROC_NULL)
    for name in pairs(public.status) do
        lu.assertNotNil(status[name], name)
        lu.assertEquals(documented["status." .. name], "status")
    end
end

function TestHelp:test_every_documented_function_says_something()
    local silent = {}
    for _, name in ipairs(help.list()) do
        if not help(name):find("\n\n", 1, true) then table.insert(silent, name) end
    end
    lu.assertEquals(silent, {})
end

function TestHelp:test_a_chapter_has_title_text_and_order()
    lu.assertEquals({boats.title, boats.text}, {"Boats", "Of all sizes.\nThey float."})
    local order = {}
    for i, e in ipairs(boats.entries) do order[i] = e.name or e.signature end
    lu.assertEquals(order, {"boat.kind", "boat", "boat.length", "Under way", "boat.go", "boats.new", "boats.COUNT"})
end

function TestHelp:test_a_method_goes_by_its_class()
    local go = entry "boat.go"
    lu.assertEquals(go.signature, "boat:go(to[, speed[, ...]])")
    lu.assertEquals(go.text, "Goes somewhere.\n\nSlowly.")
    lu.assertEquals(go.overloads, {"fun(to: string): boolean"})
end

function TestHelp:test_types_may_hold_spaces()
    local go = entry "boat.go"
    lu.assertEquals(go.params[1], {name = "to", type = "string | fun(x: integer, y: integer): string", text = "where to", optional = false})
    lu.assertEquals(go.params[2], {name = "speed", type = "number", text = "in knots", optional = true})
    lu.assertEquals(go.returns, {{type = "boolean", text = "arrived true when it is there"}, {type = "string?", text = "why not"}})
end

function TestHelp:test_fields_and_values_have_their_types()
    lu.assertEquals({entry "boat.length".type, entry "boat.length".text}, {"integer", "in metres"})
    lu.assertEquals({entry "boats.COUNT".type, entry "boats.COUNT".text}, {"integer", "How many there are."})
    lu.assertEquals(entry "boat.kind".values, {'"sail" # with wind', '"row"'})
    lu.assertEquals(entry "boat".operators, {"add(sea.boat): sea.fleet"})
end

function TestHelp:test_a_remark_is_no_documentation()
    lu.assertEquals({entry "boats.new".signature, entry "boats.new".text}, {"boats.new()", ""})
end

function TestHelp:test_help_takes_a_name_in_each_form()
    local text = help "comm.Allreduce"
    lu.assertEquals(text:match("^[^\n]*"):match("^comm:Allreduce%(send") , "comm:Allreduce(send")
    for _, form in ipairs {"comm:Allreduce", "Allreduce", "comm:Allreduce(send)", " comm.Allreduce "} do
        lu.assertEquals(help(form), text)
    end
end

function TestHelp:test_help_on_a_chapter_lists_it()
    lu.assertStrContains(help "comm", "comm:Allreduce(send")
end

function TestHelp:test_help_on_an_unknown_name_says_what_comes_near()
    lu.assertStrContains(help "comm.allreduc", "comm.allreduce")
    lu.assertStrContains(help "no such thing", "there are chapters: mpi, comm, ")
end

-- The lines of a text that are longer than `width`, without code; and the words that all lines hold.
local function long_lines(text, width)
    local long = {}
    for line in text:gmatch("[^\n]+") do
        if utf8.len(line) > width and not line:find("^    ") and line:find("%S%s+%S") then long[#long + 1] = line end
    end
    return long
end

local function words(text) return (text:gsub("%s+", " ")) end

function TestHelp:test_text_is_filled_to_the_width_between_words()
    for _, width in ipairs {60, 80, 100} do
        local text = help.text("prompt", width)
        lu.assertEquals(long_lines(text, width), {})
        lu.assertEquals(words(text), words(help "prompt"))
    end
end

function TestHelp:test_code_is_not_filled()
    lu.assertStrContains(help.text("prompt", 40), "\n    $ luampi -n 4                     # or mpirun -n 4 luampi; luampi alone has one rank\n    > ")
end

function TestHelp:test_items_of_a_list_keep_their_indent()
    lu.assertStrContains(help.text("comm.map", 60), "\n- `to`: \"all\" (the default), or the rank that gets the\n  results;")
end

function TestHelp:test_parameters_stand_in_columns_and_wrap_in_them()
    local text = help.text("comm.bcast", 60)
    lu.assertEquals(long_lines(text, 60), {})
    lu.assertEquals(words(text), words(help "comm.bcast"))
end

function TestHelp:test_a_list_has_first_sentences()
    for line in help "array":gmatch("[^\n]+") do
        local about = line:match("^  array[.:]%S+%(.-%)%]*%s%s+(%S.*)$")
        if about then lu.assertStrMatches(about, ".*[.!?:]%)?", nil, nil, line) end
    end
    lu.assertStrMatches(help "array":match("array:free%(%)%s+([^\n]*)"), "[^`]*%.")
end

function TestHelp:test_a_chapter_does_not_hide_the_function_of_its_name()
    local chapter, method = help "map", help "comm.map"
    lu.assertStrMatches(chapter:sub(1, 13), "Sharing work\n")
    lu.assertStrContains(chapter, method .. "\n\nSee also ?array.map, ?pool.map")
end

function TestHelp:test_help_takes_a_global_that_holds_an_object()
    _G.an_array = mpi.array.zeros(2)
    local by_method, alone = help "an_array:sum", help "an_array"
    _G.an_array = nil
    lu.assertEquals(by_method, help "array.sum")
    lu.assertEquals(alone, help "array")
end

function TestHelp:test_what_is_misspelt_is_found_by_what_comes_near()
    lu.assertStrContains(help "alreduce", "near it: comm.allreduce, comm.Allreduce")
    lu.assertStrContains(help "comm.sacn", "comm.scan")
    lu.assertStrContains(help "?", "there are chapters: ")
end

function TestHelp:test_the_reference_has_every_name_once()
    local reference, wrong = require "mpi.help".markdown(), {}
    for _, name in ipairs(help.list()) do
        local _, count = reference:gsub('<a id="' .. name:gsub("%.", "%%.") .. '"></a>', "")
        if count ~= 1 and name:find(".", 1, true) then wrong[#wrong + 1] = name end
    end
    lu.assertEquals(wrong, {})
end

function TestHelp:test_the_reference_is_readable_as_it_is_with_a_width()
    local reference = help.markdown(70)
    lu.assertNil(reference:find('<a id="', 1, true))
    lu.assertNil(reference:find("](#", 1, true))
    local long = {}
    for _, line in ipairs(long_lines(reference, 70)) do
        if not line:find("^[#|]") then long[#long + 1] = line end
    end
    lu.assertEquals(long, {})
    lu.assertStrContains(reference, "#### `comm:bcast(value[, root])")
end

os.exit(lu.run())
