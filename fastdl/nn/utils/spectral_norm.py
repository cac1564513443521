"""Spectral normalisation by a hook before each forward, with the keys of older checkpoints.

Miyato et al. 2018. ``parametrizations.spectral_norm`` does the same as a parametrization.
"""

from __future__ import annotations

from fastdl.autograd import no_grad
from fastdl.nn.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from fastdl.nn.functional import normalize
from fastdl.nn.parameter import Parameter, UninitializedParameter
from fastdl.nn.utils.weight_norm import find_hook
from fastdl.ops.random import randn
from fastdl.tensor import Tensor

__all__ = ["as_matrix", "output_dim", "random_direction", "remove_spectral_norm", "spectral_norm"]


def output_dim(module) -> int:
    """The dimension of a layer's weight that stands for its outputs."""
    transposed = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
    return 1 if isinstance(module, transposed) else 0


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight with `dim` as rows, everything else as columns."""
    return weight.movedim(dim, 0).flatten(1)


def random_direction(size: int, eps: float, like: Tensor) -> Tensor:
    """A random vector of norm 1."""
    return normalize(randn(size, dtype=like.dtype, device=like.device), dim=0, eps=eps)


class SpectralNorm:
    """The hook: divides the weight by an estimate of its largest singular value.

    The estimate is u W v with unit vectors u and v, which steps of the power method, in training,
    bring closer to the singular vectors.
    """

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but "
                f"got n_power_iterations={n_power_iterations}"
            )
        self.name = name
        self.n_power_iterations = n_power_iterations
        self.dim = dim
        self.eps = eps

    def compute_weight(self, module, do_power_iteration: bool) -> Tensor:
        weight, u, v = (getattr(module, self.name + end) for end in ("_orig", "_u", "_v"))
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v = normalize(matrix.t().mv(u), dim=0, eps=self.eps)
                    u = normalize(matrix.mv(v), dim=0, eps=self.eps)
            # new tensors: what an earlier forward has recorded keeps the old ones
            setattr(module, self.name + "_u", u)
            setattr(module, self.name + "_v", v)
        return weight / u.dot(matrix.mv(v))

    def __call__(self, module, inputs) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))


def spectral_norm(
    module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
):
    """Divides a layer's weight by its largest singular value, before each forward.

    Args:
        module: the layer; gets the parameter ``NAME_orig`` and the buffers ``NAME_u``, ``NAME_v``.
        name: of its parameter.
        n_power_iterations: steps of the power method for each forward in training.
        eps: the least norm of a vector.
        dim: of the weight that becomes the rows of a matrix: 0, for transposed convolutions 1,
            unless given.

    Returns:
        The module.

    Raises:
        RuntimeError: the parameter is normalised already.
        ValueError: the parameter is None, a lazy layer has seen no input yet, or
            `n_power_iterations` is not positive.
    """
    if find_hook(module, SpectralNorm, name)[1] is not None:
        raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    hook = SpectralNorm(name, n_power_iterations, output_dim(module) if dim is None else dim, eps)
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
    if isinstance(weight, UninitializedParameter):
        raise ValueError(
            "The module passed to `SpectralNorm` can't have uninitialized parameters. "
            "Make sure to run the dummy forward before applying spectral normalization"
        )
    rows, columns = as_matrix(weight, hook.dim).shape
    delattr(module, name)
    module.register_parameter(name + "_orig", weight)
    setattr(module, name, weight.detach())  # programs look for it before the first forward
    module.register_buffer(name + "_u", random_direction(rows, eps, weight))
    module.register_buffer(name + "_v", random_direction(columns, eps, weight))
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module, name: str = "weight"):
    """Makes an ordinary parameter of a weight that :func:`spectral_norm` took over; returns the
    module.

    Raises:
        ValueError: it has not.
    """
    key, hook = find_hook(module, SpectralNorm, name)
    if hook is None:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    with no_grad():
        weight = hook.compute_weight(module, do_power_iteration=False)
    for end in ("", "_u", "_v", "_orig"):
        delattr(module, name + end)
    module.register_parameter(name, Parameter(weight))
    del module._forward_pre_hooks[key]
    return module
