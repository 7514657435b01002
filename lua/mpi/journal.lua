-- Journals: the finished results of a map in a file, so that the same map goes on where a killed job ended. All ranks
-- append to one file, a record each result; a rank, the root, looks after it. Option of map; see lua/meta/map.lua.

local mpi = require "mpi"
local core = require "mpi.journal.core"

-- whatever a task does to the globals
local _G, debug, error, getmetatable, io, ipairs, math, next, os, pairs, pcall, setmetatable, string, table, type =
    _G, debug, error, getmetatable, io, ipairs, math, next, os, pairs, pcall, setmetatable, string, table, type

local checksum = core.checksum
local pack = string.pack

local journal = {}

-- Fingerprints ------------------------------------------------------------------------------------------------------

local digest

-- Of a table, whatever the order in which its pairs come. `above` holds the tables it is in and how deep; `known` the
-- digests of tables seen before, where those do not depend on what is above. → digest, the least depth referred to
local function digest_table(t, above, depth, known)
    if known[t] then return known[t], depth end
    above[t] = depth
    local parts, n, reach = {}, #t, depth
    for i = 1, n do
        local part, deep = digest(t[i], above, depth + 1, known)
        parts[i], reach = part, math.min(reach, deep)
    end
    local pairs_sum = 0
    for key, value in next, t do
        if not (math.type(key) == "integer" and key >= 1 and key <= n) then
            local k, deep = digest(key, above, depth + 1, known)
            local v, deeper = digest(value, above, depth + 1, known)
            pairs_sum, reach = pairs_sum + checksum(v, checksum(k)), math.min(reach, deep, deeper)
        end
    end
    above[t] = nil
    local own = pack("<c1I4s4", "t", pairs_sum & 0xFFFFFFFF, table.concat(parts))
    own = "T" .. pack("<I4", checksum(own))
    if reach == depth then known[t] = own end
    return own, reach
end

local function digest_function(f, above, depth, known)
    if debug.getinfo(f, "S").what == "C" then return "C", depth end
    local reach, parts = depth, {string.dump(f, true)}
    above[f] = depth
    for i = 1, math.huge do
        local name, value = debug.getupvalue(f, i)
        if not name then break end
        if value ~= _G then
            local part, deep = digest(value, above, depth + 1, known)
            parts[#parts + 1], reach = part, math.min(reach, deep)
        end
    end
    above[f] = nil
    return "F" .. pack("<I4", checksum(table.concat(parts))), reach
end

-- Rows of an array that are looked at at a time, by their size
local PIECE = 1 << 20

local function digest_array(a)
    local text = ("%s %s"):format(a:dtype(), table.concat({a:shape()}, " "))
    if a:ndim() == 0 then return "A" .. pack("<I4", checksum(a:bytes(), checksum(text))) end
    local sum, rows = checksum(text), #a
    local step = math.max(1, PIECE * math.max(rows, 1) // (8 * math.max(a:size(), 1)))
    for first = 1, rows, step do sum = checksum(a:slice(first, math.min(rows, first + step - 1)):bytes(), sum) end
    return "A" .. pack("<I4", sum)
end

-- A short text that is the same for equal values, in every run; and the least depth it refers to, see digest_table.
function digest(value, above, depth, known)
    local kind = math.type(value) or type(value)
    if kind == "integer" then return pack("<c1i8", "i", value), depth end
    if kind == "float" then return pack("<c1d", "f", value), depth end
    if kind == "string" then
        return #value <= 64 and pack("<c1s4", "s", value) or pack("<c1I8I4", "S", #value, checksum(value)), depth
    end
    if kind == "boolean" then return value and "1" or "0", depth end
    if above[value] then return pack("<c1I4", "^", depth - above[value]), above[value] end
    if kind == "table" then return digest_table(value, above, depth, known) end
    if kind == "function" then return digest_function(value, above, depth, known) end
    if kind == "userdata" and getmetatable(value) == "mpi.array" then return digest_array(value), depth end
    return "?" .. kind, depth
end

--- The fingerprint of n items: a list or an array; nil means the numbers from 1 to n.
function journal.fingerprint(items, n)
    if not items then return "count" end
    if type(items) ~= "table" then return ("%08x"):format(string.unpack("<I4", digest(items, {}, 0, {}), 2)) end
    local known, parts, sum = {}, {}, 0
    for i = 1, n do
        parts[#parts + 1] = digest(items[i], {}, 0, known)
        if #parts == 1000 or i == n then
            sum = checksum(table.concat(parts), sum)
            parts = {}
        end
    end
    return ("%08x"):format(sum)
end

-- Files -------------------------------------------------------------------------------------------------------------

local LINE = ("luampi journal %s\n"):format(mpi.version)

local function note(text) io.stderr:write("luampi: ", text, "\n") end

local function tasks_text(tasks)
    local text = ("%d items"):format(tasks.n)
    if tasks.items ~= "count" then text = text .. " with fingerprint " .. tasks.items end
    return text .. (tasks.seed and (", seed %s"):format(tasks.seed) or ", no seed")
end

local function check(value, problem) return value or error(problem, 0) end

-- An owner's look at the file: its own tasks go into an empty one; else → the list of records in it.
local function begin(file, tasks)
    check(file:own(), "another job is using it")
    local line = file:text(#LINE)
    if line == "" then
        local clock = ("%s-%x-%x"):format(os.time(), mpi.getpid(), math.floor(mpi.wtime() * 1e6))
        local head = {n = tasks.n, items = tasks.items, seed = tasks.seed, id = clock}
        check(file:append(0, head, LINE))
        return head, {}
    end
    if line ~= LINE then
        local version = line:match "^luampi journal ([%d.]+)\n"
        error(version and ("it was written by luampi %s, this is %s"):format(version, mpi.version) or "it is no journal", 0)
    end
    local fine, head = file:read(#LINE)
    if not fine then error("its head is damaged", 0) end
    if head.n ~= tasks.n or head.items ~= tasks.items or head.seed ~= tasks.seed then
        error(("it belongs to other tasks: it has %s; this map has %s"):format(tasks_text(head), tasks_text(tasks)), 0)
    end
    local records, damaged, ends, size = file:scan(#LINE)
    check(records, damaged)
    if damaged > 0 then note(("journal '%s': %d bytes in it are no record, and left out"):format(tasks.path, damaged)) end
    if ends < size then
        check(file:truncate(ends))
        note(("journal '%s': an unfinished record of %d bytes at its end is dropped"):format(tasks.path, size - ends))
    end
    return head, records
end

local methods = {}
methods.__index = methods

-- Opens on the root: → {id, records} or {mistake}, for all
local function open_first(self, tasks)
    local fine, head, records = pcall(function ()
        self.file = check(core.open(tasks.path, true))
        return begin(self.file, tasks)
    end)
    return fine and {id = head.id, records = records} or {mistake = head}
end

-- Opens on another rank: nil when it is the same file, else the mistake
local function open_other(self, path, id, rank)
    local where = ("rank %d (%s)"):format(rank, mpi.processor_name())
    local file, problem = core.open(path, false)
    if not file then return ("%s cannot open it: %s"):format(where, problem) end
    self.file = file
    local fine, head = file:read(#LINE)
    if not (fine and head.id == id) then
        return ("%s sees another file under this name; it must lie where all ranks see it"):format(where)
    end
end

--- Opens the journal of `tasks`, or begins it. Collective; raises the same on every rank. `tasks`, whose n, items (a
--- fingerprint) and seed must be the file's, count on the root.
---@param comm mpi.comm
---@param path string
---@param tasks {n: integer, items: string, seed: any}
---@param root integer
function journal.open(comm, path, tasks, root)
    local self = setmetatable({path = path, offsets = {}}, methods)
    local rank, given = comm:rank(), nil
    if rank == root then given = open_first(self, {path = path, n = tasks.n, items = tasks.items, seed = tasks.seed}) end
    given = comm:bcast(given, root)
    local mistake = given.mistake
    if not mistake then
        for _, problem in ipairs(comm:allgather(rank ~= root and open_other(self, path, given.id, rank) or false)) do
            mistake = mistake or problem
        end
    end
    if mistake then
        self:close()
        error(("journal '%s': %s"):format(path, mistake), 0)
    end
    local records = given.records
    for k = 1, #records, 2 do
        local i = records[k]
        if i >= 1 and i <= tasks.n then self.offsets[i] = records[k + 1] end
    end
    self.n = tasks.n
    return self
end

--- The items that are not done, in order; nil when none is done.
function methods:left()
    if not next(self.offsets) then return nil end
    local list = {}
    for i = 1, self.n do
        if not self.offsets[i] then list[#list + 1] = i end
    end
    return list
end

--- Calls visit(i, value) for every item that is done.
function methods:each(visit)
    for i, offset in pairs(self.offsets) do
        local fine, value = self.file:read(offset)
        if not fine then error(("journal '%s': the record of item %d cannot be read any more"):format(self.path, i), 0) end
        visit(i, value)
    end
end

--- The result of item i is kept.
function methods:write(i, value)
    local fine, problem = self.file:append(i, value)
    if not fine then error(("journal '%s': cannot write the result of item %d: %s"):format(self.path, i, problem), 0) end
end

function methods:close()
    if self.file then self.file:close() end
end

methods.__close = methods.close

return journal
