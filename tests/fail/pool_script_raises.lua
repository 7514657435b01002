-- run: $mpirun -n 3 $luampi -m $file
-- exit: 1
-- within: 6
-- once: rank 0: tests/fail/pool_script_raises.lua:7: boom
-- once: stack traceback
-- never: rank 1
local function inner() error "boom" end
pool:submit(function () while true do end end)
inner()
