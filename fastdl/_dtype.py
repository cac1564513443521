"""Number types, devices and sizes with PyTorch's names: `fastdl.float32`, `fastdl.device`,
`fastdl.Size`.
"""

import functools
import math
import operator

import numpy as np


class dtype:
    """A number type. NumPy's are taken wherever one of these is, and np.dtype() takes these."""

    __slots__ = ("category", "dtype", "itemsize", "name")

    def __init__(self, name, category, itemsize):
        self.name = name
        self.category = category  # BOOL, INT, FLOAT or COMPLEX: a higher one wins in promotion
        self.itemsize = itemsize
        if name != "bfloat16":
            self.dtype = np.dtype(name)
            _OF_NUMPY[self.dtype] = self

    def __getattr__(self, name):
        # NumPy has no bfloat16: its dtype is looked up when it is first needed.
        if name != "dtype":
            raise AttributeError(f"'dtype' object has no attribute {name!r}")
        try:
            from ml_dtypes import bfloat16 as found
        except ImportError as error:
            raise ImportError(
                "bfloat16 tensors need the ml_dtypes package: "
                'pip install "fastdl[bfloat16]" (or pip install ml_dtypes)'
            ) from error
        self.dtype = np.dtype(found)
        _OF_NUMPY[self.dtype] = self
        return self.dtype

    @property
    def is_floating_point(self):
        """True for float16, bfloat16, float32 and float64."""
        return self.category == FLOAT

    @property
    def is_complex(self):
        """True for complex64 and complex128."""
        return self.category == COMPLEX

    @property
    def is_signed(self):
        """True for types that hold negative values."""
        return self.category >= FLOAT or (self.category == INT and self.name[0] == "i")

    def to_complex(self):
        """The complex dtype whose parts are of this dtype; complex64 for float16, bfloat16."""
        return self if self.is_complex else complex128 if self is float64 else complex64

    def to_real(self):
        """The dtype of the parts of a complex dtype; other dtypes themselves."""
        return self if not self.is_complex else float32 if self is complex64 else float64

    def __repr__(self):
        return f"fastdl.{self.name}"

    def __reduce__(self):
        return _by_name, (self.name,)


BOOL, INT, FLOAT, COMPLEX = range(4)
_OF_NUMPY = {}

bool_ = dtype("bool", BOOL, 1)
uint8 = dtype("uint8", INT, 1)
uint16 = dtype("uint16", INT, 2)
uint32 = dtype("uint32", INT, 4)
uint64 = dtype("uint64", INT, 8)
int8 = dtype("int8", INT, 1)
int16 = dtype("int16", INT, 2)
int32 = dtype("int32", INT, 4)
int64 = dtype("int64", INT, 8)
float16 = dtype("float16", FLOAT, 2)
bfloat16 = dtype("bfloat16", FLOAT, 2)
float32 = dtype("float32", FLOAT, 4)
float64 = dtype("float64", FLOAT, 8)
complex64 = dtype("complex64", COMPLEX, 8)
complex128 = dtype("complex128", COMPLEX, 16)

# Names that `Tensor.type()` and the old constructors use.
LEGACY = {
    "HalfTensor": float16,
    "BFloat16Tensor": bfloat16,
    "FloatTensor": float32,
    "DoubleTensor": float64,
    "CharTensor": int8,
    "ShortTensor": int16,
    "IntTensor": int32,
    "LongTensor": int64,
    "ByteTensor": uint8,
    "BoolTensor": bool_,
    "ComplexFloatTensor": complex64,
    "ComplexDoubleTensor": complex128,
    "UInt16Tensor": uint16,
    "UInt32Tensor": uint32,
    "UInt64Tensor": uint64,
}
_BY_NAME = {d.name: d for d in LEGACY.values()}
_OF_PYTHON = {float: float64, int: int64, bool: bool_, complex: complex128}
_default = float32


def _by_name(name):
    return _BY_NAME[name]


def get_default_dtype():
    """The dtype of `tensor([1.0])`, `zeros(3)` and `tensor(1) / 2`: float32 at first."""
    return _default


def set_default_dtype(d, /):
    """Make `d`, a floating point dtype, the default. Complex numbers follow it: complex128 for
    float64, else complex64."""
    global _default
    new = as_dtype(d)
    if not new.is_floating_point:
        raise TypeError(
            "only floating-point types are supported as the default type, got " + repr(new)
        )
    _default = new


def set_default_tensor_type(t, /):
    """Make the dtype of an old constructor, such as `FloatTensor` or its name, the default."""
    if isinstance(t, str):
        t = LEGACY.get(t.rpartition(".")[2], t)
    set_default_dtype(getattr(t, "legacy_dtype", t))


def of(numpy_dtype):
    """The fastdl dtype of a NumPy dtype; TypeError if tensors cannot have it."""
    found = _OF_NUMPY.get(numpy_dtype)
    if found is None:
        if numpy_dtype.name == "bfloat16" and bfloat16.dtype == numpy_dtype:
            return bfloat16
        raise TypeError(
            f"can't convert an array of type {numpy_dtype}: the only supported types are "
            f"{', '.join(d.name for d in LEGACY.values())}"
        )
    return found


def as_dtype(d):
    """The fastdl dtype for itself, a NumPy one, or Python's float, int, bool or complex."""
    return d if isinstance(d, dtype) else of(as_numpy(d))


def as_numpy(d):
    """NumPy's dtype for a fastdl dtype, a NumPy one, or Python's float, int, bool or complex."""
    if isinstance(d, dtype):
        return d.dtype
    if isinstance(d, type) and d in _OF_PYTHON:
        return _OF_PYTHON[d].dtype
    try:
        return of(np.dtype(d)).dtype
    except TypeError:
        raise TypeError(f"dtype: expected a fastdl or NumPy dtype, got {d!r}") from None


def is_float(numpy_dtype):
    """Is it float16, bfloat16, float32 or float64?"""
    return numpy_dtype.kind == "f" or numpy_dtype.num >= _FIRST_FOREIGN


def is_inexact(numpy_dtype):
    """Is it a floating point or complex dtype?"""
    return numpy_dtype.kind in "fc" or numpy_dtype.num >= _FIRST_FOREIGN


_FIRST_FOREIGN = 256  # NPY_USERDEF: numbers of dtypes that packages register, such as bfloat16


def promote_types(type1, type2, /):
    """The dtype of what combines tensors of these dtypes.

    The higher of the categories bool, integer, floating point, complex decides; within one, the
    smallest dtype that holds both: float16 and bfloat16 give float32. Equals PyTorch's but for
    float16 with complex numbers, which gives complex64: there is no complex32.

    Raises:
        RuntimeError: uint16, uint32 and uint64 only combine with themselves and floating point.
    """
    a, b = as_dtype(type1), as_dtype(type2)
    if a is b:
        return a
    if a.category != b.category:
        low, high = (a, b) if a.category < b.category else (b, a)
        if high in _BARE or (low in _BARE and not high.is_floating_point):
            raise _no_promotion(a, b)
        if high.is_complex and low is float64:
            return complex128
        return high
    if a in _BARE or b in _BARE:
        raise _no_promotion(a, b)
    if a.is_floating_point and bfloat16 in (a, b):
        return float32 if float16 in (a, b) else b if a is bfloat16 else a
    return of(np.promote_types(a.dtype, b.dtype))


_BARE = (uint16, uint32, uint64)


def _no_promotion(a, b):
    return RuntimeError(
        "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
        f"{scalar_name(a)} and {scalar_name(b)}"
    )


def scalar_name(d):
    """PyTorch's name of a dtype in messages: 'Float' of float32."""
    return next(name for name, known in LEGACY.items() if known is d).removesuffix("Tensor")


def can_cast(from_, to, /):
    """May a result of dtype `from_` be written into a tensor of dtype `to`? Not into a lower
    category: complex to real, floating point to integer, anything but bool to bool."""
    a, b = as_dtype(from_), as_dtype(to)
    return a.category <= b.category


class finfo:
    """Limits of a floating point dtype (of the parts, for a complex one).

    Attributes: bits, eps (the step from 1 to the next number), max, min, tiny (the smallest
    positive normal number, also called smallest_normal), resolution (of decimals), dtype (its
    name).
    """

    __slots__ = (
        "bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny"
    )  # fmt: skip

    def __init__(self, type=None):
        d = get_default_dtype() if type is None else as_dtype(type).to_real()
        if not d.is_floating_point:
            raise TypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle "
                f"'{d.name}'"
            )
        if d is bfloat16:  # eight bits of exponent, as float32, and eight of precision
            self.bits, self.eps, self.max = 16, 2.0**-7, (2 - 2.0**-7) * 2.0**127
            self.tiny, self.resolution = 2.0**-126, 0.01
        else:
            limits = np.finfo(d.dtype)
            self.bits, self.eps, self.max = limits.bits, float(limits.eps), float(limits.max)
            self.tiny, self.resolution = float(limits.tiny), float(f"{limits.resolution:.0e}")
        self.min = -self.max
        self.smallest_normal = self.tiny
        self.dtype = d.name

    def __repr__(self):
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.tiny:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype: bits, min, max, dtype (its name)."""

    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, type):
        d = as_dtype(type)
        if d.category != INT:
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle "
                f"'{d.name}'"
            )
        limits = np.iinfo(d.dtype)
        self.bits, self.min, self.max = limits.bits, int(limits.min), int(limits.max)
        self.dtype = d.name

    def __repr__(self):
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


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

# memory_format -> for its number of dimensions, their order in memory, outermost first
FORMATS = {channels_last: (4, (0, 2, 3, 1)), channels_last_3d: (5, (0, 2, 3, 4, 1))}


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
