local work = require "measure"

for _ = 1, 1100 do comm:barrier() end -- the collective check looks at the first 1000

local Pingpong = "if rank == 0 then comm:Send(a, 1) comm:Recv(b, 1) else comm:Recv(b, 0) comm:Send(a, 0) end"
for _, size in ipairs {{"8 B", 1}, {"1 KiB", 2^7}, {"64 KiB", 2^13}, {"1 MiB", 2^17}} do
    local name, count = table.unpack(size)
    work(("Send/Recv %s, one way"):format(name), Pingpong, array.ones(count), array.ones(count), 2)
end

work("Allreduce 8 B", "comm:Allreduce(a, b)", array.ones(1), array.ones(1))
work("Allreduce 1 MiB", "comm:Allreduce(a, b)", array.ones(2^17), array.ones(2^17))
work("Bcast 8 B", "comm:Bcast(a)", array.ones(1))
work("barrier", "comm:barrier()")

local floats, keyed, records = {}, {}, {}
for i = 1, 10^4 do floats[i] = i / 3 end
for i = 1, 1000 do keyed["key" .. i] = i end
for i = 1, 10^4 do records[i] = {id = i, name = "record " .. i, weight = i / 3} end

local pingpong = "if rank == 0 then comm:send(a, 1) b = comm:recv(1) else b = comm:recv(0) comm:send(a, 0) end"
work("send/recv an integer", pingpong, 1, nil, 2)
work("send/recv 10^4 floats", pingpong, floats, nil, 2)
work("send/recv a 1000-key table", pingpong, keyed, nil, 2)
work("send/recv 10^4 records", pingpong, records, nil, 2)

local small = {n = 16, tolerance = 1e-6, method = "cg"}
work("allreduce a number", "b = comm:allreduce(a)", 1.5)
work("bcast a small table", "b = comm:bcast(a)", small)
work("gather a small table", "b = comm:gather(a)", small)
work("allgather a small table", "b = comm:allgather(a)", small)
