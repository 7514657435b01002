-- A file of 1 GiB (a hole but for its marks) loads on 4 ranks whose data segments may have 512 MiB each.
-- within: 60
-- asan: no
-- run: export big=$(mktemp) && trap 'rm -f "$big"' EXIT && $luampi $file make && (ulimit -d 524288; $luampi $file alone) && $mpirun -n 4 sh -c 'ulimit -d 524288; exec "$0" "$@"' $luampi $file blocks && $mpirun -n 4 sh -c 'ulimit -d 524288; exec "$0" "$@"' $luampi $file mapped
-- exit: 0
-- stdout: alone: not enough memory
-- stdout: blocks: 33554432 rows each, marks 1 2 3 4
-- stdout: mapped: 33554432 rows each, marks 1 2 3 4
local path, rows = os.getenv "big", 1 << 27

if arg[1] == "make" then
    array.save(path, array.zeros(0))
    local file <close> = assert(io.open(path, "r+b"))
    local header = file:read(128):gsub("%(0,%), }%s+\n", "(" .. rows .. ",), }"):sub(1, 127)
    file:seek("set")
    file:write(header, (" "):rep(127 - #header), "\n")
    for rank = 0, 3 do
        file:seek("set", 128 + (rank + 1) * rows * 2 - 8)
        file:write(("<d"):pack(rank + 1))
    end
elseif arg[1] == "alone" then
    local _, message = pcall(array.load, path)
    print("alone: " .. message:match "not enough memory")
else
    local block = array.load(path, {comm = comm, mmap = arg[1] == "mapped"})
    assert(block:sum() == comm:rank() + 1 and block:argmax() == #block)
    local marks = comm:gather(math.tointeger(block:max()))
    if marks then print(("%s: %d rows each, marks %s"):format(arg[1], #block, table.concat(marks, " "))) end
end
