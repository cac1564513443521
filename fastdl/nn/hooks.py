"""Hooks of modules: those of all modules, and how one call gathers the gradients at both of its
ends for backward hooks."""

from __future__ import annotations

from collections import OrderedDict

from fastdl.ops.core import primitive
from fastdl.tensor import Tensor

__all__ = [
    "ALWAYS_CALLED",
    "HOOKS_OF_ALL",
    "NO_HOOKS",
    "WITH_KWARGS",
    "FullBackwardHooks",
    "registered",
]

# The hooks that every module runs before its own, by the attribute that holds a module's own, and
# those that see what is registered, by kind.
HOOKS_OF_ALL: dict[str, OrderedDict] = {
    table: OrderedDict()
    for table in (
        "_forward_pre_hooks",
        "_forward_hooks",
        "_backward_pre_hooks",
        "_backward_hooks",
        "parameter",
        "buffer",
        "module",
    )
}
WITH_KWARGS: set[int] = set()  # keys of those hooks of all modules that take keyword arguments
ALWAYS_CALLED: set[int] = set()  # and of those that run where a forward raises
NO_HOOKS: OrderedDict = OrderedDict()  # a module's tables until it gets a hook; stays empty


def registered(kind: str, module, name: str, value):
    """What the hooks of all modules make of a ``"parameter"``, ``"buffer"`` or ``"module"`` that
    is registered."""
    for hook in HOOKS_OF_ALL[kind].values():
        result = hook(module, name, value)
        if result is not None:
            value = result
    return value


@primitive(node_name="BackwardHook")
def boundary(*xs, notify):
    """The operands themselves; on the way back ``notify(gradients)`` may replace the gradients."""
    return tuple(x.view() for x in xs)


boundary.vjp_joint(lambda g, notify: notify(g if isinstance(g, tuple) else (g,)))


class FullBackwardHooks:
    """One call of a module with full backward hooks: gathers both ends' gradients.

    The hooks run when the gradients of the inputs are known, or, where no input needs one, when
    those of the outputs are; `before` are those that run as soon as the latter are.
    """

    def __init__(self, module, hooks: tuple, before: tuple = ()) -> None:
        self.module = module
        self.hooks = hooks
        self.before = before
        self.inputs = 0  # how many arguments there are, and which of them need gradients
        self.watched: list[int] = []
        self.grad_output: tuple | None = None

    def watch_inputs(self, args: tuple) -> tuple:
        """The arguments, those that need gradients behind a boundary."""
        self.inputs = len(args)
        self.watched = [i for i, a in enumerate(args) if needs_gradient(a)]
        if not self.watched:
            return args
        passed = boundary(*(args[i] for i in self.watched), notify=self.at_inputs)
        args = list(args)
        for i, x in zip(self.watched, passed, strict=True):
            args[i] = x
        return tuple(args)

    def watch_outputs(self, output):
        """The output, a Tensor or a tuple of them, behind a boundary."""
        single = not isinstance(output, tuple)
        outputs = (output,) if single else output
        watched = [i for i, y in enumerate(outputs) if needs_gradient(y)]
        if not watched:
            return output

        def at_outputs(gradients):
            self.grad_output = spread(gradients, watched, len(outputs))
            for hook in self.before:
                result = hook(self.module, self.grad_output)
                if result is not None:
                    self.grad_output = result if isinstance(result, tuple) else (result,)
            if not self.watched:
                self.run((None,) * self.inputs)
            return tuple(self.grad_output[i] for i in watched)

        outputs = list(outputs)
        passed = boundary(*(outputs[i] for i in watched), notify=at_outputs)
        for i, y in zip(watched, passed, strict=True):
            outputs[i] = y
        return outputs[0] if single else tuple(outputs)

    def at_inputs(self, gradients: tuple) -> tuple:
        """Runs the hooks on the gradients of the watched inputs."""
        grad_input = self.run(spread(gradients, self.watched, self.inputs))
        return tuple(grad_input[i] for i in self.watched)

    def run(self, grad_input: tuple) -> tuple:
        for hook in self.hooks:
            result = hook(self.module, grad_input, self.grad_output)
            if result is not None:
                grad_input = result if isinstance(result, tuple) else (result,)
        return grad_input


def needs_gradient(value) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def spread(values, positions, length: int) -> tuple:
    """A tuple of `length`: `values` at `positions`, None elsewhere."""
    found = dict(zip(positions, values, strict=True))
    return tuple(found.get(i) for i in range(length))
