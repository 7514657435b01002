-- What several suites share: dofile "tests/support.lua".
local support = {}

support.dtypes = {"float64", "float32", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}

-- Calls f on a communicator of every kind: world, self, a duplicate, a half of the ranks.
function support.everywhere(f)
    local dup <close> = comm:dup()
    local half <close> = comm:split(comm:rank() % 2)
    for _, c in ipairs {comm, mpi.COMM_SELF, dup, half} do f(c) end
end

-- What f(...) raises.
function support.raised(f, ...)
    local fine, problem = pcall(f, ...)
    assert(not fine, "no error was raised")
    return problem
end

-- The message f(...) raises, without the place.
function support.message(f, ...) return (tostring(support.raised(f, ...)):gsub("^[^ ]+:%d+: ", "")) end

-- f(...) raises, and its message, with the place, has these words in it: a text or a list of some.
function support.fails(words, f, ...)
    local message = support.raised(f, ...)
    for _, word in ipairs(type(words) == "table" and words or {words}) do
        assert(message:find(word, 1, true), ("%q is not in: %s"):format(word, message))
    end
end

-- Runs f(pool) on rank 0, which alone raises what fails there.
function support.pooled(f)
    local problem
    mpi.pool(function (pool)
        local fine, raised = pcall(f, pool)
        if not fine then problem = raised end
    end)
    if problem then error(problem, 0) end
end

-- The neighbours of a rank in a ring.
function support.ring(c) return (c:rank() + 1) % c:size(), (c:rank() - 1) % c:size() end

-- A generator of the numbers to n.
function support.numbers(n)
    local k = 0
    return function ()
        if k < n then
            k = k + 1
            return k
        end
    end
end

-- The command of a Python that has NumPy, the system's before others; nil when there is none.
function support.python()
    for _, python in ipairs {"/usr/bin/python3", "python3"} do
        if os.execute(python .. " -c 'import numpy' 2>/dev/null") then return python end
    end
end

return support
