-- Any Lua value as a message.
local rank = comm:rank()

if rank == 0 then
    local data = {1.0, 2.0, 3.0, 4.0, name = "numbers"}
    comm:send(data, 1, 11)
elseif rank == 1 then
    local data = comm:recv(0, 11)
    print(("rank %d received %s: %s"):format(rank, data.name, table.concat(data, ", ")))
end
