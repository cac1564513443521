"""What stands between the brackets of x[...]: PyTorch's rules put in NumPy's terms, and its words
for what is wrong. No tensor is read or written here.
"""

import operator
import warnings

import numpy as np

from fastdl.ops.core import is_tensor

ALL = slice(None)


def plan(x, index):
    """(view, rest) for an array and an index: PyTorch's x[index] is NumPy's x[view][rest].

    view: a basic index, or Ellipsis where nothing is to be taken before `rest`. rest: a tuple of
    slices, None, Ellipsis and arrays (int64 places, bool masks), or None if the index is basic.
    PyTorch takes ints and None before arrays, NumPy counts ints among them, which moves dimensions
    (x[0, :, [0, 1]]): hence two steps.
    """
    items = _items(index)
    taken, ints, arrays, open_at = 0, False, False, -1
    for k, item in enumerate(items):
        if type(item) is int:
            taken += 1
            ints = True
        elif type(item) is slice:
            taken += 1
        elif isinstance(item, np.ndarray):
            taken += item.ndim if item.dtype.kind == "b" else 1
            arrays = True
            ints = ints or item.ndim == 0  # a bool scalar: a new dimension, and an index into it
        elif item is Ellipsis and open_at < 0:
            open_at = k
    if taken > x.ndim:
        if x.ndim == 0 and ints:
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` in Python to convert a 0-dim "
                "tensor to a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    if len(items) == 1 and arrays and not ints:
        _check_mask(x, items[0], 0)
        return ..., (items[0],)
    spare = [ALL] * (x.ndim - taken)
    if open_at < 0:
        items = [*items, *spare]
    else:
        after = [item for item in items[open_at + 1 :] if item is not Ellipsis]
        items = [*items[:open_at], *spare, *after]
    view, rest = _walked(x, items)
    if not arrays:
        return (*view, ...), None
    return (tuple(view), rest) if ints else (..., tuple(items))


def _walked(x, items):
    """The two indices of `plan` for items that name every dimension; checked."""
    view, rest, dim = [], [], 0
    for item in items:
        if item is None:
            view.append(None)
            rest.append(ALL)
        elif isinstance(item, np.ndarray):
            if item.ndim == 0:
                view.append(None)
                rest.append(np.zeros(int(item), np.int64))
                continue
            _check_mask(x, item, dim)
            count = item.ndim if item.dtype.kind == "b" else 1
            view += [ALL] * count
            rest.append(item)
            dim += count
        else:
            if type(item) is int and not -x.shape[dim] <= item < x.shape[dim]:
                raise IndexError(
                    f"index {item} is out of bounds for dimension {dim} with size {x.shape[dim]}"
                )
            view.append(item)
            if type(item) is slice:
                rest.append(ALL)
            dim += 1
    return view, tuple(rest)


def _check_mask(x, mask, dim):
    if mask.dtype.kind != "b":
        return
    for k, n in enumerate(mask.shape):
        if x.shape[dim + k] != n:
            raise IndexError(
                f"The shape of the mask {list(mask.shape)} at index {k} does not match the shape "
                f"of the indexed tensor {list(x.shape)} at index {dim + k}"
            )


def out_of_range(x, view, rest):
    """The IndexError for the place in the arrays of `rest` that x[view] does not have; None if
    there is none."""
    sizes = (x if view is ... else x[view]).shape
    dim, k = 0, 0
    for item in rest:
        if item is None:
            continue
        if not isinstance(item, np.ndarray):
            dim += 1
            continue
        if item.dtype.kind == "b":
            dim += item.ndim
            k += item.ndim
            continue
        n = sizes[dim]
        wrong = item[(item < -n) | (item >= n)]
        if wrong.size:
            return IndexError(
                f"index {wrong.flat[0]} is out of bounds for dimension {k} with size {n}"
            )
        dim += 1
        k += 1
    shapes = [list(i.shape) for i in rest if isinstance(i, np.ndarray)]
    if len(shapes) > 1:
        return IndexError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(map(str, shapes))
        )
    return None


def _items(index):
    """The index as a list of ints, slices, None, Ellipsis and arrays."""
    if type(index) is not tuple:
        if isinstance(index, (list, tuple)) and _stands_for_tuple(index):
            if isinstance(index, list):
                warnings.warn(
                    "Using a non-tuple sequence for multidimensional indexing is deprecated: use "
                    "x[tuple(seq)] instead of x[seq].",
                    stacklevel=4,
                )
        else:
            index = (index,)
    found = []
    for item in index:
        kind = type(item)
        if kind is slice:
            if not (
                (item.start is None or type(item.start) is int)
                and (item.stop is None or type(item.stop) is int)
                and item.step is None
            ):
                item = _plain_slice(item)
        elif kind is not int and item is not None and item is not Ellipsis:
            item = _plain_item(item)
        found.append(item)
    return found


def _stands_for_tuple(sequence):
    """Is x[[...]] read as x[(...)]? Short lists that hold more than numbers are, as in PyTorch."""
    return len(sequence) < 32 and any(
        item is None
        or item is Ellipsis
        or isinstance(item, (slice, list, tuple, np.ndarray))
        or (is_tensor(item) and item.array.ndim)
        or is_tensor(item)
        for item in sequence
    )


def _plain_item(item):
    """A tensor, sequence, array, bool or int-like of an index as an array or an int."""
    if is_tensor(item):
        return _plain_tensor(item.array)
    if isinstance(item, (bool, np.bool_)):
        return np.asarray(item, bool)
    if isinstance(item, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(item).__name__}'")
    if isinstance(item, (list, tuple, range)):
        return _plain_array(np.asarray(_numbers(item)))
    if isinstance(item, np.ndarray):
        return _plain_array(item)
    try:
        return _small(operator.index(item))
    except TypeError:
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
            f"valid indices (got {type(item).__name__})"
        ) from None


def _small(number):
    if not -(2**63) <= number < 2**63:
        raise ValueError("Overflow when unpacking long long")
    return number


def _numbers(sequence):
    """Nested sequences with tensors replaced by their values."""
    return [
        _numbers(item) if isinstance(item, (list, tuple, range))
        else item.item() if is_tensor(item) else item
        for item in sequence
    ]  # fmt: skip


def _plain_tensor(array):
    if array.dtype == np.uint8:
        return array.astype(bool)
    if array.dtype.kind == "i" and array.ndim == 0:
        return int(array)
    if array.dtype not in (np.bool_, np.int64, np.int32):
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return array


def _plain_array(array):
    """A NumPy array as an index: numbers become int64, as PyTorch makes them."""
    if array.dtype.kind in "OUSM":
        if array.dtype.kind == "O" and all(isinstance(v, int) for v in array.ravel().tolist()):
            raise ValueError("Overflow when unpacking long long")
        raise TypeError(f"can't convert an array of type {array.dtype} to an index")
    if array.dtype == np.uint8 or array.dtype.kind == "b":
        return array.astype(bool)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"can't convert an array of type {array.dtype} to an index")
    if array.ndim == 0:
        return int(array)
    return array.astype(np.int64, copy=False)


def _plain_slice(s):
    """A slice with plain ints; PyTorch has no negative steps."""
    if s.step is not None:
        if operator.index(s.step) == 0:
            raise ValueError("slice step cannot be zero")
        if operator.index(s.step) < 0:
            raise ValueError("step must be greater than zero")
    start, stop, step = [p if p is None else operator.index(p) for p in (s.start, s.stop, s.step)]
    return slice(start, stop, step)
