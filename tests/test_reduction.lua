local lu = require "mpi.luaunit"
local support, vectors = dofile "tests/support.lua", dofile "tests/vectors.lua"
local dtypes, fails = support.dtypes, support.fails

-- The dtype of a result that comes as a Lua number.
local function result_dtype(name, dtype)
    if name == "mean" or name == "var" or name == "std" then return "float64" end
    if name == "argmin" or name == "argmax" then return "int64" end
    if name == "min" or name == "max" or dtype:sub(1, 1) == "f" then return dtype end
    return dtype:sub(1, 1) == "u" and "uint64" or "int64"
end

TestReduction = {}

for _, name in ipairs {"sum", "prod", "min", "max", "mean", "var", "std", "argmin", "argmax", "any", "all", "cumsum", "cumprod"} do
    TestReduction["test_" .. name .. "_is_numpys_over_all_and_each_axis"] = function ()
        local results = vectors.reader("reduction_" .. name)
        for _, dtype in ipairs(dtypes) do
            local a = vectors.load("reduced_" .. dtype)
            local extremes = vectors.load((dtype:find "float" and "divisors_" or "limits_") .. dtype)
            if name:find "prod" and dtype:find "float" then a = a / 16 end
            for v, view in ipairs {a, a:t(), a:slice({1, 3, 2}, {}, {2, 4}), a:col(2), a[1][1], a:slice({}, {}, {1, 1}), a:slice(1, 0),
                a:slice({}, {1, 0}), extremes, extremes:t()} do
                for axis = 0, view:ndim() do
                    local n = axis == 0 and view:size() or select(axis, view:shape())
                    local defined = n > 0 or name == "sum" or name == "prod" or name == "any" or name == "all" or name:sub(1, 3) == "cum"
                    if defined then
                        local result = view[name](view, axis > 0 and axis or nil)
                        local worst = results.next(result, result_dtype(name, dtype))
                        local allowed = (name == "var" or name == "std" or name:find "prod") and 16 or 2
                        if worst > allowed then lu.fail(("%s, view %d, axis %d: %g ulp off"):format(dtype, v, axis, worst)) end
                    end
                end
            end
        end
        lu.assertTrue(results.finish())
    end
end

function TestReduction:test_kinds_of_results()
    local a = array.of({{1, 2}, {3, 4}}, "int8")
    lu.assertEquals(a:sum(), 10)
    lu.assertEquals(math.type(a:sum()), "integer")
    lu.assertEquals(a:sum(1):dtype(), "int64")
    lu.assertEquals(a:as "uint8":sum(1):dtype(), "uint64")
    lu.assertEquals(a:as "float32":sum(1):dtype(), "float32")
    lu.assertEquals(a:mean(1):dtype(), "float64")
    lu.assertEquals(a:max(1):dtype(), "int8")
    lu.assertEquals(a:argmax(2):dtype(), "int64")
    lu.assertEquals(a:any(), true)
    lu.assertEquals(a:any(1):dtype(), "uint8")
    lu.assertEquals(a:cumsum():totable(), {1, 3, 6, 10})
    lu.assertEquals(a:cumsum(1):totable(), {{1, 2}, {4, 6}})
    lu.assertEquals(a[1]:sum(1), 3)
    lu.assertEquals(array.full({}, 3):sum(), 3)
end

function TestReduction:test_places_count_from_one_in_row_major_order()
    local a = array.of {{1, 9, 3}, {9, 0, 2}}
    lu.assertEquals(a:argmax(), 2)
    lu.assertEquals(a:argmin(), 5)
    lu.assertEquals(a:t():argmax(), 2)
    lu.assertEquals(a:t():argmin(), 4)
    lu.assertEquals(a:argmax(1):totable(), {2, 1, 1})
    lu.assertEquals(a:argmax(2):totable(), {2, 1})
    local long = array.zeros(5000)
    long[3333], long[4444] = 1, 1
    lu.assertEquals(long:argmax(), 3333)
    lu.assertEquals(long:argmin(), 1)
    long[5000] = -1
    lu.assertEquals(long:argmin(), 5000)
end

function TestReduction:test_nothing_has_a_sum_but_no_extremum()
    local none = array.zeros {0, 3}
    lu.assertEquals({none:sum(), none:prod(), none:any(), none:all()}, {0, 1, false, true})
    lu.assertEquals(none:sum(1):totable(), {0, 0, 0})
    lu.assertEquals(none:prod(1):totable(), {1, 1, 1})
    lu.assertEquals(none:sum(2):size(), 0)
    lu.assertEquals(none:cumsum(1):size(), 0)
    lu.assertNotEquals(none:mean(), none:mean())
    fails({"max of no elements", "(0, 3)"}, none.max, none)
    fails({"argmin of no elements", "(0, 3)"}, none.argmin, none, 1)
    fails("min of no elements", array.zeros(0, "int8").min, array.zeros(0, "int8"))
end

function TestReduction:test_nan_is_the_extremum_and_the_first_one_is_its_place()
    for _, n in ipairs {5, 40, 3000} do
        local a = array.range(1, n):as "float64"
        a[n // 2] = 0 / 0
        a[n] = 0 / 0
        lu.assertNotEquals(a:max(), a:max())
        lu.assertNotEquals(a:min(), a:min())
        lu.assertEquals({a:argmax(), a:argmin()}, {n // 2, n // 2})
        lu.assertNotEquals(a:sum(), a:sum())
        lu.assertEquals(a:any(), true)
    end
    lu.assertEquals(array.of {-1 / 0, 1 / 0, 0}:max(), 1 / 0)
    lu.assertEquals(array.of {1 / 0, -1 / 0, 0}:argmin(), 2)
end

function TestReduction:test_unsigned_numbers_above_the_signed_ones_are_larger()
    local a = array.of({1, -1, 3}, "uint64")
    lu.assertEquals({a:max(), a:argmax(), a:min()}, {-1, 2, 1})
    lu.assertEquals(a:mean(), (4 + 2.0 ^ 64) / 3)
end

function TestReduction:test_sums_of_integers_wrap_at_64_bits_only()
    lu.assertEquals(array.full(1000, 127, "int8"):sum(), 127000)
    lu.assertEquals(array.full(3, math.maxinteger, "int64"):sum(), math.maxinteger * 3)
    lu.assertEquals(array.full({2, 70}, 200, "uint8"):sum(1):totable()[70], 400)
    lu.assertEquals(array.full(70, 2, "int8"):prod(), 0)
end

-- Every stretch of the loops in lanes, blocks and pieces, against exact sums.
function TestReduction:test_every_length_is_summed_whole()
    for n = 0, 300 do
        lu.assertEquals(array.range(1, n):as "float64":sum(), n * (n + 1) / 2)
        lu.assertEquals(array.range(1, n):sum(), n * (n + 1) // 2)
    end
    for _, n in ipairs {1023, 1024, 1025, 5000, 123457} do
        local a = array.range(1, n)
        lu.assertEquals(a:as "float64":sum(), n * (n + 1) / 2)
        lu.assertEquals(a:as "float64":slice(1, n, 3):sum(), a:slice(1, n, 3):sum() + 0.0)
        lu.assertEquals({a:max(), a:min(), a:as "float64":max()}, {n, 1, n})
        lu.assertEquals(a:reshape {n, 1}:sum(1):totable(), {n * (n + 1) // 2})
    end
    local tall = array.range(1, 600 * 37):reshape {600, 37}
    for j = 1, 37 do lu.assertEquals(tall:sum(1)[j], tall:col(j):sum()) end
    for _, i in ipairs {1, 300, 600} do lu.assertEquals(tall:t():sum(1)[i], tall[i]:sum()) end
end

-- Ten million equal numbers: NumPy 1.24's pairwise sums are off by 2.2e-8, in float32 by 10.6, along an axis by 1.3e-6.
function TestReduction:test_the_error_of_long_sums_is_pairwise_small()
    local n = 10000000
    local a = array.full(n, 0.1)
    lu.assertTrue(math.abs(a:sum() - 1e6) < 1e-8)
    a:free()
    local b <close> = array.full(n, 0.1, "float32")
    lu.assertTrue(math.abs(b:sum() - n * b[1]) <= 0.0625)
    local c <close> = array.full({n // 10, 10}, 0.1)
    lu.assertTrue(math.abs(c:sum(1)[5] - 1e5) < 1e-9)
    lu.assertTrue(math.abs(c:mean() - 0.1) < 1e-15)
end

function TestReduction:test_an_axis_that_is_none_raises()
    local a = array.ones {2, 3}
    fails({"axis 3", "1 to 2"}, a.sum, a, 3)
    fails({"axis 0", "1 to 2"}, a.cumsum, a, 0)
    fails("axis: integer expected", a.sum, a, {})
    fails({"axis 1", "1 to 0"}, array.zeros {}.sum, array.zeros {}, 1)
end

os.exit(lu.run())
