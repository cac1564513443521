"""OneHotCategorical and OneHotCategoricalStraightThrough."""

from fastdl.distributions import constraints
from fastdl.distributions.categorical import Categorical
from fastdl.distributions.distribution import Distribution
from fastdl.ops.creation import eye, zeros

__all__ = ["OneHotCategorical", "OneHotCategoricalStraightThrough"]


class OneHotCategorical(Distribution):
    """A category as a vector (..., k) of zeros with a one; parameters as of `Categorical`."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        self._categorical = Categorical(probs, logits)
        super().__init__(
            self._categorical.batch_shape,
            self._categorical.param_shape[-1:],
            validate_args=validate_args,
        )

    @property
    def _param(self):
        return self._categorical._param

    @property
    def probs(self):
        """Probabilities."""
        return self._categorical.probs

    @property
    def logits(self):
        """Logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def param_shape(self):
        """Shape of `probs` and `logits`."""
        return self._categorical.param_shape

    @property
    def mean(self):
        """The probabilities."""
        return self.probs

    def _one_hot(self, index):
        made = zeros(*index.shape, self._event_shape[0], dtype=self._param.dtype)
        return made.scatter_(-1, index.unsqueeze(-1), 1.0)

    @property
    def mode(self):
        """The most probable category."""
        return self._one_hot(self.probs.argmax(-1))

    @property
    def variance(self):
        """`probs * (1 - probs)`."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape=()):
        """Vectors with a one, in the dtype of the parameter."""
        return self._one_hot(self._categorical.sample(sample_shape))

    def log_prob(self, value):
        """Logarithm of the probability."""
        return self._categorical.log_prob(self._checked(value).argmax(-1))

    def entropy(self):
        """`-sum(p log p)`."""
        return self._categorical.entropy()

    def enumerate_support(self, expand=True):
        """All k vectors."""
        k = self._event_shape[0]
        values = eye(k, dtype=self._param.dtype).view(k, *[1] * len(self._batch_shape), k)
        return values.expand(k, *self._batch_shape, k) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose samples pass their gradient on to the probabilities unchanged.

    Y. Bengio, N. Leonard and A. Courville, Estimating or propagating gradients through stochastic
    neurons for conditional computation (2013).
    """

    has_rsample = True

    def sample(self, sample_shape=()):
        """Vectors with a one, without gradient."""
        return OneHotCategorical.sample(self, sample_shape)

    def rsample(self, sample_shape=()):
        """Vectors with a one, with the gradient of the probabilities."""
        return self.sample(sample_shape) + (self.probs - self.probs.detach())
