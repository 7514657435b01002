-- Small objects in all sizes come and go without touching each other, with and without room for the pool, and
-- where memory ends; what they took can be taken by others afterwards.
-- asan: no
-- within: 40
-- run: $luampi $file churn && (ulimit -v 4000000; exec $luampi $file churn) && (ulimit -d 130000; exec $luampi $file shortage)
-- exit: 0
-- stdout: churn: 0 of 200000 damaged
-- stdout: shortage: not enough memory
-- stdout: shortage: the same again
-- never: churn: 1
math.randomseed(7)

local function object(k)
    local text = tostring(k):rep(k % 90)
    return {k, text, x = k, [k + 0.5] = {}, f = function () return k, text end}
end

local function damaged(o, k)
    local n, text = o.f()
    return o[1] ~= k or o.x ~= k or n ~= k or text ~= o[2] or text ~= tostring(k):rep(k % 90) or next(o[k + 0.5])
end

if arg[1] == "churn" then
    local live, looked, wrong = {}, 0, 0
    while looked < 200000 do
        for _ = 1, 10000 do
            local k = math.random(5000)
            live[k] = not live[k] and object(k) or nil
        end
        for k, o in pairs(live) do
            looked = looked + (looked < 200000 and 1 or 0)
            if damaged(o, k) then wrong = wrong + 1 end
        end
    end
    print(("churn: %d of %d damaged"):format(wrong, looked))
else
    -- chains of tables until nothing fits, which leave no garbage behind that would be collected again and again
    local function fill(make)
        local n = 0
        local fine, message = pcall(function ()
            local chain -- gone with the error: what comes next needs memory, too
            for i = 1, math.huge do
                chain = make(chain)
                n = i
            end
        end)
        assert(not fine)
        collectgarbage()
        return n, message
    end
    local function small(rest) return {rest} end
    local function large(rest) return {rest, 2, 3, 4, 5, 6, 7, 8, 9} end
    local first, message = fill(small)
    print("shortage: " .. message)
    assert(fill(large) > 1000)
    local again = fill(small)
    print(again > first * 0.9 and "shortage: the same again" or ("shortage: %d, then only %d"):format(first, again))
end
