"""Checkpoints as safetensors files: arrays and numbers, never code.

A checkpoint is any nesting of dicts, lists and tuples of Tensors, NumPy arrays, numbers, strings,
booleans and None: a model's ``state_dict()``, an optimizer's, or both in one dict. Arrays become
the tensors of the file, named by their path (a flat ``state_dict`` keeps its own keys, so other
programs read it as such); everything else goes into the file's metadata as JSON. Reading a file
can therefore only ever give such values back: nothing is unpickled and nothing is executed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastdl import _dtype
from fastdl.io import numpy_file, pytorch_file
from fastdl.io.errors import CheckpointError
from fastdl.io.files import write_whole
from fastdl.ops.creation import as_tensor
from fastdl.tensor import Tensor

__all__ = ["CheckpointError", "load", "save"]

STRUCTURE = "fastdl.structure"  # the metadata key of the JSON text
HEADER_LENGTH_BYTES = 8
HEADER_LIMIT = 100_000_000  # safetensors' own bound on the JSON header


def _safetensors():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "fastdl.save and fastdl.load need the safetensors package: "
            'pip install "fastdl[demo]" (or pip install safetensors)'
        ) from error
    return safetensors


# ------------------------------------------------------------------------------------- structure
#
# JSON has neither tuples nor integer keys nor NaN-safe numbers beyond its own, so the structure is
# written with one-letter tags: {"t": name} tensor, {"a": name} array, {"l": [...]} list,
# {"u": [...]} tuple, {"d": [[key, value], ...]} dict; plain values stand for themselves.


# safetensors' names of dtypes, and ours; bfloat16 needs the ml_dtypes package.
_SAVED = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32",
    "I32": "int32", "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16",
    "F32": "float32", "F64": "float64", "C64": "complex64",
}  # fmt: skip


def _by_name(name: str) -> _dtype.dtype:
    """The dtype that safetensors calls `name`."""
    if name not in _SAVED:
        raise CheckpointError(f"numbers of type {name} cannot be read")
    return getattr(_dtype, _SAVED[name] if name != "BOOL" else "bool_")


def _pack(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, Tensor | np.ndarray | np.generic):
        array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
        if array.dtype.name not in _SAVED.values():
            raise TypeError(
                f"save: {path or 'the object'} has unsupported dtype {array.dtype}; safetensors "
                f"files hold {', '.join(_SAVED.values())}"
            )
        name = path or "tensor"
        while name in arrays:
            name += "'"
        arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
        return {"t" if isinstance(value, Tensor) else "a": name}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    inside = f"{path}." if path else ""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise TypeError(
                    f"save: keys must be strings or integers, but {path or 'the object'} has "
                    f"{key!r}"
                )
        return {"d": [[k, _pack(v, f"{inside}{k}", arrays)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        packed = [_pack(v, f"{inside}{i}", arrays) for i, v in enumerate(value)]
        return {"l" if isinstance(value, list) else "u": packed}
    raise TypeError(
        f"save: cannot save a {type(value).__name__} (at {path or 'the top'}); a checkpoint holds "
        "tensors, arrays, numbers, strings, None, and dicts, lists and tuples of them. For a "
        "model or an optimizer, save its state_dict()."
    )


def _unpack(packed: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(packed, dict):
        return packed
    ((tag, value),) = packed.items()
    if tag == "t":
        return as_tensor(arrays[value])
    if tag == "a":
        return arrays[value]
    if tag == "d":
        return {key: _unpack(item, arrays) for key, item in value}
    items = [_unpack(item, arrays) for item in value]
    return tuple(items) if tag == "u" else items


# ------------------------------------------------------------------------------------------ files


def save(obj: Any, f: str | os.PathLike | Any) -> None:
    """Writes a checkpoint; a reader finds the old file or the new one, never half of one.

    Args:
        obj: dicts, lists and tuples of Tensors, arrays, numbers, strings and None, nested.
        f: a path, or a file opened for writing bytes.

    Raises:
        TypeError: `obj` holds something else; say ``save(model.state_dict(), f)`` for a model.
        ImportError: the safetensors package is missing.
        OSError: the file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    packed = _pack(obj, "", arrays)
    metadata = {"format": "pt", STRUCTURE: json.dumps(packed)}
    parts = _in_order(_safetensors().numpy.save(arrays, metadata=metadata))
    if hasattr(f, "write"):
        for part in parts:
            f.write(part)
    else:
        write_whole(f, *parts)


def _in_order(data: bytes) -> tuple[bytes, memoryview]:
    """The header and the rest of a safetensors file, with the metadata in order: the library leaves
    it to chance, and equal contents shall make equal files."""
    start = HEADER_LENGTH_BYTES + int.from_bytes(data[:HEADER_LENGTH_BYTES], "little")
    header = json.loads(data[HEADER_LENGTH_BYTES:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % HEADER_LENGTH_BYTES)
    return len(text).to_bytes(HEADER_LENGTH_BYTES, "little") + text, memoryview(data)[start:]


def load(
    f: str | os.PathLike | Any, map_location=None, *, weights_only: bool = True, mmap=None
) -> Any:
    """Reads what :func:`save` wrote, any safetensors file as a dict of Tensors, the weights in a
    file of PyTorch's ``torch.save`` (a ``state_dict()``, a checkpoint of an optimizer), or NumPy's
    ``.npz`` (a dict of Tensors) and ``.npy`` (a Tensor; arrays of strings stay arrays).

    Args:
        f: a path, a file opened for reading bytes, or the bytes themselves.
        map_location: ``"cpu"`` or a device; tensors are read to the CPU.
        weights_only: accepted for PyTorch's programs; nothing but weights, numbers, strings and
            containers of them is ever read, and nothing in a file is executed.
        mmap: accepted for PyTorch's programs, without effect.

    Returns:
        The object that was saved; Tensors and arrays own their memory.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is empty, truncated or altered, of none of these kinds, or holds
            more than weights (a pickled model, an array of objects); the message names it.
        ImportError: the safetensors package is missing.
    """
    if isinstance(f, bytes | bytearray | memoryview):
        name, data = "the bytes", bytes(f)
    elif hasattr(f, "read"):
        name, data = getattr(f, "name", "the file object"), f.read()
        if not isinstance(data, bytes):
            raise TypeError("load: expected a file opened for reading bytes (mode 'rb')")
    else:
        name = os.fspath(f)
        try:
            with open(name, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            raise FileNotFoundError(f"load: there is no file {name!r}") from None
        except IsADirectoryError:
            raise CheckpointError(f"load: {name!r} is a folder, not a checkpoint") from None
    # A safetensors header of 128, 384, ... bytes begins with the byte that a pickle begins with.
    is_header = data[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + 1] == b"{"
    if not is_header and numpy_file.is_numpy_file(data):
        return numpy_file.read(data, name)
    if not is_header and pytorch_file.is_pytorch_file(data):
        return pytorch_file.read(data, name)
    header = _read_header(name, data)
    library = _safetensors()
    try:
        arrays = {
            key: np.frombuffer(found["data"], _dtype.as_numpy(_by_name(found["dtype"]))).reshape(
                found["shape"]
            )
            for key, found in library.deserialize(data)
        }
    except Exception as error:
        raise CheckpointError(f"load: {name!r} is damaged: {error}") from error
    structure = header.get("__metadata__", {}).get(STRUCTURE)
    if structure is None:
        return {key: as_tensor(array) for key, array in arrays.items()}
    try:
        return _unpack(json.loads(structure), arrays)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"load: the description of the contents of {name!r} is damaged: {error!r}"
        ) from error


def _read_header(name: str, data: bytes) -> dict[str, Any]:
    """The JSON header of a safetensors file, checked against the file's length."""
    if not data:
        raise CheckpointError(f"load: {name!r} is empty")
    if len(data) < HEADER_LENGTH_BYTES:
        raise CheckpointError(f"load: {name!r} is truncated: only {len(data)} bytes")
    length = int.from_bytes(data[:HEADER_LENGTH_BYTES], "little")
    start = HEADER_LENGTH_BYTES + length
    if length > HEADER_LIMIT or data[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + 1] not in b"{":
        raise CheckpointError(f"load: {name!r} is not a safetensors file")
    if len(data) < start:
        raise CheckpointError(
            f"load: {name!r} is truncated: its header needs {start} bytes, the file has {len(data)}"
        )
    try:
        header = json.loads(data[HEADER_LENGTH_BYTES:start])
        ends = [v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"]
        needed = start + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise CheckpointError(f"load: {name!r} is not a safetensors file: {error!r}") from error
    if len(data) < needed:
        raise CheckpointError(
            f"load: {name!r} is truncated: it should have {needed} bytes, but has {len(data)}"
        )
    return header
