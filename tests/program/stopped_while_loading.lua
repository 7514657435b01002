-- What is loaded when it is first used is loaded whole, also when the rank is to stop just then.
-- ranks: 2
-- exit: 0
-- stdout: {1, 4, 9}
-- never: rank
local interrupt = require "mpi.interrupt"
interrupt.begin()
interrupt.run(function ()
    interrupt.stop()
    pcall(comm.recv, comm) -- is stopped, and from here on every few instructions are
    while true do pcall(comm.map, comm, math.abs, 3) end
end)
assert(interrupt.meet())
local squares = comm:map(function (i) return i * i end, 3)
if comm:rank() == 0 then print("{" .. table.concat(squares, ", ") .. "}") end
