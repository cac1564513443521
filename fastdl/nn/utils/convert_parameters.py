"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from fastdl.ops.join import cat
from fastdl.tensor import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of the parameters in one vector, through which gradients flow."""
    return cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Makes consecutive parts of `vec` the data of the parameters, which then share its memory.

    Raises:
        TypeError: `vec` is no Tensor.
        RuntimeError: `vec` is too short.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected a Tensor, but got: {type(vec).__name__}")
    start = 0
    for parameter in parameters:
        end = start + parameter.numel()
        parameter.data = vec[start:end].view_as(parameter).data
        start = end
