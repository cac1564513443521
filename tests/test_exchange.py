"""Tensors for other libraries and from them, against PyTorch: NumPy, DLPack, pickle, deepcopy."""

import copy
import pickle

import numpy as np
import pytest

import fastdl

torch = pytest.importorskip("torch")
BOTH = (fastdl, torch)
SHARED = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
          "complex64", "complex128", "uint16", "uint32", "uint64"]  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_numpy_shares_memory(name):
    array = np.array([[1, 0, 1], [0, 1, 1]]).astype(name)
    for lib in BOTH:
        for make in (lib.from_numpy, lib.as_tensor, lib.asarray):
            x = make(array)
            assert x.dtype is getattr(lib, name)
            x[0, 0] = 0
            assert array[0, 0] == 0
            x[0, 0] = 1
        assert x.numpy().dtype == np.dtype(name)
        assert np.shares_memory(x.numpy(), array)
        assert not np.shares_memory(lib.tensor(array).numpy(), array)
        assert np.asarray(x).dtype == np.dtype(name)
        assert lib.from_numpy(array.T).T.tolist() == array.tolist()


def test_bfloat16_and_numpy():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([1.0, 2.5], ml_dtypes.bfloat16)
    x = fastdl.from_numpy(array)
    assert x.dtype is fastdl.bfloat16
    x[0] = 3
    assert array[0] == 3
    assert x.numpy() is array
    assert fastdl.tensor(array).tolist() == [3.0, 2.5]
    assert pickle.loads(pickle.dumps(x)).tolist() == [3.0, 2.5]
    with pytest.raises(BufferError, match="bfloat16"):
        x.__dlpack__()


@pytest.mark.parametrize("name", SHARED)
def test_dlpack_shares_memory_both_ways(name):
    x = fastdl.tensor([[1, 0, 1], [0, 1, 1]]).to(getattr(fastdl, name))
    for view in (x, x[:, 1:], x.T, x[::2]):
        theirs = torch.from_dlpack(view)
        assert theirs.dtype is getattr(torch, name)
        assert theirs.tolist() == view.tolist()
        assert theirs.stride() == view.stride()
        back = fastdl.from_dlpack(theirs)
        assert back.dtype is view.dtype
        assert back.data_ptr() == view.data_ptr() == theirs.data_ptr()
        back[0, 0] = 1 - back[0, 0].item()
        assert theirs.tolist() == view.tolist()
    assert np.from_dlpack(x).tolist() == x.tolist()
    array = np.array([1, 0]).astype(name)
    assert fastdl.from_dlpack(array).data_ptr() == array.__array_interface__["data"][0]


def test_dlpack_capsules_and_refusals():
    x = fastdl.arange(4.0)
    capsule = fastdl.utils.dlpack.to_dlpack(x)
    theirs = torch.utils.dlpack.from_dlpack(capsule)
    theirs[0] = 7
    assert x[0].item() == 7
    ours = fastdl.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(theirs))
    ours[1] = 8
    assert x.tolist() == [7.0, 8.0, 2.0, 3.0]
    assert x.__dlpack_device__() == (1, 0)
    assert fastdl.from_dlpack(x).data_ptr() == x.data_ptr()
    assert fastdl.from_dlpack(x, copy=True).data_ptr() != x.data_ptr()
    for lib in BOTH:
        with pytest.raises(BufferError, match="require gradient"):
            lib.ones(2, requires_grad=True).__dlpack__()
        with pytest.raises((TypeError, AttributeError, RuntimeError)):
            lib.from_dlpack([1.0])
        with pytest.raises((RuntimeError, AssertionError)):
            lib.from_dlpack(np.ones(2), device="cuda")


def test_pickle():
    x = fastdl.arange(12.0).reshape(3, 4)
    for saved in (x, x[1:], x[:, ::2], x.T, x.expand(2, 3, 4), fastdl.tensor(3), x[:0], x.half()):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            y = pickle.loads(pickle.dumps(saved, protocol))
            assert y.tolist() == saved.tolist()
            assert y.dtype is saved.dtype
            assert y.shape == saved.shape
    y, rows, turned = pickle.loads(pickle.dumps((x, x[1:], x.T)))
    y[1, 0] = 99
    assert rows[0, 0].item() == turned[0, 1].item() == 99
    assert rows.data_ptr() == y.data_ptr() + 4 * 4
    for lib in BOTH:
        leaf = lib.ones(2, requires_grad=True)
        leaf.sum().backward()
        again = pickle.loads(pickle.dumps(leaf))
        assert again.requires_grad
        assert again.grad is None
        parameter = pickle.loads(pickle.dumps(lib.nn.Parameter(lib.ones(2))))
        assert type(parameter) is lib.nn.Parameter
        assert pickle.loads(pickle.dumps(lib.float32)) is lib.float32
        assert pickle.loads(pickle.dumps(lib.complex64)) is lib.complex64


def test_deepcopy():
    for lib in BOTH:
        x = lib.arange(6.0)
        y, part = copy.deepcopy((x, x[2:]))
        y[2] = 99
        assert part[0].item() == 99
        assert x[2].item() == 2
        first, second = copy.deepcopy([x, x])
        assert first is second
        leaf = lib.ones(2, requires_grad=True)
        (leaf * 3).sum().backward()
        again = copy.deepcopy(leaf)
        assert again.requires_grad
        assert again.grad.tolist() == [3.0, 3.0]
        again.grad[0] = 5
        assert leaf.grad.tolist() == [3.0, 3.0]
        with pytest.raises(RuntimeError, match="graph leaves"):
            copy.deepcopy(leaf * 2)
        turned = copy.deepcopy(lib.arange(6.0).reshape(2, 3).T)
        assert turned.stride() == (1, 3)
        shared = copy.deepcopy({"a": x, "b": x.detach()})
        shared["a"][0] = 42
        assert shared["b"][0].item() == 42


NUMPY_FUNCTIONS = {
    "add": lambda t, x, a: np.add(a, x),
    "sin": lambda t, x, a: np.sin(x),
    "exp": lambda t, x, a: np.exp(x),
    "number times tensor": lambda t, x, a: np.float64(2) * x,
    "small number times tensor": lambda t, x, a: np.float32(2) * x,
    "tensor times array": lambda t, x, a: x * a,
    "tensor plus number": lambda t, x, a: x + np.int64(2),
    "concatenate": lambda t, x, a: np.concatenate([x, x]),
    "squeeze": lambda t, x, a: np.squeeze(x[None]),
    "dot": lambda t, x, a: np.dot(x, a),
    "norm": lambda t, x, a: np.linalg.norm(x),
    "array": lambda t, x, a: np.array(x, dtype=int),
    "array of tensors": lambda t, x, a: np.array([x[0], x[1]]),
    "stack": lambda t, x, a: np.stack([x, x]),
    "equal": lambda t, x, a: x == a,
    "allclose": lambda t, x, a: np.allclose(x, a),
}


@pytest.mark.parametrize("name", NUMPY_FUNCTIONS)
@pytest.mark.filterwarnings("ignore:__array")
def test_numpy_functions_of_tensors(name):
    found = []
    for lib in BOTH:
        y = NUMPY_FUNCTIONS[name](lib, lib.tensor([1.0, 2.0, 3.0]), np.array([1.0, 5.0, 3.0]))
        found.append((type(y).__name__, str(getattr(y, "dtype", "")).partition(".")[2], y))
    ours, theirs = found
    assert ours[:2] == theirs[:2]
    np.testing.assert_array_equal(ours[2], theirs[2])


def test_arrays_leave_operators_to_tensors():
    x, a = fastdl.tensor([1.0, 2.0]), np.array([3.0, 4.0])
    for y in (a + x, a - x, a * x, a / x, a**x, a < x, a == x, a >= x, np.array(2.0) * x):
        assert isinstance(y, fastdl.Tensor)
    assert (a - x).tolist() == [2.0, 2.0]
    assert (a < x).tolist() == [False, False]
    with pytest.raises(RuntimeError, match="requires grad"):
        np.sqrt(fastdl.ones(2, requires_grad=True))
    z = a + fastdl.ones(2, requires_grad=True)
    assert z.requires_grad


def test_array_protocol():
    x = fastdl.arange(3)
    assert np.asarray(x) is x.numpy()
    assert np.array(x, copy=True) is not x.numpy()
    assert np.asarray(x, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="without a copy"):
        np.array(x, np.float32, copy=False)


TO = {
    "dtype": lambda t, x: x.to(t.float64),
    "keyword dtype": lambda t, x: x.to(dtype=t.int32),
    "device": lambda t, x: x.to("cpu"),
    "device object": lambda t, x: x.to(t.device("cpu")),
    "device and dtype": lambda t, x: x.to("cpu", t.float16),
    "keywords": lambda t, x: x.to(device="cpu", dtype=t.float64, non_blocking=True, copy=True),
    "other": lambda t, x: x.to(t.ones(1, dtype=t.complex64)),
    "other with flags": lambda t, x: x.to(t.ones(1), False, True),
    "dtype with flags": lambda t, x: x.to(t.float32, False, True),
    "device with flags": lambda t, x: x.to("cpu", t.float32, True, True),
    "non-blocking only": lambda t, x: x.to("cpu", t.float32, True),
    "nothing": lambda t, x: x.to(x.dtype),
    "copy": lambda t, x: x.to(x.dtype, copy=True),
    "type": lambda t, x: x.type(t.int64),
    "type by class": lambda t, x: x.type(t.DoubleTensor),
    "type by name": lambda t, x: x.type("torch.LongTensor"),
    "type_as": lambda t, x: x.type_as(t.ones(1, dtype=t.uint8)),
    "channels last": lambda t, x: x.reshape(1, 2, 3, 1).to(memory_format=t.channels_last),
}


@pytest.mark.parametrize("form", TO)
def test_to_in_all_its_forms(form):
    found = []
    for lib in BOTH:
        x = lib.arange(6.0)
        y = TO[form](lib, x)
        found.append((str(y.dtype).partition(".")[2], y is x, y.data_ptr() == x.data_ptr(),
                      y.tolist(), y.stride()))  # fmt: skip
    assert found[0] == found[1]


def test_old_constructors():
    for lib in BOTH:
        for name, dtype in [("Float", lib.float32), ("Long", lib.int64), ("Byte", lib.uint8),
                            ("Half", lib.float16), ("Bool", lib.bool)]:  # fmt: skip
            kind = getattr(lib, f"{name}Tensor")
            assert kind(2, 3).shape == (2, 3)
            assert kind(2, 3).dtype is dtype
            assert kind([1, 0]).tolist() == [1, 0]
            assert isinstance(lib.zeros(2, dtype=dtype), kind)
            assert not isinstance(lib.zeros(2, dtype=lib.int16), kind)
            assert kind([1]).type().endswith(f"{name}Tensor")
        assert lib.is_tensor(lib.ones(1))
        assert not lib.is_tensor([1])
        assert lib.is_nonzero(lib.tensor([2.0]))
        with pytest.raises(RuntimeError):
            lib.is_nonzero(lib.ones(2))
        x = lib.arange(12.0).reshape(3, 4)[1:, 1:]
        assert x.storage_offset() == 5
        assert x.untyped_storage().nbytes() == 48
        assert len(x.untyped_storage()) == 48
        assert x.untyped_storage().data_ptr() + 20 == x.data_ptr()
        assert x.nbytes == 24
        assert x.itemsize == x.element_size() == 4
