"""Recursive filters: difference equations of any order, and the biquads of audio equalizers."""

from __future__ import annotations

import math

import numpy as np

from fastdl.audio.functional.arguments import as_batch
from fastdl.nn import functional as F
from fastdl.ops.core import primitive
from fastdl.ops.creation import from_numpy
from fastdl.ops.join import cat, pad, stack
from fastdl.tensor import Tensor

__all__ = [
    "allpass_biquad",
    "bandpass_biquad",
    "bandreject_biquad",
    "bass_biquad",
    "biquad",
    "deemphasis",
    "equalizer_biquad",
    "filtfilt",
    "highpass_biquad",
    "lfilter",
    "lowpass_biquad",
    "preemphasis",
    "treble_biquad",
]

LEAST_BLOCK = 64  # samples that one matrix product makes


def _responses(a: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """What a block of outputs has of its inputs, (block, block), and of the outputs before it, the
    last one first, (order, block): both to be multiplied from the left."""
    order = len(a)
    free = np.zeros((order, order + block))  # column order + t is time t
    free[np.arange(order), order - 1 - np.arange(order)] = 1
    for t in range(block):
        free[:, order + t] = -(free[:, t : t + order] @ a[::-1])
    free = free[:, order:]
    impulse = np.append(1.0, free[0, : block - 1])
    lag = np.arange(block) - np.arange(block)[:, None]
    return np.where(lag < 0, 0, impulse[np.maximum(lag, 0)]), free


@primitive(node_name="RecursiveFilter")
def recursive_filter(x, a):
    """y[t] = x[t] - a[0] y[t - 1] - a[1] y[t - 2] - ... over rows x (rows, time); y is 0 before.

    A filter is linear: a block of outputs is a matrix times its inputs, all blocks at once, and
    another times the last outputs of the block before, which go from block to block. In double
    precision.
    """
    rows, length = x.shape
    order = len(a)
    if not order or not x.size:
        return x.copy()
    block = max(LEAST_BLOCK, order)
    forced, free = _responses(a.astype(np.float64), block)
    blocks = -(-length // block)
    y = np.zeros((rows, blocks * block))
    y[:, :length] = x
    y = y.reshape(rows, blocks, block) @ forced
    last = np.arange(block - 1, block - 1 - order, -1)
    own, carried = y[:, :, last], free[:, last]
    states = np.zeros((rows, blocks, order))
    for k in range(1, blocks):
        states[:, k] = own[:, k - 1] + states[:, k - 1] @ carried
    y += states @ free
    return y.reshape(rows, -1)[:, :length].astype(x.dtype)


@recursive_filter.vjp_joint
def _(g, x, a, out):
    back = recursive_filter(g.flip(-1), a).flip(-1)  # time runs the other way
    order, length = a.shape[0], x.shape[1]
    taps = [
        (back[:, k:] * out[:, : length - k]).sum() if k < length else back.sum() * 0
        for k in range(1, order + 1)
    ]
    return back, -stack(taps) if order else a * 0


def _filtered_once(rows: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """One filter over rows (rows, time)."""
    order = b.shape[0] - 1
    taps = (b / a[0]).flip(0).reshape(1, 1, -1)
    y = F.conv1d(pad(rows, (order, 0)).unsqueeze(1), taps).squeeze(1)
    return recursive_filter(y, a[1:] / a[0])


def lfilter(
    waveform: Tensor,
    a_coeffs: Tensor,
    b_coeffs: Tensor,
    clamp: bool = True,
    batching: bool = True,
) -> Tensor:
    """Signals through the filters of a difference equation:
    `a[0] y[t] = sum_k b[k] x[t - k] - sum_k>0 a[k] y[t - k]`, all 0 before the beginning.

    Args:
        waveform: (..., time).
        a_coeffs, b_coeffs: (order + 1,), or several filters' (filters, order + 1), a[0] not 0.
        clamp: cut the results to [-1, 1].
        batching: of several filters: each has a waveform of its own, (..., filters, time);
            otherwise all have the same.

    Returns:
        (..., time), of several filters (..., filters, time).

    Raises:
        ValueError: shapes do not fit.

    >>> import fastdl
    >>> a, b = fastdl.tensor([1.0, -0.5]), fastdl.tensor([1.0, 0.0])
    >>> fastdl.audio.functional.lfilter(fastdl.tensor([1.0, 0.0, 0.0, 0.0]), a, b)
    tensor([1.0000, 0.5000, 0.2500, 0.1250])
    """
    if a_coeffs.shape != b_coeffs.shape or a_coeffs.ndim not in (1, 2):
        raise ValueError(
            "Expected coeffs to be the same size, of 1 or 2 dimensions. Found: a_coeffs "
            f"{tuple(a_coeffs.shape)}, b_coeffs {tuple(b_coeffs.shape)}"
        )
    if a_coeffs.ndim == 1:
        rows, shape = as_batch(waveform, 1)
        y = _filtered_once(rows, a_coeffs, b_coeffs).reshape(*shape, rows.shape[1])
    else:
        count = a_coeffs.shape[0]
        if batching and (waveform.ndim < 2 or waveform.shape[-2] != count):
            raise ValueError(
                f"Expected waveform to have {count} rows, one for each filter. Found: "
                f"{tuple(waveform.shape)}"
            )
        each = waveform if batching else waveform.unsqueeze(-2).expand(
            *waveform.shape[:-1], count, waveform.shape[-1]
        )  # fmt: skip
        y = stack(
            [lfilter(each[..., i, :], a_coeffs[i], b_coeffs[i], clamp=False) for i in range(count)],
            -2,
        )
    return y.clamp(-1.0, 1.0) if clamp else y


def filtfilt(waveform: Tensor, a_coeffs: Tensor, b_coeffs: Tensor, clamp: bool = True) -> Tensor:
    """`lfilter` forward, then backward in time: no phase is shifted, the gain is squared."""
    y = lfilter(waveform, a_coeffs, b_coeffs, clamp=False)
    return lfilter(y.flip(-1), a_coeffs, b_coeffs, clamp=clamp).flip(-1)


def preemphasis(waveform: Tensor, coeff: float = 0.97) -> Tensor:
    """y[t] = x[t] - coeff x[t - 1] over (..., time): more of the high frequencies."""
    first = waveform[..., :1]
    return cat([first, waveform[..., 1:] - coeff * waveform[..., :-1]], -1)


def deemphasis(waveform: Tensor, coeff: float = 0.97) -> Tensor:
    """The inverse of `preemphasis`, cut to [-1, 1]."""
    return biquad(waveform, 1.0, 0.0, 0.0, 1.0, -coeff, 0.0)


# ---- biquads: Bristow-Johnson, Cookbook formulae for audio EQ biquad filter coefficients --------


def biquad(
    waveform: Tensor, b0: float, b1: float, b2: float, a0: float, a1: float, a2: float
) -> Tensor:
    """The filter of second order with these coefficients over (..., time), cut to [-1, 1]."""
    dtype = waveform.array.dtype
    a, b = (from_numpy(np.array(c, np.float64).astype(dtype)) for c in ((a0, a1, a2), (b0, b1, b2)))
    return lfilter(waveform, a, b)


def _angle(sample_rate: int, frequency: float, Q: float) -> tuple[float, float, float]:
    """sine and cosine of a frequency's angle a sample, and sine / (2 Q)."""
    w = 2 * math.pi * frequency / sample_rate
    return math.sin(w), math.cos(w), math.sin(w) / (2 * Q)


def lowpass_biquad(
    waveform: Tensor, sample_rate: int, cutoff_freq: float, Q: float = 0.707
) -> Tensor:
    """Lets frequencies below `cutoff_freq` pass, 12 dB an octave less above."""
    _, cos, alpha = _angle(sample_rate, cutoff_freq, Q)
    b = (1 - cos) / 2
    return biquad(waveform, b, 2 * b, b, 1 + alpha, -2 * cos, 1 - alpha)


def highpass_biquad(
    waveform: Tensor, sample_rate: int, cutoff_freq: float, Q: float = 0.707
) -> Tensor:
    """Lets frequencies above `cutoff_freq` pass, 12 dB an octave less below."""
    _, cos, alpha = _angle(sample_rate, cutoff_freq, Q)
    b = (1 + cos) / 2
    return biquad(waveform, b, -2 * b, b, 1 + alpha, -2 * cos, 1 - alpha)


def bandpass_biquad(
    waveform: Tensor,
    sample_rate: int,
    central_freq: float,
    Q: float = 0.707,
    const_skirt_gain: bool = False,
) -> Tensor:
    """Lets frequencies near `central_freq` pass, a band of 1 / Q of it; the gain there is 1, or Q
    with `const_skirt_gain`."""
    sin, cos, alpha = _angle(sample_rate, central_freq, Q)
    b = sin / 2 if const_skirt_gain else alpha
    return biquad(waveform, b, 0.0, -b, 1 + alpha, -2 * cos, 1 - alpha)


def bandreject_biquad(
    waveform: Tensor, sample_rate: int, central_freq: float, Q: float = 0.707
) -> Tensor:
    """Lets all but frequencies near `central_freq` pass."""
    _, cos, alpha = _angle(sample_rate, central_freq, Q)
    return biquad(waveform, 1.0, -2 * cos, 1.0, 1 + alpha, -2 * cos, 1 - alpha)


def allpass_biquad(
    waveform: Tensor, sample_rate: int, central_freq: float, Q: float = 0.707
) -> Tensor:
    """Shifts phases, by half a turn at `central_freq`, and leaves amplitudes."""
    _, cos, alpha = _angle(sample_rate, central_freq, Q)
    return biquad(waveform, 1 - alpha, -2 * cos, 1 + alpha, 1 + alpha, -2 * cos, 1 - alpha)


def equalizer_biquad(
    waveform: Tensor, sample_rate: int, center_freq: float, gain: float, Q: float = 0.707
) -> Tensor:
    """Raises frequencies near `center_freq` by `gain` dB."""
    _, cos, alpha = _angle(sample_rate, center_freq, Q)
    A = 10 ** (gain / 40)
    return biquad(
        waveform, 1 + alpha * A, -2 * cos, 1 - alpha * A, 1 + alpha / A, -2 * cos, 1 - alpha / A
    )


def _shelf(waveform, sample_rate, gain, frequency, Q, side):
    """Raises frequencies below (side 1) or above (-1) the given one."""
    _, cos, alpha = _angle(sample_rate, frequency, Q)
    A = 10 ** (gain / 40)
    cos, slope = side * cos, 2 * math.sqrt(A) * alpha
    more, less = A + 1, A - 1
    return biquad(
        waveform,
        A * (more - less * cos + slope),
        side * 2 * A * (less - more * cos),
        A * (more - less * cos - slope),
        more + less * cos + slope,
        side * -2 * (less + more * cos),
        more + less * cos - slope,
    )


def bass_biquad(
    waveform: Tensor, sample_rate: int, gain: float, central_freq: float = 100, Q: float = 0.707
) -> Tensor:
    """Raises frequencies below `central_freq` by `gain` dB."""
    return _shelf(waveform, sample_rate, gain, central_freq, Q, 1)


def treble_biquad(
    waveform: Tensor, sample_rate: int, gain: float, central_freq: float = 3000, Q: float = 0.707
) -> Tensor:
    """Raises frequencies above `central_freq` by `gain` dB."""
    return _shelf(waveform, sample_rate, gain, central_freq, Q, -1)
