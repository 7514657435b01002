-- A finalizer that runs when Lua ends begins to send and to receive, and leaves that open.
-- ranks: 1 2
-- exit: 0
-- once: rank 0: irecv at tests/program/requests_of_finalizers.lua:13 was never waited for (2 times)
-- once: rank 0: Irecv at tests/program/requests_of_finalizers.lua:14 was never waited for (1 times)
-- once: rank 0: isend at tests/program/requests_of_finalizers.lua:15 was never waited for (1 times)
-- once: rank 0: Isend at tests/program/requests_of_finalizers.lua:16 was never waited for (1 times)
-- once: rank 0: Iallreduce at tests/program/requests_of_finalizers.lua:17 was never waited for (1 times)
-- never: message
local c, me = comm, comm:rank()
local strided, whole, text = array.zeros(50000):slice(1, -1, 2), array.zeros(25000), ("x"):rep(100000)
keeper = setmetatable({}, {__gc = function ()
    for tag = 1, 2 do c:irecv(me, tag) end
    c:Irecv(whole, me, 3)
    c:isend(text, me, 1)
    c:Isend(strided, me, 3)
    c:Iallreduce(array.of {1, 2, 3})
end})
