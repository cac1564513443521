"""Reading the files that ``torch.save`` writes, without running anything in them.

A ``.pt`` file is a zip archive of a pickle, ``data.pkl``, which describes the object, and the bytes
of each tensor storage (files from before PyTorch 1.6 hold the same parts one after the other).
A pickle is a program for a small stack machine; Python's own machine lets that program import and
call anything. The machine here, ``_Machine``, knows only the instructions that put together dicts,
lists, tuples, sets, numbers, strings and tensors. Names of the program are looked up as (module,
name) in one table, ``_allowed()``: an exact match or an error. What stands in it are functions of
this file, so nothing from elsewhere is imported or called, no attribute is fetched or set, and a
tensor is only ever a window within the bytes of its storage.
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np

from fastdl import _dtype
from fastdl.io.errors import CheckpointError
from fastdl.ops.creation import from_numpy

__all__ = ["is_pytorch_file", "read"]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of files before PyTorch 1.6
LEGACY_PROTOCOL = 1001


def is_pytorch_file(data: bytes) -> bool:
    """Do these bytes begin as a file of ``torch.save`` does (a zip archive or a pickle)?"""
    return data[:4] == b"PK\x03\x04" or data[:1] == b"\x80"


def read(data: bytes, name: str) -> Any:
    """The object in the bytes of a file that ``torch.save`` wrote.

    Args:
        data: the whole file.
        name: its name, for errors.

    Returns:
        Dicts, lists, tuples, sets, numbers, strings and Tensors, nested as they were. Tensors that
        shared a storage share their memory; a Parameter comes back as a Tensor with the same
        ``requires_grad``.

    Raises:
        CheckpointError: the file is truncated or altered, or holds something else, such as a
            pickled module; the message names it.
    """
    try:
        return _read_zip(data) if data[:1] == b"P" else _read_legacy(data)
    except CheckpointError as error:
        raise CheckpointError(f"load: {name!r}: {error}") from None
    except (
        ValueError,  # also UnicodeDecodeError, and what np.ndarray says of a window
        TypeError,  # an unhashable key, wrong operands
        KeyError,
        IndexError,
        AttributeError,
        OverflowError,
        EOFError,
        NotImplementedError,  # a zip feature
        MemoryError,
        struct.error,
        zipfile.BadZipFile,
    ) as error:
        raise CheckpointError(f"load: {name!r} is truncated or altered: {error!r}") from error


# ---- the two formats ----------------------------------------------------------------------------


def _read_zip(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        programs = [n for n in archive.namelist() if n.rpartition("/")[2] == "data.pkl"]
        if len(programs) != 1:
            raise CheckpointError(
                "a zip archive without data.pkl is no file of torch.save"
                + (" (TorchScript is not read)" if len(programs) > 1 else "")
            )
        folder = programs[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in archive.namelist():
            raise CheckpointError("a TorchScript archive holds code; save the state_dict() instead")
        order = "little"
        if f"{folder}byteorder" in archive.namelist():
            order = _bytes_of(archive, f"{folder}byteorder").decode("ascii")
        if order not in ("little", "big"):
            raise CheckpointError(f"its byte order is {order!r}")

        def storage(key, dtype, numel):
            raw = _bytes_of(archive, f"{folder}data/{key}")
            if len(raw) != numel * dtype.itemsize:
                raise CheckpointError(
                    f"storage {key} should have {numel} x {dtype.itemsize} bytes, but has "
                    f"{len(raw)}"
                )
            return _numbers(raw, dtype, order)

        return _Machine(storage).run(io.BytesIO(_bytes_of(archive, programs[0])))


def _bytes_of(archive, member):
    """A member of the archive; its checksum is compared on the way."""
    try:
        info = archive.getinfo(member)
    except KeyError:
        raise CheckpointError(f"its part {member!r} is missing") from None
    if info.compress_type != zipfile.ZIP_STORED:  # as torch.save writes; no decompression bombs
        raise CheckpointError(f"its part {member!r} is compressed, which torch.save never does")
    return archive.read(info)


def _numbers(raw, dtype, order):
    """A writable array of the numbers in some bytes."""
    numbers = np.frombuffer(raw, dtype).copy()
    return numbers.byteswap(inplace=True) if order == "big" else numbers


def _read_legacy(data):
    file = io.BytesIO(data)

    def nothing(key, dtype, numel):
        raise CheckpointError("it is a pickle, but no file of torch.save")

    if _Machine(nothing).run(file) != LEGACY_MAGIC:
        raise CheckpointError("it is a pickle, but no file of torch.save")
    protocol = _Machine(nothing).run(file)
    if protocol != LEGACY_PROTOCOL:
        raise CheckpointError(f"its protocol {protocol!r} is unknown")
    system = _Machine(nothing).run(file)
    order = "little" if system.get("little_endian", True) else "big"
    storages = {}

    def storage(key, dtype, numel):
        if not 0 <= numel * dtype.itemsize <= len(data):
            raise CheckpointError(f"storage {key} should have {numel} elements, more than the file")
        storages[key] = np.empty(numel, dtype)
        return storages[key]

    found = _Machine(storage).run(file)
    for key in _Machine(nothing).run(file):
        array = storages[key]
        (numel,) = struct.unpack("<q" if order == "little" else ">q", file.read(8))
        raw = file.read(array.nbytes)
        if numel != array.size or len(raw) != array.nbytes:
            raise CheckpointError(f"storage {key} is cut off")
        array[...] = _numbers(raw, array.dtype, order)
        storages.pop(key)
    if storages:
        raise CheckpointError(f"storages {sorted(storages)} are missing")
    return found


# ---- what a program may name --------------------------------------------------------------------


class _StorageType:
    """Stands for `torch.FloatStorage` and its like: the NumPy dtype of a storage's elements."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)


def _tensor(
    storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None, dtype=None
):
    """A tensor: a window of a storage, in elements."""
    if not isinstance(storage, np.ndarray):
        raise CheckpointError("a tensor without a storage")
    size, stride = _whole_numbers(size), _whole_numbers(stride)
    (offset,) = _whole_numbers((offset,))
    if dtype is not None:
        storage = storage.view(_dtype.as_numpy(dtype))
    if len(size) != len(stride):
        raise CheckpointError(f"a tensor of sizes {size} with strides {stride}")
    reach = offset + sum((n - 1) * step for n, step in zip(size, stride)) if all(size) else offset
    if reach >= storage.size and all(size):
        raise CheckpointError(
            f"a tensor of sizes {size}, strides {stride} and offset {offset} reaches beyond its "
            f"storage of {storage.size} elements"
        )
    step = storage.itemsize
    start = min(offset, storage.size) * step if all(size) else 0
    array = np.ndarray(size, storage.dtype, storage, start, [n * step for n in stride])
    flags = metadata if isinstance(metadata, dict) else {}
    if flags.get("conj"):
        array = array.conj()
    if flags.get("neg"):
        array = -array
    tensor = from_numpy(array)
    return tensor.requires_grad_() if requires_grad is True else tensor


def _tensor_with_dtype(storage, offset, size, stride, requires_grad, hooks, dtype, metadata=None):
    """A tensor whose storage is bytes."""
    return _tensor(storage, offset, size, stride, requires_grad, hooks, metadata, dtype)


def _parameter(data, requires_grad, hooks=None):
    return data.detach().requires_grad_() if requires_grad is True else data


def _whole_numbers(values):
    """The values as a tuple, all of them whole numbers from 0 to 2^62."""
    values = tuple(values)
    if not all(type(v) is int and 0 <= v < 2**62 for v in values):
        raise CheckpointError(f"sizes, strides and offsets must be whole numbers, not {values}")
    return values


def _encode(text, encoding):
    """Bytes, as old pickles write them: text in Latin-1."""
    if encoding != "latin1":
        raise CheckpointError(f"bytes encoded as {encoding!r}")
    return text.encode("latin-1")


def _allowed():
    """{(module, name): what it stands for here} for every name that a file may use."""
    types = {"Float": "float32", "Double": "float64", "Half": "float16", "Bool": "bool",
             "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
             "ComplexFloat": "complex64", "ComplexDouble": "complex128"}  # fmt: skip
    found = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor"): _tensor,  # before PyTorch 0.4
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch._utils", "_rebuild_tensor_v3"): _tensor_with_dtype,
        ("torch._utils", "_rebuild_parameter"): _parameter,
        ("torch", "Size"): _dtype.Size,
        ("torch", "device"): _dtype.device,
        ("_codecs", "encode"): _encode,
        ("torch.storage", "UntypedStorage"): _StorageType("uint8"),
    }
    for builtins in ("builtins", "__builtin__"):
        found |= {(builtins, "set"): set, (builtins, "frozenset"): frozenset}
    for name, dtype in types.items():
        found["torch", f"{name}Storage"] = _StorageType(dtype)
    for name in dir(_dtype):
        if isinstance(value := getattr(_dtype, name), _dtype.dtype):
            found["torch", value.name] = value
    return found


# ---- the stack machine --------------------------------------------------------------------------

_MARK = object()
_PLAIN = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_CONSTANTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_STORE = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_FETCH = {"GET", "BINGET", "LONG_BINGET"}
_CALLED = (_tensor, _tensor_with_dtype, _parameter, _encode, _dtype.Size, _dtype.device, set,
           frozenset, OrderedDict)  # fmt: skip


class _Machine:
    """Runs one pickle; `storage(key, dtype, numel)` gives the numbers of a storage."""

    def __init__(self, storage):
        self.storage, self.storages = storage, {}
        self.stack, self.memo = [], {}
        self.allowed = _allowed()

    def run(self, file):
        """The object that the pickle at the file's position describes."""
        for opcode, argument, _ in pickletools.genops(file):
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _CONSTANTS:
                self.stack.append(argument)
            elif name in _PLAIN:
                self.stack.append(_PLAIN[name])
            elif name in _EMPTY:
                self.stack.append(_EMPTY[name]())
            elif name in _SHORT_TUPLES:
                count = _SHORT_TUPLES[name]
                self.stack[-count:] = [tuple(self.stack[-count:])]
            elif name in _STORE:
                self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
            elif name in _FETCH:
                self.stack.append(self.memo[argument])
            elif name not in ("PROTO", "FRAME"):
                step = getattr(self, f"do_{name.lower()}", None)
                if step is None:
                    raise CheckpointError(f"it uses the pickle instruction {name}; only values "
                                          "and tensors are read")  # fmt: skip
                step(argument)
        raise CheckpointError("its pickle has no end")

    def to_mark(self):
        """What was pushed since the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def do_mark(self, _):
        self.stack.append(_MARK)

    def do_pop(self, _):
        self.stack.pop()

    def do_tuple(self, _):
        self.stack.append(tuple(self.to_mark()))

    def do_list(self, _):
        self.stack.append(self.to_mark())

    def do_dict(self, _):
        items = self.to_mark()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def do_frozenset(self, _):
        self.stack.append(frozenset(self.to_mark()))

    def collection(self, kind):
        """The dict, list or set on top of the stack."""
        if not isinstance(self.stack[-1], kind):
            raise CheckpointError(f"items for a {kind.__name__} that is none")
        return self.stack[-1]

    def do_setitem(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self.collection(dict)[key] = value

    def do_setitems(self, _):
        items = self.to_mark()
        self.collection(dict).update(zip(items[::2], items[1::2], strict=True))

    def do_append(self, _):
        value = self.stack.pop()
        self.collection(list).append(value)

    def do_appends(self, _):
        values = self.to_mark()
        self.collection(list).extend(values)

    def do_additems(self, _):
        values = self.to_mark()
        self.collection(set).update(values)

    def do_global(self, argument):
        self.name(*argument.split(" ", 1))

    def do_stack_global(self, _):
        name, module = self.stack.pop(), self.stack.pop()
        self.name(module, name)

    def name(self, module, name):
        if (module, name) == ("torch", "BFloat16Storage"):
            self.stack.append(_StorageType(_dtype.as_numpy(_dtype.bfloat16)))
        elif (module, name) in self.allowed:
            self.stack.append(self.allowed[module, name])
        else:
            raise CheckpointError(
                f"it names {module}.{name}, which is no tensor, number or container. Only weights "
                "are read, never code: save the state_dict() of a model, not the model itself"
            )

    def do_reduce(self, _):
        arguments, function = self.stack.pop(), self.stack.pop()
        if not any(function is f for f in _CALLED) or not isinstance(arguments, tuple):
            raise CheckpointError("it calls something that is no function of its format")
        self.stack.append(function(*arguments))

    def do_build(self, _):
        """The attributes of a state_dict (`_metadata`, versions of its modules) are dropped."""
        self.stack.pop()
        self.collection(OrderedDict)

    def do_binpersid(self, _):
        reference = self.stack.pop()
        if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
            raise CheckpointError(f"it refers to {reference!r}, which is no storage")
        _, kind, key, _, numel = reference[:5]
        if not isinstance(kind, _StorageType) or type(numel) is not int or numel < 0:
            raise CheckpointError(f"storage {key!r} has no type or size")
        if not isinstance(key, str):
            raise CheckpointError(f"a storage is named {key!r}")
        if key not in self.storages:
            self.storages[key] = self.storage(key, kind.dtype, numel)
        if self.storages[key].dtype != kind.dtype:
            raise CheckpointError(f"storage {key} has two types")
        self.stack.append(self.storages[key])
