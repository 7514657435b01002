-- What ranks do with the tasks of a pool: perform them, and on other ranks than 0 serve until that says stop.

local mpi = require "mpi"
local poolmap = require "mpi.poolmap"
local ranks = require "mpi.ranks"
local serve = require "mpi.serve"

-- whatever a task does to the globals
local _G, error, load, os, pairs, pcall, table, tostring, type =
    _G, error, load, os, pairs, pcall, table, tostring, type

local clock = serve.clock

-- Tags on a pool's own communicator. TASK: rank 0 to another rank, {sequence number, packed}, or {stop = true, …}.
-- RESULT: back, {sequence number, whether all went well, packed, begin, end}. NOTE: two integers.
local tags = {TASK = 1, RESULT = 2, NOTE = 3}

-- What a note says; src/share/serve.c sends EXIT and END when a rank leaves its program, and LEFT when a task that was
-- stopped leaves the pools that it is in. The others are about a sequence number.
local notes = {EXIT = 1, END = 2, CANCEL = 3, RECALL = 4, RETURNED = 5, LEFT = 6}

local TIDY = 0.05 -- seconds for a stopped task to close what it has open; one that goes on is stopped for good then

-- Doing a task ------------------------------------------------------------------------------------------------

-- What can be asked for by name instead of by a function.
local operations = poolmap.operations

-- The value that "a.b" names among the globals.
local function lookup(path)
    local value, at = _G, {}
    for name in path:gmatch "[^.]+" do
        if type(value) ~= "table" then
            error(("cannot pull %s: %s is a %s value"):format(path, table.concat(at, "."), type(value)), 0)
        end
        value, at[#at + 1] = value[name], name
    end
    return value
end

operations.get = lookup

function operations.set(values)
    for path, value in pairs(values) do
        local owner, name = path:match "^(.*)%.([^.]+)$"
        local target = owner and lookup(owner) or _G
        if type(target) ~= "table" then error(("cannot push %s: %s is a %s value"):format(path, owner, type(target)), 0) end
        target[name or path] = value
    end
end

function operations.exec(code)
    return load(code, "=exec", "t")()
end

local function outcome(began, fine, ...)
    local ended = clock()
    if fine then
        local packable, packed = pcall(mpi.pack, table.pack(...))
        if packable then return true, packed, began, ended end
        return false, mpi.pack {message = "a task's result: " .. packed}, began, ended
    end
    local description = ...
    if type(description) ~= "table" then description = {message = tostring(description)} end
    return false, mpi.pack(description), began, ended
end

local function call_packed(packed)
    local task = mpi.unpack(packed)
    local f = operations[task.f] or task.f
    return f(table.unpack(task.args, 1, task.args.n))
end

-- → whether it went well, the packed list of results or description of the error, begin, end
local function perform(packed)
    return outcome(clock(), serve.run(ranks.described, call_packed, packed))
end

-- Serving -----------------------------------------------------------------------------------------------------

-- Does what rank 0 sends until it says stop: → that message. `shift`: this rank's clock against rank 0's pool time.
-- come_back() is called after a task that was stopped, perhaps in the midst of entering or leaving a pool of its own.
local function serve_tasks(comm, shift, outer, come_back)
    local last, running, cancelled = 0, nil, false
    local ended -- how rank 0 has left the pool, if it has
    local stopped -- when the running task was
    local dropped = {}
    local problem -- of the task before: another rank may wait in vain because of it

    local function read()
        local what, about = serve.read(comm, 0)
        if what == notes.EXIT then
            serve.leave(comm)
            os.exit(0)
        elseif what == notes.END then ended = "rank 0 has ended its program"
        elseif what == notes.LEFT then ended = "rank 0 was in a task that was cancelled"
        elseif about == running then cancelled = cancelled or what == notes.CANCEL
        elseif about > last and not dropped[about] then
            dropped[about] = true
            serve.note(comm, 0, notes.RETURNED, about)
        end
    end

    -- at a tick: → what is to be raised in the task and whether until it ends, or false when there is no task; between
    -- tasks the loop below reads
    local function tick()
        while running and serve.wait(comm, "mpi.pool", 0, tags.NOTE) do read() end
        if running and (cancelled or ended) then
            local now = clock()
            local late = stopped ~= nil and now > stopped + TIDY
            if late or not stopped then
                stopped = stopped or now
                return "cancelled", late
            end
        end
        if outer then return outer() end
        if not running then return false end
    end

    serve.tick(tick)
    while true do
        if ended then
            serve.leave(comm)
            error(("mpi.pool: %s inside the pool's function"):format(ended), 0)
        end
        local _, tag = serve.wait(comm, "mpi.pool", nil, nil, problem)
        if tag == tags.NOTE then read()
        else
            local task = comm:recv(0, tags.TASK)
            while serve.wait(comm, "mpi.pool", 0, tags.NOTE) do read() end -- one may be about this task
            if task.stop then return task end
            local sequence, packed = task[1], task[2]
            last = sequence
            if dropped[sequence] then dropped[sequence] = nil
            else
                running, cancelled, stopped = sequence, false, nil
                local fine, result, began, finished = perform(packed)
                running = nil
                if stopped then
                    serve.tick(tick)
                    come_back()
                end
                problem = not fine and mpi.unpack(result).message or nil
                comm:send({sequence, fine, result, began - shift, finished - shift}, 0, tags.RESULT)
            end
        end
    end
end

return {tags = tags, notes = notes, perform = perform, serve = serve_tasks}
