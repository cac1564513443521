"""RelaxedBernoulli and LogitRelaxedBernoulli."""

from fastdl.distributions import constraints
from fastdl.distributions.odds import Odds
from fastdl.distributions.transformed_distribution import TransformedDistribution
from fastdl.distributions.transforms import SigmoidTransform
from fastdl.distributions.utils import broadcast_all, clamp_probs, open_uniform
from fastdl.ops.activation import softplus

__all__ = ["LogitRelaxedBernoulli", "RelaxedBernoulli"]


class LogitRelaxedBernoulli(Odds):
    """Log odds of `RelaxedBernoulli`: logistic numbers around `logits`, over the temperature."""

    support = constraints.real
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        self.temperature = temperature
        super().__init__(probs, logits, validate_args)

    def expand(self, batch_shape, _instance=None):
        """The same distribution with its parameters expanded to a greater batch."""
        temperature = self.__dict__.pop("temperature")
        try:
            new = super().expand(batch_shape, _instance)
        finally:
            self.temperature = temperature
        new.temperature = temperature
        return new

    def rsample(self, sample_shape=()):
        """Differentiable draws."""
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        u = open_uniform(shape, probs)
        noise = u.log() - (-u).log1p()
        return (noise + probs.log() - (-probs).log1p()) / self.temperature

    def log_prob(self, value):
        """Logarithm of the density."""
        logits, value = broadcast_all(self.logits, self._checked(value))
        gap = logits - value * self.temperature
        return self.temperature.log() + gap - 2 * softplus(gap)


class RelaxedBernoulli(TransformedDistribution):
    """Differentiable approximation of Bernoulli on (0, 1), closer the lower the `temperature`.

    C. Maddison, A. Mnih and Y. Teh, The concrete distribution (2017).
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    @property
    def temperature(self):
        """Temperature."""
        return self.base_dist.temperature

    @property
    def logits(self):
        """Log odds."""
        return self.base_dist.logits

    @property
    def probs(self):
        """Probabilities."""
        return self.base_dist.probs
