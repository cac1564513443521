"""Spectrograms and what is made of them: mel scale, cosine transform, decibels, masks, phases."""

from __future__ import annotations

import math
import warnings

import numpy as np

from fastdl import _dtype
from fastdl.audio.functional.arguments import as_batch, numbers_in
from fastdl.autograd import no_grad
from fastdl.ops.complex import angle, polar
from fastdl.ops.creation import from_numpy
from fastdl.ops.elementwise import clamp, log10, maximum, where
from fastdl.ops.fft import istft, stft
from fastdl.ops.join import cat, pad
from fastdl.ops.random import rand
from fastdl.tensor import Tensor

__all__ = [
    "DB_to_amplitude",
    "amplitude_to_DB",
    "create_dct",
    "griffinlim",
    "inverse_spectrogram",
    "linear_fbanks",
    "mask_along_axis",
    "mask_along_axis_iid",
    "melscale_fbanks",
    "phase_vocoder",
    "spectral_centroid",
    "spectrogram",
]


def _normalization(function: str, normalized) -> tuple[bool, bool]:
    """Divide by the root of (the frames' length, the window's energy)?"""
    if isinstance(normalized, str):
        if normalized not in ("window", "frame_length"):
            raise ValueError(
                f"{function}: expected normalized to be a bool, 'window' or 'frame_length', but "
                f"got {normalized!r}"
            )
        return normalized == "frame_length", normalized == "window"
    return False, bool(normalized)


def spectrogram(
    waveform: Tensor,
    pad: int,
    window: Tensor,
    n_fft: int,
    hop_length: int,
    win_length: int,
    power: float | None,
    normalized: bool | str,
    center: bool = True,
    pad_mode: str = "reflect",
    onesided: bool = True,
    return_complex: bool | None = None,
) -> Tensor:
    """Short-time Fourier transforms of signals, or a power of their absolute values.

    Args:
        waveform: (..., time).
        pad: zeros to add at both ends first.
        window, n_fft, hop_length, win_length, center, pad_mode, onesided: as of `torch.stft`.
        power: 1 for amplitudes, 2 for powers; None: the complex numbers themselves.
        normalized: True or "window": divide by the root of the window's sum of squares;
            "frame_length": by the root of n_fft.
        return_complex: not looked at, as in torchaudio.

    Returns:
        (..., frequencies, frames), frequencies = n_fft // 2 + 1 where `onesided`.

    Raises:
        RuntimeError: sizes do not fit, see `torch.stft`.
        ValueError: another `normalized`.
    """
    by_length, by_window = _normalization("spectrogram", normalized)
    if pad > 0:
        waveform = _padded(waveform, pad, pad)
    rows, shape = as_batch(waveform, 1)
    spectra = stft(
        rows,
        n_fft,
        hop_length,
        win_length,
        window,
        center,
        pad_mode,
        by_length,
        onesided,
        return_complex=True,
    )
    spectra = spectra.reshape(*shape, *spectra.shape[-2:])
    if by_window:
        spectra = spectra / window.square().sum().sqrt()
    if power is None:
        return spectra
    if power == 1.0:
        return spectra.abs()
    if power == 2.0:
        return spectra.real.square() + spectra.imag.square()
    return spectra.abs().pow(power)


def _padded(x: Tensor, before: int, after: int, mode: str = "constant") -> Tensor:
    """x with places added along its last dimension."""
    rows, shape = as_batch(x, 1)
    rows = pad(rows, (before, after), mode)
    return rows.reshape(*shape, rows.shape[-1])


def inverse_spectrogram(
    spectrogram: Tensor,
    length: int | None,
    pad: int,
    window: Tensor,
    n_fft: int,
    hop_length: int,
    win_length: int,
    normalized: bool | str,
    center: bool = True,
    pad_mode: str = "reflect",
    onesided: bool = True,
) -> Tensor:
    """The signals (..., time) whose complex `spectrogram` (..., frequencies, frames) is given; the
    other arguments as they were there.

    Args:
        length: of the signals; None: what the frames cover.

    Raises:
        ValueError: `spectrogram` is not complex.
        RuntimeError: sizes do not fit, or the windows leave a place uncovered.
    """
    by_length, by_window = _normalization("inverse_spectrogram", normalized)
    if not spectrogram.is_complex():
        raise ValueError("Expected `spectrogram` to be complex dtype.")
    if by_window:
        spectrogram = spectrogram * window.square().sum().sqrt()
    rows, shape = as_batch(spectrogram, 2)
    whole = None if length is None else length + 2 * pad
    y = istft(rows, n_fft, hop_length, win_length, window, center, by_length, onesided, whole)
    if pad > 0 and length is not None:
        y = y[:, pad:-pad]
    return y.reshape(*shape, y.shape[-1])


@no_grad()
def griffinlim(
    specgram: Tensor,
    window: Tensor,
    n_fft: int,
    hop_length: int,
    win_length: int,
    power: float,
    n_iter: int,
    momentum: float,
    length: int | None,
    rand_init: bool,
) -> Tensor:
    """Signals whose spectrograms come close to given ones, of which the phases were lost.

    Perraudin, Balazs and Sondergaard 2013, A fast Griffin-Lim algorithm: from guessed phases to a
    signal, and from its transform to better phases, which the step before carries on.

    Args:
        specgram: (..., frequencies, frames), absolute values to the `power`.
        window, n_fft, hop_length, win_length: as of `torch.stft`.
        n_iter: how many steps.
        momentum: in [0, 1); 0: the algorithm of Griffin and Lim 1984.
        length: of the signals; None: what the frames cover.
        rand_init: begin with random phases, else with 0.

    Returns:
        (..., time). No gradients are recorded.
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be in range [0, 1). Found: {momentum}")
    momentum = momentum / (1 + momentum)
    rows, shape = as_batch(specgram, 2)
    rows = rows.pow(1 / power)
    phases = 2 * math.pi * rand(rows.shape, dtype=rows.dtype) if rand_init else rows * 0
    turns = polar((rows * 0) + 1, phases)
    before = None
    for _ in range(n_iter):
        signal = istft(rows * turns, n_fft, hop_length, win_length, window, length=length)
        rebuilt = stft(signal, n_fft, hop_length, win_length, window, return_complex=True)
        turns = rebuilt if before is None else rebuilt - before * momentum
        before = rebuilt
        turns = turns / (turns.abs() + 1e-16)
    y = istft(rows * turns, n_fft, hop_length, win_length, window, length=length)
    return y.reshape(*shape, y.shape[-1])


# ---- filter banks -----------------------------------------------------------------------------

SLANEY_STEP = 200 / 3  # Hz a mel, up to 1000 Hz; beyond, a mel is a factor
SLANEY_FACTOR = math.log(6.4) / 27


def _to_mel(hertz, scale: str):
    if scale == "htk":
        return 2595 * np.log10(1 + np.asarray(hertz) / 700)
    low = np.asarray(hertz) / SLANEY_STEP
    high = 15 + np.log(np.maximum(hertz, 1000) / 1000) / SLANEY_FACTOR
    return np.where(np.asarray(hertz) < 1000, low, high)


def _to_hertz(mel, scale: str):
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, mel * SLANEY_STEP, 1000 * np.exp((mel - 15) * SLANEY_FACTOR))


def _triangles(points: np.ndarray, n_freqs: int, sample_rate: int) -> np.ndarray:
    """Triangles that rise from points[m] to points[m + 1] and fall to points[m + 2], in Hz, at the
    frequencies of a transform: (n_freqs, len(points) - 2)."""
    at = np.linspace(0, sample_rate // 2, n_freqs)[:, None]
    widths = np.diff(points)
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = (at - points[:-2]) / widths[:-1]
        falling = (points[2:] - at) / widths[1:]
    return np.maximum(0, np.minimum(rising, falling))


def melscale_fbanks(
    n_freqs: int,
    f_min: float,
    f_max: float,
    n_mels: int,
    sample_rate: int,
    norm: str | None = None,
    mel_scale: str = "htk",
) -> Tensor:
    """Triangular filters, evenly spaced on the mel scale, that overlap by halves.

    Args:
        n_freqs: frequencies of the spectra, from 0 to half of `sample_rate`.
        f_min, f_max: where the first filter begins and the last one ends, in Hz.
        n_mels: filters.
        sample_rate: in Hz.
        norm: None: every filter's peak is 1; "slaney": its area is 1.
        mel_scale: "htk": 2595 log10(1 + f / 700); "slaney": linear below 1000 Hz, logarithmic
            above.

    Returns:
        (n_freqs, n_mels), of the default dtype; made in double precision.

    Raises:
        ValueError: another `norm` or `mel_scale`.

    >>> from fastdl.audio import functional
    >>> functional.melscale_fbanks(5, 0.0, 4000.0, 2, 8000)
    tensor([[0.0000, 0.0000],
            [0.6759, 0.3241],
            [0.0000, 0.9055],
            [0.0000, 0.4528],
            [0.0000, 0.0000]])
    """
    if norm is not None and norm != "slaney":
        raise ValueError('norm must be one of None or "slaney"')
    if mel_scale not in ("htk", "slaney"):
        raise ValueError('mel_scale should be one of "htk" or "slaney".')
    mels = np.linspace(_to_mel(f_min, mel_scale), _to_mel(f_max, mel_scale), n_mels + 2)
    points = _to_hertz(mels, mel_scale)
    bank = _triangles(points, n_freqs, sample_rate)
    if norm == "slaney":
        bank *= 2 / (points[2:] - points[:-2])
    if (bank.max(axis=0, initial=0) == 0).any():
        warnings.warn(
            "At least one mel filterbank has all zero values. The value for `n_mels` "
            f"({n_mels}) may be set too high. Or, the value for `n_freqs` ({n_freqs}) may be set "
            "too low.",
            stacklevel=2,
        )
    return numbers_in(bank)


def linear_fbanks(
    n_freqs: int, f_min: float, f_max: float, n_filter: int, sample_rate: int
) -> Tensor:
    """`melscale_fbanks` with filters evenly spaced in Hz: (n_freqs, n_filter)."""
    return numbers_in(_triangles(np.linspace(f_min, f_max, n_filter + 2), n_freqs, sample_rate))


def create_dct(n_mfcc: int, n_mels: int, norm: str | None) -> Tensor:
    """The cosine transform of type 2 that takes rows of `n_mels` values to `n_mfcc` coefficients:
    `2 cos(pi (n + 1/2) k / n_mels)`, orthonormal for norm "ortho".

    Returns:
        (n_mels, n_mfcc), of the default dtype.

    Raises:
        ValueError: another `norm`.

    >>> from fastdl.audio import functional
    >>> functional.create_dct(2, 3, "ortho")
    tensor([[ 5.7735e-01,  7.0711e-01],
            [ 5.7735e-01,  4.9996e-17],
            [ 5.7735e-01, -7.0711e-01]])
    """
    if norm is not None and norm != "ortho":
        raise ValueError('norm must be either "ortho" or None')
    dct = 2 * np.cos(np.pi / n_mels * np.outer(np.arange(n_mels) + 0.5, np.arange(n_mfcc)))
    if norm == "ortho":
        dct *= np.sqrt(0.5 / n_mels)
        dct[:, 0] *= np.sqrt(0.5)
    return numbers_in(dct)


# ---- decibels ---------------------------------------------------------------------------------


def amplitude_to_DB(
    x: Tensor, multiplier: float, amin: float, db_multiplier: float, top_db: float | None = None
) -> Tensor:
    """Powers or amplitudes in decibels: `multiplier (log10(max(x, amin)) - db_multiplier)`.

    Args:
        x: any shape; (..., channel, frequency, time) where `top_db` is given.
        multiplier: 10 for powers, 20 for amplitudes.
        amin: what smaller values count as.
        db_multiplier: log10 of the value that is 0 dB.
        top_db: cut what lies more than so many dB below the greatest value, of each element of the
            batch, channels together; of everything where `x` has two dimensions or fewer.

    >>> import fastdl
    >>> fastdl.audio.functional.amplitude_to_DB(fastdl.tensor([1.0, 100.0, 0.0]), 10, 1e-10, 0, 50)
    tensor([  0.0000,  20.0000, -30.0000])
    """
    y = multiplier * log10(clamp(x, min=amin)) - multiplier * db_multiplier
    if top_db is None:
        return y
    if y.ndim <= 3:
        return maximum(y, y.amax() - top_db)
    return maximum(y, y.amax((-3, -2, -1), keepdim=True) - top_db)


def DB_to_amplitude(x: Tensor, ref: float, power: float) -> Tensor:
    """Decibels as powers (`power` 1) or amplitudes (0.5): `ref (10^(x / 10))^power`."""
    return ref * (10.0 ** (0.1 * x)).pow(power)


# ---- masks ------------------------------------------------------------------------------------


def _mask_width(specgram: Tensor, mask_param: int, axis: int, p: float) -> int:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"The value of p must be between 0.0 and 1.0 ({p} given).")
    return mask_param if p == 1.0 else min(mask_param, int(specgram.shape[axis] * p))


def _masked(specgram: Tensor, width: int, mask_value, axis: int, lead: tuple[int, ...]) -> Tensor:
    """A run of places along `axis` set to `mask_value`: its length uniform in [0, width), its place
    among those where it fits; drawn `lead` times, for so many first dimensions."""
    size = specgram.shape[axis]
    drawn = rand((2, *lead), dtype=_dtype.float64).array
    length = drawn[0] * width
    start = drawn[1] * (size - length)
    first = np.floor(start)[..., None]
    places = np.arange(size)
    mask = (places >= first) & (places < first + np.floor(length)[..., None])
    shape = [*lead, *(1,) * (specgram.ndim - len(lead))]
    shape[axis] = size
    return where(from_numpy(mask.reshape(shape)), mask_value, specgram)


def mask_along_axis(
    specgram: Tensor, mask_param: int, mask_value: float, axis: int, p: float = 1.0
) -> Tensor:
    """Sets a random run of frequencies or frames to `mask_value`, the same of all channels and
    elements of the batch. Park et al. 2019, SpecAugment.

    Args:
        specgram: (..., frequency, time).
        mask_param: the run is shorter than this.
        axis: the last dimension but one for frequencies, the last one for frames.
        p: the greatest share of the axis that is masked.

    Raises:
        ValueError: another axis, or p outside [0, 1].
    """
    dim = specgram.ndim
    if axis not in (dim - 2, dim - 1, -2, -1):
        raise ValueError(
            f"Only Frequency and Time masking are supported (axis {dim - 2} and axis {dim - 1} "
            f"supported; {axis} given)."
        )
    width = _mask_width(specgram, mask_param, axis, p)
    return specgram if width < 1 else _masked(specgram, width, mask_value, axis, ())


def mask_along_axis_iid(
    specgrams: Tensor, mask_param: int, mask_value: float, axis: int, p: float = 1.0
) -> Tensor:
    """`mask_along_axis` with a run of its own for every channel of every element of the batch.

    Args:
        specgrams: (..., frequency, time), of at least 3 dimensions.

    Raises:
        ValueError: another axis, too few dimensions, or p outside [0, 1].
    """
    dim = specgrams.ndim
    if dim < 3:
        raise ValueError(f"Spectrogram must have at least three dimensions ({dim} given).")
    if axis not in (dim - 2, dim - 1, -2, -1):
        raise ValueError(
            f"Only Frequency and Time masking are supported (axis {dim - 2} and axis {dim - 1} "
            f"supported; {axis} given)."
        )
    width = _mask_width(specgrams, mask_param, axis, p)
    lead = tuple(specgrams.shape[:-2])
    return specgrams if width < 1 else _masked(specgrams, width, mask_value, axis, lead)


# ---- phases -----------------------------------------------------------------------------------


def phase_vocoder(complex_specgrams: Tensor, rate: float, phase_advance: Tensor) -> Tensor:
    """Spectrograms sped up by `rate` without a change of pitch: amplitudes between frames, and
    phases that go on as fast as from frame to frame.

    Args:
        complex_specgrams: (..., frequency, time), complex.
        rate: 2 for half as many frames.
        phase_advance: (frequency, 1): the phase that each frequency turns by from frame to frame.

    Returns:
        (..., frequency, ceil(time / rate)), complex.
    """
    if rate == 1.0:
        return complex_specgrams
    frames = complex_specgrams.shape[-1]
    places = np.arange(0, frames, rate)
    before = places.astype(np.int64)
    real = complex_specgrams.real.array.dtype
    share = from_numpy((places % 1.0).astype(real))
    ends = np.zeros((*complex_specgrams.shape[:-1], 2), complex_specgrams.array.dtype)
    padded = cat([complex_specgrams, from_numpy(ends)], -1)
    one, two = padded[..., from_numpy(before)], padded[..., from_numpy(before + 1)]
    turn = angle(two) - angle(one) - phase_advance
    turn = turn - 2 * math.pi * (turn / (2 * math.pi)).round() + phase_advance
    turn = cat([angle(complex_specgrams[..., :1]), turn[..., :-1]], -1)
    return polar(share * two.abs() + (1 - share) * one.abs(), turn.cumsum(-1))


def spectral_centroid(
    waveform: Tensor,
    sample_rate: int,
    pad: int,
    window: Tensor,
    n_fft: int,
    hop_length: int,
    win_length: int,
) -> Tensor:
    """The mean frequency of every frame, weighted with amplitudes: (..., frames), in Hz."""
    amplitudes = spectrogram(
        waveform, pad, window, n_fft, hop_length, win_length, power=1.0, normalized=False
    )
    at = np.linspace(0, sample_rate // 2, 1 + n_fft // 2)[:, None]
    at = from_numpy(at.astype(amplitudes.array.dtype))
    return (at * amplitudes).sum(-2) / amplitudes.sum(-2)
