-- run: $mpirun -n 2 $luampi --watch 0.5 $file
-- exit: 0
-- once: rank 0: waiting 0.5 s in comm:recv(source=1, tag=11) at tests/fail/watch.lua:5
-- once: rank 0: waiting 1 s in comm:recv(source=1, tag=11) at tests/fail/watch.lua:5
if comm:rank() == 0 then comm:recv(1, 11) else
    local t = mpi.wtime()
    repeat until mpi.wtime() > t + 1.6
    comm:send(1, 0, 11)
end
