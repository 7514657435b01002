-- ranks: 4
-- exit: 1
-- within: 6
-- never: stack traceback
if comm:rank() == 1 then os.exit(-1) end
comm:recv()
