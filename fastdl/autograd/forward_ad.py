"""Forward mode: dual tensors, which carry a derivative along one direction.

    with dual_level():
        y = f(make_dual(x, v))
        unpack_dual(y).tangent               J v

There are no rules of forward mode beside the gradient functions: a dual tensor is the start of a
recorded graph, and the tangent of a result is taken from two backward passes through it. The first
gives g(u) = u^T J, linear in u; its gradient by u along v is J v. So every function that is twice
differentiable has tangents; inside, `requires_grad` of dual tensors reads True, and what runs under
`no_grad` has none. The cost is that of two backward passes for each `unpack_dual`.
"""

import threading
from typing import NamedTuple

import numpy as np

from fastdl import _engine
from fastdl._engine import TensorBase, tensor_of
from fastdl.autograd.gradients import grad

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual",
           "unpack_dual"]  # fmt: skip


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` returns; tangent is None where the tensor depends on no dual tensor."""

    primal: TensorBase
    tangent: TensorBase | None


_state = threading.local()


def _levels():
    """The duals made at each level of this thread: lists of (dual tensor, tangent)."""
    if not hasattr(_state, "levels"):
        _state.levels = []
    return _state.levels


def enter_dual_level():
    """Start a level; returns its number. Levels do not nest, as in PyTorch."""
    levels = _levels()
    if levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    levels.append([])
    return len(levels) - 1


def exit_dual_level(*, level=None):
    """End the level: tangents made in it are gone."""
    levels = _levels()
    if not levels or level not in (None, len(levels) - 1):
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created."
        )
    levels.pop()


class dual_level:
    """The block in which dual tensors live.

    >>> import fastdl as torch
    >>> from fastdl.autograd import forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(torch.tensor([3.0]), torch.tensor([1.0]))
    ...     fwAD.unpack_dual(x * x).tangent
    tensor([6.])
    """

    def __enter__(self):
        return enter_dual_level()

    def __exit__(self, *exc):
        exit_dual_level()


def make_dual(tensor, tangent, *, level=None):
    """A view of `tensor` that carries `tangent`, of its shape and dtype, through operations."""
    levels = _levels()
    if not levels:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to "
            "enter_dual_level() first."
        )
    if tensor.array.dtype.kind not in "fc" or tangent.array.dtype.kind not in "fc":
        raise ValueError("Expected primal and tangent to be floating point or complex")
    if tensor.array.shape != tangent.array.shape:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original "
            f"Tensor, this is not supported. Tensor is of size {list(tensor.array.shape)} while "
            f"the given forward gradient is of size {list(tangent.array.shape)}."
        )
    if tensor.requires_grad:
        from fastdl.ops.shape import view

        dual = view(tensor, tensor.array.shape)
    else:
        dual = tensor.detach().requires_grad_()
    levels[-1].append((dual, tangent, tensor))
    return dual


def unpack_dual(tensor, *, level=None):
    """(primal, tangent) of a result; tangent None where it depends on no dual tensor."""
    levels = _levels()
    if not levels:
        return UnpackedDualTensor(tensor, None)
    for dual, tangent, primal in levels[-1]:
        if dual is tensor:
            return UnpackedDualTensor(primal, tangent)
    if not (levels[-1] and tensor.requires_grad):
        return UnpackedDualTensor(tensor, None)
    duals, tangents, primals = zip(*levels[-1])
    recorded = any(t.requires_grad for t in (*primals, *tangents))
    before = _engine.set_recording(True)
    try:
        seed = tensor_of(np.zeros_like(tensor.array), True)
        pulled = grad(tensor, duals, seed, create_graph=True, allow_unused=True)
        used = [(g, t) for g, t in zip(pulled, tangents) if g is not None and g.requires_grad]
        if used:
            pulled, tangents = zip(*used)
            (found,) = grad(pulled, seed, tangents, True, recorded, allow_unused=True)
        else:
            found = None
    finally:
        _engine.set_recording(before)
    if found is None and any(g is not None for g in pulled):
        found = tensor_of(np.zeros_like(tensor.array))
    return UnpackedDualTensor(tensor if recorded else tensor.detach(), found)
