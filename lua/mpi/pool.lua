-- Pools: a function on rank 0 gives work to all ranks of a communicator; the others serve until it returns. Here is what
-- scripts see; mpi.pooldesk has the books of rank 0, mpi.pooltask what ranks do with tasks, mpi.poolmap the maps.

local mpi = require "mpi"
local handout = require "mpi.handout"
local has_no = require "mpi.missing".complain
local pooldesk = require "mpi.pooldesk"
local poolmap = require "mpi.poolmap"
local pooltask = require "mpi.pooltask"
local ranks = require "mpi.ranks"
local serve = require "mpi.serve"
local trace = require "mpi.trace"

-- whatever a task does to the globals
local _G, coroutine, error, ipairs, load, math, pairs, pcall, select, setmetatable, table, tostring, type =
    _G, coroutine, error, ipairs, load, math, pairs, pcall, select, setmetatable, table, tostring, type

local complain = trace.complain
local clock, kind = serve.clock, math.type

-- Pools and parts ---------------------------------------------------------------------------------------------

local Part, methods = {}, poolmap.methods

function Part:__index(key)
    if kind(key) == "integer" then return self {key} end
    return methods[key] or has_no("a pool", key, methods)
end

-- part{0, 2}
function Part:__call(ids)
    if type(ids) ~= "table" or #ids == 0 then complain("a list of ranks is expected, such as pool{0, 2}") end
    local copy, seen = {}, {}
    for i, rank in ipairs(ids) do
        if not self.member[rank] then
            complain(("%s is not a rank of this pool, which has %s"):format(tostring(rank), ranks.text(self.list)))
        elseif seen[rank] then complain(("rank %d is listed twice"):format(rank))
        end
        copy[i], seen[rank] = math.tointeger(rank), true
    end
    return self.desk:part(copy)
end

function Part:__tostring() return ("mpi.pool (%s)"):format(ranks.text(self.list)) end

Part.__name = "mpi.pool"

function methods:size()
    if not poolmap.is_part(self) then trace.complain_of_dot("pool", "mpi.pool", "size", self) end
    return #self.list
end

-- A function or the name of an operation with its arguments, as a task's packed content. What cannot be sent raises.
local function pack(f, ...)
    local task = {f = f, args = table.pack(...)}
    local packable, packed = pcall(mpi.pack, task)
    if not packable then complain(poolmap.refusal(packed, task)) end
    return packed
end

local function check(part, call, f, expected)
    if not poolmap.is_part(part) then trace.complain_of_dot("pool", "mpi.pool", call, part) end
    part.desk:check_use("pool:" .. call, call ~= "submit" and part)
    if type(f) ~= expected then complain(("bad argument #1 to '%s' (%s expected, got %s)"):format(call, expected, type(f))) end
end

function methods:submit(f, ...)
    check(self, "submit", f, "function")
    return self.desk:submit(self, pack(f, ...))
end

-- → list of what the ranks return first
local function on_each(part, packed) return part.desk:on_each(part, packed) end

function methods:call(f, ...)
    check(self, "call", f, "function")
    return on_each(self, pack(f, ...))
end

function methods:exec(code)
    check(self, "exec", code, "string")
    local fine, message = load(code, "=exec", "t")
    if not fine then complain(message) end
    return on_each(self, pack("exec", code))
end

function methods:push(values)
    check(self, "push", values, "table")
    for name in pairs(values) do
        if type(name) ~= "string" then complain(("bad argument #1 to 'push' (names expected, got a %s)"):format(type(name))) end
    end
    on_each(self, pack("set", values))
end

function methods:pull(name)
    check(self, "pull", name, "string")
    return on_each(self, pack("get", name))
end

local is_array = handout.is_array

-- The items of a list or array from `first` to `last`.
local function slice(items, first, last)
    if is_array(items) then return items:slice({first, last}) end
    return table.move(items, first, last, 1, {})
end

-- Sets a global of each rank to its block; the first blocks have one item more when the number does not come out even.
function methods:scatter(name, items)
    check(self, "scatter", name, "string")
    if type(items) ~= "table" and not is_array(items) then
        complain(("bad argument #2 to 'scatter' (list or array expected, got %s)"):format(type(items)))
    end
    local n, size, packed, last = type(items) == "table" and items.n or #items, #self.list, {}, 0
    for i = 1, size do
        local first = last + 1
        last = last + n // size + (i <= n % size and 1 or 0)
        packed[i] = pack("set", {[name] = slice(items, first, last)})
    end
    on_each(self, packed)
end

-- The blocks of all ranks in one, as scatter made them.
function methods:gather(name)
    check(self, "gather", name, "string")
    local blocks = on_each(self, pack("get", name))
    local arrays, all = 0, {}
    for i = 1, blocks.n do
        local block = blocks[i]
        if is_array(block) then arrays = arrays + 1
        elseif type(block) ~= "table" or arrays > 0 then
            complain(("gather: %s is a %s on rank %d, not %s"):format(name, is_array(block) and "array" or type(block),
                self.list[i], i == 1 and "a list or an array" or arrays > 0 and "an array" or "a list"))
        end
    end
    if arrays == blocks.n then return mpi.array.concat(blocks) end
    for i = 1, blocks.n do table.move(blocks[i], 1, #blocks[i], #all + 1, all) end
    return all
end

-- The beginning and the end --------------------------------------------------------------------------------------

local leading -- the desk of the innermost pool whose function runs on this rank

-- How far this rank's clock is ahead of rank 0's: the middle of the fastest of some questions and answers. Collective.
local function clock_shift(comm)
    local rank, size = comm:rank(), comm:size()
    local node = mpi.processor_name()
    local nodes = comm:allgather(node)
    for other = 1, size - 1 do
        if nodes[other + 1] ~= nodes[1] then
            if rank == other then
                for _ = 1, 8 do
                    comm:recv(0)
                    comm:send(clock(), 0)
                end
                return (comm:recv(0))
            elseif rank == 0 then
                local best, shift = math.huge, 0
                for _ = 1, 8 do
                    local asked = clock()
                    comm:send(0, other)
                    local there = comm:recv(other)
                    local answered = clock()
                    if answered - asked < best then best, shift = answered - asked, there - (asked + answered) / 2 end
                end
                comm:send(shift, other)
            end
        end
    end
    return 0
end

local function lead(comm, f, outer)
    local desk, ids = pooldesk.new(comm, Part, outer), {}
    for rank = 0, comm:size() - 1 do ids[rank + 1] = rank end
    local before, inner = leading, poolmap.enter(comm)
    local returned = false
    local guard <close> = setmetatable({}, {__close = function (_, problem)
        leading = before
        -- also nil may have been raised, while a coroutine that is closed has not failed
        desk:close(problem ~= nil or not returned and select(2, coroutine.running()), problem, inner)
    end})
    leading = desk
    local function pass(...)
        returned = true
        return ...
    end
    return pass(f(desk:part(ids)))
end

local function follow(comm, shift, outer)
    local before, own = poolmap.enter(comm)
    local leader, stop = leading, nil
    local function come_back()
        leading = leader
        poolmap.leave(own)
    end
    do
        local guard <close> = setmetatable({}, {__close = function ()
            serve.tick(outer)
            if not stop then poolmap.leave(before) end -- rank 0 will be told
        end})
        stop = pooltask.serve(comm, shift, outer, come_back)
    end
    serve.leave(comm)
    poolmap.leave(before, stop.tidy)
    if stop.tidy then comm:free() end
    if stop.failed then
        mpi.sleep(0.02) -- so that rank 0, whose stack shows where, is the first to tell of an error that nobody catches
        error(mpi.unpack(stop.problem), 0)
    end
end

-- Runs f(pool) on rank 0 of the communicator while the others serve, and returns what f does there. Collective.
local function pool(f, comm)
    comm = comm or mpi.COMM_WORLD
    if type(f) ~= "function" then complain(("bad argument #1 to 'pool' (function expected, got %s)"):format(type(f))) end
    if type(comm) ~= "userdata" or not pcall(comm.rank, comm) then
        complain(("bad argument #2 to 'pool' (mpi.comm expected, got %s)"):format(type(comm)))
    end
    if leading and leading.depth == 0 and comm:size() > 1 and comm:compare(leading.comm) ~= "unequal" then
        complain("mpi.pool in the function of a pool: the other ranks serve that one; a pool of mpi.COMM_SELF may be used here")
    end
    local own = comm:dup()
    local shift = clock_shift(own)
    local outer = serve.enter(own)
    if own:rank() == 0 then
        own:bcast(clock())
        return lead(own, f, outer)
    end
    follow(own, shift + own:bcast(), outer)
end

-- For luampi -m: the script runs on rank 0 with a global `pool`.
local function run_script(script, ...)
    local arguments = table.pack(...)
    pool(function (all)
        _G.pool = all
        script(table.unpack(arguments, 1, arguments.n))
    end)
end

mpi.pool, mpi.as_completed = pool, pooldesk.as_completed

return {run_script = run_script}
