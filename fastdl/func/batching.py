"""Stand-ins for the examples of a batch: how `vmap` runs a function once instead of once for each.

A `Batched` is what one example looks like, its shape and dtype, but has no numbers of its own:
`value` holds those of all examples, their dimension in front. Functions made of primitives do not
notice; a primitive that is given one asks `dispatch`, which runs it on all examples by its rule of
`fastdl.func.rules`. Whatever else would need the numbers of an example finds none and raises, and
so does a primitive without a rule: `vmap` then goes through the examples one by one.

Stand-ins nest: the value of an inner `vmap` may be a stand-in of an outer one. `level` counts from
the outermost.
"""

import threading

import numpy as np

from fastdl import _dtype, _engine
from fastdl._engine import TensorBase
from fastdl.ops import elementwise as E
from fastdl.ops.index import getitem
from fastdl.ops.linalg import matmul
from fastdl.ops.shape import expand_to, reshape_to
from fastdl.tensor import Tensor

__all__ = [
    "Batched",
    "NoRule",
    "add_levels",
    "base",
    "entered",
    "like",
    "match_levels",
    "repeated",
    "rule",
]

RULES = {}  # Primitive -> function(op, size, operands, batched, **static)


class NoRule(Exception):
    """The examples have to be gone through one by one."""


class Form:
    """What is known of the array of an example: all but its elements."""

    __slots__ = ("dtype", "shape")
    __array_ufunc__ = None
    flags = np.zeros(0).flags  # C order

    def __init__(self, shape, dtype):
        self.shape, self.dtype = shape, dtype

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: int(np.prod(self.shape, dtype=np.int64)))
    itemsize = property(lambda self: self.dtype.itemsize)

    def __array__(self, *args, **kwargs):
        raise NoRule("the elements of an example")

    def __array_function__(self, function, types, args, kwargs):
        if function not in (np.zeros_like, np.ones_like, np.empty_like, np.full_like):
            raise NoRule(function.__name__)
        return function(np.broadcast_to(np.zeros((), self.dtype), self.shape), *args[1:], **kwargs)


class Batched:
    """A tensor of each example; see above. Python takes it for a Tensor, the engine does not."""

    __slots__ = ("__weakref__", "array", "level", "value")
    __class__ = property(lambda self: Tensor)
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, value, level):
        self.value, self.level = value, level
        self.array = Form(value.array.shape[1:], value.array.dtype)

    shape = property(lambda self: _dtype.Size(self.array.shape))
    dtype = property(lambda self: _dtype.of(self.array.dtype))
    ndim = property(lambda self: self.array.ndim)
    requires_grad = property(lambda self: base(self).requires_grad)
    data = property(lambda self: self.detach())

    def dim(self):
        return self.array.ndim

    def numel(self):
        return self.array.size

    def size(self, dim=None):
        return self.shape if dim is None else self.shape[dim]

    def _is_view(self):
        return base(self)._is_view()

    def detach(self):
        return Batched(self.value.detach(), self.level)

    def numpy(self, *, force=False):
        raise NoRule("numpy()")

    def __getitem__(self, index):
        return getitem(self, index)

    def __pos__(self):
        return self

    def __neg__(self):
        return E.neg(self)

    def __abs__(self):
        return E.abs(self)

    def __invert__(self):
        return E.bitwise_not(self)

    def __repr__(self):
        return f"<{self.dtype} tensor of shape {list(self.shape)} in vmap>"


def _is_operand(x):
    return isinstance(x, (TensorBase, int, float, complex, np.ndarray, np.generic))


def _binary(primitive, swapped):
    def method(self, other):
        if not _is_operand(other):
            return NotImplemented
        return primitive(other, self) if swapped else primitive(self, other)

    return method


def _in_place(self, *args):
    raise NoRule("an operation in place")


for _name, _primitive in {
    "add": E.add_arrays, "sub": E.sub_arrays, "mul": E.mul, "truediv": E.div_arrays,
    "floordiv": E.floor_divide, "mod": E.remainder, "pow": E.pow, "matmul": matmul,
    "and": E.bitwise_and, "or": E.bitwise_or, "xor": E.bitwise_xor,
    "lshift": E.bitwise_left_shift, "rshift": E.bitwise_right_shift,
}.items():  # fmt: skip
    setattr(Batched, f"__{_name}__", _binary(_primitive, False))
    setattr(Batched, f"__r{_name}__", _binary(_primitive, True))
    setattr(Batched, f"__i{_name}__", _in_place)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Batched, f"__{_name}__", _binary(getattr(E, _name), False))
# All else is as in Tensor, whose methods are functions of tensors.
for _name, _method in vars(Tensor).items():
    if _name not in vars(Batched) and _name not in ("__dict__", "__init__", "__array__"):
        setattr(Batched, _name, _method)


def rule(*primitives):
    """Decorator: the function is the rule of these primitives. It is given the primitive, the size
    of the batch, the operands, for each whether its dimension 0 is the batch (else all examples
    share it), and the static arguments; in the result dimension 0 is the batch."""

    def register(function):
        for primitive in primitives:
            RULES[primitive] = function
        return function

    return register


def dispatch(op, args, static):
    """The result of a primitive of which operands are Batched: those of the innermost level go to
    its rule, which leaves what other levels there are to this function."""
    level = max([a.level for a in args if type(a) is Batched])
    apply = RULES.get(op) or (RULES["elementwise"] if op.kind == "elementwise" else None)
    if apply is None:
        raise NoRule(op.name)
    batched = [type(a) is Batched and a.level == level for a in args]
    values = [a.value if b else a for a, b in zip(args, batched)]
    size = values[batched.index(True)].array.shape[0]
    out = apply(op, size, values, batched, **static)
    if type(out) is tuple:
        return tuple([None if y is None else Batched(y, level) for y in out])
    return Batched(out, level)


_engine.set_batching(Batched, dispatch)


# ---- levels -----------------------------------------------------------------------------------

_active = threading.local()


def _sizes():
    """The sizes of the batches that this thread is in, the outermost first."""
    if not hasattr(_active, "sizes"):
        _active.sizes = []
    return _active.sizes


class entered:
    """Within it there is one more level, whose number it gives."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        _sizes().append(self.size)
        return len(_sizes())

    def __exit__(self, *error):
        _sizes().pop()


def repeated(x, size):
    """x for each of `size` examples: a view with one more dimension in front."""
    shape = x.array.shape
    return expand_to(reshape_to(x, shape=(1, *shape)), shape=(size, *shape))


def base(x):
    """The tensor that holds the numbers."""
    while type(x) is Batched:
        x = x.value
    return x


def like(x, tensor):
    """`tensor`, of the shape of base(x), as a stand-in for what x stands for."""
    return Batched(like(x.value, tensor), x.level) if type(x) is Batched else tensor


def add_levels(x, level=None):
    """x as a stand-in of every level that this thread is in: an own tensor for each example."""
    sizes = _sizes()
    level = len(sizes) if level is None else level
    if level == 0:
        return x
    own = type(x) is Batched and x.level == level
    value = x.value if own else repeated(x, sizes[level - 1])
    return Batched(add_levels(value, level - 1), level)


def match_levels(x, y):
    """x as a stand-in of the same levels as y."""
    if type(y) is not Batched:
        if type(x) is Batched:
            raise NoRule("a gradient of examples for a tensor that all share")
        return x
    if type(x) is Batched and x.level > y.level:
        raise NoRule("a gradient of examples for a tensor that all share")
    own = type(x) is Batched and x.level == y.level
    value = x.value if own else repeated(x, y.value.array.shape[0])
    return Batched(match_levels(value, y.value), y.level)
