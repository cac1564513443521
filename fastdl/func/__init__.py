"""Transforms of functions: grad, vjp, jvp, Jacobians, vmap; modules as functions."""

from fastdl.func.mapping import vmap
from fastdl.func.modules import (
    functional_call,
    replace_all_batch_norm_modules_,
    stack_module_state,
)
from fastdl.func.transforms import (
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    value_and_grad,
    vjp,
)

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "value_and_grad",
    "vjp",
    "vmap",
]
