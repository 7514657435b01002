# See pool.lua; rank 0 is no worker here.
import sys

from measure import work
from mpi4py import MPI
from mpi4py.futures import MPICommExecutor


def empty():
    pass


with MPICommExecutor(MPI.COMM_WORLD) as pool:
    if pool is None:
        pass
    elif sys.argv[1] == "submit":
        work("submit + get of an empty task", "pool.submit(empty).result()")
    else:
        work("an empty function on 4 ranks", "for f in [pool.submit(empty) for _ in range(4)]: f.result()")
