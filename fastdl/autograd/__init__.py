"""Automatic differentiation: backward, grad, grad modes, Function."""

from fastdl._engine import RemovableHandle
from fastdl.autograd.function import Function
from fastdl.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from fastdl.autograd.gradcheck import gradcheck, gradgradcheck
from fastdl.autograd.gradients import backward, grad


def Variable(data, requires_grad=False, volatile=False):
    """PyTorch before 0.4: a tensor. `volatile` has no effect; use no_grad."""
    if not requires_grad:
        return data
    return data.detach().requires_grad_()


__all__ = [
    "Function",
    "RemovableHandle",
    "Variable",
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]
