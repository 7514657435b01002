-- What travels by name.
local mpi = require "mpi"
local lu = require "mpi.luaunit"

local pack, unpack = mpi.pack, mpi.unpack
local here = arg[0]:match("^(.*/)") or "./"

local function travel(value) return unpack(pack(value)) end

local function assertRefused(value, message)
    lu.assertErrorMsgEquals(message, pack, value)
end

TestNames = {}

function TestNames:test_modules_travel_by_name()
    lu.assertIs(travel(mpi), mpi)
    lu.assertIs(travel(_G), _G)
    lu.assertEquals(travel({string, math, string}), {string, math, string})
    lu.assertIs(travel(function () return mpi end)(), mpi)
    lu.assertIs(travel(function () return array end)(), array)
    lu.assertIs(travel(array.zeros), array.zeros)
    lu.assertTrue(#pack(mpi) < 8)
end

function TestNames:test_new_modules_are_noticed_whatever_package_loaded_is_like()
    local meta = getmetatable(package.loaded)
    pack({})
    for _, other in ipairs {{}, {__newindex = rawset}} do
        local t = {n = 16}
        setmetatable(package.loaded, other)
        package.loaded["test_wire.seen"] = t
        lu.assertIs(travel(t), t)
        package.loaded["test_wire.seen"] = nil
        lu.assertNotIs(travel(t), t)
        setmetatable(package.loaded, meta)
    end
    local t = {n = 16}
    package.preload["test_wire.seen"] = function () return t end
    lu.assertIs(require "test_wire.seen", t)
    lu.assertIs(travel({t})[1], t)
    package.loaded["test_wire.seen"], package.preload["test_wire.seen"] = nil, nil
end

function TestNames:test_a_plain_table_that_is_a_module_travels_by_name_once_it_is_one()
    local t = {x = 1}
    lu.assertNotIs(travel(t), t)
    package.loaded["test_wire.plain"] = t
    lu.assertIs(travel(t), t)
    lu.assertIs(travel({t})[1], t)
    package.loaded["test_wire.plain"] = nil
    lu.assertNotIs(travel(t), t)
end

function TestNames:test_the_receiver_requires_a_module_that_it_has_not_loaded()
    local t = {}
    package.loaded["test_wire.required"] = t
    local bytes = pack({t})
    package.loaded["test_wire.required"] = nil
    lu.assertErrorMsgContains("module 'test_wire.required' not found", unpack, bytes)
    local fresh = {}
    package.preload["test_wire.required"] = function () return fresh end
    lu.assertIs(unpack(bytes)[1], fresh)
    package.preload["test_wire.required"], package.loaded["test_wire.required"] = nil, nil
end

function TestNames:test_a_field_that_is_not_there_is_named()
    local bytes = pack(string.format):gsub("format", "farmot")
    lu.assertErrorMsgContains("the message names string.farmot, which is not there", unpack, bytes)
end

function TestNames:test_constants_of_a_module_travel_by_name()
    local sum, world = mpi.SUM, mpi.COMM_WORLD
    lu.assertIs(travel(sum), sum)
    lu.assertIs(travel({op = sum}).op, sum)
    lu.assertIs(travel(function () return world end)(), world)
    lu.assertEquals(travel({mpi.ANY_SOURCE, mpi.IN_PLACE}), {mpi.ANY_SOURCE, mpi.IN_PLACE})
end

function TestNames:test_other_communicators_are_refused()
    local dup <close> = mpi.COMM_SELF:dup()
    test_wire_global = dup
    assertRefused({dup}, "cannot send a mpi.comm at value[1]")
    test_wire_global = nil
end

function TestNames:test_registered_objects_keep_their_metatable()
    local Point = mpi.register("test_wire.point", {__index = {norm = function (p) return p.x ^ 2 + p.y ^ 2 end}})
    local p = setmetatable({x = 3, y = 4}, Point)
    p.self = p
    local back = travel({p, p, setmetatable({x = 1, y = 0}, Point)})
    lu.assertEquals(back[1]:norm(), 25)
    lu.assertEquals(back[3]:norm(), 1)
    lu.assertIs(getmetatable(back[1]), Point)
    lu.assertIs(back[1].self, back[1])
    lu.assertIs(back[1], back[2])
end

function TestNames:test_a_registered_table_itself_travels_by_name()
    local Class = mpi.register("test_wire.class", {})
    Class.__index = Class
    function Class.new() return setmetatable({}, Class) end
    lu.assertIs(travel(Class), Class)
    lu.assertIs(getmetatable(travel(Class.new)()), Class)
end

function TestNames:test_a_protected_metatable_is_kept_too()
    local Secret = mpi.register("test_wire.secret", {__metatable = "no"})
    lu.assertEquals(getmetatable(travel(setmetatable({}, Secret))), "no")
end

function TestNames:test_long_names_travel()
    local Long = mpi.register("test_wire." .. ("long"):rep(20), {})
    local back = travel({setmetatable({1}, Long), setmetatable({2}, Long), Long})
    lu.assertIs(getmetatable(back[2]), Long)
    lu.assertIs(back[3], Long)
end

function TestNames:test_a_metatable_that_was_not_registered_is_refused_by_the_sender()
    assertRefused({object = setmetatable({}, {})},
                  "cannot send a table with a metatable that mpi.register has not named at value.object")
end

function TestNames:test_a_metatable_that_is_unknown_is_refused_by_the_receiver()
    local bytes = pack(setmetatable({}, mpi.register("test_wire.known", {}))):gsub("known", "knowm")
    lu.assertErrorMsgContains("the message has a table registered as 'test_wire.knowm'; here mpi.register has not named one so",
                              unpack, bytes)
end

function TestNames:test_register_returns_the_table_and_may_be_repeated()
    local mt = {}
    lu.assertIs(mpi.register("test_wire.again", mt), mt)
    lu.assertIs(mpi.register("test_wire.again", mt), mt)
end

function TestNames:test_register_refuses_bad_arguments()
    local mt = mpi.register("test_wire.taken", {})
    lu.assertErrorMsgContains("bad argument #1 to 'register' (string expected, got nil)", function () mpi.register(nil, {}) end)
    lu.assertErrorMsgContains("bad argument #1 to 'register' (string expected, got number)", function () mpi.register(1, {}) end)
    lu.assertErrorMsgContains("bad argument #2 to 'register' (table expected, got nil)", function () mpi.register("x", nil) end)
    lu.assertErrorMsgContains("bad argument #1 to 'register' ('test_wire.taken' names another table already)",
                            function () mpi.register("test_wire.taken", {}) end)
    lu.assertErrorMsgContains("bad argument #2 to 'register' (the table is registered as 'test_wire.taken' already)",
                            function () mpi.register("test_wire.other", mt) end)
end

os.exit(lu.run())
