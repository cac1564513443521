"""MultivariateNormal."""

import math

import numpy as np

from fastdl._engine import tensor_of
from fastdl.distributions import constraints
from fastdl.distributions.distribution import Located, Size
from fastdl.distributions.utils import lazy_property, standard_normal
from fastdl.ops.factor import cholesky, cholesky_inverse, solve_triangular

__all__ = ["MultivariateNormal"]

_MATRICES = ("covariance_matrix", "precision_matrix", "scale_tril")


def tril_of_precision(precision):
    """The Cholesky factor of the inverse, without inverting: by flipping rows and columns."""
    turned = cholesky(precision.flip(-2, -1)).flip(-2, -1).mT
    n = precision.shape[-1]
    eye = tensor_of(np.eye(n, dtype=precision.array.dtype))
    return solve_triangular(turned, eye, upper=False)


def mahalanobis(lower, gap):
    """Squares of |inverse(lower) @ gap| for lower (*b, n, n) and gap (*s, *b, n): (*s, *b)."""
    if lower.dim() == 2:  # one system with all right-hand sides
        flat = gap.reshape(-1, gap.shape[-1])
        solved = solve_triangular(lower, flat.mT, upper=False)
        return (solved * solved).sum(0).reshape(gap.shape[:-1])
    solved = solve_triangular(lower, gap.unsqueeze(-1), upper=False)
    return (solved * solved).sum((-2, -1))


class NormalVectors(Located):
    """What normal distributions of vectors (..., n) share, however the covariance is given: a
    subclass has `loc`, `_half_log_det()`, half the logarithm of its determinant, and
    `_distance(gap)`, gap' inverse(covariance) gap."""

    support = constraints.real_vector
    has_rsample = True

    def log_prob(self, value):
        """Logarithm of the density."""
        distance = self._distance(self._checked(value) - self.loc)
        n = self._event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + distance) - self._half_log_det()

    def entropy(self):
        """`(n (1 + log(2 pi)) + log det(covariance)) / 2`."""
        n = self._event_shape[0]
        found = 0.5 * n * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
        return found.expand(self._batch_shape)


class MultivariateNormal(NormalVectors):
    """Normal distribution of vectors (..., n) with mean `loc` and one of `covariance_matrix`,
    `precision_matrix` (its inverse) and `scale_tril` (its Cholesky factor), (..., n, n).
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }

    def __init__(self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None,
                 validate_args=None):  # fmt: skip
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        matrices = dict(zip(_MATRICES, (covariance_matrix, precision_matrix, scale_tril)))
        given = {name: m for name, m in matrices.items() if m is not None}
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                "specified."
            )
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError(
                f"{name} must be at least two-dimensional, with optional leading batch dimensions"
            )
        batch = Size(np.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1]))
        setattr(self, name, matrix.expand(batch + matrix.shape[-2:]))
        self.loc = loc.expand(batch + loc.shape[-1:])
        super().__init__(batch, self.loc.shape[-1:], validate_args=validate_args)
        if name == "scale_tril":
            self._root = matrix
        else:
            self._root = (
                cholesky(matrix) if name == "covariance_matrix" else tril_of_precision(matrix)
            )

    def expand(self, batch_shape, _instance=None):
        """The same distribution with its parameters expanded to a greater batch."""
        root = self._root
        new = super().expand(batch_shape, _instance)
        if root.dim() == 2:
            new._root = root
        return new

    @lazy_property
    def scale_tril(self):
        """Cholesky factor of the covariance matrix."""
        return self._root.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def covariance_matrix(self):
        """Covariance matrix."""
        found = self._root @ self._root.mT
        return found.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def precision_matrix(self):
        """Inverse of the covariance matrix."""
        found = cholesky_inverse(self._root)
        return found.expand(self._batch_shape + self._event_shape + self._event_shape)

    @property
    def variance(self):
        """Variances of the elements: the diagonal of the covariance matrix."""
        found = (self._root * self._root).sum(-1)
        return found.expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape=()):
        """`loc + scale_tril @ e` for standard normal e."""
        e = standard_normal(self._extended_shape(sample_shape), self.loc)
        if self._root.dim() == 2:
            return self.loc + e @ self._root.mT
        return self.loc + (self._root @ e.unsqueeze(-1)).squeeze(-1)

    def _half_log_det(self):
        return self._root.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def _distance(self, gap):
        """gap' precision gap for gap (*s, *batch, n): (*s, *batch)."""
        return mahalanobis(self._root, gap)

    def _factors(self):
        """Matrices (..., n, k) whose products with their transposes add up to the covariance."""
        return [self._root]
