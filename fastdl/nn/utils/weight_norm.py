"""Weight normalisation by a hook before each forward, with the keys of older checkpoints.

Salimans & Kingma 2016. ``parametrizations.weight_norm`` does the same as a parametrization.
"""

from __future__ import annotations

from fastdl.nn.parameter import Parameter, UninitializedParameter
from fastdl.tensor import Tensor

__all__ = ["norm_except", "normalized", "remove_weight_norm", "weight_norm"]


def norm_except(weight: Tensor, dim: int) -> Tensor:
    """The 2-norms over all dimensions but `dim`, which keeps its size, those having 1; with -1 the
    norm of the whole, 0-d."""
    if dim == -1:
        return weight.norm()
    others = [d for d in range(weight.ndim) if d != dim]
    return weight.norm(2, others, keepdim=True) if others else weight.abs()


def normalized(direction: Tensor, size: Tensor, dim: int) -> Tensor:
    """size * direction / norm of direction."""
    return direction * (size / norm_except(direction, dim))


class WeightNorm:
    """The hook: computes the weight from its direction ``NAME_v`` and size ``NAME_g``."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module) -> Tensor:
        size, direction = (getattr(module, self.name + end) for end in ("_g", "_v"))
        return normalized(direction, size, self.dim)

    def __call__(self, module, inputs) -> None:
        setattr(module, self.name, self.compute_weight(module))


def find_hook(module, kind: type, name: str):
    """The key and the object of the forward pre-hook of class `kind` for the tensor `name`, or
    None twice."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, kind) and hook.name == name:
            return key, hook
    return None, None


def weight_norm(module, name: str = "weight", dim: int | None = 0):
    """Splits a parameter into its size ``NAME_g`` and its direction ``NAME_v``, both trained.

    Args:
        module: the layer.
        name: of its parameter.
        dim: each index along it has a size of its own; None: one size for all.

    Returns:
        The module.

    Raises:
        RuntimeError: the parameter is split already.
        ValueError: a lazy layer has seen no input yet.
    """
    if find_hook(module, WeightNorm, name)[1] is not None:
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    weight = getattr(module, name)
    if isinstance(weight, UninitializedParameter):
        raise ValueError(
            "The module passed to `WeightNorm` can't have uninitialized parameters. "
            "Make sure to run the dummy forward before applying weight normalization"
        )
    hook = WeightNorm(name, dim)
    delattr(module, name)
    module.register_parameter(name + "_g", Parameter(norm_except(weight.detach(), hook.dim)))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    hook(module, ())
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module, name: str = "weight"):
    """Makes an ordinary parameter of a weight that :func:`weight_norm` split; returns the module.

    Raises:
        ValueError: it is not split.
    """
    key, hook = find_hook(module, WeightNorm, name)
    if hook is None:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    weight = hook.compute_weight(module)
    for end in ("", "_g", "_v"):
        delattr(module, name + end)
    setattr(module, name, Parameter(weight.detach()))
    del module._forward_pre_hooks[key]
    return module
