-- ranks: 3
-- exit: 1
-- matches: error_in_result_loop.lua:5: boom  %[rank 0, item 2%]%sstack traceback of the task:%s
-- stderr: tests/fail/error_in_result_loop.lua:5: in upvalue 'deep'
local function deep(i) if i == 2 then error "boom" end end
local function body(i) deep(i) return i end
for i in comm:imap(function (x) return x end, 6, {ordered = true}) do body(i) end
