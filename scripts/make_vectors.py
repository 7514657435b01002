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
corpus()
