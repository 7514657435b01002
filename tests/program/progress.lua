-- A line on the terminal tells how far a map is; without a terminal nothing does.
-- run: script -qec true /dev/null >/dev/null 2>&1 || { echo "skipped: no pseudo-terminals here"; exit 0; }
-- run: case $($mpirun -n 2 $luampi $file 2>&1) in *items*) exit 3;; esac
-- run: script -qec "$mpirun -n 2 $luampi $file" /dev/null
-- exit: 0
-- stdout: comm:map: 
-- stdout:  of 230 items done (
-- stdout:  left
-- stdout: done!
local _, info = comm:map(function () mpi.sleep(0.02) end, 230, {progress = true})
assert(info.wall > 2)
if comm:rank() == 0 then print "done!" end
