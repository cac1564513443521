"""Automatic differentiation: backward, grad, grad modes, Function, and tools around them."""

from fastdl._engine import RemovableHandle
from fastdl.autograd import forward_ad, function, functional, grad_mode, graph, profiler
from fastdl.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
from fastdl.autograd.function import Function
from fastdl.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from fastdl.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from fastdl.autograd.gradients import backward, grad


def Variable(data, requires_grad=False, volatile=False):
    """PyTorch before 0.4: a tensor. `volatile` has no effect; use no_grad."""
    if not requires_grad:
        return data
    return data.detach().requires_grad_()


__all__ = [
    "Function",
    "GradcheckError",
    "RemovableHandle",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "function",
    "functional",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "profiler",
    "set_detect_anomaly",
    "set_grad_enabled",
]
