-- ranks: 4
-- exit: 0
-- within: 6
-- never: stack traceback
if comm:rank() == 1 then os.exit(0) end
comm:recv()
