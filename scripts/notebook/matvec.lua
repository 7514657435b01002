-- Matrix times vector, a block of rows on each rank: matvec.lua [matrix.npy vector.npy].
local matrix, vector = arg[1] or "random-matrix.npy", arg[2] or "random-vector.npy"
if comm:rank() == 0 and not arg[1] then dofile((arg[0]:gsub("matvec", "make_data"))) end
comm:barrier()

local function matvec(comm, A, x)
    return comm:Allgatherv(A:dot(x))
end

local A, x = array.load(matrix, {comm = comm}), array.load(vector)
local y = matvec(comm, A, x)

if comm:rank() == 0 then
    print(y)
    print(y:allclose(array.load(matrix):dot(x)))
end
