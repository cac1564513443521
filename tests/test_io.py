"""Checkpoints: what goes in comes out, other programs read them, and bad files are named."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import fastdl
from fastdl import nn, optim
from fastdl.io import CheckpointError

pytest.importorskip("safetensors")


def trained(path=None):
    """A small model and an optimizer that has state."""
    fastdl.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.1, betas=(0.8, 0.99))
    x = fastdl.randn(8, 3)
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    return model, optimizer, x


def assert_same(a, b, where="top"):
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            assert_same(x, y, f"{where}.{i}")
    elif isinstance(a, fastdl.Tensor | np.ndarray):
        assert a.dtype == b.dtype, where
        assert a.shape == b.shape, where
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    else:
        assert a == b, where


def test_state_dict_round_trip(tmp_path):
    model, _, x = trained()
    path = tmp_path / "model.safetensors"
    fastdl.save(model.state_dict(), path)
    state = fastdl.load(path)
    assert_same(dict(model.state_dict()), state)
    fresh = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    assert not any(fresh.load_state_dict(state))
    np.testing.assert_array_equal(
        fresh.eval()(x).detach().numpy(), model.eval()(x).detach().numpy()
    )
    state["0.weight"].zero_()  # loaded tensors own their memory
    assert os.listdir(tmp_path) == ["model.safetensors"], "no temporary file stays behind"


def test_nested_checkpoint_resumes_training(tmp_path):
    model, optimizer, x = trained()
    path = str(tmp_path / "checkpoint")
    fastdl.save(
        {"epoch": 3, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, path
    )
    found = fastdl.load(path, map_location="cpu", weights_only=True)
    assert found["epoch"] == 3
    twin = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    twin.load_state_dict(found["model"])
    resumed = optim.Adam(twin.parameters())
    resumed.load_state_dict(found["optimizer"])
    assert resumed.param_groups[0]["betas"] == (0.8, 0.99), "tuples stay tuples"
    for net, step in ((model, optimizer), (twin, resumed)):
        net.zero_grad()
        net(x).square().sum().backward()
        step.step()
    for a, b in zip(model.parameters(), twin.parameters()):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_schedules_resume(tmp_path):
    schedules = optim.lr_scheduler
    for make in (
        lambda o: schedules.MultiStepLR(o, [2, 2, 5]),
        lambda o: schedules.CosineAnnealingLR(o, 10),
        lambda o: schedules.LambdaLR(o, lambda e: 1 / (1 + e)),
        lambda o: schedules.StepLR(o, 2),
    ):
        rates = []
        for interrupted in (False, True):
            optimizer = optim.SGD([nn.Parameter(fastdl.zeros(1))], lr=1.0)
            scheduler = make(optimizer)
            for epoch in range(6):
                scheduler.step()
                if interrupted and epoch == 2:
                    state = {
                        "schedule": scheduler.state_dict(),
                        "optimizer": optimizer.state_dict(),
                    }
                    fastdl.save(state, tmp_path / "x")
                    state = fastdl.load(tmp_path / "x")
                    optimizer = optim.SGD([nn.Parameter(fastdl.zeros(1))], lr=1.0)
                    scheduler = make(optimizer)
                    scheduler.load_state_dict(state["schedule"])
                    optimizer.load_state_dict(state["optimizer"])
            scheduler.step(4)
            rates.append(scheduler.get_last_lr())
        assert rates[0] == rates[1]


def test_every_kind_of_value(tmp_path):
    values = {
        "scalar": fastdl.tensor(3.5),
        "empty": fastdl.zeros(0, 3),
        "strided": fastdl.arange(12).reshape(3, 4).t(),
        "parameter": fastdl.ones(2),
        "array": np.arange(3, dtype=np.int16),
        "types": [fastdl.ones(2, dtype=d) for d in (fastdl.bool, fastdl.uint8, fastdl.float16)],
        "numbers": [1, -2.5, 1e300, True, None, "text", float("inf")],
        "nested": {"a": {"b.c": (fastdl.ones(1), [])}, 7: {}},
        "a.b": fastdl.ones(1),
        "a": {"b": fastdl.zeros(1)},
    }
    path = tmp_path / "all"
    fastdl.save(values, path)
    assert_same(values, fastdl.load(path))
    for value in (fastdl.ones(3), [1, 2], 5, None, {}, "x", np.ones(2)):
        fastdl.save(value, path)
        assert_same(value, fastdl.load(path))
    fastdl.save({"w": nn.Parameter(fastdl.ones(2))}, path)
    assert not fastdl.load(path)["w"].requires_grad


def test_file_objects(tmp_path):
    path = tmp_path / "file"
    with open(path, "wb") as file:
        fastdl.save({"a": fastdl.ones(2)}, file)
    with open(path, "rb") as file:
        assert fastdl.load(file)["a"].tolist() == [1, 1]


def test_other_programs_read_and_write_it(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.safetensors"
    model, _, _ = trained()
    fastdl.save(model.state_dict(), path)
    twin = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
    )
    twin.load_state_dict(safetensors.load_file(path))
    safetensors.save_file(twin.state_dict(), path)
    assert not any(model.load_state_dict(fastdl.load(path)))


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "x"
    for wrong in ({"model": nn.Linear(1, 1)}, lambda: 3, {(1, 2): 3}, np.array(["a"]), {1 + 2j}):
        with pytest.raises(TypeError, match="save: "):
            fastdl.save(wrong, path)
    with pytest.raises(TypeError, match="state_dict"):
        fastdl.save(nn.Linear(1, 1), path)
    assert not path.exists()
    with pytest.raises(OSError, match="nowhere"):
        fastdl.save({}, tmp_path / "nowhere" / "x")


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    fastdl.save({"a": fastdl.ones(2)}, path)

    def fail(handle):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        fastdl.save({"a": fastdl.zeros(2)}, path)
    monkeypatch.undo()
    assert fastdl.load(path)["a"].tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["x"]


def test_mode_follows_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        fastdl.save({}, tmp_path / "x")
    finally:
        os.umask(old)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def damaged(good):
    length = int.from_bytes(good[:8], "little")
    header = json.loads(good[8 : 8 + length])

    def with_header(changed, data=good[8 + length :]):
        text = json.dumps(changed).encode()
        return len(text).to_bytes(8, "little") + text + data

    shape = json.loads(json.dumps(header))
    shape["a"]["shape"] = [7]
    structure = json.loads(json.dumps(header))
    structure["__metadata__"]["fastdl.structure"] = '{"d": [["a", {"t": "zzz"}]]}'
    text = json.loads(json.dumps(header))
    text["__metadata__"]["fastdl.structure"] = "{"
    return {
        "empty": (b"", "is empty"),
        "short": (good[:5], "truncated: only 5 bytes"),
        "in the header": (good[:20], "truncated: its header needs"),
        "in the data": (good[:-3], "truncated: it should have"),
        "pickle": (pickle.dumps({"a": 1}), "no file of torch.save"),
        "zip": (b"PK\x03\x04" + bytes(100), "truncated or altered"),
        "text": (b"hello, this is a text file", "not a safetensors file"),
        "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a safetensors file"),
        "not json": ((9).to_bytes(8, "little") + b"{no json}", "not a safetensors file"),
        "json of something else": (with_header({"a": 3}), "not a safetensors file"),
        "wrong shape": (with_header(shape), "is damaged"),
        "wrong structure": (with_header(structure), "description of the contents"),
        "broken structure": (with_header(text), "description of the contents"),
        "too long": (good + b"xx", "is damaged"),
    }


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "file.bin"
    fastdl.save({"a": fastdl.ones(4), "n": 1}, path)
    for what, (data, message) in damaged(path.read_bytes()).items():
        bad = tmp_path / "bad.bin"
        bad.write_bytes(data)
        with pytest.raises(CheckpointError) as error:
            fastdl.load(bad)
        assert message in str(error.value), what
        assert "bad.bin" in str(error.value), what
    with pytest.raises(FileNotFoundError, match=r"there is no file .*missing\.bin"):
        fastdl.load(tmp_path / "missing.bin")
    with pytest.raises(CheckpointError, match="is a folder"):
        fastdl.load(tmp_path)


def test_every_truncation_is_an_error(tmp_path):
    path = tmp_path / "x"
    fastdl.save({"a": fastdl.ones(2), "b": [1]}, path)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            fastdl.load(path)


def test_missing_package_names_the_extra(tmp_path):
    code = (
        "import sys; sys.modules['safetensors'] = None\n"
        "import fastdl\n"
        "try:\n    fastdl.save({}, sys.argv[1])\n"
        "except ImportError as error:\n    print(error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, text=True
    )
    assert "fastdl[demo]" in run.stdout, run.stderr


def test_any_header_length_is_read(tmp_path):
    """A length of 128 begins with the byte 0x80, as a pickle does."""
    first_bytes = set()
    for n in range(1, 100):
        fastdl.save({"w" * n: fastdl.zeros(1)}, tmp_path / "a.safetensors")
        first_bytes.add((tmp_path / "a.safetensors").read_bytes()[0])
        assert list(fastdl.load(tmp_path / "a.safetensors")) == ["w" * n]
    assert 0x80 in first_bytes
