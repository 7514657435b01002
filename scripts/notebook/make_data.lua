-- Writes random-matrix.npy and random-vector.npy: make_data.lua [n]. Without n, only when they are not there.
local n = tonumber(arg[1]) or 16

if comm:rank() == 0 and (arg[1] or not io.open "random-matrix.npy") then
    array.save("random-matrix.npy", array.random {n, n})
    array.save("random-vector.npy", array.random(n))
end
