"""`autograd.Function`: an operation with a hand-written gradient."""

import numpy as np

from fastdl import _engine
from fastdl._engine import Primitive, TensorBase, tensor_of


class Context:
    """`ctx` of `Function.forward` and `backward`; also takes whatever attributes they put on it."""

    def __init__(self):
        self.needs_input_grad = ()
        self._to_save = ()
        self._saved = ()
        self._flat = frozenset()
        self._dirty = ()
        self._materialize = True

    def save_for_backward(self, *tensors):
        """Keep tensors (or None) for `backward`, as `ctx.saved_tensors`."""
        self._to_save = tensors

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self):
        """What `save_for_backward` was given."""
        return self._saved

    def mark_non_differentiable(self, *tensors):
        """These outputs get no gradient."""
        self._flat = frozenset(map(id, tensors))

    def mark_dirty(self, *tensors):
        """These inputs were changed in place."""
        self._dirty = tensors

    def set_materialize_grads(self, value):
        """False: `backward` sees None, not zeros, for outputs without gradient."""
        self._materialize = value


class Function:
    """Subclass with static methods `forward(ctx, *args)` and `backward(ctx, *grads)`; call
    `.apply(*args)`.

    `backward` returns one gradient (or None) per argument of `forward`. Written in Tensor
    operations it is differentiable again.
    """

    @staticmethod
    def forward(ctx, *args, **kwargs):
        """The operation, on tensors; nothing in it is recorded."""
        raise NotImplementedError("a Function must define a static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx, *grad_outputs):
        """Gradients of the arguments of `forward` from those of its results."""
        raise NotImplementedError("a Function must define a static method backward(ctx, ...)")

    @classmethod
    def apply(cls, *args):
        """Run `forward` and record the call."""
        ctx = Context()
        ctx.needs_input_grad = tuple([isinstance(a, TensorBase) and a.requires_grad for a in args])
        recording = _engine.is_grad_enabled() and any(ctx.needs_input_grad)
        before = _engine.set_recording(False)
        try:
            if cls.__dict__.get("setup_context") is None:
                results = cls.forward(ctx, *args)
            else:
                results = cls.forward(*args)
                cls.setup_context(ctx, args, results)
        finally:
            _engine.set_recording(before)
        for t in ctx._dirty:
            t._bump()
        if not recording:
            ctx._saved = ctx._to_save
            return results
        outputs = results if isinstance(results, tuple) else (results,)
        # An input handed back is another tensor now: it gets this call as its history.
        fresh = tuple([_apart(o, args, ctx._dirty) for o in outputs])
        attached = tuple([o if _differentiable(o, ctx) else None for o in fresh])
        save = ctx._to_save
        static = {
            "ctx": ctx,
            "shapes": [None if o is None else (o.array.shape, o.array.dtype) for o in attached],
        }
        ctx._to_save = ()  # the node keeps them from here on; ctx would make a cycle
        _engine.attach(_primitive_of(cls), args, attached, save, static)
        return fresh if isinstance(results, tuple) else fresh[0]


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
        and output.array.dtype.kind == "f"
    )


def _primitive_of(cls):
    """The Primitive that stands for `cls` in the graph, named `MyFunctionBackward`."""
    if "_primitive" not in cls.__dict__:

        def forward(*args):
            raise AssertionError("recorded by Function.apply, never run")

        def joint(g, saved, ctx, shapes):
            grads = g if isinstance(g, tuple) else (g,)
            if ctx._materialize:
                grads = tuple([
                    tensor_of(np.zeros(*shape)) if one is None and shape is not None else one
                    for one, shape in zip(grads, shapes)
                ])  # fmt: skip
            ctx._saved = saved
            try:
                results = cls.backward(ctx, *grads)
            finally:
                ctx._saved = ()
            results = results if isinstance(results, tuple) else (results,)
            n = len(ctx.needs_input_grad)
            if len(results) > n and all(r is None for r in results[n:]):
                results = results[:n]
            if len(results) != n:
                raise RuntimeError(
                    f"function {cls.__name__}Backward returned an incorrect number of gradients "
                    f"(expected {n}, got {len(results)})"
                )
            return results

        forward.__name__ = cls.__name__
        made = Primitive(forward, node_name=f"{cls.__name__}Backward")
        made.joint_of_function(joint)
        cls._primitive = made
    return cls.__dict__["_primitive"]
