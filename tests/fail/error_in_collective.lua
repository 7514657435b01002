-- ranks: 4
-- exit: 1
-- within: 6
-- once: stack traceback
-- stderr: rank 3: (error object is a table value)
if comm:rank() == 3 then error {} end
comm:allreduce(1)
