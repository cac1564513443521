"""DataParallel and DistributedDataParallel in one process: the wrapped module, run as it is.

Programs written for several devices run unchanged, and their checkpoints, whose keys begin with
``module.``, load. There is one replica: nothing is split, and gradients need no averaging.
"""

from __future__ import annotations

from contextlib import contextmanager

from fastdl.nn.module import Module

__all__ = ["DataParallel", "DistributedDataParallel"]


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
