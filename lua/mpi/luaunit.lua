-- LuaUnit for ranks: every rank runs every test, after each step (setUp, the test, tearDown) the ranks agree on its
-- outcome. What fails on one rank fails everywhere, and rank 0 alone reports it, with each rank's message.

local lu = require "luaunit"
local interrupt = require "mpi.interrupt"
local mpi = require "mpi"
local ranks = require "mpi.ranks"

local base = {}
for name, value in pairs(lu.LuaUnit) do base[name] = value end
local LuaUnit, NodeStatus = lu.LuaUnit, lu.NodeStatus

local severity = {[NodeStatus.SKIP] = 1, [NodeStatus.FAIL] = 2, [NodeStatus.ERROR] = 3}

-- One outcome from the list by rank of each rank's own (false where all went well): the worst status, and every
-- rank's message under the ranks that have it. On one rank it is that rank's own.
local function merge(outcomes)
    local status, texts = NodeStatus.SUCCESS, {n = outcomes.n}
    for i = 1, outcomes.n do
        local own = outcomes[i]
        if own then
            if (severity[own.status] or 0) > (severity[status] or 0) then status = own.status end
            texts[i] = own.status .. own.msg
        end
    end
    if status == NodeStatus.SUCCESS then return {status = status} end
    if outcomes.n == 1 then return outcomes[1] end
    local messages, traces = {}, {}
    for _, group in ipairs(ranks.groups(texts)) do
        local first, who = outcomes[group.ranks[1] + 1], ranks.text(group.ranks)
        messages[#messages + 1] = who .. ": " .. first.msg
        if first.trace then traces[#traces + 1] = who .. ", " .. first.trace end
    end
    return {status = status, msg = table.concat(messages, "\n"), trace = table.concat(traces, "\n")}
end

-- A list by rank of what each rank gives. A job of one rank needs no communication to be tested.
local function everyones(comm, value)
    return comm:size() == 1 and {n = 1, value} or comm:allgather(value)
end

--- Whether a test that fails on one rank stops the others, where they wait for it.
lu.guarded = os.getenv "LUAMPI_GUARDED" ~= "0"

--- Seconds that a rank whose test failed waits for ranks that go on, before it stops them.
lu.patience = 10

-- The traceback of a test without what runs it.
local function trimmed(trace, message, name)
    local lines, kept = {}, {"stack traceback:"}
    for line in trace:match("\nstack traceback:\n(.*)"):gmatch("[^\n]+") do
        if line:find("'mpi.interrupt.run'", 1, true) then break end
        lines[#lines + 1] = line
    end
    local place, first = tostring(message):match("^([^\n]-:%d+): "), 1
    for i = #lines, 1, -1 do
        if place and lines[i]:find(place .. ":", 1, true) then first = i end
    end
    table.move(lines, first, #lines, 2, kept)
    return (table.concat(kept, "\n"):gsub("in function <[^>]*>$", ("in function '%s'"):format(name or "?")))
end

-- The step, so that it can be stopped. Collective.
local function guarded(self, instance, method, name)
    local result
    local ok, own = pcall(base.protectedCall, self, instance, function (...)
        result = table.pack(interrupt.run(method, ...))
        if not result[1] then error(result[2], 0) end
    end, name)
    if not ok then own = {status = NodeStatus.ERROR, msg = tostring(own)} end
    if own.trace then own.trace = trimmed(result[3], own.msg, name) end
    local failed = own.status == NodeStatus.FAIL or own.status == NodeStatus.ERROR
    local limit = mpi.wtime() + lu.patience
    interrupt.meet(failed and function ()
        if mpi.wtime() > limit then interrupt.stop() end
    end or nil)
    return own
end

-- Collective: every rank gets the same outcome of a step.
function LuaUnit:protectedCall(instance, method, name)
    self.step = name
    local own
    if lu.guarded and not interrupt.running() then
        own = guarded(self, instance, method, name)
    else
        local ok, outcome = pcall(base.protectedCall, self, instance, method, name)
        -- LuaUnit trips over some messages while it rewrites them (a '%' before the line number)
        own = ok and outcome or {status = NodeStatus.ERROR, msg = tostring(outcome)}
    end
    return merge(everyones(self.comm, own.status ~= NodeStatus.SUCCESS and own))
end

-- LuaUnit has no test to blame for an error in setupSuite, setupClass and their like: the step becomes one.
function LuaUnit:updateStatus(outcome)
    if self.result.currentNode or outcome.status == NodeStatus.SUCCESS then return base.updateStatus(self, outcome) end
    self:startTest(self.step)
    base.updateStatus(self, outcome)
    self:endTest()
end

-- The name of the running test leaves the process before the test can hang.
function LuaUnit:startTest(name)
    base.startTest(self, name)
    io.stdout:flush()
end

-- The ranks must run the same tests in the same order: rank 0's, which may be shuffled.
function LuaUnit:ordered(tests)
    local names, by_name = {}, {}
    for i, test in ipairs(tests) do
        names[i], by_name[test[1]] = test[1], test
    end
    local lists = everyones(self.comm, names)
    for i = 1, lists.n do
        local here = {}
        for _, name in ipairs(lists[i]) do here[name] = true end
        for _, name in ipairs(lists[1]) do
            if not here[name] then error(("%s is a test on rank 0 but not on rank %d"):format(name, i - 1), 0) end
        end
        if #lists[i] ~= #lists[1] then error(("rank %d has tests that rank 0 has not"):format(i - 1), 0) end
    end
    local order = {}
    for i, name in ipairs(lists[1]) do order[i] = by_name[name] end
    return order
end

-- LuaUnit prints some words by itself, past its output classes: rank 0's suffice.
local function quietly(f, ...)
    if mpi.COMM_WORLD:rank() == 0 then return f(...) end
    local print = print
    _G.print = function () end
    local result = f(...)
    _G.print = print
    return result
end

function LuaUnit:endTest() quietly(base.endTest, self) end

-- LuaUnit leaves from here when the options are bad, with -1: that is 1.
function LuaUnit:initFromArguments(...)
    local exit = os.exit
    os.exit = function (code) exit(code == 0 and 0 or 1) end
    local names = quietly(base.initFromArguments, self, ...)
    os.exit = exit
    return names
end

-- An end asked for by --error or --failure is an ordinary end with failures: the run returns.
function LuaUnit:endSuite()
    base.endSuite(self)
    self.result.aborted = nil
end

-- The core of every way to run tests.
function LuaUnit:internalRunSuiteByInstances(tests)
    if lu.guarded then interrupt.begin() end
    self.comm = mpi.COMM_WORLD:dup()
    if self.comm:rank() > 0 then self:setOutputType("nil") end
    self.applyPatternFilter = function (patterns, all)
        local included, excluded = base.applyPatternFilter(patterns, all)
        return self:ordered(included), excluded
    end
    base.internalRunSuiteByInstances(self, tests)
    local result = self.result
    if self.comm:rank() == 0 then
        local skipped = result.skippedCount > 0 and (", %d skipped"):format(result.skippedCount) or ""
        print(("%d passed, %d failed%s"):format(result.successCount, result.notSuccessCount, skipped))
    end
    self.comm:free()
end

-- Collective; what they return, and with them lu.run(), is the exit code: 0 or 1 on every rank.
for _, name in ipairs {"runSuite", "runSuiteByInstances"} do
    LuaUnit[name] = function (...)
        return base[name](...) == 0 and 0 or 1
    end
end

--- Skips the running test on a job of fewer than `n` ranks.
function lu.ranks(n)
    local size = mpi.COMM_WORLD:size()
    lu.skipIf(size < n, ("needs %d ranks, has %d"):format(n, size))
end

return lu
