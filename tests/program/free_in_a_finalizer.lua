-- A finalizer that runs inside a call on a communicator wants to free it. A job of its own: its small heap is collected so
-- often that the finalizer runs at that moment.
-- ranks: 1
-- exit: 0
-- stdout: a finalizer was refused
collectgarbage("incremental", 1, 1000, 5)
local refused = 0
for i = 1, 600 do
    local c = mpi.COMM_SELF:dup()
    c:send(1, 0, 3)
    setmetatable({}, {__gc = function ()
        local fine, problem = pcall(i % 2 == 0 and c.free or coroutine.wrap(c.free), c)
        if fine then return end
        problem = problem:gsub("^.*:%d+: ", "")
        assert(problem == "free: a call is under way on the communicator", problem)
        refused = refused + 1
    end})
    pcall(c.probe, c, 0, 3)
    pcall(c.recv, c, 0, 3)
    c:free()
end
assert(refused > 0)
print "a finalizer was refused"
