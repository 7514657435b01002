-- Short nonblocking collectives, behind a long one, are open on each rank in its own way while a communicator is made.
-- ranks: 2 4
-- exit: 0
-- stdout: all arrived
local rank, size = comm:rank(), comm:size()
local c = comm:dup()
for _ = 1, 1001 do c:barrier() end -- from now on only long ones are compared

for round = 1, 50 do
    local requests = {c:Iallreduce(array.full(600, rank))}
    for k = 1, 3 do requests[1 + k] = c:Ibcast(array.full(2, rank == 0 and k + round or 0)) end
    if rank == round % size then
        for _ = 1, 30 do c:iprobe() end
    end
    local d = c:dup()
    assert(requests[1]:wait():sum() == 600 * size * (size - 1) / 2)
    for k = 1, 3 do assert(requests[1 + k]:wait():sum() == 2 * (k + round)) end
    assert(d:allreduce(1) == size)
    d:free()
end
c:free()
if rank == 0 then print "all arrived" end
