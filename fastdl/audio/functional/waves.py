"""Waveforms: sample rates, mu-law, noise, convolution, pitch, and features over time."""

from __future__ import annotations

import math

import numpy as np

from fastdl.audio.functional.arguments import as_batch
from fastdl.audio.functional.spectra import phase_vocoder
from fastdl.fft import irfft, rfft
from fastdl.nn import functional as F
from fastdl.ops.creation import from_numpy
from fastdl.ops.elementwise import exp, log1p, sign
from fastdl.ops.fft import hann_window, istft, stft
from fastdl.ops.join import pad
from fastdl.tensor import Tensor

__all__ = [
    "add_noise",
    "compute_deltas",
    "convolve",
    "fftconvolve",
    "gain",
    "mu_law_decoding",
    "mu_law_encoding",
    "pitch_shift",
    "resample",
    "speed",
]


# ---- sample rates -----------------------------------------------------------------------------


def _check_rates(orig_freq, new_freq) -> tuple[int, int]:
    """The rates as the smallest integers of their ratio."""
    if int(orig_freq) != orig_freq or int(new_freq) != new_freq:
        raise ValueError(
            "resample: frequencies must be whole numbers, as the filter is made for their ratio, "
            f"but got {orig_freq} and {new_freq}"
        )
    if orig_freq <= 0 or new_freq <= 0:
        raise ValueError("Original frequency and desired frequecy should be positive")
    common = math.gcd(int(orig_freq), int(new_freq))
    return int(orig_freq) // common, int(new_freq) // common


LONG = 1000  # samples to which one period of the filters makes them one matrix no longer


class Resampler:
    """The filters for a ratio of rates, in double precision.

    There are `new` of them, for the `new` samples that each `orig` become. All stand in one matrix,
    for a convolution of stride `orig`; where that would be long and nearly empty, each is kept by
    itself, for the few samples around its place.
    """

    def __init__(self, orig, new, lowpass_filter_width, rolloff, method, beta) -> None:
        if method not in ("sinc_interp_hann", "sinc_interp_kaiser"):
            raise ValueError(f"Invalid resampling method: {method}")
        if lowpass_filter_width <= 0:
            raise ValueError("Low pass filter width should be positive.")
        self.orig, self.new = orig, new
        cut = min(orig, new) * rolloff  # twice the pass band, in units of the common rate
        self.width = math.ceil(lowpass_filter_width * orig / cut)
        phases = np.arange(new)[:, None]
        if orig > LONG:
            taps = phases * orig // new + np.arange(-self.width, self.width + 2)
        else:
            taps = np.arange(-self.width, self.width + orig)
        t = (taps / orig - phases / new) * cut
        t = np.clip(t, -lowpass_filter_width, lowpass_filter_width)
        if method == "sinc_interp_hann":
            window = np.cos(t * np.pi / lowpass_filter_width / 2) ** 2
        else:
            beta = 14.769656459379492 if beta is None else beta
            window = np.i0(beta * np.sqrt(1 - (t / lowpass_filter_width) ** 2)) / np.i0(beta)
        self.filters = np.sinc(t) * window * (cut / orig)

    def __call__(self, waveform: Tensor, filters: Tensor) -> Tensor:
        """`waveform` (..., time) through the filters, of its dtype."""
        rows, shape = as_batch(waveform, 1)
        length = rows.shape[1]
        count = -(-self.new * length // self.orig)
        if self.orig > LONG:
            places = np.arange(count)
            rows = pad(rows, (self.width, self.width + 2))
            frames = rows.unfold(-1, filters.shape[1], 1)
            frames = frames[:, from_numpy(places * self.orig // self.new)]
            y = (frames * filters[from_numpy(places % self.new)]).sum(-1)
        else:
            rows = pad(rows, (self.width, self.width + self.orig))
            y = F.conv1d(rows.unsqueeze(1), filters.unsqueeze(1), stride=self.orig)
            y = y.transpose(1, 2).reshape(len(rows), -1)[:, :count]
        return y.reshape(*shape, count)


def resample(
    waveform: Tensor,
    orig_freq: int,
    new_freq: int,
    lowpass_filter_width: int = 6,
    rolloff: float = 0.99,
    resampling_method: str = "sinc_interp_hann",
    beta: float | None = None,
) -> Tensor:
    """Signals at another sample rate, by interpolation with a windowed sinc.

    Smith 2020, Digital audio resampling: the sum of the samples, each times a sinc whose pass band
    ends below half of the lower rate. As the rates' ratio is a fraction p / q, there are p sets of
    weights, each met at every q-th sample: a convolution of stride q with p channels.

    Args:
        waveform: (..., time), floating.
        orig_freq, new_freq: whole numbers.
        lowpass_filter_width: zero crossings of the sinc on each side; more is sharper and slower.
        rolloff: end of the pass band, as a share of half the lower rate.
        resampling_method: "sinc_interp_hann" or "sinc_interp_kaiser", after the window.
        beta: of the Kaiser window; None: 14.77.

    Returns:
        (..., ceil(new_freq time / orig_freq)).

    Raises:
        ValueError: rates that are no positive whole numbers, another method, a width below 1.

    >>> import fastdl
    >>> fastdl.audio.functional.resample(fastdl.zeros(2, 1, 441), 44100, 16000).shape
    fastdl.Size([2, 1, 160])
    """
    orig, new = _check_rates(orig_freq, new_freq)
    if orig == new:
        return waveform
    run = Resampler(orig, new, lowpass_filter_width, rolloff, resampling_method, beta)
    return run(waveform, from_numpy(run.filters.astype(waveform.array.dtype)))


def speed(
    waveform: Tensor, orig_freq: int, factor: float, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Signals played `factor` times as fast, which also shifts the pitch.

    Args:
        waveform: (..., time).
        orig_freq: its sample rate.
        lengths: (...): valid samples of each.

    Returns:
        (..., about time / factor), and what `lengths` become.
    """
    source, target = int(factor * orig_freq), int(orig_freq)
    common = math.gcd(source, target)
    source, target = source // common, target // common
    if lengths is not None:
        lengths = (lengths * target / source).ceil().to(lengths.dtype)
    return resample(waveform, source, target), lengths


def pitch_shift(
    waveform: Tensor,
    sample_rate: int,
    n_steps: int,
    bins_per_octave: int = 12,
    n_fft: int = 512,
    win_length: int | None = None,
    hop_length: int | None = None,
    window: Tensor | None = None,
) -> Tensor:
    """Signals higher by `n_steps` of `bins_per_octave` to the octave, as long as before: stretched
    by a phase vocoder, then resampled.

    Args:
        waveform: (..., time).
        sample_rate: a whole number.
        n_fft, win_length, hop_length, window: as of `torch.stft`; the window is Hann's.

    Returns:
        (..., time).
    """
    hop_length = n_fft // 4 if hop_length is None else hop_length
    win_length = n_fft if win_length is None else win_length
    window = hann_window(win_length, dtype=waveform.dtype) if window is None else window
    rows, shape = as_batch(waveform, 1)
    length = rows.shape[1]
    rate = 2.0 ** (-n_steps / bins_per_octave)
    spectra = stft(rows, n_fft, hop_length, win_length, window, return_complex=True)
    advance = np.linspace(0, math.pi * hop_length, spectra.shape[1])[:, None]
    advance = from_numpy(advance.astype(rows.array.dtype))
    spectra = phase_vocoder(spectra, rate, advance)
    stretched = istft(spectra, n_fft, hop_length, win_length, window, length=round(length / rate))
    y = resample(stretched, int(sample_rate / rate), sample_rate)
    y = y[:, :length] if y.shape[1] >= length else pad(y, (0, length - y.shape[1]))
    return y.reshape(*shape, length)


# ---- samples ----------------------------------------------------------------------------------


def mu_law_encoding(x: Tensor, quantization_channels: int) -> Tensor:
    """Samples in [-1, 1] as whole numbers from 0 to `quantization_channels` - 1, finer near 0:
    sign(x) log(1 + mu |x|) / log(1 + mu), mu = `quantization_channels` - 1. ITU-T G.711.

    >>> import fastdl
    >>> fastdl.audio.functional.mu_law_encoding(fastdl.tensor([-1.0, -0.01, 0.0, 1.0]), 256)
    tensor([  0,  98, 128, 255])
    """
    mu = quantization_channels - 1.0
    if not x.is_floating_point():
        raise ValueError("The input Tensor must be of floating type. ")
    squeezed = sign(x) * log1p(mu * x.abs()) / math.log1p(mu)
    return ((squeezed + 1) / 2 * mu + 0.5).long()


def mu_law_decoding(x_mu: Tensor, quantization_channels: int) -> Tensor:
    """Inverse of `mu_law_encoding`, up to its steps: floats in [-1, 1]."""
    mu = quantization_channels - 1.0
    x = (x_mu if x_mu.is_floating_point() else x_mu.float()) / mu * 2 - 1
    return sign(x) * (exp(x.abs() * math.log1p(mu)) - 1) / mu


def gain(waveform: Tensor, gain_db: float = 1.0) -> Tensor:
    """Signals louder by `gain_db` decibels."""
    return waveform if gain_db == 0 else waveform * 10 ** (gain_db / 20)


def add_noise(
    waveform: Tensor, noise: Tensor, snr: Tensor, lengths: Tensor | None = None
) -> Tensor:
    """Signals with noise, scaled so that its energy lies `snr` dB below the signal's.

    Args:
        waveform, noise: (..., time), of one shape.
        snr: (...), in dB.
        lengths: (...), the valid samples of each; None: all.

    Raises:
        ValueError: shapes do not fit.
    """
    if not waveform.ndim - 1 == noise.ndim - 1 == snr.ndim:
        raise ValueError(
            "Input leading dimensions don't match, got waveform "
            f"{tuple(waveform.shape)}, noise {tuple(noise.shape)}, snr {tuple(snr.shape)}"
        )
    if waveform.shape[-1] != noise.shape[-1]:
        raise ValueError(
            f"Length dimensions of waveform and noise don't match (got {waveform.shape[-1]} and "
            f"{noise.shape[-1]})."
        )
    signal, disturbance = waveform, noise
    if lengths is not None:
        inside = np.arange(waveform.shape[-1]) < lengths.array[..., None]
        inside = from_numpy(inside.astype(waveform.array.dtype))
        signal, disturbance = waveform * inside, noise * inside
    energy = signal.square().sum(-1)
    now = 10 * (energy.log10() - disturbance.square().sum(-1).log10())
    factor = 10.0 ** ((now - snr) / 20.0)
    return waveform + factor.unsqueeze(-1) * noise


def _check_convolution(x: Tensor, y: Tensor, mode: str) -> None:
    if mode not in ("full", "valid", "same"):
        raise ValueError(
            f"Unrecognized mode value '{mode}'. Please specify one of ['full', 'valid', 'same']."
        )
    if x.ndim != y.ndim:
        raise ValueError(f"The operands must be the same dimension (got {x.ndim} and {y.ndim}).")
    for n, m in zip(x.shape[:-1], y.shape[:-1]):
        if n != m and 1 not in (n, m):
            raise ValueError(
                f"Leading dimensions of x and y are not broadcastable (got {tuple(x.shape)} and "
                f"{tuple(y.shape)})."
            )


def _cut(full: Tensor, n: int, m: int, mode: str) -> Tensor:
    """The part of a full convolution of lengths n and m that `mode` asks for."""
    length = {"full": n + m - 1, "valid": max(n, m) - min(n, m) + 1, "same": n}[mode]
    start = (full.shape[-1] - length) // 2
    return full[..., start : start + length]


def convolve(x: Tensor, y: Tensor, mode: str = "full") -> Tensor:
    """The convolution of signals along their last dimension, directly.

    Args:
        x: (..., N).
        y: (..., M), the other dimensions equal, or 1.
        mode: "full": (..., N + M - 1); "valid": where both overlap wholly; "same": the middle N.

    Raises:
        ValueError: another mode, or shapes that do not fit.

    >>> import fastdl
    >>> fastdl.audio.functional.convolve(fastdl.tensor([1.0, 2.0, 3.0]), fastdl.tensor([1.0, 1.0]))
    tensor([1., 3., 5., 3.])
    """
    _check_convolution(x, y, mode)
    n, m = x.shape[-1], y.shape[-1]
    lead = np.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    x, y = x.expand(*lead, n), y.expand(*lead, m)
    if n < m:
        x, y = y, x
    rows, shape = as_batch(x, 1)
    taps, _ = as_batch(y, 1)
    full = F.conv1d(
        rows.unsqueeze(0), taps.flip(-1).unsqueeze(1), padding=min(n, m) - 1, groups=len(rows)
    )
    return _cut(full.reshape(*shape, n + m - 1), n, m, mode)


def fftconvolve(x: Tensor, y: Tensor, mode: str = "full") -> Tensor:
    """`convolve` by Fourier transforms: less work for long signals both."""
    _check_convolution(x, y, mode)
    n, m = x.shape[-1], y.shape[-1]
    whole = n + m - 1
    full = irfft(rfft(x, whole) * rfft(y, whole), whole)
    return _cut(full, n, m, mode)


# ---- features over time -----------------------------------------------------------------------


def compute_deltas(specgram: Tensor, win_length: int = 5, mode: str = "replicate") -> Tensor:
    """How fast features change: the slope of the line fitted to `win_length` frames around each,
    `sum_n n (c[t + n] - c[t - n]) / (2 sum_n n^2)`, n = 1 ... (win_length - 1) / 2.

    Args:
        specgram: (..., frequency, time).
        win_length: at least 3.
        mode: of the padding at both ends.

    Raises:
        ValueError: a shorter window.

    >>> import fastdl
    >>> fastdl.audio.functional.compute_deltas(fastdl.tensor([[0.0, 1.0, 2.0, 3.0]]), 3)
    tensor([[0.5000, 1.0000, 1.0000, 0.5000]])
    """
    if win_length < 3:
        raise ValueError(f"Window length should be greater than or equal to 3. Found: {win_length}")
    n = (win_length - 1) // 2
    rows, shape = as_batch(specgram, 1)
    slopes = np.arange(-n, n + 1) / (n * (n + 1) * (2 * n + 1) / 3)
    slopes = from_numpy(slopes.astype(rows.array.dtype)).reshape(1, 1, -1)
    y = F.conv1d(pad(rows.unsqueeze(1), (n, n), mode), slopes)
    return y.reshape(*shape, y.shape[-1])
