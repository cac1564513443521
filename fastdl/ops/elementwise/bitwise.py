"""Bit by bit, of integers and bools."""

import numpy as np

from fastdl.ops.core import elementwise, of_kinds

__all__ = [
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
]


@elementwise(ufunc=np.bitwise_and)
def bitwise_and(x, y):
    """`x & y` of integers or bools."""


@elementwise(ufunc=np.bitwise_or)
def bitwise_or(x, y):
    """`x | y` of integers or bools."""


@elementwise(ufunc=np.bitwise_xor)
def bitwise_xor(x, y):
    """`x ^ y` of integers or bools."""


@elementwise(ufunc=np.invert)
def bitwise_not(x):
    """`~x` of integers or bools."""


@elementwise(ufunc=of_kinds("iu", np.left_shift))
def bitwise_left_shift(x, y):
    """`x << y` of integers."""


@elementwise(ufunc=of_kinds("iu", np.right_shift))
def bitwise_right_shift(x, y):
    """`x >> y` of integers."""
