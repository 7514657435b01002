-- ranks: 1 4
-- exit: 0
-- within: 6
-- stdout: leaving
-- never: after
-- never: deadlock
-- never: never freed
mpi.pool(function (pool)
    pool:submit(function () mpi.sleep(1000) end)
    print "leaving"
    os.exit(0)
end)
print "after"
