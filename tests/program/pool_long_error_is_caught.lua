-- ranks: 3
-- exit: 0
-- once: caught 100000
-- never: never waited for
-- never: never freed
local path = os.tmpname()
local fine, problem = pcall(mpi.pool, function (pool)
    -- a call of C: nothing stops it, and it takes in no messages
    pool[1]:submit(function () os.execute(("echo begun >%s; while [ -e %s ]; do sleep 0.05; done"):format(path, path)) end)
    while io.open(path):read "a" == "" do mpi.sleep(0.002) end
    error(("x"):rep(100000), 0)
end)
if comm:rank() == 0 then print("caught " .. #problem) end
os.remove(path)
