local lu = require "mpi.luaunit"
local support, vectors = dofile "tests/support.lua", dofile "tests/vectors.lua"
local dtypes, fails = support.dtypes, support.fails

-- The product by its definition, as nested tables of float64.
local function product(a, b)
    local m, k = a:shape()
    local _, n = b:shape()
    local c = array.zeros {m, n}
    for i = 1, m do
        for j = 1, n do
            local s = 0.0
            for l = 1, k do s = s + a:get(i, l) * b:get(l, j) end
            c:set(i, j, s)
        end
    end
    return c
end

TestBlas = {}

function TestBlas:test_products_of_every_layout_and_dtype()
    local views = {}
    for _, dtype in ipairs {"float64", "float32", "int8", "int64", "uint16"} do
        for _, shape in ipairs {{3, 4, 5}, {1, 4, 1}, {3, 1, 2}, {1, 1, 1}, {2, 5, 1}} do
            local m, k, n = table.unpack(shape)
            local function fresh(r, c, seed)
                return array.random({r, c}, {seed = seed, dist = "integers", low = 0, high = 4}):as(dtype)
            end
            local as = {fresh(m, k, 1), fresh(k, m, 2):t(), fresh(m, 2 * k, 3):slice({}, {1, -1, 2}), fresh(2 * m, k + 3, 4):slice({1, -1, 2}, {4})}
            local bs = {fresh(k, n, 5), fresh(n, k, 6):t(), fresh(2 * n, k, 7):slice {1, -1, 2}:t(), fresh(k + 1, n + 1, 8):slice({2}, {2})}
            for _, a in ipairs(as) do
                for _, b in ipairs(bs) do
                    local c = a:dot(b)
                    lu.assertEquals(c:dtype(), dtype)
                    lu.assertTrue(c:as "float64" == product(a, b))
                    lu.assertTrue(a:dot(b:col(1)) == c:col(1))
                    lu.assertTrue(a[1]:dot(b) == c[1])
                    lu.assertEquals(a[1]:dot(b:col(n)), c:get(1, n))
                    views[#views + 1] = c
                end
            end
        end
    end
    lu.assertEquals(#views, 5 * 5 * 16)
end

function TestBlas:test_products_are_numpys_for_every_pair_of_dtypes()
    local results = vectors.reader "dot"
    for _, d in ipairs(dtypes) do
        for _, e in ipairs(dtypes) do
            local a = ((array.range(0, 11) * 5) % 7):reshape {3, 4}:as(d)
            local b = ((array.range(0, 19) * 3) % 11):reshape {4, 5}:as(e)
            local dtype = (a[1] + b:col(1)):dtype()
            local function check(x, y) lu.assertEquals(results.next(x:dot(y), dtype), 0, d .. " " .. e) end
            check(a, b)
            check(a, b:col(2))
            check(a[2], b)
            check(a:col(2), b:col(3):slice(1, 3))
            check(b:t(), a:t())
            check(a:slice({1, 3, 2}, {2, 3}), b:slice({2, 4, 2}, {1, 5, 2}))
            check(a:slice(1, 0), b)
            check(a:slice({}, {1, 0}), b:slice(1, 0))
        end
    end
    lu.assertTrue(results.finish())
end

function TestBlas:test_norms_are_numpys()
    local results = vectors.reader "norm"
    for _, dtype in ipairs(dtypes) do
        local a, made = vectors.load("reduced_" .. dtype), dtype == "float32" and dtype or "float64"
        lu.assertTrue(results.next(a:norm(), made) <= 4)
        lu.assertTrue(results.next(a[2]:slice(1, 4, 2):t():norm(), made) <= 4)
    end
    lu.assertTrue(results.finish())
end

function TestBlas:test_dtypes_are_promoted()
    local a, b = array.of({1, 2}, "int8"), array.of {0.5, 0.25}
    lu.assertEquals(a:dot(b), 1)
    lu.assertEquals(array.ones({2, 2}, "int16"):dot(array.ones(2, "float32")):dtype(), "float32")
    lu.assertEquals(array.ones({2, 2}, "int32"):dot(array.ones(2, "float32")):dtype(), "float64")
    lu.assertEquals(array.ones({2, 2}, "int8"):dot(array.ones({2, 2}, "uint8")):dtype(), "int16")
end

function TestBlas:test_integer_products_are_exact_and_wrap()
    local big = array.of({(1 << 62) + 1, 3}, "int64")
    lu.assertEquals(big:dot(array.of({4, 5}, "int64")), 19)
    local m = array.of({{1 << 31, 1}, {7, (1 << 40) + 1}}, "int64")
    lu.assertEquals(m:dot(m):totable(), {{(1 << 62) + 7, (1 << 31) + (1 << 40) + 1}, {7 * (1 << 31) + 7 * ((1 << 40) + 1), 7 + ((1 << 40) + 1) * ((1 << 40) + 1)}})
    lu.assertEquals(array.full(10, 100, "int8"):dot(array.full(10, 100, "int8")), (100000 + 128) % 256 - 128)
    lu.assertEquals(array.of({-1}, "uint64"):dot(array.of({2}, "uint64")), -2)
end

function TestBlas:test_products_of_nothing_are_zero()
    lu.assertEquals(array.zeros(0):dot(array.zeros(0)), 0)
    lu.assertEquals(array.zeros {2, 0}:dot(array.zeros {0, 2}):totable(), {{0, 0}, {0, 0}})
    lu.assertEquals({array.zeros {0, 3}:dot(array.ones {3, 2}):shape()}, {0, 2})
    lu.assertEquals(#array.zeros {0, 3}:dot(array.ones(3)), 0)
    lu.assertEquals(array.zeros({2, 0}, "int8"):dot(array.zeros(0, "int8")):totable(), {0, 0})
end

function TestBlas:test_shapes_that_do_not_fit_raise()
    fails({"(2, 3)", "(2, 3)", "3 is not 2"}, array.ones {2, 3}.dot, array.ones {2, 3}, array.ones {2, 3})
    fails({"(3)", "(2)"}, array.ones(3).dot, array.ones(3), array.ones(2))
    fails("vectors and matrices", array.ones {2, 2, 2}.dot, array.ones {2, 2, 2}, array.ones(2))
    fails("vectors and matrices", array.ones {}.dot, array.ones {}, array.ones(1))
    fails("mpi.array expected", array.ones(3).dot, array.ones(3), 2)
end

function TestBlas:test_scal_multiplies_what_is_not_finite_as_mul_does()
    for _, dtype in ipairs {"float64", "float32"} do
        for _, alpha in ipairs {0, -0.0, 1/0, 0/0, 2} do
            local a = array.of({0/0, 1/0, 1, 0, -3, 7}, dtype)
            for _, view in ipairs {a, a:slice(1, -1, 2)} do
                lu.assertEquals(tostring(view:copy():scal(alpha)), tostring(view:copy():mul_(alpha)))
            end
        end
    end
end

function TestBlas:test_norm_axpy_and_scal_change_views_in_place()
    for _, dtype in ipairs {"float64", "float32"} do
        local m = array.range(1, 12):as(dtype):reshape {3, 4}
        lu.assertAlmostEquals(m:norm(), math.sqrt(650), 1e-5)
        lu.assertAlmostEquals(m:t():slice({2, 3}, {1, 2}):norm(), math.sqrt(4 + 9 + 36 + 49), 1e-5)
        lu.assertTrue(rawequal(m:scal(2), m))
        m:col(2):scal(0)
        m:slice({1, 2}, {3, 4}):scal(-1)
        lu.assertEquals(m:totable(), {{2, 0, -6, -8}, {10, 0, -14, -16}, {18, 0, 22, 24}})
        m:fill(1)
        m:col(1):axpy(3, array.of({1, 2, 3}, dtype))
        m:t():slice {3, 4}:axpy(1, array.range(1, 6):reshape {2, 3})
        lu.assertEquals(m:totable(), {{4, 1, 2, 5}, {7, 1, 3, 6}, {10, 1, 4, 7}})
    end
    lu.assertEquals(array.of({3, 4}, "int8"):norm(), 5)
    lu.assertEquals(array.zeros(0):norm(), 0)
    lu.assertEquals(array.full({}, -2):norm(), 2)
    lu.assertAlmostEquals(array.full(2, 3e200):norm() / 3e200, math.sqrt(2), 1e-15)
end

function TestBlas:test_axpy_of_an_array_and_its_own_view_is_right()
    local a = array.range(1, 5):as "float64"
    a:slice(2, 5):axpy(1, a:slice(1, 4))
    lu.assertEquals(a:totable(), {1, 3, 5, 7, 9})
    a:axpy(1, a)
    lu.assertEquals(a:totable(), {2, 6, 10, 14, 18})
    local m = array.range(1, 4):as "float64":reshape {2, 2}
    m:axpy(1, m:t())
    lu.assertEquals(m:totable(), {{2, 5}, {5, 8}})
end

function TestBlas:test_axpy_and_scal_refuse_what_they_cannot_do()
    fails({"(3)", "(2)"}, array.ones(3).axpy, array.ones(3), 1, array.ones(2))
    fails("int8", array.ones(3, "int8").axpy, array.ones(3, "int8"), 1, array.ones(3))
    fails("int8", array.ones(3, "int8").scal, array.ones(3, "int8"), 2)
    fails("number expected", array.ones(3).scal, array.ones(3), "x")
    fails("mpi.array expected", array.ones(3).axpy, array.ones(3), 1, 2)
end

function TestBlas:test_one_thread_is_the_default()
    array.ones(4):dot(array.ones(4))
    local file <close> = io.open "/proc/self/environ"
    if not file:read "a":find "OPENBLAS_NUM_THREADS" then lu.assertEquals(os.getenv "OPENBLAS_NUM_THREADS", "1") end
end

os.exit(lu.run())
