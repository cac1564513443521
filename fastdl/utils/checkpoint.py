"""Memory for time: `checkpoint` keeps nothing of what a function saves for its gradient, and
computes it again in the backward pass (Chen et al., "Training Deep Nets with Sublinear Memory
Cost", 2016).

Without re-entering backward (use_reentrant=False), each tensor that would be saved is packed as a
number (`autograd.graph.saved_tensors_hooks`); the first one that backward unpacks runs the function
again, which yields all of them in the same order. The arguments are saved by a node of their own,
`_Arguments`: so an outer checkpoint packs the arguments of an inner one as well.

With use_reentrant=True, the older way, a Function runs the forward unrecorded, and in backward once
more, recorded, followed by a backward pass of its own.
"""

import contextlib
import warnings

import numpy as np

from fastdl import _engine
from fastdl._engine import TensorBase, tensor_of
from fastdl.autograd import Function, backward, enable_grad, no_grad
from fastdl.autograd.graph import saved_tensors_hooks
from fastdl.ops.random import default_generator

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "checkpoint",
    "checkpoint_sequential",
    "noop_context_fn",
    "set_checkpoint_early_stop",
]


class CheckpointError(RuntimeError):
    """The function did not do the same again in the backward pass."""


class _Done(Exception):
    """Raised inside a recomputation once all is there that backward needs."""


def noop_context_fn():
    """Two contexts that do nothing: the default of `context_fn`."""
    return contextlib.nullcontext(), contextlib.nullcontext()


_early_stop = None  # what set_checkpoint_early_stop says; None: each call decides


@contextlib.contextmanager
def set_checkpoint_early_stop(enable):
    """In this block, decide for all checkpoints whether recomputation stops as soon as it can."""
    global _early_stop
    before, _early_stop = _early_stop, enable
    try:
        yield
    finally:
        _early_stop = before


@contextlib.contextmanager
def _random_numbers_of(state):
    """Draw as from `state` on (None: as ever), and go on as before afterwards."""
    if state is None:
        yield
        return
    now = default_generator.get_state()
    default_generator.set_state(state)
    try:
        yield
    finally:
        default_generator.set_state(now)


class _Arguments(Function):
    """A node that saves the tensors among the arguments of a checkpointed call."""

    @staticmethod
    def forward(ctx, dummy, *tensors):
        ctx.save_for_backward(*tensors)
        return dummy.detach()

    @staticmethod
    def backward(ctx, *grads):
        raise AssertionError("nothing depends on the output")


class _Call:
    """One checkpointed call: what to run again, and what forward has saved of it."""

    def __init__(self, function, args, kwargs, state, context, check, early_stop):
        self.function = function
        self.kwargs = kwargs
        self.places = [i for i, a in enumerate(args) if isinstance(a, TensorBase)]
        self.rest = [None if isinstance(a, TensorBase) else a for a in args]
        dummy = tensor_of(np.zeros(()), requires_grad=True)
        self.node = _Arguments.apply(dummy, *[args[i] for i in self.places]).grad_fn
        self.state = state
        self.context = context
        self.check = check
        self.early_stop = early_stop
        self.saved = []  # (shape, dtype) of each tensor that forward saved
        self.number = None  # of the backward pass that the values below are for
        self.values = {}

    def pack(self, tensor):
        """The place of `tensor` in the order of saving."""
        self.saved.append((tensor.shape, tensor.dtype))
        return len(self.saved) - 1

    def unpack(self, place):
        """The tensor of that place, from a new run of the function."""
        number = _engine.current_pass()
        if number != self.number or place not in self.values:
            self.values = self.again()
            self.number = number
        return self.values.pop(place)

    def arguments(self):
        args = list(self.rest)
        for i, x in zip(self.places, self.node.saved_tensors):
            args[i] = x.detach().requires_grad_(x.requires_grad)
        return args

    def again(self):
        """{place: tensor} of all that the function saves."""
        found = []
        stop = self.early_stop if _early_stop is None else _early_stop

        def keep(tensor):
            if len(found) == len(self.saved):
                raise CheckpointError(
                    "fastdl.utils.checkpoint: trying to save more tensors during recomputation "
                    "than during the original forward pass."
                )
            found.append(tensor)
            if stop and len(found) == len(self.saved):
                raise _Done
            return tensor

        args = self.arguments()
        with (
            _random_numbers_of(self.state),
            self.context,
            enable_grad(),
            saved_tensors_hooks(keep, lambda tensor: tensor),
            contextlib.suppress(_Done),
        ):
            self.function(*args, **self.kwargs)
        self.compare(found)
        return dict(enumerate(found))

    def compare(self, found):
        """CheckpointError where the second run differs from the first."""
        if len(found) != len(self.saved):
            raise CheckpointError(
                "fastdl.utils.checkpoint: A different number of tensors was saved during the "
                "original forward and recomputation.\nNumber of tensors saved during forward: "
                f"{len(self.saved)}\nNumber of tensors saved during recomputation: {len(found)}."
            )
        again = [(t.shape, t.dtype) for t in found]
        if self.check and again != self.saved:
            lines = [
                f"tensor at position {i}:\nsaved metadata: {a}\nrecomputed metadata: {b}"
                for i, (a, b) in enumerate(zip(self.saved, again))
                if a != b
            ]
            raise CheckpointError(
                "fastdl.utils.checkpoint: Recomputed values for the following tensors have "
                "different metadata than during the forward pass.\n" + "\n".join(lines)
            )


class CheckpointFunction(Function):
    """What `checkpoint(..., use_reentrant=True)` applies: (function, preserve_rng_state, *args)."""

    @staticmethod
    def forward(ctx, run_function, preserve_rng_state, *args):
        """The function, unrecorded."""
        if not any(ctx.needs_input_grad):
            warnings.warn(
                "None of the inputs have requires_grad=True. Gradients will be None", stacklevel=4
            )
        ctx.run_function = run_function
        ctx.state = default_generator.get_state() if preserve_rng_state else None
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, TensorBase)]
        ctx.rest = [None if isinstance(a, TensorBase) else a for a in args]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx, *args):
        """The function again, recorded, and a backward pass through it."""
        if _engine.collects():
            raise RuntimeError(
                "When use_reentrant=True, fastdl.utils.checkpoint is incompatible with .grad() or "
                "passing an `inputs` parameter to .backward(). To resolve this error, you can "
                "either set use_reentrant=False, or call .backward() without passing the `inputs` "
                "argument."
            )
        inputs = list(ctx.rest)
        for i, x in zip(ctx.places, ctx.saved_tensors):
            inputs[i] = x.detach().requires_grad_(x.requires_grad)
        with _random_numbers_of(ctx.state), enable_grad():
            outputs = ctx.run_function(*inputs)
        outputs = (outputs,) if isinstance(outputs, TensorBase) else outputs
        used = [
            (y, g)
            for y, g in zip(outputs, args)
            if isinstance(y, TensorBase) and y.requires_grad and g is not None
        ]
        if not used:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        backward(*zip(*used))
        return (None, None, *[x.grad if isinstance(x, TensorBase) else None for x in inputs])


def _explicit(name, use_reentrant):
    """use_reentrant, True with a warning where it was not given."""
    if use_reentrant is not None:
        return use_reentrant
    warnings.warn(
        f"fastdl.utils.{name}: the use_reentrant parameter should be passed explicitly. "
        "use_reentrant=False is recommended, but if you need to preserve the current default "
        "behavior, you can pass use_reentrant=True.",
        stacklevel=3,
    )
    return True


def checkpoint(
    function,
    *args,
    use_reentrant=None,
    context_fn=noop_context_fn,
    determinism_check="default",
    debug=False,
    early_stop=True,
    **kwargs,
):
    """function(*args, **kwargs), whose inner results are not kept but computed again in backward.

    use_reentrant: False is recommended: `autograd.grad`, keyword arguments, nesting and higher
    derivatives work, and inputs need not require grad. True, the default, gives gradients to
    Tensors among `args` alone. preserve_rng_state=False (a keyword argument): random numbers of the
    second run may differ. For use_reentrant=False only: context_fn returns two contexts, around
    forward and recomputation; determinism_check 'none' does not compare shapes and dtypes of the
    two runs (CheckpointError if they differ); early_stop: recompute no more than is needed. debug
    is accepted.

    >>> import fastdl as torch
    >>> x = torch.tensor([0.0, 1.0], requires_grad=True)
    >>> torch.utils.checkpoint.checkpoint(torch.exp, x, use_reentrant=False).sum().backward()
    >>> x.grad
    tensor([1.0000, 2.7183])
    """
    use_reentrant = _explicit("checkpoint", use_reentrant)
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug:
            raise ValueError(
                "Passing `context_fn` or `debug` is only supported when use_reentrant=False."
            )
        return CheckpointFunction.apply(function, preserve, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"determinism_check should be one of 'default', 'none', but got {determinism_check!r}"
        )
    forward_context, again_context = context_fn()
    if not _engine.is_grad_enabled():
        with forward_context:
            return function(*args, **kwargs)
    state = default_generator.get_state() if preserve else None
    check = determinism_check == "default"
    call = _Call(function, args, kwargs, state, again_context, check, early_stop)
    with saved_tensors_hooks(call.pack, call.unpack), forward_context:
        return function(*args, **kwargs)


def checkpoint_sequential(functions, segments, input, use_reentrant=None, **kwargs):
    """A Sequential, or list of functions, in `segments` parts, all but the last checkpointed.

    kwargs: preserve_rng_state.
    """
    use_reentrant = _explicit("checkpoint_sequential", use_reentrant)
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    functions = list(functions.children() if hasattr(functions, "children") else functions)

    def part(start, end):
        def forward(x):
            for function in functions[start:end]:
                x = function(x)
            return x

        return forward

    size = len(functions) // segments
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(
            part(start, start + size),
            input,
            use_reentrant=use_reentrant,
            preserve_rng_state=preserve,
        )
    return part(size * (segments - 1), len(functions))(input)
