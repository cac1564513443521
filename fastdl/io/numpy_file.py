"""Reading the files of ``numpy.save`` and ``numpy.savez``; arrays of Python objects are refused."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np

from fastdl.io.errors import CheckpointError
from fastdl.ops.creation import as_tensor

__all__ = ["is_numpy_file", "read"]

MAGIC = b"\x93NUMPY"  # of .npy, and of each part of .npz


def is_numpy_file(data: bytes) -> bool:
    """Are these the bytes of an ``.npy`` file, or of a zip archive of nothing but such files?"""
    if data.startswith(MAGIC):
        return True
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def read(data: bytes, name: str) -> Any:
    """The array in an ``.npy`` file, or a dict of those in an ``.npz`` file.

    Args:
        data: the whole file.
        name: its name, for errors.

    Returns:
        Tensors; arrays of strings and dates, of which there are no Tensors, as NumPy arrays.

    Raises:
        CheckpointError: the file is truncated or altered, or holds an array of Python objects:
            these are pickles, and reading one runs what is in it.
    """
    try:
        if data.startswith(MAGIC):
            return _read_array(data)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {
                part.filename.removesuffix(".npy"): _read_array(_bytes_of(archive, part))
                for part in archive.infolist()
            }
    except (
        ValueError,  # what NumPy says of a wrong header, of too few numbers and of objects
        TypeError,
        EOFError,
        SyntaxError,
        tokenize.TokenError,
        MemoryError,
        NotImplementedError,
        struct.error,
        RuntimeError,  # an encrypted part
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise CheckpointError(f"load: {name!r} is damaged or holds objects: {error}") from error


def _bytes_of(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bytes:
    """A part of the archive; its checksum is compared on the way."""
    if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # what NumPy writes
        raise ValueError(f"{part.filename!r} is compressed in a way that NumPy does not use")
    return archive.read(part)


def _read_array(data: bytes) -> Any:
    file = io.BytesIO(data)
    array = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):
        raise ValueError("there are bytes after the array")
    if array.dtype.kind not in "biufc":
        return array
    native = array.dtype.newbyteorder("=")
    return as_tensor(np.ascontiguousarray(array, native).reshape(array.shape))
