import os

import numpy
from measure import work

random = numpy.random.default_rng()

for size, count in ("10^6", 10**6), ("10^3", 10**3):
    a, b = random.random(count), random.random(count)
    work(f"a + b, {size}", "c = a + b", a, b)
    work(f"a * s, {size}", "c = a * b", a, 2.5)
    work(f"exp, {size}", "c = numpy.exp(a)", a)
    work(f"sum, {size}", "s = a.sum()", a)
    work(f"max, {size}", "s = a.max()", a)
    work(f"a:dot(b), {size}", "s = a.dot(b)", a, b)
    work(f"random, {size}", "c = a.random(b)", random, count)

M, v = random.random((1024, 1024)), random.random(1024)
work("M:dot(v), 1024^2", "c = a.dot(b)", M, v)
work("M:dot(M), 1024^2", "c = a.dot(a)", M)

path = "80MB.npy"
work("save 80 MB", "numpy.save(b, a)", random.random(10**7), path)
work("load 80 MB", "c = numpy.load(b)", None, path)
os.remove(path)
