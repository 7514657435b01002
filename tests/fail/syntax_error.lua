-- ranks: 1 4
-- exit: 1
-- once: luampi: tests/fail/syntax_error.lua:6:
-- stderr: <name> expected near '='
-- never: stack traceback
local = 3
