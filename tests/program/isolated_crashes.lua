-- After a job whose isolated tasks crash in all ways nothing is left: no process, no file of shared memory; its lines
-- came through whole.
-- within: 60
-- run: dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT && export dir
-- run: $mpirun -n 3 $luampi $file work >"$dir/lines" || exit 3
-- run: read id sleep <"$dir/marks"
-- run: [ "$(cat "$dir/shared")" -ge 3 ] || { echo "no files of shared memory were seen during the job"; exit 4; }
-- run: ls /dev/shm | grep -F "$id" && exit 5
-- run: grep -l -s -F "$sleep" /proc/[0-9]*/cmdline && exit 6
-- run: $luampi $file look
-- exit: 0
-- once: 60 lines, all whole; nothing left
local dir = os.getenv "dir"

local function write(name, text)
    local file <close> = assert(io.open(dir .. "/" .. name, "w"))
    file:write(text)
end

if arg[1] == "look" then
    local count = 0
    for line in io.lines(dir .. "/lines") do
        line = line:gsub("\r$", "")
        local letter = line:sub(1, 1)
        assert(line:find("^" .. letter .. "+\t%d+$"), "cut: " .. line:sub(1, 60) .. " … " .. line:sub(-60))
        count = count + 1
    end
    print(count .. " lines, all whole; nothing left")
    os.exit(0)
end

-- Open MPI names its files by the job's number in hexadecimal.
local id = ("%x"):format(tonumber(os.getenv "OMPI_MCA_ess_base_jobid"))
local nap = "1000." .. os.getenv "OMPI_MCA_ess_base_jobid"
if comm:rank() == 0 then write("marks", id .. " " .. nap .. "\n") end
local crash = package.loadlib(arg[-1]:gsub("[^/]+$", "tests/crash.so"), "luaopen_crash")()
local ways = {
    crash.segfault, crash.abort, crash.overflow, function () crash.raise(9) end, os.exit,
    function () os.execute("sleep " .. nap .. " & kill -SEGV $PPID; sleep " .. nap) end,
    function () return #("x"):rep(1 << 28) end, function () while true do end end, function () os.execute("exec sleep " .. nap) end,
}
local _, info = comm:map(function (i)
    print(string.char(97 + i % 26):rep(i % 2 == 0 and 9000 + i or 80), i)
    if i % 6 == 0 and i <= 54 then ways[i // 6]() end
    return i
end, 60, {isolate = true, errors = "collect", memory = "64M", timeout = 0.3, tries = 1})
local results = comm:gather(#info.errors)
if results then
    assert(table.concat(results, " ") == "9 9 9")
    local pipe <close> = io.popen("ls /dev/shm | grep -c -F " .. id)
    write("shared", pipe:read "a")
end
-- nor is anything left if the last thing is a crash
comm:map(crash.abort, 3, {isolate = true, errors = "collect"})
