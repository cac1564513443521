"""The recorded graph: hooks on saved tensors and on several gradients, edges, versions."""

import contextlib
import functools
import threading

from fastdl import _engine
from fastdl._engine import Node, RemovableHandle, TensorBase
from fastdl.autograd.gradients import GradientEdge, get_gradient_edge

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class saved_tensors_hooks:
    """In this block, each tensor saved for backward is replaced by `pack_hook(tensor)`, and
    `unpack_hook` makes it a tensor again when backward reads it.

    pack_hook: Tensor -> anything, must not change its argument. unpack_hook: its result -> Tensor
    of the same values. Blocks nest, the innermost counts; other threads are not affected.

    >>> import fastdl as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy().copy(), torch.tensor):
    ...     y = x * x
    >>> y.sum().backward()
    >>> x.grad
    tensor([2., 2.])
    """

    def __init__(self, pack_hook, unpack_hook):
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self):
        message = getattr(_disabled, "message", None)
        if message is not None:
            raise RuntimeError(message)
        _engine.push_saved_hooks(self.pack_hook, self.unpack_hook)

    def __exit__(self, *exc):
        _engine.pop_saved_hooks()


_disabled = threading.local()


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message):
    """In this block, `saved_tensors_hooks` raises RuntimeError(error_message)."""
    before = getattr(_disabled, "message", None)
    _disabled.message = error_message
    try:
        yield
    finally:
        _disabled.message = before


class save_on_cpu(saved_tensors_hooks):
    """Saved tensors wait in main memory, as a copy that nobody else changes.

    pin_memory, device_type: as in PyTorch, for GPUs.
    """

    def __init__(self, pin_memory=False, device_type="cuda"):
        super().__init__(lambda tensor: tensor.clone(), lambda packed: packed)


@contextlib.contextmanager
def allow_mutation_on_saved_tensors():
    """In this block, saved tensors may be changed in place: backward sees the values saved.

    They are copied at once; PyTorch copies them when they are changed.
    """
    with saved_tensors_hooks(lambda tensor: tensor.clone(), lambda packed: packed):
        yield


def increment_version(tensor):
    """Tell autograd that the memory of a tensor, or of each of several, was changed behind its
    back: backward then refuses to use what it saved of it.
    """
    for t in (tensor,) if isinstance(tensor, TensorBase) else tensor:
        t._bump()


class _MultiHandle(RemovableHandle):
    """Removes several hooks at once."""

    def __init__(self, handles):
        self.handles = tuple(handles)

    def remove(self):
        """Take the hooks away."""
        for handle in self.handles:
            handle.remove()


def register_multi_grad_hook(tensors, fn, *, mode="all"):
    """Call `fn` when gradients of several tensors are there.

    mode 'all': once in each backward pass, with a list of the gradients, None for a tensor that the
    pass does not come to. 'any': with the first gradient of the pass. Returns a handle whose
    `remove()` takes the hook away.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    tensors = tuple(tensors)
    nodes = [get_gradient_edge(t).node for t in tensors]
    passes = {}  # number of the pass -> what came so far
    lock = threading.Lock()

    def any_hook(g):
        number = _engine.current_pass()
        with lock:
            seen, passes[number] = passes.get(number), True
            for old in [n for n in passes if n != number]:
                del passes[old]
        if not seen:
            fn(g)

    def all_hook(index, g):
        number = _engine.current_pass()
        with lock:
            if number not in passes:
                passes[number] = [sum(map(_engine.will_execute, nodes)), [None] * len(tensors)]
            state = passes[number]
            state[0] -= 1
            state[1][index] = g
            if state[0]:
                return
            del passes[number]
        fn(state[1])

    if mode == "any":
        return _MultiHandle([t.register_hook(any_hook) for t in tensors])
    return _MultiHandle([
        t.register_hook(functools.partial(all_hook, i)) for i, t in enumerate(tensors)
    ])  # fmt: skip
