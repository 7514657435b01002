-- ranks: 4
-- exit: 125
-- within: 6
-- never: stack traceback
if comm:rank() == 1 then os.exit(256) end
comm:recv()
