-- One rank on each host, and rank 0 in a task that lasts until all others are done: rank 1 must get what lies on rank 0's
-- host while rank 0 runs nothing but Lua, and while it waits for a child that does.
-- run: dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT && tests/two_hosts 1 $luampi $file $dir && rm -f "$dir"/* && tests/two_hosts 1 $luampi $file $dir isolated
-- exit: 0
-- within: 60
-- stdout: two hosts
local dir, rank, n = arg[1], comm:rank(), 40
if comm:size() ~= 2 then error "two ranks are expected" end

local function there(i)
    local file <close> = io.open(("%s/%d"):format(dir, i))
    return file ~= nil
end

local waited = comm:map(function (i)
    if rank == 1 then
        assert(io.open(("%s/%d"):format(dir, i), "w")):close()
        return false
    end
    for j = 1, n do while j ~= i and not there(j) do end end
    return true
end, n, {isolate = arg[2] == "isolated"})
if rank == 0 then
    local count = 0
    for i = 1, n do count = count + (waited[i] and 1 or 0) end
    assert(count == 1, count .. " items on rank 0")
    print "two hosts: nobody waits for a busy rank"
end
