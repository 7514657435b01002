-- Jobs killed in the midst of their tasks, all ranks at once, and begun again on other numbers of ranks: the results are those of a
-- job that was left alone, of the tasks that had ended none is done again, and no process stays. KILLS=20 does it so often.
-- within: 60
-- run: dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT && export dir
-- run: $mpirun -n 2 $luampi $file plain || exit 1
-- run: touch "$dir/begun"
-- run: for i in $(seq ${KILLS:-5}); do
-- run:     ranks=$((i % 4 + 1))
-- run:     setsid $mpirun -n $ranks $luampi $file work >"$dir/out" 2>&1 &
-- run:     until [ -s "$dir/started" ]; do sleep 0.01; done
-- run:     until [ $(wc -l <"$dir/begun") -ge $((i * 100 + i * 7919 % 50)) ]; do sleep 0.01; done
-- run:     kill -KILL $(cat "$dir"/started) && wait $! 2>/dev/null
-- run:     rm "$dir/started"
-- run:     echo $ranks >>"$dir/killed"
-- run: done
-- run: $mpirun -n 3 $luampi $file end || exit 1
-- run: if grep -l -s -F "dir=$dir" /proc/[0-9]*/environ; then exit 4; fi
-- exit: 0
-- stdout: as if nothing had been
local dir, what = os.getenv "dir", arg[1]

local function append(name, text)
    local file <close> = assert(io.open(dir .. "/" .. name, "a"))
    file:setvbuf "no"
    file:write(text)
end

-- Tasks of uneven length that say when they begin; their items and results are of several kinds.
local items = {}
for i = 1, 150 * (os.getenv "KILLS" or 5) do items[i] = {id = i, text = ("x"):rep(i % 17), part = {i / 3}} end

local function task(item, i)
    if what ~= "plain" then append("begun", i .. "\n") end
    mpi.sleep(what == "plain" and 0 or i % 5 / 500)
    return {item.id, item.part[1], math.random(), text = item.text:rep(i % 20 == 0 and 2000 or 1)}
end

local opts = {seed = 7, isolate = comm:size() % 2 == 0, journal = what ~= "plain" and dir .. "/journal" or nil}
if what == "work" then
    local pids = comm:gather(mpi.getpid())
    if pids then append("started", table.concat(pids, " ")) end
end
local results = comm:map(task, items, opts)
if what == "work" then
    comm:barrier() -- to be killed here is as good as anywhere
    mpi.sleep(20)
elseif comm:rank() == 0 then
    local bytes = {}
    for i = 1, results.n do
        local r = results[i]
        bytes[i] = ("%d %.17g %.17g %s"):format(r[1], r[2], r[3], r.text)
    end
    local text = table.concat(bytes, "\n")
    if what == "plain" then
        append("plain", text)
    else
        local file <close> = assert(io.open(dir .. "/plain"))
        assert(file:read "a" == text, "other results")
        local allowed, begun, again = 0, {}, 0
        for ranks in io.lines(dir .. "/killed") do allowed = allowed + ranks end
        for i in io.lines(dir .. "/begun") do
            again = again + (begun[i] and 1 or 0)
            begun[i] = true
        end
        assert(again <= allowed, ("%d tasks were begun again, %d were under way"):format(again, allowed))
        assert(again > 0, "no task was ever killed")
        print(("as if nothing had been: %d tasks begun again, at most %d were under way"):format(again, allowed))
    end
end
