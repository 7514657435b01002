-- The results of comm:map on their way from the ranks that made them to those that want them: lists of any values, which
-- go to their places in a list, and rows of an array. Segments, first, last, first, last …, say which items a rank did.
--
-- The handout is asked for the time only: when the results were there, which one rank says.
local mpi = require "mpi"
local handout = require "mpi.handout"
local jobs = require "mpi.job"

-- whatever a task does to the globals
local error, ipairs, math, pcall, select, table = error, ipairs, math, pcall, select, table

local place, placed = handout.place, jobs.placed

-- Up to this many items the results are together in one message; above so many bytes each rank's are put in their places
-- before those of the next one come, which takes less memory.
local MANY, LARGE = 10000, 2^26 | 0

-- Numbers in an array: bytes that travel at a time.
local PIECE = 2^19 | 0

local function time_of(h) return (select(2, h:times())) end

-- Whether this rank wants the results.
local function wants(own, job) return job.to == "all" or job.to == own:rank() end

-- The list of n results, when each may be put in its place at once; else nil.
local function direct_results(own, job, n)
    if n and wants(own, job) and not job.left and not job.into and (n > MANY or own:size() == 1) then return handout.list(n) end
end

-- What cannot travel ----------------------------------------------------------------------------------------------------

-- The first of the results that cannot, as {its item, why}; else false.
local function refused(values, segments, in_place)
    local k = 0
    for s = 1, #segments, 2 do
        for i = segments[s], segments[s + 1] do
            k = k + 1
            local fine, text = pcall(mpi.pack, values[in_place and i or k])
            if not fine then return {i, text} end
        end
    end
    return false
end

local function raise_refused(list)
    local first
    for _, entry in ipairs(list) do
        if entry and (not first or entry[1] < first[1]) then first = entry end
    end
    if first then
        error(placed(("the result of item %d cannot travel: %s"):format(first[1], (first[2]:gsub(" at value$", "")))), 0)
    end
end

-- Lists -----------------------------------------------------------------------------------------------------------------

-- One after another, what lies in its places.
local function gathered(results, segments)
    local list, k = {}, 0
    for s = 1, #segments, 2 do
        local first, last = segments[s], segments[s + 1]
        table.move(results, first, last, k + 1, list)
        k = k + last - first + 1
    end
    return list
end

-- Few results, for all ranks.
local function bring_few(h, own, values, segments, results)
    local fine, all = pcall(own.allgather, own, {values, segments, own:rank() == 0 and time_of(h) or nil})
    if not fine then
        if all:find "cannot send" then raise_refused(own:allgather(refused(values, segments))) end
        error(all, 0)
    end
    for _, entry in ipairs(all) do place(results, entry[1], entry[2]) end
    return results, all[1][3]
end

-- The `done` values as numbers or encoded, so that only those who want them decode them. → a head, which goes first, and
-- one or the other; with neither it says what cannot travel
local function encoded(values, segments, done, direct)
    local numbers, floats = handout.numbers(values, done, direct and segments or {1, done})
    if numbers then return {count = done, floats = floats, segments = segments}, numbers end
    local fine, text = pcall(mpi.pack, direct and gathered(values, segments) or values)
    if fine then return {bytes = #text, segments = segments}, nil, text end
    return {unsent = refused(values, segments, direct) or {segments[1], text}}
end

-- Puts what another rank sent in its places.
local function take_in(results, head, numbers, text)
    if numbers or text then place(results, numbers or mpi.unpack(text), head.segments, head.floats) end
end

-- To the rank job.to, which alone has `results`.
local function bring_to_one(h, own, job, results, head, numbers, text)
    local rank, unsent = own:rank(), {}
    if not results then
        own:send({head, text}, job.to, 0)
        if numbers then own:Send(numbers, job.to, 0) end
    else
        for r = 0, own:size() - 1 do
            if r ~= rank then
                local message = own:recv(r, 0)
                local other = message[1]
                local list = other.count and mpi.array.empty(other.count, "int64")
                if list then own:Recv(list, r, 0) end
                take_in(results, other, list, message[2])
                unsent[#unsent + 1] = other.unsent
            end
        end
    end
    local told = own:bcast(results and {time_of(h), unsent} or nil, job.to)
    raise_refused(told[2])
    return results, told[1]
end

local function bring_to_all(h, own, results, head, numbers, text)
    local rank, heads, size, unsent, later = own:rank(), own:allgather(head), 0, {}, {}
    for _, other in ipairs(heads) do
        unsent[#unsent + 1] = other.unsent
        size = size + 8 * (other.count or 0) + (other.bytes or 0)
    end
    raise_refused(unsent)
    for r, other in ipairs(heads) do
        local mine, from = r - 1 == rank, r - 1
        local list, bytes
        if other.count then list = own:Bcast(mine and numbers or mpi.array.empty(other.count, "int64"), from)
        elseif other.bytes then bytes = own:bcast(mine and text or nil, from)
        end
        local function put()
            if not mine then take_in(results, other, list, bytes) end
        end
        if size > LARGE then put() else later[#later + 1] = put end
    end
    for _, put in ipairs(later) do put() end
    return results, own:bcast(rank == 0 and time_of(h) or nil)
end

-- The values, `done` of them, one after another, or with `direct`, which is what direct_results gave, in their places.
local function bring_values(h, own, job, n, values, segments, done, direct)
    local results = direct or wants(own, job) and handout.list(n) or nil
    if own:size() == 1 then
        if not direct then place(results, values, segments) end
        return results, time_of(h)
    end
    if job.to == "all" and n <= MANY then return bring_few(h, own, values, segments, results) end
    local head, numbers, text = {}, nil, nil
    if (job.to == "all" or not results) and done > 0 then head, numbers, text = encoded(values, segments, done, direct) end
    if results and not direct then place(results, values, segments) end
    if job.to == "all" then return bring_to_all(h, own, results, head, numbers, text) end
    return bring_to_one(h, own, job, results, head, numbers, text)
end

-- Arrays ----------------------------------------------------------------------------------------------------------------

-- Agrees on the array that the results go into, if any; a rank that does not need it may have brought none.
local function agree_into(own, job, n)
    local here = wants(own, job)
    local mine
    if here and job.into then
        local length = job.into:ndim() > 0 and #job.into or 0
        mine = {shape = {job.into:shape()}, dtype = job.into:dtype()}
        mine.mistake = length ~= n and ("bad argument #3 to '%s' (into has %d %s, there are %d items)"):format(
            job.call, length, #mine.shape > 1 and "rows" or "elements", n)
    end
    local all = {}
    if job.to == "all" then
        if mine then all = own:allgather(mine) end
    else
        all[1] = own:bcast(mine, job.to)
    end
    for r, entry in ipairs(all) do
        if entry.mistake then error(placed(entry.mistake), 0) end
        if entry.dtype ~= all[1].dtype or #entry.shape ~= #all[1].shape then
            error(placed(("the arrays into which the results go differ: %s on rank 0, %s on rank %d"):format(
                all[1].dtype, entry.dtype, r - 1)), 0)
        end
    end
    if all[1] and not here then job.into = mpi.array.empty(all[1].shape, all[1].dtype) end
end

-- The rows that rank `from` made go to the ranks that want them, a piece at a time.
local function bring_rows(own, job, segments, from)
    local into, rank = job.into, own:rank()
    local shape = {into:shape()}
    local row = 8
    for d = 2, #shape do row = row * shape[d] end
    local most, left = math.max(1, PIECE // math.max(1, row)), 0
    for s = 1, #segments, 2 do left = left + segments[s + 1] - segments[s] + 1 end
    local s, skipped = 1, 0
    shape[1] = math.min(most, left)
    local room = mpi.array.empty(shape, into:dtype())
    while left > 0 do
        shape[1] = math.min(most, left)
        local piece = shape[1] == #room and room or room:slice(1, shape[1])
        if rank == from then handout.copy_rows(into, segments, s, skipped, piece, true) end
        if job.to == "all" then own:Bcast(piece, from)
        elseif rank == from then own:Send(piece, job.to, 0)
        else own:Recv(piece, from, 0)
        end
        if rank ~= from then s, skipped = handout.copy_rows(into, segments, s, skipped, piece, false)
        else s, skipped = handout.copy_rows(into, segments, s, skipped, piece, nil)
        end
        left = left - shape[1]
    end
end

local function bring_into(h, own, job, segments)
    local rank, from = own:rank(), job.to == "all" and 0 or job.to
    if own:size() == 1 then return job.into, time_of(h) end
    local all
    if job.to == "all" then all = own:allgather(segments) else all = own:gather(segments, job.to) end
    for r = 0, own:size() - 1 do
        if job.to == "all" or r ~= job.to and (rank == r or rank == job.to) then
            bring_rows(own, job, r == rank and segments or all[r + 1], r)
        end
    end
    return wants(own, job) and job.into or nil, own:bcast(rank == from and time_of(h) or nil, from)
end

-- Brings the results together where they are wanted. → the results, nil elsewhere; and when they were there
local function bring(h, own, job, n, values, segments, done, direct)
    if job.into then return bring_into(h, own, job, segments) end
    return bring_values(h, own, job, n, values, segments, done, direct)
end

return {wants = wants, direct_results = direct_results, agree_into = agree_into, bring = bring}
