"""MixtureSameFamily."""

from fastdl.distributions import constraints
from fastdl.distributions.categorical import Categorical
from fastdl.distributions.distribution import Distribution, Size

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """Mixture of the distributions along the last batch dimension of `component_distribution`,
    with the probabilities of a Categorical `mixture_distribution`.
    """

    arg_constraints = {}
    has_rsample = False

    def __init__(self, mixture_distribution, component_distribution, validate_args=None):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                "The Mixture distribution needs to be an instance of "
                "torch.distributions.Categorical"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "The Component distribution need to be an instance of "
                "torch.distributions.Distribution"
            )
        of_mixture = mixture_distribution.batch_shape
        of_components = component_distribution.batch_shape[:-1]
        for a, b in zip(reversed(of_mixture), reversed(of_components)):
            if a != b and a != 1 and b != 1:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({of_mixture}) is not compatible with "
                    f"`component_distribution.batch_shape`({component_distribution.batch_shape})"
                )
        k = mixture_distribution.logits.shape[-1]
        if k != component_distribution.batch_shape[-1]:
            raise ValueError(
                f"`mixture_distribution component` ({k}) does not equal `component_distribution."
                f"batch_shape[-1]` ({component_distribution.batch_shape[-1]})"
            )
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        event_shape = component_distribution.event_shape
        self._event_ndims = len(event_shape)
        super().__init__(of_components, event_shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        """The same distribution with its parameters expanded to a greater batch."""
        batch_shape = Size(batch_shape)
        new = type(self).__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        k = self._component_distribution.batch_shape[-1:]
        new._component_distribution = self._component_distribution.expand(batch_shape + k)
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        new._batch_shape = batch_shape
        return new

    @constraints.dependent_property
    def support(self):
        """That of the components."""
        return self._component_distribution.support

    @property
    def mixture_distribution(self):
        """The distribution of the choice."""
        return self._mixture_distribution

    @property
    def component_distribution(self):
        """The distributions that are mixed."""
        return self._component_distribution

    def _weights(self):
        probs = self._mixture_distribution.probs
        return probs.reshape(*probs.shape, *[1] * self._event_ndims)

    @property
    def mean(self):
        """The components' means, weighted."""
        return (self._weights() * self._component_distribution.mean).sum(-1 - self._event_ndims)

    @property
    def variance(self):
        """Mean of the variances and variance of the means."""
        weights, dim = self._weights(), -1 - self._event_ndims
        components = self._component_distribution
        gap = components.mean - self.mean.unsqueeze(dim)
        return (weights * components.variance).sum(dim) + (weights * gap**2).sum(dim)

    def _beside(self, x):
        return x.unsqueeze(-1 - self._event_ndims)

    def cdf(self, x):
        """Probability of a draw up to `x`."""
        found = self._component_distribution.cdf(self._beside(x))
        return (found * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, x):
        """Logarithm of the density or probability."""
        x = self._beside(self._checked(x))
        log_mix = self._mixture_distribution.logits.log_softmax(-1)
        return (self._component_distribution.log_prob(x) + log_mix).logsumexp(-1)

    def sample(self, sample_shape=()):
        """A choice of component, and a draw of that."""
        choice = self._mixture_distribution.sample(sample_shape)
        drawn = self._component_distribution.sample(sample_shape)
        dim = len(Size(sample_shape)) + len(self._batch_shape)
        index = choice.reshape(*choice.shape, *[1] * (self._event_ndims + 1))
        shape = (*drawn.shape[:dim], 1, *self._event_shape)
        return drawn.gather(dim, index.expand(shape)).squeeze(dim)

    def __repr__(self):
        parts = (self._mixture_distribution, self._component_distribution)
        return f"MixtureSameFamily(\n  {parts[0]},\n  {parts[1]})"
