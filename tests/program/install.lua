-- After scripts/install --prefix, mpirun finds luampi and lua5.4 its module, from any directory.
-- asan: no
-- within: 60
-- run: dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
-- run: scripts/install --prefix "$dir" || exit 3
-- run: grep -q "B .-.-watch" "$dir/share/man/man1/luampi.1" && test -s "$dir/share/luampi/meta/comm.lua" || exit 4
-- run: file=$PWD/$file && cd /
-- run: PATH=$dir/bin:$PATH $mpirun -n 2 luampi "$file" installed || exit 5
-- run: LUA_CPATH="$dir/lib/lua/5.4/?.so;;" $mpirun -n 2 lua5.4 "$file" module
-- exit: 0
-- once: installed sum 2
-- once: module sum 2
-- stdout: export LUA_CPATH=
-- never: building
local mpi = require "mpi"
local comm = mpi.COMM_WORLD
local sum = comm:allreduce(1)
if comm:rank() == 0 then print(arg[1] .. " sum " .. sum) end
