-- Who serves has nothing to tell of; who waits for a result has.
-- run: $mpirun -n 2 $luampi --watch 0.4 $file
-- exit: 0
-- once: rank 0: waiting 0.4 s in future:get at tests/program/pool_waits.lua:10
-- never: rank 1
-- stdout: done
mpi.pool(function (pool)
    mpi.sleep(0.6)
    local future = pool[1]:submit(mpi.sleep, 0.7)
    future:get()
    print "done"
end)
