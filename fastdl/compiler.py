"""``torch.compile`` and ``torch.compiler``: fastdl runs every program as it is written.

Its kernels are compiled beforehand and its fused layers are layers, so there is nothing to do when
a model is "compiled": it comes back unchanged and behaves as before.
"""

__all__ = ["compile", "cudagraph_mark_step_begin", "disable", "is_compiling", "reset"]


def compile(
    model=None,
    *,
    fullgraph=False,
    dynamic=None,
    backend=None,
    mode=None,
    options=None,
    name=None,
    disable=False,
    recompile_limit=None,
    isolate_recompiles=False,
    shapes_spec=None,
):
    """`model`, a module or function, itself; as a decorator with arguments, one that returns what
    it decorates. The arguments are accepted and have no effect.

    >>> import fastdl
    >>> @fastdl.compile(mode="max-autotune")
    ... def double(x):
    ...     return x * 2
    >>> double(fastdl.ones(2))
    tensor([2., 2.])

    Raises:
        RuntimeError: both `mode` and `options` are given.
        TypeError: `model` cannot be called.
    """
    if mode is not None and options is not None:
        raise RuntimeError(
            "Either mode or options can be specified, but both can't be specified at the same time."
        )
    if model is None:
        return _unchanged
    return _unchanged(model)


def _unchanged(model):
    if not callable(model):
        raise TypeError(f"compile: expected a module or function, got {type(model).__name__}")
    return model


def disable(fn=None, recursive=True, *, reason=None):
    """`fn` itself, or a decorator that returns what it decorates."""
    return _unchanged if fn is None else fn


def is_compiling() -> bool:
    """Is code being compiled: False."""
    return False


def reset() -> None:
    """Forget what was compiled: nothing."""


def cudagraph_mark_step_begin() -> None:
    """A step begins, which changes nothing."""
