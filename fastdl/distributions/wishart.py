"""Wishart."""

import math
import warnings

import numpy as np

from fastdl._engine import tensor_of
from fastdl.distributions import constraints
from fastdl.distributions.chi2 import Chi2
from fastdl.distributions.distribution import Distribution, Size
from fastdl.distributions.multivariate_normal import tril_of_precision
from fastdl.distributions.utils import lazy_property, standard_normal
from fastdl.ops.core import is_tensor
from fastdl.ops.diagonal import diag_embed
from fastdl.ops.elementwise import where
from fastdl.ops.factor import cholesky, cholesky_inverse, cholesky_solve, slogdet
from fastdl.ops.special import digamma, mvlgamma

__all__ = ["Wishart"]

_MATRICES = ("covariance_matrix", "precision_matrix", "scale_tril")


class Wishart(Distribution):
    """Wishart distribution of positive definite matrices (..., n, n): the sum of x x' over `df`
    normal vectors x, of one of `covariance_matrix`, `precision_matrix` (its inverse) and
    `scale_tril` (its Cholesky factor), (..., n, n); `df` may be any number above n - 1.

    Draws are L A A' L' for A lower triangular with normal numbers and, on its diagonal, roots of
    chi-squared ones (Bartlett 1933).
    """

    support = constraints.positive_definite
    has_rsample = True

    def __init__(self, df, covariance_matrix=None, precision_matrix=None, scale_tril=None,
                 validate_args=None):  # fmt: skip
        matrices = dict(zip(_MATRICES, (covariance_matrix, precision_matrix, scale_tril)))
        given = {name: m for name, m in matrices.items() if m is not None}
        if len(given) != 1:
            raise AssertionError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                "specified."
            )
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError(
                "scale_tril must be at least two-dimensional, with optional leading batch "
                "dimensions"
            )
        n = matrix.shape[-1]
        df = df if is_tensor(df) else tensor_of(np.asarray(df, matrix.array.dtype))
        batch = Size(np.broadcast_shapes(matrix.shape[:-2], df.shape))
        self.df = df.expand(batch)
        if (self.df <= n - 1).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        if (self.df < n).any():
            warnings.warn(
                "Low df values detected. Singular samples are highly likely to occur for ndim - 1 "
                "< df < ndim.",
                stacklevel=2,
            )
        setattr(self, name, matrix.expand(batch + matrix.shape[-2:]))
        super().__init__(batch, matrix.shape[-2:], validate_args=validate_args)
        if name == "covariance_matrix":
            self.scale_tril = cholesky(self.covariance_matrix)
        elif name == "precision_matrix":
            self.scale_tril = tril_of_precision(self.precision_matrix)

    @property
    def arg_constraints(self):
        """Dict from the names of the parameters to their constraints."""
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self._event_shape[-1] - 1),
        }

    @lazy_property
    def scale_tril(self):
        """Cholesky factor of the covariance matrix."""
        return cholesky(self.covariance_matrix)

    @lazy_property
    def covariance_matrix(self):
        """Covariance matrix of the normal vectors."""
        return self.scale_tril @ self.scale_tril.mT

    @lazy_property
    def precision_matrix(self):
        """Inverse of the covariance matrix."""
        return cholesky_inverse(self.scale_tril)

    def _times_covariance(self, factor):
        return factor.unsqueeze(-1).unsqueeze(-1) * self.covariance_matrix

    @property
    def mean(self):
        """`df` times the covariance matrix."""
        return self._times_covariance(self.df)

    @property
    def mode(self):
        """`df - n - 1` times the covariance matrix; NaN where that is not positive."""
        factor = self.df - self._event_shape[-1] - 1
        return self._times_covariance(where(factor > 0, factor, math.nan))

    @property
    def variance(self):
        """Of element i, j with the covariance matrix V: df (V_ij^2 + V_ii V_jj)."""
        v = self.covariance_matrix
        d = v.diagonal(dim1=-2, dim2=-1)
        spread = v * v + d.unsqueeze(-1) * d.unsqueeze(-2)
        return self.df.unsqueeze(-1).unsqueeze(-1) * spread

    def rsample(self, sample_shape=()):
        """Bartlett's draws."""
        n = self._event_shape[-1]
        freedom = self.df.unsqueeze(-1) - tensor_of(np.arange(n, dtype=self.df.array.dtype))
        roots = Chi2(freedom, validate_args=False).rsample(sample_shape).sqrt()
        roots = roots.clamp(min=float(np.finfo(roots.array.dtype).eps))
        below = standard_normal(self._extended_shape(sample_shape), self.df).tril(-1)
        root = self.scale_tril @ (below + diag_embed(roots))
        return root @ root.mT

    def _log_scale(self):
        """log of det(2 covariance) / 2."""
        logs = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return self._event_shape[-1] * math.log(2) / 2 + logs

    def log_prob(self, value):
        """Logarithm of the density."""
        value, n = self._checked(value), self._event_shape[-1]
        trace = cholesky_solve(value, self.scale_tril).diagonal(dim1=-2, dim2=-1).sum(-1)
        return (
            (self.df - n - 1) / 2 * slogdet(value).logabsdet
            - trace / 2
            - self.df * self._log_scale()
            - mvlgamma(self.df / 2, n)
        )

    def entropy(self):
        """Entropy."""
        n = self._event_shape[-1]
        halves = tensor_of(np.arange(n, dtype=self.df.array.dtype) / 2)
        slope = digamma(self.df.unsqueeze(-1) / 2 - halves).sum(-1)  # of log mvgamma
        return (
            (n + 1) * self._log_scale()
            + mvlgamma(self.df / 2, n)
            - (self.df - n - 1) / 2 * slope
            + self.df * n / 2
        )
