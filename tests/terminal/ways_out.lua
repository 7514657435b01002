-- run: lua5.4 $file
-- exit: 0
-- within: 60
-- The terminal is as it was after every way out.
local screen = dofile "tests/screen.lua"

local luampi = os.getenv("luampi")
local four = os.getenv("mpirun") .. " -n 4 " .. luampi

screen(function (s)
    local before = s:settings()

    local function leaves(command, line, code)
        s:clear()
        s:type(command .. "; echo left with $?\n")
        s:expect(" on ")
        s:type(line .. "\n")
        s:expect("left with " .. code)
        assert(s:settings() == before, "other settings after " .. line)
    end

    leaves(four, ":quit", 0)
    leaves(four, "os.exit(3)", 3)
    leaves(four, "@2 os.exit(4)", 4)
    leaves(four, "@1 mpi.abort(5)", 5)
    leaves(four, "mpi.abort(6)", 6)
    leaves(four, "@1 os.execute('kill -KILL ' .. mpi.getpid())", 137)
    leaves(four, "@0 os.execute('kill -KILL ' .. mpi.getpid())", 137)
    leaves(four, "@3 os.execute('kill -ABRT ' .. mpi.getpid())", 134)
    leaves(luampi, "os.exit(7)", 7)
    leaves(luampi, "print('last words') os.exit(0)", 0)
    s:expect("last words", 2)
    leaves(luampi, "os.execute('kill -KILL ' .. mpi.getpid())", 137)
end)
