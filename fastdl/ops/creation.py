"""Making tensors: from data, filled, ranges, grids."""

import math
import warnings

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import (
    TensorBase,
    plain_array,
    plain_eye,
    plain_filled,
    plain_like,
    plain_sizes,
    plain_spaced,
    plain_steps,
    tensor_of,
)
from fastdl.ops.core import (
    as_type,
    dtype_of_number,
    is_tensor,
    legacy_name,
    of_numbers,
    result_type_of,
    sizes,
)

__all__ = [
    "arange",
    "as_tensor",
    "asarray",
    "empty",
    "empty_like",
    "empty_permuted",
    "empty_strided",
    "eye",
    "from_numpy",
    "frombuffer",
    "full",
    "full_like",
    "get_default_device",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "result_type",
    "scalar_tensor",
    "set_default_device",
    "tril_indices",
    "triu_indices",
    "zeros",
    "zeros_like",
]


def checked_device(device):
    """CPU only for now: 'cuda' raises."""
    if device is None or device is _dtype.CPU or (type(device) is str and device == "cpu"):
        return
    if _dtype.device(device).type != "cpu":
        raise RuntimeError(
            f"device {str(device)!r} is not available: this build of fastdl runs on the CPU"
        )


def get_default_device():
    """The device of new tensors: the CPU.

    >>> import fastdl
    >>> fastdl.get_default_device()
    device(type='cpu')
    """
    return _dtype.CPU


def set_default_device(device):
    """Make `device` that of new tensors; RuntimeError for any but the CPU. None: the CPU."""
    checked_device(device)


# ---- from data --------------------------------------------------------------------------------


def _leaf_of(data):
    """The first number or array in nested sequences."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return data


def _plain(data):
    """Nested sequences with tensors of one element replaced by that."""
    if isinstance(data, TensorBase):
        if data.array.size != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return data.array.reshape(())
    if isinstance(data, (list, tuple)):
        return [_plain(d) for d in data]
    return data


def _ragged(data, depth=0):
    """The exception for nested sequences whose lengths differ, at the first place they do."""
    rows = [d for d in data if isinstance(d, (list, tuple))]
    if rows and len(rows) != len(data):
        if isinstance(data[0], (list, tuple)):
            return TypeError("not a sequence")
        return TypeError(
            f"'{type(rows[0]).__name__}' object cannot be interpreted as a number: sequences and "
            "numbers are mixed"
        )
    for row in rows:
        if len(row) != len(rows[0]):
            return ValueError(
                f"expected sequence of length {len(rows[0])} at dim {depth + 1} (got {len(row)})"
            )
    for row in rows:
        found = _ragged(row, depth + 1)
        if found is not None:
            return found
    return None


def _of_sequence(data, dtype):
    """The array of nested lists."""
    leaf = _leaf_of(data)
    data = _plain(data)
    try:
        found = np.asarray(data)
    except ValueError:
        raise _ragged(data) or ValueError(
            "tensor: expected nested sequences of equal lengths"
        ) from None
    if found.dtype.kind == "O" or (found.dtype.kind == "u" and found.dtype.itemsize == 8):
        if all(isinstance(v, int) for v in found.ravel().tolist()):
            raise ValueError("Overflow when unpacking long long")
        wrong = next((v for v in found.flat if not isinstance(v, (int, float, complex))), None)
        if isinstance(wrong, (str, bytes)):
            raise ValueError(f"too many dimensions '{type(wrong).__name__}'")
        raise RuntimeError(f"Could not infer dtype of {type(wrong).__name__}")
    if found.dtype.kind in "US":
        raise ValueError(f"too many dimensions '{type(leaf).__name__}'")
    if found.dtype.kind not in "fiubcV":
        raise TypeError(f"new(): invalid data type '{type(leaf).__name__}'")
    if dtype is None and (_dtype.is_inexact(found.dtype) or found.size == 0):
        typed = isinstance(leaf, (TensorBase, np.generic, np.ndarray)) and leaf.dtype
        # Python floats give the default; one typed number decides for all
        typed = typed and _dtype.is_inexact(_dtype.as_numpy(typed))
        dtype = _dtype.as_dtype(leaf.dtype) if typed else _dtype.get_default_dtype()
        if found.dtype.kind == "c":
            dtype = dtype.to_complex()
    return found if dtype is None else of_numbers(found, _dtype.as_numpy(dtype))


def _of_ndarray(array, dtype):
    """A NumPy array that a tensor may look at, of `dtype`."""
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported."
        )
    _dtype.of(array.dtype)
    if dtype is None or array.dtype == _dtype.as_numpy(dtype):
        return array
    with np.errstate(all="ignore"):
        return as_type(array, _dtype.as_numpy(dtype))


def _array_of(data, dtype):
    """A NumPy array for whatever `tensor` accepts, in PyTorch's dtype; may share memory."""
    if isinstance(data, TensorBase):
        return _of_ndarray(data.array, dtype)
    if type(data) is np.ndarray:
        return _of_ndarray(data, dtype)
    if isinstance(data, (list, tuple)):
        return _of_sequence(data, dtype)
    if isinstance(data, (bool, int, float, complex)) and not isinstance(data, np.generic):
        if isinstance(data, int) and not -(2**63) <= data < 2**63:
            raise ValueError("Overflow when unpacking long long")
        if dtype is None:
            return np.asarray(data, dtype_of_number(data).dtype)
        return of_numbers(np.asarray(data), _dtype.as_numpy(dtype))
    if isinstance(data, np.generic):
        return _of_ndarray(np.asarray(data), dtype)
    if isinstance(data, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    if isinstance(data, range):
        return _of_sequence(list(data), dtype)
    if hasattr(data, "__array_interface__") or hasattr(data, "__array__"):
        return _of_ndarray(np.asarray(data), dtype)
    if hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, dict):
        return _of_sequence([data[i] for i in range(len(data))], dtype)
    raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")


def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A tensor with a copy of `data`: number, nested lists, NumPy array or tensor.

    dtype None: Python floats give the default dtype, ints int64, arrays keep theirs. Errors:
    ValueError for rows of different lengths, RuntimeError for what is no number.

    >>> import fastdl
    >>> fastdl.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    if device is not None:
        checked_device(device)
    wanted = None if dtype is None else _dtype.as_numpy(dtype)
    array = plain_array(data, wanted, _dtype.get_default_dtype().dtype)
    if array is None:
        array = np.array(_array_of(data, dtype), order="C")
    return tensor_of(array, requires_grad)


def as_tensor(data, dtype=None, device=None):
    """Like `tensor`, sharing memory with `data` (array or tensor) where its dtype already fits."""
    checked_device(device)
    if isinstance(data, TensorBase):
        return data if dtype is None else data.to(dtype)
    return tensor_of(_walkable(_array_of(data, dtype)))


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False):
    """A tensor of `obj`, sharing its memory unless `copy` is true or the dtype differs; ValueError
    if `copy` is False and it cannot be shared."""
    checked_device(device)
    if isinstance(obj, TensorBase):
        made = obj if dtype is None else obj.to(dtype)
        shared = made is obj
        made = made.clone() if copy and shared else made
    else:
        array = _walkable(_array_of(obj, dtype))
        shared = isinstance(obj, np.ndarray) and np.may_share_memory(array, obj)
        made = tensor_of(array.copy() if copy and shared else array)
    if copy is False and not shared:
        raise ValueError("can't alias the memory of an object of another dtype or type")
    if requires_grad != made.requires_grad:
        made = made.detach().requires_grad_(requires_grad)
    return made


def _walkable(array):
    """A NumPy array if a tensor can look at its memory, ValueError if not."""
    for stride in array.strides:
        if stride < 0 or stride % array.itemsize:
            break
    else:
        return array
    if any(s < 0 for s in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array with array.copy().)"
        )
    raise ValueError(
        "given numpy array strides not a multiple of the element byte size. Copy the numpy "
        "array to reallocate the memory."
    )


def from_numpy(ndarray):
    """A tensor on the memory of a NumPy array: changes show on both sides.

    ValueError for negative strides and foreign byte order. Writing to a tensor on a read-only
    array raises, which PyTorch leaves undefined.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    array = _walkable(_of_ndarray(ndarray, None))
    if not array.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and so is the tensor. You may want to copy the "
            "array before converting it to a tensor.",
            UserWarning,
            stacklevel=2,
        )
    return tensor_of(array)


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A 1-d tensor on the memory of a buffer: `count` elements (all: -1) from byte `offset`."""
    dtype = _dtype.as_numpy(dtype)
    held = memoryview(buffer).nbytes
    if held == 0 or count == 0:
        raise ValueError(f"both buffer length ({held}) and count ({count}) must not be 0")
    if not 0 <= offset < held:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length "
            f"({held} bytes) minus 1"
        )
    if count < 0 and (held - offset) % dtype.itemsize:
        raise ValueError(
            f"buffer length ({held} bytes) after offset ({offset} bytes) must be a multiple of "
            f"element size ({dtype.itemsize})"
        )
    if count * dtype.itemsize > held - offset:
        raise ValueError(
            f"requested buffer length ({count} * {dtype.itemsize} bytes) after offset ({offset} "
            f"bytes) must not be greater than actual buffer length ({held} bytes)"
        )
    return tensor_of(np.frombuffer(buffer, dtype, count, offset), requires_grad)


# ---- filled -----------------------------------------------------------------------------------

_NO_EFFECT = ("layout", "pin_memory", "names", "memory_format")


def allocated(make, shape, dtype):
    """make(shape, dtype), a NumPy array; RuntimeError where memory does not suffice."""
    try:
        return make(shape, dtype)
    except (ValueError, MemoryError, OverflowError) as error:
        count = math.prod(shape) * dtype.itemsize
        if count >= 2**63:
            text = f"Storage size calculation overflowed with sizes={list(shape)}"
        elif isinstance(error, MemoryError):
            text = f"can't allocate memory: you tried to allocate {count} bytes"
        else:
            text = str(error)
        raise RuntimeError(text) from None


def shape_argument(function, size):
    """A tuple of lengths from `f(2, 3)`, `f((2, 3))` ...; RuntimeError for negative ones."""
    if len(size) == 1 and isinstance(size[0], (str, bool, type(None))):
        raise TypeError(
            f"{function}(): argument 'size' (position 1) must be tuple of ints, not "
            f"{type(size[0]).__name__}"
        )
    shape = sizes(function, size)
    if shape:
        if min(shape) < 0:
            raise RuntimeError(
                f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}"
            )
        if max(shape) >= 2**63:
            raise TypeError(f"{function}(): argument 'size': Overflow when unpacking long long")
    return shape


def filled(function, make, size, dtype, device, requires_grad, keywords):
    """The tensor make(shape, NumPy dtype), for the functions that take PyTorch's options."""
    out = None
    if keywords:
        if "size" in keywords:
            size = (keywords.pop("size"),)
        out = keywords.pop("out", None)
        for name in _NO_EFFECT:
            keywords.pop(name, None)
        if keywords:
            raise TypeError(
                f"{function}() got an unexpected keyword argument {next(iter(keywords))!r}"
            )
    if device is not None:
        checked_device(device)
    if out is not None:
        return delivered(function, make, shape_argument(function, size), dtype, out)
    dtype = numpy_dtype(dtype)
    shape = plain_sizes(size)
    shape = shape_argument(function, size) if shape is None else shape
    return tensor_of(allocated(make, shape, dtype), requires_grad)


def numpy_dtype(dtype):
    """The NumPy dtype of `dtype`; None: of the default."""
    return _dtype.get_default_dtype().dtype if dtype is None else _dtype.as_numpy(dtype)


def delivered(function, make, shape, dtype, out):
    """`out`, resized to `shape` and filled by make(shape, dtype)."""
    if dtype is not None and _dtype.as_numpy(dtype) != out.array.dtype:
        raise RuntimeError(
            f"dtype {legacy_name(_dtype.as_numpy(dtype))} does not match dtype of out parameter "
            f"({legacy_name(out.array.dtype)})"
        )
    if out.array.shape != shape:
        out.resize_(shape)
    return out.copy_(tensor_of(allocated(make, shape, out.array.dtype)))


def _filled_with(value):
    """The function (shape, dtype) -> array full of `value`, like numpy.zeros."""
    return lambda shape, dtype: backends.cpu.fill(np.empty(shape, dtype), value)


_ones = _filled_with(1)
_ones.__name__ = "ones"


def usual(size, value, dtype, device, keywords):
    """The array of the usual calls, small and without further arguments; None for others."""
    if device is not None or keywords:
        return None
    wanted = numpy_dtype(dtype)
    return plain_filled(size, value, wanted, wanted)


def zeros(*size, dtype=None, device=None, requires_grad=False, **keywords):
    """Zeros of shape `size`: `zeros(2, 3)` or `zeros((2, 3))`. Keywords: out; and layout,
    pin_memory and names, which have no effect."""
    array = usual(size, False, dtype, device, keywords)
    if array is not None:
        return tensor_of(array, requires_grad)
    return filled("zeros", np.zeros, size, dtype, device, requires_grad, keywords)


def ones(*size, dtype=None, device=None, requires_grad=False, **keywords):
    """Ones of shape `size`; keywords as in `zeros`."""
    array = usual(size, True, dtype, device, keywords)
    if array is not None:
        return tensor_of(array, requires_grad)
    return filled("ones", _ones, size, dtype, device, requires_grad, keywords)


def empty(*size, dtype=None, device=None, requires_grad=False, **keywords):
    """A tensor of shape `size` with whatever the memory held; keywords as in `zeros`."""
    array = usual(size, None, dtype, device, keywords)
    if array is not None:
        return tensor_of(array, requires_grad)
    return filled("empty", np.empty, size, dtype, device, requires_grad, keywords)


def empty_strided(size, stride, *, dtype=None, device=None, requires_grad=False, **keywords):
    """An uninitialised tensor of shape `size` whose steps through memory are `stride`, in elements.

    >>> import fastdl
    >>> fastdl.empty_strided((2, 3), (1, 2)).stride()
    (1, 2)
    """
    size, stride = shape_argument("empty_strided", (size,)), sizes("empty_strided", (stride,))
    if len(size) != len(stride):
        raise RuntimeError(
            f"mismatch in length of strides and shape: {len(stride)} and {len(size)}"
        )
    if any(s < 0 for s in stride):
        raise RuntimeError(f"empty_strided: strides must not be negative, got {list(stride)}")
    count = 0 if 0 in size else 1 + sum([(n - 1) * s for n, s in zip(size, stride)])

    def make(shape, dtype):
        flat = allocated(np.empty, (count,), dtype)
        return np.ndarray(size, dtype, flat, 0, [s * dtype.itemsize for s in stride])

    return filled("empty_strided", make, (size,), dtype, device, requires_grad, keywords)


def empty_permuted(
    size, physical_layout, *, dtype=None, device=None, requires_grad=False, **keywords
):
    """An uninitialised tensor of shape `size` whose dimensions lie in memory in the order
    `physical_layout`, outermost first."""
    size, order = shape_argument("empty_permuted", (size,)), tuple(physical_layout)
    if sorted(order) != list(range(len(size))):
        raise RuntimeError(
            f"empty_permuted: expected a permutation of the {len(size)} dimensions, got "
            f"{list(order)}"
        )

    def make(shape, dtype):
        laid = allocated(np.empty, tuple([shape[d] for d in order]), dtype)
        return laid.transpose(np.argsort(order))

    return filled("empty_permuted", make, (size,), dtype, device, requires_grad, keywords)


def scalar_tensor(s, *, dtype=None, device=None, requires_grad=False, **keywords):
    """A 0-d tensor of a number, of the default dtype."""
    return full((), s, dtype=dtype or _dtype.get_default_dtype(), device=device,
                requires_grad=requires_grad, **keywords)  # fmt: skip


def full(size, fill_value, *, dtype=None, device=None, requires_grad=False, **keywords):
    """`fill_value` in every place of shape `size`; the dtype follows the value."""
    if device is None and not keywords:
        wanted = None if dtype is None else _dtype.as_numpy(dtype)
        array = plain_filled((size,), fill_value, wanted, _dtype.get_default_dtype().dtype)
        if array is not None:
            return tensor_of(array, requires_grad)
    value = fill_value.item() if is_tensor(fill_value) else fill_value
    if isinstance(size, int):
        size = (size,)
    if isinstance(value, (str, bytes)) or not hasattr(
        value, "__complex__" if isinstance(value, complex) else "__float__"
    ):
        raise TypeError(
            f"full(): argument 'fill_value' (position 2) must be Number, not {type(value).__name__}"
        )
    if dtype is None and keywords.get("out") is None:
        dtype = dtype_of_number(value)

    def make(shape, d):
        number = plain_array(value, d, d)
        number = of_numbers(np.asarray(value), d) if number is None else number
        return backends.cpu.fill(np.empty(shape, d), number)

    return filled("full", make, (size,), dtype, device, requires_grad, keywords)


def like(function, make, input, dtype, device, requires_grad, memory_format):
    """make(shape, dtype) with the dimensions of `input` in the order they have in its memory."""
    if not is_tensor(input):
        raise TypeError(
            f"{function}(): argument 'input' (position 1) must be Tensor, not "
            f"{type(input).__name__}"
        )
    if device is not None:
        checked_device(device)
    dtype = input.array.dtype if dtype is None else _dtype.as_numpy(dtype)
    array = input.array
    if array.flags.c_contiguous or memory_format not in (None, _dtype.preserve_format):
        return tensor_of(allocated(make, array.shape, dtype), requires_grad)
    order = sorted(range(array.ndim), key=lambda d: -array.strides[d] if array.strides[d] else d)
    if 0 in array.strides:
        order = range(array.ndim)
    made = allocated(make, tuple([array.shape[d] for d in order]), dtype)
    return tensor_of(made.transpose(np.argsort(order)), requires_grad)


def usual_like(input, value, dtype, device, memory_format):
    """`usual` with the shape of `input`, and with its dtype for None."""
    if device is not None or memory_format is not None or not is_tensor(input):
        return None
    return plain_like(input, value, None if dtype is None else _dtype.as_numpy(dtype))


def _like(make, value):
    name = f"{make.__name__}_like"

    def made_like(
        input, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False,
        memory_format=None,
    ):  # fmt: skip
        array = usual_like(input, value, dtype, device, memory_format)
        if array is not None:
            return tensor_of(array, requires_grad)
        return like(name, make, input, dtype, device, requires_grad, memory_format)

    made_like.__name__ = made_like.__qualname__ = name
    made_like.__doc__ = f"`{make.__name__}` with the shape, dtype and memory order of `input`."
    return made_like


zeros_like = _like(np.zeros, False)
ones_like = _like(_ones, True)
empty_like = _like(np.empty, None)


def full_like(
    input, fill_value, *, dtype=None, layout=None, device=None, pin_memory=False,
    requires_grad=False, memory_format=None,
):  # fmt: skip
    """`full` with the shape, dtype and memory order of `input`."""
    value = number(fill_value)
    if value is not None:
        array = usual_like(input, value, dtype, device, memory_format)
        if array is not None:
            return tensor_of(array, requires_grad)

    def make(shape, d):
        filling = plain_array(value, d, d)
        filling = of_numbers(np.asarray(value), d) if filling is None else filling
        return backends.cpu.fill(np.empty(shape, d), filling)

    return like("full_like", make, input, dtype, device, requires_grad, memory_format)


# ---- ranges -----------------------------------------------------------------------------------


def number(value):
    """The Python number of a 0-d tensor or NumPy scalar."""
    return value.item() if is_tensor(value) or isinstance(value, np.generic) else value


def _bounds(function, **given):
    """Numbers of the arguments; TypeError naming the one that is none."""
    found = []
    for i, (name, value) in enumerate(given.items()):
        value = number(value)
        if not isinstance(value, (int, float)):
            raise TypeError(
                f"{function}(): argument {name!r} (position {i + 1}) must be Number, not "
                f"{type(value).__name__}"
            )
        found.append(value)
    return found


def _steps(function, start, end, step, inclusive):
    """How many numbers start + i * step lie before `end`."""
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * (1 if step > 0 else -1) < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if all(isinstance(v, int) for v in (start, end, step)):
        count = (end - start) // step + 1 if inclusive else -((start - end) // step)
    else:
        length = (end - start) / step
        count = math.floor(length) + 1 if inclusive else math.ceil(length)
    if count >= 2**63:
        raise RuntimeError("invalid size, possible overflow?")
    return count


def _ranged(function, start, end, step, inclusive, dtype, device, requires_grad, keywords):
    if dtype is not None and _dtype.as_numpy(dtype) == np.int64 and not inclusive:
        start, end, step = int(start), int(end), int(step)
    count = _steps(function, start, end, step, inclusive)

    def make(shape, d):
        if d.kind == "c":
            raise NotImplementedError(f'"{function}_cpu" not implemented for {legacy_name(d)!r}')
        if _dtype.is_float(d):
            steps = np.arange(count, dtype=np.float64)
            if d.char in "fd" and abs(start) < _LARGE > abs(end):
                return (start + steps * step).astype(d, copy=False)
            with np.errstate(all="ignore"):
                return (start + steps * step).astype(d)
        first, each = int(start), int(step)
        if d == np.int64:
            return np.arange(first, first + count * each, each)
        return (first + np.arange(count) * each).astype(d)

    if keywords.get("out") is not None and dtype is None:
        dtype = keywords["out"].array.dtype
    return filled(function, make, ((count,),), dtype, device, requires_grad, keywords)


def arange(
    start=None, end=None, step=1, *, dtype=None, device=None, requires_grad=False, **keywords
):
    """start, start + step, ... below `end`, from 0 without `start`; int64 unless one is a float.

    Keywords: out; and layout and pin_memory, which have no effect.

    >>> import fastdl
    >>> fastdl.arange(1, 2, 0.25)
    tensor([1.0000, 1.2500, 1.5000, 1.7500])
    """
    if device is None and not keywords:  # the usual call
        wanted = None if dtype is None else _dtype.as_numpy(dtype)
        floating = _dtype.get_default_dtype().dtype
        first, last = (0, start) if end is None else (start, end)
        array = plain_steps(first, last, step, wanted, floating)
        if array is not None:
            return tensor_of(array, requires_grad)
    if end is None:
        start, end = None, _bounds("arange", end=start)[0]
    start, end, step = _bounds("arange", start=start or 0, end=end, step=step)
    if dtype is None and keywords.get("out") is None:
        whole = all(isinstance(v, int) for v in (start, end, step))
        if whole and not all(-(1 << 63) <= v < 1 << 63 for v in (start, end, step)):
            raise RuntimeError("value cannot be converted to type int64_t without overflow")
        dtype = _dtype.int64 if whole else _dtype.get_default_dtype()
    return _ranged("arange", start, end, step, False, dtype, device, requires_grad, keywords)


def range_inclusive(start=0, end=None, step=1, *, dtype=None, device=None, requires_grad=False,
                    **keywords):  # fmt: skip
    """`arange` with `end` included, floating point: PyTorch's deprecated `range`."""
    if end is None:
        start, end = 0, start
    start, end, step = _bounds("range", start=start, end=end, step=step)
    dtype = _dtype.get_default_dtype() if dtype is None else dtype
    return _ranged("range", start, end, step, True, dtype, device, requires_grad, keywords)


_FLOAT64 = np.dtype(np.float64)
_LARGE = 1e30  # up to here, nothing can overflow


def _even(start, end, count):
    """numpy.linspace of numbers."""
    if count < 2 or start == end:
        return np.linspace(start, end, count)
    found = np.arange(count) * ((end - start) / (count - 1)) + start
    found[-1] = end
    return found


def _spaced(function, spaced, start, end, steps, dtype, device, requires_grad, keywords):
    if isinstance(steps, bool) or not hasattr(steps, "__index__"):
        raise TypeError(f"{function}(): argument 'steps' must be int, not {type(steps).__name__}")
    start, end = _bounds(function, start=start, end=end)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")

    def make(shape, d):
        if (
            spaced is _even
            and d.char in "fd"
            and -_LARGE < start < _LARGE
            and -_LARGE < end < _LARGE
        ):
            return _even(start, end, shape[0]).astype(d)
        with np.errstate(all="ignore"):
            return spaced(start, end, shape[0]).astype(d)

    return filled(function, make, ((steps,),), dtype, device, requires_grad, keywords)


def linspace(start, end, steps, *, dtype=None, device=None, requires_grad=False, **keywords):
    """`steps` evenly spaced numbers from `start` to `end`, both included.

    Keywords: out; and layout and pin_memory, which have no effect.

    >>> import fastdl
    >>> fastdl.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    if device is None and not keywords:
        array = plain_spaced(start, end, steps, numpy_dtype(dtype))
        if array is not None:
            return tensor_of(array, requires_grad)
    return _spaced("linspace", _even, start, end, steps, dtype, device, requires_grad, keywords)


def logspace(
    start, end, steps, base=10.0, *, dtype=None, device=None, requires_grad=False, **keywords
):
    """`base` to the powers `linspace(start, end, steps)`."""

    def powers(a, b, n):
        even = plain_spaced(a, b, n, _FLOAT64)
        return np.float64(number(base)) ** (np.linspace(a, b, n) if even is None else even)

    return _spaced("logspace", powers, start, end, steps, dtype, device, requires_grad, keywords)


def eye(n, m=None, *, dtype=None, device=None, requires_grad=False, **keywords):
    """Ones on the diagonal of an (n, m) matrix of zeros."""
    if device is None and not keywords:
        array = plain_eye(n, n if m is None else m, numpy_dtype(dtype))
        if array is not None:
            return tensor_of(array, requires_grad)
    for name, length in (("n", n), ("m", n if m is None else m)):
        if not hasattr(length, "__index__"):
            raise TypeError(f"eye(): argument {name!r} must be int, not {type(length).__name__}")
        if length < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {length}")
    size = (n, n if m is None else m)

    def make(shape, d):
        ones = np.zeros(shape, d)
        columns = shape[1]
        ones.reshape(-1)[: columns * columns : columns + 1] = 1
        return ones

    return filled("eye", make, (size,), dtype, device, requires_grad, keywords)


def result_type(tensor1, tensor2):
    """The dtype of what combines two tensors or numbers, such as their sum."""
    operands = [a.array if is_tensor(a) else a for a in (tensor1, tensor2)]
    return result_type_of(operands)


def _triangle(function, row, col, offset, lower, dtype, device, keywords):
    for name, length in (("row", row), ("col", col)):
        if length < 0:
            raise RuntimeError(f"{name} must be non-negative, got {length}")
    places = backends.cpu.KERNELS["triangle"](row, col, offset, lower)
    make = lambda shape, d: places.astype(d, copy=False)
    dtype = _dtype.int64 if dtype is None else dtype
    return filled(function, make, (places.shape,), dtype, device, False, keywords)


def tril_indices(row, col, offset=0, *, dtype=None, device=None, **keywords):
    """Rows and columns of the lower triangle of a (row, col) matrix: (2, count) int64."""
    return _triangle("tril_indices", row, col, offset, True, dtype, device, keywords)


def triu_indices(row, col, offset=0, *, dtype=None, device=None, **keywords):
    """Rows and columns of the upper triangle of a (row, col) matrix: (2, count) int64."""
    return _triangle("triu_indices", row, col, offset, False, dtype, device, keywords)
