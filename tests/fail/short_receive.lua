-- ranks: 2
-- exit: 1
-- once: Recv: the message from rank 0 (tag 0) has 5000 uint8 elements, the array only 64
if comm:rank() == 0 then
    comm:Send(array.zeros(5000, "uint8"), 1)
    comm:recv(1)
else
    comm:Recv(array.zeros(64, "uint8"))
end
