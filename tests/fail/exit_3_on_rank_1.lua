-- ranks: 4
-- exit: 3
-- within: 6
-- never: stack traceback
if comm:rank() == 1 then os.exit(3) end
comm:recv()
