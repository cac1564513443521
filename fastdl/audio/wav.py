"""WAV files: chunks of RIFF, read and written by hand.

offset 0   "RIFF", uint32 bytes that follow, "WAVE"
       12  chunks: 4 letters, uint32 size, so many bytes, and one more where that is odd

A chunk "fmt " says what the samples are, a chunk "data" holds them, frame by frame, a frame being
one sample of each channel; other chunks are passed over. Everything is little-endian. The formats:

    tag     bits             samples
    1       8                unsigned, 128 is silence
    1       16, 24, 32       signed
    3       32, 64           floating point, full scale 1
    0xFFFE  of the above     "extensible": the tag stands in the first bytes of a GUID
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

import numpy as np

__all__ = ["AudioFileError", "Layout", "read_layout", "read_samples", "wav_bytes"]

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # after the tag: the GUID of a plain one
UNKNOWN_SIZE = 0xFFFFFFFF  # written by programs that cannot go back to say how much there was
DTYPES = {  # (tag, bits of a sample): how they lie in the file; 24 bits have no dtype
    (PCM, 8): "u1", (PCM, 16): "<i2", (PCM, 24): "u1", (PCM, 32): "<i4",
    (FLOAT, 32): "<f4", (FLOAT, 64): "<f8",
}  # fmt: skip


class AudioFileError(RuntimeError):
    """A file is no readable audio; the message names the file and what is wrong with it."""


class Layout(NamedTuple):
    """Where the samples of a WAV file lie and what they are."""

    sample_rate: int
    channels: int
    frames: int
    tag: int
    bits: int
    start: int  # offset of the first sample

    @property
    def frame_bytes(self) -> int:
        return self.channels * self.bits // 8


def _parse_format(chunk: bytes, name: str) -> tuple[int, int, int, int]:
    """(tag, channels, sample rate, bits) of a "fmt " chunk."""
    if len(chunk) < 16:
        raise AudioFileError(f"{name}: its format chunk has {len(chunk)} bytes, fewer than 16")
    tag, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == EXTENSIBLE:
        if len(chunk) < 40 or chunk[26:40] != GUID_TAIL:
            raise AudioFileError(f"{name}: an extensible WAV file of an unknown kind")
        (tag,) = struct.unpack_from("<H", chunk, 24)
    if (tag, bits) not in DTYPES:
        raise AudioFileError(
            f"{name}: WAV files of format {tag} with {bits} bits are not read; expected PCM of 8, "
            "16, 24 or 32 bits, or floating point of 32 or 64"
        )
    if not channels or not rate or frame_bytes != channels * bits // 8:
        raise AudioFileError(
            f"{name}: {channels} channels of {bits} bits at {rate} Hz in frames of {frame_bytes} "
            "bytes make no sense: the header is damaged"
        )
    return tag, channels, rate, bits


def read_layout(file: BinaryIO, name: str) -> Layout:
    """What a seekable file that begins with a WAV header holds.

    Raises:
        AudioFileError: it is no WAV file, of a kind that is not read, truncated or damaged.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if not head:
        raise AudioFileError(f"{name}: the file is empty")
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise AudioFileError(f"{name}: not a WAV file: it begins with {head[:12]!r}")
    found = None
    while True:
        here = file.tell()
        head = file.read(8)
        if len(head) < 8:
            missing = "no samples" if found else "no format"
            raise AudioFileError(f"{name}: truncated: {missing} before its end at {end} bytes")
        kind, size = head[:4], struct.unpack("<I", head[4:])[0]
        start = here + 8
        endless = kind == b"data" and size == UNKNOWN_SIZE
        size = end - start if endless else size
        if start + size > end:
            raise AudioFileError(
                f"{name}: truncated: its chunk {kind!r} should have {size} bytes, but "
                f"{end - start} are left"
            )
        if kind == b"fmt ":
            found = _parse_format(file.read(min(size, 40)), name)
        elif kind == b"data":
            if found is None:
                raise AudioFileError(f"{name}: damaged: samples before their format")
            tag, channels, rate, bits = found
            frames, rest = divmod(size, channels * bits // 8)
            if rest and not endless:
                raise AudioFileError(
                    f"{name}: truncated: {size} bytes of samples are no whole number of frames of "
                    f"{channels * bits // 8} bytes"
                )
            return Layout(rate, channels, frames, tag, bits, start)
        file.seek(start + size + size % 2)


def read_samples(file: BinaryIO, layout: Layout, first: int, count: int, name: str) -> np.ndarray:
    """`count` frames from `first` on, (count, channels): uint8, int16, int32 or floats as in the
    file; 24 bits as the upper ones of int32."""
    file.seek(layout.start + first * layout.frame_bytes)
    size = count * layout.frame_bytes
    data = file.read(size)
    if len(data) < size:
        raise AudioFileError(f"{name}: truncated while it was read")
    samples = np.frombuffer(data, DTYPES[layout.tag, layout.bits])
    if layout.bits == 24:
        wide = np.zeros((len(samples) // 3, 4), np.uint8)
        wide[:, 1:] = samples.reshape(-1, 3)
        samples = wide.reshape(-1).view("<i4")
    return samples.astype(samples.dtype.newbyteorder("="), copy=False).reshape(-1, layout.channels)


def wav_bytes(samples: np.ndarray, sample_rate: int, tag: int, bits: int) -> list[bytes]:
    """A file of samples (frames, channels), of the dtype that `read_samples` gives: its parts.

    Raises:
        ValueError: more than the 4 GiB that such a file can hold.
    """
    frames, channels = samples.shape
    data = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<")).view(np.uint8)
    if bits == 24:
        data = data.reshape(-1, 4)[:, 1:]
    data = data.tobytes()
    frame_bytes = channels * bits // 8
    form = struct.pack(
        "<HHIIHH", tag, channels, sample_rate, sample_rate * frame_bytes, frame_bytes, bits
    )
    chunks = [(b"fmt ", form)]
    if tag != PCM:
        chunks = [(b"fmt ", form + b"\0\0"), (b"fact", struct.pack("<I", frames))]
    chunks.append((b"data", data))
    size = 4 + sum(8 + len(body) + len(body) % 2 for _, body in chunks)
    if size >= UNKNOWN_SIZE or channels >= 1 << 16:
        raise ValueError(
            f"save: {frames} frames of {channels} channels are more than a WAV file can hold"
        )
    parts = [b"RIFF", struct.pack("<I", size), b"WAVE"]
    for kind, body in chunks:
        parts += [kind, struct.pack("<I", len(body)), body, b"\0" * (len(body) % 2)]
    return parts
