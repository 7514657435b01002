"""NumPy's half of bench_array.lua: prints 'operation size seconds' for each."""
import os
import sys
import time

for name in "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS":
    os.environ.setdefault(name, "1")
import numpy as np


def best(f, calls):
    least = 1e9
    for _ in range(5 if calls > 1 else 50):
        start = time.perf_counter()
        for _ in range(calls):
            f()
        least = min(least, (time.perf_counter() - start) / calls)
    return least


path = sys.argv[1]
generator = np.random.default_rng(1)
for n, calls in (10**6, 1), (10**3, 5000):
    a, b = generator.random(n), generator.random(n)
    for name, f in [("a + b", lambda: a + b), ("a * s", lambda: a * 2.5), ("exp", lambda: np.exp(a)), ("sum", lambda: a.sum()),
                    ("max", lambda: a.max()), ("a:dot(b)", lambda: a.dot(b)), ("random", lambda: generator.random(n))]:
        print(name, n, best(f, calls), sep="\t")
m, w, v = generator.random((1024, 1024)), generator.random((1024, 1024)), generator.random(1024)
print("M:dot(v)", 1024, best(lambda: m.dot(v), 20), sep="\t")
print("M:dot(M)", 1024, best(lambda: m.dot(w), 2), sep="\t")
big = generator.random(10**7)
print("save", 10**7, best(lambda: np.save(path, big), 2), sep="\t")
print("load", 10**7, best(lambda: np.load(path), 2), sep="\t")
