-- ranks: 1 3
-- exit: 0
-- stdout: gathered 7, called 5, submitted 6, mapped 3, looped 6, failed true
local print, pcall = print, pcall
local names = {}
for name in pairs(_G) do
    if name ~= "_G" and name ~= "mpi" then names[#names + 1] = name end
end
mpi.pool(function (pool)
    for i = 1, #names do pool:scatter(names[i], {1, 2, 3, 4, 5, 6, 7}) end
    local gathered, called = #pool:gather "table", pool:call(function (x) return x end, 5)[1]
    local submitted = pool:submit(function (x) return x end, 6):get()
    local mapped, looped = pool:map(function (x) return x end, 3).n, 0
    for _, x in pool:imap(function (x) return x end, 3) do looped = looped + x end
    local failed = pcall(pool.call, pool, function () local x = nil + 1 end)
    print(("gathered %d, called %d, submitted %d, mapped %d, looped %d, failed %s"):format(gathered, called, submitted,
        mapped, looped, failed and "false" or "true"))
end)
