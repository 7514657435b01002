-- pool:map, imap and starmap: comm:map and its kin on a communicator of the part, with function and items from rank 0.
--
-- Ranks at a map do nothing else, so first all of the part become free and take the function; what goes wrong with that
-- is told before any of them waits for another. A part without rank 0 maps by itself what its first rank is given; its
-- imap is made of submitted tasks, since items may come from a generator on rank 0, and results go there.

local mpi = require "mpi"
local handout = require "mpi.handout"
local isolate = require "mpi.isolate"
local jobs = require "mpi.job"
local ranks = require "mpi.ranks"
local serve = require "mpi.serve"
local trace = require "mpi.trace"

-- whatever a task does to the globals
local _G, debug, error, getmetatable, ipairs, math, next, pairs, pcall, setmetatable, table, tostring, type =
    _G, debug, error, getmetatable, ipairs, math, next, pairs, pcall, setmetatable, table, tostring, type

require "mpi.map" -- else it is loaded at the first map, when the globals may be others

local complain = trace.complain

-- On every rank --------------------------------------------------------------------------------------------------

-- The pool that this rank does tasks of: its communicator, those of parts in the order in which they were made, and
-- what was prepared.
local pool

--- → what to give to leave; and what, to be back in this one whatever was entered meanwhile
local function enter(comm)
    local before = pool
    pool = {comm = comm, groups = {}}
    return before, pool
end

--- Collective when `tidy`.
local function leave(before, tidy)
    for _, group in ipairs(tidy and pool.groups or {}) do group:free() end
    pool = before
end

-- f for items that are lists of arguments.
local function spread(f)
    return function (arguments)
        if handout.is_array(arguments) then arguments = arguments:totable() end
        if type(arguments) ~= "table" then error(("starmap: the item is a %s, not a list of arguments"):format(type(arguments)), 0) end
        return f(table.unpack(arguments, 1, arguments.n or #arguments))
    end
end

local operations = {}

function operations.prepare(call, f, opts, items)
    pool.prepared = {call = call, f = call == "starmap" and spread(f) or f, opts = opts, items = items}
end

-- Collective on the part: what was prepared.
function operations.map(ids)
    local job, key = pool.prepared, table.concat(ids, ",")
    local group = pool.groups[key]
    if not group then
        group = serve.group(pool.comm, ids)
        table.insert(pool.groups, group)
        pool.groups[key] = group
    end
    pool.prepared = nil
    if job.call ~= "imap" then return group:map(job.f, job.items, job.opts) end
    local next, _, _, loop = group:imap(job.f, job.items, job.opts)
    if loop then return next, loop end
    next()
end

-- The task in a child of this rank; an error is raised here as it was there.
local function isolated(f, limits)
    local run = isolate.new(limits)
    return function (item, index)
        local fine, value = run(f, function (problem) return problem end, item, index)
        if not fine then error(value, 0) end
        return value
    end
end

-- One item of an imap; limits: in isolation.
function operations.item(f, seed, item, index, limits)
    if limits then f = isolated(f, limits) end
    local state = seed and handout.random()
    if seed then math.randomseed(seed, index) end
    local function put_back(...)
        if state then handout.random(state) end
        return ...
    end
    return put_back(f(item, index))
end

-- On rank 0 ------------------------------------------------------------------------------------------------------

-- Whether it is a pool or a part of one.
local function is_part(object)
    local metatable = type(object) == "table" and getmetatable(object)
    return type(metatable) == "table" and metatable.__name == "mpi.pool"
end

-- Whether a pool or a future is in a value, or in the upvalues of a function there.
local function has_pool(value, seen)
    if seen[value] or type(value) ~= "table" and type(value) ~= "function" then return false end
    seen[value] = true
    if type(value) == "table" then
        local metatable = getmetatable(value)
        if type(metatable) == "table" and (metatable.__name == "mpi.pool" or metatable.__name == "mpi.future") then return true end
        for key, inner in next, value do
            if has_pool(key, seen) or has_pool(inner, seen) then return true end
        end
        return false
    end
    local i = 1
    local name, inner = debug.getupvalue(value, i)
    while name do
        if inner ~= _G and has_pool(inner, seen) then return true end
        i = i + 1
        name, inner = debug.getupvalue(value, i)
    end
    return false
end

--- What is said of a task that cannot be sent: `text`, unless it is because of a pool.
local function refusal(text, task)
    local where = text:match "a table with a metatable that mpi%.register has not named( at .*)$"
    return where and has_pool(task, {}) and "a task cannot use its pool or a future, which is" .. where or text
end

-- Checks what a method was given: → the options as they are for the part's own communicator.
local function check(part, call, f, opts)
    if not is_part(part) then trace.complain_of_dot("pool", "mpi.pool", call, part) end
    part.desk:check_use("pool:" .. call, part)
    if type(f) ~= "function" then complain(("bad argument #1 to '%s' (function expected, got %s)"):format(call, type(f))) end
    if opts ~= nil and type(opts) ~= "table" then
        complain(("bad argument #3 to '%s' (table of options expected, got %s)"):format(call, type(opts)))
    end
    local own = {root = 0, to = 0}
    for i, rank in ipairs(part.list) do
        if rank == 0 then own = {root = i - 1, to = i - 1} end
    end
    local names, known = {}, {}
    for _, name in ipairs(jobs.options_of[call == "imap" and "imap" or "map"]) do
        known[name] = true
        if not own[name] and name ~= "items" then names[#names + 1] = name end
    end
    for name, value in pairs(opts or {}) do
        if not known[name] then
            complain(("bad argument #3 to '%s' (unknown option '%s'; known are: %s)"):format(call, tostring(name), table.concat(names, " ")))
        elseif name == "to" or name == "root" or name == "items" then
            complain(("bad argument #3 to '%s' (option '%s': in a pool items come from rank 0, and results go there)"):format(call, name))
        end
        own[name] = value
    end
    return own
end

-- The items, and the length of a list, as a list that can be sent.
local function listed(items)
    if type(items) ~= "function" then return items end
    local list = {n = 0}
    for item in items do
        list.n = list.n + 1
        list[list.n] = item
    end
    return list
end

-- A rank of the part's communicator as the pool knows it.
local function renumber(part, object)
    if type(object) == "table" and math.type(object.rank) == "integer" then object.rank = part.list[object.rank + 1] end
    return object
end

-- Frees the ranks of the part for a map and gives them the function: → tasks of the map, under way on other ranks, and
-- rank 0's own.
local function begin(part, call, f, own, items)
    local desk, packed, into = part.desk, {}, own.into
    for i in ipairs(part.list) do
        local given = i == 1 and not part.member[0]
        own.into = given and into or nil
        local fine, text = pcall(mpi.pack, {f = "prepare", args = {n = 4, call, f, own, given and items or nil}})
        if not fine then
            text = refusal(text, {f, items}):gsub("value%.args%[2%]", "value.f"):gsub("value%.args%[4%]", "items")
            complain(text)
        end
        packed[i] = text
    end
    desk:reserve(part, true)
    local fine, problem = pcall(desk.on_each, desk, part, packed)
    if not fine then
        desk:reserve(part, false)
        error(problem, 0)
    end
    return desk:give(part, mpi.pack {f = "map", args = {n = 1, part.list}})
end

-- The ranks of the part are no longer at a map.
local function finish(part, tasks, here)
    local desk = part.desk
    if here then desk:finish_here(here, "done") end
    desk:attend_all("pool:map", tasks)
    desk:reserve(part, false)
end

local function as_it_is(problem) return problem end

-- Does this rank's share as a task is done, which cannot yield: → as pcall
local function as_task(desk, f, ...)
    local function after(...)
        desk.depth = desk.depth - 1
        return ...
    end
    desk.depth = desk.depth + 1
    return after(serve.run(as_it_is, f, ...))
end

local function map(part, call, f, items, opts)
    local own = check(part, call, f, opts)
    local into, fine, results, info = own.into, nil, nil, nil
    if not part.member[0] then items = listed(items) end
    local tasks, here = begin(part, call, f, own, items)
    if here then
        pool.prepared.opts.into, pool.prepared.items = into, items
        fine, results, info = as_task(part.desk, operations.map, part.list)
    end
    finish(part, tasks, here)
    if not here then
        fine, results, info = pcall(tasks[1].get, tasks[1])
        if not fine and results.value then results = results.value end
    end
    if not fine then error(renumber(part, results), 0) end
    for _, list in ipairs {info.tasks or {}, info.errors or {}} do
        for _, entry in ipairs(list) do renumber(part, entry) end
    end
    if into and not here then
        into:copyfrom(results)
        results = into
    end
    return results, info
end

-- The loop of an imap whose part has rank 0.
local function loop_here(part, f, items, own)
    local desk = part.desk
    local tasks, here = begin(part, "imap", f, own)
    pool.prepared.items = items
    local self = {}
    local function over()
        desk.loop = nil
        finish(part, tasks, here)
    end
    local fine, step, loop = as_task(desk, operations.map, part.list)
    if not fine then
        over()
        error(step, 0)
    end
    desk.loop = setmetatable(self, {__close = function (_, problem)
        if desk.loop ~= self then return end
        local well, failure = as_task(desk, getmetatable(loop).__close, loop, problem)
        over()
        if not well and problem == nil then error(renumber(part, failure), 0) end
    end})
    return function ()
        if desk.loop ~= self then
            desk:check_use "pool:imap"
            return nil
        end
        local well, index, value = as_task(desk, step)
        if well and index then return index, value end
        over()
        if not well then error(renumber(part, index), 0) end
    end, nil, nil, self
end

-- A function that gives index and item; nothing at the end.
local function each(items)
    local i, n = 0, nil
    if type(items) ~= "function" then n = math.type(items) and items or type(items) == "table" and items.n or #items end
    return function ()
        i = i + 1
        if not n then
            local item = items()
            if item ~= nil then return i, item end
        elseif i <= n then return i, math.type(items) and i or items[i]
        end
    end
end

-- The loop of an imap whose part is without rank 0: at most `most` items are given and not yet taken.
local function loop_of_tasks(part, f, items, own)
    local desk, next_item, most = part.desk, each(items), own.ahead or 4 * #part.list
    local limits = own.isolate and {memory = own.memory, timeout = own.timeout, tries = own.tries, seeded = own.seed ~= nil} or nil
    if limits then
        local fine, problem = isolate.new(limits)
        if not fine then complain(("bad argument #3 to 'imap' (%s)"):format(problem)) end
    end
    local tasks, count, ended = {}, 0, false -- tasks: by index
    local completed, taken = {n = 0}, 0      -- in the order in which they end
    local function give()
        while not ended and count < most do
            local i, item = next_item()
            ended = i == nil
            if not ended then
                local fine, packed = pcall(mpi.pack, {f = "item", args = {n = 5, f, own.seed, item, i, limits}})
                if not fine then
                    packed = refusal(packed, {f, item}):gsub("value%.args%[1%]", "value.f"):gsub("value%.args%[3%]", ("items[%d]"):format(i))
                    complain(packed)
                end
                local task = desk:submit(part, packed, not own.ordered and completed)
                task.index, tasks[i], count = i, task, count + 1
            end
        end
    end
    local function stop()
        ended, count = true, 0
        for _, task in pairs(tasks) do desk:cancel(task) end
    end
    return function ()
        desk:check_use "pool:imap"
        give()
        if count == 0 then return nil end
        desk:check_reserved("pool:imap", own.ordered and {tasks[taken + 1]} or tasks)
        if own.ordered then tasks[taken + 1]:wait()
        else desk:attend("pool:imap", function () return completed[taken + 1] end)
        end
        taken, count = taken + 1, count - 1
        local task = own.ordered and tasks[taken] or completed[taken]
        tasks[task.index], completed[taken] = nil, nil
        local fine, value = pcall(task.get, task)
        if fine then return task.index, value end
        stop()
        value.index = task.index
        error(value, 0)
    end, nil, nil, setmetatable({}, {__close = stop})
end

--- The methods of pools.
local methods = {}

function methods:map(f, items, opts) return map(self, "map", f, items, opts) end

function methods:starmap(f, items, opts) return map(self, "starmap", f, items, opts) end

function methods:imap(f, items, opts)
    local own = check(self, "imap", f, opts)
    return (self.member[0] and loop_here or loop_of_tasks)(self, f, items, own)
end

return {enter = enter, leave = leave, operations = operations, methods = methods, is_part = is_part, refusal = refusal}
