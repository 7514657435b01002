local lu = require "mpi.luaunit"

TestArraytext = {}

function TestArraytext:test_numbers_are_aligned_with_the_digits_they_need()
    lu.assertEquals(tostring(array.of {1, 2.5, 3}), "[1.  2.5 3. ]")
    lu.assertEquals(tostring(array.of({1, -20, 300}, "int32")), "[  1 -20 300]")
    lu.assertEquals(tostring(array.of {1 / 3, 2}), "[0.33333333 2.        ]")
    lu.assertEquals(tostring(array.of({0.1, 2}, "float32")), "[0.1 2. ]")
    lu.assertEquals(tostring(array.of {0 / 0, 1 / 0, -1 / 0, -0.0}), "[ nan  inf -inf  -0.]")
    lu.assertEquals(tostring(array.of({-1, 1}, "uint64")), "[18446744073709551615                    1]")
end

function TestArraytext:test_wide_ranges_are_scientific()
    lu.assertEquals(tostring(array.of {1e-5, 1}), "[1.e-05 1.e+00]")
    lu.assertEquals(tostring(array.of {1e300, 1.5}), "[1.0e+300 1.5e+000]")
    lu.assertEquals(tostring(array.of {123456789, 1}), "[1.23456789e+08 1.00000000e+00]")
end

function TestArraytext:test_dimensions_are_brackets()
    lu.assertEquals(tostring(array.of {{1, 2}, {3, 4}}), "[[1. 2.]\n [3. 4.]]")
    lu.assertEquals(tostring(array.range(1, 8):reshape {2, 2, 2}), "[[[1 2]\n  [3 4]]\n\n [[5 6]\n  [7 8]]]")
    lu.assertEquals(tostring(array.of({{1, 2}, {3, 4}}, "int8"):t()), "[[1 3]\n [2 4]]")
    lu.assertEquals(tostring(array.zeros {0, 3}), "[] float64, shape (0, 3)")
end

function TestArraytext:test_a_number_without_dimensions_has_all_its_digits()
    for text, x in pairs {["2.5"] = 2.5, ["3.0"] = 3, ["-0.0"] = -0.0, ["0.1"] = 0.1, ["100000000.0"] = 1e8, ["1e+16"] = 1e16,
        ["1.5e-05"] = 1.5e-5, ["0.0001"] = 1e-4, ["0.3333333333333333"] = 1 / 3, ["5e-324"] = 5e-324, ["inf"] = 1 / 0} do
        lu.assertEquals(tostring(array.full({}, x)), text)
    end
    lu.assertEquals(tostring(array.full({}, 0.1, "float32")), "0.1")
    lu.assertEquals(tostring(array.full({}, 72250695680, "float32")), "72250696000.0")
    lu.assertEquals(tostring(array.full({}, -3, "int8")), "-3")
end

function TestArraytext:test_long_arrays_are_cut_and_say_so()
    lu.assertEquals(tostring(array.range(1, 2000)), "[   1    2    3 ... 1998 1999 2000]\nint64, shape (2000)")
    local text = tostring(array.zeros {100, 100})
    lu.assertStrContains(text, "[[0. 0. 0. ... 0. 0. 0.]\n")
    lu.assertStrContains(text, "\n ...\n")
    lu.assertStrContains(text, "\nfloat64, shape (100, 100)")
end

local python = dofile "tests/support.lua".python()

-- Numbers of many sizes, in shapes that wrap, nest and get cut: the same text as NumPy's, the footer apart.
function TestArraytext:test_the_text_is_numpys()
    lu.skipIf(not python, "no Python with NumPy here")
    if comm:rank() > 0 then return end -- much work, and the same on all
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
    local arrays = {}
    local special = {-0.0, 1 / 0, 0 / 0, 1e-5, 5e-324, -1 / 0, 0.0, 1e16, 1 / 3, 1 - 2^-53, 123456789, 0.1}
    for _, dtype in ipairs {"float64", "float32", "int8", "int64", "uint16", "uint64"} do
        for _, shape in ipairs {{1}, {30}, {3, 1}, {4, 30}, {2, 3, 4}, {1001}, {2, 2000}, {7, 7, 30}} do
            for k, scale in ipairs {1, 1e3, 1e-3, 1e9, 1e-6} do
                local a = array.random(shape, {seed = 1, stream = k, dist = "normal"}):map(function (x) return x * scale end)
                arrays[#arrays + 1] = a:as(dtype)
                arrays[#arrays + 1] = a:map(function (x) return x // 0.01 * 0.01 end):as(dtype)
                if dtype:sub(1, 5) == "float" then
                    local i = 0
                    arrays[#arrays + 1] = a:map(function (x) i = i + 1 return i % k == 0 and special[i // k % #special + 1] or x end):as(dtype)
                end
            end
        end
    end
    for i, a in ipairs(arrays) do array.save(("%s/%d.npy"):format(folder, i), a) end
    assert(os.execute((python .. [[ -c '
import numpy as np
for i in range(1, %d): open("%s/%%d.txt" %% i, "w").write(str(np.load("%s/%%d.npy" %% i)))']]):format(#arrays + 1, folder, folder)))
    local different = {}
    for i, a in ipairs(arrays) do
        local file <close> = io.open(("%s/%d.txt"):format(folder, i))
        local expected, got = file:read "a", tostring(a)
        if a:size() > 1000 then got = got:match "^(.*)\n[^\n]*$" end
        if got ~= expected then different[#different + 1] = got .. "\nnot\n" .. expected end
    end
    os.execute("rm -r " .. folder)
    lu.assertEquals(different, {})
end

os.exit(lu.run())
