#!/usr/bin/env python3
"""Writes the .npy files the array tests compare with: tests/data (vectors made by NumPy) and
tests/corpus/npy (files that are wrong in one way each, good-* ones excepted)."""
import os
import struct
import numpy as np

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests")
DTYPES = "float64 float32 int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()


def save(name, a):
    np.save(os.path.join(here, "data", name + ".npy"), a)


def files():
    for d in DTYPES:
        a = np.arange(-12, 12).astype(d).reshape(2, 3, 4)
        save("c_" + d, a)
        save("f_" + d, np.asfortranarray(a))
    save("zero_d", np.float64(2.5))
    save("one_d", np.arange(5, dtype="int64"))
    save("empty_0", np.zeros(0))
    save("empty_0x3", np.zeros((0, 3), "int16"))
    save("empty_f", np.asfortranarray(np.zeros((3, 0, 2))))
    save("eight_d", np.asfortranarray(np.arange(2 * 3 * 2 * 2, dtype="int32").reshape(2, 1, 3, 1, 2, 1, 2, 1)))
    save("wide_f", np.asfortranarray(np.arange(7 * 11, dtype="uint16").reshape(7, 11)))
    for seed in range(3):
        for stream in range(2):
            # NumPy counts up before it draws: begin one before (0, stream, 0, 0)
            philox = np.random.Philox(key=seed, counter=((stream << 64) - 1) % 2**256)
            save("philox_%d_%d" % (seed, stream), np.random.Generator(philox).random(50))
    save("bool", np.array([True, False, True]))


def limits(d):
    """A 3x4 array whose elements are where things go wrong."""
    if d[0] == "f":
        values = [0.0, -0.0, 1.0, -1.0, 2.5, -7.25, 1e30, 1e-30, np.inf, -np.inf, np.nan, 3.0]
    else:
        info = np.iinfo(d)
        values = [0, 1, 2, 3, 7, 100, info.max, info.max - 1, info.min, info.min // 2, info.max // 3, 5]
    return np.array(values, d).reshape(3, 4)


def divisors(d):
    values = [1, 2, 3, 5, 7, 11, 100, 4, 1, 2, 9, 127]
    a = np.array(values, d).reshape(3, 4)
    if d[0] == "i":
        a[0] *= -1
        a[2, 3] = np.iinfo(d).min
    if d[0] == "f":
        a[0] *= -1
        a[1] = [np.inf, 0, np.nan, -0.5]
    return a


def exponents(d):
    a = np.array([0, 1, 2, 3, 4, 5, 2, 3, 1, 2, 0, 2], d).reshape(3, 4)
    if d[0] == "f":
        a[2] = [-1, 0.5, -2.5, 1.5]
    return a


BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "idiv": np.floor_divide, "mod": np.mod,
    "pow": np.power, "minimum": np.minimum, "maximum": np.maximum, "eq": np.equal, "ne": np.not_equal, "lt": np.less,
    "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}


# Pairs that are also tried on views and shapes to broadcast: no conversion, one on either side, and on both.
VIEWED = [("float64", "float32"), ("float64", "int32"), ("int32", "float32"), ("int32", "int32"), ("uint8", "int8"),
          ("int64", "uint64"), ("int16", "int64"), ("float32", "float32")]


class Results:
    """The results of one operation, in the order of the calls: a file for each dtype they have."""

    def __init__(self, name):
        self.name, self.parts = name, {}

    def add(self, a):
        a = np.asarray(a)
        if a.dtype == bool:
            a = a.astype("uint8")
        self.parts.setdefault(str(a.dtype), []).append(np.ascontiguousarray(a).reshape(-1))

    def save(self):
        for d, parts in self.parts.items():
            save("%s_%s" % (self.name, d), np.concatenate(parts))


def binary():
    for d in DTYPES:
        save("limits_" + d, limits(d))
        save("divisors_" + d, divisors(d))
        save("exponents_" + d, exponents(d))
    for name, f in BINARY.items():
        results = Results("binary_" + name)
        other = exponents if name == "pow" else divisors
        for d in DTYPES:
            for e in DTYPES:
                a, b = limits(d), other(e)
                results.add(f(a, b))
                if (d, e) in VIEWED:
                    # broadcast rows and columns, transposes, strides, single elements, no rows
                    results.add(f(a, b[1]))
                    results.add(f(a[1], b))
                    results.add(f(a, b[:, 1:2]))
                    results.add(f(a[:, 1:2], b[2]))
                    results.add(f(a.T, b.T))
                    results.add(f(a.T, b[:, 1]))
                    results.add(f(a[::2, 1:], b[::2, :3]))
                    results.add(f(a[:, ::3], b[1:, 2:3][:1]))
                    results.add(f(a[:0], b[:0]))
                    results.add(f(a[:0], b[:1]))
                    results.add(f(a[:, :0], b[:1, :0]))
                    results.add(f(a[1:2], b))
                    results.add(f(a[1:2], b[2:3]))
                    results.add(f(a.reshape(3, 1, 4), b.reshape(3, 4)))
        results.save()


def numbers(d):
    """Numbers as operands, each of which the dtype holds."""
    return [3, 1, 100, 2.5, 0.5] + ([-2, -0.75] if d[0] != "u" else [])


def with_numbers():
    for name, f in BINARY.items():
        results = Results("number_" + name)
        for d in DTYPES:
            a = limits(d)
            for x in numbers(d):
                if not (name == "pow" and d[0] != "f" and x == -2):
                    results.add(f(a, x))
                results.add(f(x, exponents(d) if name == "pow" else divisors(d)))
        results.save()


def in_place():
    """The array's dtype stays; what does not go in place (floats into integers) is left out."""
    for name in ["add", "sub", "mul", "div", "idiv", "mod", "pow", "minimum", "maximum"]:
        results = Results("inplace_" + name)
        other = exponents if name == "pow" else divisors
        for d in DTYPES:
            for e in DTYPES:
                r = BINARY[name](limits(d), other(e))
                if r.dtype.kind == "f" and d[0] != "f":
                    continue
                results.add(r.astype(d))
                a = limits(d)
                a[:, ::2] = BINARY[name](a[:, ::2], other(e)[1:2, 1:3]).astype(d)
                results.add(a)
        results.save()


def representable(d, e):
    """Values of dtype d, of which floats lie in the range of the integers e."""
    if d[0] != "f" or e[0] == "f":
        return limits(d)
    values = [0, 1, 2.5, 7.25, 100.9, 127, 3, 0.99, 63.5, 1e-30, 0.5, 126.999]
    a = np.array(values, d)
    if e[0] == "i":
        a[::2] *= -1
    return a.reshape(3, 4)


def conversions():
    casts, joins = Results("as"), Results("concat")
    for d in DTYPES:
        for e in DTYPES:
            a = representable(d, e)
            for view in a, a.T, a[::2, 1:3], a[:0], a[1:2]:
                casts.add(view.astype(e))
            joins.add(np.concatenate([limits(d), divisors(e)[:1], limits(d)[:0], divisors(e).reshape(4, 3).T]))
    casts.save()
    joins.save()


def lines():
    results = Results("lines")
    for first, last, n in (0, 1, 11), (1, -1, 7), (0.1, 0.7, 100), (-1e300, 1e300, 3), (5, 5, 4), (2, 3, 1), (1, 2, 0):
        results.add(np.linspace(first, last, n))
    for first, n, step in (1, 10, 1), (10, 4, -3), (-5, 11, 1), (2**62, 3, 2**61 - 1):
        results.add(first + np.arange(n) * step)
    for first, n, step in (0, 11, 0.1), (1.5, 5, -0.25), (0.1, 100, 0.3):
        results.add(first + np.arange(n) * step)
    results.save()


def products():
    """Small integers: exact in every dtype but for the overflow of 8 bits."""
    results = Results("dot")
    for d in DTYPES:
        for e in DTYPES:
            a = (np.arange(12).reshape(3, 4) * 5 % 7).astype(d)
            b = (np.arange(20).reshape(4, 5) * 3 % 11).astype(e)
            results.add(a.dot(b))
            results.add(a.dot(b[:, 1]))
            results.add(a[1].dot(b))
            results.add(a[:, 1].dot(b[:3, 2]))
            results.add(b.T.dot(a.T))
            results.add(a[::2, 1:3].dot(b[1::2, ::2]))
            results.add(a[:0].dot(b))
            results.add(a[:, :0].dot(b[:0]))
    results.save()
    norms = Results("norm")
    for d in DTYPES:
        norms.add(np.linalg.norm(reduced(d)))
        norms.add(np.linalg.norm(reduced(d)[1, ::2].T))
    norms.save()


UNARY = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh,
    "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "cbrt": np.cbrt,
    "sqrt": np.sqrt, "neg": np.negative, "abs": np.abs, "square": np.square, "sign": np.sign, "floor": np.floor,
    "ceil": np.ceil, "trunc": np.trunc, "round": np.rint, "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite,
}


def angles():
    rng = np.random.default_rng(1)
    special = [0, -0.0, 1, -1, 0.5, -0.5, np.inf, -np.inf, np.nan, 1e-300, -1e-10, 700, -700, 1e5, 1e22, 2.5, -2.5, 3.5]
    return np.concatenate([special, rng.uniform(-1, 1, 60), rng.uniform(-20, 20, 60), rng.uniform(0, 1e4, 60)])


def unary():
    x = angles()
    save("angles", x)
    for name, f in UNARY.items():
        results = Results("unary_" + name)
        kept = name in ("neg", "abs", "square", "sign")
        results.add(f(x))
        results.add(f(x.astype("float32")))
        for d in DTYPES[2:]:
            if kept:
                results.add(f(limits(d)))
            elif name in ("floor", "ceil", "trunc", "round"):
                results.add(limits(d))
            else:
                results.add(f(limits(d).astype("float64")))
        for d in "float64", "float32":
            for view in x[:60].reshape(3, 4, 5).T, x[1::3], x[:0], x[5:6].reshape(1, 1):
                results.add(f(view.astype(d)))
        results.save()
    pairs = Results("binary_atan2"), Results("binary_hypot")
    for d in "float64", "float32":
        for results, f in zip(pairs, (np.arctan2, np.hypot)):
            results.add(f(x.astype(d), x[::-1].astype(d)))
    for results in pairs:
        results.save()


REDUCTIONS = ["sum", "prod", "min", "max", "mean", "var", "std", "argmin", "argmax", "any", "all", "cumsum", "cumprod"]


def reduced(d):
    a = np.arange(1, 61).reshape(3, 4, 5) * 7919 % 61
    return (a - (20 if d[0] != "u" else 0)).astype(d)


def extremes(d):
    """Integers whose sums overflow; floats with NaN and infinities."""
    return limits(d) if d[0] != "f" else divisors(d)


def reductions():
    for d in DTYPES:
        save("reduced_" + d, reduced(d))
    for name in REDUCTIONS:
        results = Results("reduction_" + name)
        for d in DTYPES:
            a = reduced(d)
            if "prod" in name and d[0] == "f":
                a = a / np.dtype(d).type(16)
            for view in a, a.T, a[::2, :, 1:4], a[:, 1], a[0, 0], a[:, :, :1], a[:0], a[:, :0], extremes(d), extremes(d).T:
                for axis in [None] + list(range(view.ndim)):
                    if name in ("min", "max", "argmin", "argmax") and (view.size if axis is None else view.shape[axis]) == 0:
                        continue
                    if name in ("mean", "var", "std") and (view.size if axis is None else view.shape[axis]) == 0:
                        continue
                    x = view.astype("float64") if name in ("mean", "var", "std") else view
                    r = getattr(np, name)(x, axis=axis)
                    if name in ("argmin", "argmax"):
                        r = r + 1
                    results.add(r)
        results.save()


def header(text, version=(1, 0), length=None, pad=True, data=b"\0" * 64):
    if isinstance(text, str):
        text = text.encode("latin1")
    if pad:
        text += b" " * (-(len(text) + 11) % 64) + b"\n"
    n = len(text) if length is None else length
    size = struct.pack("<H", n) if version[0] == 1 else struct.pack("<I", n)
    return b"\x93NUMPY" + bytes(version) + size + text + data


def good(descr="'<f8'", order="False", shape="(8,)"):
    return "{'descr': %s, 'fortran_order': %s, 'shape': %s, }" % (descr, order, shape)


def corpus():
    files = {
        "good-1": header(good()),
        "good-2": header(good(), (2, 0)),
        "good-3": header(good(), (3, 0)),
        "good-fortran": header(good(order="True", shape="(2, 4)")),
        "good-0d": header(good(shape="()")),
        "good-empty": header(good(shape="(0, 9223372036854775807)"), data=b""),
        "good-native": header(good("'=i4'")),
        "good-double-quotes": header('{"shape": (8,), "descr": "<f8", "fortran_order": False}'),
        "good-python2": header(good(shape="(8L,)")),
        "good-no-spaces": header("{'descr':'<f8','fortran_order':False,'shape':(4,2)}"),
        "good-more-behind": header(good(), data=b"\0" * 100),
        "empty-file": b"",
        "magic-cut": b"\x93NUM",
        "magic-wrong": b"\x93NUMPX" + header(good())[6:],
        "text": b"hello, this is not an array at all\n" * 5,
        "version-cut": b"\x93NUMPY\x01",
        "version-0": header(good(), (0, 0)),
        "version-4": header(good(), (4, 0)),
        "version-1.1": header(good(), (1, 1)),
        "version-255": header(good(), (255, 255)),
        "length-cut": b"\x93NUMPY\x02\x00\x10\x00",
        "length-beyond": header(good(), length=60000),
        "length-4g": header(good(), (2, 0), length=0xffffffff),
        "length-64k": header(good() + " " * 70000, (2, 0)),
        "length-short": header(good(), length=20),
        "length-0": header(good(), length=0),
        "header-list": header("['descr', '<f8']"),
        "header-text": header("descr <f8"),
        "header-open": header("{'descr': '<f8', 'fortran_order': False, 'shape': (8,)"),
        "header-garbage": header(bytes(range(256)), pad=False),
        "header-zeros": header(b"\0" * 118, pad=False),
        "header-unknown-key": header("{'descr': '<f8', 'fortran_order': False, 'shape': (8,), 'x': 1}"),
        "header-more": header(good() + " {}"),
        "header-no-colon": header("{'descr' '<f8'}"),
        "header-number-key": header("{1: 2}"),
        "header-nested": header("{" * 60),
        "descr-missing": header("{'fortran_order': False, 'shape': (8,)}"),
        "descr-twice": header("{'descr': '<f8', 'descr': '<f4', 'fortran_order': False, 'shape': (8,)}"),
        "descr-object": header(good("'|O'")),
        "descr-big-endian": header(good("'>f8'")),
        "descr-big-endian-int": header(good("'>i4'")),
        "descr-structured": header(good("[('x', '<f8'), ('y', '<i4')]")),
        "descr-complex": header(good("'<c16'")),
        "descr-half": header(good("'<f2'")),
        "descr-string": header(good("'<U8'")),
        "descr-time": header(good("'<M8[ns]'")),
        "descr-number": header(good("8")),
        "descr-escape": header(good("'<f\\x38'")),
        "descr-long": header(good("'" + "f" * 1000 + "'")),
        "descr-empty": header(good("''")),
        "descr-open": header(good("'<f8")),
        "order-missing": header("{'descr': '<f8', 'shape': (8,)}"),
        "order-number": header(good(order="0")),
        "order-lower": header(good(order="false")),
        "shape-missing": header("{'descr': '<f8', 'fortran_order': False}"),
        "shape-negative": header(good(shape="(-8,)")),
        "shape-list": header(good(shape="[8]")),
        "shape-number": header(good(shape="(8)")),
        "shape-float": header(good(shape="(8.0,)")),
        "shape-text": header(good(shape="('8',)")),
        "shape-open": header("{'descr': '<f8', 'fortran_order': False, 'shape': (8,"),
        "shape-nine": header(good(shape="(1, 1, 1, 1, 1, 1, 1, 1, 1)")),
        "shape-2^64": header(good(shape="(18446744073709551617,)")),
        "shape-overflow": header(good(shape="(4294967296, 4294967296)")),
        "shape-overflow-bytes": header(good(shape="(2305843009213693952,)")),
        "shape-huge": header(good(shape="(1000000000000,)")),
        "shape-one-more": header(good(shape="(9,)")),
        "shape-comma": header(good(shape="(,)")),
        "shape-two-commas": header(good(shape="(8,,)")),
        "data-cut": header(good(), data=b"\0" * 63),
        "data-none": header(good(), data=b""),
    }
    for name, data in files.items():
        with open(os.path.join(here, "corpus", "npy", name), "wb") as f:
            f.write(data)


for folder in "data", os.path.join("corpus", "npy"):
    os.makedirs(os.path.join(here, folder), exist_ok=True)
files()
with np.errstate(all="ignore"):
    binary()
    with_numbers()
    in_place()
    unary()
    reductions()
    conversions()
    lines()
    products()
corpus()
