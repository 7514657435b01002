-- ranks: 3
-- exit: 1
-- once: [0] bad argument #2 to 'Scatterv' (counts[2] is not a count of rows) at tests/fail/negative_count.lua:5
local all, mine = array.zeros(4), array.zeros(2)
comm:Scatterv(all, comm:rank() == 0 and {2, -1, 3} or nil, mine)
