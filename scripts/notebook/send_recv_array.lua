-- An array as a message: its memory goes to MPI as it is.
local rank = comm:rank()

if rank == 0 then
    local data = array.range(0, 9)
    comm:Send(data, 1, 13)
elseif rank == 1 then
    local data = array.zeros(10, "int64")
    local status = comm:Recv(data, 0, 13)
    print(("rank %d received %d numbers: %s"):format(rank, status.count, data))
end
