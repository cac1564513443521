"""Number types, devices and sizes with PyTorch's names: `fastdl.float32`, `fastdl.device`,
`fastdl.Size`.
"""

import functools
import math
import operator

import numpy as np


class dtype:
    """A number type. NumPy's are taken wherever one of these is, and np.dtype() takes these."""

    __slots__ = ("dtype", "name")

    def __init__(self, name):
        self.name = name
        self.dtype = np.dtype(name)

    @property
    def is_floating_point(self):
        """True for float16, float32 and float64."""
        return self.dtype.kind == "f"

    @property
    def is_complex(self):
        """False: fastdl has no complex types."""
        return False

    @property
    def is_signed(self):
        """True for types that hold negative values."""
        return self.dtype.kind in "fi"

    @property
    def itemsize(self):
        """Bytes of one element."""
        return self.dtype.itemsize

    def __repr__(self):
        return f"fastdl.{self.name}"

    def __reduce__(self):
        return _by_name, (self.name,)


float16 = dtype("float16")
float32 = dtype("float32")
float64 = dtype("float64")
int8 = dtype("int8")
int16 = dtype("int16")
int32 = dtype("int32")
int64 = dtype("int64")
uint8 = dtype("uint8")
bool_ = dtype("bool")

# Names that `Tensor.type()` and the old constructors use.
LEGACY = {
    "HalfTensor": float16,
    "FloatTensor": float32,
    "DoubleTensor": float64,
    "CharTensor": int8,
    "ShortTensor": int16,
    "IntTensor": int32,
    "LongTensor": int64,
    "ByteTensor": uint8,
    "BoolTensor": bool_,
}
_OF_NUMPY = {d.dtype: d for d in LEGACY.values()}
_OF_PYTHON = {float: float64, int: int64, bool: bool_}
_default = float32


def _by_name(name):
    return _OF_NUMPY[np.dtype(name)]


def get_default_dtype():
    """The dtype of `tensor([1.0])`, `zeros(3)` and `tensor(1) / 2`: float32 at first."""
    return _default


def set_default_dtype(d):
    """Make `d`, a floating point dtype, the default."""
    global _default
    new = of(as_numpy(d))
    if not new.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d}")
    _default = new


def of(numpy_dtype):
    """The fastdl dtype of a NumPy dtype; TypeError if tensors cannot have it."""
    found = _OF_NUMPY.get(numpy_dtype)
    if found is None:
        raise TypeError(
            f"can't convert an array of type {numpy_dtype}: the only supported types are "
            f"{', '.join(d.name for d in LEGACY.values())}"
        )
    return found


def as_numpy(d):
    """NumPy's dtype for a fastdl dtype, a NumPy one, or Python's float, int or bool."""
    if isinstance(d, dtype):
        return d.dtype
    if isinstance(d, type) and d in _OF_PYTHON:
        return _OF_PYTHON[d].dtype
    try:
        return of(np.dtype(d)).dtype
    except TypeError:
        raise TypeError(f"dtype: expected a fastdl or NumPy dtype, got {d!r}") from None


class finfo:
    """Limits of a floating point dtype: bits, eps, max, min, tiny, resolution."""

    def __init__(self, type=None):
        self.dtype = get_default_dtype() if type is None else of(as_numpy(type))
        if not self.dtype.is_floating_point:
            raise TypeError(f"finfo: expected a floating point dtype, got {self.dtype}; use iinfo")
        limits = np.finfo(self.dtype.dtype)
        self.bits = limits.bits
        for name in ("eps", "max", "min", "tiny", "resolution"):
            setattr(self, name, float(getattr(limits, name)))
        self.smallest_normal = self.tiny

    def __repr__(self):
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, tiny={self.tiny:g}, dtype={self.dtype.name})"
        )


class iinfo:
    """Limits of an integer dtype: bits, min, max."""

    def __init__(self, type):
        self.dtype = of(as_numpy(type))
        if self.dtype.is_floating_point or self.dtype is bool_:
            raise TypeError(f"iinfo: expected an integer dtype, got {self.dtype}")
        limits = np.iinfo(self.dtype.dtype)
        self.bits, self.min, self.max = limits.bits, int(limits.min), int(limits.max)

    def __repr__(self):
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype.name})"


_DEVICE_TYPES = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia",
    "xla", "lazy", "vulkan", "mps", "meta", "hpu", "mtia", "privateuseone",
)  # fmt: skip


class device:
    """Where an array lives: `device("cpu")`, `device("cuda", 0)`, `device("cuda:1")`.

    Every device that PyTorch knows has a name; tensors can be made on the CPU only. As a context
    manager it sets the default device, which changes nothing while there is one.
    """

    __slots__ = ("index", "type")

    def __init__(self, type, index=None):
        if isinstance(type, device):
            type, index = type.type, type.index
        elif isinstance(type, int) and not isinstance(type, bool):
            type, index = "cuda", type
        elif isinstance(type, str):
            type, index = self._parsed(type, index)
        else:
            raise TypeError(
                f"device(): argument 'type' (position 1) must be str, not {type.__class__.__name__}"
            )
        if index is not None and index < 0:
            raise RuntimeError("Device index must not be negative")
        self.type = type
        self.index = index

    @staticmethod
    def _parsed(text, index):
        if not text:
            raise RuntimeError("Device string must not be empty")
        kind, colon, number = text.partition(":")
        if kind not in _DEVICE_TYPES:
            raise RuntimeError(
                f"Expected one of {', '.join(_DEVICE_TYPES)} device type at start of device "
                f"string: {text}"
            )
        if not colon:
            return kind, index
        if not (number.isascii() and number.isdigit()) or str(int(number)) != number:
            raise RuntimeError(f"Invalid device string: '{text}'")
        if index is not None:
            raise RuntimeError(
                "type (string) must not include an index because index was passed explicitly: "
                f"{text}"
            )
        return kind, int(number)

    def __enter__(self):
        if self.type != "cpu":
            raise RuntimeError(
                f"device {str(self)!r} is not available: this build of fastdl runs on the CPU"
            )
        return self

    def __exit__(self, *exception):
        return None

    def __eq__(self, other):
        if not isinstance(other, device):
            return NotImplemented
        return (self.type, self.index) == (other.type, other.index)

    def __hash__(self):
        return hash((self.type, self.index))

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self):
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __reduce__(self):
        return device, (self.type, self.index)


CPU = device("cpu")


_NAMED = {}  # (class, name) -> the one object


class _Named:
    """One of a few named values, the same object wherever it comes from."""

    __slots__ = ("name",)

    def __new__(cls, name):
        found = _NAMED.get((cls, name))
        if found is None:
            found = _NAMED[cls, name] = object.__new__(cls)
            found.name = name
        return found

    def __repr__(self):
        return f"fastdl.{self.name}"

    def __reduce__(self):
        return type(self), (self.name,)


class layout(_Named):
    """How a tensor keeps its elements: `strided` (an array) or `sparse_coo` (a list of places)."""

    __slots__ = ()


class memory_format(_Named):
    """The order of dimensions in memory, which functions take for `memory_format`."""

    __slots__ = ()


strided = layout("strided")
sparse_coo = layout("sparse_coo")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")


class Size(tuple):
    """Lengths of the dimensions of a tensor: a tuple of ints with `numel()`, whose slices, sums
    and multiples are Sizes too.

    >>> import fastdl
    >>> fastdl.Size([2, 3, 4])[1:] + (5,)
    fastdl.Size([3, 4, 5])
    """

    __slots__ = ()

    def __new__(cls, lengths=()):
        if type(lengths) is not tuple:
            lengths = tuple(lengths)
        for i, n in enumerate(lengths):
            if type(n) is not int:
                return tuple.__new__(cls, [_length(i, n) for i, n in enumerate(lengths)])
        return tuple.__new__(cls, lengths)

    def numel(self):
        """Number of elements."""
        return math.prod(self)

    def __repr__(self):
        return f"fastdl.Size([{', '.join(map(str, self))}])"

    def __add__(self, other):
        return Size(tuple.__add__(self, other)) if isinstance(other, tuple) else NotImplemented

    def __radd__(self, other):
        return Size(tuple(other) + tuple(self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, times):
        return size_of(tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __getitem__(self, i):
        part = tuple.__getitem__(self, i)
        return size_of(part) if isinstance(i, slice) else part


size_of = functools.partial(tuple.__new__, Size)  # of a tuple of plain ints: without their checks


def _length(i, n):
    try:
        if isinstance(n, bool):
            raise TypeError
        return operator.index(n)
    except TypeError:
        raise TypeError(
            f"fastdl.Size() takes an iterable of 'int' (item {i} is '{type(n).__name__}')"
        ) from None
