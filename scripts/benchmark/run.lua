-- scripts/bench in Lua: runs the programs of works.lua in turn, round after round, and prints what they took, by the
-- median of the rounds, and luampi's ratio to each peer, by the median of the ratios within a round.

local usage = [[
usage: scripts/bench [--quick] [--rounds N] [--json FILE] [group…]
  --quick    5 short rounds, within two minutes
  --rounds   this many rounds (15)
  --json     where all values go (build/bench.json)
  group      only these: ]]

local here = "scripts/benchmark"
local groups = dofile(here .. "/works.lua")

-- The command line ------------------------------------------------------------------------------------------------

local names = {}
for i, group in ipairs(groups) do
    names[i] = group.name
    groups[group.name] = group
end
usage = usage .. table.concat(names, " ")

local function die(code, ...)
    io.stderr:write("scripts/bench: ", ...)
    os.exit(code)
end

local function bad_usage(message) die(2, message, "\n", usage, "\n") end

local options, chosen = {json = "build/bench.json"}, {}
do
    local i = 1
    local function argument()
        i = i + 1
        return arg[i] or bad_usage(arg[i - 1] .. " needs an argument")
    end
    while arg[i] do
        local word = arg[i]
        if word == "-h" or word == "--help" then print(usage) os.exit(0)
        elseif word == "--quick" then options.quick = true
        elseif word == "--rounds" then
            options.rounds = math.tointeger(tonumber(argument()))
            if not options.rounds or options.rounds < 1 then bad_usage(arg[i] .. " is no number of rounds") end
        elseif word == "--json" then options.json = argument()
        else chosen[#chosen + 1] = groups[word] or bad_usage("no option or group " .. word)
        end
        i = i + 1
    end
    options.rounds = options.rounds or options.quick and 5 or 15
    if #chosen == 0 then chosen = groups end
end

-- Jobs --------------------------------------------------------------------------------------------------------------

local function output_of(command)
    local pipe <close> = assert(io.popen(command))
    local output = pipe:read("a")
    local fine = pipe:close()
    return output, fine
end

local root = output_of("pwd"):gsub("\n", "")
local cores = tonumber((output_of("nproc")))

-- → the first Python that has the module: the system's is preferred, because Debian's packages are in it
local function python_with(module)
    for _, python in ipairs {"/usr/bin/python3", "python3"} do
        if os.execute(("%s -c 'import %s' >/dev/null 2>&1"):format(python, module)) then return python end
    end
end

local function mpirun_on(ranks)
    local more = tonumber(ranks) > cores and " --oversubscribe" or ""
    return ("mpirun --allow-run-as-root --timeout 120%s -n %d"):format(more, ranks)
end

-- The programs that can run here, each with its command.
local function programs_of(group)
    local programs = {}
    for _, program in ipairs(group.programs) do
        local name, command = table.unpack(program)
        local python = program.imports and python_with(program.imports)
        if options.quick and program.slow then
            print(("%s: left out, it takes long"):format(name))
        elseif program.imports and not python then
            print(("%s: left out, no Python has the module %s"):format(name, program.imports))
        else
            local variables = {luampi = root .. "/bin/luampi", works = root .. "/" .. here, python = python}
            command = command:gsub("%$(%l+)", variables):gsub("mpirun %-n (%d+)", mpirun_on)
            table.insert(programs, {name = name, command = command})
        end
    end
    return programs
end

local environment = table.concat({
    "BENCH_SECONDS=" .. (options.quick and 0.01 or 0.02),
    ("LUA_PATH='%s/%s/?.lua;;'"):format(root, here),
    "OPENBLAS_NUM_THREADS=1",
    "PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=", -- unbuffered, the ranks' lines would come in pieces
}, " ")

-- Runs one program once. → value by work; the greatest where several ranks give one; a message for what raised
local function run(group, program)
    local output, fine = output_of(("cd build/benchmark && date +%%s.%%N && env %s %s </dev/null && date +%%s.%%N")
        :format(environment, program.command))
    if not fine then die(1, "failed: ", program.command, "\n") end
    local began, lines, ended = output:match("^(%S+)\n(.-)(%S+)\n$")
    if group.whole then return {[group.works[1][1]] = ended - began} end
    local values = {}
    for name, text in lines:gmatch("([^\t\n]+)\t([^\r\n]+)") do
        local value = tonumber(text)
        values[name] = value and math.max(value, tonumber(values[name]) or value) or text
    end
    return values
end

-- What comes out ----------------------------------------------------------------------------------------------------

local function median(list)
    local sorted = table.move(list, 1, #list, 1, {})
    table.sort(sorted)
    local middle = #sorted // 2
    return #sorted % 2 == 1 and sorted[middle + 1] or (sorted[middle] + sorted[middle + 1]) / 2
end

-- → what to print and save of a work: by program the values of the rounds and their median, and how luampi compares
-- with it; or nil and why there is nothing
local function result_of(group, work, programs, rounds)
    local result = {group = group.name, work = work[1], unit = group.unit or "s", programs = {}}
    for _, program in ipairs(programs) do
        local values = {}
        for _, round in ipairs(rounds) do
            local value = round[program.name][work[1]]
            if type(value) == "string" then return nil, value end
            values[#values + 1] = value
        end
        if #values == #rounds then result.programs[program.name] = {median = median(values), values = values}
        elseif program.name == "luampi" or work[program.name] then
            return nil, program.name .. "'s program does not do it"
        end
    end
    local own = result.programs.luampi
    for name, peer in pairs(result.programs) do
        if peer ~= own then
            local compared = {}
            for i, value in ipairs(peer.values) do
                compared[i] = group.difference and own.values[i] - value or own.values[i] / value
            end
            local middle, at_most = median(compared), work[name]
            peer.luampi = {by = group.difference and "difference" or "ratio", median = middle,
                           at_most = at_most, met = at_most and middle <= at_most}
        end
    end
    return result
end

local function quantity(value, unit)
    if unit ~= "s" then return ("%.1f %s"):format(value, unit) end
    for _, scale in ipairs {{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {0, "ns"}} do
        if value >= scale[1] then
            local shown = value / math.max(scale[1], 1e-9)
            return (shown < 100 and "%.3g %s" or "%.0f %s"):format(shown, scale[2])
        end
    end
end

-- padded on the left by what shows, not by bytes
local function right(text, width) return (" "):rep(width - utf8.len(text)) .. text end

-- "1.25 ≤ 1.3" or, when it is more than asked for, "1.35 > 1.3"
local function verdict(comparison)
    local sign = comparison.at_most and (comparison.met and "≤ " or "> ") .. comparison.at_most or ""
    return ("%.2f %-6s"):format(comparison.median, sign)
end

local function print_table(group, programs, results)
    local function print_line(title, column, comparison)
        local line = {title .. (" "):rep(28 - #title)}
        for _, program in ipairs(programs) do line[#line + 1] = right(column(program.name), 9) end
        for i = 2, #programs do line[#line + 1] = right(comparison(programs[i].name), 16) end
        print((table.concat(line):gsub(" +$", "")))
    end
    print_line(group.name .. (group.on and ", " .. group.on or ""),
        function (name) return name end,
        function (name) return (group.difference and "over " or "× ") .. name end)
    for _, result in ipairs(results) do
        local function of(name) return result.programs[name] end
        print_line(result.work,
            function (name) return of(name) and quantity(of(name).median, result.unit) or "" end,
            function (name) return of(name) and verdict(of(name).luampi) or "" end)
    end
end

local function json(value, indent)
    if type(value) == "string" then
        return '"' .. value:gsub('[%c"\\]', function (c) return ("\\u%04x"):format(c:byte()) end) .. '"'
    elseif type(value) ~= "table" then return tostring(value)
    end
    local parts, inner = {}, indent .. "  "
    if type(value[1]) == "number" then return "[" .. table.concat(value, ", ") .. "]" end
    for _, item in ipairs(value) do parts[#parts + 1] = json(item, inner) end
    local open, close = "[", "]"
    if #parts == 0 then
        for key, item in pairs(value) do parts[#parts + 1] = json(key) .. ": " .. json(item, inner) end
        table.sort(parts)
        open, close = "{", "}"
    end
    return open .. "\n" .. inner .. table.concat(parts, ",\n" .. inner) .. "\n" .. indent .. close
end

-- All ---------------------------------------------------------------------------------------------------------------

local function measure(group)
    local programs, rounds = programs_of(group), {}
    local count = math.min(options.rounds, group.rounds or math.huge)
    for i = 1, count do
        io.stderr:write(("%s: round %d of %d\n"):format(group.name, i, count))
        rounds[i] = {}
        for j = 1, #programs do
            local program = programs[(i + j) % #programs + 1] -- nobody is always first
            rounds[i][program.name] = run(group, program)
        end
    end
    local results, left_out = {}, {}
    for _, work in ipairs(group.works) do
        local result, why = result_of(group, work, programs, rounds)
        results[#results + 1] = result
        left_out[#left_out + 1] = why and ("%s left out: %s\n"):format(work[1], why)
    end
    print_table(group, programs, results)
    print(table.concat(left_out))
    return results
end

-- the load tells how far to trust the numbers: other work on the machine spoils them
local report = {
    date = os.date("!%Y-%m-%dT%H:%M:%SZ"), cores = cores, load = tonumber(output_of("cat /proc/loadavg"):match "%S+"),
    rounds = options.rounds, quick = options.quick or false, works = {},
}
print(("%d cores, load %.2f, median of %d rounds\n"):format(cores, report.load, report.rounds))

local met, missed = 0, {}
for _, group in ipairs(chosen) do
    for _, result in ipairs(measure(group)) do
        table.insert(report.works, result)
        for _, program in ipairs(group.programs) do
            local comparison = (result.programs[program[1]] or {}).luampi or {}
            if comparison.met then met = met + 1
            elseif comparison.at_most then table.insert(missed, ("  %s (%s)\n"):format(result.work, program[1]))
            end
        end
    end
end

do
    local file <close> = assert(io.open(options.json, "w"))
    file:write(json(report, ""), "\n")
end
print(("%d bars met, %d missed\n%s"):format(met, #missed, table.concat(missed)))
