"""Whole numbers near a number: no slope."""

import numpy as np

from fastdl.ops.core import elementwise, of_kinds, require_kinds

__all__ = [
    "ceil",
    "fix",
    "floor",
    "frac",
    "round",
    "trunc",
]


def _flat(g):
    return g * 0


@elementwise(ufunc=of_kinds("iuf", np.floor), kernel="floor")
def floor(x):
    """Largest whole number not above x."""


floor.vjp(x=_flat)


@elementwise(ufunc=of_kinds("iuf", np.ceil), kernel="ceil")
def ceil(x):
    """Smallest whole number not below x."""


ceil.vjp(x=_flat)


@elementwise(ufunc=of_kinds("iuf", np.trunc), kernel="trunc")
def trunc(x):
    """x without its fraction."""


trunc.vjp(x=_flat)


@elementwise
def round(x, *, decimals=0):
    """Nearest whole number (or multiple of 10 ** -decimals), halves to even."""
    if decimals == 0 and x.dtype.kind == "f":
        return np.rint(x)
    require_kinds("iuf" if decimals == 0 else "f", x)
    if decimals < 0:
        return np.round(x / 10**-decimals) * x.dtype.type(10**-decimals)
    return np.round(x, decimals)


round.vjp(x=_flat)


@elementwise
def frac(x):
    """x minus its whole part; floating point only."""
    require_kinds("f", x)
    return x - np.trunc(x)


frac.vjp(x=lambda g: g)


# PyTorch's other names.
fix = trunc
