-- Rank 0 of a pool gives the others their tasks also while it waits for messages from them.
-- ranks: 2 3
-- exit: 0
-- stdout: 1 to 12 by recv
-- stdout: 1 to 12 by probe
-- stdout: 1 to 12 by irecv
-- stdout: 1 to 12 by waitany
local ways = {
    recv = function (tag) return (comm:recv(mpi.ANY_SOURCE, tag)) end,
    probe = function (tag)
        local status = comm:probe(mpi.ANY_SOURCE, tag)
        return (comm:recv(status.source, tag))
    end,
    irecv = function (tag) return (comm:irecv(mpi.ANY_SOURCE, tag):wait()) end,
    waitany = function (tag) return (select(2, mpi.waitany {comm:irecv(mpi.ANY_SOURCE, tag)})) end,
}
mpi.pool(function (pool)
    local others = pool:size() > 2 and pool {1, 2} or pool[1]
    for name, receive in pairs(ways) do
        local n, seen = 12, {}
        for k = 1, n do others:submit(function (value) comm:send(value, 0, 7) end, k) end
        for _ = 1, n do seen[receive(7)] = true end
        if #seen == n then print(("1 to %d by %s"):format(n, name)) end
    end
end)
