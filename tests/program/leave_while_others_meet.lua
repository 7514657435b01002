-- A rank that leaves by os.exit what is run takes the others along.
-- run: $mpirun -n 3 $luampi $file
-- exit: 0
-- stdout: rank 1 leaves
-- never: came back
local interrupt = require "mpi.interrupt"
interrupt.begin()
interrupt.run(function ()
    if comm:rank() == 1 then
        print "rank 1 leaves"
        os.exit(0)
    end
end)
interrupt.meet()
print "came back"
