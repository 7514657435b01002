-- ranks: 1 4
-- exit: 1
-- within: 6
-- once: tests/fail/error_on_all_ranks.lua:6: everywhere
-- once: stack traceback
error "everywhere"
