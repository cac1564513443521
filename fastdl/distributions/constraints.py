"""Sets of values that parameters and samples must lie in; `constraint.check(x)` is true where x
does.
"""

import numpy as np

from fastdl._engine import tensor_of
from fastdl.ops.diagonal import tril
from fastdl.ops.factor import cholesky_ex

__all__ = [
    "Constraint",
    "boolean",
    "cat",
    "corr_cholesky",
    "dependent",
    "dependent_property",
    "greater_than",
    "greater_than_eq",
    "half_open_interval",
    "independent",
    "integer_interval",
    "interval",
    "is_dependent",
    "less_than",
    "lower_cholesky",
    "lower_triangular",
    "multinomial",
    "nonnegative",
    "nonnegative_integer",
    "one_hot",
    "positive",
    "positive_definite",
    "positive_integer",
    "positive_semidefinite",
    "real",
    "real_vector",
    "simplex",
    "square",
    "stack",
    "symmetric",
    "unit_interval",
]


class Constraint:
    """A set of values. event_dim: how many dimensions of a value are tested together."""

    is_discrete = False
    event_dim = 0

    def check(self, value):
        """Bool tensor of the shape of `value` without its last `event_dim` dimensions."""
        raise NotImplementedError

    def __repr__(self):
        name = type(self).__name__
        return name[1:] + "()" if name.startswith("_") else name + "()"


class _Dependent(Constraint):
    """Of a parameter whose set depends on other parameters: it is not checked."""

    def __init__(self, *, is_discrete=False, event_dim=0):
        self.is_discrete = is_discrete
        self.event_dim = event_dim

    def __call__(self, *, is_discrete=None, event_dim=None):
        """The same with other attributes."""
        return _Dependent(
            is_discrete=self.is_discrete if is_discrete is None else is_discrete,
            event_dim=self.event_dim if event_dim is None else event_dim,
        )

    def check(self, value):
        """ValueError: what it depends on is not known here."""
        raise ValueError("Cannot determine validity of dependent constraint")


def is_dependent(constraint):
    """Does the set depend on other parameters?"""
    return isinstance(constraint, _Dependent)


class dependent_property(property, _Dependent):
    """Decorator: a property of a distribution that is a constraint, such as its `support`."""

    def __init__(self, fn=None, *, is_discrete=False, event_dim=0):
        property.__init__(self, fn)
        _Dependent.__init__(self, is_discrete=is_discrete, event_dim=event_dim)

    def __call__(self, fn):
        """The property of `fn`, with the attributes given to the decorator."""
        return dependent_property(fn, is_discrete=self.is_discrete, event_dim=self.event_dim)


class _IndependentConstraint(Constraint):
    def __init__(self, base_constraint, reinterpreted_batch_ndims):
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value):
        result = self.base_constraint.check(value)
        if result.dim() < self.reinterpreted_batch_ndims:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        keep = result.dim() - self.reinterpreted_batch_ndims
        return result.reshape(*result.shape[:keep], -1).all(-1)

    def __repr__(self):
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value):
        return (value == 0) | (value == 1)


class _OneHot(Constraint):
    is_discrete = True
    event_dim = 1

    def check(self, value):
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _Range(Constraint):
    """Between bounds that are numbers or tensors, or None."""

    def __init__(self, name, lower_bound=None, upper_bound=None, *, open_low=False,
                 open_high=False, whole=False):  # fmt: skip
        self._name = name
        self.lower_bound, self.upper_bound = lower_bound, upper_bound
        self._open = open_low, open_high
        self.is_discrete = whole

    def check(self, value):
        low, high = self.lower_bound, self.upper_bound
        inside = value == value
        if low is not None:
            inside = inside & (value > low if self._open[0] else value >= low)
        if high is not None:
            inside = inside & (value < high if self._open[1] else value <= high)
        return inside & (value % 1 == 0) if self.is_discrete else inside

    def __repr__(self):
        bounds = {"lower_bound": self.lower_bound, "upper_bound": self.upper_bound}
        given = [f"{k}={v}" for k, v in bounds.items() if v is not None]
        return f"{self._name}({', '.join(given)})"


class _Real(Constraint):
    def check(self, value):
        return value == value


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value):
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _Multinomial(Constraint):
    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound):
        self.upper_bound = upper_bound

    def check(self, value):
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class _LowerTriangular(Constraint):
    event_dim = 2

    def check(self, value):
        return (tril(value) == value).flatten(-2).all(-1)


class _LowerCholesky(Constraint):
    event_dim = 2

    def check(self, value):
        lower = (tril(value) == value).flatten(-2).all(-1)
        return lower & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _CorrCholesky(Constraint):
    event_dim = 2

    def check(self, value):
        eps = float(np.finfo(value.array.dtype).eps) * value.shape[-1] * 10
        unit = (value.norm(dim=-1) - 1).abs() < eps
        return _LowerCholesky().check(value) & unit.all(-1)


class _Square(Constraint):
    event_dim = 2

    def check(self, value):
        same = value.shape[-1] == value.shape[-2]
        return tensor_of(np.full(value.shape[:-2], same))


class _Symmetric(_Square):
    def check(self, value):
        square = super().check(value)
        if not square.all():
            return square
        return value.isclose(value.mT, atol=1e-6).all(-2).all(-1)


class _PositiveSemidefinite(_Symmetric):
    def check(self, value):
        symmetric = super().check(value)
        if not symmetric.all():
            return symmetric
        return tensor_of(np.asarray((np.linalg.eigvalsh(value.array) >= 0).all(-1)))


class _PositiveDefinite(_Symmetric):
    def check(self, value):
        symmetric = super().check(value)
        if not symmetric.all():
            return symmetric
        return cholesky_ex(value.detach()).info == 0


class _Parts(Constraint):
    """Constraints of parts along `dim`."""

    def __init__(self, cseq, dim=0):
        self.cseq = list(cseq)
        self.dim = dim
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        self.event_dim = max(c.event_dim for c in self.cseq)


class _Cat(_Parts):
    def __init__(self, cseq, dim=0, lengths=None):
        super().__init__(cseq, dim)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)

    def check(self, value):
        from fastdl.ops.join import cat as join

        parts = value.split(self.lengths, self.dim)
        return join([c.check(part) for c, part in zip(self.cseq, parts)], self.dim)


class _Stack(_Parts):
    def check(self, value):
        from fastdl.ops.join import stack as pile

        parts = value.unbind(self.dim)
        return pile([c.check(part) for c, part in zip(self.cseq, parts)], self.dim)


dependent = _Dependent()
independent = _IndependentConstraint
boolean = _Boolean()
one_hot = _OneHot()
nonnegative_integer = _Range("IntegerGreaterThan", 0, whole=True)
positive_integer = _Range("IntegerGreaterThan", 1, whole=True)
real = _Real()
real_vector = independent(real, 1)
positive = _Range("GreaterThan", 0.0, open_low=True)
nonnegative = _Range("GreaterThanEq", 0.0)
unit_interval = _Range("Interval", 0.0, 1.0)
simplex = _Simplex()
lower_triangular = _LowerTriangular()
lower_cholesky = _LowerCholesky()
corr_cholesky = _CorrCholesky()
square = _Square()
symmetric = _Symmetric()
positive_semidefinite = _PositiveSemidefinite()
positive_definite = _PositiveDefinite()
multinomial = _Multinomial
cat = _Cat
stack = _Stack


def integer_interval(lower_bound, upper_bound):
    """Whole numbers from `lower_bound` to `upper_bound`, both included."""
    return _Range("IntegerInterval", lower_bound, upper_bound, whole=True)


def greater_than(lower_bound):
    """Numbers above `lower_bound`."""
    return _Range("GreaterThan", lower_bound, open_low=True)


def greater_than_eq(lower_bound):
    """`lower_bound` and what is above it."""
    return _Range("GreaterThanEq", lower_bound)


def less_than(upper_bound):
    """Numbers below `upper_bound`."""
    return _Range("LessThan", None, upper_bound, open_high=True)


def interval(lower_bound, upper_bound):
    """Numbers from `lower_bound` to `upper_bound`, both included."""
    return _Range("Interval", lower_bound, upper_bound)


def half_open_interval(lower_bound, upper_bound):
    """Numbers from `lower_bound`, included, to `upper_bound`, not included."""
    return _Range("HalfOpenInterval", lower_bound, upper_bound, open_high=True)
