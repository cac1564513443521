"""Making tensors: from data, filled, ranges."""

import numpy as np

from fastdl import _dtype
from fastdl._engine import TensorBase, tensor_of
from fastdl.ops.core import (
    check_range,
    dtype_of_number,
    is_tensor,
    legacy_name,
    result_type_of,
    sizes,
)
from fastdl.ops.elementwise import cast


def _checked_device(device):
    """CPU only for now: 'cuda' raises."""
    if device is None:
        return
    if _dtype.device(device).type != "cpu":
        raise RuntimeError(
            f"device {str(device)!r} is not available: this build of fastdl runs on the CPU"
        )


def _leaf_of(data):
    """The first number or array in nested sequences."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return data


def _plain(data):
    """Nested sequences with tensors replaced by their arrays."""
    if isinstance(data, TensorBase):
        return data.array
    if isinstance(data, (list, tuple)):
        return [_plain(d) for d in data]
    return data


def _array_of(data, dtype):
    """A NumPy array for whatever `tensor` accepts, in PyTorch's dtype; may share memory."""
    numbers = isinstance(data, (list, tuple, int, float, complex))
    if isinstance(data, TensorBase):
        data = data.array
    elif isinstance(data, (list, tuple)):
        leaf = _leaf_of(data)
        try:
            data = np.asarray(_plain(data))
        except OverflowError:
            raise ValueError("Overflow when unpacking long long") from None
        except ValueError:
            raise ValueError(
                "tensor: expected nested sequences of equal lengths, got rows of different lengths"
            ) from None
        if data.dtype.kind not in "fiubcV":
            raise TypeError(f"new(): invalid data type '{type(leaf).__name__}'")
        if dtype is None and (_dtype.is_inexact(data.dtype) or data.size == 0):
            typed = isinstance(leaf, (TensorBase, np.generic, np.ndarray)) and leaf.dtype
            # Python floats give the default; one typed number decides for all
            if not typed or not _dtype.is_inexact(_dtype.as_numpy(typed)):
                typed = _dtype.get_default_dtype()
            dtype = _dtype.of(_dtype.as_numpy(typed))
            if data.dtype.kind == "c":
                dtype = dtype.to_complex()
    elif isinstance(data, (bool, int, float, complex)) and not isinstance(data, np.generic):
        if dtype is None:
            dtype = dtype_of_number(data)
    elif hasattr(data, "__array_interface__") or hasattr(data, "__array__"):
        data = np.asarray(data)
    elif isinstance(data, range):
        data = np.asarray(data, np.int64)
    elif (
        hasattr(data, "__len__")
        and hasattr(data, "__getitem__")
        and not isinstance(data, (str, bytes))
    ):
        return _array_of(list(data), dtype)
    elif isinstance(data, (str, bytes, dict)):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    elif not isinstance(data, np.generic):
        raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    if dtype is None:
        array = np.asarray(data)
    else:
        array = _cast(np.asarray(data), _dtype.as_numpy(dtype), numbers)
    _dtype.of(array.dtype)
    return array


def _cast(array, dtype, numbers):
    """`array` as `dtype`; Python `numbers` must have a place there."""
    if array.dtype == dtype:
        return array
    if numbers and array.dtype.kind == "c" and dtype.kind != "c":
        raise TypeError("must be real number, not complex")
    if numbers and array.size and dtype.kind in "iu" and array.dtype.kind in "iuf":
        check_range(array.min(), array.max(), dtype)
    return cast.forward(array, dtype=dtype)


def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A tensor with a copy of `data`: number, nested lists, NumPy array or tensor.

    dtype None: Python floats give the default dtype, ints int64, arrays keep theirs.
    """
    _checked_device(device)
    array = np.array(_array_of(data, dtype), order="C")
    return tensor_of(array, requires_grad)


def as_tensor(data, dtype=None, device=None):
    """Like `tensor`, sharing memory with `data` (array or tensor) where its dtype already fits."""
    _checked_device(device)
    if isinstance(data, TensorBase):
        return data if dtype is None else data.to(dtype)
    return tensor_of(_array_of(data, dtype))


asarray = as_tensor


def from_numpy(ndarray):
    """A tensor on the memory of a NumPy array: changes show on both sides."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    _dtype.of(ndarray.dtype)
    return tensor_of(ndarray)


def frombuffer(buffer, *, dtype, count=-1, offset=0):
    """A 1-d tensor on the memory of a buffer."""
    return tensor_of(np.frombuffer(buffer, _dtype.as_numpy(dtype), count, offset))


def _filled(function, make, size, dtype, device, requires_grad, keywords):
    if "size" in keywords:
        size = (keywords.pop("size"),)
    keywords.pop("layout", None), keywords.pop("pin_memory", None), keywords.pop("names", None)
    if keywords:
        raise TypeError(f"{function}() got an unexpected keyword argument {next(iter(keywords))!r}")
    _checked_device(device)
    dtype = _dtype.get_default_dtype() if dtype is None else dtype
    shape = sizes(function, size)
    if any(n < 0 for n in shape):
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}"
        )
    return tensor_of(make(shape, _dtype.as_numpy(dtype)), requires_grad)


def zeros(*size, dtype=None, device=None, requires_grad=False, **keywords):
    """Zeros of shape `size`: `zeros(2, 3)` or `zeros((2, 3))`."""
    return _filled("zeros", np.zeros, size, dtype, device, requires_grad, keywords)


def ones(*size, dtype=None, device=None, requires_grad=False, **keywords):
    """Ones of shape `size`."""
    return _filled("ones", np.ones, size, dtype, device, requires_grad, keywords)


def empty(*size, dtype=None, device=None, requires_grad=False, **keywords):
    """A tensor of shape `size` with whatever the memory held."""
    return _filled("empty", np.empty, size, dtype, device, requires_grad, keywords)


def full(size, fill_value, *, dtype=None, device=None, requires_grad=False):
    """`fill_value` in every place of shape `size`; the dtype follows the value."""
    value = fill_value.item() if is_tensor(fill_value) else fill_value
    dtype = dtype_of_number(value) if dtype is None else dtype
    make = lambda shape, d: np.full(shape, _cast(np.asarray(value), d, True), d)
    size = (size,) if isinstance(size, int) else size
    return _filled("full", make, (size,), dtype, device, requires_grad, {})


def _like(make):
    def like(input, *, dtype=None, device=None, requires_grad=False, memory_format=None):
        _checked_device(device)
        dtype = input.array.dtype if dtype is None else _dtype.as_numpy(dtype)
        return tensor_of(make(input.array.shape, dtype), requires_grad)

    like.__name__ = like.__qualname__ = f"{make.__name__}_like"
    like.__doc__ = f"`{make.__name__}` with the shape and dtype of `input`."
    return like


zeros_like = _like(np.zeros)
ones_like = _like(np.ones)
empty_like = _like(np.empty)


def full_like(input, fill_value, *, dtype=None, device=None, requires_grad=False):
    """`full` with the shape and dtype of `input`."""
    dtype = input.array.dtype if dtype is None else dtype
    return full(
        input.array.shape, fill_value, dtype=dtype, device=device, requires_grad=requires_grad
    )


def _number(value):
    return value.item() if is_tensor(value) or isinstance(value, np.generic) else value


def arange(start, end=None, step=1, *, dtype=None, device=None, requires_grad=False):
    """start, start + step, ... below `end`, from 0 without `start`; int64 unless one is a float."""
    _checked_device(device)
    start, end, step = _number(start), _number(end), _number(step)
    if dtype is not None and _dtype.as_numpy(dtype).kind == "c":
        name = legacy_name(_dtype.as_numpy(dtype))
        raise NotImplementedError(f'"arange_cpu" not implemented for {name!r}')
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) / step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype is None:
        whole = all(isinstance(v, int) for v in (start, end, step))
        dtype = _dtype.int64 if whole else _dtype.get_default_dtype()
    return tensor_of(
        np.arange(start, end, step).astype(_dtype.as_numpy(dtype), copy=False), requires_grad
    )


def range_inclusive(start, end, step=1, **options):
    """`arange` with `end` included, floating point: PyTorch's deprecated `range`."""
    options.setdefault("dtype", _dtype.get_default_dtype())
    return arange(start, end + step / 2, step, **options)


def linspace(start, end, steps, *, dtype=None, device=None, requires_grad=False):
    """`steps` evenly spaced numbers from `start` to `end`, both included."""
    _checked_device(device)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    dtype = _dtype.as_numpy(_dtype.get_default_dtype() if dtype is None else dtype)
    return tensor_of(np.linspace(_number(start), _number(end), steps, dtype=dtype), requires_grad)


def logspace(start, end, steps, base=10.0, *, dtype=None, device=None, requires_grad=False):
    """`base` to the powers `linspace(start, end, steps)`."""
    _checked_device(device)
    dtype = _dtype.as_numpy(_dtype.get_default_dtype() if dtype is None else dtype)
    return tensor_of(np.logspace(start, end, steps, base=base, dtype=dtype), requires_grad)


def eye(n, m=None, *, dtype=None, device=None, requires_grad=False):
    """Ones on the diagonal of an (n, m) matrix of zeros."""
    _checked_device(device)
    dtype = _dtype.as_numpy(_dtype.get_default_dtype() if dtype is None else dtype)
    return tensor_of(np.eye(n, m, dtype=dtype), requires_grad)


def result_type(tensor1, tensor2):
    """The dtype of what combines two tensors or numbers, such as their sum."""
    operands = [a.array if is_tensor(a) else a for a in (tensor1, tensor2)]
    return result_type_of(operands)


def tril_indices(row, col, offset=0, *, dtype=None, device=None):
    """Rows and columns of the lower triangle of a (row, col) matrix: (2, count) int64."""
    return tensor_of(
        np.stack(np.tril_indices(row, offset, col)).astype(_dtype.as_numpy(dtype or np.int64))
    )


def triu_indices(row, col, offset=0, *, dtype=None, device=None):
    """Rows and columns of the upper triangle of a (row, col) matrix: (2, count) int64."""
    return tensor_of(
        np.stack(np.triu_indices(row, offset, col)).astype(_dtype.as_numpy(dtype or np.int64))
    )
