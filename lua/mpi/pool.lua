-- Pools: a function on rank 0 gives work to all ranks of a communicator; the others serve until it returns.
--
-- Rank 0 keeps the books. Work for a rank is a task: a function and its arguments, packed when they are given. What is
-- submitted waits in the queue of its part and goes to whoever is free; a busy rank gets one task ahead, so that it can
-- go on at once, and that one is called back when it has waited a while and another rank has nothing to do. Rank 0
-- takes tasks while it waits for results. While tasks are open, its books are also kept from a tick between two
-- instructions of whatever it runs, so that nobody waits for it.

local mpi = require "mpi"
local handout = require "mpi.handout"
local poolmap = require "mpi.poolmap"
local ranks = require "mpi.ranks"
local serve = require "mpi.serve"
local clock, kind = serve.clock, math.type

-- Tags on a pool's own communicator. TASK: rank 0 to another rank, {sequence number, packed}, or {stop = true, …}.
-- RESULT: back, {sequence number, whether all went well, packed, begin, end}. NOTE: two integers.
local TASK, RESULT, NOTE = 1, 2, 3

-- Notes; src/share/serve.c sends the first two when a rank leaves its program. The others are about a sequence number.
local EXIT, END, CANCEL, RECALL, RETURNED = 1, 2, 3, 4, 5

local EAGER = 3900    -- bytes of a packed task that are sent at once; more may have to wait for their receiver
local BEHIND = 2e-3   -- seconds that a task waits behind another before a free rank may have it
local TIDY = 0.05     -- seconds for a stopped task to close what it has open; one that goes on is stopped at every tick then
local FAREWELL = 1    -- seconds that an error waits for tasks under way to give up

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

-- A traceback without the pool's own part.
local function trimmed(traceback)
    local from = traceback:find "\n[^\n]*\n[^\n]*mpi/pool%.lua:"
    return from and traceback:sub(1, from - 1) or traceback
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
    if description.traceback then description.traceback = trimmed(description.traceback) end
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
local function serve_tasks(comm, shift, outer)
    local last, running, cancelled, ended = 0, nil, false, false
    local stopped -- when the running task was
    local dropped = {}
    local problem -- of the task before: another rank may wait in vain because of it

    local function read()
        local what, about = serve.read(comm, 0)
        if what == EXIT then
            serve.leave(comm)
            os.exit(0)
        elseif what == END then ended = true
        elseif about == running then cancelled = cancelled or what == CANCEL
        elseif about > last and not dropped[about] then
            dropped[about] = true
            serve.note(comm, 0, RETURNED, about)
        end
    end

    -- at a tick: → what is to be raised in the task, or false when there is none; between tasks the loop below reads
    serve.tick(function ()
        while running and serve.wait(comm, "mpi.pool", 0, NOTE) do read() end
        if running and (cancelled or ended) and (not stopped or clock() > stopped + TIDY) then
            stopped = stopped or clock()
            return "cancelled"
        end
        if outer then return outer() end
        if not running then return false end
    end)

    while true do
        if ended then error("mpi.pool: rank 0 has ended its program inside the pool's function", 0) end
        local _, tag = serve.wait(comm, "mpi.pool", nil, nil, problem)
        if tag == NOTE then read()
        else
            local task = comm:recv(0, TASK)
            while serve.wait(comm, "mpi.pool", 0, NOTE) do read() end -- one may be about this task
            if task.stop then return task end
            local sequence, packed = task[1], task[2]
            last = sequence
            if dropped[sequence] then dropped[sequence] = nil
            else
                running, cancelled, stopped = sequence, false, nil
                local fine, result, began, finished = perform(packed)
                running = nil
                problem = not fine and mpi.unpack(result).message or nil
                comm:send({sequence, fine, result, began - shift, finished - shift}, 0, RESULT)
            end
        end
    end
end

local Future = {}
Future.__index = Future

local ended = {done = true, failed = true, cancelled = true}

-- Rank 0's books ----------------------------------------------------------------------------------------------

-- A tick turns the books between any two instructions, except while `turning` is set.
local Desk = {}
Desk.__index = Desk

local Part = {}     -- metatable of pools and their parts
local methods = poolmap.methods

-- The part of these ranks: one for each list of ranks, with the queue of what was submitted to it.
function Desk:part(ids)
    local key = table.concat(ids, ",")
    local part = self.parts[key]
    if not part then
        part = setmetatable({ids = ids, desk = self, queue = {first = 1, last = 0}, member = {}}, Part)
        for _, rank in ipairs(ids) do part.member[rank] = true end
        self.parts[key] = part
        table.insert(self.parts, part)
    end
    return part
end

function Desk:new_task(part, packed)
    self.tasks, self.open = self.tasks + 1, self.open + 1
    serve.start()
    return setmetatable({desk = self, part = part, packed = packed, number = self.tasks, state = "new"}, Future)
end

function Desk:enqueue(task, first)
    local queue = task.part.queue
    task.state, task.rank = "queued", nil
    if first then queue.first = queue.first - 1 else queue.last = queue.last + 1 end
    queue[first and queue.first or queue.last] = task
    self.queued = self.queued + 1
end

-- The first task in a part's queue, or nil.
local function head(queue)
    while queue.first <= queue.last do
        local task = queue[queue.first]
        if task.state == "queued" then return task end
        queue[queue.first] = nil -- cancelled, or taken before its turn
        queue.first = queue.first + 1
    end
end

-- The task a rank is to do next, or nil.
function Desk:next_task(rank)
    if self.queued == 0 then return end
    local chosen
    for _, part in ipairs(self.parts) do
        local task = part.member[rank] and head(part.queue)
        if task and (not chosen or task.number < chosen.number) then chosen = task end
    end
    return chosen
end

-- A task is no longer in its queue.
function Desk:take(task, rank)
    if task.state == "queued" then self.queued = self.queued - 1 end
    task.state, task.rank = "running", rank
end

function Desk:finish(task, state, packed, began, finished)
    if ended[task.state] then return end
    if task.state == "queued" then self.queued = self.queued - 1 end
    self.finished, self.open = self.finished + 1, self.open - 1
    task.state, task.packed, task.t0, task.t1, task.order = state, packed, began, finished, self.finished
    for _, list in ipairs(task.watchers or {}) do
        list.n = list.n + 1
        list[list.n] = task
    end
end

-- Sends a task to another rank, behind what that one has.
function Desk:ship(task, rank)
    local worker = self.workers[rank]
    self:take(task, rank)
    if worker.gone then return self:finish(task, "failed", mpi.pack {message = "the rank has left the pool"}) end
    worker.sent = worker.sent + 1
    if #worker == 0 then worker.since = clock() end
    table.insert(worker, {sequence = worker.sent, task = task})
    if #task.packed < EAGER then self.comm:send({worker.sent, task.packed}, rank, TASK)
    else table.insert(self.sends, (self.comm:isend({worker.sent, task.packed}, rank, TASK)))
    end
end

-- Hands out what waits: to ranks with nothing to do, and `ahead` tasks more.
function Desk:hand_out(ahead)
    for most = 1, 1 + ahead do
        for rank = 1, self.size - 1 do
            if self.queued == 0 then return end
            local worker = self.workers[rank]
            local task = #worker < most and not worker.gone and not worker.reserved and self:next_task(rank)
            if task then self:ship(task, rank) end
        end
    end
end

-- Calls back what has waited behind a long task when another rank could do it (`idle`: this one, too). → the seconds
-- until there may be more to call back, or nil.
function Desk:call_back(idle)
    local due
    for rank, worker in ipairs(self.workers) do
        for i = 2, #worker do
            local entry = worker[i]
            local part, free = entry.task.part, false
            for other = idle and 0 or 1, self.size - 1 do
                local own = self.workers[other]
                free = free or part.member[other] and (other == 0 or #own == 0 and not own.gone and not own.reserved)
            end
            if free and not entry.called_back and not entry.task.pinned and entry.task.state == "running" then
                local left = worker.since + BEHIND - clock()
                if left > 0 then due = math.min(due or left, left)
                else
                    entry.called_back = true
                    serve.note(self.comm, rank, RECALL, entry.sequence)
                end
            end
        end
    end
    return due
end

-- The task of a sequence number, which its rank no longer has.
local function strike(worker, sequence)
    for i, entry in ipairs(worker) do
        if entry.sequence == sequence then
            worker.since = clock()
            return table.remove(worker, i).task
        end
    end
end

function Desk:receive(rank, tag)
    local worker = self.workers[rank]
    if tag == RESULT then
        local result = self.comm:recv(rank, RESULT)
        self:finish(strike(worker, result[1]), result[2] and "done" or "failed", table.unpack(result, 3, 5))
        return
    end
    local what, about = serve.read(self.comm, rank)
    if what == RETURNED then
        local task = strike(worker, about)
        if task.state == "running" then self:enqueue(task, true) end
    else -- EXIT or END
        worker.gone, self.left = true, true
        while #worker > 0 do
            self:finish(table.remove(worker).task, "failed", mpi.pack {message = "the rank has left the pool: os.exit in a task"})
        end
    end
end

-- Takes what has come and hands out what waits, unless `ready` says that this will do. With `choose` this rank is idle:
-- choose() may give the task that it does next. → that task, or nil and as call_back
function Desk:turn(ready, choose)
    local own, due
    repeat
        local rank, tag = serve.wait(self.comm, "mpi.pool", 0)
        if rank then self:receive(rank, tag) end
    until not rank
    for i = #self.sends, 1, -1 do
        if self.sends[i]:test() then table.remove(self.sends, i) end
    end
    self:hand_out(0)
    if choose and not (ready and ready()) then
        own = choose()
        if own then self:take(own, 0) end
    end
    self:hand_out(1)
    if not own then due = self:call_back(choose) end
    return own, due
end

function Desk:do_here(task)
    self:take(task, 0)
    self.depth = self.depth + 1
    local fine, packed, began, finished = perform(task.packed)
    self.depth = self.depth - 1
    self.problem = not fine and mpi.unpack(packed).message or nil -- another rank may wait in vain because of it
    self.turning = true
    self:finish(task, fine and "done" or "failed", packed, began - self.began, finished - self.began)
    self.turning = false
end

-- Goes on until ready(), at most for `timeout` seconds: → whether it is. choose() is the task to do here, if any.
function Desk:attend(call, ready, choose, timeout)
    local limit = timeout and clock() + timeout
    while true do
        self.turning = true
        local own, due = self:turn(ready, choose)
        if not own and not ready() then
            local left = limit and limit - clock()
            if left and left <= 0 then
                self.turning = false
                return false
            end
            serve.wait(self.comm, call, left and due and math.min(left, due) or left or due, nil, self.problem)
        end
        self.turning = false
        if own then self:do_here(own)
        elseif ready() then return true
        end
    end
end

-- Puts a task into the part's queue; in the end it gets into the list `completed`, if there is one.
function Desk:submit(part, packed, completed)
    self.turning = true
    local task = self:new_task(part, packed)
    task.watchers = completed and {completed}
    self:enqueue(task)
    self:turn()
    self.turning = false
    return task
end

-- Gives every rank of the part a task, the same or (list of packed ones) each its own: → list of tasks, and which of them
-- this rank is to do.
function Desk:give(part, packed)
    local tasks, own = {}, nil
    self.turning = true
    for i, rank in ipairs(part.ids) do
        local task = self:new_task(part, type(packed) == "table" and packed[i] or packed)
        tasks[i], task.pinned = task, true
        if rank == 0 then own = task else self:ship(task, rank) end
    end
    self.turning = false
    return tasks, own
end

function Desk:attend_all(call, tasks)
    local first = 1 -- that has not ended
    self:attend(call, function ()
        while tasks[first] and ended[tasks[first].state] do first = first + 1 end
        return not tasks[first]
    end)
end

-- Has every rank of the part do a task at once, given as above: → list of what they return first.
function Desk:on_each(part, packed)
    local tasks, own = self:give(part, packed)
    if own then self:do_here(own) end
    self:attend_all("pool:call", tasks)
    local results, errors = {n = #tasks}, {}
    for i, task in ipairs(tasks) do
        local content = mpi.unpack(task.packed)
        if task.state == "done" then results[i] = content[1]
        else
            content.rank = part.ids[i]
            table.insert(errors, content)
        end
    end
    if #errors > 0 then error(ranks.failure(errors), 0) end
    return results
end

-- Keeps submitted tasks away from the ranks of the part, and waits until they have none.
function Desk:reserve(part, on)
    for _, rank in ipairs(part.ids) do
        if rank > 0 then self.workers[rank].reserved = on end
    end
    if not on then return end
    self:attend("pool:map", function ()
        for _, rank in ipairs(part.ids) do
            if rank > 0 and #self.workers[rank] > 0 then return false end
        end
        return true
    end)
end

-- What this rank does while it waits for a future: that one when it can, else the next one; when the time is limited,
-- only what no other rank can do.
function Desk:chooser(future, timeout)
    return function ()
        local wanted = future.state == "queued" and future.part.member[0] and future
        if timeout then return wanted and #future.part.ids == 1 and wanted or nil end
        return wanted or self:next_task(0)
    end
end

-- → whether it was open
function Desk:cancel(task)
    self.turning = true
    self:turn()
    local open = not ended[task.state]
    for rank, worker in ipairs(self.workers) do
        for _, entry in ipairs(worker) do
            if entry.task == task then serve.note(self.comm, rank, CANCEL, entry.sequence) end
        end
    end
    self:finish(task, "cancelled")
    self.turning = false
    return open
end

-- Raises what keeps a call from being made; with `part` those by which all of its ranks do something at once.
function Desk:check_use(call, level, part)
    for _, rank in ipairs(part and part.ids or {}) do
        if rank > 0 and self.workers[rank].reserved then error(("%s: an imap has not ended on rank %d"):format(call, rank), level + 1) end
    end
    if self.depth > 0 then error(call .. ": a task cannot use its pool", level + 1) end
    if self.closed then error(call .. ": the pool has ended", level + 1) end
end

-- The end of the function, by `problem` or without: what is open is cancelled, the other ranks are let go.
function Desk:close(problem, before)
    serve.tick(self.outer)
    if self.loop then getmetatable(self.loop).__close(self.loop, "the pool's function ended") end
    self.closed, self.turning = true, true
    for _, part in ipairs(self.parts) do
        for i = part.queue.first, part.queue.last do
            if part.queue[i] then self:finish(part.queue[i], "cancelled") end
        end
    end
    local function drained()
        for _, worker in ipairs(self.workers) do
            if #worker > 0 then return false end
        end
        return true
    end
    for rank, worker in ipairs(self.workers) do
        for _, entry in ipairs(worker) do
            self:finish(entry.task, "cancelled")
            serve.note(self.comm, rank, CANCEL, entry.sequence)
        end
    end
    local limit = problem ~= nil and clock() + FAREWELL
    while not drained() and not (limit and clock() > limit) do
        local rank, tag = serve.wait(self.comm, "the end of mpi.pool", limit and math.max(0, limit - clock()) or nil)
        if rank then self:receive(rank, tag) end
    end
    local tidy = drained() and not self.left
    if tidy then mpi.waitall(self.sends) end
    local stop = {stop = true, tidy = tidy, failed = problem ~= nil}
    if stop.failed then
        local packable, packed = pcall(mpi.pack, problem)
        stop.problem = packable and packed or mpi.pack(select(2, xpcall(error, ranks.described, problem, 0)).message)
    end
    for rank, worker in ipairs(self.workers) do
        if not worker.gone then self.comm:isend(stop, rank, TASK):wait() end
    end
    serve.leave(self.comm)
    poolmap.leave(before, tidy)
    if tidy then self.comm:free() end
end

-- Futures -----------------------------------------------------------------------------------------------------

function Future:__tostring()
    return ("mpi.future (%s%s)"):format(self.state, self.rank and (" on rank %d"):format(self.rank) or "")
end

-- Whether the task has ended, within the time.
local function await(future, call, timeout)
    if timeout ~= nil and not (type(timeout) == "number" and timeout >= 0) then
        error(("bad argument #1 to '%s' (seconds expected, got %s)"):format(call:match "%a+$", tostring(timeout)), 3)
    end
    if ended[future.state] then return true end
    local desk = future.desk
    desk:check_use(call, 3)
    return desk:attend(call, function () return ended[future.state] end, desk:chooser(future, timeout), timeout)
end

function Future:get(timeout)
    if not await(self, "future:get", timeout) then error("timeout", 0) end
    if self.state == "cancelled" then error("cancelled", 0) end
    if self.packed then
        self.content, self.packed = mpi.unpack(self.packed), nil
        if self.state == "failed" then
            self.content.rank = self.rank
            self.content = ranks.failure {self.content}
        end
    end
    if self.state == "failed" then error(self.content, 0) end
    return table.unpack(self.content, 1, self.content.n)
end

function Future:wait(timeout) return await(self, "future:wait", timeout) end

function Future:done() return await(self, "future:done", 0) end

function Future:cancel()
    if ended[self.state] then return false end
    self.desk:check_use("future:cancel", 2)
    return self.desk:cancel(self)
end

-- An iterator of the futures in the list, in the order in which they end.
local function as_completed(futures)
    local desk
    if type(futures) ~= "table" then
        error(("bad argument #1 to 'as_completed' (list of futures expected, got %s)"):format(type(futures)), 2)
    end
    local list, n = {n = 0}, futures.n or #futures
    for i = 1, n do
        local future = futures[i]
        if getmetatable(future) ~= Future then
            error(("bad argument #1 to 'as_completed' (entry %d is a %s, no future)"):format(i, type(future)), 2)
        end
        desk = desk or future.desk
        if future.desk ~= desk then error("bad argument #1 to 'as_completed' (the futures are of different pools)", 2) end
    end
    if desk then desk.turning = true end
    for i = 1, n do
        local future = futures[i]
        if ended[future.state] then
            list.n = list.n + 1
            list[list.n] = future
        else
            future.watchers = future.watchers or {}
            table.insert(future.watchers, list)
        end
    end
    table.sort(list, function (a, b) return a.order < b.order end)
    if desk then desk.turning = false end
    local i = 0
    return function ()
        i = i + 1
        if i > n then return end
        if not list[i] then
            desk:check_use("mpi.as_completed", 2)
            desk:attend("mpi.as_completed", function () return list[i] end, function () return desk:next_task(0) end)
        end
        return list[i]
    end
end

-- Pools and parts ---------------------------------------------------------------------------------------------

function Part:__index(key)
    if kind(key) == "integer" then return self {key} end
    return methods[key]
end

-- part{0, 2}
function Part:__call(ids)
    if type(ids) ~= "table" or #ids == 0 then error("a list of ranks is expected, such as pool{0, 2}", 2) end
    local copy, seen = {}, {}
    for i, rank in ipairs(ids) do
        if not self.member[rank] then
            error(("%s is not a rank of this pool, which has %s"):format(tostring(rank), ranks.text(self.ids)), 2)
        elseif seen[rank] then error(("rank %d is listed twice"):format(rank), 2)
        end
        copy[i], seen[rank] = math.tointeger(rank), true
    end
    return self.desk:part(copy)
end

function Part:__tostring() return ("mpi.pool (%s)"):format(ranks.text(self.ids)) end

Part.__name = "mpi.pool"

function methods:size() return #self.ids end

-- A function or the name of an operation with its arguments, as a task's packed content. What cannot be sent raises.
local function pack(level, f, ...)
    local packable, packed = pcall(mpi.pack, {f = f, args = table.pack(...)})
    if not packable then error(packed, level + 1) end
    return packed
end

local function check(part, call, f, expected)
    part.desk:check_use("pool:" .. call, 3, call ~= "submit" and part)
    if type(f) ~= expected then error(("bad argument #1 to '%s' (%s expected, got %s)"):format(call, expected, type(f)), 3) end
end

function methods:submit(f, ...)
    check(self, "submit", f, "function")
    return self.desk:submit(self, pack(2, f, ...))
end

-- → list of what the ranks return first
local function on_each(part, packed) return part.desk:on_each(part, packed) end

function methods:call(f, ...)
    check(self, "call", f, "function")
    return on_each(self, pack(2, f, ...))
end

function methods:exec(code)
    check(self, "exec", code, "string")
    local fine, message = load(code, "=exec", "t")
    if not fine then error(message, 2) end
    return on_each(self, pack(2, "exec", code))
end

function methods:push(values)
    check(self, "push", values, "table")
    for name in pairs(values) do
        if type(name) ~= "string" then error(("bad argument #1 to 'push' (names expected, got a %s)"):format(type(name)), 2) end
    end
    on_each(self, pack(2, "set", values))
end

function methods:pull(name)
    check(self, "pull", name, "string")
    return on_each(self, pack(2, "get", name))
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
        error(("bad argument #2 to 'scatter' (list or array expected, got %s)"):format(type(items)), 2)
    end
    local n, size, packed, last = type(items) == "table" and items.n or #items, #self.ids, {}, 0
    for i = 1, size do
        local first = last + 1
        last = last + n // size + (i <= n % size and 1 or 0)
        packed[i] = pack(2, "set", {[name] = slice(items, first, last)})
    end
    on_each(self, packed)
end

-- The blocks of all ranks in one, as scatter made them.
function methods:gather(name)
    check(self, "gather", name, "string")
    local blocks = on_each(self, pack(2, "get", name))
    local arrays, all = 0, {}
    for i = 1, blocks.n do
        local block = blocks[i]
        if is_array(block) then arrays = arrays + 1
        elseif type(block) ~= "table" or arrays > 0 then
            error(("gather: %s is a %s on rank %d, not %s"):format(name, is_array(block) and "array" or type(block),
                self.ids[i], i == 1 and "a list or an array" or arrays > 0 and "an array" or "a list"), 2)
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
                for _ = 1, 8 do comm:send(clock(), 0, (comm:recv(0))) end
                return (comm:recv(0))
            elseif rank == 0 then
                local best, shift = math.huge, 0
                for _ = 1, 8 do
                    local asked = clock()
                    comm:send(TASK, other)
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
    local desk = setmetatable({
        comm = comm, size = comm:size(), outer = outer, began = clock(),
        parts = {}, workers = {}, sends = {},
        tasks = 0, open = 0, queued = 0, finished = 0, depth = 0,
    }, Desk)
    local ids = {}
    for rank = 0, desk.size - 1 do
        ids[rank + 1] = rank
        if rank > 0 then desk.workers[rank] = {sent = 0} end
    end
    serve.tick(function ()
        if not desk.turning then
            desk.turning = true
            desk:turn()
            desk.turning = false
        end
        if outer then return outer() end
        if desk.open == 0 then return false end
    end)
    local before, inner = leading, poolmap.enter(comm)
    local guard <close> = setmetatable({}, {__close = function (_, problem)
        leading = before
        desk:close(problem, inner)
    end})
    leading = desk
    return f(desk:part(ids))
end

local function follow(comm, shift, outer)
    local before, stop = poolmap.enter(comm), nil
    do
        local guard <close> = setmetatable({}, {__close = function ()
            serve.tick(outer)
            serve.leave(comm)
            if not stop then poolmap.leave(before) end
        end})
        stop = serve_tasks(comm, shift, outer)
    end
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
    if type(f) ~= "function" then error(("bad argument #1 to 'pool' (function expected, got %s)"):format(type(f)), 2) end
    if type(comm) ~= "userdata" or not pcall(comm.rank, comm) then
        error(("bad argument #2 to 'pool' (mpi.comm expected, got %s)"):format(type(comm)), 2)
    end
    if leading and leading.depth == 0 and comm:size() > 1 and comm:compare(leading.comm) ~= "unequal" then
        error("mpi.pool in the function of a pool: the other ranks serve that one; a pool of mpi.COMM_SELF may be used here", 2)
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

mpi.pool, mpi.as_completed = pool, as_completed

return {run_script = run_script}
