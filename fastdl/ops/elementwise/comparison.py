"""Comparisons, tests of a number's kind, logic: bools, no slope."""

import numpy as np

from fastdl.ops.core import elementwise

__all__ = [
    "eq",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "not_equal",
    "signbit",
]


@elementwise(ufunc=np.isnan)
def isnan(x):
    """Is it NaN?"""


@elementwise(ufunc=np.isinf)
def isinf(x):
    """Is it an infinity?"""


@elementwise(ufunc=np.isfinite)
def isfinite(x):
    """Is it neither infinite nor NaN?"""


@elementwise(ufunc=np.signbit)
def signbit(x):
    """Is the sign bit set (true of -0.0 too)?"""


@elementwise(ufunc=np.equal, kernel="eq")
def eq(x, y):
    """`x == y`, element by element."""


@elementwise(ufunc=np.not_equal, kernel="ne")
def ne(x, y):
    """`x != y`."""


@elementwise(ufunc=np.less, kernel="lt")
def lt(x, y):
    """`x < y`."""


@elementwise(ufunc=np.less_equal, kernel="le")
def le(x, y):
    """`x <= y`."""


@elementwise(ufunc=np.greater, kernel="gt")
def gt(x, y):
    """`x > y`."""


@elementwise(ufunc=np.greater_equal, kernel="ge")
def ge(x, y):
    """`x >= y`."""


@elementwise(ufunc=np.logical_and)
def logical_and(x, y):
    """Both non-zero?"""


@elementwise(ufunc=np.logical_or)
def logical_or(x, y):
    """At least one non-zero?"""


@elementwise(ufunc=np.logical_xor)
def logical_xor(x, y):
    """Exactly one non-zero?"""


@elementwise(ufunc=np.logical_not)
def logical_not(x):
    """Zero?"""


# PyTorch's other names.
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
