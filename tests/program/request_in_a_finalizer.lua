-- A finalizer at the end of Lua waits for a request that has been finalized before it.
-- ranks: 1
-- exit: 0
-- stdout: irecv at tests/program/request_in_a_finalizer.lua:10 has been collected
-- once: rank 0: irecv at tests/program/request_in_a_finalizer.lua:10 was never waited for (1 times)
local keeper = setmetatable({}, {__gc = function (k)
    local _, message = pcall(k.request.wait, k.request)
    print(message)
end})
keeper.request = comm:irecv(0)
comm:isend(("x"):rep(100000), 0)
mpi.sleep(0.01)
comm:iprobe()
