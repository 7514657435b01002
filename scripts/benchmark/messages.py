import measure
import numpy
from measure import work
from mpi4py import MPI

comm = measure.comm = MPI.COMM_WORLD

Pingpong = """
if rank == 0: comm.Send(a, 1); comm.Recv(b, 1)
else: comm.Recv(b, 0); comm.Send(a, 0)
"""
for name, count in ("8 B", 1), ("1 KiB", 2**7), ("64 KiB", 2**13), ("1 MiB", 2**17):
    work(f"Send/Recv {name}, one way", Pingpong, numpy.ones(count), numpy.ones(count), 2)

work("Allreduce 8 B", "comm.Allreduce(a, b)", numpy.ones(1), numpy.ones(1))
work("Allreduce 1 MiB", "comm.Allreduce(a, b)", numpy.ones(2**17), numpy.ones(2**17))
work("Bcast 8 B", "comm.Bcast(a)", numpy.ones(1))
work("barrier", "comm.Barrier()")

floats = [i / 3 for i in range(1, 10**4 + 1)]
keyed = {f"key{i}": i for i in range(1, 1001)}
records = [{"id": i, "name": f"record {i}", "weight": i / 3} for i in range(1, 10**4 + 1)]

pingpong = """
if rank == 0: comm.send(a, 1); b = comm.recv(source=1)
else: b = comm.recv(source=0); comm.send(a, 0)
"""
work("send/recv an integer", pingpong, 1, operations=2)
work("send/recv 10^4 floats", pingpong, floats, operations=2)
work("send/recv a 1000-key table", pingpong, keyed, operations=2)
work("send/recv 10^4 records", pingpong, records, operations=2)

small = {"n": 16, "tolerance": 1e-6, "method": "cg"}
work("allreduce a number", "b = comm.allreduce(a)", 1.5)
work("bcast a small table", "b = comm.bcast(a)", small)
work("gather a small table", "b = comm.gather(a)", small)
work("allgather a small table", "b = comm.allgather(a)", small)
