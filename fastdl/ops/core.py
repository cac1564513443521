"""How an op is written: the decorators, PyTorch's promotion rules and error wording, argument
checks.

    @elementwise(ufunc=np.multiply)
    def mul(x, y): ...                            arrays in, array out
    mul.vjp(x=lambda g, y: g * y,                 Tensors in, Tensor out: differentiable again
            y=lambda g, x: g * x)

The names after `g` are what the engine saves: operands, `out`, keyword-only (static) arguments, or
`x_shape` for the shape of operand x. See `fastdl._engine.Primitive`.
"""

import contextvars
import functools
import math
import operator

import numpy as np

from fastdl import _dtype, backends, runtime
from fastdl._engine import Primitive, TensorBase

REGISTRY = {}  # "module.name" -> Primitive; a package stands for its parts


def primitive(forward=None, **options):
    """Decorator: a function on arrays becomes a Primitive whose gradients are given by `.vjp`.

    Options: see Primitive (`into`, `node_name`, ...) and `ufunc`: a NumPy ufunc that computes the
    function, here and in place, in which case the body is its documentation. `kernel`: the name of
    the C kernel that does so for float32 and float64.
    """
    if forward is None:
        return functools.partial(primitive, **options)
    if "kernel" in options:
        options["kernel"] = backends.cpu.MAPS[options["kernel"]]
    made = Primitive(forward, **options)
    path = forward.__module__.split(".")
    place = path[2] if path[:2] == ["fastdl", "ops"] else path[-1]
    REGISTRY[f"{place}.{forward.__name__}"] = made
    return made


def elementwise(forward=None, **options):
    """Decorator: `primitive` for functions that broadcast, element by element."""
    return primitive(forward, kind="elementwise", **options)


def view(forward=None, **options):
    """Decorator: `primitive` for functions whose result may be a view of the first operand."""
    return primitive(forward, kind="view", **options)


# ---- what the engine asks for -----------------------------------------------------------------


def quiet_context():
    """A context in which NumPy computes infinities and NaN without warnings, as PyTorch does, and
    takes the memory of its arrays from the pool.

    The engine enters it for each forward call: `with np.errstate` would take longer than a small
    op.
    """
    context = contextvars.Context()
    context.run(np.seterr, all="ignore")
    context.run(runtime.join_pool)
    return context


_RANK = {"b": 0, "i": 1, "u": 1, "f": 2}


def _promote_two(a, b):
    """PyTorch's common dtype: floats beat integers of any width, integers beat bool."""
    ra, rb = _RANK[a.kind], _RANK[b.kind]
    if ra != rb:
        return a if ra > rb else b
    return np.promote_types(a, b)


def _combine(higher, lower):
    """`lower` (0-d tensors, numbers) counts only if its category is above that of `higher`."""
    if higher is None or lower is None:
        return lower if higher is None else higher
    return lower if _RANK[lower.kind] > _RANK[higher.kind] else higher


def result_dtype(operands):
    """The NumPy dtype that PyTorch gives the result of combining arrays and numbers."""
    of_dims = of_zero_dims = of_numbers = None
    for a in operands:
        if isinstance(a, np.generic) or not hasattr(a, "dtype"):
            number = np.dtype(bool) if isinstance(a, (bool, np.bool_)) else None
            if number is None:
                whole = isinstance(a, (int, np.integer))
                number = np.dtype(np.int64) if whole else _dtype.get_default_dtype().dtype
            of_numbers = number if of_numbers is None else _promote_two(of_numbers, number)
        elif a.ndim == 0:
            of_zero_dims = a.dtype if of_zero_dims is None else _promote_two(of_zero_dims, a.dtype)
        else:
            of_dims = a.dtype if of_dims is None else _promote_two(of_dims, a.dtype)
    return _combine(of_dims, _combine(of_zero_dims, of_numbers))


def promote(op, arrays, floating):
    """`arrays` with one dtype: a number or 0-d tensor never widens within its category."""
    for i, a in enumerate(arrays):
        if not hasattr(a, "dtype") and not isinstance(a, (int, float)):
            raise TypeError(
                f"{op.name}(): argument {op.operands[min(i, len(op.operands) - 1)]!r} (position "
                f"{i + 1}) must be Tensor or number, not {type(a).__name__}"
            )
        if hasattr(a, "dtype") and a.dtype.kind not in _RANK:
            _dtype.of(a.dtype)
    dtype = result_dtype(arrays)
    if floating and dtype.kind != "f":
        dtype = _dtype.get_default_dtype().dtype
    return tuple(
        [
            a.astype(dtype, copy=False)
            if hasattr(a, "dtype") and not isinstance(a, np.generic)
            else np.asarray(a, dtype)
            for a in arrays
        ]
    )


def legacy_name(dtype):
    """PyTorch's name of a NumPy dtype in messages: 'Float' of float32."""
    names = [name for name, d in _dtype.LEGACY.items() if d.dtype == dtype]
    return names[0].removesuffix("Tensor") if names else str(dtype)


def explain(op, arrays, error):
    """The exception PyTorch raises where NumPy raised `error`, which may be `error` itself."""
    text = str(error)
    if isinstance(error, np.exceptions.AxisError):
        ndim = error.ndim or 1
        return IndexError(
            f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got "
            f"{error.axis})"
        )
    if isinstance(error, ValueError) and "broadcast" in text:
        shapes = [getattr(a, "shape", ()) for a in arrays]
        if "non-broadcastable output" in text:
            try:
                wanted = list(np.broadcast_shapes(*shapes))
            except ValueError:
                wanted = list(shapes[-1])
            return RuntimeError(
                f"output with shape {list(shapes[0])} doesn't match the broadcast shape {wanted}"
            )
        return RuntimeError(_mismatch(shapes) or f"{op.name}: {text}")
    if isinstance(error, np._core._exceptions._UFuncOutputCastingError):
        return RuntimeError(
            f"result type {legacy_name(error.from_)} can't be cast to the desired output type "
            f"{legacy_name(error.to)}"
        )
    if isinstance(error, TypeError) and ("ufunc" in text or "numpy boolean" in text):
        dtype = next((a.dtype for a in arrays if hasattr(a, "dtype")), None)
        return NotImplementedError(f'"{op.name}" not implemented for {legacy_name(dtype)!r}')
    if isinstance(error, ValueError) and "negative integer powers" in text:
        return RuntimeError("Integers to negative integer powers are not allowed.")
    return error


def _mismatch(shapes):
    """PyTorch's sentence for the first two shapes that do not broadcast; None if all do."""
    first = shapes[0]
    for shape in shapes[1:]:
        for back in range(1, min(len(first), len(shape)) + 1):
            m, n = first[-back], shape[-back]
            if m != n and m != 1 and n != 1:
                return (
                    f"The size of tensor a ({m}) must match the size of tensor b ({n}) at "
                    f"non-singleton dimension {max(len(first), len(shape)) - back}"
                )
        first = np.broadcast_shapes(first, shape)
    return None


# ---- arguments --------------------------------------------------------------------------------

_ALIASES = {"axis": "dim", "keepdims": "keepdim", "axes": "dim"}


def aliases(function):
    """Decorator: `axis` and `keepdims` are accepted for `dim` and `keepdim`, as PyTorch does."""

    @functools.wraps(function)
    def accepting(*args, **kwargs):
        if not kwargs:
            return function(*args)
        for old, new in _ALIASES.items():
            if old in kwargs:
                if new in kwargs:
                    raise TypeError(f"{function.__name__}() got both {new!r} and {old!r}")
                kwargs[new] = kwargs.pop(old)
        return function(*args, **kwargs)

    return accepting


def is_tensor(obj):
    """True for a fastdl Tensor."""
    return isinstance(obj, TensorBase)


def tensor_argument(function, name, value):
    """`value` if it is a Tensor; TypeError naming function and argument if not."""
    if not isinstance(value, TensorBase):
        raise TypeError(
            f"{function}(): argument {name!r} must be Tensor, not {type(value).__name__}"
        )
    return value


def normal_dim(dim, ndim):
    """`dim` counted from the front; IndexError if out of range. 0-d tensors have one dimension."""
    if type(dim) is not int:
        try:
            dim = operator.index(dim)
        except TypeError:
            raise TypeError(f"dim: expected an int, got {type(dim).__name__}") from None
    span = ndim or 1
    if not -span <= dim < span:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-span}, {span - 1}], but got "
            f"{dim})"
        )
    return dim % span


ALL_DIMS = tuple([tuple(range(ndim)) for ndim in range(65)])  # NumPy has at most 64 dimensions


def normal_dims(dim, ndim):
    """A tuple of dimensions for an int, a sequence, or None or () (all dimensions)."""
    if dim is None:
        return ALL_DIMS[ndim]
    if not isinstance(dim, (tuple, list)):
        dim = normal_dim(dim, ndim)
        return (dim,) if ndim else ()
    dims = tuple([normal_dim(d, ndim) for d in dim])
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"dim {dim}: a dimension appears multiple times in the list of dims")
    if not dims:
        return tuple(range(ndim))
    return tuple([d for d in dims if d < ndim])


def sizes(function, args, name="size"):
    """A tuple of ints from `f(2, 3)`, `f((2, 3))`, `f([2, 3])` or a Size."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = args[0]
    try:
        return tuple(map(operator.index, args))
    except TypeError:
        wrong = next(n for n in args if not hasattr(n, "__index__"))
        raise TypeError(
            f"{function}(): argument {name!r} must be tuple of ints, but found element of type "
            f"{type(wrong).__name__}"
        ) from None


def with_inferred(shape, numel):
    """`shape` with its -1 replaced by what makes `numel` elements; RuntimeError if none does."""
    known = math.prod(shape)
    if not shape or min(shape) >= 0:
        if known == numel:
            return shape
    elif min(shape) < -1:
        raise RuntimeError(f"invalid shape dimension {min(shape)}")
    elif shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    elif known:
        if numel % known == 0:
            at = shape.index(-1)
            return (*shape[:at], numel // -known, *shape[at + 1 :])
    elif numel == 0:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(shape)} because the "
            "unspecified dimension size -1 can be any value and is ambiguous"
        )
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
