"""Modules whose parameters are not initialised."""

from __future__ import annotations

import inspect

from fastdl.nn.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls, *args, **kwargs):
    """``module_cls(*args, **kwargs)`` with parameters and buffers whose values are not set.

    Raises:
        RuntimeError: `module_cls` is no Module class or takes no `device`.
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    device = kwargs.get("device")
    return module_cls(*args, **kwargs).to_empty(device=device)
