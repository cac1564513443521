"""LKJCholesky."""

import math

import numpy as np

from fastdl._engine import set_recording, tensor_of
from fastdl.distributions import constraints
from fastdl.distributions.beta import Beta
from fastdl.distributions.distribution import Distribution
from fastdl.distributions.utils import broadcast_all, standard_normal
from fastdl.ops.diagonal import diag_embed
from fastdl.ops.special import lgamma, mvlgamma

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors (..., dim, dim) of correlation matrices M whose density is proportional to
    det(M)^(concentration - 1): for 1 all matrices are equally likely.

    Lewandowski, Kurowicka and Joe 2009; drawn row by row, all at once, by their onion method: the
    squared length of what is left of a row's diagonal is a beta variable, its direction uniform.

    Args:
        dim: the size of a matrix, at least 2.
        concentration: positive.

    Raises:
        ValueError: `dim` is below 2.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim, concentration=1.0, validate_args=None):
        if dim < 2:
            raise ValueError(
                f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}."
            )
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(self.concentration.size(), (dim, dim), validate_args=validate_args)

    def sample(self, sample_shape=()):
        """Draws of shape sample_shape + batch_shape + (dim, dim), without gradients."""
        before = set_recording(False)
        try:
            return self._drawn(sample_shape)
        finally:
            set_recording(before)

    def _drawn(self, sample_shape):
        dtype = self.concentration.array.dtype
        row = tensor_of(np.maximum(np.arange(self.dim, dtype=dtype) - 1, 0))
        rest = (self.concentration + 0.5 * (self.dim - 2)).unsqueeze(-1) - 0.5 * row
        squares = Beta(row + 0.5, rest, validate_args=False).sample(sample_shape)
        toward = standard_normal(self._extended_shape(sample_shape), squares).tril(-1)
        lengths = (toward * toward).sum(-1, keepdim=True).clamp(min=np.finfo(dtype).tiny).sqrt()
        below = squares.sqrt().unsqueeze(-1) * toward / lengths
        left = (1 - (below * below).sum(-1)).clamp(min=float(np.finfo(dtype).tiny))
        return below + diag_embed(left.sqrt())

    def log_prob(self, value):
        """Logarithm of the density: the sum of (dim - i + 2 concentration - 2) log L_ii over the
        rows i = 2, ..., dim, less a constant."""
        value = self._checked(value)
        n = self.dim - 1
        rows = tensor_of(np.arange(2, self.dim + 1).astype(self.concentration.array.dtype))
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - rows
        logs = value.diagonal(dim1=-2, dim2=-1)[..., 1:].log()
        alpha = self.concentration + 0.5 * n
        constant = 0.5 * n * math.log(math.pi) + mvlgamma(alpha - 0.5, n) - lgamma(alpha) * n
        return (order * logs).sum(-1) - constant
