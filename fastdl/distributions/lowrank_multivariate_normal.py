"""LowRankMultivariateNormal."""

import numpy as np

from fastdl._engine import tensor_of
from fastdl.distributions import constraints
from fastdl.distributions.distribution import Size
from fastdl.distributions.multivariate_normal import NormalVectors
from fastdl.distributions.utils import lazy_property, standard_normal
from fastdl.ops.diagonal import diag_embed
from fastdl.ops.factor import cholesky, solve_triangular

__all__ = ["LowRankMultivariateNormal"]


class LowRankMultivariateNormal(NormalVectors):
    """Normal distribution of vectors (..., n) with mean `loc` and covariance W W' + D, for W the
    `cov_factor` (..., n, m) and D the diagonal matrix of `cov_diag` (..., n).

    With m below n all costs n m^2: of the m x m matrix C = I + W' W / D come the determinant,
    |C| |D|, and the inverse, 1/D - W/D inverse(C) W'/D (Woodbury).
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }

    def __init__(self, loc, cov_factor, cov_diag, validate_args=None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError(
                "cov_factor must be at least two-dimensional, with optional leading batch "
                "dimensions"
            )
        if cov_factor.shape[-2:-1] != event:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event[0]} x m")
        if cov_diag.shape[-1:] != event:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event}")
        try:
            batch = np.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except ValueError:
            raise ValueError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, "
                f"cov_diag {cov_diag.shape}"
            ) from None
        batch = Size(batch)
        self.loc = loc.expand(batch + event)
        self.cov_factor = cov_factor.expand(batch + cov_factor.shape[-2:])
        self.cov_diag = cov_diag.expand(batch + event)
        super().__init__(batch, event, validate_args=validate_args)

    def _eye(self, n):
        return tensor_of(np.eye(n, dtype=self.loc.array.dtype))

    @lazy_property
    def _capacitance_tril(self):
        """The Cholesky factor of C."""
        w = self.cov_factor
        return cholesky(self._eye(w.shape[-1]) + w.mT @ (w / self.cov_diag.unsqueeze(-1)))

    @lazy_property
    def _narrow(self):
        """A (..., m, n) with A' A = W/D inverse(C) W'/D."""
        weighted = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        return solve_triangular(self._capacitance_tril, weighted, upper=False)

    @lazy_property
    def scale_tril(self):
        """Cholesky factor of the covariance matrix."""
        root = self.cov_diag.sqrt().unsqueeze(-1)
        w = self.cov_factor / root
        return root * cholesky(self._eye(w.shape[-2]) + w @ w.mT)

    @lazy_property
    def covariance_matrix(self):
        """Covariance matrix."""
        return self.cov_factor @ self.cov_factor.mT + diag_embed(self.cov_diag)

    @lazy_property
    def precision_matrix(self):
        """Inverse of the covariance matrix."""
        return diag_embed(self.cov_diag.reciprocal()) - self._narrow.mT @ self._narrow

    @property
    def variance(self):
        """Variances of the elements: the diagonal of the covariance matrix."""
        return (self.cov_factor * self.cov_factor).sum(-1) + self.cov_diag

    def rsample(self, sample_shape=()):
        """`loc + W e + sqrt(D) f` for standard normal e and f."""
        shape = self._extended_shape(sample_shape)
        e = standard_normal((*shape[:-1], self.cov_factor.shape[-1], 1), self.loc)
        f = standard_normal(shape, self.loc)
        return self.loc + (self.cov_factor @ e).squeeze(-1) + self.cov_diag.sqrt() * f

    def _half_log_det(self):
        inner = self._capacitance_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return inner + 0.5 * self.cov_diag.log().sum(-1)

    def _distance(self, gap):
        """gap' precision gap for gap (*s, *batch, n): (*s, *batch)."""
        inner = (self._narrow @ gap.unsqueeze(-1)).squeeze(-1)
        return (gap * gap / self.cov_diag).sum(-1) - (inner * inner).sum(-1)

    def _factors(self):
        """Matrices (..., n, k) whose products with their transposes add up to the covariance."""
        return [self.cov_factor, diag_embed(self.cov_diag.sqrt())]
