"""Reading and writing sound as tensors: WAV by hand, other formats through soundfile."""

from __future__ import annotations

import contextlib
import io
import os
from typing import NamedTuple

import numpy as np

from fastdl.audio import wav
from fastdl.audio.wav import AudioFileError
from fastdl.io.files import write_whole
from fastdl.ops.creation import from_numpy
from fastdl.tensor import Tensor

__all__ = ["AudioMetaData", "info", "load", "save"]

# The encoding and bits that samples of a dtype are saved with, unless told.
ENCODINGS = {
    "uint8": ("PCM_U", 8), "int16": ("PCM_S", 16), "int32": ("PCM_S", 32),
    "float32": ("PCM_F", 32), "float64": ("PCM_F", 64),
}  # fmt: skip
BITS = {"PCM_U": (8,), "PCM_S": (32, 24, 16), "PCM_F": (32, 64)}  # the first unless told
WAV_ENDINGS = {"wav", "wave"}


class AudioMetaData(NamedTuple):
    """What :func:`info` finds: the samples a second, the samples of a channel, the channels, the
    bits of a sample (0 where the format has no such number), and the encoding: "PCM_S", "PCM_U",
    "PCM_F", or a compressed format's name."""

    sample_rate: int
    num_frames: int
    num_channels: int
    bits_per_sample: int
    encoding: str


def _soundfile(what: str):
    try:
        import soundfile
    except ImportError:
        raise ImportError(
            f"{what} is no WAV file; other formats (FLAC, OGG, MP3) need soundfile: "
            "pip install 'fastdl[audio]'"
        ) from None
    return soundfile


@contextlib.contextmanager
def _opened(uri):
    """(a seekable binary file, its name)."""
    if hasattr(uri, "read"):
        name = str(getattr(uri, "name", type(uri).__name__))
        seekable = getattr(uri, "seekable", lambda: True)()
        yield (uri if seekable else io.BytesIO(uri.read())), name
    else:
        with open(os.fspath(uri), "rb") as file:
            yield file, os.fspath(uri)


def _is_wav(file, name: str, format: str | None) -> bool:
    """Is it to be read as WAV: by its first bytes, and what is neither that nor of another known
    ending, so that the error is a WAV file's."""
    head = file.read(4)
    file.seek(0)
    ending = (format or os.path.splitext(name)[1].removeprefix(".")).lower()
    return head == b"RIFF" or ending in WAV_ENDINGS or not ending


def info(uri, format: str | None = None, buffer_size: int = 4096, backend=None) -> AudioMetaData:
    """What a file holds, without its samples.

    Args:
        uri: a path, or a file open for reading.
        format: the ending that `uri` would have, of an open file.
        buffer_size, backend: taken for torchaudio's sake, and not looked at.

    Raises:
        AudioFileError: truncated, damaged, or of an unknown kind.
        ImportError: no WAV file, and soundfile is missing.
    """
    with _opened(uri) as (file, name):
        if _is_wav(file, name, format):
            found = wav.read_layout(file, name)
            encoding = "PCM_F" if found.tag == wav.FLOAT else "PCM_S"
            encoding = "PCM_U" if found.bits == 8 else encoding
            return AudioMetaData(
                found.sample_rate, found.frames, found.channels, found.bits, encoding
            )
        soundfile = _soundfile(name)
        try:
            found = soundfile.info(file)
        except soundfile.LibsndfileError as error:
            raise AudioFileError(f"{name}: {error}") from error
        bits = found.subtype.rpartition("_")[2]
        return AudioMetaData(
            found.samplerate,
            found.frames,
            found.channels,
            int(bits) if bits.isdigit() else 0,
            found.format if found.format in ("FLAC", "MP3") else found.subtype,
        )


def _normalized(samples: np.ndarray) -> np.ndarray:
    """Samples as float32, integers so that full scale is 1."""
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    full = 2.0 ** (8 * samples.itemsize - 1)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / np.float32(128)
    return (samples * (1 / full)).astype(np.float32)


def load(
    uri,
    frame_offset: int = 0,
    num_frames: int = -1,
    normalize: bool = True,
    channels_first: bool = True,
    format: str | None = None,
    buffer_size: int = 4096,
    backend=None,
) -> tuple[Tensor, int]:
    """The samples of a file, and how many there are a second.

    Args:
        uri: a path, or a file open for reading.
        frame_offset: samples of each channel to pass over.
        num_frames: how many to read at most; -1: all that follow.
        normalize: float32 in [-1, 1]. Otherwise, of a WAV file, what it holds: uint8, int16, int32
            (of 24 bits, the upper ones) or floats.
        channels_first: (channels, frames), else (frames, channels).
        format: the ending that `uri` would have, of an open file.
        buffer_size, backend: taken for torchaudio's sake, and not looked at.

    Returns:
        The samples and the sample rate in Hz.

    Raises:
        FileNotFoundError: there is no such file.
        AudioFileError: truncated, damaged, or of an unknown kind; it is a RuntimeError.
        ValueError: a negative `frame_offset`; a `num_frames` of 0, or below -1.
        ImportError: no WAV file, and soundfile is missing.

    >>> import io, fastdl
    >>> from fastdl import audio
    >>> file = io.BytesIO()
    >>> audio.save(file, fastdl.tensor([[0.0, 0.5, -1.0]]), 8000, format="wav")
    >>> _ = file.seek(0)
    >>> audio.load(file)
    (tensor([[ 0.0000,  0.5000, -1.0000]]), 8000)
    """
    if frame_offset < 0:
        raise ValueError(f"load: frame_offset must be at least 0, but got {frame_offset}")
    if num_frames < -1 or num_frames == 0:
        raise ValueError(f"load: num_frames must be -1 or greater than 0, but got {num_frames}")
    with _opened(uri) as (file, name):
        if _is_wav(file, name, format):
            found = wav.read_layout(file, name)
            first = min(frame_offset, found.frames)
            count = found.frames - first
            count = count if num_frames == -1 else min(count, num_frames)
            samples = wav.read_samples(file, found, first, count, name)
            rate = found.sample_rate
        else:
            soundfile = _soundfile(name)
            try:
                with soundfile.SoundFile(file) as sound:
                    sound.seek(min(frame_offset, sound.frames))
                    samples = sound.read(num_frames, "float32", always_2d=True)
                    rate = sound.samplerate
            except soundfile.LibsndfileError as error:
                raise AudioFileError(f"{name}: {error}") from error
    if normalize:
        samples = _normalized(samples)
    samples = np.ascontiguousarray(samples.T if channels_first else samples)
    return from_numpy(samples if samples.flags.writeable else samples.copy()), rate


def _encoded(samples: np.ndarray, encoding: str, bits: int) -> np.ndarray:
    """Samples of any dtype of ENCODINGS in the one of a file; what lies beyond full scale is cut.

    24 bits are the upper ones of int32."""
    width = 32 if bits == 24 else bits
    dtype = np.dtype({"PCM_U": "u", "PCM_S": "i", "PCM_F": "f"}[encoding] + str(width // 8))
    if samples.dtype == dtype and bits != 24:
        return samples
    if samples.dtype.kind != "f":  # to [-1, 1): exact in double
        wide = samples.astype(np.float64)
        full = 2.0 ** (8 * samples.itemsize - 1)
        wide = (wide - 128) / 128 if samples.dtype == np.uint8 else wide / full
    else:
        wide = samples.astype(np.float64)
    if encoding == "PCM_F":
        return wide.astype(dtype)
    full = 2.0 ** (bits - 1)
    whole = np.clip(np.rint(np.nan_to_num(wide * full)), -full, full - 1)
    if encoding == "PCM_U":
        whole += 128
    return (whole * 256 if bits == 24 else whole).astype(dtype)


def save(
    uri,
    src: Tensor,
    sample_rate: int,
    channels_first: bool = True,
    format: str | None = None,
    encoding: str | None = None,
    bits_per_sample: int | None = None,
    buffer_size: int = 4096,
    backend=None,
    compression=None,
) -> None:
    """Writes samples to a file: whole, or not at all.

    Args:
        uri: a path, whose ending says the format, or a file open for writing.
        src: (channels, frames): floats, full scale 1, or uint8, int16, int32.
        sample_rate: samples a second.
        channels_first: False for (frames, channels).
        format: "wav", "flac", "ogg"; None: the ending of `uri`.
        encoding: of a WAV file: "PCM_S" (16, 24 or 32 bits), "PCM_U" (8), "PCM_F" (32, 64).
        bits_per_sample: of a WAV file. None: what keeps `src` as it is, or of another `encoding` 8
            or 32; alone it means "PCM_U" for 8, "PCM_S" for 16 to 32 and "PCM_F" for 64.
        buffer_size, backend, compression: taken for torchaudio's sake, and not looked at.

    Raises:
        ValueError: `src` has not two dimensions or another dtype, or an encoding does not exist.
        ImportError: no WAV file, and soundfile is missing.
    """
    samples = src.detach().array if isinstance(src, Tensor) else np.asarray(src)
    if samples.ndim != 2:
        raise ValueError(f"save: expected a tensor of 2 dimensions, but got {samples.ndim}")
    if samples.dtype.name not in ENCODINGS:
        raise ValueError(f"save: expected one of {[*ENCODINGS]}, but got {samples.dtype.name}")
    if not 0 < sample_rate < 1 << 32:
        raise ValueError(f"save: sample_rate must be a positive number, but got {sample_rate}")
    samples = samples.T if channels_first else samples
    path = None if hasattr(uri, "write") else os.fspath(uri)
    if format is None:
        format = os.path.splitext(path)[1].removeprefix(".") if path else ""
        if not format:
            raise ValueError(f"save: {uri} has no ending that says its format; use format=")
    if format.lower() in WAV_ENDINGS:
        own, own_bits = ENCODINGS[samples.dtype.name]
        if encoding is None:
            of_bits = {8: "PCM_U", 64: "PCM_F"}
            encoding = own if bits_per_sample is None else of_bits.get(bits_per_sample, "PCM_S")
        bits = bits_per_sample or (own_bits if encoding == own else BITS.get(encoding, (0,))[0])
        if bits not in BITS.get(encoding, ()):
            raise ValueError(
                f"save: no encoding {encoding!r} of {bits} bits; expected one of {BITS}"
            )
        tag = wav.FLOAT if encoding == "PCM_F" else wav.PCM
        parts = wav.wav_bytes(_encoded(samples, encoding, bits), int(sample_rate), tag, bits)
    else:
        soundfile = _soundfile(str(uri))
        memory = io.BytesIO()
        plain = samples if samples.dtype != np.uint8 else _encoded(samples, "PCM_S", 16)
        soundfile.write(memory, plain, int(sample_rate), format=format.upper())
        parts = [memory.getvalue()]
    if path is None:
        for part in parts:
            uri.write(part)
    else:
        write_whole(path, *parts)
