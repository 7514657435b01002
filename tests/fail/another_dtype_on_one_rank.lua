-- ranks: 3
-- exit: 1
-- once: the ranks do not make the same call: [0-1] comm:Allreduce(float64[3], op=SUM) at tests/fail/another_dtype_on_one_rank.lua:4; [2] comm:Allreduce(int32[3], op=SUM) at tests/fail/another_dtype_on_one_rank.lua:4
comm:Allreduce(array.zeros(3, comm:rank() == 2 and "int32" or "float64"))
