"""Transforms of sound as modules, under torchaudio's names; see `fastdl.audio.functional`.

>>> import fastdl
>>> from fastdl.audio import transforms
>>> features = fastdl.nn.Sequential(
...     transforms.MelSpectrogram(sample_rate=8000, n_fft=256, n_mels=20),
...     transforms.AmplitudeToDB(top_db=80),
... )
>>> features(fastdl.randn(2, 1, 4000)).shape
fastdl.Size([2, 1, 20, 32])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from fastdl.audio import functional as F
from fastdl.audio.functional.arguments import numbers_in
from fastdl.audio.functional.waves import Resampler, _check_rates
from fastdl.nn import Module, ModuleList
from fastdl.ops.creation import from_numpy
from fastdl.ops.elementwise import clamp, log
from fastdl.ops.fft import hann_window
from fastdl.ops.linalg import matmul
from fastdl.ops.random import randint
from fastdl.tensor import Tensor

__all__ = [
    "LFCC",
    "MFCC",
    "AddNoise",
    "AmplitudeToDB",
    "ComputeDeltas",
    "Convolve",
    "Deemphasis",
    "FFTConvolve",
    "Fade",
    "FrequencyMasking",
    "GriffinLim",
    "InverseMelScale",
    "InverseSpectrogram",
    "MelScale",
    "MelSpectrogram",
    "MuLawDecoding",
    "MuLawEncoding",
    "PitchShift",
    "Preemphasis",
    "Resample",
    "SpecAugment",
    "SpectralCentroid",
    "Spectrogram",
    "Speed",
    "SpeedPerturbation",
    "TimeMasking",
    "TimeStretch",
    "Vol",
]


class _Framed(Module):
    """Holds a transform's length, its steps and its window."""

    def __init__(self, n_fft, win_length, hop_length, window_fn, wkwargs) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.win_length = n_fft if win_length is None else win_length
        self.hop_length = self.win_length // 2 if hop_length is None else hop_length
        self.register_buffer("window", window_fn(self.win_length, **(wkwargs or {})))


# ---- spectrograms -----------------------------------------------------------------------------


class Spectrogram(_Framed):
    """Waveforms (..., time) to spectrograms (..., frequency, frame): `functional.spectrogram`.

    Args:
        n_fft: length of the transforms; n_fft // 2 + 1 frequencies.
        win_length: of the window; None: n_fft.
        hop_length: from frame to frame; None: win_length // 2.
        pad: zeros to add at both ends.
        window_fn, wkwargs: makes the window of a length, and its other arguments.
        power: 1: amplitudes; 2: powers; None: complex numbers.
        normalized: True or "window": divide by the root of the window's energy; "frame_length": of
            n_fft.
        center, pad_mode, onesided: as of `torch.stft`.
        return_complex: not looked at.
    """

    def __init__(
        self,
        n_fft: int = 400,
        win_length: int | None = None,
        hop_length: int | None = None,
        pad: int = 0,
        window_fn: Callable[..., Tensor] = hann_window,
        power: float | None = 2.0,
        normalized: bool | str = False,
        wkwargs: dict | None = None,
        center: bool = True,
        pad_mode: str = "reflect",
        onesided: bool = True,
        return_complex: bool | None = None,
    ) -> None:
        super().__init__(n_fft, win_length, hop_length, window_fn, wkwargs)
        self.pad = pad
        self.power = power
        self.normalized = normalized
        self.center = center
        self.pad_mode = pad_mode
        self.onesided = onesided

    def forward(self, waveform: Tensor) -> Tensor:
        return F.spectrogram(
            waveform,
            self.pad,
            self.window,
            self.n_fft,
            self.hop_length,
            self.win_length,
            self.power,
            self.normalized,
            self.center,
            self.pad_mode,
            self.onesided,
        )


class InverseSpectrogram(_Framed):
    """Complex spectrograms (..., frequency, frame) to waveforms (..., time). Arguments: those of
    the :class:`Spectrogram` with `power=None` that made them."""

    def __init__(
        self,
        n_fft: int = 400,
        win_length: int | None = None,
        hop_length: int | None = None,
        pad: int = 0,
        window_fn: Callable[..., Tensor] = hann_window,
        normalized: bool | str = False,
        wkwargs: dict | None = None,
        center: bool = True,
        pad_mode: str = "reflect",
        onesided: bool = True,
    ) -> None:
        super().__init__(n_fft, win_length, hop_length, window_fn, wkwargs)
        self.pad = pad
        self.normalized = normalized
        self.center = center
        self.pad_mode = pad_mode
        self.onesided = onesided

    def forward(self, spectrogram: Tensor, length: int | None = None) -> Tensor:
        """`length`: of the waveforms; None: what the frames cover."""
        return F.inverse_spectrogram(
            spectrogram,
            length,
            self.pad,
            self.window,
            self.n_fft,
            self.hop_length,
            self.win_length,
            self.normalized,
            self.center,
            self.pad_mode,
            self.onesided,
        )


class GriffinLim(_Framed):
    """Spectrograms without phases (..., frequency, frame) to waveforms: `functional.griffinlim`."""

    def __init__(
        self,
        n_fft: int = 400,
        n_iter: int = 32,
        win_length: int | None = None,
        hop_length: int | None = None,
        window_fn: Callable[..., Tensor] = hann_window,
        power: float = 2.0,
        wkwargs: dict | None = None,
        momentum: float = 0.99,
        length: int | None = None,
        rand_init: bool = True,
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in the range [0, 1). Found: {momentum}")
        super().__init__(n_fft, win_length, hop_length, window_fn, wkwargs)
        self.n_iter = n_iter
        self.power = power
        self.length = length
        self.momentum = momentum
        self.rand_init = rand_init

    def forward(self, specgram: Tensor) -> Tensor:
        return F.griffinlim(
            specgram,
            self.window,
            self.n_fft,
            self.hop_length,
            self.win_length,
            self.power,
            self.n_iter,
            self.momentum,
            self.length,
            self.rand_init,
        )


class SpectralCentroid(Module):
    """Waveforms (..., time) to the mean frequency of each frame (..., frame), in Hz."""

    def __init__(
        self,
        sample_rate: int,
        n_fft: int = 400,
        win_length: int | None = None,
        hop_length: int | None = None,
        pad: int = 0,
        window_fn: Callable[..., Tensor] = hann_window,
        wkwargs: dict | None = None,
    ) -> None:
        super().__init__()
        self.spectrogram = Spectrogram(
            n_fft, win_length, hop_length, pad, window_fn, 1.0, wkwargs=wkwargs
        )
        self.sample_rate = sample_rate

    def forward(self, waveform: Tensor) -> Tensor:
        s = self.spectrogram
        return F.spectral_centroid(
            waveform, self.sample_rate, s.pad, s.window, s.n_fft, s.hop_length, s.win_length
        )


# ---- mel scale and cepstra --------------------------------------------------------------------


class MelScale(Module):
    """Spectrograms (..., n_stft, frame) to (..., n_mels, frame): `functional.melscale_fbanks`."""

    def __init__(
        self,
        n_mels: int = 128,
        sample_rate: int = 16000,
        f_min: float = 0.0,
        f_max: float | None = None,
        n_stft: int = 201,
        norm: str | None = None,
        mel_scale: str = "htk",
    ) -> None:
        super().__init__()
        self.n_mels = n_mels
        self.sample_rate = sample_rate
        self.f_min = f_min
        self.f_max = float(sample_rate // 2) if f_max is None else f_max
        self.norm = norm
        self.mel_scale = mel_scale
        if self.f_min > self.f_max:
            raise ValueError(f"Require f_min: {self.f_min} <= f_max: {self.f_max}")
        bank = F.melscale_fbanks(
            n_stft, self.f_min, self.f_max, n_mels, sample_rate, norm, mel_scale
        )
        self.register_buffer("fb", bank)

    def forward(self, specgram: Tensor) -> Tensor:
        return matmul(self.fb.T, specgram)


class InverseMelScale(Module):
    """Mel spectrograms (..., n_mels, frame) to the non-negative part of the spectrograms (...,
    n_stft, frame) of least squares that have them; of many, the smallest."""

    def __init__(
        self,
        n_stft: int,
        n_mels: int = 128,
        sample_rate: int = 16000,
        f_min: float = 0.0,
        f_max: float | None = None,
        norm: str | None = None,
        mel_scale: str = "htk",
        driver: str = "gels",
    ) -> None:
        super().__init__()
        if driver not in ("gels", "gelsy", "gelsd", "gelss"):
            raise ValueError(
                f'driver must be one of ["gels", "gelsy", "gelsd", "gelss"]. Found {driver}'
            )
        self.n_mels = n_mels
        self.register_buffer("fb", MelScale(
            n_mels, sample_rate, f_min, f_max, n_stft, norm, mel_scale
        ).fb)  # fmt: skip

    def forward(self, melspec: Tensor) -> Tensor:
        if melspec.shape[-2] != self.n_mels:
            raise ValueError(
                f"Expected an input with {self.n_mels} mel bins. Found: {melspec.shape[-2]}"
            )
        inverse = np.linalg.pinv(self.fb.array.T.astype(np.float64), rtol=1e-7)
        return matmul(numbers_in(inverse), melspec).relu()


class MelSpectrogram(Module):
    """Waveforms (..., time) to mel spectrograms (..., n_mels, frame): :class:`Spectrogram`, then
    :class:`MelScale`, whose arguments these are. `onesided` is not looked at."""

    def __init__(
        self,
        sample_rate: int = 16000,
        n_fft: int = 400,
        win_length: int | None = None,
        hop_length: int | None = None,
        f_min: float = 0.0,
        f_max: float | None = None,
        pad: int = 0,
        n_mels: int = 128,
        window_fn: Callable[..., Tensor] = hann_window,
        power: float = 2.0,
        normalized: bool = False,
        wkwargs: dict | None = None,
        center: bool = True,
        pad_mode: str = "reflect",
        onesided: bool | None = None,
        norm: str | None = None,
        mel_scale: str = "htk",
    ) -> None:
        super().__init__()
        self.spectrogram = Spectrogram(
            n_fft,
            win_length,
            hop_length,
            pad,
            window_fn,
            power,
            normalized,
            wkwargs,
            center,
            pad_mode,
        )
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.win_length = self.spectrogram.win_length
        self.hop_length = self.spectrogram.hop_length
        self.n_mels = n_mels
        self.mel_scale = MelScale(
            n_mels, sample_rate, f_min, f_max, n_fft // 2 + 1, norm, mel_scale
        )

    def forward(self, waveform: Tensor) -> Tensor:
        return self.mel_scale(self.spectrogram(waveform))


def _cepstra(spectra: Tensor, dct: Tensor, to_log: Callable[[Tensor], Tensor]) -> Tensor:
    """The cosine transform of the spectra's logarithms, (..., n_filters, frame)."""
    return matmul(dct.T, to_log(spectra))


def _log_small(x: Tensor) -> Tensor:
    return log(x + 1e-6)


class MFCC(Module):
    """Waveforms (..., time) to mel-frequency cepstral coefficients (..., n_mfcc, frame): the cosine
    transform of the logarithm of a mel spectrogram. Davis and Mermelstein 1980.

    Args:
        sample_rate: in Hz.
        n_mfcc: how many coefficients.
        dct_type: 2.
        norm: "ortho" or None.
        log_mels: natural logarithms of the mel spectrogram plus 1e-6; else decibels, 80 dB deep.
        melkwargs: of the :class:`MelSpectrogram`.

    Raises:
        ValueError: another `dct_type`, or more coefficients than mels.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        n_mfcc: int = 40,
        dct_type: int = 2,
        norm: str = "ortho",
        log_mels: bool = False,
        melkwargs: dict | None = None,
    ) -> None:
        super().__init__()
        if dct_type != 2:
            raise ValueError(f"DCT type not supported: {dct_type}")
        self.n_mfcc = n_mfcc
        self.log_mels = log_mels
        self.amplitude_to_DB = AmplitudeToDB("power", 80.0)
        self.MelSpectrogram = MelSpectrogram(sample_rate=sample_rate, **(melkwargs or {}))
        if n_mfcc > self.MelSpectrogram.n_mels:
            raise ValueError("Cannot select more MFCC coefficients than # mel bins")
        self.register_buffer("dct_mat", F.create_dct(n_mfcc, self.MelSpectrogram.n_mels, norm))

    def forward(self, waveform: Tensor) -> Tensor:
        to_log = _log_small if self.log_mels else self.amplitude_to_DB
        return _cepstra(self.MelSpectrogram(waveform), self.dct_mat, to_log)


class LFCC(Module):
    """:class:`MFCC` with filters evenly spaced in Hz, from `f_min` to `f_max`.

    Raises:
        ValueError: another `dct_type`, or more coefficients than frequencies.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        n_filter: int = 128,
        f_min: float = 0.0,
        f_max: float | None = None,
        n_lfcc: int = 40,
        dct_type: int = 2,
        norm: str = "ortho",
        log_lf: bool = False,
        speckwargs: dict | None = None,
    ) -> None:
        super().__init__()
        if dct_type != 2:
            raise ValueError(f"DCT type not supported: {dct_type}")
        self.log_lf = log_lf
        self.amplitude_to_DB = AmplitudeToDB("power", 80.0)
        self.Spectrogram = Spectrogram(**(speckwargs or {}))
        if n_lfcc > self.Spectrogram.n_fft:
            raise ValueError("Cannot select more LFCC coefficients than # fft bins")
        f_max = float(sample_rate // 2) if f_max is None else f_max
        bank = F.linear_fbanks(self.Spectrogram.n_fft // 2 + 1, f_min, f_max, n_filter, sample_rate)
        self.register_buffer("filter_mat", bank)
        self.register_buffer("dct_mat", F.create_dct(n_lfcc, n_filter, norm))

    def forward(self, waveform: Tensor) -> Tensor:
        spectra = matmul(self.filter_mat.T, self.Spectrogram(waveform))
        return _cepstra(spectra, self.dct_mat, _log_small if self.log_lf else self.amplitude_to_DB)


class AmplitudeToDB(Module):
    """Spectrograms in decibels, relative to 1, values below 1e-10 counting as that.

    Args:
        stype: "power" or "magnitude", what the values are.
        top_db: cut what lies more than so many dB below the greatest value of each element of the
            batch.

    Raises:
        ValueError: a negative `top_db`.
    """

    def __init__(self, stype: str = "power", top_db: float | None = None) -> None:
        super().__init__()
        if top_db is not None and top_db < 0:
            raise ValueError("top_db must be positive value")
        self.stype = stype
        self.top_db = top_db
        self.multiplier = 10.0 if stype == "power" else 20.0
        self.amin = 1e-10
        self.ref_value = 1.0
        self.db_multiplier = math.log10(max(self.amin, self.ref_value))

    def forward(self, x: Tensor) -> Tensor:
        return F.amplitude_to_DB(x, self.multiplier, self.amin, self.db_multiplier, self.top_db)


class ComputeDeltas(Module):
    """How fast features change, see `functional.compute_deltas`."""

    def __init__(self, win_length: int = 5, mode: str = "replicate") -> None:
        super().__init__()
        self.win_length = win_length
        self.mode = mode

    def forward(self, specgram: Tensor) -> Tensor:
        return F.compute_deltas(specgram, self.win_length, self.mode)


# ---- augmentation of spectrograms -------------------------------------------------------------


class _AxisMasking(Module):
    """A random run along one of the last two axes is set to a value."""

    def __init__(self, mask_param: int, axis: int, iid_masks: bool, p: float = 1.0) -> None:
        super().__init__()
        self.mask_param = mask_param
        self.axis = axis
        self.iid_masks = iid_masks
        self.p = p

    def forward(self, specgram: Tensor, mask_value: float | Tensor = 0.0) -> Tensor:
        mask = F.mask_along_axis_iid if self.iid_masks else F.mask_along_axis
        return mask(specgram, self.mask_param, mask_value, specgram.ndim - self.axis, p=self.p)


class FrequencyMasking(_AxisMasking):
    """Sets fewer than `freq_mask_param` neighbouring frequencies of (..., frequency, time) to
    `mask_value`; with `iid_masks` others for every channel of every element of the batch."""

    def __init__(self, freq_mask_param: int, iid_masks: bool = False) -> None:
        super().__init__(freq_mask_param, 2, iid_masks)


class TimeMasking(_AxisMasking):
    """The same along time; `p`: the greatest share of the frames that is masked.

    Raises:
        ValueError: p outside [0, 1].
    """

    def __init__(self, time_mask_param: int, iid_masks: bool = False, p: float = 1.0) -> None:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"The value of p must be between 0.0 and 1.0 ({p} given).")
        super().__init__(time_mask_param, 1, iid_masks, p)


class SpecAugment(Module):
    """Several masks along time and frequency. Park et al. 2019, SpecAugment.

    Args:
        n_time_masks, time_mask_param: how many, each shorter than so many frames.
        n_freq_masks, freq_mask_param: how many, each narrower than so many frequencies.
        iid_masks: others for every channel of every element of the batch.
        p: the greatest share of the frames that one mask covers.
        zero_masking: fill with 0; else with the mean.
    """

    def __init__(
        self,
        n_time_masks: int,
        time_mask_param: int,
        n_freq_masks: int,
        freq_mask_param: int,
        iid_masks: bool = True,
        p: float = 1.0,
        zero_masking: bool = False,
    ) -> None:
        super().__init__()
        self.n_time_masks = n_time_masks
        self.time_mask_param = time_mask_param
        self.n_freq_masks = n_freq_masks
        self.freq_mask_param = freq_mask_param
        self.iid_masks = iid_masks
        self.p = p
        self.zero_masking = zero_masking

    def forward(self, specgram: Tensor) -> Tensor:
        value = 0.0 if self.zero_masking else specgram.mean()
        iid = self.iid_masks and specgram.ndim > 2
        mask = F.mask_along_axis_iid if iid else F.mask_along_axis
        for _ in range(self.n_time_masks):
            specgram = mask(specgram, self.time_mask_param, value, -1, p=self.p)
        for _ in range(self.n_freq_masks):
            specgram = mask(specgram, self.freq_mask_param, value, -2)
        return specgram


class TimeStretch(Module):
    """Complex spectrograms (..., frequency, frame) sped up without a change of pitch.

    Args:
        hop_length: from frame to frame; None: n_freq - 1, half the length of the transforms.
        n_freq: frequencies.
        fixed_rate: how much faster; None: given to each call.
    """

    def __init__(
        self, hop_length: int | None = None, n_freq: int = 201, fixed_rate: float | None = None
    ) -> None:
        super().__init__()
        self.fixed_rate = fixed_rate
        hop_length = n_freq - 1 if hop_length is None else hop_length
        advance = np.linspace(0, math.pi * hop_length, n_freq)[:, None]
        self.register_buffer("phase_advance", numbers_in(advance))

    def forward(self, complex_specgrams: Tensor, overriding_rate: float | None = None) -> Tensor:
        """`overriding_rate`: instead of `fixed_rate`. ValueError without either."""
        rate = self.fixed_rate if overriding_rate is None else overriding_rate
        if rate is None:
            raise ValueError("If no fixed_rate is specified, must pass a valid rate to the forward")
        return F.phase_vocoder(complex_specgrams, rate, self.phase_advance)


# ---- waveforms --------------------------------------------------------------------------------


class MuLawEncoding(Module):
    """Samples in [-1, 1] as whole numbers, see `functional.mu_law_encoding`."""

    def __init__(self, quantization_channels: int = 256) -> None:
        super().__init__()
        self.quantization_channels = quantization_channels

    def forward(self, x: Tensor) -> Tensor:
        return F.mu_law_encoding(x, self.quantization_channels)


class MuLawDecoding(MuLawEncoding):
    """The inverse of :class:`MuLawEncoding`."""

    def forward(self, x_mu: Tensor) -> Tensor:
        return F.mu_law_decoding(x_mu, self.quantization_channels)


class Resample(Module):
    """Waveforms (..., time) at another sample rate, see `functional.resample`; the filters are made
    once, of `dtype` or the default one."""

    def __init__(
        self,
        orig_freq: int = 16000,
        new_freq: int = 16000,
        resampling_method: str = "sinc_interp_hann",
        lowpass_filter_width: int = 6,
        rolloff: float = 0.99,
        beta: float | None = None,
        *,
        dtype=None,
    ) -> None:
        super().__init__()
        self.orig_freq = orig_freq
        self.new_freq = new_freq
        orig, new = _check_rates(orig_freq, new_freq)
        self.resampler = None
        if orig != new:
            self.resampler = Resampler(
                orig, new, lowpass_filter_width, rolloff, resampling_method, beta
            )
            filters = self.resampler.filters
            kernel = numbers_in(filters) if dtype is None else from_numpy(filters).to(dtype)
            self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        if self.resampler is None:
            return waveform
        return self.resampler(waveform, self.kernel.to(waveform.dtype))


class Speed(Module):
    """Waveforms played `factor` times as fast, see `functional.speed`.

    >>> import fastdl
    >>> from fastdl.audio import transforms
    >>> waveform, lengths = transforms.Speed(16000, 2.0)(fastdl.zeros(3, 400))
    >>> waveform.shape, lengths
    (fastdl.Size([3, 200]), None)
    """

    def __init__(self, orig_freq: int, factor: float) -> None:
        super().__init__()
        self.orig_freq = orig_freq
        self.factor = factor

    def forward(
        self, waveform: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        return F.speed(waveform, self.orig_freq, self.factor, lengths)


class SpeedPerturbation(Module):
    """:class:`Speed` by a factor drawn from `factors` in each call. Ko et al. 2015."""

    def __init__(self, orig_freq: int, factors: Sequence[float]) -> None:
        super().__init__()
        self.speeders = ModuleList([Speed(orig_freq, factor) for factor in factors])

    def forward(
        self, waveform: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        chosen = int(randint(len(self.speeders), ()).item())
        return self.speeders[chosen](waveform, lengths)


class PitchShift(Module):
    """Waveforms (..., time) higher by `n_steps`, see `functional.pitch_shift`."""

    def __init__(
        self,
        sample_rate: int,
        n_steps: int,
        bins_per_octave: int = 12,
        n_fft: int = 512,
        win_length: int | None = None,
        hop_length: int | None = None,
        window_fn: Callable[..., Tensor] = hann_window,
        wkwargs: dict | None = None,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.n_steps = n_steps
        self.bins_per_octave = bins_per_octave
        self.n_fft = n_fft
        self.win_length = n_fft if win_length is None else win_length
        self.hop_length = self.win_length // 4 if hop_length is None else hop_length
        self.register_buffer("window", window_fn(self.win_length, **(wkwargs or {})))

    def forward(self, waveform: Tensor) -> Tensor:
        return F.pitch_shift(
            waveform,
            self.sample_rate,
            self.n_steps,
            self.bins_per_octave,
            self.n_fft,
            self.win_length,
            self.hop_length,
            self.window,
        )


class Fade(Module):
    """Waveforms (..., time) that become louder at the beginning and softer at the end.

    Args:
        fade_in_len, fade_out_len: over so many samples.
        fade_shape: "linear", "exponential", "logarithmic", "quarter_sine" or "half_sine".

    >>> import fastdl
    >>> from fastdl.audio import transforms
    >>> transforms.Fade(3, 2)(fastdl.ones(6))
    tensor([0.0000, 0.5000, 1.0000, 1.0000, 1.0000, 0.0000])
    """

    SHAPES = ("linear", "exponential", "logarithmic", "quarter_sine", "half_sine")

    def __init__(
        self, fade_in_len: int = 0, fade_out_len: int = 0, fade_shape: str = "linear"
    ) -> None:
        super().__init__()
        if fade_shape not in self.SHAPES:
            raise ValueError(f"Fade: expected one of {self.SHAPES}, but got {fade_shape!r}")
        self.fade_in_len = fade_in_len
        self.fade_out_len = fade_out_len
        self.fade_shape = fade_shape

    def _rising(self, x: np.ndarray) -> np.ndarray:
        """From 0 to 1, as x does."""
        if self.fade_shape == "exponential":
            return 2 ** (x - 1) * x
        if self.fade_shape == "logarithmic":
            return np.log10(0.1 + x) + 1
        if self.fade_shape == "quarter_sine":
            return np.sin(x * np.pi / 2)
        if self.fade_shape == "half_sine":
            return np.sin(x * np.pi - np.pi / 2) / 2 + 0.5
        return x

    def forward(self, waveform: Tensor) -> Tensor:
        length = waveform.shape[-1]
        if max(self.fade_in_len, self.fade_out_len) > length:
            raise ValueError(
                f"Fade: a waveform of {length} samples is shorter than its fade, "
                f"{max(self.fade_in_len, self.fade_out_len)}"
            )
        factors = np.ones(length)
        n, m = self.fade_in_len, self.fade_out_len
        factors[:n] = np.clip(self._rising(np.linspace(0, 1, n)), 0, 1)
        factors[length - m :] *= np.clip(self._rising(np.linspace(0, 1, m)), 0, 1)[::-1]
        return waveform * from_numpy(factors.astype(waveform.array.dtype))


class Vol(Module):
    """Waveforms louder by a `gain`, and cut to [-1, 1].

    Args:
        gain: a factor, of amplitudes or powers, or decibels.
        gain_type: "amplitude", "power" or "db".

    Raises:
        ValueError: a negative factor.
    """

    def __init__(self, gain: float, gain_type: str = "amplitude") -> None:
        super().__init__()
        if gain_type not in ("amplitude", "power", "db"):
            raise ValueError(f"Vol: expected 'amplitude', 'power' or 'db', but got {gain_type!r}")
        if gain_type in ("amplitude", "power") and gain < 0:
            raise ValueError("If gain_type = amplitude or power, gain must be positive.")
        self.gain = gain
        self.gain_type = gain_type

    def forward(self, waveform: Tensor) -> Tensor:
        if self.gain_type == "amplitude":
            y = waveform * self.gain
        elif self.gain_type == "db":
            y = F.gain(waveform, self.gain)
        else:
            y = F.gain(waveform, 10 * math.log10(self.gain))
        return clamp(y, -1, 1)


class AddNoise(Module):
    """Waveforms with noise at a signal-to-noise ratio, see `functional.add_noise`."""

    def forward(
        self, waveform: Tensor, noise: Tensor, snr: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        return F.add_noise(waveform, noise, snr, lengths)


class Preemphasis(Module):
    """y[t] = x[t] - coeff x[t - 1] over waveforms (..., time)."""

    def __init__(self, coeff: float = 0.97) -> None:
        super().__init__()
        self.coeff = coeff

    def forward(self, waveform: Tensor) -> Tensor:
        return F.preemphasis(waveform, coeff=self.coeff)


class Deemphasis(Preemphasis):
    """The inverse of :class:`Preemphasis`."""

    def forward(self, waveform: Tensor) -> Tensor:
        return F.deemphasis(waveform, coeff=self.coeff)


class Convolve(Module):
    """The convolution of two signals along time, see `functional.convolve`."""

    def __init__(self, mode: str = "full") -> None:
        super().__init__()
        if mode not in ("full", "valid", "same"):
            raise ValueError(
                f"Unrecognized mode value '{mode}'. Please specify one of ['full', 'valid', "
                "'same']."
            )
        self.mode = mode

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.convolve(x, y, mode=self.mode)


class FFTConvolve(Convolve):
    """The same by Fourier transforms."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.fftconvolve(x, y, mode=self.mode)
