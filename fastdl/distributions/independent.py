"""Independent."""

from fastdl.distributions import constraints
from fastdl.distributions.distribution import Distribution, Size
from fastdl.distributions.utils import sum_rightmost

__all__ = ["Independent"]


class Independent(Distribution):
    """A distribution whose last `reinterpreted_batch_ndims` batch dimensions count as dimensions
    of an event: log_prob is summed over them.

    >>> import fastdl
    >>> normal = fastdl.distributions.Normal(fastdl.zeros(3, 2), fastdl.ones(3, 2))
    >>> fastdl.distributions.Independent(normal, 1).log_prob(fastdl.zeros(3, 2)).shape
    fastdl.Size([3])
    """

    arg_constraints = {}

    def __init__(self, base_distribution, reinterpreted_batch_ndims, validate_args=None):
        if reinterpreted_batch_ndims > len(base_distribution.batch_shape):
            raise ValueError(
                "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual "
                f"{reinterpreted_batch_ndims} vs {len(base_distribution.batch_shape)}"
            )
        shape = base_distribution.batch_shape + base_distribution.event_shape
        event_dim = reinterpreted_batch_ndims + len(base_distribution.event_shape)
        cut = len(shape) - event_dim
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        super().__init__(shape[:cut], shape[cut:], validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        """The same distribution with its parameters expanded to a greater batch."""
        new = type(self).__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        new._batch_shape = Size(batch_shape)
        inner = self._event_shape[: self.reinterpreted_batch_ndims]
        new.base_dist = self.base_dist.expand(new._batch_shape + inner)
        return new

    @property
    def has_rsample(self):
        """Are samples differentiable?"""
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self):
        """Can the values be listed?"""
        return self.reinterpreted_batch_ndims == 0 and self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self):
        """That of the base."""
        base = self.base_dist.support
        n = self.reinterpreted_batch_ndims
        return constraints.independent(base, n) if n else base

    @property
    def mean(self):
        """Mean."""
        return self.base_dist.mean

    @property
    def mode(self):
        """Most probable value."""
        return self.base_dist.mode

    @property
    def variance(self):
        """Variance."""
        return self.base_dist.variance

    def sample(self, sample_shape=()):
        """Draws without gradients."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape=()):
        """Draws with gradients."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value):
        """Sum of the base's."""
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self):
        """Sum of the base's."""
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand=True):
        """The base's, where no dimension is reinterpreted."""
        if self.reinterpreted_batch_ndims > 0:
            raise NotImplementedError("Enumeration over cartesian product is not implemented")
        return self.base_dist.enumerate_support(expand=expand)

    def __repr__(self):
        return f"{type(self).__name__}({self.base_dist}, {self.reinterpreted_batch_ndims})"
