"""Complex numbers: made of parts, taken apart, conjugated. Autograd follows PyTorch's convention,
see `fastdl._engine.Primitive`.
"""

import numpy as np

from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import elementwise, legacy_name, takes_out, tensor_argument, view

__all__ = [
    "angle",
    "complex",
    "conj",
    "conj_physical",
    "imag",
    "is_complex",
    "is_conj",
    "is_neg",
    "polar",
    "real",
    "resolve_conj",
    "resolve_neg",
    "view_as_complex",
    "view_as_real",
]


@view(node_name="ViewAsReal")
def pairs_of(x):
    """x (...) complex seen as (..., 2) real."""
    return x[..., None].view(x.real.dtype)


@view(node_name="ViewAsComplex")
def numbers_of(x):
    """x (..., 2) real seen as (...) complex."""
    dtype = np.complex64 if x.itemsize == 4 else np.complex128
    return x.view(dtype)[..., 0] if x.size else np.empty(x.shape[:-1], dtype)


pairs_of.vjp(x=lambda g: numbers_of(S.contiguous(g)))
numbers_of.vjp(x=lambda g: pairs_of(g))


def view_as_real(input):
    """The complex tensor `input` (...) as its real and imaginary parts (..., 2), a view.

    >>> fastdl.view_as_real(fastdl.tensor([1 + 2j]))
    tensor([[1., 2.]])

    Raises:
        RuntimeError: `input` is not complex.
    """
    if not is_complex(input):
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return pairs_of(input)


def view_as_complex(input):
    """The tensor `input` (..., 2) of float32 or float64 as complex numbers (...), a view.

    Raises:
        RuntimeError: the last dimension is not 2 with stride 1, another stride is odd, or the
            dtype is another.
    """
    array = tensor_argument("view_as_complex", "input", input).array
    if array.dtype.char not in "fd":
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a "
            f"tensor of scalar type: {legacy_name(array.dtype)}"
        )
    if array.ndim == 0:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if array.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if array.size and array.strides[-1] != array.itemsize:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    for d, step in enumerate(array.strides[:-1]):
        if array.size and step % (2 * array.itemsize):
            raise RuntimeError(f"Tensor must have a stride divisible by 2 for dimension {d}")
    return numbers_of(input)


def real(input):
    """The real parts of `input`, a view; `input` itself if it is real."""
    return S.select(pairs_of(input), -1, 0) if is_complex(input) else input


def imag(input):
    """The imaginary parts of `input`, a view.

    Raises:
        RuntimeError: `input` is not complex.
    """
    if not is_complex(input):
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return S.select(pairs_of(input), -1, 1)


@takes_out
def complex(real, imag):
    """Complex numbers `real + 1j * imag`, of two tensors that broadcast: complex64 for float32,
    complex128 for float64.

    >>> fastdl.complex(fastdl.tensor([1.0]), fastdl.tensor([-2.0]))
    tensor([1.-2.j])

    Raises:
        RuntimeError: the dtypes differ, or are no such ones.
    """
    return _of_parts("complex", "imag", real, imag, lambda: (real, imag))


@takes_out
def polar(abs, angle):
    """Complex numbers `abs * (cos(angle) + 1j * sin(angle))`, of two tensors that broadcast.

    Raises:
        RuntimeError: the dtypes differ, or are neither float32 nor float64.
    """
    parts = lambda: (abs * E.cos(angle), abs * E.sin(angle))
    return _of_parts("polar", "angle", abs, angle, parts)


def _of_parts(function, name, x, y, parts):
    tensor_argument(function, "real" if name == "imag" else "abs", x)
    tensor_argument(function, name, y)
    of_x, of_y = x.array.dtype, y.array.dtype
    if not (of_x.char in "fd" and of_y.char in "fd"):
        raise RuntimeError(
            "Expected both inputs to be Half, Float or Double tensors but got "
            f"{legacy_name(of_x)} and {legacy_name(of_y)}"
        )
    if of_x != of_y:
        raise RuntimeError(
            f"Expected object of scalar type {legacy_name(of_x)} but got scalar type "
            f"{legacy_name(of_y)} for second argument"
        )
    return complex_of(*parts())


@elementwise(node_name="Complex", promote=False, conjugates=False)
def complex_of(x, y):
    """x + 1j y of real numbers of one dtype."""
    shape = x.shape if x.shape == y.shape else np.broadcast_shapes(x.shape, y.shape)
    z = np.empty(shape, "F" if x.itemsize == 4 else "D")
    z.real, z.imag = x, y
    return z


complex_of.vjp(x=lambda g: real(g), y=lambda g: imag(g))


def conj(input):
    """The complex conjugate, computed at once (PyTorch's is computed when it is read); `input`
    itself if it is real."""
    return E.conj_of(input) if is_complex(input) else input


@takes_out
def conj_physical(input):
    """The complex conjugate, a new tensor."""
    return E.conj_of(input)


def resolve_conj(input):
    """`input`: conjugates are computed at once."""
    return input


def resolve_neg(input):
    """`input`: negatives are computed at once."""
    return input


def is_conj(input):
    """False: conjugates are computed at once."""
    return False


def is_neg(input):
    """False: negatives are computed at once."""
    return False


@elementwise(floating=True)
def angle(x):
    """Angle in radians, in (-pi, pi]; of real numbers 0 or, below 0, pi."""
    return np.angle(x) if x.dtype.kind == "c" else np.where(x < 0, x.dtype.type(np.pi), x * 0)


def _angle_slope(g, x):
    if not is_complex(x):
        return g * 0
    return E.where(x == 0, 0.0, g * x * 1j / E.square(E.abs(x)))


angle.vjp(x=_angle_slope)


def is_complex(input):
    """Is the dtype a complex one?"""
    return tensor_argument("is_complex", "input", input).array.dtype.kind == "c"
