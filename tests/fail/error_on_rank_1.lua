-- ranks: 2 4
-- exit: 1
-- within: 6
-- stderr: rank 1: tests/fail/error_on_rank_1.lua:9: boom
-- once: stack traceback
-- never: deadlock
if comm:rank() == 1 then
    mpi.sleep(0.1)
    error "boom"
end
comm:recv()
