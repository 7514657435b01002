-- comm:map, imap, share, mapreduce: sharing work without a master. The hand-out itself, of ranges of item numbers, is
-- mpi.handout's, in C; here is what ranks do with the items they take.
--
-- All communication is on a communicator of the machinery's own, made at the first map.
local mpi = require "mpi"
local handout = require "mpi.handout"
local isolate = require "mpi.isolate"
local jobs = require "mpi.job"
local journal = require "mpi.journal"
local outcome = require "mpi.results"

-- whatever a task does to the globals
local error, ipairs, math, next, pcall, select, setmetatable, table, type, xpcall =
    error, ipairs, math, next, pcall, select, setmetatable, table, type, xpcall

local take, clock = handout.take, handout.clock
local move = table.move
local text_of, placed = jobs.text_of, jobs.placed
local new_error, new_body_error, packed_error, sent = jobs.new_error, jobs.new_body_error, jobs.packed_error, jobs.sent
local job_of, distribute, start = jobs.job_of, jobs.distribute, jobs.start
local wants, direct_results, agree_into, bring = outcome.wants, outcome.direct_results, outcome.agree_into, outcome.bring

local map = {}

-- Begin and end -------------------------------------------------------------------------------------------------------

-- → the handout, when all ranks make the same call
local function begin(comm, job)
    local fine, h = pcall(handout.begin, comm, job.call, job.also or "", job.mistake)
    if not fine then error(placed(h), 0) end
    return h
end

-- The ranks meet. → every rank's {began, ended, busy, items, error, what they tell}; the first error by index, unpacked
local function meet(h, failure, told)
    h:settle()
    local began, ended, busy, done = h:times()
    local all = h:comm():allgather {began, ended, busy, done, failure and packed_error(failure) or false, told}
    h:finish()
    local first
    for _, entry in ipairs(all) do
        local e = entry[5] and mpi.unpack(entry[5])
        if e and (not first or e.index < first.index) then first = e end
    end
    return all, first
end

-- `ended`: when the results were there, the same on every rank as all that is told.
local function info_of(all, job, ended)
    local begin, serial = math.huge, 0
    for _, entry in ipairs(all) do begin = math.min(begin, entry[1]) end
    local info = {wall = ended - begin, per_rank = {n = all.n}}
    for r, entry in ipairs(all) do
        serial = serial + entry[3]
        info.per_rank[r] = {busy = entry[3], idle = math.max(0, info.wall - entry[3]), items = entry[4]}
    end
    info.serial = serial
    info.speedup = serial / info.wall
    info.efficiency = info.speedup / all.n
    if job.trace then
        info.tasks = {}
        for r, entry in ipairs(all) do
            local t, since = entry[6].trace, begin - entry[6].offset
            for k = 1, #t, 3 do
                info.tasks[#info.tasks + 1] = {index = t[k], rank = r - 1, t0 = t[k + 1] - since, t1 = t[k + 2] - since}
            end
        end
        table.sort(info.tasks, function (a, b) return a.index < b.index end)
    end
    if job.errors == "collect" then
        info.errors = {}
        for _, entry in ipairs(all) do
            for _, e in ipairs(entry[6].errors) do table.insert(info.errors, mpi.unpack(e)) end
        end
        table.sort(info.errors, function (a, b) return a.index < b.index end)
    end
    return info
end

-- Tasks ---------------------------------------------------------------------------------------------------------------

-- f in a child of this rank for each task.
local function isolated(job, rank)
    local f = job.f
    local run = isolate.new {memory = job.memory, timeout = job.timeout, tries = job.tries, seeded = job.seed ~= nil}
    return function (x, i)
        local function handler(value)
            local e = new_error(value, rank, i)
            if not pcall(mpi.pack, e) then e.value = e.message end
            return e
        end
        local fine, y = run(f, handler, x, i)
        if fine then return y end
        sent[y] = true
        error(y, 0)
    end
end

-- f with what the options add to each task; `told` collects what the other ranks will want to know.
local function dressed(h, job, rank, told, record)
    local f = job.isolate and isolated(job, rank) or job.f
    if record then
        local task = f
        f = function (x, i)
            local y = task(x, i)
            record:write(i, y)
            return y
        end
    end
    if job.into then
        local task, into = f, job.into
        f = function (x, i) into[i] = task(x, i) end
    end
    if job.seed then
        local task, seed, randomseed = f, job.seed, math.randomseed
        f = function (x, i)
            randomseed(seed, i)
            return task(x, i)
        end
    end
    if job.errors == "collect" then
        local task, errors = f, {}
        told.errors = errors
        f = function (x, i)
            local fine, y = xpcall(task, function (value) return packed_error(new_error(value, rank, i)) end, x, i)
            if fine then return y end
            errors[#errors + 1] = y
        end
    end
    if job.trace then
        local task, trace = f, {}
        told.trace, told.offset = trace, select(5, h:times())
        f = function (x, i)
            local t0 = clock()
            local y = task(x, i)
            local k = #trace
            trace[k + 1], trace[k + 2], trace[k + 3] = i, t0, clock()
            return y
        end
    end
    return f
end

-- Calls body(), which does the tasks, with math.random as it is before and after. → the failure, or nil; at() is the
-- number of the item under way
local function work(h, job, rank, at, body)
    local state = job.seed and handout.random()
    local fine, failure = xpcall(body, function (value) return new_error(value, rank, job.reading or at()) end)
    if state then handout.random(state) end
    if fine then return end
    h:stop()
    return failure
end

-- Journals ------------------------------------------------------------------------------------------------------------

-- The journal of the job, if it has one. What is done there is not to be done again: job.left becomes the list of the
-- other items, whose places in it are then handed out.
local function open_journal(own, job, n)
    if not job.journal then return nil end
    local prints = own:rank() == job.root and journal.fingerprint(job.kind ~= "count" and job.items or nil, n) or nil
    local fine, record = pcall(journal.open, own, job.journal, {n = n, items = prints, seed = job.seed}, job.root)
    if not fine then error(placed(record), 0) end
    job.left = record:left()
    return record
end

-- What was done before, on the ranks that want it: → the failure, or nil; the results, which are in the array if there is one
local function take_kept(h, own, job, record)
    local kept, at = {}, 0
    if not (job.left and wants(own, job)) then return nil, kept end
    local results = job.into or kept
    local failure = work(h, job, own:rank(), function () return at end, function ()
        record:each(function (i, value)
            at = i
            results[i] = value
        end)
    end)
    return failure, kept
end

-- Segments of places in the list of items that were left as segments of items.
local function segments_left(left, segments)
    local list = {}
    for s = 1, #segments, 2 do
        for p = segments[s], segments[s + 1] do
            local i = left[p]
            if list[#list] == i - 1 then list[#list] = i
            else
                list[#list + 1] = i
                list[#list + 1] = i
            end
        end
    end
    return list
end

-- Map -----------------------------------------------------------------------------------------------------------------

-- Does all tasks this rank takes, about `share` of them. → failure; the values, one after another unless `results` has them
-- in their places; segments: first, last, first, last … of the items that the values belong to
local function collect(h, job, rank, fetch, f, next_range, results, share)
    local values, k, segments, left = results or handout.list(job.into and 0 or share), 0, {}, job.left
    local at = 0
    if not results then values.n = nil end
    if left then
        local task, items = f, fetch
        fetch = nil
        f = function (_, p)
            local i = left[p]
            if not items then return task(i, i) end
            local list, shift = items(i)
            return task(list[i - shift], i)
        end
    end
    local function body()
        local s, previous = 0, nil
        for first, last in next_range, h do
            local i = first
            while i <= last do
                local list, shift, upto
                if fetch then list, shift, upto = fetch(i) end
                if not fetch or upto > last then upto = last end
                local back = results and 0 or i - k - 1
                if fetch then
                    for j = i, upto do
                        at = j
                        values[j - back] = f(list[j - shift], j)
                    end
                else
                    for j = i, upto do
                        at = j
                        values[j - back] = f(j, j)
                    end
                end
                k, i = k + upto - i + 1, upto + 1
            end
            if first - 1 == previous then segments[s] = last
            else
                segments[s + 1], segments[s + 2] = first, last
                s = s + 2
            end
            previous = last
        end
    end
    local failure = work(h, job, rank, function () return left and left[at] or at end, body)
    return failure, values, left and segments_left(left, segments) or segments
end

--- The method comm:map.
function map.map(comm, f, items, opts)
    local job = job_of(comm, "map", f, items, opts, 2)
    local h <close> = begin(comm, job)
    local own, told = h:comm(), {}
    local n, fetch = distribute(own, job)
    if n and (job.to ~= "all" or job.into) then agree_into(own, job, n) end
    local record <close> = open_journal(own, job, n)
    local _, next_range
    _, fetch, next_range = start(h, own, job, job.left and #job.left or n, fetch)
    local direct = direct_results(own, job, n)
    local unusable, kept = take_kept(h, own, job, record)
    local failure, values, segments = collect(h, job, own:rank(), fetch, dressed(h, job, own:rank(), told, record), next_range,
                                              direct, (job.left and #job.left or n or 0) // own:size())
    told.read = job.read
    local all, first = meet(h, unusable or failure, told)
    if first then error(first, 0) end
    n = n or all[job.root + 1][6].read
    local results, ended = bring(h, own, job, n, values, segments, all[own:rank() + 1][4], direct)
    for i, value in next, kept do results[i] = value end
    return results, info_of(all, job, ended)
end

-- Reduce --------------------------------------------------------------------------------------------------------------

local function combiner(op)
    if op == nil or op == mpi.SUM then return function (result, other) return result + other end end
    if op == mpi.PROD then return function (result, other) return result * other end end
    if type(op) == "function" then return op end
    local combine = handout.combine
    return function (a, b) return combine(op, a, b) end
end

-- Does all tasks this rank takes. → failure; the combined values of the runs of items it did: first item, value …
local function fold(h, job, rank, fetch, f, op)
    local parts = {}
    local at = 0
    local function body()
        local p, previous, value = 0, nil, nil
        for first, last in take, h do
            if first - 1 ~= previous then
                if p > 0 then parts[p].value = value end
                p = p + 1
                parts[p] = {first = first}
                at = first
                value = f(fetch and fetch(first) or first, first)
                first = first + 1
            end
            for j = first, last do
                at = j
                value = op(value, f(fetch and fetch(j) or j, j))
            end
            previous = last
        end
        if p > 0 then parts[p].value = value end
    end
    return work(h, job, rank, function () return at end, body), parts
end

-- The parts of all ranks combined in the order of the items.
local function combined(job, op, lists)
    local parts = {}
    for _, list in ipairs(lists) do move(list, 1, #list, #parts + 1, parts) end
    table.sort(parts, function (a, b) return a.first < b.first end)
    local value, from = job.init, 1
    if value == nil and parts[1] then value, from = parts[1].value, 2 end
    for p = from, #parts do value = op(value, parts[p].value) end
    return value
end

-- Share ---------------------------------------------------------------------------------------------------------------

local loop = {__name = "comm:share"}

function loop:meet(failure)
    self.over = true
    local _, first = meet(self.h, failure)
    if first then error(first, 0) end
end

-- The next first and last; at the end the ranks meet, and nil comes.
function loop:take(next_range)
    if self.over then return nil end
    local fine, first, last = xpcall(next_range, function (value) return new_error(value, self.rank, self.job.reading) end, self.h)
    if fine and first then return first, last end
    if not fine then self.h:stop() end
    self:meet(not fine and first or nil)
end

-- The end of the loop, also by break or an error in its body.
function loop:__close(failure)
    if self.over then return end
    self.h:stop()
    if failure ~= nil then failure = new_body_error(failure, self.rank, self.at) end
    self:meet(failure)
end

loop.__index = loop

--- The method comm:share.
function map.share(comm, items, opts)
    local job = job_of(comm, "share", nil, items, opts, 1)
    local h = begin(comm, job)
    local self = setmetatable({h = h, job = job, rank = comm:rank(), at = 0, over = false}, loop)
    local fine, n, fetch = pcall(distribute, h:comm(), job)
    if not fine then
        h:finish()
        error(n, 0)
    end
    local next_range
    n, fetch, next_range = start(h, h:comm(), job, n, fetch)
    local i, last = 0, 0
    return function ()
        if i < last then i = i + 1
        else
            local first
            first, last = self:take(next_range)
            if not first then
                i, last = 0, 0
                return nil
            end
            i = first
        end
        self.at = i
        if not fetch then return i, i end
        local list, shift = fetch(i)
        return i, list[i - shift]
    end, nil, nil, self
end

-- Results as they come -------------------------------------------------------------------------------------------------

-- Tags: results and the end of a rank's work go to the rank of the loop; back come the sizes of batches of which all results
-- were taken, and LAST when no more is awaited.
local RESULTS, TAKEN, LAST = 1, 2, -1

-- How long a rank keeps results, in seconds; how many batches and bytes of results may wait for the loop, from a rank.
local KEEP, BATCHES, WAITING = 5e-4, 4, 2^20 | 0

-- A list of values with the segments they belong to.
local function new_batch() return {values = {}, n = 0, segments = {}} end

-- Does the tasks first to last, their results into the batch.
local function do_tasks(self, batch, first, last)
    local f, fetch, values, k = self.f, self.fetch, batch.values, batch.n
    local i = first
    while i <= last do
        local list, shift, upto
        if fetch then list, shift, upto = fetch(i) end
        if not fetch or upto > last then upto = last end
        for j = i, upto do
            self.at, k = j, k + 1
            if list then values[k] = f(list[j - shift], j) else values[k] = f(j, j) end
        end
        i = upto + 1
    end
    batch.n = k
    local segments = batch.segments
    segments[#segments + 1] = first
    segments[#segments + 1] = last
end

-- All there is to do on a rank that is not the loop's.
local function serve_loop(self)
    local h, own, to = self.h, self.own, self.job.to
    local requests, waiting, batches = {}, 0, 0
    local function taken()
        local size = own:recv(to, TAKEN)
        if size == LAST then return true end
        waiting, batches = waiting - size, batches - 1
    end
    local function send(batch)
        local text = mpi.pack(batch)
        batch.bytes = #text
        requests[#requests + 1] = own:isend({text, #text}, to, RESULTS)
        waiting, batches = waiting + #text, batches + 1
        if #requests > 16 and mpi.testall(requests) then requests = {} end
        -- what it has taken it finishes first: the loop may wait for just that
        while own:iprobe(to, TAKEN) or batches > BATCHES and waiting > WAITING and not h:holds() do taken() end
    end
    local keep = h:nodes() == 1 and self.n and KEEP or 0
    local failure = work(h, self.job, self.rank, function () return self.at end, function ()
        local batch, since = new_batch(), clock()
        for first, last in self.next_range, h do
            do_tasks(self, batch, first, last)
            if clock() - since > keep then
                h:rest()
                send(batch)
                batch, since = new_batch(), clock()
            end
        end
        if batch.n > 0 then send(batch) end
    end)
    own:send({false, failure ~= nil}, to, RESULTS)
    h:settle()
    repeat until taken()
    mpi.waitall(requests)
    return failure
end

local results = {__name = "comm:imap"}
results.__index = results

-- On the loop's rank: a batch, of another rank when `from` is given.
function results:receive(batch, from, bytes)
    batch.left, batch.from, batch.bytes = batch.n, from, bytes
    local k = 0
    for s = 1, #batch.segments, 2 do
        local first, last = batch.segments[s], batch.segments[s + 1]
        local segment = {batch = batch, first = first, last = last, shift = k - first + 1}
        k = k + last - first + 1
        if self.job.ordered then self.segments[first] = segment
        else
            self.newest = self.newest + 1
            self.segments[self.newest] = segment
        end
    end
end

-- A message of another rank.
function results:message()
    local message, status = self.own:recv(mpi.ANY_SOURCE, RESULTS)
    if message[1] then
        if self.over then self.own:send(message[2], status.source, TAKEN)
        else self:receive(mpi.unpack(message[1]), status.source, message[2])
        end
        return
    end
    self.open = self.open - 1
    self.stopped = self.stopped or message[2]
end

-- The next result that is here, as index, value.
function results:pop()
    local segment = self.segment
    if not segment then
        local key = self.key + 1
        segment = self.segments[key]
        if not segment then return nil end
        self.segments[key] = nil
        self.segment, self.i = segment, segment.first
        if not self.job.ordered then self.key = key end
    end
    local i, batch = self.i, segment.batch
    self.i, batch.left = i + 1, batch.left - 1
    if self.job.ordered then self.key = i end
    if i == segment.last then self.segment = nil end
    if batch.from and batch.left == 0 then self.own:send(batch.bytes, batch.from, TAKEN) end
    if not self.n and self.job.refill then self.h:retire(1) end
    return i, batch.values[i + segment.shift]
end

-- Does some tasks of this rank's own; false when there are none to do now.
function results:work()
    local h, job, first, last = self.h, self.job, nil, nil
    h:rest()
    local batch = new_batch()
    local failure = work(h, job, self.rank, function () return self.at end, function ()
        if job.refill and job.to == job.root then self.ended = job.refill() end
        first, last = self.take(h)
        if first then do_tasks(self, batch, first, last) end
    end)
    h:rest()
    if failure then
        self.failure, self.stopped = failure, true
    elseif first then
        self:receive(batch)
        return true
    end
    if self.chunks then self.ended = h:over() end
    self.dry = self.ended
    return false
end

-- What has come and nobody wants any more is taken, too: its ranks may wait for that before they go on.
function results:drop()
    self.segments[0] = self.segment
    for _, segment in next, self.segments do
        local batch = segment.batch
        if batch.from and batch.left > 0 then self.own:send(batch.bytes, batch.from, TAKEN) end
        batch.left = 0
    end
    self.segments = {}
end

function results:finish()
    local own, h = self.own, self.h
    self.over = true
    self:drop()
    while self.open > 0 do self:message() end
    for r = 0, own:size() - 1 do
        if r ~= self.rank then own:send(LAST, r, TAKEN) end
    end
    self:meet(self.failure)
end

function results:meet(failure)
    local first
    self.all, first = meet(self.h, failure, self.told)
    if first then error(first, 0) end
end

function results:next()
    local h = self.h
    while not self.over do
        while self.open > 0 and self.own:iprobe(mpi.ANY_SOURCE, RESULTS) do self:message() end
        if self.stopped or h:stopped() then
            h:stop()
            self:finish()
            return nil
        end
        local i, value = self:pop()
        if i then return i, value end
        if self.dry or not self:work() then
            if self.stopped or self.dry and self.open == 0 and not next(self.segments) and not self.segment then
                if self.stopped then h:stop() end
                self:finish()
                return nil
            end
            if self.chunks and not self.dry then h:await_message(RESULTS)
            elseif self.open > 0 then self:message()
            end
        end
    end
end

-- The end of the loop by break or an error in its body.
function results:__close(failure)
    if self.over then return end
    self.h:stop()
    if failure ~= nil then self.failure = new_body_error(failure, self.rank, self.i - 1) end
    self:finish()
end

local function new_results(h, job, n, fetch)
    local own = h:comm()
    local self = setmetatable({h = h, own = own, job = job, rank = own:rank(), at = 0, open = own:size() - 1, segments = {}, key = 0,
                               newest = 0, i = 1, over = false, ended = true, take = take, told = {}}, results)
    job.loop = true
    self.n, self.fetch, self.next_range = start(h, own, job, n, fetch)
    self.chunks = not self.n and self.rank ~= job.root
    self.f = dressed(h, job, self.rank, self.told)
    return self
end

-- On another rank than the loop's: the one call, that comes back at the end.
function results:serve()
    if self.over then return nil end
    self.over = true
    self:meet(serve_loop(self))
end

--- The method comm:imap.
function map.imap(comm, f, items, opts)
    local job = job_of(comm, "imap", f, items, opts, 2)
    local h = begin(comm, job)
    local fine, n, fetch = pcall(distribute, h:comm(), job)
    if not fine then
        h:finish()
        error(n, 0)
    end
    local self = new_results(h, job, n, fetch)
    if self.rank ~= job.to then return function () return self:serve() end end
    return function () return self:next() end, nil, nil, self
end

-- Combines what comes from a stream, on its root, as it comes. → what all ranks told; there, as pcall returns, the value
local function reduce_stream(h, job, op)
    job.to, job.ordered = job.root, true
    local self = new_results(h, job)
    if self.rank ~= job.root then
        self:serve()
        return self.all
    end
    local value = job.init
    for i, x in function () return self:next() end do
        if i == 1 and value == nil then value = x
        else
            local fine, combination = pcall(op, value, x)
            if not fine then self:__close(combination) end
            value = combination
        end
    end
    return self.all, {true, value}
end

--- The method comm:mapreduce.
function map.mapreduce(comm, f, items, opts)
    local job = job_of(comm, "mapreduce", f, items, opts, 2)
    local h <close> = begin(comm, job)
    local own, told, op = h:comm(), {}, combiner(job.op)
    local n, fetch = distribute(own, job)
    local all, result
    if n then
        if job.progress then h:progress(n) end
        h:start(n, "blocks", job.chunk or 0)
        local single = fetch and function (i)
            local list, shift = fetch(i)
            return list[i - shift]
        end
        local failure, parts = fold(h, job, own:rank(), single, dressed(h, job, own:rank(), told), op)
        local first
        all, first = meet(h, failure, told)
        if first then error(first, 0) end
        local lists = own:gather(parts, job.root)
        if lists then result = {xpcall(combined, text_of, job, op, lists)} end
    else
        all, result = reduce_stream(h, job, op)
    end
    if result and not result[1] then result[2] = text_of(result[2]) end
    if result then result[3] = select(2, h:times()) end
    result = own:bcast(result, job.root)
    if not result[1] then error(placed(result[2]), 0) end
    return result[2], info_of(all, job, result[3])
end

return map
