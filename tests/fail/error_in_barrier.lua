-- ranks: 3
-- exit: 1
-- within: 6
-- once: rank 2: tests/fail/error_in_barrier.lua:6: attempt to index a nil value (global 'nothing')
-- once: stack traceback
if comm:rank() == 2 then print(nothing.x) end
comm:barrier()
