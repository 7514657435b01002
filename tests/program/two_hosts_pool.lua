-- A pool whose ranks have no memory in common.
-- run: tests/two_hosts 2 $luampi $file
-- exit: 0
-- within: 40
-- stdout: two hosts
local last = comm:size() - 1

mpi.pool(function (pool)
    local squares = pool:map(function (x) return x * x end, 100)
    assert(squares[100] == 10000)
    local sum = 0
    for i, x in pool:imap(function (x) return x * x end, 100) do
        assert(x == i * i)
        sum = sum + i
    end
    assert(sum == 5050)
    assert(pool[last]:map(function () return comm:rank() end, 3)[3] == last)

    local futures, seen = {}, {}
    for i = 1, 40 do futures[i] = pool:submit(function (k) return k, ("x"):rep(200000) end, i) end
    for future in mpi.as_completed(futures) do
        local k, text = future:get()
        assert(not seen[k] and #text == 200000)
        seen[k] = true
    end

    local forever = pool[last]:submit(function () while true do end end)
    assert(not forever:wait(0.05) and forever:cancel())
    assert(pool[last]:submit(math.abs, -3):get() == 3)

    -- rank 0 waits in a task of its own for what comes after fifty others, which it hands out meanwhile
    local others = {}
    for i = 1, 50 do others[i] = pool[last]:submit(math.abs, -i) end
    local ready = os.tmpname()
    os.remove(ready)
    local own = pool[0]:submit(function (path)
        while not io.open(path) do mpi.sleep(0.01) end
        return os.remove(path)
    end, ready)
    pool[last]:submit(function (path) io.open(path, "w"):close() end, ready)
    assert(own:get())
    for i = 1, 50 do assert(others[i]:get() == i) end

    local _, problem = pcall(pool.exec, pool, "local y = z.x")
    assert(tostring(problem) == ("exec:1: attempt to index a nil value (global 'z')  [ranks 0-%d]"):format(last))
end)
if comm:rank() == 0 then print "two hosts: a pool of all their ranks" end
