"""ContinuousBernoulli."""

from fastdl.distributions import constraints
from fastdl.distributions.odds import Odds
from fastdl.distributions.utils import broadcast_all, clamp_probs, uniform
from fastdl.ops.elementwise import where
from fastdl.ops.loss import binary_cross_entropy_with_logits

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(Odds):
    """Distribution on [0, 1] with density proportional to probs^x (1 - probs)^(1 - x).

    G. Loaiza-Ganem and J. Cunningham, The continuous Bernoulli (2019). For probs inside `lims`,
    around 1/2, series take the place of formulas that divide 0 by 0.
    """

    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, probs=None, logits=None, lims=(0.499, 0.501), validate_args=None):
        self._lims = lims
        super().__init__(probs, logits, validate_args)

    @property
    def _held(self):
        return clamp_probs(self.probs)

    def _split(self, p):
        """(is p away from 1/2, p with 1/2's neighbourhood replaced by its lower end)."""
        outside = (p <= self._lims[0]) | (p > self._lims[1])
        return outside, where(outside, p, self._lims[0])

    @property
    def _log_norm(self):
        p = self._held
        outside, cut = self._split(p)
        exact = ((-cut).log1p() - cut.log()).abs().log() - (1 - 2 * cut).abs().log()
        s = (p - 0.5) ** 2
        return where(outside, exact, 0.6931471805599453 + (4 / 3 + 104 / 45 * s) * s)

    @property
    def mean(self):
        """Mean."""
        p = self._held
        outside, cut = self._split(p)
        exact = cut / (2 * cut - 1) + 1 / ((-cut).log1p() - cut.log())
        d = p - 0.5
        return where(outside, exact, 0.5 + (1 / 3 + 16 / 45 * d * d) * d)

    @property
    def stddev(self):
        """Standard deviation."""
        return self.variance.sqrt()

    @property
    def variance(self):
        """Variance."""
        p = self._held
        outside, cut = self._split(p)
        exact = cut * (cut - 1) / (1 - 2 * cut) ** 2 + 1 / ((-cut).log1p() - cut.log()) ** 2
        s = (p - 0.5) ** 2
        return where(outside, exact, 1 / 12 - (1 / 15 - 128 / 945 * s) * s)

    def rsample(self, sample_shape=()):
        """The quantile of uniform draws."""
        return self.icdf(uniform(self._extended_shape(sample_shape), self._param))

    def log_prob(self, value):
        """Logarithm of the density."""
        logits, value = broadcast_all(self.logits, self._checked(value))
        return self._log_norm - binary_cross_entropy_with_logits(logits, value, reduction="none")

    def cdf(self, value):
        """Probability of a draw up to `value`."""
        value = self._checked(value)
        outside, cut = self._split(self._held)
        exact = (cut**value * (1 - cut) ** (1 - value) + cut - 1) / (2 * cut - 1)
        return where(outside, exact, value).clamp(0, 1)

    def icdf(self, value):
        """Quantile."""
        outside, cut = self._split(self._held)
        exact = ((-cut + value * (2 * cut - 1)).log1p() - (-cut).log1p()) / (
            cut.log() - (-cut).log1p()
        )
        return where(outside, exact, value)

    def entropy(self):
        """Entropy."""
        log1 = (-self._held).log1p()
        return self.mean * (log1 - self._held.log()) - self._log_norm - log1
