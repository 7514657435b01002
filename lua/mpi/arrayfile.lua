-- One .npy file written by all ranks of a communicator, each its block of rows. Nothing is visible under the file's name
-- before all of it is written, and what goes wrong on one rank raises on every one.

local CALLER = 3 -- error's level for the line that called array.save, which calls this module

-- The first rank's mistake, as every rank says it; nil when there is none. `said` is the list by rank.
local function mistake(said)
    for i = 1, said.n do
        if said[i] then return ("rank %d: %s"):format(i - 1, said[i]) end
    end
end

-- Runs a step of this rank's: nil when it went well, else the message.
local function failure(f, ...)
    local ok, message = pcall(f, ...)
    if not ok then return tostring(message) end
end

-- What this rank brings: dtype, shape and path, or what is wrong with it.
local function offer(path, block, options)
    if type(path) ~= "string" then return {mistake = "bad argument #1 to 'save' (string expected, got " .. type(path) .. ")"} end
    for name in pairs(options) do
        if name ~= "comm" and name ~= "sync" then
            return {path = path, mistake = ("bad argument #3 to 'save' (unknown option '%s'; known are: comm sync)"):format(name)}
        end
    end
    local ok, dtype = pcall(function () return block:dtype() end)
    local mistake
    if not ok then mistake = "bad argument #2 to 'save' (mpi.array expected, got " .. type(block) .. ")"
    elseif not pcall(block.t, block) then mistake = "the array's memory was freed"
    elseif block:ndim() == 0 then mistake = "a 0-d array has no rows"
    end
    return {path = path, mistake = mistake, dtype = dtype, shape = ok and {block:shape()}}
end

local function row_text(o) return ("%s with rows of shape (%s)"):format(o.dtype, table.concat(o.shape, ", ", 2)) end

-- The first thing that keeps the blocks from being one array; nil when nothing does.
local function misfit(offers)
    local first = offers[1]
    for i = 1, offers.n do
        local o = offers[i]
        if o.mistake then return ("rank %d: %s"):format(i - 1, o.mistake) end
        if o.path ~= first.path then return ("rank %d saves %s, rank 0 %s"):format(i - 1, o.path, first.path) end
        if row_text(o) ~= row_text(first) then return ("rank %d has %s, rank 0 %s"):format(i - 1, row_text(o), row_text(first)) end
    end
end

local function save(path, block, options, steps)
    local comm = options.comm
    local whole, rank = pcall(function () return comm:rank() end)
    if not whole then error("bad argument #3 to 'save' (comm: not a communicator)", CALLER) end
    local offers = comm:allgather(offer(path, block, options))
    local wrong = misfit(offers)
    if wrong then error(("cannot save %s: %s"):format(offers[1].path, wrong), CALLER) end

    local shape, before = {table.unpack(offers[1].shape)}, 0
    shape[1] = 0
    for i = 1, offers.n do
        if i <= rank then before = before + offers[i].shape[1] end
        shape[1] = shape[1] + offers[i].shape[1]
    end
    local row = tonumber(offers[1].dtype:match("%d+")) // 8
    for d = 2, #shape do row = row * shape[d] end
    local file, target, plan
    if rank == 0 then
        local ok, result, temporary, final, header = pcall(steps.create, path, offers[1].dtype, shape)
        if ok then file, target, plan = result, final, {temporary = temporary, header = header}
        else plan = {mistake = result} end
    end
    plan = comm:bcast(plan)
    if plan.mistake then error(plan.mistake, CALLER) end

    wrong = mistake(comm:allgather(failure(steps.write, plan.temporary, block, plan.header + before * row, options.sync)))
    if rank == 0 then
        local uncommitted = failure(steps.commit, file, not wrong and target or nil)
        wrong = wrong or uncommitted
    end
    wrong = comm:bcast(wrong)
    if wrong then error(("cannot save %s: %s"):format(path, wrong), CALLER) end
end

return {save = save}
