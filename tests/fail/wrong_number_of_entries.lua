-- ranks: 3
-- exit: 1
-- once: [0] bad argument #1 to 'scatter' (list of 3 values expected, one for each rank, got 2) at tests/fail/wrong_number_of_entries.lua:4
comm:scatter(comm:rank() == 0 and {1, 2} or nil)
