-- scripts/test in Lua: runs the suites and the cases, each as a job of its own, and adds up what they say.
--
-- tests/test_<name>.lua     a suite on mpi.luaunit, run on 1, 2, 3 and 4 ranks
-- tests/<group>/<name>.lua  a case: a whole job of which exit code and output are looked at; group fail: jobs that go
--                           wrong, program: the program and the scripts around it, terminal: sessions at a terminal
-- tests/repl/<name>.txt     sessions at the prompt, piped in: a line "# 4 ranks" begins one, lines that begin with "> " or
--                           ">> " are typed, what stands between them is what they show
-- tests/c/test_<name>.c     a program without Lua scripts or ranks, built with luampi: c/<name>, a case that is to end with 0
--
-- A file says what it needs in its first comment lines:
--   -- ranks: 2 5           on how many ranks to run it, each in turn
--   -- within: 90           seconds after which it counts as hung (60; a case: 20)
--   -- asan: no             not with the sanitizers
-- and a case also
--   -- run: COMMAND         instead of $mpirun -n RANKS $luampi FILE; for the shell, with $mpirun $luampi $file $module;
--                           several lines are one script
--   -- exit: 1              the exit code; must be there
--   -- stdout: TEXT         stands in the output, may be given several times
--   -- stderr: TEXT
--   -- matches: PATTERN     a Lua pattern that both together match
--   -- once: TEXT           stands there exactly once, in both together
--   -- never: TEXT          does not stand there
-- A job that ends with 0 and says nothing but "skipped: why" counts as skipped.

local usage = [[
usage: scripts/test [--asan] [--ranks "1 2 3 4"] [-v] [name…] [-- LuaUnit's options]
  --asan     on a build with AddressSanitizer and UBSan
  --ranks    only on these numbers of ranks
  -v         show the output of every job
  name       a suite (array for tests/test_array.lua), a group of cases (fail, program, c) or one (fail/NAME)]]

local keys = {ranks = true, within = true, asan = true, run = true, exit = true, stdout = true, stderr = true,
              matches = true, once = true, never = true}

-- The command line --------------------------------------------------------------------------------------------

local options = {names = {}, unit = {}}

local function bad_usage(message)
    io.stderr:write("scripts/test: ", message, "\n", usage, "\n")
    os.exit(2)
end

local function numbers(text)
    local list = {}
    for word in text:gmatch("%S+") do
        list[#list + 1] = math.tointeger(word) or bad_usage("'" .. word .. "' is no number of ranks")
    end
    return list
end

do
    local i = 1
    while arg[i] do
        if arg[i] == "--asan" then options.asan = true
        elseif arg[i] == "--ranks" then
            i = i + 1
            options.ranks = numbers(arg[i] or bad_usage("--ranks needs an argument"))
        elseif arg[i] == "-v" then options.verbose = true
        elseif arg[i] == "-h" or arg[i] == "--help" then print(usage) os.exit(0)
        elseif arg[i] == "--" then
            table.move(arg, i + 1, #arg, 1, options.unit)
            break
        elseif arg[i]:sub(1, 1) == "-" then bad_usage("unknown option " .. arg[i])
        else table.insert(options.names, arg[i])
        end
        i = i + 1
    end
end

-- Jobs ----------------------------------------------------------------------------------------------------------

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function output_of(command)
    local pipe <close> = assert(io.popen(command))
    return pipe:read("a")
end

local function contents(path)
    local file <close> = assert(io.open(path, "rb"))
    return file:read("a")
end

local function seconds()
    local file <close> = assert(io.open("/proc/uptime"))
    return file:read("n")
end

local root = output_of("pwd"):gsub("\n", "")
local scratch = output_of("mktemp -d"):gsub("\n", "")
local bin = root .. "/bin" .. (options.asan and "/asan" or "")
local slower = options.asan and 4 or 1

local environment = {
    -- the killed ranks of a failing job have nothing to tidy up
    OMPI_MCA_odls_base_sigkill_timeout = "0",
    luampi = bin .. "/luampi",
    module = bin .. "/mpi.so",
}
if options.asan then
    environment.ASAN_OPTIONS = "abort_on_error=0:allocator_may_return_null=1:quarantine_size_mb=32"
    environment.UBSAN_OPTIONS = "print_stacktrace=1"
    environment.LSAN_OPTIONS = "fast_unwind_on_malloc=0:print_suppressions=0:suppressions=" .. root .. "/tests/lsan.supp"
end

-- Runs a shell command; no job outlives its limit. → {code, hung, out, err}
local function run(command, limit, variables)
    limit = limit * slower
    local set = {}
    for _, list in ipairs {environment, variables or {}} do
        for name, value in pairs(list) do set[#set + 1] = name .. "=" .. quoted(value) end
    end
    set[#set + 1] = "mpirun=" .. quoted("mpirun --allow-run-as-root --oversubscribe --timeout " .. limit)
    local out, err = scratch .. "/out", scratch .. "/err"
    -- mpirun's own limit ends the ranks in good order; the outer one is for what hangs without or besides it
    local outer = limit + (command:find("$mpirun", 1, true) and 10 or 0)
    local _, _, code = os.execute(("env %s timeout -k 5 %d sh -c %s >%s 2>%s </dev/null"):format(
        table.concat(set, " "), outer, quoted(command), out, err))
    local job = {code = code, out = contents(out):gsub("\r", ""), err = contents(err):gsub("\r", "")}
    job.hung = code == 124 or code == 137 or code == 110 and job.err:find("timeout", 1, true) ~= nil
    job.limit = limit
    return job
end

-- What is worth reading of a failed job's output: the last lines, without the tests that went well
local function essence(text)
    local lines = {}
    for line in text:gmatch("[^\n]+") do
        if not line:find("^    %S+ %.%.%. Ok$") then lines[#lines + 1] = line end
    end
    return table.concat(lines, "\n", math.max(1, #lines - 79))
end

local function report(title, job)
    print(("--- %s"):format(title))
    for _, text in ipairs {job.out, job.err} do
        if text ~= "" then print(options.verbose and text or essence(text)) end
    end
    print("---")
    io.stdout:flush()
end

local function sanitizer_complaint(job)
    local both = job.out .. job.err
    return both:match("ERROR: AddressSanitizer[^\n]*") or both:match("ERROR: LeakSanitizer[^\n]*")
        or both:match("[%w_./]*:%d+:%d+: runtime error: [^\n]*")
end

-- What a file asks for: key → list of values
local function header(path, strict)
    local found = {}
    for line in io.lines(path) do
        if not line:find "^%-%-" and not line:find "^#!" then break end
        local key, value = line:match("^%-%- (%l+): (.*)$")
        if keys[key] then
            found[key] = found[key] or {}
            table.insert(found[key], value)
        elseif key and strict then
            error(("%s: no such key: '%s'"):format(path, key), 0)
        end
    end
    return found
end

local function ranks_of(asked, default)
    local own = asked.ranks and numbers(asked.ranks[1])
    if not options.ranks then return own or default end
    if not own then return options.ranks end
    local both = {}
    for _, n in ipairs(own) do
        for _, m in ipairs(options.ranks) do if n == m then both[#both + 1] = n end end
    end
    return both
end

local function ranks_name(n) return n == 1 and "1 rank" or n .. " ranks" end

-- Suites ----------------------------------------------------------------------------------------------------------

-- → passed, failed, skipped
local function run_suite_on(name, n, asked)
    local words = {}
    for _, word in ipairs(options.unit) do words[#words + 1] = quoted(word) end
    -- one rank goes without mpirun, as users start it
    -- an even number of ranks waits as in a script, an odd one so that a failing test ends the others' waits
    local job = run(("LUAMPI_GUARDED=%d %s $luampi $file -v %s"):format(n % 2, n > 1 and "$mpirun -n " .. n or "", table.concat(words, " ")),
                    tonumber(asked.within and asked.within[1]) or 60, {file = "tests/test_" .. name .. ".lua"})
    local passed, failed, skipped
    for line in job.out:gmatch("[^\n]+") do
        local p, f, rest = line:match("^(%d+) passed, (%d+) failed(.*)$")
        local s = rest == "" and 0 or rest and rest:match("^, (%d+) skipped$")
        if s then passed, failed, skipped = math.tointeger(p), math.tointeger(f), math.tointeger(s) end
    end
    local trouble
    if job.hung then
        local running
        for test in job.out:gmatch("    (%S+) %.%.%. ") do running = test end
        trouble = ("hung, ended after %d s%s"):format(job.limit, running and ", while running " .. running or "")
    elseif sanitizer_complaint(job) then trouble = sanitizer_complaint(job)
    elseif not passed then trouble = ("exit code %d and no result line"):format(job.code)
    elseif failed == 0 and job.code ~= 0 then trouble = ("exit code %d, yet no test failed"):format(job.code)
    elseif failed > 0 and job.code == 0 then trouble = "exit code 0, yet tests failed"
    end
    passed, failed, skipped = passed or 0, (failed or 0) + (trouble and 1 or 0), skipped or 0
    if failed > 0 or options.verbose then
        report(("%s, %s: %s"):format(name, ranks_name(n), trouble or failed .. " failed"), job)
    end
    return passed, failed, skipped
end

-- Cases -----------------------------------------------------------------------------------------------------------

local function count_of(text, part)
    local count, at = 0, 1
    while true do
        local first, last = text:find(part, at, true)
        if not first then return count end
        count, at = count + 1, last + 1
    end
end

-- → what is wrong with the job, or nil
local function complaint(job, asked)
    local both = job.out .. job.err
    if job.hung then return ("hung, ended after %d s"):format(job.limit) end
    if job.code ~= tonumber(asked.exit[1]) then return ("exit code %d, not %s"):format(job.code, asked.exit[1]) end
    if sanitizer_complaint(job) then return sanitizer_complaint(job) end
    for _, stream in ipairs {"stdout", "stderr"} do
        for _, text in ipairs(asked[stream] or {}) do
            local got = stream == "stdout" and job.out or job.err
            if not got:find(text, 1, true) then return ("not on %s: %s"):format(stream, text) end
        end
    end
    for _, pattern in ipairs(asked.matches or {}) do
        if not both:find(pattern) then return "nothing matches: " .. pattern end
    end
    for _, text in ipairs(asked.once or {}) do
        local count = count_of(both, text)
        if count ~= 1 then return ("%d times instead of once: %s"):format(count, text) end
    end
    for _, text in ipairs(asked.never or {}) do
        if count_of(both, text) > 0 then return "should not be there: " .. text end
    end
end

-- → true when all is as the file says, nil when the job said "skipped: why": it cannot be here
local function run_case_on(name, n, asked)
    local command = asked.run and table.concat(asked.run, "\n") or ("$mpirun -n %d $luampi $file"):format(n)
    local job = run(command, tonumber(asked.within and asked.within[1]) or 20, {file = "tests/" .. name .. ".lua"})
    local skipped = job.code == 0 and job.out:gsub("skipped: [^\n]*\n", "") == "" and job.out:match("^skipped: ([^\n]*)")
    if skipped then
        print(("%s skipped: %s"):format(name, skipped))
        return nil
    end
    local wrong = complaint(job, asked)
    if wrong or options.verbose then
        report(("%s%s: %s"):format(name, asked.run and "" or ", " .. ranks_name(n), wrong or "passed"), job)
    end
    return not wrong
end

-- Sessions at the prompt ------------------------------------------------------------------------------------------

-- A file of sessions → list of {ranks =, input =, output =}
local function sessions_of(path)
    local list, session = {}, nil
    for line in io.lines(path) do
        local n = line:match("^# (%d+) ranks?$")
        if n then
            if session then session.output = session.output:gsub("\n\n$", "\n") end
            session = {ranks = math.tointeger(n), input = "", output = ""}
            table.insert(list, session)
        elseif session then
            local typed = line:match("^>>? (.*)$") or line:match("^>>?$") and ""
            if typed then session.input = session.input .. typed .. "\n" else session.output = session.output .. line .. "\n" end
        end
    end
    return list
end

-- The first line in which two texts differ, or nil
local function difference(expected, got)
    if expected == got then return nil end
    local number, next_line = 1, got:gmatch("([^\n]*)\n")
    for line in expected:gmatch("([^\n]*)\n") do
        local other = next_line() or "(the end)"
        if line ~= other then return ("line %d of the output is %s\n  not %s"):format(number, other, line) end
        number = number + 1
    end
    return ("line %d of the output should not be there: %s"):format(number, next_line() or "(without an end)")
end

-- → true when the session shows what it should
local function run_session(name, session)
    local input <close> = assert(io.open(scratch .. "/in", "wb"))
    input:write(session.input)
    input:close()
    local job = run(("%s $luampi -i <%s/in"):format(session.ranks > 1 and "$mpirun -n " .. session.ranks or "", scratch), 20)
    local wrong = complaint(job, {exit = {"0"}}) or difference(session.output, job.out)
    if wrong or options.verbose then report(("%s, %s: %s"):format(name, ranks_name(session.ranks), wrong or "passed"), job) end
    return not wrong
end

-- All ------------------------------------------------------------------------------------------------------------

local total = {passed = 0, failed = 0, skipped = 0}

local function line(name, ranks, passed, failed, skipped, time)
    print(("%-14s %-14s %5d passed%s%s  %.1f s"):format(name, ranks, passed,
        failed > 0 and (", %d failed"):format(failed) or "", skipped > 0 and (", %d skipped"):format(skipped) or "", time))
    io.stdout:flush()
    total.passed, total.failed, total.skipped = total.passed + passed, total.failed + failed, total.skipped + skipped
end

local function run_suite(name)
    local asked = header("tests/test_" .. name .. ".lua")
    if options.asan and asked.asan then return end
    local ranks = ranks_of(asked, {1, 2, 3, 4})
    if #ranks == 0 then return end
    local began, sum = seconds(), {0, 0, 0}
    for _, n in ipairs(ranks) do
        local result = {run_suite_on(name, n, asked)}
        for i = 1, 3 do sum[i] = sum[i] + result[i] end
    end
    line(name, ("on %s"):format(table.concat(ranks, " ")), sum[1], sum[2], sum[3], seconds() - began)
end

-- A file's cases: how many passed, failed and were skipped
local function run_file(name)
    local passed, failed, skipped = 0, 0, 0
    local function count(fine)
        if fine then passed = passed + 1 elseif fine == nil then skipped = skipped + 1 else failed = failed + 1 end
    end
    if name:find("^repl/") then
        for _, session in ipairs(sessions_of("tests/" .. name .. ".txt")) do
            if #ranks_of({ranks = {tostring(session.ranks)}}) > 0 then count(run_session(name, session)) end
        end
        return passed, failed, skipped
    end
    local program = name:match("^c/(.+)$")
    local asked = program and {exit = {"0"}, run = {bin .. "/tests/test_" .. program}} or header("tests/" .. name .. ".lua", true)
    if not asked.exit then error(("tests/%s.lua: no line '-- exit: CODE'"):format(name), 0) end
    if not (options.asan and asked.asan) then
        for _, n in ipairs(asked.run and {0} or ranks_of(asked, {4})) do count(run_case_on(name, n, asked)) end
    end
    return passed, failed, skipped
end

local function run_cases(group, names)
    local began, passed, failed, skipped = seconds(), 0, 0, 0
    for _, name in ipairs(names) do
        local p, f, s = run_file(name)
        passed, failed, skipped = passed + p, failed + f, skipped + s
    end
    if passed + failed + skipped == 0 then return end
    line(group, "", passed, failed, skipped, seconds() - began)
end

-- The suites, and the cases by group, in order; and what a name on the command line means.
local suites, groups, items_of = {}, {}, {}

local function means(name, item)
    items_of[name] = items_of[name] or {}
    table.insert(items_of[name], item)
end

for path in output_of("ls tests/test_*.lua tests/fail/*.lua tests/program/*.lua tests/repl/*.txt tests/terminal/*.lua tests/c/test_*.c 2>/dev/null"):gmatch("[^\n]+") do
    local suite, group = path:match("^tests/test_([^/]+)%.lua$"), path:match("^tests/([^/]+)/")
    if suite then
        table.insert(suites, suite)
        means(suite, suite)
    else
        local case = path:match("^tests/(.+)%.lua$") or path:match("^tests/(.+)%.txt$") or "c/" .. path:match("test_(.+)%.c$")
        if not items_of[group] then table.insert(groups, group) end
        means(group, case)
        means(case, case)
    end
end

local chosen = {}
for _, name in ipairs(options.names) do
    name = name:gsub("^tests/", ""):gsub("%.%a+$", ""):gsub("test_", "", 1)
    for _, item in ipairs(items_of[name] or bad_usage("no test " .. name)) do chosen[item] = true end
end
local function is_chosen(item) return #options.names == 0 or chosen[item] end

for _, suite in ipairs(suites) do
    if is_chosen(suite) then run_suite(suite) end
end
for _, group in ipairs(groups) do
    local cases = {}
    for _, case in ipairs(items_of[group]) do
        if is_chosen(case) then table.insert(cases, case) end
    end
    if #cases > 0 then run_cases(group, cases) end
end
os.execute("rm -rf " .. quoted(scratch))

print(("%d passed, %d failed%s"):format(total.passed, total.failed,
    total.skipped > 0 and (", %d skipped"):format(total.skipped) or ""))
os.exit(total.failed == 0 and total.passed > 0)
