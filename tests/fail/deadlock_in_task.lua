-- A rank that is blocked for ever in a task, while the others wait at the end of the map.
-- ranks: 3
-- exit: 1
-- stderr: luampi: deadlock: no rank can go on
-- stderr: waits in comm:recv(source=ANY_SOURCE) at tests/fail/deadlock_in_task.lua:9
-- stderr: waits in comm:map() at tests/fail/deadlock_in_task.lua:10
-- once: no rank can go on
local dup = comm:dup()
local function task(i) return i ~= 7 or dup:recv() end
comm:map(task, 20)
