"""``torch.jit``: programs run as they are written, models are frozen for inference.

There is nothing to compile (:mod:`fastdl.compiler`): :func:`script` and :func:`trace` answer with
what they are given. What a model's weights allow once they no longer change is real work:
:func:`freeze` and :func:`optimize_for_inference` return a copy of a model whose batch norms are
folded into the layers before them and whose convolutions prepare their filters once.
"""

from __future__ import annotations

from fastdl.jit.frozen import FrozenModule
from fastdl.nn.module import Module

__all__ = [
    "export",
    "freeze",
    "ignore",
    "is_scripting",
    "is_tracing",
    "optimize_for_inference",
    "run_frozen_optimizations",
    "script",
    "trace",
    "unused",
]


def script(obj, optimize=None, _frames_up=0, _rcb=None, example_inputs=None):
    """`obj`, a module, function or class, itself; the other arguments have no effect.

    Raises:
        TypeError: `obj` cannot be called.
    """
    if not callable(obj):
        raise TypeError(f"script: expected a module, function or class, got {type(obj).__name__}")
    return obj


def trace(
    func,
    example_inputs=None,
    optimize=None,
    check_trace=True,
    check_inputs=None,
    check_tolerance=1e-5,
    strict=True,
    _force_outplace=False,
    _module_class=None,
    _compilation_unit=None,
    example_kwarg_inputs=None,
    _store_inputs=True,
):
    """`func`, a module or function, itself, after one call with the example.

    Nothing is recorded: what depends on values or sizes goes on doing so, where a trace by PyTorch
    repeats what the example did.

    Args:
        func: a module or function.
        example_inputs: a tuple of arguments, or a single Tensor.
        example_kwarg_inputs: arguments by name, in place of `example_inputs`.

    Raises:
        RuntimeError: no example, or both kinds.
        TypeError: `func` cannot be called.
    """
    if not callable(func):
        raise TypeError(f"trace: expected a module or function, got {type(func).__name__}")
    if (example_inputs is None) == (example_kwarg_inputs is None):
        raise RuntimeError("trace: expected example_inputs or example_kwarg_inputs, one of them")
    if example_kwarg_inputs is not None:
        func(**example_kwarg_inputs)
    elif isinstance(example_inputs, (tuple, list)):
        func(*example_inputs)
    else:
        func(example_inputs)
    return func


def freeze(mod, preserved_attrs=None, optimize_numerics=True):
    """A copy of the model `mod` for inference, whose parameters and buffers are constants.

    What changes in `mod` later, its weights or its mode, does not reach the copy: freeze again. In
    the copy batch norms are folded into the convolution or linear layer before them, which changes
    results by rounding only, and convolutions by Winograd's algorithm keep their transformed
    filters, once they have run: 1.8 or 4 times the memory of those filters.

    A batch norm is folded where nothing else can see what is between the two: between children of
    a :class:`~fastdl.nn.Sequential` that is only called, and in a ``forward`` that reads
    ``self.norm(self.conv(x))``, or has ``x = self.conv(x)`` and ``x = self.norm(x)`` in
    successive lines. What may be reached otherwise, or has hooks, stays as it is.

    Args:
        mod: a module in evaluation.
        preserved_attrs: names of attributes and methods that the copy keeps; else ``forward`` only.
        optimize_numerics: whether to fold batch norms.

    Raises:
        RuntimeError: `mod` is no module, or in training.
        AttributeError: `mod` lacks a name in `preserved_attrs`.

    >>> import fastdl.testing
    >>> net = fastdl.nn.Sequential(fastdl.nn.Conv2d(3, 8, 3), fastdl.nn.BatchNorm2d(8)).eval()
    >>> frozen = fastdl.jit.freeze(net)
    >>> x = fastdl.ones(1, 3, 8, 8)
    >>> fastdl.testing.assert_close(frozen(x), net(x).detach())
    """
    if not isinstance(mod, Module):
        raise RuntimeError(f"freeze: expected an nn.Module, got {type(mod).__name__}")
    if isinstance(mod, FrozenModule):
        return mod
    if mod.training:
        raise RuntimeError(
            "Freezing is currently only implemented for modules in eval mode. Please call .eval() "
            "on your module before freezing."
        )
    return FrozenModule(mod, preserved_attrs or (), optimize_numerics)


def optimize_for_inference(mod, other_methods=None):
    """:func:`freeze`, of a model that may be in training: the copy is in evaluation.

    Args:
        mod: a module, frozen already or not.
        other_methods: names of methods that the copy keeps besides ``forward``.
    """
    if not isinstance(mod, Module):
        raise RuntimeError(
            f"optimize_for_inference: expected an nn.Module, got {type(mod).__name__}"
        )
    if isinstance(mod, FrozenModule):
        return mod
    return FrozenModule(mod, other_methods or (), True)


def run_frozen_optimizations(mod, optimize_numerics=True, preserved_methods=None):
    """Nothing: :func:`freeze` has done it."""


def is_scripting() -> bool:
    """Is code being compiled: False."""
    return False


def is_tracing() -> bool:
    """Is a call being recorded: False."""
    return False


def ignore(drop=False, **kwargs):
    """`drop` itself, a function; or, with other arguments, a decorator that returns what it
    decorates."""
    return drop if callable(drop) else script


def unused(fn):
    """`fn` itself."""
    return fn


def export(fn):
    """`fn` itself."""
    return fn
