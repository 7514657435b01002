-- ranks: 1 4
-- exit: 125
-- within: 6
-- never: stack traceback
-- never: deadlock
-- never: MPI_ABORT
os.exit(256)
