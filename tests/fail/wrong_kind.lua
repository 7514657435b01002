-- ranks: 2
-- exit: 1
-- once: Recv: the message from rank 0 (tag 4) is a value, not an array; receive it with recv
if comm:rank() == 1 then comm:Recv(array.zeros(3), 0, 4) else comm:send({1, 2, 3}, 1, 4) comm:recv(1) end
