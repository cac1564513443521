"""TransformedDistribution."""

from fastdl._engine import set_recording
from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution, Size
from fastdl.distributions.independent import Independent
from fastdl.distributions.transforms import ComposeTransform, Transform
from fastdl.distributions.utils import sum_rightmost

__all__ = ["TransformedDistribution"]


class TransformedDistribution(Distribution):
    """Distribution of t(x) for x of `base_distribution` and t a transform, or a list of them.

    log_prob(y) = base.log_prob(x) - log |det dy/dx|, so each t must be bijective for that.
    """

    arg_constraints = {}

    def __init__(self, base_distribution, transforms, validate_args=None):
        if isinstance(transforms, Transform):
            transforms = [transforms]
        if not (isinstance(transforms, list) and all(isinstance(t, Transform) for t in transforms)):
            raise ValueError(
                "transforms must be a Transform or list, but was "
                f"{type(transforms).__name__}: {transforms}"
            )
        self.transforms = transforms
        base, transform = base_distribution, ComposeTransform(transforms)
        shape = base.batch_shape + base.event_shape
        if len(shape) < transform.domain.event_dim:
            raise ValueError(
                f"base_distribution needs to have shape with size at least "
                f"{transform.domain.event_dim}, but got {shape}."
            )
        after = transform.forward_shape(shape)
        before = transform.inverse_shape(after)
        event = len(base.event_shape)
        if before != shape:
            base = base.expand(before[: len(before) - event])
        more = transform.domain.event_dim - event
        if more > 0:
            base = Independent(base, more)
        self.base_dist = base
        change = transform.codomain.event_dim - transform.domain.event_dim
        event_dim = max(transform.codomain.event_dim, event + change)
        cut = len(after) - event_dim
        super().__init__(after[:cut], after[cut:], validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        """The same distribution with its parameters expanded to a greater batch."""
        batch_shape = Size(batch_shape)
        new = type(self).__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        shape = ComposeTransform(self.transforms).inverse_shape(batch_shape + self._event_shape)
        base = self.base_dist
        new.base_dist = base.expand(shape[: len(shape) - len(base.event_shape)])
        new._batch_shape = batch_shape
        return new

    @constraints.dependent_property(is_discrete=False)
    def support(self):
        """What the last transform gives."""
        if not self.transforms:
            return self.base_dist.support
        found = self.transforms[-1].codomain
        more = len(self._event_shape) - found.event_dim
        return constraints.independent(found, more) if more > 0 else found

    @property
    def has_rsample(self):
        """Are samples differentiable?"""
        return self.base_dist.has_rsample

    def _forward(self, x):
        for t in self.transforms:
            x = t(x)
        return x

    def sample(self, sample_shape=()):
        """Transformed draws of the base, without gradients."""
        before = set_recording(False)
        try:
            return self._forward(self.base_dist.sample(sample_shape))
        finally:
            set_recording(before)

    def rsample(self, sample_shape=()):
        """Transformed draws of the base."""
        return self._forward(self.base_dist.rsample(sample_shape))

    def log_prob(self, value):
        """Logarithm of the density."""
        y = self._checked(value)
        event_dim, total = len(self._event_shape), 0.0
        for t in reversed(self.transforms):
            x = t.inv(y)
            event_dim += t.domain.event_dim - t.codomain.event_dim
            own = t.log_abs_det_jacobian(x, y)
            total = total - sum_rightmost(own, event_dim - t.domain.event_dim)
            y = x
        base = self.base_dist.log_prob(y)
        return total + sum_rightmost(base, event_dim - len(self.base_dist.event_shape))

    def _sign(self):
        sign = 1
        for t in self.transforms:
            sign = sign * t.sign
        return sign

    def _turned(self, probability):
        """1 - it, where the map falls."""
        sign = self._sign()
        if isinstance(sign, int) and sign == 1:
            return probability
        return sign * (probability - 0.5) + 0.5

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        value = self._checked(value)
        for t in reversed(self.transforms):
            value = t.inv(value)
        return self._turned(self.base_dist.cdf(value))

    def icdf(self, value):
        """Quantile."""
        return self._forward(self.base_dist.icdf(self._turned(value)))
