"""Automatic differentiation: backward, grad, grad modes, Function, and tools around them."""

from fastdl._engine import RemovableHandle, TensorBase
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


class _AnyTensor(type):
    """Every Tensor is a Variable."""

    def __instancecheck__(cls, instance):
        return isinstance(instance, TensorBase)


class Variable(metaclass=_AnyTensor):
    """PyTorch before 0.4: `Variable(tensor)` is the tensor. `volatile` is ignored; use no_grad."""

    def __new__(cls, data, requires_grad=False, volatile=False):
        return data.detach().requires_grad_() if requires_grad else data


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
