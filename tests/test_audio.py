"""Sound: files, functions and transforms, against SciPy, PyTorch and closed formulas."""

import doctest
import importlib
import io
import math
import os
import struct
import sys
import tarfile
import wave

import numpy as np
import pytest

import fastdl
from fastdl import audio
from fastdl.audio import functional as F
from fastdl.audio import transforms as T
from fastdl.audio.functional import waves

EPS = np.finfo(np.float64).eps
torch = pytest.importorskip("torch")
scipy_fft = pytest.importorskip("scipy.fft")
scipy_signal = pytest.importorskip("scipy.signal")
wavfile = pytest.importorskip("scipy.io.wavfile")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def numbers(x):
    return fastdl.tensor(np.asarray(x))


def close(found, expected, bound):
    found = found.detach().numpy() if isinstance(found, fastdl.Tensor) else found
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound * max(1, abs(expected).max()))


# ---- files --------------------------------------------------------------------------------------

DTYPES = ["uint8", "int16", "int32", "float32", "float64"]


def samples_of(dtype, rng, shape=(2, 101)):
    if dtype.startswith("float"):
        return rng.uniform(-1, 1, shape).astype(dtype)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return rng.integers(low, high, shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_saved_is_loaded_and_scipy_agrees(dtype, rng, tmp_path):
    x, path = samples_of(dtype, rng), tmp_path / "x.wav"
    audio.save(path, numbers(x), 8000)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.wav"]
    rate, theirs = wavfile.read(path)
    assert rate == 8000
    assert theirs.dtype == x.dtype
    np.testing.assert_array_equal(theirs, x.T)
    ours, rate = audio.load(path, normalize=False)
    assert (rate, ours.numpy().dtype) == (8000, x.dtype)
    np.testing.assert_array_equal(ours.numpy(), x)
    normal, _ = audio.load(path, channels_first=False)
    assert normal.dtype == fastdl.float32
    if not dtype.startswith("f"):
        full = 2.0 ** (8 * x.itemsize - 1)
        x = (x - full * (dtype == "uint8")) / full
    np.testing.assert_array_equal(normal.numpy(), x.T.astype(np.float32))


def test_what_the_standard_library_writes_is_loaded(rng, tmp_path):
    """16 and 24 bits, and what Python's own reader finds in ours."""
    x = rng.integers(-(1 << 23), 1 << 23, (50, 1))
    for width in (2, 3):
        raw = (x >> (8 * (3 - width))).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :width]
        with wave.open(str(tmp_path / "a.wav"), "wb") as file:
            file.setparams((1, width, 11025, 0, "NONE", ""))
            file.writeframes(raw.tobytes())
        found, rate = audio.load(tmp_path / "a.wav")
        assert rate == 11025
        expected = (x.T >> (8 * (3 - width))) / 2.0 ** (8 * width - 1)
        np.testing.assert_array_equal(found.numpy(), expected.astype(np.float32))
        audio.save(tmp_path / "b.wav", found, rate, bits_per_sample=8 * width)
        with wave.open(str(tmp_path / "b.wav")) as file:
            assert file.getparams()[:4] == (1, width, 11025, 50)
            assert file.readframes(50) == raw.tobytes()
    wide, _ = audio.load(tmp_path / "b.wav", normalize=False)
    np.testing.assert_array_equal(wide.numpy(), x.T * 256)


@pytest.mark.parametrize(
    ("encoding", "bits", "dtype"),
    [
        ("PCM_U", None, "uint8"),
        ("PCM_S", 16, "int16"),
        ("PCM_S", None, "int32"),
        ("PCM_F", None, "float32"),
        ("PCM_F", 64, "float64"),
        (None, 8, "uint8"),
        (None, 16, "int16"),
        (None, 32, "int32"),
        (None, 64, "float64"),
    ],
)
def test_encodings(encoding, bits, dtype):
    """Full scale stays full scale, what lies beyond is cut, NaN is silence."""
    x = fastdl.tensor([[0.0, 0.5, -1.0, 1.0, -3.0, math.nan, -0.25]])
    file = io.BytesIO()
    audio.save(file, x, 16000, format="wav", encoding=encoding, bits_per_sample=bits)
    file.seek(0)
    found, _ = audio.load(file, normalize=False)
    assert found.numpy().dtype == dtype
    if dtype.startswith("f"):
        np.testing.assert_array_equal(found.numpy(), x.numpy().astype(dtype))
        return
    full = 2 ** (8 * found.numpy().itemsize - 1)
    expected = np.array([0, full // 2, -full, full - 1, -full, 0, -full // 4])
    np.testing.assert_array_equal(found.numpy()[0], expected + full * (dtype == "uint8"))


def test_parts_of_a_file(rng, tmp_path):
    x, path = samples_of("int16", rng), tmp_path / "x.wav"
    audio.save(path, numbers(x), 8000)
    for first, count in [(0, 5), (3, 7), (90, 50), (100, 1), (101, 3), (500, -1), (7, -1)]:
        found, _ = audio.load(path, first, count, normalize=False)
        stop = None if count == -1 else first + count
        np.testing.assert_array_equal(found.numpy(), x[:, first:stop])
    for wrong in ({"frame_offset": -1}, {"num_frames": 0}, {"num_frames": -2}):
        with pytest.raises(ValueError, match=r"frame_offset must be|num_frames must be"):
            audio.load(path, **wrong)
    assert audio.info(path) == (8000, 101, 2, 16, "PCM_S")
    with open(path, "rb") as file:
        assert audio.info(file) == audio.info(path)


def chunks(*parts, size=None):
    """A RIFF file of (kind, body) parts."""
    body = b"WAVE" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in parts
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def form(tag=1, channels=1, rate=8000, bits=16, frame=None, more=b""):
    frame = channels * bits // 8 if frame is None else frame
    return struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits) + more


GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def test_other_chunks_and_the_extensible_format():
    samples = struct.pack("<4h", 1, -2, 3, -4)
    extensible = struct.pack("<HHIH", 22, 16, 3, 1) + GUID_TAIL
    files = [
        chunks((b"LIST", b"odd"), (b"fmt ", form()), (b"junk", b""), (b"data", samples)),
        chunks((b"fmt ", form(0xFFFE, more=extensible)), (b"data", samples), (b"id3 ", b"xyz")),
        chunks((b"fmt ", form()), (b"data", samples)).replace(
            b"data\x08\0\0\0", b"data\xff\xff\xff\xff"
        ),
    ]
    for file in files:
        found, _ = audio.load(io.BytesIO(file), normalize=False)
        assert found.tolist() == [[1, -2, 3, -4]]


DAMAGED = {
    "empty": b"",
    "text": b"hello, world, this is no audio file",
    "aiff": b"FORM\0\0\0\0AIFF",
    "no format": chunks((b"data", b"\0\0")),
    "no samples": chunks((b"fmt ", form())),
    "short format": chunks((b"fmt ", form()[:14]), (b"data", b"\0\0")),
    "mp3 inside": chunks((b"fmt ", form(0x55)), (b"data", b"\0\0")),
    "12 bits": chunks((b"fmt ", form(bits=12)), (b"data", b"\0\0")),
    "no channels": chunks((b"fmt ", form(channels=0)), (b"data", b"\0\0")),
    "no rate": chunks((b"fmt ", form(rate=0)), (b"data", b"\0\0")),
    "frames": chunks((b"fmt ", form(frame=7)), (b"data", b"\0\0")),
    "half a sample": chunks((b"fmt ", form()), (b"data", b"\0\0\0")),
    "unknown guid": chunks((b"fmt ", form(0xFFFE, more=b"\x16\0" + bytes(22))), (b"data", b"\0\0")),
    "short guid": chunks((b"fmt ", form(0xFFFE)), (b"data", b"\0\0")),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused(name, tmp_path):
    path = tmp_path / "sound.wav"
    path.write_bytes(DAMAGED[name])
    for read in (audio.load, audio.info):
        with pytest.raises(audio.AudioFileError, match=r"sound\.wav: "):
            read(path)


def test_files_cut_anywhere_are_refused(tmp_path):
    file = io.BytesIO()
    audio.save(file, fastdl.zeros(2, 9), 8000, format="wav")
    whole, path = file.getvalue(), tmp_path / "x.wav"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(audio.AudioFileError):
            audio.load(path)


def test_a_byte_changed_raises_or_loads():
    """No other exception, and no memory beyond the file's size, whatever a header says."""
    file = io.BytesIO()
    audio.save(file, fastdl.zeros(1, 3), 8000, format="wav")
    whole = file.getvalue()
    for place in range(44):
        for value in (0, 1, 127, 255):
            bent = whole[:place] + bytes([value]) + whole[place + 1 :]
            try:
                found, _ = audio.load(io.BytesIO(bent))
            except audio.AudioFileError:
                continue
            except ImportError:
                continue
            except RuntimeError as error:
                pytest.fail(repr(error))
            assert found.numel() <= len(whole)


def test_what_cannot_be_saved_is_refused(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(b"before")
    x = fastdl.zeros(1, 3)
    for call in (
        lambda: audio.save(path, fastdl.zeros(3), 8000),
        lambda: audio.save(path, fastdl.zeros(1, 3, dtype=fastdl.int64), 8000),
        lambda: audio.save(path, x, 0),
        lambda: audio.save(path, x, 8000, encoding="PCM_S", bits_per_sample=12),
        lambda: audio.save(path, x, 8000, encoding="ULAW"),
        lambda: audio.save(path, x, 8000, bits_per_sample=7),
        lambda: audio.save(io.BytesIO(), x, 8000),
    ):
        with pytest.raises(ValueError, match="save: "):
            call()
    assert path.read_bytes() == b"before"
    with pytest.raises(FileNotFoundError):
        audio.load(tmp_path / "none.wav")


def test_other_formats_need_soundfile(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ImportError, match=r"fastdl\[audio\]"):
        audio.save(tmp_path / "x.flac", fastdl.zeros(1, 3), 8000)
    (tmp_path / "x.flac").write_bytes(b"fLaC")
    with pytest.raises(ImportError, match=r"fastdl\[audio\]"):
        audio.load(tmp_path / "x.flac")


def test_flac_through_soundfile(rng, tmp_path):
    pytest.importorskip("soundfile")
    x, path = samples_of("int16", rng), tmp_path / "x.flac"
    audio.save(path, numbers(x), 22050)
    found, rate = audio.load(path, 10, 20)
    assert rate == 22050
    np.testing.assert_array_equal(found.numpy(), x[:, 10:30] / np.float32(32768))
    assert audio.info(path) == (22050, 101, 2, 16, "FLAC")
    path.write_bytes(b"fLaC and nothing more")
    with pytest.raises(audio.AudioFileError, match=r"x\.flac"):
        audio.load(path)


# ---- spectrograms -------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [None, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("normalized", [False, "window", "frame_length"])
def test_spectrogram_is_a_power_of_pytorchs_stft(power, normalized, rng):
    x = rng.standard_normal((2, 3, 200))
    window = scipy_signal.get_window("hann", 30)
    padded = torch.nn.functional.pad(torch.tensor(x).reshape(6, 200), (4, 4))
    expected = torch.stft(
        padded, 40, 10, 30, torch.tensor(window), return_complex=True,
        normalized=normalized == "frame_length",
    ).reshape(2, 3, 21, -1)  # fmt: skip
    if normalized == "window":
        expected = expected / math.sqrt((window**2).sum())
    expected = expected if power is None else expected.abs() ** power
    found = T.Spectrogram(
        40, 30, 10, 4, power=power, normalized=normalized, wkwargs={"dtype": fastdl.float64}
    )(numbers(x))
    close(found, expected.numpy(), 100 * EPS)


@pytest.mark.parametrize("length", [None, 390])
def test_inverse_spectrogram_gives_the_signal_back(length, rng):
    options = {"n_fft": 64, "normalized": True, "wkwargs": {"dtype": fastdl.float64}}
    x = numbers(rng.standard_normal((2, 1, 400)))
    y = T.InverseSpectrogram(**options)(T.Spectrogram(power=None, **options)(x), length)
    assert y.shape[-1] == (length or 384)
    close(y, x.numpy()[..., : y.shape[-1]], 100 * EPS)


def test_griffin_lim_finds_phases(rng):
    """The spectrogram of what it returns comes ever closer to the one given."""
    time = np.arange(4000) / 8000
    x = numbers(np.sin(2 * np.pi * 440 * time) + 0.5 * np.sin(2 * np.pi * 1000 * time**2))
    options = {"n_fft": 128, "wkwargs": {"dtype": fastdl.float64}}
    wanted = T.Spectrogram(**options)(x)
    fastdl.manual_seed(0)
    far = []
    for steps in (0, 4, 32):
        y = T.GriffinLim(n_iter=steps, length=4000, momentum=0.9, **options)(wanted)
        found = T.Spectrogram(**options)(y)
        far.append(float((found.sqrt() - wanted.sqrt()).norm() / wanted.sqrt().norm()))
    assert far[0] > 2 * far[1] > 3 * far[2]
    assert far[2] < 0.15


def test_mel_filters_as_librosa_defines_them():
    """Slaney's scale is linear, 3 mels for 200 Hz, up to 1000 Hz = 15 mels, and 27 more make a
    factor of 6.4; HTK's is 2595 log10(1 + f / 700). Filters begin, peak and end at even steps."""
    edges = {
        "slaney": np.concatenate([np.arange(15) * 200 / 3, 1000 * 6.4 ** (np.arange(28) / 27)]),
        "htk": 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 6400 / 700), 43) / 2595) - 1),
    }
    at = np.arange(1025) * 6400 / 1024
    for scale, points in edges.items():
        for norm in (None, "slaney"):
            bank = F.melscale_fbanks(1025, 0.0, 6400.0, 41, 12800, norm, scale).numpy()
            for m in range(41):
                peak = 1 if norm is None else 2 / (points[m + 2] - points[m])
                expected = np.interp(at, points[m : m + 3], [0, peak, 0], 0, 0)
                np.testing.assert_allclose(bank[:, m], expected, atol=1e-6)
    with pytest.warns(UserWarning, match="all zero"):
        F.melscale_fbanks(20, 0.0, 8000.0, 80, 16000)
    linear = F.linear_fbanks(101, 0.0, 4000.0, 9, 8000).numpy()
    np.testing.assert_allclose(linear[10:91].sum(1), 1, atol=1e-6)
    for wrong in ({"norm": "area"}, {"mel_scale": "bark"}):
        with pytest.raises(ValueError, match=r"must be|should be"):
            F.melscale_fbanks(20, 0.0, 8000.0, 8, 16000, **wrong)


@pytest.mark.parametrize("norm", [None, "ortho"])
def test_dct_is_scipys(norm, rng):
    x = rng.standard_normal((5, 20))
    expected = scipy_fft.dct(x, norm=norm)[:, :13]
    dct = F.create_dct(13, 20, norm).numpy()
    np.testing.assert_allclose(x @ dct, expected, atol=1e-5)
    with pytest.raises(ValueError, match="ortho"):
        F.create_dct(13, 20, "slaney")


def test_mfcc_step_by_step(rng):
    """As librosa computes them: power spectrogram, Slaney's mels, decibels 80 deep, DCT."""
    x = rng.standard_normal((2, 1600))
    window = scipy_signal.get_window("hann", 256)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (128, 128)), "reflect"),
                                                      256, 1)[:, ::64] * window  # fmt: skip
    power = abs(np.fft.rfft(frames)).swapaxes(1, 2) ** 2
    bank = F.melscale_fbanks(129, 0.0, 4000.0, 24, 8000, "slaney", "slaney").numpy()
    decibels = 10 * np.log10(np.maximum(1e-10, bank.T.astype(float) @ power))
    decibels = np.maximum(decibels, decibels.max() - 80)
    expected = scipy_fft.dct(decibels, axis=1, norm="ortho")[:, :13]
    transform = T.MFCC(
        8000,
        13,
        melkwargs={
            "n_fft": 256,
            "hop_length": 64,
            "n_mels": 24,
            "norm": "slaney",
            "mel_scale": "slaney",
        },
    )
    close(transform(numbers(x.astype(np.float32))), expected, 1e-5)
    names = {"dct_mat", "MelSpectrogram.spectrogram.window", "MelSpectrogram.mel_scale.fb"}
    assert set(transform.state_dict()) == names
    with pytest.raises(ValueError, match="MFCC coefficients"):
        T.MFCC(8000, 50, melkwargs={"n_mels": 40})


def test_lfcc_and_inverse_mels(rng):
    x = numbers(rng.standard_normal((1, 800)).astype(np.float32))
    assert T.LFCC(8000, 20, n_lfcc=7, speckwargs={"n_fft": 128})(x).shape == (1, 7, 13)
    spectra = fastdl.rand(33, 10)
    mels = T.MelScale(8, 8000, n_stft=33)(spectra)
    again = T.MelScale(8, 8000, n_stft=33)(T.InverseMelScale(33, 8, 8000)(mels))
    close(again, mels.numpy(), 0.25)  # the part below 0 is lost
    with pytest.raises(ValueError, match="mel bins"):
        T.InverseMelScale(33, 8, 8000)(spectra)


def test_decibels(rng):
    x = rng.uniform(0, 10, (2, 3, 4, 5)) ** 8
    for stype, factor in (("power", 10), ("magnitude", 20)):
        found = T.AmplitudeToDB(stype)(numbers(x))
        close(found, factor * np.log10(np.maximum(x, 1e-10)), 8 * EPS)
    cut = T.AmplitudeToDB(top_db=20)(numbers(x)).numpy()
    expected = 10 * np.log10(x)
    expected = np.maximum(expected, expected.max((1, 2, 3), keepdims=True) - 20)
    np.testing.assert_allclose(cut, expected, rtol=1e-13)
    close(F.DB_to_amplitude(numbers(10 * np.log10(x)), 2.0, 1.0), 2 * x, 1e-13)
    with pytest.raises(ValueError, match="top_db"):
        T.AmplitudeToDB(top_db=-1)


# ---- masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("iid", [False, True])
@pytest.mark.parametrize(("axis", "make"), [(3, T.TimeMasking), (2, T.FrequencyMasking)])
def test_masks_are_runs_along_one_axis(axis, make, iid):
    fastdl.manual_seed(0)
    x = fastdl.ones(3, 2, 30, 40)
    lengths, starts = set(), set()
    for _ in range(60):
        y = make(11, iid_masks=iid)(x, 0.5).numpy()
        hit = np.moveaxis(y == 0.5, axis, -1)
        assert (hit == hit[..., :1, :]).all()
        rows = hit[..., 0, :].reshape(6, -1)
        if not iid:
            assert (rows == rows[0]).all()
        for row in rows:
            places = np.flatnonzero(row)
            lengths.add(len(places))
            if len(places):
                assert places[-1] - places[0] == len(places) - 1
                starts.add(places[0])
    assert lengths == set(range(11))
    assert len(starts) > 20
    assert make(0)(x) is x


def test_spec_augment():
    fastdl.manual_seed(0)
    x = fastdl.rand(2, 1, 40, 50) + 1
    y = T.SpecAugment(2, 10, 2, 8)(x)
    changed = (y != x).numpy()
    assert changed.any()
    assert not changed.all()
    assert np.allclose(y.numpy()[changed], x.mean().item())
    z = T.SpecAugment(1, 50, 0, 0, iid_masks=False, p=0.2, zero_masking=True)(x).numpy()
    assert (z == 0).all((0, 1, 2)).sum() <= 10
    fastdl.manual_seed(7)
    one = T.SpecAugment(2, 10, 2, 8)(x)
    fastdl.manual_seed(7)
    assert fastdl.equal(one, T.SpecAugment(2, 10, 2, 8)(x))
    for call in (
        lambda: F.mask_along_axis(x, 5, 0.0, 1),
        lambda: F.mask_along_axis(x, 5, 0.0, 3, p=1.5),
        lambda: F.mask_along_axis_iid(x[0, 0], 5, 0.0, 1),
        lambda: T.TimeMasking(5, p=-0.1),
    ):
        with pytest.raises(ValueError, match=r"axis|between 0|dimensions"):
            call()


# ---- waveforms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sinc_interp_hann", "sinc_interp_kaiser"])
@pytest.mark.parametrize(("old", "new"), [(8000, 16000), (16000, 8000), (44100, 16000), (3, 7)])
def test_resampled_sines_are_sines(old, new, method):
    """Of a frequency well below half of both rates; the window's ripple is some 1e-3."""
    frequency = 0.05 * min(old, new)
    count = 60 * old // math.gcd(old, new) if old > 100 else 600
    x = np.sin(2 * np.pi * frequency * np.arange(count) / old)
    y = F.resample(numbers(x[None]), old, new, 32, resampling_method=method).numpy()[0]
    assert len(y) == -(-count * new // old)
    expected = np.sin(2 * np.pi * frequency * np.arange(len(y)) / new)
    inner = slice(len(y) // 4, -len(y) // 4)  # beyond the ends there are zeros
    assert abs(y - expected)[inner].max() < 3e-3
    again = T.Resample(old, new, method, 32)(numbers(x[None, None].astype(np.float32)))
    close(again, y[None, None], 1e-5)


def test_resampling_takes_what_is_too_high_away():
    x = np.sin(2 * np.pi * 3000 * np.arange(4000) / 16000)
    y = F.resample(numbers(x), 16000, 4000, 64).numpy()
    assert abs(y[100:-100]).max() < 1e-3
    z = numbers(x)
    assert F.resample(z, 44100, 44100) is z
    for wrong in ((0, 5), (8000, 0.5)):
        with pytest.raises(ValueError, match="frequenc"):
            F.resample(z, *wrong)
    with pytest.raises(ValueError, match="method"):
        F.resample(z, 1, 2, resampling_method="linear")


def test_ratios_of_large_numbers(rng, monkeypatch):
    """Filters one by one and as a matrix are the same, and so are their gradients."""
    x = rng.standard_normal((2, 2500))
    for old, new, count in ((1009, 600, 1487), (1009, 1300, 3222)):
        found = []
        for longest in (1000, 2000):
            monkeypatch.setattr(waves, "LONG", longest)
            y = numbers(x).requires_grad_()
            z = F.resample(y, old, new)
            z.square().sum().backward()
            assert z.shape == (2, count)
            found.append((z.detach().numpy(), y.grad.numpy()))
        for one, matrix in zip(*found):
            np.testing.assert_allclose(one, matrix, atol=1e-13)


def main_frequency(y, rate):
    spectrum = abs(np.fft.rfft(y * np.hanning(len(y))))
    return spectrum.argmax() * rate / len(y)


def test_pitch_and_time():
    """A fifth is 7 semitones, a factor of 2^(7/12); stretched sound keeps its pitch."""
    rate = 8000
    x = np.sin(2 * np.pi * 500 * np.arange(rate) / rate)
    higher = T.PitchShift(rate, 7)(numbers(x[None].astype(np.float32)))
    assert higher.shape == (1, rate)
    assert abs(main_frequency(higher.numpy()[0], rate) - 500 * 2 ** (7 / 12)) < 5
    spectra = fastdl.stft(
        numbers(x), 256, 64, window=fastdl.hann_window(256).double(), return_complex=True
    )
    longer = T.TimeStretch(64, 129, 0.5)(spectra)
    assert longer.shape == (129, 2 * spectra.shape[1])
    y = fastdl.istft(longer, 256, 64, window=fastdl.hann_window(256).double()).numpy()
    assert abs(main_frequency(y[2000:-2000], rate) - 500) < 2
    with pytest.raises(ValueError, match="rate"):
        T.TimeStretch(64, 129)(spectra)


def test_speed():
    x = numbers(np.sin(2 * np.pi * 500 * np.arange(8000) / 8000)[None])
    y, lengths = F.speed(x, 8000, 1.25, fastdl.tensor([8000]))
    assert lengths.tolist() == [6400]
    assert y.shape == (1, 6400)
    assert abs(main_frequency(y.numpy()[0], 8000) - 625) < 2
    assert T.SpeedPerturbation(8000, [0.5, 1.0])(x)[0].shape[1] in (8000, 16000)


def test_mu_law(rng):
    x = np.concatenate([[-1, 0, 1], rng.uniform(-1, 1, 500)])
    codes = F.mu_law_encoding(numbers(x), 256)
    assert codes[:3].tolist() == [0, 128, 255]
    expected = np.sign(x) * np.log1p(255 * abs(x)) / np.log(256)
    np.testing.assert_array_equal(codes.numpy(), np.floor((expected + 1) * 127.5 + 0.5))
    again = T.MuLawDecoding()(codes).numpy()
    step = np.log(256) / 255 * (abs(x) + 1 / 255)  # how far apart the values near x lie
    assert (abs(again - x) <= 1.02 * step).all()
    every = fastdl.arange(256)
    assert fastdl.equal(T.MuLawEncoding()(T.MuLawDecoding()(every)), every)
    with pytest.raises(ValueError, match="floating"):
        F.mu_law_encoding(fastdl.tensor([1]), 256)


def test_noise_has_the_ratio_asked_for(rng):
    x, noise = rng.standard_normal((2, 3, 500)), rng.standard_normal((2, 3, 500)) * 7
    snr = np.array([[0.0, 10.0, -20.0], [3.0, 40.0, 1.0]])
    y = F.add_noise(numbers(x), numbers(noise), numbers(snr)).numpy()
    found = 10 * np.log10((x**2).sum(-1) / ((y - x) ** 2).sum(-1))
    np.testing.assert_allclose(found, snr, atol=1e-10)
    lengths = np.array([[500, 100, 30], [1, 200, 400]])
    y = T.AddNoise()(numbers(x), numbers(noise), numbers(snr), numbers(lengths)).numpy()
    for i in np.ndindex(2, 3):
        part = slice(0, lengths[i])
        energies = [(a[i][part] ** 2).sum() for a in (x, y - x)]
        assert abs(10 * np.log10(energies[0] / energies[1]) - snr[i]) < 1e-9
    with pytest.raises(ValueError, match="dimensions"):
        F.add_noise(numbers(x), numbers(noise), numbers(snr[0]))


@pytest.mark.parametrize("mode", ["full", "valid", "same"])
def test_convolutions_are_numpys(mode, rng):
    for n, m in ((20, 5), (20, 20), (4, 11), (1, 3)):
        x, y = rng.standard_normal((2, 3, n)), rng.standard_normal((1, 3, m))
        for make in (T.Convolve, T.FFTConvolve):
            found = make(mode)(numbers(x), numbers(y)).numpy()
            for i in np.ndindex(2, 3):
                expected = scipy_signal.convolve(x[i], y[0, i[1]], mode)
                if mode == "valid" or n >= m:
                    np.testing.assert_allclose(found[i], expected, atol=1e-12)
                assert found[i].shape == expected.shape
    with pytest.raises(ValueError, match="mode"):
        F.convolve(numbers(x), numbers(y), "circular")


def test_deltas_are_savitzky_golay(rng):
    """The slope of a line fitted to five frames."""
    x = rng.standard_normal((2, 3, 30))
    expected = scipy_signal.savgol_filter(x, 5, 1, deriv=1)
    found = T.ComputeDeltas(5)(numbers(x)).numpy()
    np.testing.assert_allclose(found[..., 2:-2], expected[..., 2:-2], atol=1e-14)
    with pytest.raises(ValueError, match="length"):
        F.compute_deltas(numbers(x), 2)


def test_fades_and_volume():
    x = fastdl.ones(2, 10)
    for shape in T.Fade.SHAPES:
        y = T.Fade(5, 3, shape)(x).numpy()[0]
        assert y[0] == y[-1] == 0
        assert y[4] == y[7] == 1 or shape == "logarithmic"
        assert (np.diff(y[:5]) > 0).all()
    with pytest.raises(ValueError, match="expected one of"):
        T.Fade(1, 1, "cubic")
    with pytest.raises(ValueError, match="shorter"):
        T.Fade(11)(x)
    x = fastdl.tensor([0.1, -0.4])
    for gain, kind, factor in ((2.0, "amplitude", 2), (4.0, "power", 2), (20.0, "db", 10)):
        close(T.Vol(gain, kind)(x), np.clip(factor * x.numpy(), -1, 1), 1e-6)
    with pytest.raises(ValueError, match="positive"):
        T.Vol(-1.0)


# ---- filters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 1, 2, 5, 70])
def test_lfilter_is_scipys(order, rng):
    """Poles within 0.9; samples cross blocks of every length."""
    a = (
        np.atleast_1d(np.poly(0.9 * rng.uniform(-1, 1, order))) * 2
        if order < 9
        else np.eye(1, order + 1)[0]
    )
    b = rng.standard_normal(order + 1)
    if order >= 9:
        a[order] = 0.5
    for length in (1, 63, 64, 65, 300):
        x = rng.standard_normal((2, length))
        expected = scipy_signal.lfilter(b, a, x)
        close(F.lfilter(numbers(x), numbers(a), numbers(b), clamp=False), expected, 1e-11)
    found = F.lfilter(numbers(x), numbers(a), numbers(b))
    close(found, np.clip(expected, -1, 1), 1e-11)
    there = scipy_signal.lfilter(b, a, expected[:, ::-1])[:, ::-1]
    close(F.filtfilt(numbers(x), numbers(a), numbers(b), clamp=False), there, 1e-10)


def test_several_filters(rng):
    x = rng.standard_normal((2, 3, 50))
    a, b = np.array([[1, 0.5], [2, -0.3], [1, 0]]), rng.standard_normal((3, 2))
    paired = F.lfilter(numbers(x), numbers(a), numbers(b), clamp=False).numpy()
    every = F.lfilter(numbers(x), numbers(a), numbers(b), clamp=False, batching=False).numpy()
    assert every.shape == (2, 3, 3, 50)
    for i in range(3):
        np.testing.assert_allclose(paired[:, i], scipy_signal.lfilter(b[i], a[i], x[:, i]), 1e-12)
        np.testing.assert_allclose(every[:, :, i], scipy_signal.lfilter(b[i], a[i], x), 1e-12)
    for wrong in (a[:2], a[:, :1]):
        with pytest.raises(ValueError, match="Expected"):
            F.lfilter(numbers(x), numbers(wrong), numbers(b))
    with pytest.raises(ValueError, match="rows"):
        F.lfilter(numbers(x[:, :2]), numbers(a), numbers(b))


RATE = 16000
# Filter: gains in dB at 100, 1000 and 6000 Hz; None: anything. Those of the low pass and the band
# pass are 1 / (1 + r^4) and 1 / (1 + Q^2 (r - 1 / r)^2), r = tan(w / 2) / tan(w0 / 2).
GAINS = {
    "lowpass": (lambda x: F.lowpass_biquad(x, RATE, 1000.0), (0, -3, -43.4)),
    "highpass": (lambda x: F.highpass_biquad(x, RATE, 1000.0), (-40, -3, 0)),
    "bandpass": (lambda x: F.bandpass_biquad(x, RATE, 1000.0), (-17, 0, -18.7)),
    "skirt": (lambda x: F.bandpass_biquad(x, RATE, 1000.0, 2.0, True), (None, 6, None)),
    "bandreject": (lambda x: F.bandreject_biquad(x, RATE, 1000.0), (0, -200, 0)),
    "allpass": (lambda x: F.allpass_biquad(x, RATE, 1000.0), (0, 0, 0)),
    "equalizer": (lambda x: F.equalizer_biquad(x, RATE, 1000.0, 9.0), (0, 9, 0.5)),
    "bass": (lambda x: F.bass_biquad(x, RATE, -12.0, 1000), (-12, -6, 0)),
    "treble": (lambda x: F.treble_biquad(x, RATE, -12.0, 1000), (0, -6, -12)),
}


@pytest.mark.parametrize("name", GAINS)
def test_gains_of_biquads(name):
    """The response to an impulse, transformed."""
    run, gains = GAINS[name]
    impulse = np.zeros(16000)
    impulse[0] = 0.25  # nothing is cut
    spectrum = abs(np.fft.rfft(run(numbers(impulse)).numpy())) / 0.25
    for at, gain in zip((100, 1000, 6000), gains):
        if gain is not None:
            found = 20 * math.log10(max(spectrum[at], 1e-11))
            assert abs(found - gain) < 1.1 or found < gain <= -200


def test_emphasis_and_its_inverse(rng):
    x = rng.uniform(-0.1, 0.1, (2, 100))
    y = T.Preemphasis(0.9)(numbers(x))
    np.testing.assert_allclose(y.numpy(), scipy_signal.lfilter([1, -0.9], [1], x), atol=1e-15)
    close(T.Deemphasis(0.9)(y), x, 1e-14)


# ---- gradients and layers -----------------------------------------------------------------------

GRADIENTS = {
    "spectrogram": lambda x: T.Spectrogram(16, wkwargs={"dtype": fastdl.float64})(x),
    "amplitudes": lambda x: T.Spectrogram(16, power=1.0, wkwargs={"dtype": fastdl.float64})(x),
    "decibels": lambda x: T.AmplitudeToDB()(x.square() + 0.1),
    "resample": lambda x: F.resample(x, 4, 3),
    "deltas": lambda x: F.compute_deltas(x),
    "lowpass": lambda x: F.lowpass_biquad(x * 0.1, 16000, 1000.0),
    "emphasis": lambda x: F.preemphasis(x),
    "fftconvolve": lambda x: F.fftconvolve(x, x[..., :5]),
    "convolve": lambda x: F.convolve(x, x[..., :5]),
    "mu": lambda x: F.mu_law_decoding(x, 256),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name, rng):
    x = numbers(rng.standard_normal((2, 24))).requires_grad_()
    assert fastdl.autograd.gradcheck(GRADIENTS[name], (x,))


def test_a_front_end_is_a_layer(tmp_path):
    """Buffers are saved and loaded; nothing is to be trained."""
    make = lambda: fastdl.nn.Sequential(
        T.MelSpectrogram(8000, n_fft=64, n_mels=8), T.AmplitudeToDB(), T.Resample(2, 1)
    )
    one, two = make(), make()
    assert not list(one.parameters())
    fastdl.save(one.state_dict(), tmp_path / "x.safetensors")
    two.load_state_dict(fastdl.load(tmp_path / "x.safetensors"))
    x = fastdl.randn(2, 1, 500)
    assert fastdl.equal(one(x), two(x))


# ---- data sets ----------------------------------------------------------------------------------


def test_speech_commands(tmp_path):
    folder = tmp_path / "SpeechCommands" / "speech_commands_v0.02"
    names = ["yes/aa_nohash_0.wav", "yes/bb_nohash_1.wav", "no/aa_nohash_0.wav"]
    for i, name in enumerate([*names, "_background_noise_/hum.wav"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        audio.save(folder / name, fastdl.full((1, 10), i / 10), 16000, bits_per_sample=16)
    (folder / "validation_list.txt").write_text(names[1] + "\n")
    (folder / "testing_list.txt").write_text(names[2] + "\n")
    every = audio.datasets.SPEECHCOMMANDS(tmp_path)
    assert len(every) == 3
    waveform, *about = every[2]
    assert about == [16000, "yes", "bb", 1]
    assert waveform.shape == (1, 10)
    sizes = {"training": "aa", "validation": "bb", "testing": "aa"}
    for subset, speaker in sizes.items():
        part = audio.datasets.SPEECHCOMMANDS(str(tmp_path), subset=subset)
        assert len(part) == 1
        assert part[0][3] == speaker
        assert part.get_metadata(0)[0] in names
    with pytest.raises(ValueError, match="subset"):
        audio.datasets.SPEECHCOMMANDS(tmp_path, subset="test")

    class Validation(audio.datasets.SPEECHCOMMANDS):
        """As torchaudio's tutorial makes a subset."""

        def __init__(self):
            super().__init__(tmp_path)
            with open(os.path.join(self._path, "validation_list.txt")) as file:
                paths = [os.path.normpath(os.path.join(self._path, line.strip())) for line in file]
            assert set(paths) < set(self._walker)
            self._walker = paths

    assert Validation()[0][3] == "bb"
    with pytest.raises(RuntimeError, match="download=True"):
        audio.datasets.SPEECHCOMMANDS(tmp_path, "speech_commands_v0.01")


def test_yesno(tmp_path):
    (tmp_path / "waves_yesno").mkdir()
    audio.save(tmp_path / "waves_yesno" / "0_1_0_0_1_1_0_1.wav", fastdl.zeros(1, 5), 8000)
    data = audio.datasets.YESNO(tmp_path)
    assert len(data) == 1
    assert data[0][1:] == (8000, [0, 1, 0, 0, 1, 1, 0, 1])
    with pytest.raises(RuntimeError, match="not found"):
        audio.datasets.YESNO(tmp_path / "waves_yesno")


def test_archives_are_unpacked(tmp_path):
    """Found beside the folder, they are not fetched again; what is in the wrong place is refused
    and leaves nothing behind."""
    audio.save(tmp_path / "x.wav", fastdl.zeros(1, 5), 16000)
    for archive, inner in (
        ("speech_commands_v0.02.tar.gz", "./yes/aa_nohash_0.wav"),
        ("waves_yesno.tar.gz", "waves_yesno/1_1_1_1_1_1_1_1.wav"),
    ):
        with tarfile.open(tmp_path / archive, "w:gz") as tar:
            tar.add(tmp_path / "x.wav", inner)
    assert audio.datasets.SPEECHCOMMANDS(tmp_path, download=True)[0][2] == "yes"
    assert audio.datasets.YESNO(tmp_path, download=True)[0][2] == [1] * 8
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "SpeechCommands",
        "waves_yesno",
    ]
    with tarfile.open(tmp_path / "speech_commands_v0.01.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "x.wav", "../yes/aa_nohash_0.wav")
    with pytest.raises(tarfile.TarError):
        audio.datasets.SPEECHCOMMANDS(tmp_path, "speech_commands_v0.01", download=True)
    assert [path.name for path in (tmp_path / "SpeechCommands").iterdir()] == [
        "speech_commands_v0.02"
    ]


DOCUMENTED = ["files", "transforms", "functional.spectra", "functional.waves", "functional.filters"]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples(name):
    found = doctest.testmod(importlib.import_module(f"fastdl.audio.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
