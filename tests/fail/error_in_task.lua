-- ranks: 1 3
-- exit: 1
-- stderr: tests/fail/error_in_task.lua:11: broken  [rank 
-- once: item 5]
-- stderr: stack traceback of the task:
-- stderr: tests/fail/error_in_task.lua:11: in upvalue 'deep'
-- stderr: stack traceback:
-- stderr: tests/fail/error_in_task.lua:12: in main chunk
-- never: mpi/map.lua
-- never: in function 'error'
local function deep(i) if i == 5 then error "broken" end end
comm:map(function (i) deep(i) return i end, 20)
