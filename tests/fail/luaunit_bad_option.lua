-- run: $mpirun -n 3 $luampi $file --nonsense
-- exit: 1
-- once: Unknown option: --nonsense
local lu = require "mpi.luaunit"
os.exit(lu.run())
