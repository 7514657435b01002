-- run: $luampi -n 3 $file one two
-- exit: 0
-- stdout: 3 ranks, one two
local all = comm:gather(table.concat({...}, " "))
if comm:rank() == 0 then print(comm:size() .. " ranks, " .. all[3]) end
