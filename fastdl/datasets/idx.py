"""IDX files, the format of MNIST: a header of big-endian numbers, then the array.

offset 0   2 bytes   zero
       2   1 byte    type of the elements (0x08: uint8, ...)
       3   1 byte    number of dimensions, d
       4   4*d       length of each dimension, uint32
   4+4*d   ...       the elements, last dimension fastest
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from fastdl.datasets.arrays import DatasetError

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path, ndim: int | None = None, dtype=None) -> np.ndarray:
    """Read an array from an IDX file, plain or gzip-compressed (told by its content).

    Args:
        path: the file.
        ndim: number of dimensions the array must have; default: any.
        dtype: NumPy dtype the array must have; default: any.

    Returns:
        The array, in native byte order.

    Raises:
        FileNotFoundError: there is no such file.
        DatasetError: the file is empty, truncated, too long, damaged, not an IDX file, or holds an
            array of other dimensions or type than asked for.
    """
    path = Path(path)
    with open(path, "rb") as raw:
        compressed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        try:
            with gzip.open(raw) if compressed else raw as file:
                return _parse(file, path, ndim, dtype)
        except EOFError:
            raise DatasetError(f"{path}: truncated: the gzip stream ends too early") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DatasetError(f"{path}: damaged gzip file ({error})") from None


def _parse(file, path: Path, ndim: int | None, dtype) -> np.ndarray:
    magic = file.read(4)
    if not magic:
        raise DatasetError(f"{path}: the file is empty")
    if len(magic) < 4:
        raise DatasetError(f"{path}: truncated: {len(magic)} bytes are too few for an IDX header")
    if magic[:2] != b"\0\0" or magic[2] not in DTYPES:
        raise DatasetError(
            f"{path}: not an IDX file: wrong magic number 0x{magic.hex()} "
            f"(images have 0x00000803, labels 0x00000801)"
        )
    found, dimensions = np.dtype(DTYPES[magic[2]]), magic[3]
    if (ndim is not None and dimensions != ndim) or (dtype is not None and found != dtype):
        expected = (
            f"{dimensions if ndim is None else ndim}-dimensional {np.dtype(dtype or found).name}"
        )
        raise DatasetError(
            f"{path}: holds a {dimensions}-dimensional {found.name} array (magic number "
            f"0x{magic.hex()}), expected {expected}: is it the right file of its set?"
        )
    header = file.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise DatasetError(f"{path}: truncated in the header, before its {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", header)
    size = math.prod(shape) * found.itemsize
    # In pieces, not read(size): a damaged header may promise more bytes than there is memory.
    pieces, left = [], size
    while left and (piece := file.read(min(left, 1 << 24))):
        pieces.append(piece)
        left -= len(piece)
    if left:
        raise DatasetError(
            f"{path}: truncated: shape {shape} needs {size:,} bytes of data, {size - left:,} found"
        )
    if file.read(1):
        raise DatasetError(f"{path}: there is more data than shape {shape} needs ({size:,} bytes)")
    array = np.frombuffer(b"".join(pieces), found).reshape(shape)
    return array.astype(found.newbyteorder("="))
