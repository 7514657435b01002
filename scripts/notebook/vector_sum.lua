-- The sum of a vector, a part on each rank: vector_sum.lua [vector.npy].
local vector = arg[1] or "random-vector.npy"
if comm:rank() == 0 and not arg[1] then dofile((arg[0]:gsub("vector_sum", "make_data"))) end
comm:barrier()

local function psum(comm, a)
    return comm:Allreduce(array.of {a:sum()})[1]
end

local s = psum(comm, array.load(vector, {comm = comm}))

if comm:rank() == 0 then
    print(("sum = %.14g, array sum = %.14g"):format(s, array.load(vector):sum()))
end
