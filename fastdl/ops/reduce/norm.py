"""The Euclidean norm; other norms are in `fastdl.ops.distance`."""

import numpy as np

from fastdl import backends
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import primitive


@primitive(node_name="LinalgVectorNorm", kernel="norm")
def euclidean_norm(x, *, dims, keepdim):
    """Square root of the sum of squares over `dims`."""
    return np.sqrt(backends.of(x).reduce(x, "sum_squares", dims, keepdim))


def _norm_slope(g, x, out, dims, keepdim):
    shape = x.array.shape
    g, out = S.spread(g, shape, dims, keepdim), S.spread(out, shape, dims, keepdim)
    return E.where(out == 0, 0.0, g * x / out)


euclidean_norm.vjp(x=_norm_slope)
