"""Invertible and other maps between spaces, with the logarithms of their Jacobians."""

import math

import numpy as np

from fastdl._engine import tensor_of
from fastdl.distributions import constraints
from fastdl.distributions.distribution import Size
from fastdl.distributions.utils import broadcast_all, sum_rightmost
from fastdl.ops.activation import softplus
from fastdl.ops.core import is_tensor
from fastdl.ops.diagonal import diag_embed, tril
from fastdl.ops.elementwise import clamp
from fastdl.ops.join import cat, pad, stack

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "CatTransform",
    "ComposeTransform",
    "CorrCholeskyTransform",
    "CumulativeDistributionTransform",
    "ExpTransform",
    "IndependentTransform",
    "LowerCholeskyTransform",
    "PositiveDefiniteTransform",
    "PowerTransform",
    "ReshapeTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StackTransform",
    "StickBreakingTransform",
    "TanhTransform",
    "Transform",
    "identity_transform",
]


class Transform:
    """A differentiable map. `t(x)`; `t.inv(y)`; `t.log_abs_det_jacobian(x, y)` for y = t(x).

    domain and codomain: constraints of arguments and results; bijective; sign: +1 or -1 for
    rising and falling maps of numbers. cache_size 1: the last pair (x, y) is kept, so that the
    inverse of a result is the very argument.
    """

    bijective = False
    domain: constraints.Constraint
    codomain: constraints.Constraint

    def __init__(self, cache_size=0):
        if cache_size not in (0, 1):
            raise ValueError("cache_size must be 0 or 1")
        self._cache_size = cache_size
        self._cached_x_y = None, None
        self._inv = None

    @property
    def event_dim(self):
        """Dimensions of one argument and one result, where they are the same."""
        if self.domain.event_dim == self.codomain.event_dim:
            return self.domain.event_dim
        raise ValueError("Please use either .domain.event_dim or .codomain.event_dim")

    @property
    def inv(self):
        """The inverse map."""
        if self._inv is None:
            self._inv = _InverseTransform(self)
        return self._inv

    @property
    def sign(self):
        """+1 or -1."""
        raise NotImplementedError

    def with_cache(self, cache_size=1):
        """The same map with another cache."""
        if self._cache_size == cache_size:
            return self
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._cache_size, new._cached_x_y, new._inv = cache_size, (None, None), None
        return new

    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__

    def __call__(self, x):
        if self._cache_size == 0:
            return self._call(x)
        if x is self._cached_x_y[0]:
            return self._cached_x_y[1]
        y = self._call(x)
        self._cached_x_y = x, y
        return y

    def _inv_call(self, y):
        if self._cache_size == 0:
            return self._inverse(y)
        if y is self._cached_x_y[1]:
            return self._cached_x_y[0]
        x = self._inverse(y)
        self._cached_x_y = x, y
        return x

    def _call(self, x):
        raise NotImplementedError

    def _inverse(self, y):
        raise NotImplementedError

    def log_abs_det_jacobian(self, x, y):
        """`log |det dy/dx|`, of the shape of x without the dimensions of one argument."""
        raise NotImplementedError

    def forward_shape(self, shape):
        """Shape of t(x) for an x of this shape."""
        return shape

    def inverse_shape(self, shape):
        """Shape of t.inv(y) for a y of this shape."""
        return shape

    def __repr__(self):
        return type(self).__name__ + "()"


class _InverseTransform(Transform):
    """The inverse of a transform."""

    def __init__(self, transform):
        super().__init__(transform._cache_size)
        self._inv = transform

    @property
    def domain(self):
        return self._inv.codomain

    @property
    def codomain(self):
        return self._inv.domain

    @property
    def bijective(self):
        return self._inv.bijective

    @property
    def sign(self):
        return self._inv.sign

    @property
    def inv(self):
        return self._inv

    def with_cache(self, cache_size=1):
        return self._inv.with_cache(cache_size).inv

    def __eq__(self, other):
        return isinstance(other, _InverseTransform) and self._inv == other._inv

    __hash__ = object.__hash__

    def __call__(self, x):
        return self._inv._inv_call(x)

    def log_abs_det_jacobian(self, x, y):
        return -self._inv.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape):
        return self._inv.inverse_shape(shape)

    def inverse_shape(self, shape):
        return self._inv.forward_shape(shape)

    def __repr__(self):
        return f"{type(self).__name__}({self._inv!r})"


class ComposeTransform(Transform):
    """Maps one after the other, the first of `parts` first."""

    def __init__(self, parts, cache_size=0):
        if cache_size:
            parts = [part.with_cache(cache_size) for part in parts]
        super().__init__(cache_size)
        self.parts = list(parts)

    def __eq__(self, other):
        return isinstance(other, ComposeTransform) and self.parts == other.parts

    __hash__ = object.__hash__

    def _spaces(self, parts, first, last):
        """The constraint at an end, with the event dimensions that the other maps need."""
        if not parts:
            return constraints.real
        space = getattr(parts[0], first)
        event_dim = getattr(parts[-1], last).event_dim
        for part in reversed(parts):
            here, there = getattr(part, first).event_dim, getattr(part, last).event_dim
            event_dim = max(event_dim + here - there, here)
        more = event_dim - space.event_dim
        return constraints.independent(space, more) if more else space

    @property
    def domain(self):
        """What the first part takes."""
        return self._spaces(self.parts, "domain", "codomain")

    @property
    def codomain(self):
        """What the last part gives."""
        return self._spaces(self.parts[::-1], "codomain", "domain")

    @property
    def bijective(self):
        """Are all parts?"""
        return all(p.bijective for p in self.parts)

    @property
    def sign(self):
        """Product of the parts'."""
        sign = 1
        for p in self.parts:
            sign = sign * p.sign
        return sign

    @property
    def inv(self):
        """The inverses, the last part's first."""
        if self._inv is None:
            self._inv = ComposeTransform([p.inv for p in reversed(self.parts)])
            self._inv._inv = self
        return self._inv

    def with_cache(self, cache_size=1):
        """The same maps with another cache."""
        if self._cache_size == cache_size:
            return self
        return ComposeTransform(self.parts, cache_size=cache_size)

    def __call__(self, x):
        for part in self.parts:
            x = part(x)
        return x

    def log_abs_det_jacobian(self, x, y):
        """Sum of the parts'."""
        if not self.parts:
            return x * 0
        values = [x]
        for part in self.parts[:-1]:
            values.append(part(values[-1]))
        values.append(y)
        total, event_dim = 0, self.domain.event_dim
        for part, before, after in zip(self.parts, values, values[1:]):
            own = part.log_abs_det_jacobian(before, after)
            total = total + sum_rightmost(own, event_dim - part.domain.event_dim)
            event_dim += part.codomain.event_dim - part.domain.event_dim
        return total

    def forward_shape(self, shape):
        """Shape of t(x) for an x of this shape."""
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape):
        """Shape of t.inv(y) for a y of this shape."""
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape

    def __repr__(self):
        inner = ",\n    ".join([repr(p) for p in self.parts])
        return f"ComposeTransform(\n    {inner}\n)"


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A map whose last `reinterpreted_batch_ndims` batch dimensions belong to the argument."""

    def __init__(self, base_transform, reinterpreted_batch_ndims, cache_size=0):
        super().__init__(cache_size)
        self.base_transform = base_transform.with_cache(cache_size)
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def domain(self):
        """That of the base."""
        n = self.reinterpreted_batch_ndims
        return constraints.independent(self.base_transform.domain, n)

    @property
    def codomain(self):
        """That of the base."""
        n = self.reinterpreted_batch_ndims
        return constraints.independent(self.base_transform.codomain, n)

    @property
    def bijective(self):
        """Is the base?"""
        return self.base_transform.bijective

    @property
    def sign(self):
        """The base's."""
        return self.base_transform.sign

    def _call(self, x):
        if x.dim() < self.domain.event_dim:
            raise ValueError("Too few dimensions on input")
        return self.base_transform(x)

    def _inverse(self, y):
        if y.dim() < self.codomain.event_dim:
            raise ValueError("Too few dimensions on input")
        return self.base_transform.inv(y)

    def log_abs_det_jacobian(self, x, y):
        """Sum of the base's."""
        found = self.base_transform.log_abs_det_jacobian(x, y)
        return sum_rightmost(found, self.reinterpreted_batch_ndims)

    def forward_shape(self, shape):
        """Shape of t(x) for an x of this shape."""
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape):
        """Shape of t.inv(y) for a y of this shape."""
        return self.base_transform.inverse_shape(shape)

    def __repr__(self):
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"


class ReshapeTransform(Transform):
    """The last dimensions, of shape `in_shape`, in the shape `out_shape`."""

    bijective = True

    def __init__(self, in_shape, out_shape, cache_size=0):
        self.in_shape, self.out_shape = Size(in_shape), Size(out_shape)
        if self.in_shape.numel() != self.out_shape.numel():
            raise ValueError("in_shape, out_shape have different numbers of elements")
        super().__init__(cache_size)

    @property
    def domain(self):
        """Real arrays of in_shape."""
        return constraints.independent(constraints.real, len(self.in_shape))

    @property
    def codomain(self):
        """Real arrays of out_shape."""
        return constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x):
        return x.reshape(x.shape[: x.dim() - len(self.in_shape)] + self.out_shape)

    def _inverse(self, y):
        return y.reshape(y.shape[: y.dim() - len(self.out_shape)] + self.in_shape)

    def log_abs_det_jacobian(self, x, y):
        """0."""
        return sum_rightmost(x * 0, len(self.in_shape))

    @staticmethod
    def _replaced(shape, old, new):
        cut = len(shape) - len(old)
        if cut < 0:
            raise ValueError("Too few dimensions on input")
        if shape[cut:] != old:
            raise ValueError(f"Shape mismatch: expected {shape[cut:]} but got {old}")
        return shape[:cut] + new

    def forward_shape(self, shape):
        """Shape of t(x) for an x of this shape."""
        return self._replaced(Size(shape), self.in_shape, self.out_shape)

    def inverse_shape(self, shape):
        """Shape of t.inv(y) for a y of this shape."""
        return self._replaced(Size(shape), self.out_shape, self.in_shape)


class _OfNumbers(Transform):
    """A rising bijection of numbers without parameters: any two of a kind are equal."""

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = +1

    def __eq__(self, other):
        return type(self) is type(other)

    __hash__ = object.__hash__


class ExpTransform(_OfNumbers):
    """`y = exp(x)`."""

    codomain = constraints.positive

    def _call(self, x):
        return x.exp()

    def _inverse(self, y):
        return y.log()

    def log_abs_det_jacobian(self, x, y):
        """x."""
        return x


class PowerTransform(Transform):
    """`y = x ** exponent`, x > 0."""

    domain = constraints.positive
    codomain = constraints.positive
    bijective = True

    def __init__(self, exponent, cache_size=0):
        super().__init__(cache_size)
        (self.exponent,) = broadcast_all(exponent)

    @property
    def sign(self):
        """The exponent's."""
        return self.exponent.sign()

    def __eq__(self, other):
        return isinstance(other, PowerTransform) and bool((self.exponent == other.exponent).all())

    __hash__ = object.__hash__

    def _call(self, x):
        return x**self.exponent

    def _inverse(self, y):
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x, y):
        """`log |exponent * y / x|`."""
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape):
        """Shape of t(x) for an x of this shape."""
        return Size(np.broadcast_shapes(shape, self.exponent.shape))

    inverse_shape = forward_shape


def _inside(x):
    """(least positive number, greatest number below 1) of the dtype of x."""
    limits = np.finfo(x.array.dtype)
    return float(limits.tiny), 1.0 - float(limits.eps)


class SigmoidTransform(_OfNumbers):
    """`y = 1 / (1 + exp(-x))`."""

    codomain = constraints.unit_interval

    def _call(self, x):
        return x.sigmoid().clamp(*_inside(x))

    def _inverse(self, y):
        y = y.clamp(*_inside(y))
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x, y):
        """`log(y (1 - y))`."""
        return -softplus(-x) - softplus(x)


class SoftplusTransform(_OfNumbers):
    """`y = log(1 + exp(x))`."""

    codomain = constraints.positive

    def _call(self, x):
        return softplus(x)

    def _inverse(self, y):
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x, y):
        """`log(sigmoid(x))`."""
        return -softplus(-x)


class TanhTransform(_OfNumbers):
    """`y = tanh(x)`."""

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x):
        return x.tanh()

    def _inverse(self, y):
        return y.atanh()

    def log_abs_det_jacobian(self, x, y):
        """`log(1 - tanh(x)^2)`, exact for large x too."""
        return 2.0 * (math.log(2.0) - x - softplus(-2.0 * x))


class AbsTransform(Transform):
    """`y = |x|`; its inverse gives y."""

    domain = constraints.real
    codomain = constraints.positive

    def __eq__(self, other):
        return isinstance(other, AbsTransform)

    __hash__ = object.__hash__

    def _call(self, x):
        return x.abs()

    def _inverse(self, y):
        return y


class AffineTransform(Transform):
    """`y = loc + scale * x`; event_dim: dimensions of one argument."""

    bijective = True

    def __init__(self, loc, scale, event_dim=0, cache_size=0):
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def event_dim(self):
        """Dimensions of one argument."""
        return self._event_dim

    @constraints.dependent_property(is_discrete=False)
    def domain(self):
        """Real numbers."""
        n = self._event_dim
        return constraints.independent(constraints.real, n) if n else constraints.real

    codomain = domain

    def __eq__(self, other):
        if not isinstance(other, AffineTransform):
            return False
        same = lambda a, b: bool((tensor_of(np.equal(_plain(a), _plain(b)))).all())
        return same(self.loc, other.loc) and same(self.scale, other.scale)

    __hash__ = object.__hash__

    @property
    def sign(self):
        """The scale's."""
        if is_tensor(self.scale):
            return self.scale.sign()
        return (self.scale > 0) - (self.scale < 0)

    def _call(self, x):
        return self.loc + self.scale * x

    def _inverse(self, y):
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x, y):
        """`log |scale|`."""
        scale = self.scale if is_tensor(self.scale) else tensor_of(np.full((), self.scale, float))
        found = scale.abs().log().to(x.dtype) + x * 0
        return sum_rightmost(found, self._event_dim)

    def forward_shape(self, shape):
        """Shape of t(x) for an x of this shape."""
        shapes = [getattr(v, "shape", ()) for v in (self.loc, self.scale)]
        return Size(np.broadcast_shapes(shape, *shapes))

    inverse_shape = forward_shape


def _plain(value):
    return value.array if is_tensor(value) else value


class SoftmaxTransform(Transform):
    """Softmax over the last dimension; its inverse, the logarithm, is one of many."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def __eq__(self, other):
        return isinstance(other, SoftmaxTransform)

    __hash__ = object.__hash__

    def _call(self, x):
        return x.softmax(-1)

    def _inverse(self, y):
        return y.log()

    def forward_shape(self, shape):
        """The same shape."""
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        return shape

    inverse_shape = forward_shape


class StickBreakingTransform(Transform):
    """k - 1 numbers to k probabilities: each takes a share (a sigmoid) of what is left."""

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    def __eq__(self, other):
        return isinstance(other, StickBreakingTransform)

    __hash__ = object.__hash__

    @staticmethod
    def _offset(x, k):
        """log(k), log(k - 1) ...: shares for which zeros give equal probabilities."""
        return tensor_of(np.log(np.arange(k, 0, -1)).astype(x.array.dtype))

    def _call(self, x):
        z = (x - self._offset(x, x.shape[-1])).sigmoid()
        left = (1 - z).cumprod(-1)
        return pad(z, (0, 1), value=1.0) * pad(left, (1, 0), value=1.0)

    def _inverse(self, y):
        head = y[..., :-1]
        left = clamp(1 - head.cumsum(-1), min=float(np.finfo(y.array.dtype).tiny))
        return head.log() - left.log() + self._offset(y, head.shape[-1])

    def log_abs_det_jacobian(self, x, y):
        """Sum over the shares."""
        x = x - self._offset(x, x.shape[-1])
        return (-x + -softplus(-x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape):
        """One more in the last dimension."""
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        return Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape):
        """One less in the last dimension."""
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        return Size((*shape[:-1], shape[-1] - 1))


class LowerCholeskyTransform(Transform):
    """Any square matrix to a lower triangular one, the diagonal through exp."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def __eq__(self, other):
        return isinstance(other, LowerCholeskyTransform)

    __hash__ = object.__hash__

    def _call(self, x):
        return tril(x, -1) + diag_embed(x.diagonal(dim1=-2, dim2=-1).exp())

    def _inverse(self, y):
        return tril(y, -1) + diag_embed(y.diagonal(dim1=-2, dim2=-1).log())


class PositiveDefiniteTransform(Transform):
    """Any square matrix to a positive definite one, L @ L.T of `LowerCholeskyTransform`."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def __eq__(self, other):
        return isinstance(other, PositiveDefiniteTransform)

    __hash__ = object.__hash__

    def _call(self, x):
        lower = LowerCholeskyTransform()(x)
        return lower @ lower.mT

    def _inverse(self, y):
        return LowerCholeskyTransform().inv(y.cholesky())


class CorrCholeskyTransform(Transform):
    """k (k - 1) / 2 numbers to the Cholesky factor of a (k, k) correlation matrix.

    tanh of the numbers are partial correlations, row by row: each takes its share of the unit
    length of the row that is left.
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def __eq__(self, other):
        return isinstance(other, CorrCholeskyTransform)

    __hash__ = object.__hash__

    @staticmethod
    def _places(k):
        return np.tril_indices(k, -1)

    def _call(self, x):
        k = self.forward_shape(x.shape)[-1]
        rows, columns = self._places(k)
        r = tensor_of(np.zeros((*x.shape[:-1], k, k), x.array.dtype))
        eps = float(np.finfo(x.array.dtype).eps)
        held = x.tanh().clamp(-1 + eps, 1 - eps)
        r[..., tensor_of(rows), tensor_of(columns)] = held
        left = (1 - r * r).sqrt().cumprod(-1)
        eye = tensor_of(np.eye(k, dtype=x.array.dtype))
        return (r + eye) * pad(left[..., :-1], (1, 0), value=1.0)

    def _inverse(self, y):
        k = y.shape[-1]
        left = 1 - (y * y).cumsum(-1)
        left = pad(left[..., :-1], (1, 0), value=1.0)
        rows, columns = (tensor_of(i) for i in self._places(k))
        return (y[..., rows, columns] / left[..., rows, columns].sqrt()).atanh()

    def log_abs_det_jacobian(self, x, y):
        """Logarithms of what was left at each step, and of tanh's slope."""
        k = y.shape[-1]
        left = (1 - (y * y).cumsum(-1))[..., :-1]
        rows, columns = np.tril_indices(k - 1, -1)
        steps = left[..., 1:, :][..., tensor_of(rows), tensor_of(columns)]
        of_steps = 0.5 * steps.log().sum(-1)
        of_tanh = -2 * (x + softplus(-2 * x) - math.log(2.0)).sum(-1)
        return of_steps + of_tanh

    def forward_shape(self, shape):
        """(..., k (k - 1) / 2) to (..., k, k)."""
        if len(shape) < 1:
            raise ValueError("Too few dimensions on input")
        n = shape[-1]
        k = round((0.25 + 2 * n) ** 0.5 + 0.5)
        if k * (k - 1) // 2 != n:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return Size((*shape[:-1], k, k))

    def inverse_shape(self, shape):
        """(..., k, k) to (..., k (k - 1) / 2)."""
        if len(shape) < 2:
            raise ValueError("Too few dimensions on input")
        if shape[-2] != shape[-1]:
            raise ValueError("Input is not square")
        return Size((*shape[:-2], shape[-1] * (shape[-1] - 1) // 2))


class _Parts(Transform):
    """Maps of the parts along `dim`."""

    def __init__(self, tseq, dim, cache_size):
        tseq = list(tseq)
        if not all(isinstance(t, Transform) for t in tseq):
            raise AssertionError("All elements of tseq must be Transform instances")
        super().__init__(cache_size)
        self.transforms = [t.with_cache(cache_size) for t in tseq]
        self.dim = dim

    @property
    def bijective(self):
        """Are all parts?"""
        return all(t.bijective for t in self.transforms)


class CatTransform(_Parts):
    """Maps of the parts of given `lengths` (1) along `dim`, joined by cat."""

    def __init__(self, tseq, dim=0, lengths=None, cache_size=0):
        super().__init__(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)

    @property
    def domain(self):
        """Those of the parts."""
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self):
        """Those of the parts."""
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)

    def _call(self, x):
        parts = x.split(self.lengths, self.dim)
        return cat([t(part) for t, part in zip(self.transforms, parts)], self.dim)

    def _inverse(self, y):
        parts = y.split(self.lengths, self.dim)
        return cat([t.inv(part) for t, part in zip(self.transforms, parts)], self.dim)

    def log_abs_det_jacobian(self, x, y):
        """Those of the parts, along `dim`, or summed where that belongs to the argument."""
        pairs = zip(x.split(self.lengths, self.dim), y.split(self.lengths, self.dim))
        event_dim = self.domain.event_dim
        found = []
        for t, (a, b) in zip(self.transforms, pairs):
            own = t.log_abs_det_jacobian(a, b)
            found.append(sum_rightmost(own, event_dim - t.domain.event_dim))
        dim = self.dim - x.dim() if self.dim >= 0 else self.dim
        dim += event_dim
        if dim < 0:
            return cat(found, dim)
        total = found[0]
        for own in found[1:]:
            total = total + own
        return total


class StackTransform(_Parts):
    """Maps of the slices along `dim`, joined by stack."""

    def __init__(self, tseq, dim=0, cache_size=0):
        super().__init__(tseq, dim, cache_size)

    @property
    def domain(self):
        """Those of the parts."""
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @property
    def codomain(self):
        """Those of the parts."""
        return constraints.stack([t.codomain for t in self.transforms], self.dim)

    def _call(self, x):
        parts = x.unbind(self.dim)
        return stack([t(part) for t, part in zip(self.transforms, parts)], self.dim)

    def _inverse(self, y):
        parts = y.unbind(self.dim)
        return stack([t.inv(part) for t, part in zip(self.transforms, parts)], self.dim)

    def log_abs_det_jacobian(self, x, y):
        """Those of the slices."""
        triples = zip(self.transforms, x.unbind(self.dim), y.unbind(self.dim))
        return stack([t.log_abs_det_jacobian(a, b) for t, a, b in triples], self.dim)


class CumulativeDistributionTransform(Transform):
    """The cdf of a distribution of numbers; its inverse is the quantile."""

    bijective = True
    codomain = constraints.unit_interval
    sign = +1

    def __init__(self, distribution, cache_size=0):
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self):
        """The distribution's support."""
        return self.distribution.support

    def _call(self, x):
        return self.distribution.cdf(x)

    def _inverse(self, y):
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x, y):
        """The logarithm of the density."""
        return self.distribution.log_prob(x)
