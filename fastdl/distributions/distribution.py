"""The base class of distributions."""

import warnings

from fastdl import _dtype
from fastdl._engine import set_recording
from fastdl.distributions import constraints
from fastdl.distributions.utils import lazy_property
from fastdl.ops.core import is_tensor

__all__ = ["Distribution"]

Size = _dtype.Size


class Distribution:
    """A probability distribution, or a batch of independent ones.

    batch_shape: shape of the batch, that of the broadcast parameters; event_shape: shape of one
    draw. Samples have the shape sample_shape + batch_shape + event_shape, log_prob of them
    sample_shape + batch_shape. validate_args: check parameters and values; ValueError if they are
    outside their constraints.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value):
        """Whether distributions check their arguments where they are not told: True or False."""
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape=(), event_shape=(), validate_args=None):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self):
        try:
            wanted = self.arg_constraints
        except NotImplementedError:
            wanted = {}
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`. Please set `arg_constraints = "
                "{}` or initialize the distribution with `validate_args=False` to turn off "
                "validation.",
                stacklevel=3,
            )
        for name, constraint in wanted.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(
                getattr(type(self), name, None), lazy_property
            ):
                continue
            value = getattr(self, name)
            if not constraint.check(value).all():
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                    f"{constraint!r}, but found invalid values:\n{value}"
                )

    def expand(self, batch_shape, _instance=None):
        """The same distribution with its parameters expanded to a greater batch."""
        batch_shape = Size(batch_shape)
        new = type(self).__new__(type(self)) if _instance is None else _instance
        depth = len(self._batch_shape)
        for name, value in self.__dict__.items():
            if is_tensor(value):
                value = value.expand(batch_shape + value.shape[depth:])
            elif isinstance(value, Distribution):
                value = value.expand(batch_shape + value.batch_shape[depth:])
            new.__dict__[name] = value
        new._batch_shape = batch_shape
        return new

    @property
    def batch_shape(self):
        """Shape of the batch."""
        return self._batch_shape

    @property
    def event_shape(self):
        """Shape of one draw."""
        return self._event_shape

    @property
    def arg_constraints(self):
        """Dict from the names of the parameters to their constraints."""
        raise NotImplementedError

    @property
    def support(self):
        """The constraint that samples satisfy."""
        raise NotImplementedError

    @property
    def mean(self):
        """Mean."""
        raise NotImplementedError

    @property
    def mode(self):
        """Most probable value."""
        raise NotImplementedError(f"{self.__class__} does not implement mode")

    @property
    def variance(self):
        """Variance."""
        raise NotImplementedError

    @property
    def stddev(self):
        """Standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape=()):
        """Draws of shape sample_shape + batch_shape + event_shape, without gradients."""
        before = set_recording(False)
        try:
            return self.rsample(sample_shape)
        finally:
            set_recording(before)

    def rsample(self, sample_shape=()):
        """Draws as differentiable functions of the parameters, where has_rsample."""
        raise NotImplementedError

    def sample_n(self, n):
        """`n` draws; the old form of `sample((n,))`."""
        warnings.warn(
            "sample_n(n) will be deprecated. Use .sample((n,)) instead.", UserWarning, stacklevel=2
        )
        return self.sample(Size((n,)))

    def log_prob(self, value):
        """Logarithm of the density or probability at `value`."""
        raise NotImplementedError

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        raise NotImplementedError

    def icdf(self, value):
        """The x whose `cdf` is `value`."""
        raise NotImplementedError

    def enumerate_support(self, expand=True):
        """All values of a discrete distribution, along a new first dimension; `expand`: in the
        shape of the batch, else with ones for it.
        """
        raise NotImplementedError

    def entropy(self):
        """Entropy in nats, of the shape of the batch."""
        raise NotImplementedError

    def perplexity(self):
        """`exp(entropy)`."""
        return self.entropy().exp()

    def _extended_shape(self, sample_shape=()):
        return Size(sample_shape) + self._batch_shape + self._event_shape

    def _enumerated(self, values, expand):
        """1-d `values` as `enumerate_support` returns them."""
        values = values.view(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values

    def _checked(self, value):
        """`value`; ValueError where `log_prob` and the like do not take it."""
        if not self._validate_args:
            return value
        if not is_tensor(value):
            raise ValueError("The value argument to log_prob must be a Tensor")
        event = len(self._event_shape)
        if value.shape[value.dim() - event :] != self._event_shape:
            raise ValueError(
                f"The right-most size of value must match event_shape: {value.size()} vs "
                f"{self._event_shape}."
            )
        expected = self._batch_shape + self._event_shape
        for i, j in zip(reversed(value.shape), reversed(expected)):
            if i not in (1, j) and j != 1:
                raise ValueError(
                    "Value is not broadcastable with batch_shape+event_shape: "
                    f"{value.size()} vs {expected}."
                )
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please "
                "initialize the distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return value
        if not support.check(value).all():
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) "
                f"to be within the support ({support!r}) of the distribution {self!r}, but found "
                f"invalid values:\n{value}"
            )
        return value

    _validate_sample = _checked  # PyTorch's name, which subclasses of users call

    def __repr__(self):
        parts = []
        for name in self.arg_constraints:
            if name in self.__dict__:
                value = self.__dict__[name]
                shown = value if value.numel() == 1 else value.size()
                parts.append(f"{name}: {shown}")
        return f"{type(self).__name__}({', '.join(parts)})"


class Located(Distribution):
    """A distribution around `loc`, which is its mean and its mode."""

    @property
    def mean(self):
        """The location."""
        return self.loc

    @property
    def mode(self):
        """The location."""
        return self.loc
