-- Random calls of map, imap, share and mapreduce with random options, items, errors and breaks, whose results are known:
-- dofile "tests/random_maps.lua"(rounds, seed).
local size, rank = comm:size(), comm:rank()
local numbers = dofile("tests/support.lua").numbers
local schedules = {"dynamic", "static", "cyclic"}

return function (rounds, seed)
    local state = seed
    local function draw(n) -- from 1 to n, alike on every rank
        state = state * 6364136223846793005 + 1442695040888963407
        state = state ~ state >> 29
        return (state >> 20 & 0xFFFFFFF) % n + 1
    end

    local function round()
        local n, kind, items = draw(400) - 1, draw(9), nil
        local bad, stop = draw(3) == 1 and n > 0 and draw(n) or 0, draw(3) == 1 and n > 0 and draw(n) or 0
        local opts = {root = draw(size) - 1, chunk = draw(3) == 1 and draw(20) or nil}
        if draw(2) == 1 then items = numbers(n) else items = n end
        if kind < 8 then opts.schedule = schedules[draw(3)] end
        local slow, long = draw(4) == 1, draw(5) == 1 and kind < 8 and ("x"):rep(draw(30000)) or nil
        local function f(x, i)
            if slow and x % 50 == 0 then mpi.sleep(0.001) end
            if i == bad then error("bad", 0) end
            return long or x * x
        end
        local function check(fine, e, broken)
            if bad == 0 or broken and fine then assert(fine, e)
            else assert(not fine and e.index == bad and e.message == "bad", tostring(e))
            end
            return fine
        end
        if kind <= 2 then
            local fine, e = pcall(comm.map, comm, f, items, opts)
            if not check(fine, e) then return end
            assert(e.n == n)
            for i = 1, n do assert(e[i] == (long or i * i)) end
        elseif kind <= 5 then
            opts.to, opts.ordered = draw(size) - 1, draw(2) == 1
            opts.ahead = draw(2) == 1 and draw(30) or nil
            local count = 0
            local fine, e = pcall(function ()
                for i, v in comm:imap(f, items, opts) do
                    count = count + 1
                    assert(v == (long or i * i) and (not opts.ordered or i == count))
                    if count == stop then break end
                end
            end)
            if check(fine, e, stop > 0) and rank == opts.to then assert(count == (stop > 0 and stop or n), count) end
        elseif kind <= 7 then
            local sum = 0
            local fine, e = pcall(function ()
                for i, x in comm:share(items, opts) do
                    f(x, i)
                    sum = sum + x
                    if i == stop then break end
                end
            end)
            if check(fine, e, stop > 0) and stop == 0 then assert(comm:allreduce(sum) == n * (n + 1) // 2) end
        else
            local fine, e = pcall(comm.mapreduce, comm, f, items, opts)
            if check(fine, e) then assert((e or 0) == n * (n + 1) * (2 * n + 1) // 6, e) end
        end
    end

    for number = 1, rounds do
        local fine, e = pcall(round)
        if not fine then error(("round %d of seed %d: %s"):format(number, seed, tostring(e)), 0) end
    end
end
