-- ranks: 4
-- exit: 1
-- once: no sum of apples
-- once: stack traceback
comm:allreduce(comm:rank(), function () error "no sum of apples" end)
