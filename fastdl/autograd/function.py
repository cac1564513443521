"""`autograd.Function`: an operation with a hand-written gradient."""

import functools
import inspect

import numpy as np

from fastdl import _dtype, _engine
from fastdl._engine import Primitive, TensorBase, tensor_of

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """`ctx` of `Function.forward` and `backward`; also takes whatever attributes they put on it.

    needs_input_grad: one bool per argument of `forward`: does its gradient matter?
    """

    def __init__(self):
        self.needs_input_grad = ()
        self._to_save = ()
        self._saved = ()
        self._flat = frozenset()
        self._dirty = ()
        self._materialize = True

    def save_for_backward(self, *tensors):
        """Keep tensors (or None) for `backward`, as `ctx.saved_tensors`; TypeError for others.

        The graph then checks that they are not changed in place, and frees them after `backward`.
        """
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, TensorBase):
                raise TypeError(
                    "save_for_backward can only save variables, but argument "
                    f"{i} is of type {type(t).__name__}"
                )
        self._to_save = tensors

    def save_for_forward(self, *tensors):
        """For a `jvp` method, which nothing here calls: forward mode goes through `backward`."""

    @property
    def saved_tensors(self):
        """What `save_for_backward` was given."""
        return self._saved

    def mark_non_differentiable(self, *args):
        """These outputs get no gradient; integer outputs never do."""
        self._flat = frozenset(map(id, args))

    def mark_dirty(self, *args):
        """These inputs were changed in place; each must be an output, too."""
        self._dirty = args

    def set_materialize_grads(self, value):
        """False: `backward` sees None, not zeros, for outputs without gradient."""
        self._materialize = value


class Function:
    """Subclass with static methods `forward(ctx, *args)` and `backward(ctx, *grads)`; call
    `.apply(*args)`.

    `backward` returns one gradient (or None) per argument of `forward`; `vjp` is another name for
    it. Written in Tensor operations it is differentiable again. With a third static method
    `setup_context(ctx, inputs, output)`, `forward(*args)` gets no ctx.

    >>> import fastdl as torch
    >>> class Cube(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x**2 * grad_output
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    generate_vmap_rule = False  # PyTorch's switch: vmap needs no rule here

    def __init__(self, *args, **kwargs):
        raise RuntimeError(
            f"{type(self).__name__}: an autograd.Function is not instantiated; its forward is a "
            f"static method: call {type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args, **kwargs):
        """The operation, on tensors; nothing in it is recorded."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Save what `backward` needs, where `forward` takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        """Gradients of the arguments of `forward` from those of its results."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx, *grad_inputs):
        """PyTorch's rule of forward mode; not called: forward mode goes through `backward`."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with "
            "forward mode AD."
        )

    @classmethod
    def apply(cls, *args, **kwargs):
        """Run `forward` and record the call."""
        separate = cls.setup_context is not Function.setup_context
        if kwargs:
            args = _positional(cls, separate, args, kwargs)
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple([isinstance(a, TensorBase) and a.requires_grad for a in args])
        recording = _engine.is_grad_enabled() and any(ctx.needs_input_grad)
        before = _engine.set_recording(False)
        try:
            if separate:
                results = cls.forward(*args)
                cls.setup_context(ctx, args, results)
            else:
                results = cls.forward(ctx, *args)
        finally:
            _engine.set_recording(before)
        outputs = results if isinstance(results, tuple) else (results,)
        for t in ctx._dirty:
            if not _among(t, outputs):
                raise RuntimeError(
                    "Some elements marked as dirty during the forward method were not returned as "
                    "output. The inputs that are modified inplace must all be outputs of the "
                    "Function."
                )
            t._bump()
        # An input handed back is another tensor now: it gets this call as its history.
        fresh = tuple([_apart(o, args, ctx._dirty) for o in outputs])
        if not recording:
            ctx._saved = ctx._to_save
            return fresh if isinstance(results, tuple) else fresh[0]
        attached = tuple([o if _differentiable(o, ctx) else None for o in fresh])
        if any(o is not None for o in attached):
            static = {
                "ctx": ctx,
                "inputs": [a.array.shape if isinstance(a, TensorBase) else None for a in args],
                "outputs": [
                    (o.array.shape, o.array.dtype) if isinstance(o, TensorBase) else None
                    for o in fresh
                ],
            }
            save, ctx._to_save = ctx._to_save, ()  # the node keeps them: ctx would make a cycle
            dirty = tuple([t for t in ctx._dirty if _among(t, attached)])
            _engine.attach(_primitive_of(cls), args, attached, save, static, dirty)
        return fresh if isinstance(results, tuple) else fresh[0]


def _positional(cls, separate, args, kwargs):
    """Arguments of `forward` in order, defaults filled in."""
    before = () if separate else (None,)
    bound = inspect.signature(cls.forward).bind(*before, *args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(f"{cls.__name__}.apply(): keyword-only arguments are not supported")
    return bound.args[len(before) :]


def _among(tensor, tensors):
    return any(tensor is t for t in tensors)


def _apart(output, inputs, dirty):
    """`output`, or another tensor on its memory when it is an input that is not marked dirty."""
    if isinstance(output, TensorBase) and _among(output, inputs) and not _among(output, dirty):
        return output.detach()
    return output


def _differentiable(output, ctx):
    return (
        isinstance(output, TensorBase)
        and id(output) not in ctx._flat
        and _dtype.is_inexact(output.array.dtype)
    )


def _gradient_function(cls):
    """`backward` or `vjp`, whichever the class defines."""
    if cls.vjp is Function.vjp:
        return cls.backward
    if cls.backward is not Function.backward:
        raise RuntimeError(
            "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You "
            "should only implement one of them."
        )
    return cls.vjp


def _checked(name, results, inputs):
    """What `backward` returned as a tuple with one gradient, None or Tensor, per input."""
    results = results if isinstance(results, tuple) else (results,)
    n = len(inputs)
    if len(results) > n and all(r is None for r in results[n:]):
        results = results[:n]
    if len(results) != n:
        raise RuntimeError(
            f"function {name}Backward returned an incorrect number of gradients (expected {n}, "
            f"got {len(results)})"
        )
    for i, (result, shape) in enumerate(zip(results, inputs)):
        if result is None:
            continue
        if not isinstance(result, TensorBase):
            raise RuntimeError(f"expected Variable or None (got {type(result).__name__})")
        if shape is None:
            raise RuntimeError(
                f"function {name}Backward returned a gradient different than None at position "
                f"{i + 1}, but the corresponding forward input was not a Variable"
            )
        if result.array.shape != shape and not _expands(shape, result.array.shape):
            raise RuntimeError(
                f"Function {name}Backward returned an invalid gradient at index {i} - got "
                f"{list(result.array.shape)} but expected shape compatible with {list(shape)}"
            )
    return results


def _expands(shape, wider):
    """Does `shape` broadcast to `wider`? A gradient of shape `wider` is then summed to it."""
    try:
        return np.broadcast_shapes(shape, wider) == wider
    except ValueError:
        return False


def _primitive_of(cls):
    """The Primitive that stands for `cls` in the graph, named `MyFunctionBackward`."""
    if "_primitive" not in cls.__dict__:

        def forward(*args):
            raise AssertionError("recorded by Function.apply, never run")

        def joint(g, saved, ctx, inputs, outputs):
            grads = g if isinstance(g, tuple) else (g,)
            if ctx._materialize:
                grads = tuple([
                    tensor_of(np.zeros(*made)) if one is None and made is not None else one
                    for one, made in zip(grads, outputs)
                ])  # fmt: skip
            before, ctx._saved = ctx._saved, saved
            try:
                results = _gradient_function(cls)(ctx, *grads)
            finally:
                ctx._saved = before
            return _checked(cls.__name__, results, inputs)

        forward.__name__ = cls.__name__
        made = Primitive(forward, node_name=f"{cls.__name__}Backward")
        made.joint_of_function(joint)
        cls._primitive = made
    return cls.__dict__["_primitive"]


class _Once(Function):
    """Hands gradients through, but cannot be differentiated."""

    @staticmethod
    def forward(ctx, count, *tensors):
        return tuple([t.detach() if isinstance(t, TensorBase) else t for t in tensors[:count]])

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )


def once_differentiable(fn):
    """Decorator for `Function.backward`: it runs unrecorded, and differentiating its result raises
    RuntimeError instead of giving a wrong second derivative.
    """

    @functools.wraps(fn)
    def wrapper(ctx, *args):
        before = _engine.set_recording(False)
        try:
            outputs = fn(ctx, *args)
        finally:
            _engine.set_recording(before)
        if not before:
            return outputs
        recorded = [a for a in args if isinstance(a, TensorBase) and a.requires_grad]
        if not recorded:
            return outputs
        several = isinstance(outputs, tuple)
        outputs = outputs if several else (outputs,)
        outputs = _Once.apply(len(outputs), *outputs, *recorded)
        return outputs if several else outputs[0]

    return wrapper
