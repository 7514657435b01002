local lu = require "mpi.luaunit"
local fails = dofile("tests/support.lua").fails
local here = arg[0]:match("^(.*)/[^/]*$") or "."

local function rank_of(rank) return {rank = function () return rank end} end

local function moments(a)
    local n = a:size()
    local mean = a:sum() / n
    local var = 0
    for _, x in a:ipairs() do var = var + (x - mean) ^ 2 end
    return mean, var / n
end

TestRandom = {}

function TestRandom:test_uniform_numbers_are_numpys_philox()
    for seed = 0, 2 do
        for stream = 0, 1 do
            local expected = array.load(("%s/data/philox_%d_%d.npy"):format(here, seed, stream))
            lu.assertTrue(array.random(#expected, {seed = seed, stream = stream}) == expected)
        end
    end
end

function TestRandom:test_the_same_seed_and_stream_give_the_same_numbers_whatever_was_drawn_before()
    for _, dist in ipairs {"uniform", "normal", "integers"} do
        local options = {seed = 5, stream = 9, dist = dist, high = dist == "integers" and 1000 or nil}
        local whole = array.random(3000, options)
        array.random(17)
        for _, piece in ipairs {{1, 3000}, {1, 1}, {2, 2}, {4, 9}, {1023, 1026}, {1024, 2051}, {2999, 3000}, {501, 500}} do
            options.offset = piece[1] - 1
            lu.assertTrue(array.random(piece[2] - piece[1] + 1, options) == whole:slice(table.unpack(piece)), dist)
        end
        options.offset = nil
        lu.assertTrue(array.random({30, 100}, options):reshape(-1) == whole)
    end
end

function TestRandom:test_without_a_seed_each_call_gives_other_numbers()
    local seen = {}
    for call = 1, 20 do
        local options = call % 2 == 0 and {stream = call // 2 % 3} or nil
        local x = array.random(1, options)[1]
        lu.assertNil(seen[x])
        seen[x] = true
    end
end

function TestRandom:test_seeds_streams_and_ranks_differ()
    local seen = {}
    for seed = 0, 2 do
        for stream = 0, 2 do
            for rank = -1, 2 do
                local a = array.random(100, {seed = seed, stream = stream, comm = rank >= 0 and rank_of(rank) or nil})
                for _, x in a:ipairs() do
                    lu.assertNil(seen[x])
                    seen[x] = true
                end
            end
        end
    end
    lu.assertFalse(array.random(4) == array.random(4))
end

function TestRandom:test_uniform_numbers_are_uniform()
    for _, dtype in ipairs {"float64", "float32"} do
        local a = array.random(100000, {seed = 1, dtype = dtype})
        lu.assertEquals(a:dtype(), dtype)
        local mean, var = moments(a)
        lu.assertAlmostEquals(mean, 0.5, 0.004)
        lu.assertAlmostEquals(var, 1 / 12, 0.002)
        lu.assertTrue(a:min() >= 0 and a:max() < 1)
        local bins = {}
        for _, x in a:ipairs() do bins[x * 10 // 1] = (bins[x * 10 // 1] or 0) + 1 end
        for k = 0, 9 do lu.assertAlmostEquals(bins[k], 10000, 400) end
    end
    local b = array.random(10000, {seed = 1, low = -3, high = 5})
    lu.assertTrue(b:min() >= -3 and b:min() < -2.9 and b:max() < 5 and b:max() > 4.9)
end

function TestRandom:test_normal_numbers_are_normal()
    local a = array.random(100000, {seed = 2, dist = "normal"})
    local mean, var = moments(a)
    lu.assertAlmostEquals(mean, 0, 0.015)
    lu.assertAlmostEquals(var, 1, 0.02)
    local within = {0, 0, 0}
    local third, fourth = 0, 0
    for _, x in a:ipairs() do
        for k = 1, 3 do if math.abs(x) < k then within[k] = within[k] + 1 end end
        third, fourth = third + x ^ 3, fourth + x ^ 4
    end
    lu.assertAlmostEquals(within[1] / 1e5, 0.6827, 0.006)
    lu.assertAlmostEquals(within[2] / 1e5, 0.9545, 0.003)
    lu.assertAlmostEquals(within[3] / 1e5, 0.9973, 0.001)
    lu.assertAlmostEquals(third / 1e5, 0, 0.05)
    lu.assertAlmostEquals(fourth / 1e5, 3, 0.15)
    mean, var = moments(array.random(10000, {seed = 2, dist = "normal", mean = 10, std = 3}))
    lu.assertAlmostEquals(mean, 10, 0.15)
    lu.assertAlmostEquals(var, 9, 0.6)
end

function TestRandom:test_integers_cover_their_range_evenly()
    local counts = {}
    local a = array.random(60000, {seed = 3, dist = "integers", high = 6})
    lu.assertEquals(a:dtype(), "int64")
    for _, x in a:ipairs() do counts[x] = (counts[x] or 0) + 1 end
    for face = 1, 6 do lu.assertAlmostEquals(counts[face], 10000, 450) end
    lu.assertEquals(#counts, 6)
    local b = array.random(1000, {seed = 3, dist = "integers", low = -2, high = -2, dtype = "int8"})
    lu.assertEquals(b:dtype(), "int8")
    lu.assertEquals({b:min(), b:max()}, {-2, -2})
    local wide = array.random(1000, {seed = 3, dist = "integers", low = math.mininteger, high = math.maxinteger})
    lu.assertTrue(wide:min() < -(1 << 62) and wide:max() > 1 << 62)
end

function TestRandom:test_a_permutation_has_every_number_once()
    for _, n in ipairs {0, 1, 2, 1000} do
        local p, seen = array.random(n, {seed = 4, dist = "permutation"}), {}
        for _, x in p:ipairs() do
            lu.assertTrue(x >= 1 and x <= n and not seen[x])
            seen[x] = true
        end
    end
    local first = {0, 0, 0}
    for seed = 1, 3000 do
        local p = array.random(3, {seed = seed, dist = "permutation"})
        first[p[1]] = first[p[1]] + 1
    end
    for k = 1, 3 do lu.assertAlmostEquals(first[k], 1000, 120) end
end

function TestRandom:test_bad_options_raise()
    fails({"unknown option 'sed'", "seed"}, array.random, 3, {sed = 1})
    fails({"gamma", "uniform normal"}, array.random, 3, {dist = "gamma"})
    fails({"seed", "integer"}, array.random, 3, {seed = 1.5})
    fails({"low 3", "high 1"}, array.random, 3, {dist = "integers", low = 3, high = 1})
    fails("needs the option high", array.random, 3, {dist = "integers"})
    fails({"offset", "-1"}, array.random, 3, {offset = -1})
    fails({"normal", "int8"}, array.random, 3, {dist = "normal", dtype = "int8"})
    fails("table expected", array.random, 3, 4)
    fails("shape", array.random)
end

os.exit(lu.run())
