"""Files of torch.save: what PyTorch wrote comes back; anything but weights is refused."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

import fastdl
from fastdl.io import CheckpointError

FORMATS = {
    "zip": {},
    "zip, protocol 4": {"pickle_protocol": 4},
    "before 1.6": {"_use_new_zipfile_serialization": False},
}


def saved(obj, **how):
    """The bytes of a file that PyTorch writes."""
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save(obj, file, **how)
    return file.getvalue()


def loaded(data):
    return fastdl.load(io.BytesIO(data))


@pytest.mark.parametrize("how", FORMATS)
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]
)
def test_dtypes_and_strides(how, dtype):
    torch = pytest.importorskip("torch")
    x = (torch.arange(24) % 7).reshape(2, 3, 4).to(getattr(torch, dtype))
    for y in (x, x.transpose(0, 2), x[1:, ::2], x[0, 0, 0], x[:0], x.expand(5, 2, 3, 4)):
        found = loaded(saved(y, **FORMATS[how]))
        assert str(found.dtype).rpartition(".")[2] == dtype
        np.testing.assert_array_equal(found.numpy(), y.numpy())


@pytest.mark.parametrize("how", FORMATS)
def test_model_and_optimizer(how):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    trainer = torch.optim.Adam(theirs.parameters(), betas=(0.8, 0.9))
    theirs(torch.randn(5, 3)).square().sum().backward()
    trainer.step()
    checkpoint = {"model": theirs.state_dict(), "optimizer": trainer.state_dict(), "epoch": 3}
    found = loaded(saved(checkpoint, **FORMATS[how]))
    ours = fastdl.nn.Sequential(fastdl.nn.Linear(3, 4), fastdl.nn.BatchNorm1d(4))
    assert not any(ours.load_state_dict(found["model"]))
    x = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    expected = theirs.eval()(torch.from_numpy(x)).detach().numpy()
    got = ours.eval()(fastdl.from_numpy(x)).detach().numpy()
    # Sums of four terms and one affine map: some ten roundings of the greatest term.
    np.testing.assert_allclose(got, expected, rtol=0, atol=10 * 2**-24 * np.abs(expected).max())
    assert found["epoch"] == 3
    assert found["optimizer"]["param_groups"][0]["betas"] == (0.8, 0.9)
    moment = trainer.state_dict()["state"][0]["exp_avg"].numpy()
    np.testing.assert_array_equal(found["optimizer"]["state"][0]["exp_avg"].numpy(), moment)


@pytest.mark.parametrize("how", FORMATS)
def test_plain_values(how):
    torch = pytest.importorskip("torch")
    obj = {
        "none": None, "yes": True, "n": -3, "big": 10**30, "x": 0.1, "text": "æøå",
        "bytes": b"\x00\xff", "list": [1, [2.5]], "tuple": (1, 2, 3, 4), "set": {1, 2}, 7: "seven",
        "ordered": OrderedDict(b=1, a=2), "size": torch.Size([2, 3]),
    }  # fmt: skip
    found = loaded(saved(obj, **FORMATS[how]))
    assert found == obj
    assert list(found["ordered"]) == ["b", "a"]
    found = loaded(saved({"dtype": torch.float16, "device": torch.device("cpu")}, **FORMATS[how]))
    assert found["dtype"] is fastdl.float16
    assert found["device"] == fastdl.device("cpu")


@pytest.mark.parametrize("how", FORMATS)
def test_shared_storage_stays_shared(how):
    torch = pytest.importorskip("torch")
    x = torch.zeros(3, 4)
    found = loaded(saved({"whole": x, "row": x[1], "parameter": torch.nn.Parameter(x)}))
    found["row"][2] = 5
    assert found["whole"][1, 2] == 5
    assert found["parameter"][1, 2] == 5
    assert found["parameter"].requires_grad
    assert not found["whole"].requires_grad


class Evil:
    """What unpickling would run."""

    def __reduce__(self):
        return os.system, ("touch evil",)


class Probe:
    """A chain of calls through allowed functions to a forbidden one."""

    def __reduce__(self):
        return getattr, (OrderedDict, "clear")


@pytest.mark.parametrize("how", FORMATS)
@pytest.mark.parametrize("obj", [Evil(), {"a": [Probe()]}], ids=["os.system", "getattr"])
def test_code_is_refused(how, obj, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"names (posix\.system|builtins|__builtin__)"):
        loaded(saved(obj, **FORMATS[how]))
    assert os.listdir(tmp_path) == []


def test_a_pickled_model_is_refused_with_advice():
    torch = pytest.importorskip("torch")
    with pytest.raises(CheckpointError, match="state_dict"):
        loaded(saved(torch.nn.Linear(2, 2)))


def test_a_plain_pickle_is_refused():
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(CheckpointError, match=r"no file of torch\.save"):
            loaded(pickle.dumps({"a": 1}, protocol))


def rewritten(data, change):
    """A zip file with each member put through change(name, content), None to leave it out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()


def test_altered_archives():
    torch = pytest.importorskip("torch")
    data = saved({"x": torch.ones(300)})
    ending = lambda end, to: lambda name, content: to(content) if name.endswith(end) else content
    cases = {
        "missing": ending("/data/0", lambda c: None),
        "should have 300 x 4 bytes": ending("/data/0", lambda c: c[:-1]),
        "byte order": ending("byteorder", lambda c: b"middle"),
        # 300 (2C 01) elements of storage, 301 (2D 01) in the tensor's sizes
        "beyond its": ending("data.pkl", lambda c: c.replace(b"\x2c\x01\x85", b"-\x01\x85")),
    }  # fmt: skip
    for message, change in cases.items():
        with pytest.raises(CheckpointError, match=message):
            loaded(rewritten(data, change))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(CheckpointError, match="compressed"):
        loaded(out.getvalue())
    swapped = rewritten(
        data,
        lambda name, content: (
            b"big"
            if name.endswith("byteorder")
            else struct.pack(">300f", *np.arange(300))
            if name.endswith("/data/0")
            else content
        ),
    )
    np.testing.assert_array_equal(loaded(swapped)["x"].numpy(), np.arange(300))


@pytest.mark.parametrize("how", FORMATS)
def test_truncated_or_flipped_anywhere(how):
    """Each ends in the same values or in CheckpointError, whatever byte is hit."""
    torch = pytest.importorskip("torch")
    data = saved({"x": torch.ones(5), "y": [torch.arange(3), "text"]}, **FORMATS[how])
    rng = np.random.default_rng(0)
    refused = 0
    for at in range(0, len(data), 7):
        hit = bytearray(data)
        hit[at] ^= 1 << int(rng.integers(8))
        for damaged in (data[:at], bytes(hit)):
            try:
                loaded(damaged)
            except CheckpointError:
                refused += 1
    assert refused > len(data) // 7


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [((2**40,), (2**40,), 0), ((-1,), (1,), 0), ((2,), (-1,), 1), ((2, 2), (1,), 0),
     ((4,), (1,), -1), ((2**63, 2**63), (0, 0), 0), ((1.5,), (1,), 0), ((0,), (1,), -5)],
)  # fmt: skip
def test_no_window_beyond_the_storage(size, stride, offset):
    from fastdl.io.pytorch_file import _tensor

    with pytest.raises((CheckpointError, ValueError)):
        _tensor(np.zeros(4, np.float32), offset, size, stride)
