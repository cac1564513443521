"""ExponentialFamily."""

from fastdl.autograd import enable_grad
from fastdl.autograd.gradients import grad
from fastdl.distributions.distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A base for families of densities exp(<t(x), theta> - F(theta) + k(x)), which gives them their
    entropy, F - <theta, F'> - E k.

    A subclass gives the tuple of tensors `_natural_params`, theta; `_log_normalizer(*theta)`, F;
    and the number `_mean_carrier_measure`, the mean of k.
    """

    @property
    def _natural_params(self):
        raise NotImplementedError

    def _log_normalizer(self, *natural_params):
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self):
        raise NotImplementedError

    def entropy(self):
        """Entropy."""
        with enable_grad():
            theta = [p.detach().requires_grad_() for p in self._natural_params]
            found = self._log_normalizer(*theta)
            slopes = grad(found.sum(), theta, create_graph=True)
            for p, slope in zip(theta, slopes):
                inner = (p * slope).reshape((*self._batch_shape, -1))
                found = found - inner.sum(-1)
        return found - self._mean_carrier_measure
