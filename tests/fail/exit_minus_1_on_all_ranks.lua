-- ranks: 1 4
-- exit: 1
-- within: 6
-- never: stack traceback
-- never: deadlock
-- never: MPI_ABORT
os.exit(-1)
