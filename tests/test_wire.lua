local mpi = require "mpi"
local array = mpi.array
local lu = require "mpi.luaunit"

local pack, unpack = mpi.pack, mpi.unpack
local here = arg[0]:match("^(.*/)") or "./"

local function travel(value) return unpack(pack(value)) end

local function assertRefused(value, message)
    lu.assertErrorMsgEquals(message, pack, value)
end

-- reason: where the message is refused for what it begins with
local function assertNoMessage(bytes, reason)
    local fine, message = pcall(unpack, bytes)
    lu.assertFalse(fine)
    lu.assertStrContains(message, "not a message: " .. (reason or ""))
    if not reason then lu.assertNotStrContains(message, "it does not begin as one") end
end

TestWireScalars = {}

function TestWireScalars:test_nil_and_booleans_travel()
    lu.assertNil(travel(nil))
    lu.assertIs(travel(true), true)
    lu.assertIs(travel(false), false)
end

function TestWireScalars:test_integers_of_all_sizes_stay_integers()
    for bits = 0, 63 do
        for near = -17, 17 do
            for _, i in ipairs {(1 << bits) + near, -(1 << bits) + near} do
                lu.assertEquals(travel(i), i)
                lu.assertEquals(math.type(travel(i)), "integer")
                lu.assertEquals(travel({i, i + 1}), {i, i + 1})
                lu.assertEquals(travel({i, "x"})[1], i)
            end
        end
    end
end

function TestWireScalars:test_floats_keep_every_bit()
    local nan = string.unpack("<d", string.pack("<I8", 0x7FF4DEADBEEF0001))
    for _, x in ipairs {0.0, -0.0, 1.0, 0.1, -1e308, 5e-324, 1 / 0, -1 / 0, nan, -nan, 2.0 ^ 53, 1e15} do
        local bits = string.pack("<d", x)
        lu.assertEquals(math.type(travel(x)), "float")
        lu.assertEquals(string.pack("<d", travel(x)), bits)
        lu.assertEquals(string.pack("<d", travel({x, x})[2]), bits)
        lu.assertEquals(string.pack("<d", travel({x, "x"})[1]), bits)
        lu.assertEquals(string.pack("<d", travel({key = x}).key), bits)
    end
end

function TestWireScalars:test_strings_of_any_bytes_and_length_travel()
    local all = {}
    for byte = 0, 255 do all[#all + 1] = string.char(byte) end
    all = table.concat(all)
    for n = 0, 300 do
        local s = all:rep(2):sub(200, 200 + n)
        lu.assertIs(travel(s), s)
        lu.assertIs(travel({s, s, [s] = s})[s], s)
    end
    local long = all:rep(5000)
    lu.assertIs(travel(long), long)
end

function TestWireScalars:test_an_integer_takes_two_bytes_and_a_string_two_more_than_its_own()
    lu.assertEquals(#pack(7), 2)
    lu.assertEquals(#pack("hello"), 7)
end

TestWireTables = {}

function TestWireTables:test_lists_of_every_kind_come_back()
    for _, t in ipairs {{}, {1}, {1.5}, {"a"}, {true}, {{}}, {1, 2.5}, {2.5, 1}, {1, "a", 2.5}, {1, 300, 70000, 1 << 40},
                        {-1, -200, -40000, -(1 << 40)}, {1, 2, 3, x = 4}, {1.5, 2.5, x = 4}} do
        lu.assertEquals(travel(t), t)
        lu.assertEquals(#travel(t), #t)
    end
    local mixed = {}
    for i = 1, 1000 do mixed[i] = ({i, i / 2, tostring(i), i % 2 == 0, {i}})[i % 5 + 1] end
    lu.assertEquals(travel(mixed), mixed)
end

function TestWireTables:test_a_list_that_changes_its_type_late_comes_back()
    for _, last in ipairs {1, 1.5, 300, 1 << 20, 1 << 60, "x", {}, false} do
        local ints, floats = {}, {}
        for i = 1, 100 do ints[i], floats[i] = i, i + 0.5 end
        ints[101], floats[101] = last, last
        lu.assertEquals(travel(ints), ints)
        lu.assertEquals(travel(floats), floats)
        lu.assertEquals(math.type(travel(floats)[101]), math.type(last))
    end
end

function TestWireTables:test_holes_stay_where_they_are()
    for _, t in ipairs {{nil, 2}, {1, nil, 3}, {1, 2, nil, 4, nil, nil, 7}, {nil, nil, nil, 1.5}, {n = 3, nil, nil, "c"}} do
        lu.assertEquals(travel(t), t)
    end
    lu.assertEquals(#travel({1, nil, 3}), #{1, nil, 3})
end

function TestWireTables:test_a_sparse_table_stays_small()
    local sparse = {}
    for i = 0, 62 do sparse[1 << i] = i end
    lu.assertEquals(travel(sparse), sparse)
    lu.assertTrue(#pack(sparse) < 1000)
end

function TestWireTables:test_a_list_filled_from_its_end_comes_back()
    local t = {}
    for i = 100, 1, -1 do t[i] = i * 1.5 end
    lu.assertEquals(travel(t), t)
end

function TestWireTables:test_keys_of_every_type_come_back()
    local t = {[1.5] = 1, [-3] = 2, [true] = 3, [false] = 4, [""] = 5, [1 << 40] = 6, [-0.5] = 7, [math.huge] = 8, [print] = 9}
    lu.assertEquals(travel(t), t)
    local key = {"key"}
    local back = travel({[key] = key})
    local k, v = next(back)
    lu.assertEquals(k, {"key"})
    lu.assertIs(k, v)
end

function TestWireTables:test_cycles_come_back_as_cycles()
    local t = {list = {}}
    t.self, t.list[1], t[t] = t, t, t.list
    local back = travel(t)
    lu.assertIs(back.self, back)
    lu.assertIs(back.list[1], back)
    lu.assertIs(back[back], back.list)
    lu.assertNotIs(back, t)
end

function TestWireTables:test_what_is_shared_stays_shared_and_what_is_equal_does_not_become_so()
    local shared = {1}
    local back = travel({shared, shared, {1}})
    lu.assertIs(back[1], back[2])
    lu.assertNotIs(back[1], back[3])
end

function TestWireTables:test_a_list_of_floats_takes_eight_bytes_a_number()
    local floats, small, large = {}, {}, {}
    for i = 1, 1000 do floats[i], small[i], large[i] = i + 0.5, i % 100, i + 1000 end
    lu.assertTrue(#pack(floats) <= 8000 + 8)
    lu.assertTrue(#pack(small) <= 1000 + 8)
    lu.assertTrue(#pack(large) <= 2000 + 8)
end

function TestWireTables:test_keys_that_repeat_take_one_or_two_bytes()
    local records, strings = {}, {}
    for i = 1, 1000 do
        records[i] = {identifier = i % 100, quantity = 5}
        strings[i] = "string number " .. i % 500
    end
    lu.assertTrue(#pack(records) < 1000 * 8)
    lu.assertTrue(#pack(strings) - #pack({table.unpack(strings, 1, 500)}) <= 500 * 2 + 100) -- a few may be sent anew
    lu.assertEquals(travel(records), records)
    lu.assertEquals(travel(strings), strings)
end

function TestWireTables:test_records_with_fields_that_come_and_go_come_back()
    local long, wide = ("k"):rep(60), {}
    for i = 1, 40 do wide["field" .. i] = i end
    local records = {}
    for i = 1, 300 do
        local r = {id = i, name = "name " .. i, [long] = i % 7 == 0 and i or nil}
        if i % 2 == 0 then r.half = i // 2 end
        if i % 3 == 0 then r.id = nil r[i] = "number" r[i + 0.5] = true end
        if i % 5 == 0 then r.inner = {id = -i, name = r.name, half = i % 10 == 0 and {id = {id = i}} or nil} end
        if i % 11 == 0 then r.wide = wide end
        if i % 13 == 0 then r.list = {i, id = i} end
        if i % 17 == 0 then r.self, r[r] = r, records end
        records[i] = r
    end
    local came = travel(records)
    lu.assertEquals(#came, 300)
    for i = 17, 300, 17 do
        lu.assertIs(came[i].self, came[i])
        lu.assertIs(came[i][came[i]], came)
        came[i].self, came[i][came[i]], records[i].self, records[i][records[i]] = nil, nil, nil, nil
    end
    lu.assertIs(came[11].wide, came[22].wide)
    lu.assertEquals(came, records)
end

function TestWireTables:test_records_that_begin_alike_take_a_byte_a_key_at_most()
    local records = {}
    for i = 1, 1000 do records[i] = {identifier = i % 100, [i % 2 == 0 and "even" or "odd"] = 5} end
    lu.assertTrue(#pack(records) < 1000 * 8)
    lu.assertEquals(travel(records), records)
end

function TestWireTables:test_lists_of_numbers_that_end_otherwise_come_back()
    for _, n in ipairs {1, 15, 16, 17, 31, 32, 33, 100} do
        local floats, integers, wider = {}, {}, {}
        for i = 1, n do floats[i], integers[i], wider[i] = i / 4 + 0.1, i, 1 << i % 63 end
        for _, last in ipairs {7, 7.5, 7.0, 1 << 62, "7", false, {7}, -2.0^63, math.mininteger, 2.0^63} do
            for _, list in ipairs {floats, integers, wider} do
                local t = table.move(list, 1, n, 1, {})
                t[n + 1] = last
                local came = travel(t)
                lu.assertEquals(came, t)
                for i = 1, n + 1 do lu.assertEquals(math.type(came[i]), math.type(t[i])) end
                t[n + 2], t.x, t[-1], t[n + 4] = 1.5, "x", "minus one", 3
                lu.assertEquals(travel(t), t)
            end
        end
    end
end

function TestWireTables:test_items_that_lie_among_the_pairs_are_items()
    for n = 1, 40 do
        local t = {a = 1, b = 2, c = 3, d = 4, e = 5}
        for i = n, 1, -1 do t[i] = i % 3 == 0 and "item" or i + 0.5 end
        t.f = 6
        lu.assertEquals(travel(t), t)
    end
end

function TestWireTables:test_many_different_strings_twice_come_back()
    local t = {}
    for i = 1, 20000 do t[i] = "s" .. (i % 10000) end
    lu.assertEquals(travel(t), t)
end

function TestWireTables:test_long_strings_travel_once()
    local long = ("x"):rep(1000)
    lu.assertTrue(#pack({long, long, {long}}) < 1020)
    lu.assertEquals(travel({long, long, {long}}), {long, long, {long}})
end

function TestWireTables:test_records_with_the_same_and_with_other_keys_come_back()
    local records = {}
    for i = 1, 200 do
        local r = {id = i, name = "name" .. i, x = i / 2}
        if i % 3 == 0 then r.id = nil end
        if i % 5 == 0 then r[("longkey"):rep(10)] = i end
        if i % 7 == 0 then r[i] = "number" end
        for k = 1, i % 40 do r["key" .. k] = k end
        records[i] = r
    end
    lu.assertEquals(travel(records), records)
end

-- Whether b is a copy of a: what is one table in a is one table in b, and the other way round.
local function is_copy(a, b, pairs_seen)
    if type(a) ~= "table" then return rawequal(a, b) and math.type(a) == math.type(b) end
    if pairs_seen[a] or pairs_seen[b] then return pairs_seen[a] == b and pairs_seen[b] == a end
    if type(b) ~= "table" then return false end
    pairs_seen[a], pairs_seen[b] = b, a
    for k, v in pairs(a) do if not is_copy(v, b[k], pairs_seen) then return false end end
    for k in pairs(b) do if a[k] == nil then return false end end
    return true
end

function TestWireTables:test_thousands_of_random_tables_come_back()
    math.randomseed(4)
    local random = math.random
    local function value(made, depth)
        local kind = random(depth > 4 and 7 or 9)
        if kind == 1 then return random(-300, 300)
        elseif kind == 2 then return random(0)
        elseif kind == 3 then return random() * 10 ^ random(-5, 5)
        elseif kind == 4 then return ("s"):rep(random(0, 60))
        elseif kind == 5 then return "word" .. random(100)
        elseif kind == 6 then return random(2) == 1
        elseif kind == 7 and #made > 0 then return made[random(#made)]
        end
        local t = {}
        made[#made + 1] = t
        local same = random(3) == 1 and value({}, 5)
        for i = 1, random(0, 12) do t[i] = same or value(made, depth + 1) end
        if random(3) == 1 then t[random(13)] = nil end
        for _ = 1, random(0, 5) do t["key" .. random(50)] = value(made, depth + 1) end
        if random(4) == 1 then t[random(-5, 40)] = random(5) end
        return t
    end
    for _ = 1, 3000 do
        local v = value({}, 0)
        lu.assertTrue(is_copy(v, travel(v), {}))
    end
end

local function nested(depth)
    local t = {}
    for _ = 2, depth do t = {inner = t} end
    return t
end

function TestWireTables:test_tables_nest_a_thousand_deep()
    local t, depth = travel(nested(1000)), 0
    while t do t, depth = t.inner, depth + 1 end
    lu.assertEquals(depth, 1000)
end

function TestWireTables:test_objects_nest_as_deep_as_tables()
    local class, object, depth = mpi.register("test_wire.link", {}), nil, 0
    for _ = 1, 1000 do object = setmetatable({inner = object}, class) end
    object = travel(object)
    while object do
        lu.assertIs(getmetatable(object), class)
        object, depth = object.inner, depth + 1
    end
    lu.assertEquals(depth, 1000)
    local list = print
    for _ = 1, 1000 do list = {list} end
    lu.assertEquals(type(travel(list)), "table")
end

function TestWireTables:test_deeper_tables_are_refused_at_both_ends()
    local path = (".inner"):rep(10)
    assertRefused(nested(1001), "cannot send a table nested deeper than 1000 levels at value" .. path .. "…" .. path)
    local list = {}
    for _ = 2, 1000 do list = {list} end
    local deepest = pack(list)
    local format, level = deepest:sub(1, 1), deepest:sub(2, 4)
    lu.assertEquals(deepest:sub(1, 1 + 3 * 999), format .. level:rep(999))
    lu.assertErrorMsgContains("not a message: it is nested deeper than 1000 levels", unpack, format .. level:rep(2000))
end

function TestWireTables:test_no_metamethod_runs()
    local function never() error("a metamethod ran") end
    local class = mpi.register("test_wire.no_metamethod", {__index = never, __newindex = never, __pairs = never,
        __len = never, __tostring = never, __name = "never", __eq = never, __call = never})
    local back = travel(setmetatable({1, 2, x = 3}, class))
    lu.assertEquals(rawget(back, "x"), 3)
    lu.assertEquals(rawlen(back), 2)
end

TestWireFunctions = {}

function TestWireFunctions:test_a_function_runs_after_the_journey()
    local function f(a, b) return a + b, "text", 1.5, #{a, b, nil, x = b} end
    lu.assertEquals({travel(f)(1, 2)}, {3, "text", 1.5, 2})
end

function TestWireFunctions:test_upvalues_travel_and_are_copies()
    local n, t = 10, {5}
    local function f() n = n + 1 return n, t[1] end
    local g = travel(f)
    lu.assertEquals({g()}, {11, 5})
    lu.assertEquals({g()}, {12, 5})
    lu.assertEquals(n, 10)
end

function TestWireFunctions:test_closures_that_share_a_local_still_share_it()
    local n, m = 0, 0
    local function up() n = n + 1 return n end
    local function get() return n, m end
    local function other() m = m + 100 end
    local back = travel({up, get, other, up})
    back[1]()
    back[3]()
    lu.assertEquals({back[2]()}, {1, 100})
    lu.assertIs(back[1], back[4])
    lu.assertEquals({get()}, {0, 0})
end

function TestWireFunctions:test_a_local_shared_through_a_nested_function_is_still_shared()
    local n = 0
    local function inner() n = n + 1 return n end
    local function outer() return inner() + n end
    local f = travel(outer)
    lu.assertEquals({f(), f(), n}, {2, 4, 0})
end

function TestWireFunctions:test_recursive_and_mutually_recursive_functions_travel()
    local function factorial(n) return n <= 1 and 1 or n * factorial(n - 1) end
    lu.assertEquals(travel(factorial)(10), 3628800)
    local odd
    local function even(n) if n == 0 then return true end return odd(n - 1) end
    function odd(n) if n == 0 then return false end return even(n - 1) end
    lu.assertIs(travel(even)(10), true)
    lu.assertIs(travel({even, odd})[2](10), false)
end

function TestWireFunctions:test_env_becomes_the_globals_here_whichever_upvalue_it_is()
    local x = 5
    local function f() return x, test_wire_global end
    local function g() return test_wire_global, x end
    local back = travel({f, g, _ENV = _ENV})
    test_wire_global = "seen"
    lu.assertEquals({back[1]()}, {5, "seen"})
    lu.assertEquals({back[2]()}, {"seen", 5})
    lu.assertIs(back._ENV, _G)
    test_wire_global = nil
end

function TestWireFunctions:test_the_first_upvalue_is_not_the_globals_unless_it_was()
    local unset
    local function f() return unset end
    lu.assertNil(travel(f)())
end

function TestWireFunctions:test_an_environment_of_its_own_travels()
    local f = load("x = x + 1 return x", "=f", "t", {x = 1})
    lu.assertEquals(travel(f)(), 2)
end

function TestWireFunctions:test_a_function_in_its_own_upvalue_table_travels()
    local object = {n = 3}
    function object.get() return object.n, object end
    local back = travel(object)
    local n, o = back.get()
    lu.assertEquals(n, 3)
    lu.assertIs(o, back)
end

function TestWireFunctions:test_variadic_functions_and_closed_variables_work()
    local closed = {}
    local function f(...)
        local guard <close> = setmetatable({}, {__close = function () closed[#closed + 1] = "closed" end})
        for _, v in ipairs {...} do if v == 2 then return select("#", ...), closed, ... end end
    end
    local n, log, a, b, c = travel(f)(1, 2, 3)
    lu.assertEquals({n, log, a, b, c}, {3, {"closed"}, 1, 2, 3})
end

function TestWireFunctions:test_stripped_functions_and_main_chunks_travel()
    local file <close> = assert(io.open(here .. "corpus/wire/stripped", "rb")) -- function (a, ...) return a * 2, ... end
    local stripped = unpack(file:read("a"))
    lu.assertEquals({stripped(4, "x")}, {8, "x"})
    lu.assertEquals({travel(stripped)(4, "x")}, {8, "x"})
    lu.assertEquals({travel(load("local a, b = ... return b, a"))(1, 2)}, {2, 1})
end

function TestWireFunctions:test_errors_still_name_the_line()
    local chunk = assert(load("\n\nreturn function () error('here') end", "@file.lua"))
    lu.assertErrorMsgEquals("file.lua:3: here", travel(chunk()))
end

function TestWireFunctions:test_c_functions_travel_by_name()
    for _, f in ipairs {print, require, pairs, string.format, table.concat, math.sin, coroutine.wrap, mpi.pack} do
        lu.assertIs(travel(f), f)
    end
    local format = string.format
    lu.assertEquals(travel(function (x) return format("%03d", x) end)(7), "007")
end

function TestWireFunctions:test_a_c_function_of_a_module_loaded_later_travels()
    lu.assertErrorMsgContains("a C function", pack, string.gmatch("a", "a"))
    local f = string.gmatch("a", "a")
    package.loaded["test_wire.late"] = {field = f}
    lu.assertIs(travel(f), f)
    package.loaded["test_wire.late"] = nil
    assertRefused(f, "cannot send a C function that is not a field of a module at value")
end

function TestWireFunctions:test_lua_functions_of_our_own_modules_travel_by_name_others_as_copies()
    local ours, theirs = {f = function () end}, {f = function () end}
    package.loaded["mpi.test_wire"], package.loaded["test_wire.theirs"] = ours, theirs
    lu.assertIs(travel(ours.f), ours.f)
    lu.assertNotIs(travel(theirs.f), theirs.f)
    package.loaded["mpi.test_wire"], package.loaded["test_wire.theirs"] = nil, nil
    lu.assertNotIs(travel(ours.f), ours.f)
end

function TestWireFunctions:test_a_c_function_that_only_a_global_holds_is_refused()
    test_wire_global = string.gmatch("a", "a")
    assertRefused({test_wire_global}, "cannot send a C function that is not a field of a module at value[1]")
    test_wire_global = nil
end

TestWireRefusals = {}

local thread = coroutine.create(print)

function TestWireRefusals:test_what_cannot_travel_is_named_with_its_place()
    assertRefused(thread, "cannot send a thread at value")
    assertRefused({jobs = {1, 2, {co = thread}}}, "cannot send a thread at value.jobs[3].co")
    assertRefused({1, nil, thread}, "cannot send a thread at value[3]")
    assertRefused({1.5, thread}, "cannot send a thread at value[2]")
    assertRefused({1, {thread}}, "cannot send a thread at value[2][1]")
    assertRefused({[-4] = thread}, "cannot send a thread at value[-4]")
    assertRefused({[1.5] = {[true] = thread}}, "cannot send a thread at value[1.5][true]")
    assertRefused({["two words"] = {["end\n\"\\"] = thread}}, [=[cannot send a thread at value["two words"]["end\010\"\\"]]=])
    assertRefused({["9x"] = thread}, [=[cannot send a thread at value["9x"]]=])
    assertRefused({[{}] = {x = thread}}, "cannot send a thread at value[a table].x")
    assertRefused({x = {[thread] = 1}}, "cannot send a thread at value.x (a key)")
    assertRefused({[{y = thread}] = 1}, "cannot send a thread at value (a key).y")
    assertRefused({[("k"):rep(100)] = thread}, 'cannot send a thread at value["' .. ("k"):rep(40) .. '…"]')
end

function TestWireRefusals:test_upvalues_are_named()
    local co = thread
    local function f() return co end
    local function g() return f end
    assertRefused(f, "cannot send a thread at value (upvalue 'co')")
    assertRefused({f = f}, "cannot send a thread at value.f (upvalue 'co')")
    assertRefused({g}, "cannot send a thread at value[1] (upvalue 'f') (upvalue 'co')")
    local t = {list = {co}}
    assertRefused(function () return t end, "cannot send a thread at value (upvalue 't').list[1]")
end

function TestWireRefusals:test_files_and_other_userdata_are_named_by_their_type()
    assertRefused({io.stdout}, "cannot send a FILE* at value[1]")
    local file <close> = io.tmpfile()
    assertRefused({file = file}, "cannot send a FILE* at value.file")
end

function TestWireRefusals:test_after_a_refusal_everything_works_as_before()
    local t = {a = {1, 2, 3}, b = "text", c = {thread}}
    for _ = 1, 100 do lu.assertError(pack, t) end
    lu.assertEquals(t.a, {1, 2, 3})
    t.c = nil
    lu.assertEquals(travel(t), {a = {1, 2, 3}, b = "text"})
end

TestWireHooks = {}

-- What is packed inside of a hook goes between two messages, never into the midst of one.
function TestWireHooks:test_a_hook_may_pack_while_something_is_packed()
    local big, shared = {}, {name = "shared"}
    for i = 1, 50000 do big[i] = i * 0.5 end
    for _, mask in ipairs {"c", "r"} do
        package.loaded["a new module"] = {} -- the names of functions are listed anew
        debug.sethook(function () mpi.pack {1, 2, {3}} end, mask)
        local fine, text = pcall(mpi.pack, {shared, big, print, shared, big})
        debug.sethook()
        package.loaded["a new module"] = nil
        lu.assertTrue(fine)
        local value = mpi.unpack(text)
        lu.assertIs(value[4], value[1])
        lu.assertIs(value[5], value[2])
        lu.assertEquals({#value[2], value[3], value[1].name}, {50000, print, "shared"})
    end
end

TestWireArrays = {}

function TestWireArrays:test_arrays_of_every_type_and_shape_travel()
    for _, dtype in ipairs {"float64", "float32", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"} do
        local a = array.of({{1, 2, 3}, {4, 5, 6}}, dtype)
        local b = travel(a)
        lu.assertEquals(b:dtype(), dtype)
        lu.assertEquals({b:shape()}, {2, 3})
        lu.assertTrue(a == b)
        b:set(1, 1, 9)
        lu.assertEquals(a:get(1, 1), dtype:find("float") and 1.0 or 1)
    end
    for _, shape in ipairs {{0}, {3, 0, 2}, {1, 1, 1, 1, 1, 1, 1, 1}} do
        lu.assertEquals({travel(array.zeros(shape)):shape()}, shape)
    end
end

function TestWireArrays:test_a_view_becomes_an_array_of_its_own()
    local a = array.of({{1, 2, 3}, {4, 5, 6}})
    local column = travel(a:col(2))
    lu.assertEquals(column:totable(), {2.0, 5.0})
    lu.assertEquals(travel(a:t()):totable(), {{1.0, 4.0}, {2.0, 5.0}, {3.0, 6.0}})
    local both = travel({a, a[1]})
    both[1]:set(1, 1, 7)
    lu.assertEquals(both[2]:get(1), 1.0)
end

function TestWireArrays:test_one_array_sent_twice_stays_one()
    local a = array.of({1, 2})
    local back = travel({a, a, x = a})
    lu.assertTrue(rawequal(back[1], back[2]) and rawequal(back[1], back.x))
    back[1]:set(1, 5)
    lu.assertEquals(back[2]:get(1), 5.0)
end

function TestWireArrays:test_an_array_without_memory_is_refused()
    local a = array.zeros(4)
    a:free()
    assertRefused({x = a}, "cannot send an array whose memory was freed at value.x")
end

TestWireBytes = {}

local samples = {}

function TestWireBytes:setUp()
    local n = 0
    local function f(x) n = n + x return n, {x, n, key = "value"} end
    samples = {nil, true, 5, 1 << 40, 2.5, "short", ("long"):rep(20), {1, 2, 3}, {1.5, 2.5}, {1, "a", x = {y = {}}}, f,
               {f, f, function () return n end}, {print, mpi, _G}, {("long"):rep(20), ("long"):rep(20)},
               setmetatable({1, x = 2}, mpi.register("test_wire.sample", samples.mt or {})), n = 15}
    samples.mt = getmetatable(samples[15])
end

function TestWireBytes:test_a_message_that_is_cut_short_is_refused()
    for i = 1, samples.n do
        local bytes = pack(samples[i])
        for n = 0, #bytes - 1 do assertNoMessage(bytes:sub(1, n)) end
    end
end

function TestWireBytes:test_a_message_with_more_behind_it_is_refused()
    for i = 1, samples.n do assertNoMessage(pack(samples[i]) .. "\0") end
end

function TestWireBytes:test_what_is_no_message_is_refused()
    assertNoMessage("")
    assertNoMessage("hello", "it does not begin as one")
    assertNoMessage("\0\0\0\0", "it does not begin as one")
    assertNoMessage(("\xff"):rep(100), "it does not begin as one")
    lu.assertErrorMsgContains("not a message: it is empty", unpack, "")
    lu.assertErrorMsgContains("not a message: it does not begin as one", unpack, "x")
    lu.assertErrorMsgContains("bad argument #1 to 'unpack' (string expected, got nil)", function () mpi.unpack(nil) end)
    lu.assertErrorMsgContains("bad argument #1 to 'pack' (value expected)", function () mpi.pack() end)
end

function TestWireBytes:test_a_message_with_any_byte_changed_gives_a_value_or_an_error()
    for i = 1, samples.n do
        local bytes = pack(samples[i])
        for at = 1, #bytes do
            for _, byte in ipairs {0, 1, 127, 128, 255, bytes:byte(at) ~ 1, bytes:byte(at) ~ 64} do
                local changed = bytes:sub(1, at - 1) .. string.char(byte) .. bytes:sub(at + 1)
                local ok, message = pcall(unpack, changed)
                if not ok then lu.assertEquals(type(message), "string") end
            end
        end
    end
end

function TestWireBytes:test_a_function_with_any_bit_changed_is_refused()
    local function f(a, b) local t = {a, b, x = a + b} for i = 1, #t do t[i] = t[i] .. "x" end return t end
    local bytes = pack(f)
    local from = bytes:find("\27Lua", 1, true)
    local to = from + #string.dump(f) - 1
    for at = from, to do
        for bit = 0, 7 do
            local changed = bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 1 << bit) .. bytes:sub(at + 1)
            lu.assertErrorMsgContains("not a message: a function is damaged", unpack, changed)
        end
    end
end

function TestWireBytes:test_sizes_larger_than_the_message_are_refused_before_memory_is_taken()
    local huge = "\xff\xff\xff\xff\xff\xff\xff\x7f"
    assertNoMessage("\xf2\xf2" .. huge)                                   -- a string
    assertNoMessage("\xf2\xf4\x20" .. huge)                               -- lists
    assertNoMessage("\xf2\xf4\x40" .. huge)
    assertNoMessage("\xf2\xf4\x40\xff\xff\xff\x0f" .. ("x"):rep(100))
    assertNoMessage("\xf2\xf4\x1f\xf1")                                   -- room for pairs
    assertNoMessage("\xf2\xf6\0\2" .. huge .. "\1")                       -- arrays
    assertNoMessage("\xf2\xf6\0\2" .. "\0" .. huge .. ("x"):rep(100))
    assertNoMessage("\xf2\xf6\0\3" .. "\0" .. huge .. huge)
    assertNoMessage("\xf2\xf6\0\xff")
    assertNoMessage("\xf2\xf8\xff\xff\xff\xff" .. ("x"):rep(100))         -- a function
end

function TestWireBytes:test_keys_that_cannot_be_are_refused()
    assertNoMessage("\xf2\xf4\0\xea\1\xf1")                               -- nil
    assertNoMessage("\xf2\xf4\0\xf0\0\0\0\0\0\0\xf8\x7f\1\xf1")           -- not a number
end

function TestWireBytes:test_records_without_a_shape_are_refused()
    assertNoMessage("\xf2\xe2\x10\1")                    -- one value, of a shape nobody has named
    assertNoMessage("\xf2\xe4\x10\1\xf1")
    assertNoMessage("\xf2\xe4\0\x1f\x91a\1\xf1")        -- room for more pairs than there are bytes
    assertNoMessage("\xf2\xe4\0\xff\x91a\1\xf1")
    assertNoMessage("\xf2\xe4\0\0\x91a\1")              -- without an end
    assertNoMessage("\xf2\xe4\0\0\xea\1\xf1")           -- a key that is nil
    assertNoMessage("\xf2\xf4\x20\2\xe4\0\1\x91a\1\xf1\xe2\x20\1\2\xf1") -- two values, of a shape with one key
    lu.assertEquals(unpack("\xf2\xf4\x20\2\xe4\0\1\x91a\1\xf1\xe2\x10\2\xf1"), {{a = 1}, {a = 2}})
end

function TestWireBytes:test_references_to_nothing_are_refused()
    assertNoMessage("\xf2\xb9")
    assertNoMessage("\xf2\xf4\0\xb9\1\xf1")
    assertNoMessage("\xf2\xf4\0\xd9\5\1\xf1")
    assertNoMessage("\xf2\xfa\1")
    assertNoMessage("\xf2\xf4\0\1\xfa\1\xf1")
    assertNoMessage("\xf2\xf5\0\1\xfa\2\xf1")
    assertNoMessage("\xf2\xfd\5")
    mpi.register("test_wire.abc", {})
    assertNoMessage("\xf2\xfb\x9dtest_wire.abc\5")
end

function TestWireBytes:test_every_file_of_the_corpus_gives_a_value_or_an_error()
    local files = 0
    for name in io.popen("ls '" .. here .. "corpus/wire'"):lines() do
        local file <close> = assert(io.open(here .. "corpus/wire/" .. name, "rb"))
        local bytes = file:read("a")
        files = files + 1
        local ok, message = pcall(unpack, bytes)
        if ok then
            lu.assertNotNil(pack(message))
        else
            lu.assertEquals(type(message), "string")
            lu.assertTrue(not name:find("^value") or message:find("class", 1, true) ~= nil, name .. ": " .. message)
        end
    end
    lu.assertTrue(files >= 40)
end

os.exit(lu.run())
