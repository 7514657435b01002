-- The prompt: rank 0 reads lines, every rank runs them, rank 0 shows what came of it.

local mpi = require "mpi"
local capture = require "mpi.capture"
local help = require "mpi.help"
local interrupt = require "mpi.interrupt"
local near = require "mpi.near"
local ranks = require "mpi.ranks"

local load = load
local pack, unpack, concat = table.pack, table.unpack, table.concat
local error, ipairs, rawget, rawset, setmetatable, tonumber, tostring, type =
    error, ipairs, rawget, rawset, setmetatable, tonumber, tostring, type
local collectgarbage, require, math, os, table, open = collectgarbage, require, math, os, table, io.open
local globals, version = _G, _VERSION
local wtime, sleep, getpid, processor_name = mpi.wtime, mpi.sleep, mpi.getpid, mpi.processor_name
local send, recv, iprobe, gather = mpi.comm.send, mpi.comm.recv, mpi.comm.iprobe, mpi.comm.gather
local dup, free = mpi.comm.dup, mpi.comm.free

local rank, size = mpi.COMM_WORLD:rank(), mpi.COMM_WORLD:size()

-- What every rank does ----------------------------------------------------------------------------------------

-- A line is an expression or statements: the function, and whether its first result is true for nothing. (That keeps
-- the call of an expression from being a tail call, which leaves no trace of the line.)
local function compile(code)
    local f = load("return true, " .. code, "=stdin", "t")
    if f then return f, true end
    return load(code, "=stdin", "t")
end

-- The calls that led from the line to the error, without those of modules compiled in; nil when they tell nothing that
-- is not in the message.
local function essence(trace)
    local calls, functions = {}, 0
    for call in trace:gmatch("\n(\t[^\n]+)") do
        if call:find("^\tmpi/repl%.lua:") or call:find("^\tmpi/show%.lua:") then
            while #calls > 0 and calls[#calls]:find("^\t%[C%]:") do table.remove(calls) end
            break
        end
        local compiled_in = call:find("^\tmpi/[%w_]+%.lua:")
        if not compiled_in and not (#calls == 0 and call == "\t[C]: in function 'error'") then calls[#calls + 1] = call end
        if call:find(": in main chunk$") then break end
        if not (compiled_in or call:find("^\t%[C%]:") or call == "\t(...tail calls...)") then functions = functions + 1 end
    end
    return functions > 0 and "stack traceback:\n" .. concat(calls, "\n") or nil
end

local show

local private   -- a communicator of the prompt's own
local attendant -- on rank 0

-- What an error says: the handler has asked its __tostring, and begins the traceback with it.
local function said(value, trace)
    return type(value) == "string" and value or trace:match("^(.*)\nstack traceback:\n") or trace
end

local leaving -- the status that os.exit was called with in a line

-- In a line os.exit ends the session, on all ranks and in good order.
local function replace_exit()
    local exit = os.exit
    local own = getpid()
    function os.exit(code, ...)
        if not interrupt.running() or getpid() ~= own then exit(code, ...) end -- a child of this rank has its own end
        if code ~= nil and type(code) ~= "boolean" and not math.tointeger(code) then exit(code, ...) end -- raises
        leaving = (code == nil or code == true) and 0 or code == false and 1 or math.tointeger(code)
        interrupt.stop()
        error("leaving", 0)
    end
end

-- Collective: a job of rank 0's, {code=, on=}. Rank 0 gets what came of it, by rank.
local function perform(job)
    local own = {}
    capture.begin()
    if not job.on or job.on[rank] then
        local began = wtime()
        local f, is_expression = compile(job.code)
        local first = is_expression and 3 or 2
        local results = pack(interrupt.run(f))
        own.seconds = wtime() - began
        if results[1] and results.n >= first then
            rawset(globals, "_", results[first])
            results = pack(interrupt.run(show.values, unpack(results, first, results.n))) -- runs their __tostring
            own.text = results[1] and results[2]
        end
        if not results[1] then
            local trace = results[3] or ""
            own.failed = {message = said(results[2], trace), trace = essence(trace)}
        end
    end
    own.leaving, own.output = leaving, capture.finish()
    own.stopped = interrupt.meet()
    if attendant then own.late = attendant.finish() end -- at once: a wish to stop that comes now is not for the next line
    return gather(private, own)
end

-- Waits for rank 0's next job: ever more seldom, so that all ranks together need next to nothing.
local function await()
    local began = wtime()
    while not iprobe(private, 0) do
        local waited = wtime() - began
        if waited > 0.001 then sleep(math.min(0.02, waited / 20)) end
    end
    return (recv(private, 0))
end

local jobs = {run = perform}

function jobs.ranks()
    return gather(private, {host = processor_name(), pid = getpid(), kilobytes = collectgarbage "count"})
end

--- How the program ends or goes on: {"quit", status} or {"reset"}.
local function follow()
    while true do
        local job = await()
        if not jobs[job.what] then return job end
        jobs[job.what](job)
    end
end

-- What rank 0 does --------------------------------------------------------------------------------------------

local function everybody(job)
    for other = 1, size - 1 do send(private, job, other) end
    local f = jobs[job.what]
    return f and f(job)
end

-- Seconds as people say them.
local function duration(seconds)
    if seconds < 1e-3 then return ("%.0f µs"):format(seconds * 1e6) end
    if seconds < 1 then return ("%.3g ms"):format(seconds * 1e3) end
    return ("%.3g s"):format(seconds)
end

local session = {}
session.__index = session

function session:write(text) if text ~= "" then self.prompt.write(text) end end

function session:fail(message)
    self.failed = true
    self:write(self.show.complaint(message))
end

-- A line, or nil and "end" or "interrupted".
function session:read(prompt, name)
    if not self.atterminal then return self.prompt.readline("") end
    local own = rawget(globals, name)
    local line, why = self.prompt.readline(own == nil and prompt or tostring(own), self.completer)
    if line then self.entered[#self.entered + 1] = line end
    return line, why
end

-- What has been entered since the last call is one entry of the history.
function session:remember()
    local text = concat(self.entered, "\n"):gsub("%s+$", "")
    self.entered = {}
    if not self.history or text == "" then return end
    self.prompt.remember(text)
    if text ~= self.latest then self.history.add(text) end
    self.latest = text
end

-- Runs code on the ranks of the list, all without; shows output, values, errors, and if `timed`, how long it took.
-- Returns what ends the session.
function session:run(code, on, timed)
    local job = {what = "run", code = code}
    if on then
        job.on = {}
        for _, r in ipairs(on) do job.on[r] = true end
    end
    attendant.begin(self.limit)
    local results = everybody(job)
    local output, texts, errors, times = capture.taken(results[1].stopped), {}, {}, {}
    local status
    for i = 1, size do
        local own = results[i]
        output[i] = output[i] or own.output
        texts[i], errors[i], times[i] = own.text or false, own.failed or false, own.seconds and duration(own.seconds)
        if own.failed then self.failed = true end
        if own.leaving then status = math.max(status or 0, own.leaving) end
    end
    self:write(self.show.output(output))
    if status then return {what = "quit", status = status} end
    self:write(self.show.results(texts, self.width()))
    self:write(self.show.errors(errors))
    if results[1].late then self:write(self.show.complaint(("stopped after %g s, as :timeout says"):format(self.limit))) end
    if timed then self:write(self.show.results(times, self.width())) end
end

-- Reads on until the statements that begin with `code` are whole; nil when the input ends before.
function session:complete(code)
    while true do
        local f, message = compile(code)
        if f or not message:find("<eof>$") then return code end
        local line, why = self:read(">> ", "_PROMPT2")
        if why == "end" then self:fail(message) end
        if not line then return nil end
        code = code .. "\n" .. line
    end
end

-- The prompt's own commands: {arguments, what the list says, function (session, rest of the line, line)}
local commands = {}

local function command(name, arguments, about, run)
    commands[name] = {arguments, about, run}
    table.insert(commands, name)
end

command("help", "", "this list", function (self)
    local rows = {
        {"@2 code", "on rank 2 alone; @0,2 code and @1-3 code on some"},
        {"?name", "help, as in ?comm.Allreduce and ?array"},
        {"_", "the last value"},
    }
    for _, name in ipairs(commands) do
        local about = commands[name]
        rows[#rows + 1] = {":" .. name .. (about[1] ~= "" and " " .. about[1] or ""), about[2]}
    end
    self:write("Every line runs on every rank; values are shown without print.\n")
    for _, row in ipairs(rows) do self:write(("  %-12s  %s\n"):format(row[1], row[2])) end
    if self.prompt.edits() then
        self:write("TAB completes, Ctrl-R searches the history, Ctrl-C gives up or stops a line, Ctrl-D leaves.\n")
    end
end)

command("ranks", "", "where the ranks are, and the memory Lua takes there", function (self)
    local rows, width = everybody {what = "ranks"}, 4
    for _, row in ipairs(rows) do width = math.max(width, #row.host) end
    for i, row in ipairs(rows) do
        self:write(("rank %d  %-" .. width .. "s  pid %d  %.1f MB\n"):format(i - 1, row.host, row.pid, row.kilobytes / 1024))
    end
end)

command("time", "code", "run code and tell how long it took", function (self, code, line)
    if not code:find("%S") then return self:fail(":time takes code: " .. line .. " comm:barrier()") end
    return self:line(code, true)
end)

command("timeout", "S", "stop lines that run longer than S seconds; 0: none", function (self, text)
    local seconds = tonumber(text)
    if text ~= "" and not (seconds and seconds >= 0 and seconds < math.huge) then
        return self:fail((":timeout takes seconds, not '%s'"):format(text))
    end
    self.limit = seconds or self.limit
    self:write(self.limit > 0 and ("lines are stopped after %g s\n"):format(self.limit) or "lines may run for ever\n")
end)

command("reset", "", "a fresh Lua on every rank", function () return {what = "reset"} end)

command("save", "file", "write what ran since the start or :reset; luampi -i < file runs it again", function (self, path)
    if path == "" then return self:fail(":save takes the name of a file") end
    local text = concat(self.ran, "\n") .. (#self.ran > 0 and "\n" or "")
    local file, message = open(path, "w")
    if file then
        local fine
        fine, message = file:write(text)
        local closed, late = file:close()
        if fine and not closed then message = late elseif fine then message = nil end
    end
    if message then return self:fail("not saved: " .. message) end
    local _, count = text:gsub("\n", "")
    self:write(("%d line%s in %s\n"):format(count, count == 1 and "" or "s", path))
end)

command("quit", "", "leave, as Ctrl-D does", function () return {what = "quit"} end)

function session:command(line)
    local name, rest = line:match("^:%s*(%w*)%s*(.-)%s*$")
    local about = commands[name]
    if about then return about[3](self, rest, line) end
    if name == "" then return self:fail("after : comes a command; :help lists them") end
    local come_near = near(name, commands)
    if #come_near > 0 then return self:fail(("no command ':%s'; near it: :%s"):format(name, concat(come_near, " :"))) end
    self:fail(("no command ':%s'; there are :%s"):format(name, concat(commands, " :")))
end

-- What is said to words that mean something elsewhere, where they are no globals.
local meant = {
    help = ":help tells what can be done here, ?name of a function, as in ?comm.bcast",
    quit = ":quit or Ctrl-D leaves",
    exit = ":quit or Ctrl-D leaves",
}

-- "0,2-3 code" → "0,2-3", "code"
local function chosen(text)
    local last
    repeat
        local first, to = text:find(last and "^,%s*%d+%-?%d*" or "^%d+%-?%d*", last and last + 1 or 1)
        last = to or last
    until not first
    if last and not text:find("^,", last + 1) then return text:sub(1, last), text:sub(last + 1) end
end

-- One line of input, and those that continue it; returns what ends the session.
function session:line(line, timed)
    local typed = line
    local on, message
    local at = line:match("^%s*@%s*(.*)$")
    if at then
        local where, rest = chosen(at)
        if not where then return self:fail(("'%s': after @ come ranks, as in @2, @0,2 or @1-3"):format(line)) end
        on, message = ranks.parse(where, size)
        if not on then return self:fail(message) end
        line = rest
    elseif line:find("^%s*%?") then
        local name = line:match("^%s*%?%s*(.-)%s*$")
        if name == "" then return self:command(":help") end
        return self:write(help.text(name, self.width()) .. "\n")
    elseif line:find("^%s*:%s*%f[%a\0]") then
        return self:command(line:match("^%s*(.*)$"))
    end
    if line:find("^%s*$") then return end
    local code = self:complete(line)
    if not code then return end
    local word = code:match("^%s*(%a+)%s*$")
    if meant[word] and rawget(globals, word) == nil then return self:write(meant[word] .. "\n") end
    local asked = code:match [[^%s*help%s*%(?%s*["']?([%a_][%w_.:]*)["']?%s*%)?%s*$]]
    if asked and rawget(globals, "help") == nil then return self:write(help.text(asked, self.width()) .. "\n") end
    local f, wrong = compile(code)
    if not f then return self:fail(wrong) end
    self:remember()
    self.ran[#self.ran + 1] = (timed and ":time " or "") .. typed .. code:sub(#line + 1)
    return self:run(code, on, timed)
end

function session:greeting()
    local where = processor_name()
    return ("luampi %s  (%s, %s)  %s on %s; :help tells more\n"):format(mpi.version, version, mpi.library_version,
        size == 1 and "1 rank" or size .. " ranks", where)
end

local function lead(self)
    attendant = require "mpi.attendant"
    attendant.start(size, self.colour)
    if self.prompt.edits() then
        self.history = require "mpi.history" (self.prompt.makefolder)
        self.completer = require "mpi.complete" (self.prompt.entries, commands)
        if self.first then
            for _, entry in ipairs(self.history.entries()) do self.prompt.remember(entry) end
        end
    end
    if self.atterminal and self.first then self:write(self:greeting()) end
    local ending
    repeat
        local line, why = self:read("> ", "_PROMPT")
        if line then ending = self:line(line) elseif why == "end" then ending = {what = "quit"} end
        self:remember()
    until ending
    ending.status = ending.status or self.strict and self.failed and 1 or 0
    everybody(ending)
    return ending
end

local repl = {}

--- Collective: lives through a session. options: atterminal, strict, first (of this job) → "quit" or "reset", status
function repl.run(options)
    interrupt.begin()
    replace_exit()
    private = dup(mpi.COMM_WORLD)
    capture.start()
    local colour = options.atterminal and not os.getenv("NO_COLOR") and os.getenv("TERM") ~= "dumb"
    show = require "mpi.show" (size, colour)
    local terminal = require "mpi.terminal"
    local columns = terminal.columns
    function terminal.columns() -- what a line prints stands behind its ranks
        local n = columns()
        return n and n - show.margin
    end
    local ending
    if rank == 0 then
        ending = lead(setmetatable({
            prompt = require "mpi.prompt", show = show,
            atterminal = options.atterminal, strict = options.strict and not options.atterminal, colour = colour,
            width = function () return options.atterminal and columns() or 80 end,
            first = options.first, limit = 0, ran = {}, entered = {},
        }, session))
    else
        ending = follow()
    end
    interrupt.leave()
    free(private)
    return ending.what, ending.status
end

return repl
