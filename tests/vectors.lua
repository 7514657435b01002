-- Results of one operation made by NumPy (scripts/make_vectors.py), handed out in the order they were made.
local here = arg[0]:match "^(.*)/[^/]*$" or "."

local vectors = {}

function vectors.load(name) return array.load(("%s/data/%s.npy"):format(here, name)) end

-- The distance of two floats in units of the last place of the dtype.
local function ulps(x, y, dtype)
    if x == y or x ~= x and y ~= y then return 0 end
    if x ~= x or y ~= y or x - x ~= 0 or y - y ~= 0 then return math.huge end
    local bits, least = dtype == "float32" and 24 or 53, dtype == "float32" and -149 or -1074
    local size = math.max(math.abs(x), math.abs(y))
    local exponent = math.max(math.floor(math.log(size, 2)) - bits + 1, least)
    return math.abs(x - y) / 2.0 ^ exponent
end

-- A reader: next(a) compares an array (or a number, as an array of this dtype) with the next result and gives the
-- greatest distance in ulps; finish() tells whether all results were used.
function vectors.reader(name)
    local files, used = {}, {}
    local reader = {}
    function reader.next(a, dtype)
        if type(a) == "boolean" then a, dtype = a and 1 or 0, "uint8" end
        if type(a) == "number" then a = array.full({}, a, dtype) end
        dtype = a:dtype()
        files[dtype] = files[dtype] or vectors.load(name .. "_" .. dtype)
        local from = used[dtype] or 0
        used[dtype] = from + a:size()
        local expected, got = files[dtype]:slice(from + 1, used[dtype]), a:copy():reshape(-1)
        if #expected ~= #got then return math.huge end
        local worst = 0
        for i, x in got:ipairs() do
            if dtype:sub(1, 5) == "float" then worst = math.max(worst, ulps(x, expected[i], dtype))
            elseif x ~= expected[i] then return math.huge end
        end
        return worst
    end
    function reader.finish()
        for dtype, file in pairs(files) do
            if used[dtype] ~= #file then return false end
        end
        return next(files) ~= nil
    end
    return reader
end

return vectors
