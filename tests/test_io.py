"""Checkpoints: what goes in comes out, other programs read them, and bad files are named."""

import contextlib
import io
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


def test_bytes_and_buffers():
    buffer = io.BytesIO()
    fastdl.save({"a": fastdl.ones(2)}, buffer)
    data = buffer.getvalue()
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        assert fastdl.load(source)["a"].tolist() == [1, 1]
    with pytest.raises(CheckpointError, match="the bytes"):
        fastdl.load(data[:-1])
    with pytest.raises(TypeError, match="'rb'"):
        fastdl.load(io.StringIO("text"))


def test_every_dtype(tmp_path):
    """What safetensors has a name for; PyTorch reads the same numbers."""
    names = [
        *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
        *("float16", "bfloat16", "float32", "float64", "complex64"),
    ]
    values = {
        name: fastdl.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(fastdl, name)) for name in names
    }
    path = tmp_path / "x.safetensors"
    fastdl.save(values, path)
    assert_same(values, fastdl.load(path))
    with pytest.raises(TypeError, match=r"z has unsupported dtype complex128; .*complex64"):
        fastdl.save({"z": fastdl.zeros(1, dtype=fastdl.complex128)}, path)
    theirs = pytest.importorskip("safetensors.torch").load_file(path)
    for name in names:
        assert str(theirs[name].dtype) == f"torch.{name}"
        assert theirs[name].tolist() == values[name].tolist()


def test_equal_contents_make_equal_files():
    """Whatever order the library's tables have in this process or another."""
    first = None
    for _ in range(8):
        buffer = io.BytesIO()
        fastdl.save({"ä": fastdl.ones(3), "b": [1, "ö"], "c": np.zeros(2, np.int8)}, buffer)
        first = first or buffer.getvalue()
        assert buffer.getvalue() == first
    assert int.from_bytes(first[:8], "little") % 8 == 0, "the numbers are aligned"
    assert list(fastdl.load(first)) == ["ä", "b", "c"]


def test_numpy_files(tmp_path):
    arrays = {
        "w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "folder/b": np.array(2.5),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "swapped": np.arange(3, dtype=">f8"),
        "z": np.array([1 + 2j]),
        "empty": np.zeros((0, 3), np.int16),
        "flags": np.array([True, False]),
    }
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "x.npz", **arrays, names=np.array(["cat", "dog"]))
        found = fastdl.load(tmp_path / "x.npz")
        assert found.pop("names").tolist() == ["cat", "dog"]
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            assert isinstance(found[name], fastdl.Tensor)
            assert found[name].numpy().dtype == array.dtype.newbyteorder("=")
            np.testing.assert_array_equal(found[name].numpy(), array, strict=False)
            assert tuple(found[name].shape) == array.shape
        found["w"].zero_()  # it owns its memory
    np.save(tmp_path / "x.npy", arrays["fortran"])
    assert fastdl.load(tmp_path / "x.npy").tolist() == arrays["fortran"].tolist()


def test_numpy_files_run_nothing(tmp_path):
    """An array of objects is a pickle; this one would write a file."""

    class Attack:
        def __reduce__(self):
            return open, (str(tmp_path / "written"), "w")

    objects = np.array([Attack()], dtype=object)
    np.savez(tmp_path / "x.npz", a=objects)
    np.save(tmp_path / "x.npy", objects)
    for name in ("x.npz", "x.npy"):
        with pytest.raises(CheckpointError, match=f"{name}.*objects"):
            fastdl.load(tmp_path / name)
    assert not (tmp_path / "written").exists()


def test_damaged_numpy_files_are_named(tmp_path):
    path = tmp_path / "x.npz"
    for write in (np.savez, np.savez_compressed):
        write(path, a=np.arange(20), b=np.ones((2, 2)))
        data = path.read_bytes()
        for length in range(1, len(data), 3):
            with pytest.raises(CheckpointError):
                fastdl.load(data[:length])
        rng = np.random.default_rng(0)
        for _ in range(200):  # an altered byte is an error or was of no consequence, never a crash
            altered = bytearray(data)
            altered[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            with contextlib.suppress(CheckpointError):
                fastdl.load(altered)
    np.save(tmp_path / "x.npy", np.arange(20))
    data = (tmp_path / "x.npy").read_bytes()
    for bad in (*(data[:n] for n in range(1, len(data), 3)), data + b"x"):
        with pytest.raises(CheckpointError):
            fastdl.load(bad)


def test_safe_globals_are_accepted(tmp_path):
    from fastdl import serialization

    serialization.add_safe_globals([nn.Linear])
    with serialization.safe_globals([nn.ReLU, nn.Linear]):
        assert serialization.get_safe_globals() == [nn.Linear, nn.ReLU]
    assert serialization.get_safe_globals() == [nn.Linear]
    serialization.clear_safe_globals()
    assert serialization.get_safe_globals() == []


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


def test_a_full_disk_keeps_the_old_file(tmp_path):
    """The system itself refuses to write more, in the middle of the file."""
    pytest.importorskip("resource")
    path = tmp_path / "x"
    fastdl.save({"a": fastdl.ones(2)}, path)
    code = (
        "import resource, signal, sys\n"
        "import fastdl\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try:\n    fastdl.save({'a': fastdl.zeros(10_000)}, sys.argv[1])\n"
        "except OSError as error:\n    print('refused:', error)"
    )
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert run.stdout.startswith("refused:"), run.stderr
    assert fastdl.load(path)["a"].tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["x"]


def test_a_killed_save_leaves_a_whole_file(tmp_path):
    """A process that saves all the time, killed at random moments."""
    path = tmp_path / "x"
    code = (
        "import sys, fastdl\n"
        "i = 0\n"
        "while True:\n"
        "    i += 1\n"
        "    fastdl.save({'i': i, 'a': fastdl.full((100_000,), float(i))}, sys.argv[1])\n"
        "    print(i, flush=True)"
    )
    rng = np.random.default_rng(0)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
        process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, 0.05))
        process.kill()
        process.communicate()
        found = fastdl.load(path)
        assert (found["a"] == found["i"]).all()


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
