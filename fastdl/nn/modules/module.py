"""Hooks that every module runs, before its own: for debugging and measuring whole models."""

from __future__ import annotations

from fastdl._engine import RemovableHandle
from fastdl.nn.hooks import ALWAYS_CALLED, HOOKS_OF_ALL, WITH_KWARGS
from fastdl.nn.module import Module

__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]


def _register(table: str, hook) -> RemovableHandle:
    handle = RemovableHandle(HOOKS_OF_ALL[table], hook)
    if table.startswith("_"):  # hooks of calls: no module takes the short path any more
        Module._hooked = True
    return handle


def register_module_forward_pre_hook(hook) -> RemovableHandle:
    """Calls ``hook(module, args)`` before each forward of any module; it may return new
    arguments."""
    return _register("_forward_pre_hooks", hook)


def register_module_forward_hook(
    hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Calls ``hook(module, args, output)`` after each forward of any module, as
    :meth:`Module.register_forward_hook` does for one."""
    handle = _register("_forward_hooks", hook)
    if with_kwargs:
        WITH_KWARGS.add(handle._key)
    if always_call:
        ALWAYS_CALLED.add(handle._key)
    return handle


def register_module_full_backward_pre_hook(hook) -> RemovableHandle:
    """Calls ``hook(module, grad_output)`` for any module, as
    :meth:`Module.register_full_backward_pre_hook` does for one."""
    return _register("_backward_pre_hooks", hook)


def register_module_full_backward_hook(hook) -> RemovableHandle:
    """Calls ``hook(module, grad_input, grad_output)`` for any module, as
    :meth:`Module.register_full_backward_hook` does for one."""
    return _register("_backward_hooks", hook)


register_module_backward_hook = register_module_full_backward_hook


def register_module_parameter_registration_hook(hook) -> RemovableHandle:
    """Calls ``hook(module, name, param)`` when any module gets a parameter; it may return another
    in its place."""
    return _register("parameter", hook)


def register_module_buffer_registration_hook(hook) -> RemovableHandle:
    """Calls ``hook(module, name, buffer)`` when any module gets a buffer; it may return another in
    its place."""
    return _register("buffer", hook)


def register_module_module_registration_hook(hook) -> RemovableHandle:
    """Calls ``hook(module, name, submodule)`` when any module gets a submodule; it may return
    another in its place."""
    return _register("module", hook)
