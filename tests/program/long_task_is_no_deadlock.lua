-- Ranks that wait at the end of a map while another one computes, with Lua or asleep, are no deadlock.
-- run: $mpirun -n 3 $luampi $file
-- exit: 0
-- never: deadlock
-- stdout: done!
comm:map(function (i)
    if i == 1 then mpi.sleep(1) end
    local began = mpi.wtime()
    while i == 2 and mpi.wtime() - began < 1 do end
end, 30)
if comm:rank() == 0 then print "done!" end
