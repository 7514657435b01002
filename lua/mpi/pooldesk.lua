-- A pool's books, which rank 0 keeps, and the futures it gives.
--
-- Work for a rank is a task: a function and its arguments, packed when they are given. What is submitted waits in the queue
-- of its part and goes to whoever is free; a busy rank gets one task ahead, so that it can go on at once, and that one is
-- called back when it has waited a while and another rank has nothing to do. Rank 0 takes tasks while it waits for results.
-- While tasks are open, the books are also kept from a tick between two instructions of whatever rank 0 runs, so that
-- nobody waits for it.

local mpi = require "mpi"
local poolmap = require "mpi.poolmap"
local pooltask = require "mpi.pooltask"
local ranks = require "mpi.ranks"
local serve = require "mpi.serve"
local trace = require "mpi.trace"

-- whatever a task does to the globals
local error, getmetatable, ipairs, math, pairs, pcall, select, setmetatable, table, tostring, type, xpcall =
    error, getmetatable, ipairs, math, pairs, pcall, select, setmetatable, table, tostring, type, xpcall

local complain = trace.complain
local clock, notes, tags = serve.clock, pooltask.notes, pooltask.tags

local EAGER = 3900    -- bytes of a packed task that are sent at once; more may have to wait for their receiver
local BEHIND = 2e-3   -- seconds that a task waits behind another before a free rank may have it
local FAREWELL = 1    -- seconds that an error waits for tasks under way to give up

local Future = {__name = "mpi.future"}
Future.__index = Future

local ended = {done = true, failed = true, cancelled = true}

-- Rank 0's books ----------------------------------------------------------------------------------------------

-- A tick turns the books between any two instructions, except while `turning` is set: who sets it has a variable to be
-- closed with `books`, which takes it back. A finalizer or a hook may come meanwhile; what it submits and cancels waits in
-- `later`, for the next turn.
local Desk = {}
Desk.__index = Desk

-- The part of these ranks: one for each list of ranks, with the queue of what was submitted to it.
function Desk:part(ids)
    local key = table.concat(ids, ",")
    local part = self.parts[key]
    if not part then
        part = setmetatable({ids = ids, list = {}, desk = self, queue = {first = 1, last = 0}, member = {}}, self.Part)
        for i, rank in ipairs(ids) do part.list[i], part.member[rank] = rank, true end -- ids is for the script
        self.parts[key] = part
        table.insert(self.parts, part)
    end
    return part
end

function Desk:new_task(part, packed)
    return setmetatable({desk = self, part = part, packed = packed, state = "new"}, Future)
end

function Desk:enter(task)
    self.tasks, self.open = self.tasks + 1, self.open + 1
    task.number = self.tasks
    serve.start() -- a tick that finds nothing to do is the last one
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
    if worker.gone then return self:finish(task, "failed", worker.gone) end
    worker.sent = worker.sent + 1
    if #worker == 0 then worker.since = clock() end
    table.insert(worker, {sequence = worker.sent, task = task})
    if #task.packed < EAGER then self.comm:send({worker.sent, task.packed}, rank, tags.TASK)
    else table.insert(self.sends, (self.comm:isend({worker.sent, task.packed}, rank, tags.TASK)))
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
                    serve.note(self.comm, rank, notes.RECALL, entry.sequence)
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
    if tag == tags.RESULT then
        local result = self.comm:recv(rank, tags.RESULT)
        self:finish(strike(worker, result[1]), result[2] and "done" or "failed", table.unpack(result, 3, 5))
        return
    end
    local what, about = serve.read(self.comm, rank)
    if what == notes.RETURNED then
        local task = strike(worker, about)
        if task.state == "running" then self:enqueue(task, true) end
    else -- notes.EXIT, notes.END or notes.LEFT
        local why = what == notes.LEFT and "its task was cancelled" or "os.exit in a task"
        worker.gone, self.left = mpi.pack {message = "the rank has left the pool: " .. why}, true
        while #worker > 0 do self:finish(table.remove(worker).task, "failed", worker.gone) end
    end
end

-- What waits for ranks that have all left the pool has failed.
function Desk:fail_deserted()
    for _, part in ipairs(self.parts) do
        local gone
        for _, rank in ipairs(part.list) do
            gone = rank > 0 and self.workers[rank].gone
            if not gone then break end
        end
        local task = gone and head(part.queue)
        while task do
            task.rank = part.list[1]
            self:finish(task, "failed", gone)
            task = head(part.queue)
        end
    end
end

-- Takes in what was submitted and cancelled.
function Desk:take_in()
    local later = self.later
    while later[1] do
        local task = table.remove(later, 1)
        if task.state == "new" then
            self:enter(task)
            self:enqueue(task)
        end
        if task.unwanted and not ended[task.state] then
            for rank, worker in ipairs(self.workers) do
                for _, entry in ipairs(worker) do
                    if entry.task == task then serve.note(self.comm, rank, notes.CANCEL, entry.sequence) end
                end
            end
            self:finish(task, "cancelled")
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
    self:take_in()
    if self.left then self:fail_deserted() end
    self:hand_out(0)
    if choose and not (ready and ready()) then
        own = choose()
        if own then self:take(own, 0) end
    end
    self:hand_out(1)
    if not own then due = self:call_back(choose) end
    return own, due
end

-- A turn, unless one is under way.
function Desk:look()
    if self.turning then return end
    local books <close> = self.books
    self.turning = true
    self:turn()
end

-- The end of a task of this rank's.
function Desk:finish_here(task, ...)
    local books <close> = self.books
    self.turning = true
    self:finish(task, ...)
end

function Desk:do_here(task)
    self:take(task, 0)
    self.depth = self.depth + 1
    local fine, packed, began, finished = pooltask.perform(task.packed)
    self.depth = self.depth - 1
    self.problem = not fine and mpi.unpack(packed).message or nil -- another rank may wait in vain because of it
    self:finish_here(task, fine and "done" or "failed", packed, began - self.began, finished - self.began)
end

-- A turn, and when it brings nothing a wait for a message: → as turn, and whether the time is over
function Desk:turn_or_wait(call, ready, choose, limit)
    local books <close> = self.books
    self.turning = true
    local own, due = self:turn(ready, choose)
    if own or ready() or self.later[1] then return own, false end
    local left = limit and limit - clock()
    if left and left <= 0 then return nil, true end
    serve.wait(self.comm, call, left and due and math.min(left, due) or left or due, nil, self.problem)
    return nil, false
end

-- Goes on until ready(), at most for `timeout` seconds: → whether it is. choose() is the task to do here, if any.
function Desk:attend(call, ready, choose, timeout)
    if timeout == 0 and self.turning then return ready() end
    self:check_wait(call)
    local limit = timeout and clock() + timeout
    while true do
        local own, over = self:turn_or_wait(call, ready, choose, limit)
        if own then self:do_here(own)
        elseif ready() then return true
        elseif over then return false
        end
    end
end

-- Puts a task into the part's queue; in the end it gets into the list `completed`, if there is one.
function Desk:submit(part, packed, completed)
    local task = self:new_task(part, packed)
    task.watchers = completed and {completed}
    table.insert(self.later, task)
    serve.start()
    self:look()
    return task
end

-- Gives every rank of the part a task, the same or (list of packed ones) each its own: → list of tasks, and which of them
-- this rank is to do.
function Desk:give(part, packed)
    local tasks, own = {}, nil
    local books <close> = self.books
    self.turning = true
    for i, rank in ipairs(part.list) do
        local task = self:new_task(part, type(packed) == "table" and packed[i] or packed)
        tasks[i], task.pinned = task, true
        self:enter(task)
        if rank == 0 then own = task else self:ship(task, rank) end
    end
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
            content.rank = part.list[i]
            table.insert(errors, content)
        end
    end
    if #errors > 0 then error(ranks.failure(errors), 0) end
    return results
end

-- Keeps submitted tasks away from the ranks of the part, and waits until they have none.
function Desk:reserve(part, on)
    for _, rank in ipairs(part.list) do
        if rank > 0 then self.workers[rank].reserved = on end
    end
    if not on then return end
    self:attend("pool:map", function ()
        for _, rank in ipairs(part.list) do
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
        if timeout then return wanted and #future.part.list == 1 and wanted or nil end
        return wanted or self:next_task(0)
    end
end

-- → whether it was open
function Desk:cancel(task)
    task.unwanted = true
    table.insert(self.later, task)
    self:look()
    return task.state == "cancelled" or not ended[task.state]
end

-- Raises in a finalizer or hook that came in the midst of a turn.
function Desk:check_wait(call)
    if self.turning then complain(call .. ": the pool is at work, and a finalizer or hook cannot wait for it") end
end

-- Raises what keeps a call from being made; with `part` those by which all of its ranks do something at once.
function Desk:check_use(call, part)
    if self.depth > 0 then complain(call .. ": a task cannot use its pool") end
    if self.closed then complain(call .. ": the pool has ended") end
    for _, rank in ipairs(part and part.list or {}) do
        local held = self.loop
        if rank > 0 then held = self.workers[rank].reserved end
        if held then complain(("%s: an imap has not ended on rank %d"):format(call, rank)) end
    end
    if part then self:check_wait(call) end
end

-- Raises when none of the tasks that have not ended can be done before the loop of an imap has.
function Desk:check_reserved(call, tasks)
    if not self.loop then return end
    local held
    for _, task in pairs(tasks) do
        for _, rank in ipairs(ended[task.state] and {} or task.part.list) do
            if task.state == "running" or rank == 0 or not self.workers[rank].reserved then return end
            held = rank
        end
    end
    if held then complain(("%s: an imap has not ended on rank %d"):format(call, held)) end
end

-- The end of the function, when it failed by `problem`: what is open is cancelled, the other ranks are let go.
function Desk:close(failed, problem, before)
    serve.tick(self.outer)
    if self.loop then getmetatable(self.loop).__close(self.loop, "the pool's function ended") end
    self.closed, self.turning = true, true
    self:take_in()
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
            serve.note(self.comm, rank, notes.CANCEL, entry.sequence)
        end
    end
    local limit = failed and clock() + FAREWELL
    while not drained() and not (limit and clock() > limit) do
        local rank, tag = serve.wait(self.comm, "the end of mpi.pool", limit and math.max(0, limit - clock()) or nil)
        if rank then self:receive(rank, tag) end
    end
    local tidy = drained() and not self.left and not serve.stopped() -- others may have been stopped, too
    if tidy then mpi.waitall(self.sends) end
    local stop = {stop = true, tidy = tidy, failed = failed}
    if failed then
        problem = trace.raised(problem)
        local packable, packed = pcall(mpi.pack, problem)
        stop.problem = packable and packed or mpi.pack(select(2, xpcall(error, ranks.described, problem, 0)).message)
    end
    local told = {} -- a long one may have to wait for who cannot be stopped
    for rank, worker in ipairs(self.workers) do
        if not worker.gone then table.insert(told, (self.comm:isend(stop, rank, tags.TASK))) end
    end
    if tidy then mpi.waitall(told) end
    serve.leave(self.comm)
    poolmap.leave(before, tidy)
    if tidy then self.comm:free() end
end

-- Futures -----------------------------------------------------------------------------------------------------

function Future:__tostring()
    return ("mpi.future (%s%s)"):format(self.state, self.rank and (" on rank %d"):format(self.rank) or "")
end

local function check_future(future, call)
    if getmetatable(future) ~= Future then trace.complain_of_dot("future", "mpi.future", call, future) end
end

-- Whether the task has ended, within the time.
local function await(future, call, timeout)
    check_future(future, call:match "%a+$")
    if timeout ~= nil and not (type(timeout) == "number" and timeout >= 0) then
        complain(("bad argument #1 to '%s' (seconds expected, got %s)"):format(call:match "%a+$", tostring(timeout)))
    end
    if ended[future.state] then return true end
    local desk = future.desk
    desk:check_use(call)
    if not timeout then desk:check_reserved(call, {future}) end
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
    check_future(self, "cancel")
    if ended[self.state] then return false end
    self.desk:check_use("future:cancel")
    return self.desk:cancel(self)
end

-- An iterator of the futures in the list, in the order in which they end.
local function as_completed(futures)
    local desk
    if type(futures) ~= "table" then
        complain(("bad argument #1 to 'as_completed' (list of futures expected, got %s)"):format(type(futures)))
    end
    local list, n = {n = 0}, futures.n or #futures
    for i = 1, n do
        local future = futures[i]
        if getmetatable(future) ~= Future then
            complain(("bad argument #1 to 'as_completed' (entry %d is a %s, no future)"):format(i, type(future)))
        end
        desk = desk or future.desk
        if future.desk ~= desk then complain("bad argument #1 to 'as_completed' (the futures are of different pools)") end
    end
    do
        local books <close> = desk and not desk.turning and desk.books
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
    end
    local all, i = table.move(futures, 1, n, 1, {}), 0
    return function ()
        if i >= n then return end
        if not list[i + 1] then
            desk:check_use("mpi.as_completed")
            desk:check_reserved("mpi.as_completed", all)
            desk:attend("mpi.as_completed", function () return list[i + 1] end, function () return desk:next_task(0) end)
        end
        i = i + 1
        return list[i]
    end
end

--- Rank 0's books of a pool on a communicator. Part: the metatable of pools and parts; outer: what a tick called before.
local function new(comm, Part, outer)
    local desk = setmetatable({
        comm = comm, size = comm:size(), Part = Part, outer = outer, began = clock(),
        parts = {}, workers = {}, sends = {}, later = {},
        tasks = 0, open = 0, queued = 0, finished = 0, depth = 0,
    }, Desk)
    for rank = 1, desk.size - 1 do desk.workers[rank] = {sent = 0} end
    desk.books = setmetatable({}, {__close = function () desk.turning = false end})
    serve.tick(function ()
        desk:look()
        if outer then return outer() end
        if desk.open == 0 and not desk.later[1] then return false end
    end)
    return desk
end

return {new = new, as_completed = as_completed}
