-- What comm:map and its kin are asked to do: options, items on their way to the ranks, and the errors of tasks.
local mpi = require "mpi"
local handout = require "mpi.handout"
local isolate = require "mpi.isolate"
local trace = require "mpi.trace"

-- whatever a task does to the globals
local debug, error, ipairs, math, pairs, pcall, setmetatable, table, tostring, type =
    debug, error, ipairs, math, pairs, pcall, setmetatable, table, tostring, type

local take, move = handout.take, table.move

-- Errors --------------------------------------------------------------------------------------------------------------

-- What a failing task becomes, the same on every rank.
local task_error = mpi.register("mpi.task_error", {
    __name = "mpi.task_error",
    __tostring = function (e) return ("%s  [rank %d, item %d]"):format(e.message, e.rank, e.index) end,
})

local function text_of(value)
    local fine, text = pcall(tostring, value)
    return fine and trace.message(text) or ("(error object is a %s value)"):format(type(value))
end

-- The script's line, before a text, which may have it at its end: "[0-3] bad argument … at file:1".
local function placed(text)
    local place = trace.place()
    if not place then return text end
    local before = text:sub(-#place - 4) == " at " .. place and text:sub(1, -#place - 5)
    if before and before:find "^%[" and not before:find("; [", 1, true) then text = before end
    return place .. ": " .. text
end

-- Errors that isolated tasks sent, which are not to be wrapped again
local sent = setmetatable({}, {__mode = "k"})

-- From within the handler of the error, unless that has left its `trail`.
local function new_error(value, rank, index, trail)
    if sent[value] then return value end
    local message = text_of(value)
    return setmetatable({message = message, value = type(value) == "string" and message or value, rank = rank, index = index,
                         traceback = trail or trace.traceback(message)}, task_error)
end

-- The error of a loop's body, which ends the loop.
local function new_body_error(problem, rank, index)
    local value, trail = trace.raised(problem)
    return new_error(value, rank, index, trail or text_of(value))
end

-- The error as it travels; a value that cannot becomes its text.
local function packed_error(e)
    local fine, text = pcall(mpi.pack, e)
    if fine then return text end
    e.value = e.message
    return mpi.pack(e)
end

-- Options -------------------------------------------------------------------------------------------------------------

local function one_of(...)
    local names, known = {...}, {}
    for _, name in ipairs(names) do known[name] = true end
    local text = '"' .. table.concat(names, '" or "') .. '"'
    return function (v) return known[v], text end
end

local function boolean(v) return type(v) == "boolean", "a boolean" end
local function count(v) return math.type(v) == "integer" and v >= 1, "an integer from 1" end
local function anything() return true end

-- For each option: whether a value will do, and what is expected.
local checks = {
    to = function (v, comm)
        return v == "all" or math.type(v) == "integer" and v >= 0 and v < comm:size(),
            ('"all" or a rank from 0 to %d'):format(comm:size() - 1)
    end,
    root = function (v, comm)
        return math.type(v) == "integer" and v >= 0 and v < comm:size(), ("a rank from 0 to %d"):format(comm:size() - 1)
    end,
    schedule = one_of("dynamic", "static", "cyclic"),
    chunk = count,
    into = function (v) return handout.is_array(v), "an array" end,
    errors = one_of("raise", "collect"),
    seed = function (v) return type(v) == "number", "a number" end,
    progress = boolean,
    trace = boolean,
    ordered = boolean,
    ahead = count,
    items = one_of "same",
    journal = function (v) return type(v) == "string" and v ~= "", "the name of a file" end,
    isolate = boolean,
    memory = function (v) return isolate.bytes(v), 'bytes, or a text such as "512M"' end,
    timeout = function (v) return type(v) == "number" and v > 0, "seconds above 0" end,
    tries = count,
    op = function (v) return handout.is_operator(v), "an operator such as mpi.SUM or a function" end,
    init = anything,
}

local options_of = {
    map = {"to", "schedule", "chunk", "into", "errors", "seed", "progress", "trace", "items", "root", "ahead", "journal",
           "isolate", "memory", "timeout", "tries"},
    imap = {"to", "ordered", "schedule", "chunk", "seed", "progress", "items", "root", "ahead", "isolate", "memory", "timeout",
            "tries"},
    share = {"schedule", "chunk", "items", "root", "ahead"},
    mapreduce = {"op", "init", "chunk", "seed", "progress", "trace", "items", "root", "ahead", "isolate", "memory", "timeout",
                 "tries"},
}

local function callable(f)
    if type(f) == "function" then return true end
    local mt = debug.getmetatable(f)
    return type(mt) == "table" and type(mt.__call) == "function"
end

-- What is to be mapped is, and its length (0 when that is not known); or nil and what is wrong.
local function kind_of(items)
    if type(items) == "function" then return 0, "stream"
    elseif type(items) == "table" then
        local n = math.type(items.n) == "integer" and items.n or #items
        if n < 0 then return nil, ("the list's n is %d"):format(n) end
        return n, "list"
    elseif handout.is_array(items) then
        if items:ndim() == 0 then return nil, "a 0-d array has no items" end
        return #items, "array"
    elseif math.type(items) then
        local n = math.tointeger(items)
        if n and n >= 0 then return n, "count" end
        return nil, ("%s is no number of items"):format(items)
    end
    return nil, ("items: list, array, count or generator expected, got %s"):format(type(items))
end

-- What a call is asked for; `mistake` is set when that is wrong. `also` is what all ranks must agree on.
local function job_of(comm, call, f, items, opts, first)
    local job = {call = call, f = f, root = 0, to = call == "imap" and 0 or "all", schedule = "dynamic"}
    local function wrong(arg, text)
        job.mistake = job.mistake or ("bad argument #%d to '%s' (%s)"):format(arg, call, text)
    end
    if f ~= nil or call ~= "share" then
        if not callable(f) then wrong(1, ("function expected, got %s"):format(type(f))) end
    end
    if opts ~= nil and type(opts) ~= "table" then
        local hint = call == "mapreduce" and (handout.is_operator(opts) or type(opts) == "function")
            and "; the operator is the option op, as in {op = mpi.MAX}" or ""
        wrong(first + 1, ("table of options expected, got %s%s"):format(type(opts), hint))
        opts = nil
    end
    local names, known = options_of[call], {}
    for _, name in ipairs(names) do known[name] = true end
    for name, value in pairs(opts or {}) do
        if not known[name] then
            wrong(first + 1, ("unknown option '%s'; known are: %s"):format(tostring(name), table.concat(names, " ")))
        else
            local fine, expected = checks[name](value, comm)
            if not fine then
                local got = type(value) == "string" and ("'%s'"):format(value) or math.type(value) and tostring(value) or type(value)
                wrong(first + 1, ("%s is %s, expected %s"):format(name, got, expected))
            end
        end
        job[name] = value
    end
    for _, name in ipairs {"memory", "timeout", "tries"} do
        if job[name] ~= nil and not job.isolate then wrong(first + 1, name .. " needs isolate = true") end
    end
    job.same = job.items == "same"
    job.items = items
    if job.mistake then return job end
    if job.same or comm:rank() == job.root then
        local n, kind = kind_of(items)
        if not n then wrong(first, kind)
        elseif kind == "stream" and job.same then wrong(first, "the items of a generator are never the same on every rank")
        elseif kind == "stream" and job.journal then wrong(first, "a journal needs to know the items, which a generator gives one by one")
        elseif kind == "stream" and job.into then wrong(first, "into needs to know how many items there are, which a generator does not")
        end
        job.n, job.kind = n, kind
    end
    if job.to == "all" and call == "imap" then wrong(first + 1, "to is 'all', expected a rank") end
    job.also = ("%s %s %s %s %s %s %s %s %s %s %s %s %s"):format(
        job.root, job.to, job.schedule, job.chunk, job.errors, job.seed, job.trace, job.same, job.same and job.n,
        job.to == "all" and job.into ~= nil, job.ordered, job.journal, job.progress)
    return job
end

-- Items ---------------------------------------------------------------------------------------------------------------

-- The items first to last of a list, encoded; what cannot travel is named by its place in all items, to which `shift` is
-- added.
local function pack_items(items, first, last, shift)
    local fine, text = pcall(mpi.pack, move(items, first, last, 1, {}))
    if fine then return text end
    error((text:gsub("at value%[(%d+)%]", function (i) return ("at items[%d]"):format(i + first - 1 + shift) end)), 0)
end

-- Bytes of an encoded block of items, and how many there may be in it.
local BLOCK, MOST = 8192, 1024

-- The list as encoded blocks, each of some of its items, and the first item's number of each.
local function blocks_of(items, n)
    local blocks, firsts = {}, {}
    local first, size = 1, 1
    while first <= n do
        local last = math.min(first + size - 1, n)
        local text = pack_items(items, first, last, 0)
        blocks[#blocks + 1], firsts[#firsts + 1] = text, first
        local each = #text / (last - first + 1)
        size = math.max(1, math.min(BLOCK / each // 1 | 0, MOST, 4 * size))
        first = last + 1
    end
    return {kind = "blocks", n = n, blocks = blocks, firsts = firsts}
end

-- A function that gives for an item's number a list with the item, how far that is shifted, and the last item in it.
local function fetch_from(list, n) return function () return list, 0, n end end

local function fetch_from_blocks(given)
    local blocks, firsts, n = given.blocks, given.firsts, given.n
    local list, from, upto = nil, 1, 0
    return function (i)
        if i < from or i > upto then
            local low, high = 1, #firsts
            while low < high do
                local middle = (low + high + 1) // 2
                if firsts[middle] <= i then low = middle else high = middle - 1 end
            end
            from, upto = firsts[low], (firsts[low + 1] or n + 1) - 1
            list = mpi.unpack(blocks[low])
        end
        return list, from - 1, upto
    end
end

-- The same from the chunk of a stream that was taken; where its items did not travel, `kept` has them by their first number.
local function fetch_from_chunks(h, kept)
    local list, from, upto = nil, 1, 0
    return function (i)
        if i < from or i > upto then
            list = kept and kept[i] or mpi.unpack(h:chunk())
            if kept then kept[i] = nil end
            from, upto = i, i + #list - 1
        end
        return list, from - 1, upto
    end
end

-- Seconds that the items of a chunk of a stream are to take, bytes after which it is long enough.
local SECONDS, BYTES = 1e-3, 65536

-- On the root of a stream: a function that reads items until enough are on their way, and returns whether all are read.
local function reader(h, size, job, kept)
    local generator, read, ended, m, most = job.items, 0, false, 1, MOST
    return function ()
        while not ended do
            local ahead, seconds = h:ahead()
            m = job.chunk or math.max(1, math.min(2 * m, SECONDS / (seconds + 1e-9) // 1 | 0, most))
            local n = math.min(m, (job.ahead or 4 * size * m) - ahead)
            if n < 1 then return false end
            local list, k = {}, 0
            while k < n do
                job.reading, ended = read + 1, true -- it may raise
                local x = generator()
                ended = x == nil
                if ended then break end
                k, read = k + 1, read + 1
                list[k] = x
            end
            if k > 0 then
                local bytes = ""
                if kept then kept[read - k + 1] = list
                else
                    bytes = pack_items(list, 1, k, read - k)
                    if #bytes > BYTES then most = math.max(1, k // 2) end
                end
                h:offer(read - k + 1, k, bytes)
            end
            job.reading = nil
        end
        job.read = read
        h:ended()
        return true
    end
end

-- Makes the hand-out ready. → the number of items, nil for a stream; how to fetch them; what gives the next first and last
local function start(h, own, job, n, fetch)
    if job.progress then h:progress(n or -1) end
    if n then
        h:start(n, job.schedule, job.chunk or 0)
        return n, fetch, take
    end
    local here = own:rank() == job.root
    local kept = own:size() == 1 and {} or nil
    h:stream(job.root, job.loop and job.to == job.root, job.loop and job.to == own:rank())
    fetch = fetch_from_chunks(h, kept)
    if not here then return nil, fetch, take end
    job.refill = reader(h, own:size(), job, kept)
    return nil, fetch, function ()
        while true do
            h:rest()
            local ended = job.refill()
            local first, last = take(h)
            if first or ended or h:stopped() then return first, last end
            h:await()
        end
    end
end

-- Gives every rank the number of items (nil when it is a stream) and a way to fetch them: nil where the items are their
-- own numbers.
local function distribute(own, job)
    local items, here = job.items, own:rank() == job.root
    if job.same then return job.n, job.kind ~= "count" and fetch_from(items, job.n) or nil end
    local given
    if here then
        if job.kind == "list" and own:size() > 1 then
            local fine, blocks = pcall(blocks_of, items, job.n)
            given = fine and blocks or {failed = blocks}
        elseif job.kind == "array" then
            given = {kind = "array", n = job.n, shape = {items:shape()}, dtype = items:dtype()}
        else
            given = {kind = job.kind, n = job.n}
        end
    end
    if own:size() > 1 then given = own:bcast(given, job.root) end
    if given.failed then error(placed(given.failed), 0) end
    if given.kind == "stream" then return nil end
    if given.kind == "count" then return given.n end
    if given.kind == "array" then
        if not here then items = mpi.array.empty(given.shape, given.dtype) end
        if own:size() > 1 and given.n > 0 then own:Bcast(items, job.root) end
        return given.n, fetch_from(items, given.n)
    end
    return given.n, here and fetch_from(items, given.n) or fetch_from_blocks(given)
end

return {
    text_of = text_of, placed = placed, new_error = new_error, new_body_error = new_body_error, packed_error = packed_error, sent = sent,
    options_of = options_of, job_of = job_of, distribute = distribute, start = start,
}
