-- ranks: 1 2 4
local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message = support.message
local rank, size = comm:rank(), comm:size()

-- What comm:print(...) hands to print on this rank.
local function printed(c, ...)
    local original, out = print, {}
    _G.print = function (text) table.insert(out, text) end
    local fine, problem = pcall(c.print, c, ...)
    _G.print = original
    return fine and table.concat(out, "|") or error(problem, 0)
end

TestPrint = {}

function TestPrint:test_rank_0_prints_the_lines_in_rank_order()
    local lines = {}
    for r = 0, size - 1 do lines[r + 1] = "rank\t" .. r .. "\tnil\ttrue\t1.5" end
    lu.assertEquals(printed(comm, "rank", rank, nil, true, 1.5), rank == 0 and table.concat(lines, "\n") or "")
end

function TestPrint:test_without_arguments_the_lines_are_empty()
    lu.assertEquals(printed(comm), rank == 0 and ("\n"):rep(size - 1) or "")
end

function TestPrint:test_a_line_goes_by_tostring()
    local named = setmetatable({}, {__tostring = function () return "a boat" end})
    lu.assertEquals(printed(mpi.COMM_SELF, named), "a boat")
end

function TestPrint:test_a_tostring_that_raises_raises_on_every_rank()
    local bad = setmetatable({}, {__tostring = function () error("sunk", 0) end})
    lu.assertStrContains(message(comm.print, comm, rank == size - 1 and bad or 1), size == 1 and "sunk" or ("[%d] sunk"):format(size - 1))
    lu.assertEquals(comm:allreduce(1), size)
end

function TestPrint:test_an_error_that_cannot_be_shown_raises_on_every_rank()
    local hidden = setmetatable({}, {__tostring = function () error "not to be shown" end})
    local bad = setmetatable({}, {__tostring = function () error(hidden) end})
    lu.assertStrContains(message(comm.print, comm, rank == size - 1 and bad or 1), "(error object is a table value)")
    lu.assertEquals(comm:allreduce(1), size)
end

os.exit(lu.run())
