"""Draws that fastdl.distributions differentiates, or that no kernel makes: gamma variables with
gradients, categories, von Mises angles.
"""

import numpy as np

from fastdl._engine import tensor_of
from fastdl.ops import random
from fastdl.ops.core import elementwise, primitive
from fastdl.ops.special.double import in_double
from fastdl.ops.special.gamma import quantile_slope


@elementwise
@in_double
def gamma_quantile_slope(x, y):
    """Slope of a gamma variable y of shape x in x, its rank kept. Not differentiable."""
    return quantile_slope(x, y)


@primitive(node_name="StandardGamma")
def standard_gamma_of(x, *, draw):
    """Gamma variables of shapes x and rate 1, none of them 0; draw: see `random.next_draw`."""
    drawn = random.numpy_stream(draw).standard_gamma(x.astype(np.float64))
    return np.maximum(drawn.astype(x.dtype), np.finfo(x.dtype).tiny)


# M. Figurnov, S. Mohamed and A. Mnih, Implicit reparameterization gradients (2018)
standard_gamma_of.vjp(x=lambda g, x, out: g * gamma_quantile_slope(x, out))


def standard_gamma(shape):
    """Gamma variables of rate 1 for a tensor of shapes; differentiable."""
    return standard_gamma_of(shape, draw=random.next_draw())


def categories(probabilities, count):
    """`count` draws from each row of (n, k) probabilities: (count, n) int64."""
    found = random.category_array(probabilities.array.astype(np.float64), count)
    return tensor_of(np.ascontiguousarray(found.T))


def angles(concentration, shape):
    """Von Mises angles around 0 of a tensor of concentrations, broadcast to `shape`."""
    kappa = np.broadcast_to(concentration.array, shape)
    drawn = random.numpy_stream(random.next_draw()).vonmises(0.0, kappa.astype(np.float64))
    return tensor_of(np.asarray(drawn, concentration.array.dtype))
