-- A pool's calls, as rank 0 sees them: pool.lua submit|call.
comm = mpi.COMM_SELF -- for measure: only rank 0 measures
local work = require "measure"

mpi.pool(function (pool)
    local function empty() end
    if arg[1] == "submit" then work("submit + get of an empty task", "a:submit(b):get()", pool, empty)
    else work("an empty function on 4 ranks", "a:call(b)", pool, empty)
    end
end)
