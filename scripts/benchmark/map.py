# See map.lua: map.py multiprocessing|futures|ipyparallel, with 2 workers. Fewer tasks where one takes long.
import sys

from measure import work


def square(x):
    return x * x


def empty(x):
    return x


if __name__ == "__main__":
    if sys.argv[1] == "multiprocessing":
        import multiprocessing

        with multiprocessing.Pool(2) as pool:
            million, some = range(1, 10**6 + 1), range(2000)
            work("map, 10^6 tasks x*x", "pool.map(square, million)", operations=10**6)
            work("map, one task at a time", "for _ in pool.imap_unordered(empty, some): pass", operations=2000)
    elif sys.argv[1] == "futures":
        from mpi4py.futures import MPIPoolExecutor

        with MPIPoolExecutor() as pool:
            few = range(100)
            work("map, one task at a time", "for _ in pool.map(empty, few): pass", operations=100)
    else:
        import ipyparallel

        with ipyparallel.Cluster(n=2, log_level=50) as client:
            view, few = client.load_balanced_view(), range(20)
            work("map, one task at a time", "view.map_sync(empty, few, chunksize=1)", operations=20)
