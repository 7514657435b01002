local lu = require "mpi.luaunit"
local support, vectors = dofile "tests/support.lua", dofile "tests/vectors.lua"
local dtypes, fails = support.dtypes, support.fails

local function shape_of(a) return {a:shape()} end

-- Bytes of memory in use.
local function resident()
    local file <close> = io.open "/proc/self/statm"
    return tonumber(file:read "a":match "%d+ (%d+)") * 4096
end

TestArray = {}

-- making ---------------------------------------------------------------------------------------------------

function TestArray:test_constructors_have_shape_dtype_and_values()
    for _, dtype in ipairs(dtypes) do
        for name, value in pairs {zeros = 0, ones = 1} do
            local a = array[name]({2, 3}, dtype)
            lu.assertEquals(a:dtype(), dtype)
            lu.assertEquals(shape_of(a), {2, 3})
            lu.assertEquals(a:totable(), {{value, value, value}, {value, value, value}})
        end
        lu.assertEquals(array.full(2, 7, dtype):totable(), {7, 7})
        lu.assertEquals(array.eye(2, dtype):totable(), {{1, 0}, {0, 1}})
        lu.assertEquals(array.empty({4, 0, 2}, dtype):size(), 0)
    end
    lu.assertEquals(array.zeros(3):dtype(), "float64")
    lu.assertEquals(array.zeros {}:ndim(), 0)
    lu.assertEquals(array.full({}, 5):get(), 5)
    lu.assertEquals(array.eye(0):size(), 0)
    lu.assertEquals(array.zeros {1, 2, 1, 2, 1, 2, 1, 2}:ndim(), 8)
end

function TestArray:test_bad_shapes_raise_with_the_number()
    fails({"dimension 1", "-1"}, array.zeros, -1)
    fails({"dimension 2", "1.5"}, array.zeros, {2, 1.5})
    fails({"dimension 2", "nil"}, array.zeros, {2, nil, 3})
    fails({"9 dimensions", "8"}, array.zeros, {1, 1, 1, 1, 1, 1, 1, 1, 1})
    fails("shape", array.zeros)
    fails("shape", array.zeros, "x")
    fails({"float46", "float64 float32 int8"}, array.zeros, 3, "float46")
    fails({"the number 3", "{2, 3}"}, array.zeros, 2, 3)
    fails("bad argument #2 to 'full'", function () array.full(3) end)
end

function TestArray:test_a_shape_beyond_memory_is_refused()
    for _, shape in ipairs {{1 << 40, 1 << 40}, {1 << 62}, {(1 << 63) - 1}, {1 << 45}, {(1 << 63) - 1, 2}} do
        fails("not enough memory", array.zeros, shape, "int64")
    end
    lu.assertEquals(array.zeros(10):sum(), 0)
end

function TestArray:test_range_includes_last()
    lu.assertEquals(array.range(1, 5):totable(), {1, 2, 3, 4, 5})
    lu.assertEquals(array.range(1, 5):dtype(), "int64")
    lu.assertEquals(array.range(1, 6, 2):totable(), {1, 3, 5})
    lu.assertEquals(array.range(5, 1, -2):totable(), {5, 3, 1})
    lu.assertEquals(array.range(5, 1):totable(), {})
    lu.assertEquals(array.range(0, 0.3, 0.1):totable(), {0, 0.1, 0.2, 0.3})
    lu.assertEquals(#array.range(0, 1, 0.1), 11)
    lu.assertEquals(array.range(1.0, 3):dtype(), "float64")
    lu.assertEquals(array.range(1, 3, 1, "int8"):dtype(), "int8")
    lu.assertEquals(array.range(math.mininteger, math.maxinteger, math.maxinteger):totable(), {math.mininteger, -1, math.maxinteger - 1})
    lu.assertEquals(array.range(math.maxinteger, math.mininteger, math.mininteger):totable(), {math.maxinteger, -1})
    fails("step", array.range, 1, 2, 0)
    fails("finite", array.range, 1, 1 / 0, 0.5)
    fails("not enough memory", array.range, math.mininteger, math.maxinteger)
    fails("not enough memory", array.range, 0, 1e300, 0.5)
end

function TestArray:test_linspace_has_both_ends()
    lu.assertEquals(array.linspace(0, 1, 5):totable(), {0, 0.25, 0.5, 0.75, 1})
    lu.assertEquals(array.linspace(2, 9, 1):totable(), {2})
    lu.assertEquals(array.linspace(2, 9, 0):totable(), {})
    lu.assertEquals(array.linspace(0, 0.7, 8)[8], 0.7)
    fails("number of points", array.linspace, 0, 1, -1)
end

function TestArray:test_ranges_and_linspaces_are_numpys()
    local results = vectors.reader "lines"
    for _, line in ipairs {{0, 1, 11}, {1, -1, 7}, {0.1, 0.7, 100}, {-1e300, 1e300, 3}, {5, 5, 4}, {2, 3, 1}, {1, 2, 0}} do
        lu.assertEquals(results.next(array.linspace(table.unpack(line))), 0)
    end
    for _, line in ipairs {{1, 10, 1}, {10, 1, -3}, {-5, 5, 1}, {1 << 62, math.maxinteger, (1 << 61) - 1}} do
        lu.assertEquals(results.next(array.range(table.unpack(line))), 0)
    end
    for _, line in ipairs {{0, 1, 0.1}, {1.5, 0.5, -0.25}, {0.1, 29.8, 0.3}} do
        lu.assertTrue(results.next(array.range(table.unpack(line))) <= 1) -- the last number is the one given
    end
    lu.assertTrue(results.finish())
end

function TestArray:test_of_takes_nested_lists()
    lu.assertEquals(array.of {1, 2, 3}:dtype(), "float64")
    lu.assertEquals(array.of {{1, 2}, {3, 4}}:totable(), {{1, 2}, {3, 4}})
    lu.assertEquals(shape_of(array.of {{{1}, {2}, {3}}}), {1, 3, 1})
    lu.assertEquals(array.of({1, -1, 300}, "uint8"):totable(), {1, 255, 44})
    lu.assertEquals(shape_of(array.of {}), {0})
    lu.assertEquals(shape_of(array.of {{}, {}}), {2, 0})
    fails({"value[2]", "1 entries", "expected 2"}, array.of, {{1, 2}, {3}})
    fails({"value[2]", "number", "expected a list"}, array.of, {{1, 2}, 3})
    fails({"value[1][2]", "table"}, array.of, {{1, {}}, {3, 4}})
    fails({"value[2]", "string"}, array.of, {1, "x"})
    fails({"value[1]", "1.5", "int8"}, array.of, {1.5}, "int8")
    local deep = 1
    for _ = 1, 9 do deep = {deep} end
    fails("deeper than 8", array.of, deep)
    local loop = {}
    loop[1] = loop
    fails("deeper than 8", array.of, loop)
    lu.assertTrue(array.of(array.ones(2)) == array.ones(2))
end

function TestArray:test_of_makes_rows_of_arrays()
    local a, b = array.of({1, 2}, "int8"), array.of({3, 200}, "uint8")
    lu.assertEquals(array.of {a, b}:totable(), {{1, 2}, {3, 200}})
    lu.assertEquals(array.of {a, b}:dtype(), "int16")
    lu.assertEquals(array.of({a, b}, "float32"):dtype(), "float32")
    local m = array.range(1, 6):reshape {3, 2}
    lu.assertTrue(array.of {m[1], m[2], m[3]} == m)
    lu.assertTrue(array.of {m:col(1), m:col(2)} == m:t():copy())
    lu.assertEquals(shape_of(array.of {{m, m}, {m, m + 0.5}}), {2, 2, 3, 2})
    lu.assertEquals(array.of {{m, m}, {m, m + 0.5}}:dtype(), "float64")
    lu.assertEquals(array.of {array.full({}, 3), array.full({}, 4)}:totable(), {3, 4})
    lu.assertEquals(shape_of(array.of {array.zeros {0, 2}}), {1, 0, 2})
    lu.assertEquals(array.of(comm:allgather(array.full(2, comm:rank()))):sum(), comm:size() * (comm:size() - 1))
    fails({"value[2]", "(2)", "(3, 2)"}, array.of, {m, a})
    fails({"value[2] is number", "array"}, array.of, {a, 1})
    fails({"value[2] is an array", "number"}, array.of, {1, a})
    fails({"value[2] is table", "array"}, array.of, {a, {1, 2}})
    fails({"value[2]", "list"}, array.of, {{1}, a})
    fails("deeper than 8", array.of, {{{{{{{m}}}}}}})
    b:free()
    fails({"value[2]", "freed"}, array.of, {a, b})
end

function TestArray:test_totable_and_of_are_inverse()
    for _, dtype in ipairs(dtypes) do
        local a = array.range(1, 24):as(dtype):reshape {2, 3, 4}
        lu.assertTrue(array.of(a:totable(), dtype) == a)
        lu.assertTrue(array.of(a:t():totable(), dtype) == a:t())
    end
    lu.assertEquals(array.full({}, 3):totable(), 3)
end

function TestArray:test_concat_joins_rows_and_promotes()
    local a, b = array.of({{1, 2}}, "int8"), array.of({{3, 4}, {5, 6}}, "int16")
    local c = array.concat {a, b, a:slice(2, 1)}
    lu.assertEquals(c:totable(), {{1, 2}, {3, 4}, {5, 6}})
    lu.assertEquals(c:dtype(), "int16")
    lu.assertEquals(array.concat {b:t(), b:t()}:totable(), {{3, 5}, {4, 6}, {3, 5}, {4, 6}})
    fails({"entry 2", "(3)", "(1, 2)"}, array.concat, {a, array.ones(3)})
    fails({"entry 2", "number"}, array.concat, {a, 1})
    fails("0-d", array.concat, {array.zeros {}})
    fails("at least one", array.concat, {})
end

-- elements --------------------------------------------------------------------------------------------------

function TestArray:test_elements_are_read_and_written_in_every_dtype()
    for _, dtype in ipairs(dtypes) do
        local a = array.zeros(3, dtype)
        a[2] = 5
        a[3] = 7.0
        lu.assertEquals({a[1], a[2], a[3]}, {0, 5, 7})
        lu.assertEquals(math.type(a[2]), dtype:sub(1, 5) == "float" and "float" or "integer")
    end
end

function TestArray:test_integers_wrap_and_fractions_raise()
    local a = array.zeros(2, "int8")
    a[1] = 200
    lu.assertEquals(a[1], -56)
    local u = array.zeros(1, "uint64")
    u[1] = -1
    lu.assertEquals(u[1], -1)
    fails({"1.5", "int8"}, function () a[1] = 1.5 end)
    fails("int8", function () a[1] = 1e300 end)
    fails("int8", function () a[1] = 0 / 0 end)
    fails({"string", "int8"}, function () a[1] = "seven" end)
    fails({"string", "float64"}, function () array.zeros(1)[1] = "seven" end)
    fails({"table", "int8"}, function () a[1] = {} end)
    fails({"nil", "float64"}, function () array.zeros(1)[1] = nil end)
    lu.assertEquals(a[1], -56)
end

function TestArray:test_an_index_that_is_none_raises_with_its_number()
    local a = array.zeros(5)
    for _, i in ipairs {0, -1, 6, 9, math.maxinteger, math.mininteger} do
        fails({"index " .. i, "1 to 5"}, function () return a[i] end)
        fails({"index " .. i, "1 to 5"}, function () a[i] = 1 end)
        fails({"index " .. i, "1 to 5"}, a.get, a, i)
        fails({"index " .. i, "1 to 5"}, a.set, a, i, 1)
    end
    fails({"1.5", "not an integer"}, function () return a[1.5] end)
    fails({"1.5", "not an integer"}, function () a[1.5] = 1 end)
    fails("got table", function () return a[{}] end)
    fails("got nil", function () a[nil] = 1 end)
    fails("field 'x'", function () a.x = 1 end)
    fails("no rows", function () return array.zeros(0)[1] end)
    fails("an array has no 'x'", function () return a.x end)
    lu.assertEquals(a[2.0], 0)
    lu.assertEquals(a["2"], 0)
    a["2"], a[3.0] = "7", 0
    lu.assertEquals({a[2], a["sum"](a)}, {7, 7})
    a[2] = 0
    fails({"index 7", "1 to 5"}, function () return a["7"] end)
    fails({"1.5", "not an integer"}, function () a[1.5] = 1 end)
    lu.assertEquals(#a, 5)
    lu.assertEquals(a:sum(), 0)
end

function TestArray:test_get_and_set_take_one_index_a_dimension()
    local a = array.zeros({2, 3, 4}, "int32")
    a:set(2, 3, 4, 99)
    lu.assertEquals(a:get(2, 3, 4), 99)
    lu.assertEquals(a:sum(), 99)
    local zero = array.zeros {}
    zero:set(4)
    lu.assertEquals(zero:get(), 4)
    fails({"2 indices", "(2, 3, 4)"}, a.get, a, 1, 2)
    fails({"4 indices", "(2, 3, 4)"}, a.get, a, 1, 2, 3, 4)
    fails({"index 5", "1 to 4"}, a.get, a, 2, 3, 5)
    fails("number expected", a.set, a)
    fails("mpi.array expected, got table", a.get, {}, 1)
    fails("mpi.array expected", a.get)
    fails("bad argument #1 to 'sum' (mpi.array expected, got no value; a method is called with a colon, as array:sum(…))",
        function () return a.sum() end)
    fails("bad argument #1 to 'sum' (axis: integer expected, got 1.5)", function () return a:sum(1.5) end)
end

function TestArray:test_rows_are_views_and_can_be_assigned()
    local a = array.range(1, 6):reshape {2, 3}
    a[2][1] = 40
    lu.assertEquals(a:get(2, 1), 40)
    a[1] = 7
    a[2] = array.of {1, 2, 3}
    lu.assertEquals(a:totable(), {{7, 7, 7}, {1, 2, 3}})
    a[1] = a[2]
    lu.assertEquals(a:totable(), {{1, 2, 3}, {1, 2, 3}})
    a[1] = array.of {9}
    lu.assertEquals(a[1]:totable(), {9, 9, 9})
    fails({"(3)", "(2)"}, function () a[1] = array.ones(2) end)
    fails({"(3)", "(2, 3)"}, function () a[1] = a end)
    fails("number or mpi.array", function () a[1] = "x" end)
    fails("index 3 is out of range 1 to 2", function () a[3] = 1 end)
end

function TestArray:test_size_words()
    local a = array.zeros {4, 5, 6}
    lu.assertEquals({a:shape()}, {4, 5, 6})
    lu.assertEquals({a:ndim(), #a, a:size()}, {3, 4, 120})
    fails("0-d", function () return #array.zeros {} end)
end

function TestArray:test_loops_give_elements_or_rows()
    local seen = {}
    for i, v in array.of {5, 6, 7}:ipairs() do seen[i] = v end
    lu.assertEquals(seen, {5, 6, 7})
    for i, row in pairs(array.of {{1, 2}, {3, 4}}) do seen[i] = row[2] end
    lu.assertEquals(seen, {2, 4, 7})
    for _ in array.zeros(0):ipairs() do lu.fail "an empty array has no elements" end
end

-- views ----------------------------------------------------------------------------------------------------

function TestArray:test_slices_read_their_ends_as_string_sub_does()
    local text, a = "abcdefg", array.range(1, 7)
    for first = -10, 10 do
        for last = -10, 10 do
            local expected = {}
            for c in text:sub(first, last):gmatch "." do expected[#expected + 1] = c:byte() - 96 end
            lu.assertEquals(a:slice(first, last):totable(), expected)
        end
        lu.assertEquals(#a:slice(first), #text:sub(first))
    end
    lu.assertEquals(#a:slice(math.mininteger, math.maxinteger), 7)
    lu.assertEquals(#a:slice(math.maxinteger, math.mininteger), 0)
end

function TestArray:test_slices_take_steps()
    local a = array.range(1, 7)
    lu.assertEquals(a:slice(1, 7, 3):totable(), {1, 4, 7})
    lu.assertEquals(a:slice(2, -1, 3):totable(), {2, 5})
    lu.assertEquals(a:slice(1, 7, math.maxinteger):totable(), {1})
    lu.assertEquals(a:slice(1, 7, 2):slice(2, 4, 2):totable(), {3, 7})
    fails({"step", "0"}, a.slice, a, 1, 2, 0)
    fails({"step", "-1"}, a.slice, a, 1, 2, -1)
    fails("0-d", array.zeros {}.slice, array.zeros {}, 1, 2)
end

function TestArray:test_slices_of_several_dimensions()
    local a = array.range(1, 12):reshape {3, 4}
    lu.assertEquals(a:slice({2, 3}, {2, 3}):totable(), {{6, 7}, {10, 11}})
    lu.assertEquals(a:slice({1, 3, 2}, {-1}):totable(), {{4}, {12}})
    lu.assertEquals(a:slice({}, {4, 4}):totable(), {{4}, {8}, {12}})
    lu.assertEquals(a:slice {2, 2}:totable(), {{5, 6, 7, 8}})
    local v = a:slice({2, 3}, {2, 3})
    v:fill(0)
    lu.assertEquals(a:totable(), {{1, 2, 3, 4}, {5, 0, 0, 8}, {9, 0, 0, 12}})
    fails({"3 ranges", "(3, 4)"}, a.slice, a, {}, {}, {})
    fails({"entry 2", "x"}, a.slice, a, {1, "x"})
    fails("table expected", a.slice, a, {1, 2}, 3)
    fails("step", a.slice, a, {1, 2, -1})
end

function TestArray:test_rows_columns_and_transposes_share_memory()
    local a = array.range(1, 6):reshape {2, 3}
    lu.assertEquals(a:row(2):totable(), {4, 5, 6})
    lu.assertEquals(a:col(2):totable(), {2, 5})
    lu.assertEquals(a:t():totable(), {{1, 4}, {2, 5}, {3, 6}})
    a:col(3)[1] = 30
    a:t()[1][2] = 40
    lu.assertEquals(a:totable(), {{1, 2, 30}, {40, 5, 6}})
    lu.assertEquals(shape_of(array.zeros {2, 3, 4}:t()), {4, 3, 2})
    lu.assertEquals(shape_of(array.zeros {2, 3, 4}:col(1)), {2, 4})
    fails({"row 3", "1 to 2"}, a.row, a, 3)
    fails({"column 0", "1 to 3"}, a.col, a, 0)
    fails({"(3)", "no columns"}, array.ones(3).col, array.ones(3), 1)
end

function TestArray:test_t_takes_the_dimensions_in_any_order()
    local a = array.range(1, 24):reshape {2, 3, 4}
    lu.assertTrue(a:t(1, 2, 3) == a)
    lu.assertTrue(a:t(3, 2, 1) == a:t())
    local b = a:t(2, 3, 1)
    lu.assertEquals(shape_of(b), {3, 4, 2})
    lu.assertEquals(b:get(3, 4, 2), a:get(2, 3, 4))
    lu.assertEquals(b:get(2, 4, 1), a:get(1, 2, 4))
    b:set(1, 1, 1, 100)
    lu.assertEquals(a:get(1, 1, 1), 100)
    fails({"1 axis", "(2, 3, 4)"}, a.t, a, 1)
    fails({"axis 4", "1 to 3"}, a.t, a, 1, 2, 4)
    fails({"axis 2", "twice"}, a.t, a, 1, 2, 2)
    fails("number expected, got string", a.t, a, 1, 2, "x")
end

function TestArray:test_reshape_shares_memory_and_refuses_what_does_not_fit()
    local a = array.range(1, 12)
    local m = a:reshape {3, 4}
    m:set(1, 1, 100)
    lu.assertEquals(a[1], 100)
    lu.assertEquals(shape_of(a:reshape(2, 2, 3)), {2, 2, 3})
    lu.assertEquals(shape_of(a:reshape {2, -1}), {2, 6})
    lu.assertEquals(shape_of(m:reshape(-1)), {12})
    lu.assertEquals(shape_of(array.ones(1):reshape {}), {})
    lu.assertEquals(shape_of(array.zeros {0, 3}:reshape {5, 0}), {5, 0})
    fails({"12", "(3, 4)", "(5, 2)"}, m.reshape, m, {5, 2})
    fails("cannot reshape", m.reshape, m, {5, -1})
    fails("more than one", m.reshape, m, {-1, -1})
    fails("not contiguous", m:t().reshape, m:t(), {12})
    fails("dimension 1", m.reshape, m, {-2, 6})
    fails("number expected", m.reshape, m)
    fails("too many", m.reshape, m, {1 << 62, 1 << 62, 1 << 62})
    lu.assertEquals(m:t():copy():reshape(12)[2], 5)
end

function TestArray:test_a_view_keeps_the_memory_alive()
    local v = array.range(1, 1000):slice(990, 1000)
    for _ = 1, 10 do
        collectgarbage()
        array.zeros(1000)
    end
    lu.assertEquals(v:totable(), array.range(990, 1000):totable())
end

-- copies ---------------------------------------------------------------------------------------------------

function TestArray:test_copies_are_apart()
    local a = array.range(1, 4)
    local b = a:copy()
    b[1] = 9
    lu.assertEquals(a[1], 1)
    lu.assertEquals(array.range(1, 6):reshape {2, 3}:t():copy():totable(), {{1, 4}, {2, 5}, {3, 6}})
end

function TestArray:test_as_and_concat_are_numpys_for_every_pair_of_dtypes()
    local casts, joins = vectors.reader "as", vectors.reader "concat"
    for _, d in ipairs(dtypes) do
        for _, e in ipairs(dtypes) do
            local limits, b = vectors.load("limits_" .. d), vectors.load("divisors_" .. e)
            local a = limits
            if d:find "float" and e:find "int" then
                -- floats in the range of all integers
                a = array.of({0, 1, 2.5, 7.25, 100.9, 127, 3, 0.99, 63.5, 1e-30, 0.5, 126.999}, d)
                if e:sub(1, 1) == "i" then a:slice(1, 12, 2):neg_() end
                a = a:reshape {3, 4}
            end
            for _, view in ipairs {a, a:t(), a:slice({1, 3, 2}, {2, 3}), a:slice(1, 0), a:slice(2, 2)} do
                lu.assertEquals(casts.next(view:as(e)), 0, d .. " as " .. e)
                lu.assertTrue(array.empty({view:shape()}, e):copyfrom(view):bytes() == view:as(e):bytes())
            end
            local joined = array.concat {limits, b:slice(1, 1), limits:slice(1, 0), b:reshape {4, 3}:t()}
            lu.assertEquals(joins.next(joined), 0, d .. " and " .. e)
        end
    end
    lu.assertTrue(casts.finish() and joins.finish())
end

function TestArray:test_as_converts_between_all_dtypes()
    for _, from in ipairs(dtypes) do
        for _, to in ipairs(dtypes) do
            local a = array.of({0, 1, 100}, from):as(to)
            lu.assertEquals(a:dtype(), to)
            lu.assertEquals(a:totable(), {0, 1, 100})
        end
    end
    lu.assertEquals(array.of {1.9, -1.9, 300}:as "int8":totable(), {1, -1, 44})
    lu.assertEquals(array.of {1e300, 0 / 0, -1 / 0}:as "int64":totable(), {math.mininteger, math.mininteger, math.mininteger})
    lu.assertEquals(array.of {2.0 ^ 63}:as "uint64"[1], math.mininteger)
    lu.assertEquals(array.of({-1}, "uint64"):as "float64"[1], 2.0 ^ 64)
    fails("unknown dtype", array.ones(1).as, array.ones(1), "real")
    fails("string expected", array.ones(1).as, array.ones(1))
end

function TestArray:test_fill_and_copyfrom()
    local a = array.zeros {2, 3}
    lu.assertTrue(rawequal(a:fill(3), a))
    lu.assertEquals(a:sum(), 18)
    a:copyfrom(array.of({1, 2, 3}, "int8"))
    lu.assertEquals(a:totable(), {{1, 2, 3}, {1, 2, 3}})
    a:t():copyfrom(array.range(1, 6):reshape {3, 2})
    lu.assertEquals(a:totable(), {{1, 3, 5}, {2, 4, 6}})
    a:fill(function (i, j) return 10 * i + j end)
    lu.assertEquals(a:totable(), {{11, 12, 13}, {21, 22, 23}})
    fails({"(2, 3)", "(2)"}, a.copyfrom, a, array.ones(2))
    fails({"nil", "[1][1]"}, a.fill, a, function () end)
    fails("number or function", a.fill, a, "x")
    fails("mpi.array expected, got number", a.copyfrom, a, 1)
end

function TestArray:test_copies_between_overlapping_views_are_right()
    local a = array.range(1, 6)
    a:slice(2, 6):copyfrom(a:slice(1, 5))
    lu.assertEquals(a:totable(), {1, 1, 2, 3, 4, 5})
    a:slice(1, 5):copyfrom(a:slice(2, 6))
    lu.assertEquals(a:totable(), {1, 2, 3, 4, 5, 5})
    local m = array.range(1, 9):reshape {3, 3}
    m:copyfrom(m:t())
    lu.assertEquals(m:totable(), {{1, 4, 7}, {2, 5, 8}, {3, 6, 9}})
    m:copyfrom(m)
    lu.assertEquals(m:get(1, 2), 4)
end

function TestArray:test_bytes_are_row_major()
    lu.assertEquals(array.of({{1, 2}, {3, 4}}, "int16"):t():bytes(), ("<i2i2i2i2"):pack(1, 3, 2, 4))
    lu.assertEquals(array.of {1.5}:bytes(), ("<d"):pack(1.5))
    lu.assertEquals(array.zeros(0):bytes(), "")
end

function TestArray:test_map_gives_a_new_array()
    local a = array.range(1, 4):reshape {2, 2}
    local b = a:t():map(function (x) return x * 10 end)
    lu.assertEquals(b:totable(), {{10, 30}, {20, 40}})
    lu.assertEquals(b:dtype(), "int64")
    lu.assertEquals(a:map(function (x) return x / 2 end, "float32"):totable(), {{0.5, 1}, {1.5, 2}})
    fails({"0.5", "int64"}, a.map, a, function (x) return x / 2 end)
    fails({"string", "[1][1]"}, a.map, a, function () return "1" end)
    fails("oops", a.map, a, function () error "oops" end)
end

-- freeing ---------------------------------------------------------------------------------------------------

function TestArray:test_freed_memory_cannot_be_reached()
    local a = array.ones {100, 100}
    local row, flat = a[2], a:reshape(-1)
    a:free()
    a:free()
    fails("freed", function () return a[1] end)
    fails("freed", function () a[1] = 1 end)
    fails("freed", function () return row[1] end)
    fails("freed", function () row[1] = 1 end)
    fails("freed", function () flat[1] = 1 end)
    fails("freed", function () return flat[1] end)
    for _, method in ipairs {"sum", "copy", "totable", "bytes", "t", "slice", "get", "norm", "fill"} do
        fails("freed", flat[method], flat, 1, 1)
    end
    fails("freed", array.concat, {a})
    lu.assertStrContains(tostring(a), "freed")
    lu.assertFalse(a == array.ones {100, 100})
    lu.assertEquals(shape_of(a), {100, 100})
end

function TestArray:test_a_closed_array_is_freed()
    local kept
    do
        local a <close> = array.ones(10)
        kept = a
    end
    fails("freed", kept.sum, kept)
end

function TestArray:test_a_function_that_frees_the_array_it_fills_raises()
    local a = array.ones(5000)
    fails("freed", a.map, a, function (x)
        a:free()
        return x
    end)
    local b = array.ones(5000)
    fails("freed", b.fill, b, function ()
        b:free()
        return 1
    end)
    local c = array.ones(5000)
    fails("freed", function ()
        for _ in c:ipairs() do c:free() end
    end)
end

function TestArray:test_free_gives_memory_back_at_once()
    local a = array.ones(4 << 20)
    local before = resident()
    a:free()
    lu.assertTrue(before - resident() > 30 << 20)
end

function TestArray:test_a_million_temporary_arrays_stay_under_50_MB()
    lu.skipIf(os.getenv "ASAN_OPTIONS", "the sanitizer keeps freed memory")
    local a, before = array.ones(100), resident()
    for _ = 1, 1000000 do local _ = a + 1 end
    lu.assertTrue(resident() - before < 50 << 20)
    a = array.ones(100000)
    for _ = 1, 3000 do local _ = a + 1 end
    lu.assertTrue(resident() - before < 50 << 20)
end

-- Memory that one array leaves is the next one's: of its size or another, while some stay.
function TestArray:test_arrays_that_come_and_go_leave_the_others_alone()
    local kept, size = {}, 1
    for i = 1, 20000 do
        size = size * 7919 % 9973
        local a = array.full(i % 3 == 0 and 1000 or size, i, i % 2 == 0 and "int16" or "float64")
        if i % 50 == 0 then kept[#kept + 1] = a end
        if i % 5000 == 0 then collectgarbage() end
        if #kept > 100 then table.remove(kept, size % 100 + 1) end
    end
    for _, a in ipairs(kept) do lu.assertTrue(a:min() == a[1] and a:max() == a[1] and a[1] % 50 == 0) end
end

function TestArray:test_a_collector_that_the_script_has_set_up_stays_so()
    local old = collectgarbage("setpause", 150)
    for _ = 1, 2000 do array.zeros(1000) end
    local kept = {}
    for i = 1, 20 do kept[i] = array.zeros(100000) end
    lu.assertEquals(collectgarbage("setpause", old), 150 // 4 * 4)
end

-- comparing --------------------------------------------------------------------------------------------------

function TestArray:test_equality_is_shape_dtype_and_every_element()
    local a = array.of {{1, 2}, {3, 4}}
    lu.assertTrue(a == array.of {{1, 2}, {3, 4}})
    lu.assertTrue(a:t() == array.of {{1, 3}, {2, 4}})
    lu.assertFalse(a == array.of {{1, 2}, {3, 5}})
    lu.assertFalse(a == a:as "float32")
    lu.assertFalse(a == a:reshape(4))
    lu.assertFalse(array.of {0 / 0} == array.of {0 / 0})
    lu.assertTrue(array.of {0.0} == array.of {-0.0})
    lu.assertFalse(a == 1)
    lu.assertFalse(a == io.stdout)
    lu.assertTrue(array.zeros {0, 3} == array.zeros {0, 3})
    for _, dtype in ipairs(dtypes) do
        local x = array.range(1, 40):as(dtype)
        local y = x:copy()
        lu.assertTrue(x == y)
        lu.assertTrue(x:slice(1, 40, 2) == y:slice(1, 40, 2))
        y[39] = 0
        lu.assertFalse(x == y)
        lu.assertFalse(x:slice(1, 40, 2) == y:slice(1, 40, 2))
    end
end

function TestArray:test_allclose_has_numpys_tolerances()
    local a = array.of {1, 1000}
    lu.assertTrue(a:allclose(array.of {1 + 9e-6, 1000}))
    lu.assertFalse(a:allclose(array.of {1 + 2e-5, 1000}))
    lu.assertTrue(a:allclose(array.of {1.1, 1100}, 0.1))
    lu.assertTrue(a:allclose(array.of {1.1, 1000}, 0, 0.2))
    lu.assertFalse(array.of {0 / 0}:allclose(array.of {0 / 0}))
    lu.assertTrue(array.of {1 / 0}:allclose(array.of {1 / 0}))
    lu.assertFalse(array.of {1 / 0}:allclose(array.of {-1 / 0}))
    lu.assertFalse(array.of {1}:allclose(array.of {1 / 0}))
    lu.assertTrue(array.ones {3, 2}:allclose(array.ones(2)))
    lu.assertTrue(array.ones(500):allclose(1))
    lu.assertTrue(array.zeros(0):allclose(array.zeros(1)))
    fails({"(3)", "(2)"}, array.ones(3).allclose, array.ones(3), array.ones(2))
end

-- misuse -----------------------------------------------------------------------------------------------------

function TestArray:test_every_function_survives_every_kind_of_argument()
    local things = {
        function () return nil end, function () return true end, function () return 0 end, function () return -1 end,
        function () return 1.5 end, function () return math.maxinteger end, function () return math.mininteger end,
        function () return 0 / 0 end, function () return 1 / 0 end,
        function () return "" end, function () return "float64" end, function () return {} end, function () return {1, 2} end,
        function () return {2, {3}} end, function () return {rows = 1, seed = "x"} end, function () return rawlen end,
        function () return function () return 1 end end, function () return io.stdout end, function () return coroutine.create(rawlen) end,
        function () return array.ones {2, 3} end, function () return array.ones(3, "int8") end, function () return array.zeros {} end,
        function () return array.zeros {0, 3} end,
        function ()
            local a = array.ones(3)
            a:free()
            return a
        end,
    }
    local functions = {}
    for name, f in pairs(array) do
        if name ~= "save" then functions[#functions + 1] = f end
    end
    local names = {"get", "set", "shape", "ndim", "size", "dtype", "ipairs", "slice", "row", "col", "t", "reshape", "copy", "as",
        "copyfrom", "bytes", "totable", "fill", "map", "allclose", "dot", "norm", "axpy", "scal", "free", "sum", "prod", "min", "max",
        "mean", "std", "var", "argmin", "argmax", "any", "all"}
    for _, name in ipairs(names) do functions[#functions + 1] = assert(array.ones(1)[name], name) end
    local calls = 0
    for _, f in ipairs(functions) do
        for _, x in ipairs(things) do
            pcall(f, x())
            for _, y in ipairs(things) do
                pcall(f, x(), y())
                pcall(f, array.ones {2, 2}, x(), y())
                calls = calls + 1
            end
        end
    end
    for _, x in ipairs(things) do
        pcall(tostring, x())
        for _, y in ipairs(things) do
            local a = x()
            pcall(function () return a[y()] end)
            pcall(function () a[y()] = x() end)
            pcall(function () return a == y() end)
        end
    end
    lu.assertTrue(calls > 10000)
end

function TestArray:test_ipairs_of_lua_raises_at_the_script_and_names_its_own()
    local fine, problem = pcall(function () for _ in ipairs(array.ones(3)) do end end)
    lu.assertFalse(fine)
    lu.assertStrMatches(problem, "tests/test_array.lua:%d+: index 4 is out of range 1 to 3; the loop over an array is a:ipairs%(%)")
end

os.exit(lu.run())
