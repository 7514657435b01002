-- ranks: 1 4
-- exit: 0
-- within: 6
-- never: stack traceback
-- never: deadlock
-- never: MPI_ABORT
os.exit(0)
