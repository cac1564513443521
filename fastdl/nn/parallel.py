"""DataParallel and DistributedDataParallel in one process: the wrapped module, run as it is.

Programs written for several devices run unchanged, and their checkpoints, whose keys begin with
``module.``, load. There is one replica: nothing is split, and gradients need no averaging.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager

from fastdl.nn.module import Module
from fastdl.ops.join import cat, stack
from fastdl.tensor import Tensor

__all__ = [
    "DataParallel",
    "DistributedDataParallel",
    "data_parallel",
    "gather",
    "parallel_apply",
    "replicate",
    "scatter",
]


class DataParallel(Module):
    """Runs `module` on the whole batch, as PyTorch does without GPUs.

    Args:
        module: what is wrapped, reachable as ``.module``.
        device_ids, output_device, dim: for several devices; there is one here.
    """

    def __init__(self, module: Module, device_ids=None, output_device=None, dim: int = 0) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list = []
        self.output_device = output_device
        self.dim = dim

    def forward(self, *inputs, **kwargs):
        return self.module(*inputs, **kwargs)


class DistributedDataParallel(Module):
    """Runs `module` as the only process of its group, whose average gradients are its own.

    Args:
        module: what is wrapped, reachable as ``.module``; at least one of its parameters needs
            gradients.
        process_group: for several processes, of which there are none here: None, or RuntimeError.
        device_ids, output_device, dim and all others: how processes work together, without effect.

    Raises:
        RuntimeError: no parameter needs gradients, or a process group is given.
    """

    def __init__(
        self,
        module: Module,
        device_ids=None,
        output_device=None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group=None,
        bucket_cap_mb=None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
    ) -> None:
        super().__init__()
        if process_group is not None:
            raise RuntimeError(
                "DistributedDataParallel: there are no process groups, expected process_group=None"
            )
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameter "
                "that requires a gradient."
            )
        self.module = module
        self.device_ids = device_ids
        self.output_device = output_device
        self.dim = dim
        self.broadcast_buffers = broadcast_buffers
        self.find_unused_parameters = find_unused_parameters
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.static_graph = static_graph
        self.require_backward_grad_sync = True

    def forward(self, *inputs, **kwargs):
        return self.module(*inputs, **kwargs)

    @contextmanager
    def no_sync(self):
        """A block in which gradients accumulate without being averaged over processes."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before


def data_parallel(
    module: Module, inputs, device_ids=None, output_device=None, dim: int = 0, module_kwargs=None
):
    """``module(*inputs, **module_kwargs)``: there is one device. `inputs` that are no tuple are the
    only argument."""
    inputs = inputs if isinstance(inputs, tuple) else () if inputs is None else (inputs,)
    return module(*inputs, **(module_kwargs or {}))


def scatter(inputs, target_gpus, dim: int = 0) -> list:
    """One part of `inputs` for each of `target_gpus`: tensors are cut into chunks along `dim`,
    tuples, lists and dicts entry by entry; all else is repeated. There are fewer parts where a
    tensor has fewer slices."""
    count = len(target_gpus)
    if isinstance(inputs, Tensor):
        return list(inputs.chunk(count, dim))
    if isinstance(inputs, tuple | list) and inputs:
        parts = zip(*(scatter(entry, target_gpus, dim) for entry in inputs), strict=False)
        if hasattr(inputs, "_fields"):
            return [type(inputs)(*part) for part in parts]
        return [type(inputs)(part) for part in parts]
    if isinstance(inputs, dict) and inputs:
        parts = zip(*(scatter(value, target_gpus, dim) for value in inputs.values()), strict=False)
        return [type(inputs)(zip(inputs, part, strict=True)) for part in parts]
    return [inputs] * count


def gather(outputs, target_device=None, dim: int = 0):
    """What :func:`scatter` undoes: tensors joined along `dim` (0-d ones stacked), entry by entry of
    tuples, lists and dicts.

    Raises:
        ValueError: the dicts differ in length.
    """
    first = outputs[0]
    if isinstance(first, Tensor):
        return stack(list(outputs)) if first.ndim == 0 else cat(list(outputs), dim)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(len(output) != len(first) for output in outputs):
            raise ValueError("All dicts must have the same number of keys")
        return type(first)((key, gather([o[key] for o in outputs], dim=dim)) for key in first)
    columns = [gather(column, dim=dim) for column in zip(*outputs, strict=True)]
    return type(first)(*columns) if hasattr(first, "_fields") else type(first)(columns)


def replicate(network: Module, devices, detach: bool = False) -> list[Module]:
    """A copy of `network` for each of `devices`; the copies share its parameters and buffers,
    `detach` keeps gradients out of them."""
    shared = [*network.parameters(), *network.buffers()]
    memo = {id(value): value.detach() if detach else value for value in shared}
    return [copy.deepcopy(network, dict(memo)) for _ in devices]


def parallel_apply(modules, inputs, kwargs_tup=None, devices=None) -> list:
    """The result of each module on its inputs, one after the other: the kernels use all
    processors."""
    kwargs_tup = kwargs_tup or ({},) * len(modules)
    return [
        module(*(x if isinstance(x, list | tuple) else (x,)), **kwargs)
        for module, x, kwargs in zip(modules, inputs, kwargs_tup, strict=True)
    ]
