"""Fourier transforms, of arrays and of frames of a signal, and windows for the latter.

Three primitives make all of them: complex to complex over any dimensions, real to complex and
complex to real over one. Each gradient is one of the others.
"""

import math
import warnings

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import tensor_of
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.complex import conj, pairs_of, real
from fastdl.ops.core import legacy_name, normal_dim, primitive, takes_out, tensor_argument
from fastdl.ops.creation import filled
from fastdl.ops.join import pad, pad_with, roll

__all__ = [
    "bartlett_window",
    "blackman_window",
    "hamming_window",
    "hann_window",
    "istft",
    "kaiser_window",
    "stft",
]

# ---- primitives -------------------------------------------------------------------------------


def _scaled(y, scale):
    """y *= scale in place, for results that nobody else has."""
    if scale != 1:
        y *= scale
    return y


@primitive(node_name="FftC2C", conjugates=False)
def c2c(x, *, dims, inverse, scale):
    """`scale` times the transform of complex x over `dims`, with exp(+...) if `inverse`."""
    transform, norm = (np.fft.ifftn, "forward") if inverse else (np.fft.fftn, "backward")
    return _scaled(transform(x, axes=dims, norm=norm), scale)


c2c.vjp(
    x=lambda g, dims, inverse, scale: c2c(g, dims=dims, inverse=not inverse, scale=scale),
)


@primitive(node_name="FftR2C", conjugates=False)
def r2c(x, *, dim, scale):
    """`scale` times the first n // 2 + 1 values of the transform of real x over `dim`."""
    return _scaled(np.fft.rfft(x, axis=dim), scale)


@primitive(node_name="FftC2R", conjugates=False)
def c2r(x, *, dim, n, scale):
    """`scale` times the transform with exp(+...) over `dim` of what has the first n // 2 + 1 values
    x, and of which the others are conjugates: n real values."""
    return _scaled(np.fft.irfft(x, n, axis=dim, norm="forward"), scale)


def _wrt_real(g, x_shape, dim, scale):
    # The values that r2c leaves out do not count: g is 0 there.
    missing = x_shape[dim] - g.array.shape[dim]
    widths = tuple([(0, missing if d == dim else 0) for d in range(g.array.ndim)])
    whole = pad_with(g, widths=widths, value=0)
    return real(c2c(whole, dims=(dim,), inverse=True, scale=scale))


def _wrt_half(g, dim, n, scale):
    # All values but the first, and for an even n the last, stand for two.
    weights = np.full(n // 2 + 1, 2.0, g.array.dtype)
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    shape = (-1, *(1,) * (g.array.ndim - dim - 1))
    return r2c(g, dim=dim, scale=scale) * tensor_of(weights.reshape(shape))


r2c.vjp(x=_wrt_real)
c2r.vjp(x=_wrt_half)

# ---- arguments --------------------------------------------------------------------------------


def _input(function, x, kind):
    """x as `kind` of tensor, "real", "complex" or "any"; integers become the default dtype."""
    dtype = tensor_argument(function, "input", x).array.dtype
    if kind == "real" and dtype.kind == "c":
        raise RuntimeError(
            f"{function} expects a real input tensor, but got {_dtype.scalar_name(x.dtype)}"
        )
    if not _dtype.is_inexact(dtype):
        x = x.to(_dtype.get_default_dtype())
    elif dtype.char not in "fdFD":
        raise RuntimeError(f"Unsupported dtype {legacy_name(dtype)}")
    if kind == "complex" and x.array.dtype.kind != "c":
        x = E.cast(x, dtype=x.dtype.to_complex().dtype)
    return x


_NORMS = {None: 0, "backward": 0, "ortho": 0.5, "forward": 1}


def _scale(norm, count, inverse):
    """The factor of a transform of `count` values."""
    if norm not in _NORMS:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    power = _NORMS[norm]
    return float(count) ** -(1 - power if inverse else power)


def _resized(x, dim, n):
    """x cut or padded with zeros at the end, to length n along `dim`."""
    length = x.array.shape[dim]
    if n < length:
        return S.narrow(x, dim, 0, n)
    if n == length:
        return x
    return pad_with(
        x, widths=tuple([(0, n - length if d == dim else 0) for d in range(x.array.ndim)]), value=0
    )


def _need(n):
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _one_dim(x, n, dim):
    dim = normal_dim(dim, x.array.ndim)
    return _need(x.array.shape[dim] if n is None else n), dim


def _listed(value):
    return None if value is None else (value,) if isinstance(value, int) else tuple(value)


def _several_dims(x, s, dim, last=None):
    """Dimensions to transform and the lengths to which they are cut or padded first; `last`: a
    function of the last one, in place of its length."""
    s, dim, ndim = _listed(s), _listed(dim), x.array.ndim
    if dim is not None:
        dims = tuple([normal_dim(d, ndim) for d in dim])
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
        if s is not None and len(s) != len(dims):
            raise RuntimeError(
                "When given, dim and shape arguments must have the same length, but got "
                f"{len(dims)} and {len(s)}"
            )
    elif s is not None:
        if len(s) > ndim:
            raise RuntimeError(
                f"Got shape with {len(s)} values but input tensor only has {ndim} dimensions."
            )
        dims = tuple(range(ndim - len(s), ndim))
    else:
        dims = tuple(range(ndim))
    lengths = [x.array.shape[d] for d in dims]
    if last is not None and dims:
        lengths[-1] = last(lengths[-1])
    if s is not None:
        lengths = [length if n == -1 else n for n, length in zip(s, lengths)]
    return dims, tuple([_need(n) for n in lengths])


# ---- one dimension ----------------------------------------------------------------------------


def _complex(function, input, n, dim, norm, inverse):
    x = _input(function, input, "complex")
    n, dim = _one_dim(x, n, dim)
    scale = _scale(norm, n, inverse)
    return c2c(_resized(x, dim, n), dims=(dim,), inverse=inverse, scale=scale)


@takes_out
def fft(input, n=None, dim=-1, norm=None):
    """Discrete Fourier transform over one dimension:
    `y[k] = sum_j x[j] exp(-2 pi i j k / n)`.

    Args:
        input: (..., m, ...) real or complex; integers become the default dtype.
        n: length to which `input` is cut, or padded with zeros, first; None: m.
        dim: the dimension.
        norm: None or "backward": no factor; "forward": 1 / n; "ortho": 1 / sqrt(n).

    Returns:
        (..., n, ...) complex64, or complex128 for float64 and complex128.

    Raises:
        RuntimeError: n < 1, another `norm`, float16 or bfloat16.
        IndexError: no such dimension.

    >>> import fastdl
    >>> fastdl.fft.fft(fastdl.tensor([1.0, 0.0, 0.0, 0.0]))
    tensor([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """
    return _complex("fft", input, n, dim, norm, False)


@takes_out
def ifft(input, n=None, dim=-1, norm=None):
    """Inverse of `fft`: a factor of 1 / n, for norm "ortho" 1 / sqrt(n), for "forward" none."""
    return _complex("ifft", input, n, dim, norm, True)


@takes_out
def rfft(input, n=None, dim=-1, norm=None):
    """The first n // 2 + 1 values of `fft` of a real tensor; the others are their conjugates."""
    x = _input("rfft", input, "real")
    n, dim = _one_dim(x, n, dim)
    return r2c(_resized(x, dim, n), dim=dim, scale=_scale(norm, n, False))


def _to_real(function, input, n, dim, norm, inverse):
    x = _input(function, input, "complex")
    dim = normal_dim(dim, x.array.ndim)
    n = _need(2 * (x.array.shape[dim] - 1) if n is None else n)
    x = _resized(x if inverse else conj(x), dim, n // 2 + 1)
    return c2r(x, dim=dim, n=n, scale=_scale(norm, n, inverse))


@takes_out
def irfft(input, n=None, dim=-1, norm=None):
    """Inverse of `rfft`: real, of length n, by default 2 (m - 1) for m values."""
    return _to_real("irfft", input, n, dim, norm, True)


@takes_out
def hfft(input, n=None, dim=-1, norm=None):
    """`fft` of a signal of length n whose first n // 2 + 1 values are `input`, and of which the
    others are conjugates: real. n: by default 2 (m - 1) for m values."""
    return _to_real("hfft", input, n, dim, norm, False)


@takes_out
def ihfft(input, n=None, dim=-1, norm=None):
    """Inverse of `hfft` of a real tensor: the first n // 2 + 1 values of `ifft`."""
    x = _input("ihfft", input, "real")
    n, dim = _one_dim(x, n, dim)
    return conj(r2c(_resized(x, dim, n), dim=dim, scale=_scale(norm, n, True)))


# ---- several dimensions -----------------------------------------------------------------------


def _complex_n(function, input, s, dim, norm, inverse):
    x = _input(function, input, "complex")
    dims, lengths = _several_dims(x, s, dim)
    for d, n in zip(dims, lengths):
        x = _resized(x, d, n)
    scale = _scale(norm, math.prod(lengths), inverse)
    return c2c(x, dims=dims, inverse=inverse, scale=scale) if dims else E.clone(x)


def _from_real_n(function, input, s, dim, norm, inverse):
    x = _input(function, input, "real")
    dims, lengths = _several_dims(x, s, dim)
    if not dims:
        raise RuntimeError(f"{function} must transform at least one axis")
    for d, n in zip(dims, lengths):
        x = _resized(x, d, n)
    y = r2c(x, dim=dims[-1], scale=_scale(norm, math.prod(lengths), inverse))
    y = c2c(y, dims=dims[:-1], inverse=False, scale=1.0) if dims[:-1] else y
    return conj(y) if inverse else y


def _to_real_n(function, input, s, dim, norm, inverse):
    x = _input(function, input, "complex")
    dims, lengths = _several_dims(x, s, dim, lambda m: 2 * (m - 1))
    if not dims:
        raise RuntimeError(f"{function} must transform at least one axis")
    for d, n in zip(dims[:-1], lengths):
        x = _resized(x, d, n)
    last, n = dims[-1], lengths[-1]
    x = _resized(x if inverse else conj(x), last, n // 2 + 1)
    x = c2c(x, dims=dims[:-1], inverse=True, scale=1.0) if dims[:-1] else x
    return c2r(x, dim=last, n=n, scale=_scale(norm, math.prod(lengths), inverse))


@takes_out
def fftn(input, s=None, dim=None, norm=None):
    """`fft` over several dimensions.

    Args:
        input: real or complex.
        s: lengths to which the dimensions are cut or padded with zeros first, -1 for no change.
        dim: the dimensions; None: the last len(s), or all.
        norm: as in `fft`, n being the product of the lengths.
    """
    return _complex_n("fftn", input, s, dim, norm, False)


@takes_out
def ifftn(input, s=None, dim=None, norm=None):
    """Inverse of `fftn`."""
    return _complex_n("ifftn", input, s, dim, norm, True)


@takes_out
def rfftn(input, s=None, dim=None, norm=None):
    """`fftn` of a real tensor, the first half of the values along the last of the dimensions."""
    return _from_real_n("rfftn", input, s, dim, norm, False)


@takes_out
def irfftn(input, s=None, dim=None, norm=None):
    """Inverse of `rfftn`: real; the last length is 2 (m - 1) if `s` does not give it."""
    return _to_real_n("irfftn", input, s, dim, norm, True)


@takes_out
def hfftn(input, s=None, dim=None, norm=None):
    """`hfft` over several dimensions: real."""
    return _to_real_n("hfftn", input, s, dim, norm, False)


@takes_out
def ihfftn(input, s=None, dim=None, norm=None):
    """Inverse of `hfftn` of a real tensor."""
    return _from_real_n("ihfftn", input, s, dim, norm, True)


def _in_the_plane(function):
    def of_two(input, s=None, dim=(-2, -1), norm=None):
        return function(input, s, dim, norm)

    of_two.__name__ = of_two.__qualname__ = function.__name__[:-1] + "2"
    of_two.__doc__ = f"`{function.__name__}` over two dimensions."
    return takes_out(of_two)


fft2, ifft2, rfft2, irfft2, hfft2, ihfft2 = map(
    _in_the_plane, (fftn, ifftn, rfftn, irfftn, hfftn, ihfftn)
)

# ---- frequencies ------------------------------------------------------------------------------


def fftfreq(n, d=1.0, *, dtype=None, device=None, requires_grad=False, **keywords):
    """The frequencies of the n values of `fft`, for samples `d` apart: 0, 1 / (n d), ..., the
    negative ones last."""
    make = lambda shape, dtype: np.fft.fftfreq(n, d).astype(dtype)
    return filled("fftfreq", make, ((n,),), dtype, device, requires_grad, keywords)


def rfftfreq(n, d=1.0, *, dtype=None, device=None, requires_grad=False, **keywords):
    """The frequencies of the n // 2 + 1 values of `rfft`, for samples `d` apart."""
    make = lambda shape, dtype: np.fft.rfftfreq(n, d).astype(dtype)
    return filled("rfftfreq", make, ((n // 2 + 1,),), dtype, device, requires_grad, keywords)


def _shifted(input, dim, steps):
    ndim = input.array.ndim
    dims = tuple(range(ndim)) if dim is None else _listed(dim)
    return roll(input, [steps(input.array.shape[normal_dim(d, ndim)]) for d in dims], dims)


def fftshift(input, dim=None):
    """`input` in the order of rising frequencies: 0 goes to the middle of the dimensions `dim`
    (None: all)."""
    return _shifted(input, dim, lambda n: n // 2)


def ifftshift(input, dim=None):
    """Inverse of `fftshift`."""
    return _shifted(input, dim, lambda n: (n + 1) // 2)


# ---- frames of a signal -----------------------------------------------------------------------


def _frame_window(function, window, win_length, n_fft, dtype):
    """`window` with zeros on both sides up to n_fft values; ones for None."""
    if not 0 < win_length <= n_fft:
        raise RuntimeError(
            f"{function}: expected 0 < win_length <= n_fft, but got win_length={win_length}"
        )
    if window is None:
        window = tensor_of(np.ones(win_length, dtype))
    elif window.array.shape != (win_length,):
        raise RuntimeError(
            f"{function}: expected a 1D window tensor of size equal to win_length={win_length}, "
            f"but got window with size {list(window.array.shape)}"
        )
    left = (n_fft - win_length) // 2
    return pad_with(window, widths=((left, n_fft - win_length - left),), value=0)


def _warn_without_window(function, window):
    if window is None:
        warnings.warn(
            f"A window was not provided. A rectangular window will be applied,which is known to "
            f"cause spectral leakage. Other windows such as torch.hann_window or "
            f"torch.hamming_window are recommended to reduce spectral leakage ({function}).",
            stacklevel=3,
        )


def stft(
    input,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    pad_mode="reflect",
    normalized=False,
    onesided=None,
    return_complex=None,
    align_to_window=None,
):
    """Short-time Fourier transform: `fft` of windowed frames of a signal.

    Args:
        input: (L,) or (B, L), real or complex.
        n_fft: length of the transforms.
        hop_length: from one frame to the next; None: n_fft // 4.
        win_length: of the window, which zeros on both sides complete to n_fft; None: n_fft.
        window: (win_length,), None: ones.
        center: pad the signal by n_fft // 2 on both sides, so that frame t is centred at
            t * hop_length.
        pad_mode: how, as in `nn.functional.pad`.
        normalized: divide by sqrt(n_fft).
        onesided: only the first n_fft // 2 + 1 frequencies; None: for real input and window.
        return_complex: must be given for real input. False: the parts as a last dimension of 2.
        align_to_window: without `center`: frames start where the window does, not its zeros.

    Returns:
        (frequencies, frames) or (B, frequencies, frames), complex.

    Raises:
        RuntimeError: sizes do not fit, `onesided` for complex input, integers.

    >>> import fastdl
    >>> x = fastdl.sin(fastdl.arange(16.0))
    >>> fastdl.stft(x, 8, window=fastdl.hann_window(8), return_complex=True).shape
    fastdl.Size([5, 9])
    """
    tensor_argument("stft", "input", input)
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    _warn_without_window("stft", window)
    array = input.array
    if not _dtype.is_inexact(array.dtype) or array.ndim not in (1, 2):
        raise RuntimeError(
            "stft: expected a 1D or 2D tensor of floating point or complex values, but got "
            f"{legacy_name(array.dtype)} {list(array.shape)}"
        )
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    is_complex = array.dtype.kind == "c" or (window is not None and window.array.dtype.kind == "c")
    if return_complex is None:
        if not is_complex:
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs, and will "
                "further require that return_complex=True in a future PyTorch release."
            )
        return_complex = True
    if center:
        input = pad(input, (n_fft // 2, n_fft // 2), pad_mode)
    elif align_to_window:
        side = (n_fft - win_length) // 2
        input = pad(input, (side, side))
    batched = input if array.ndim == 2 else S.unsqueeze(input, 0)
    length = batched.array.shape[-1]
    if not 0 < n_fft <= length:
        raise RuntimeError(f"stft: expected 0 < n_fft <= {length}, but got n_fft={n_fft}")
    if hop_length <= 0:
        raise RuntimeError(f"stft: expected hop_length > 0, but got hop_length={hop_length}")
    weights = _frame_window("stft", window, win_length, n_fft, array.dtype)
    if onesided is None:
        onesided = not is_complex
    elif onesided and is_complex:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    frames = S.unfold(batched, -1, n_fft, hop_length) * weights
    transform = rfft if onesided else fft
    y = S.transpose(transform(frames, norm="ortho" if normalized else None), 1, 2)
    y = y if array.ndim == 2 else S.squeeze(y, 0)
    return y if return_complex else pairs_of(y)


def istft(
    input,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    normalized=False,
    onesided=None,
    length=None,
    return_complex=False,
):
    """Inverse of `stft`: the signal with the least squared distance from the one whose transform is
    `input`. Griffin and Lim 1984, Signal estimation from modified short-time Fourier transform.

    Args:
        input: (frequencies, frames) or (B, frequencies, frames), complex.
        n_fft, hop_length, win_length, window, center, normalized: as they were given to `stft`.
        onesided: are there n_fft // 2 + 1 frequencies? None: told by their number.
        length: of the signal; None: what the frames cover, without the padding of `center`.
        return_complex: of a transform that is not onesided, the complex signal.

    Returns:
        (length,) or (B, length).

    Raises:
        RuntimeError: sizes do not fit, or the windows leave a place of the signal uncovered.
    """
    tensor_argument("istft", "input", input)
    _warn_without_window("istft", window)
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    array = input.array
    if array.dtype.kind != "c":
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            "return_complex=True."
        )
    if array.ndim not in (2, 3) or not array.size:
        raise RuntimeError(
            "istft: expected a tensor with 2 or 3 dimensions and elements, but got "
            f"{list(array.shape)}"
        )
    many = input if array.ndim == 3 else S.unsqueeze(input, 0)
    frequencies, count = many.array.shape[1:]
    if onesided is None:
        onesided = frequencies != n_fft
    if frequencies != (n_fft // 2 + 1 if onesided else n_fft):
        raise RuntimeError(
            "istft: expected the frequency dimension (3rd to the last) of the input tensor to "
            f"match n_fft ({n_fft}) with onesided={onesided}, but got {frequencies}"
        )
    if not 0 < hop_length <= win_length:
        raise RuntimeError(
            f"istft: expected 0 < hop_length <= win_length, but got {hop_length}, {win_length}"
        )
    if return_complex and onesided:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    part = array.real.dtype
    weights = _frame_window("istft", window, win_length, n_fft, part)
    norm = "ortho" if normalized else None
    frames = S.transpose(many, 1, 2)
    # Of a real signal, all frequencies say no more than their first half.
    frames = ifft(frames, norm=norm) if return_complex else irfft(frames, n_fft, norm=norm)
    whole = n_fft + hop_length * (count - 1)
    frames = frames * weights
    batch = frames.array.shape[0]
    y = S.windows_add(frames, shape=(batch, whole), dim=1, size=n_fft, step=hop_length)
    squares = S.expand_to(E.square(weights), shape=(1, count, n_fft))
    cover = S.windows_add(squares, shape=(1, whole), dim=1, size=n_fft, step=hop_length)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else whole - start
    kept = slice(start, min(end, whole))
    y, cover = y[:, kept], cover[:, kept]
    if cover.array.size and abs(cover.array).min() <= 1e-11:
        raise RuntimeError("istft: window overlap add min: 1")
    y = y / cover
    if end > whole:
        warnings.warn(
            "The length of signal is shorter than the length parameter. Result is being padded "
            "with zeros in the tail. Please check your center and hop_length settings.",
            stacklevel=2,
        )
        y = pad_with(y, widths=((0, 0), (0, end - whole)), value=0)
    return y if array.ndim == 3 else S.squeeze(y, 0)


# ---- windows ----------------------------------------------------------------------------------


def _window(function, values, length, periodic, dtype, device, requires_grad, keywords):
    """values(places, steps): places 0, 1, ... of `steps`. A periodic window leaves out the last."""
    if dtype is not None and not _dtype.is_float(_dtype.as_numpy(dtype)):
        raise RuntimeError(f"{function} expects floating point dtypes, got: {dtype}")
    if length < 0:
        raise RuntimeError(f"{function} requires non-negative window_length, got {length}")

    def make(shape, dtype):
        if length < 2:
            return np.ones(length, dtype)
        return values(np.arange(length), length - (not periodic)).astype(dtype)

    return filled(function, make, ((length,),), dtype, device, requires_grad, keywords)


def _cosines(*factors):
    """The window sum_k (-1)**k factors[k] cos(2 pi k j / steps)."""
    cos = backends.cpu.MAPS["cos"]
    return lambda j, steps: sum(
        [(-1) ** k * f * cos(2 * np.pi * k * j / steps) for k, f in enumerate(factors) if k],
        factors[0],
    )


def hann_window(
    window_length, periodic=True, *, dtype=None, device=None, requires_grad=False, **keywords
):
    """(1 - cos(2 pi j / N)) / 2, N = window_length, or window_length - 1 if not `periodic`.

    A periodic window is for `stft`, a symmetric one for the design of filters.

    >>> import fastdl
    >>> fastdl.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])

    Raises:
        RuntimeError: a negative length, or a dtype that is not floating point.
    """
    values = _cosines(0.5, 0.5)
    return _window(
        "hann_window", values, window_length, periodic, dtype, device, requires_grad, keywords
    )


def hamming_window(
    window_length,
    periodic=True,
    alpha=0.54,
    beta=0.46,
    *,
    dtype=None,
    device=None,
    requires_grad=False,
    **keywords,
):
    """alpha - beta cos(2 pi j / N); see `hann_window`."""
    values = _cosines(alpha, beta)
    return _window(
        "hamming_window", values, window_length, periodic, dtype, device, requires_grad, keywords
    )


def blackman_window(
    window_length, periodic=True, *, dtype=None, device=None, requires_grad=False, **keywords
):
    """0.42 - 0.5 cos(2 pi j / N) + 0.08 cos(4 pi j / N); see `hann_window`."""
    values = _cosines(0.42, 0.5, 0.08)
    return _window(
        "blackman_window", values, window_length, periodic, dtype, device, requires_grad, keywords
    )


def bartlett_window(
    window_length, periodic=True, *, dtype=None, device=None, requires_grad=False, **keywords
):
    """1 - |2 j / N - 1|, a triangle; see `hann_window`."""
    values = lambda j, steps: 1 - np.abs(2 * j / steps - 1)
    return _window(
        "bartlett_window", values, window_length, periodic, dtype, device, requires_grad, keywords
    )


def kaiser_window(
    window_length,
    periodic=True,
    beta=12.0,
    *,
    dtype=None,
    device=None,
    requires_grad=False,
    **keywords,
):
    """I0(beta sqrt(1 - (2 j / N - 1)**2)) / I0(beta), with the Bessel function I0; see
    `hann_window`. Kaiser and Schafer 1980, On the use of the I0-sinh window."""
    values = lambda j, steps: (
        np.i0(beta * np.sqrt(np.maximum(1 - (2 * j / steps - 1) ** 2, 0))) / np.i0(beta)
    )
    return _window(
        "kaiser_window", values, window_length, periodic, dtype, device, requires_grad, keywords
    )
