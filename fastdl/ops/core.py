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
import inspect
import math
import operator
import warnings
from collections import namedtuple

import numpy as np

from fastdl import _dtype, backends, runtime
from fastdl._engine import Primitive, TensorBase, guarded, is_grad_enabled, no_tensor

REGISTRY = {}  # "module.name" -> Primitive; a package stands for its parts


def primitive(forward=None, **options):
    """Decorator: a function on arrays becomes a Primitive whose gradients are given by `.vjp`.

    Options: see Primitive (`into`, `node_name`, ...) and `ufunc`: a NumPy ufunc that computes the
    function, here and in place, in which case the body is its documentation. `kernel`: the name of
    the C kernel that does so for float32 and float64; for any one dtype, if it `moves` elements.
    `accepts`: a function of the operands, before
    they are promoted, that raises for what the operation refuses.
    """
    if forward is None:
        return functools.partial(primitive, **options)
    if "ufunc" in options:
        options.setdefault("into", functools.partial(_ufunc_into, options["ufunc"]))
    if "kernel" in options:
        options["kernel"] = backends.cpu.KERNELS[options["kernel"]]
    accepts = options.pop("accepts", None)
    made = Primitive(forward, **options)
    if accepts is not None:
        made.accepts = accepts
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


def require_kinds(kinds, *arrays):
    """TypeError, which `explain` words as PyTorch does, unless the dtypes of all arrays are of
    these kinds ('f': floats, 'iu': integers, 'b': bool, 'c': complex)."""
    for x in arrays:
        if hasattr(x, "dtype") and x.dtype.kind.replace("V", "f") not in kinds:  # V: bfloat16
            raise TypeError(f"ufunc takes no {x.dtype}")


def of_kinds(kinds, ufunc):
    """`ufunc`, for arrays of some kinds of dtype only; see `require_kinds`."""

    def checked(*arrays, **options):
        require_kinds(kinds, *arrays)
        return ufunc(*arrays, **options)

    return checked


def as_arrays(*operands):
    """The operands of an elementwise forward; numbers become arrays of the dtype of the others."""
    dtype = next((a.dtype for a in operands if hasattr(a, "dtype")), None)
    return [a if hasattr(a, "dtype") else np.asarray(a, dtype) for a in operands]


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


def _combine(higher, lower):
    """`lower` (0-d tensors, numbers) counts only if its category is above that of `higher`."""
    if higher is None or lower is None:
        return lower if higher is None else higher
    if lower.is_complex and higher.is_floating_point:
        return higher.to_complex()
    if lower.category <= higher.category:
        return higher
    return _dtype.promote_types(higher, lower)


def dtype_of_number(value):
    """The dtype that a Python or NumPy number has in promotion, and as a tensor of its own."""
    if isinstance(value, (bool, np.bool_)):
        return _dtype.bool_
    if isinstance(value, (int, np.integer)):
        return _dtype.int64
    default = _dtype.get_default_dtype()
    return default.to_complex() if isinstance(value, (complex, np.complexfloating)) else default


def result_type_of(operands):
    """The dtype that PyTorch gives the result of combining arrays and numbers."""
    of_dims = of_zero_dims = of_numbers = None
    for a in operands:
        if isinstance(a, np.generic) or not hasattr(a, "dtype"):
            d = dtype_of_number(a)
            of_numbers = d if of_numbers is None else _dtype.promote_types(of_numbers, d)
            continue
        d = _dtype.of(a.dtype)
        if a.ndim == 0:
            of_zero_dims = d if of_zero_dims is None else _dtype.promote_types(of_zero_dims, d)
        else:
            of_dims = d if of_dims is None else _dtype.promote_types(of_dims, d)
    return _combine(of_dims, _combine(of_zero_dims, of_numbers))


def result_dtype(operands):
    """The NumPy dtype of `result_type_of`."""
    return result_type_of(operands).dtype


def promote(op, arrays, floating):
    """`arrays` with one dtype: a number or 0-d tensor never widens within its category."""
    for i, a in enumerate(arrays):
        if not hasattr(a, "ndim") and not isinstance(a, (int, float, complex)):
            raise TypeError(
                f"{op.name}(): argument {op.operands[min(i, len(op.operands) - 1)]!r} (position "
                f"{i + 1}) must be Tensor or number, not {type(a).__name__}"
            )
        if type(a) is int and not -(2**63) <= a < 2**64:
            raise OverflowError("int too big to convert")
    accepts = getattr(op, "accepts", None)
    if accepts is not None:
        try:
            accepts(arrays)
        except TypeError as error:
            raise explain(op, arrays, error) from None
    dtype = result_dtype(arrays)
    if floating and not _dtype.is_inexact(dtype):
        dtype = _dtype.get_default_dtype().dtype
    return tuple(
        [
            a.astype(dtype, copy=False)
            if hasattr(a, "dtype") and not isinstance(a, np.generic)
            else number_array(a, dtype)
            for a in arrays
        ]
    )


def number_array(number, dtype):
    """A number as a 0-d array; integers that `dtype` cannot hold wrap, as in PyTorch."""
    try:
        return np.asarray(number, dtype)
    except OverflowError:
        return np.asarray(number, np.int64).astype(dtype)


def widen(a):
    """float16 and bfloat16 arrays in float32, where they are computed; others as they are."""
    if isinstance(a, np.ndarray) and _is_half(a.dtype):
        return a.astype(np.float32)
    return a


def narrow(y, arrays):
    """A result that was computed in float32, or a tuple of them, rounded to the half precision of
    the first of the floating point `arrays`, if that has one."""
    for a in arrays:
        if isinstance(a, np.ndarray) and _dtype.is_inexact(a.dtype):
            if not _is_half(a.dtype):
                return y
            if type(y) is tuple:
                return tuple([narrow(part, arrays) for part in y])
            return y.astype(a.dtype) if y.dtype == np.float32 else y
    return y


def _is_half(dtype):
    return dtype.char == "e" or dtype.num >= _dtype._FIRST_FOREIGN


def _is_quiet(x, dtype):
    """Can NumPy have nothing to warn of when it casts x? (To tell it not to takes longer.)"""
    kind, to = x.dtype.kind, dtype.kind
    if kind in "bui":
        return to in "bui" or (to in "fc" and dtype.itemsize >= 4)
    return kind == to == "f" and dtype.itemsize >= x.itemsize


def as_type(x, dtype):
    """An array as another dtype, as PyTorch converts: the real part for one that is not complex,
    a whole number modulo 2 ** bits for a small integer dtype. Always a copy. NumPy may warn, unless
    the engine calls."""
    if x.dtype.kind == "c" and dtype.kind != "c":
        x = x.real
    if dtype.kind in "iu" and x.dtype.kind not in "biu":
        if x.dtype.kind != "f":
            x = x.astype(np.float32)  # bfloat16 has no way to integers of its own
        if dtype.itemsize < 8:
            x = x.astype(np.int64)
    return x.astype(dtype)


def of_numbers(numbers, dtype):
    """An array of Python's numbers as `dtype`; RuntimeError where an integer dtype cannot hold
    one. Negative numbers wrap around in unsigned dtypes."""
    if numbers.dtype.kind == "c" and dtype.kind != "c":
        raise TypeError("must be real number, not complex")
    if dtype.kind in "iu" and numbers.dtype.kind in "iuf" and numbers.dtype != dtype:
        limits = np.iinfo(dtype)
        low = limits.min if dtype.kind == "i" else -limits.max
        # A float beyond the last one below 2**63 has no int64.
        high = min(limits.max, 2**63 - 1024) if numbers.dtype.kind == "f" else limits.max
        if not ((numbers >= low) & (numbers <= high)).all():
            raise RuntimeError(f"value cannot be converted to type {dtype} without overflow")
    with np.errstate(all="ignore"):
        return as_type(numbers, dtype)


def legacy_name(dtype):
    """PyTorch's name of a NumPy dtype in messages: 'Float' of float32."""
    return _dtype.scalar_name(_dtype.of(dtype))


def explain(op, arrays, error):
    """The exception PyTorch raises where NumPy raised `error`, which may be `error` itself."""
    if isinstance(error, AttributeError):
        wrong = next((a for a in arrays if a is error.obj and not hasattr(a, "ndim")), None)
        if wrong is not None:
            return TypeError(f"{op.name}(): an argument must be Tensor, not {type(wrong).__name__}")
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
        return RuntimeError(mismatch(shapes) or f"{op.name}: {text}")
    if isinstance(error, np._core._exceptions._UFuncOutputCastingError):
        return RuntimeError(
            f"result type {legacy_name(error.from_)} can't be cast to the desired output type "
            f"{legacy_name(error.to)}"
        )
    if isinstance(error, TypeError) and "numpy boolean negative" in text:
        return RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead."
        )
    if isinstance(error, TypeError) and "ufunc" in text:
        dtype = next((a.dtype for a in arrays if hasattr(a, "dtype")), None)
        return NotImplementedError(f'"{op.name}" not implemented for {legacy_name(dtype)!r}')
    if isinstance(error, OverflowError):
        return RuntimeError(f"{op.name}: value cannot be converted without overflow: {text}")
    if isinstance(error, ValueError) and "negative integer powers" in text:
        return RuntimeError("Integers to negative integer powers are not allowed.")
    return error


def mismatch(shapes):
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


# ---- results that are written into something ----------------------------------------------------


def require_castable(source, target):
    """RuntimeError unless PyTorch writes values of dtype `source` into tensors of dtype `target`:
    the category, bool before integers before floats before complex, may not fall."""
    if not _dtype.can_cast(source, target):
        raise RuntimeError(
            f"result type {legacy_name(source)} can't be cast to the desired output type "
            f"{legacy_name(target)}"
        )


def require_fit(array, result):
    """RuntimeError unless `result` has the shape of `array` and a dtype that may be cast to its."""
    if result.shape != array.shape:
        raise RuntimeError(
            f"output with shape {list(array.shape)} doesn't match the broadcast shape "
            f"{list(result.shape)}"
        )
    require_castable(result.dtype, array.dtype)


def put(array, result):
    """Write `result`, an array, into `array`: what an operation in place ends with."""
    require_fit(array, result)
    np.copyto(array, result, casting="unsafe")


def _ufunc_into(ufunc, out, *arrays):
    if arrays[0].dtype == out.dtype:
        ufunc(*arrays, out=out, casting="same_kind")
    else:
        put(out, np.asarray(ufunc(*arrays)))


def store(function, result, out, casts):
    """Write the result of `function` (a name in messages) into `out`, a Tensor, or a tuple of them
    for several results, and return `out`.

    An `out` of another shape is resized, with a warning if it was not empty. One of another dtype
    is written to if the function `casts` and the dtype can hold the result. TypeError if it is no
    Tensor; RuntimeError if gradients would be needed or the dtype does not fit.
    """
    if isinstance(result, tuple):
        if not isinstance(out, (tuple, list)) or len(out) != len(result):
            raise TypeError(
                f"{function}(): argument 'out' must be tuple of {len(result)} Tensors, not "
                f"{type(out).__name__}"
            )
        stored = [store(function, *pair, casts) for pair in zip(result, out)]
        return type(result)(*stored) if hasattr(result, "_fields") else tuple(stored)
    tensor_argument(function, "out", out)
    if result.requires_grad or (out.requires_grad and is_grad_enabled()):
        raise RuntimeError(
            f"{function}(): functions with out=... arguments don't support automatic "
            "differentiation, but one of the arguments requires grad."
        )
    if casts:
        require_castable(result.array.dtype, out.array.dtype)
    elif result.array.dtype != out.array.dtype:
        raise RuntimeError(
            f"{function}(): Expected out tensor to have dtype {result.array.dtype}, but got "
            f"{out.array.dtype} instead"
        )
    if out.array.shape != result.array.shape:
        if out.array.size:
            warnings.warn(
                "An output with one or more elements was resized since it had shape "
                f"{list(out.array.shape)}, which does not match the required output shape "
                f"{list(result.array.shape)}.",
                stacklevel=3,
            )
        out.resize_(result.array.shape)
    np.copyto(out.array, result.array, casting="unsafe")
    out._bump()
    return out


def result_type(name, fields=("values", "indices")):
    """A named tuple that prints as PyTorch's `torch.return_types.NAME`."""

    class Result(namedtuple(name, fields)):
        __slots__ = ()

        def __repr__(self):
            body = ",\n".join([f"{field}={value!r}" for field, value in zip(self._fields, self)])
            return f"fastdl.return_types.{name}(\n{body})"

    Result.__name__ = Result.__qualname__ = name
    return Result


# ---- arguments --------------------------------------------------------------------------------

_ALIASES = {"axis": "dim", "keepdims": "keepdim", "axes": "dim"}


def _accepting(function, dims, out, casts=False):
    """`function` with further keywords: other names of `dim`, and `out`. A function that takes a
    dtype computes in that of `out`."""
    signature = inspect.signature(function)
    computes = "dtype" in signature.parameters

    @functools.wraps(function)
    def taking(*args, **kwargs):
        target = kwargs.pop("out", None) if out else None
        if dims:
            for old, new in _ALIASES.items():
                if old in kwargs:
                    if new in kwargs:
                        raise TypeError(f"{function.__name__}() got both {new!r} and {old!r}")
                    kwargs[new] = kwargs.pop(old)
        if target is not None and computes and is_tensor(target):
            kwargs.setdefault("dtype", target.array.dtype)
        try:
            result = function(*args, **kwargs)
        except AttributeError as error:
            raise no_tensor(function, args, kwargs, error) or error from None
        return result if target is None else store(function.__name__, result, target, casts)

    accepting = guarded(
        function, taking, frozenset([*(_ALIASES if dims else ()), *(["out"] if out else ())])
    )
    accepting.takes_aliases = dims
    if out:
        parameters = list(signature.parameters.values())
        after = bool(parameters) and parameters[-1].kind == inspect.Parameter.VAR_KEYWORD
        last = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None)
        parameters.insert(len(parameters) - after, last)
        accepting.__signature__ = signature.replace(parameters=parameters)
    return accepting


def aliases(function):
    """Decorator: `axis` and `keepdims` are accepted for `dim` and `keepdim`, as PyTorch does."""
    return _accepting(function, dims=True, out=False)


def takes_out(function=None, *, casts=False):
    """Decorator: `out`, a keyword, is the tensor (or the tuple of them) that receives the result;
    see `store`. Primitives take it as they are. With `aliases`: the first line of the two."""
    if function is None:
        return functools.partial(takes_out, casts=casts)
    dims = getattr(function, "takes_aliases", False)
    return _accepting(function.__wrapped__ if dims else function, dims, out=True, casts=casts)


def is_tensor(obj):
    """True for a fastdl Tensor."""
    return isinstance(obj, TensorBase)


def is_truth(a):
    """True for a Python bool and for an array of bools."""
    return isinstance(a, bool) or (hasattr(a, "dtype") and a.dtype.kind == "b")


def is_inference(input):
    """Was the Tensor made in inference mode?"""
    return tensor_argument("is_inference", "input", input).is_inference()


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
        twice = next(d for i, d in enumerate(dims) if d in dims[:i])
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
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
        wrong = next((n for n in args if not _is_whole(n)), args)
        raise TypeError(
            f"{function}(): argument {name!r} must be tuple of ints, but found element of type "
            f"{type(wrong).__name__}"
        ) from None


def _is_whole(n):
    try:
        operator.index(n)
    except TypeError:
        return False
    return True


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
