"""Mixed precision and what asks for accelerators, against PyTorch on a CPU."""

import inspect
import threading
import warnings

import numpy as np
import pytest

import fastdl

torch = pytest.importorskip("torch")
pytest.importorskip("ml_dtypes")
BOTH = (fastdl, torch)


def dtypes_under_autocast(lib, dtype):
    F = lib.nn.functional
    x, w = lib.ones(4, 6), lib.ones(6, 6)
    image, kernel = lib.ones(1, 2, 8, 8), lib.ones(3, 2, 3, 3)
    target = lib.zeros(4, dtype=lib.int64)
    with lib.autocast("cpu", dtype=dtype):
        low = x @ w
        found = {
            "matmul": low,
            "mm": lib.mm(x, w),
            "bmm": lib.bmm(x[None], w[None]),
            "linear": F.linear(x, w, w[0]),
            "linear of lower": F.linear(low, w, w[0]),
            "conv1d": F.conv1d(image[0], lib.ones(3, 8, 3)),
            "conv2d": F.conv2d(image, kernel, lib.ones(3)),
            "conv_transpose2d": F.conv_transpose2d(image, lib.ones(2, 3, 3, 3)),
            "attention": F.scaled_dot_product_attention(x[None], x[None], x[None]),
            "float64": x.double() @ w.double(),
            "relu": F.relu(low),
            "add": low + x,
            "softmax": F.softmax(low, -1),
            "layer_norm": F.layer_norm(x, (6,)),
            "sum": low.sum(),
            "cross_entropy": F.cross_entropy(low, target),
            "mse": F.mse_loss(low, x),
            "bce": F.binary_cross_entropy_with_logits(low, x),
            "nll": F.nll_loss(low, target),
            "prod": low.prod(0),
            "cat": lib.cat([low, x]),
            "exp": x.exp(),
            "integers": lib.ones(2, 2, dtype=lib.int64) @ lib.ones(2, 2, dtype=lib.int64),
        }
        with lib.autocast("cpu", enabled=False):
            found["inside a disabled one"] = x @ w
        found["after it"] = x @ w
    found["outside"] = x @ w
    return {name: str(y.dtype).partition(".")[2] for name, y in found.items()}


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_dtypes_under_autocast(name):
    ours, theirs = (dtypes_under_autocast(lib, getattr(lib, name)) for lib in BOTH)
    assert ours == theirs


def test_a_network_under_autocast():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 1, 12, 12)).astype(np.float32)
    y = rng.integers(0, 5, 4)
    results = []
    state = None
    for lib in BOTH:
        nn = lib.nn
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(100, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 5),
        )  # fmt: skip
        if state is None:
            state = {k: v.numpy().copy() for k, v in net.state_dict().items()}
        net.load_state_dict({k: lib.tensor(v) for k, v in state.items()})
        with lib.autocast("cpu"):
            out = net(lib.tensor(x))
            loss = nn.functional.cross_entropy(out, lib.tensor(y))
        assert out.dtype is lib.bfloat16
        assert loss.dtype is lib.float32
        loss.backward()
        for p in net.parameters():
            assert p.dtype is p.grad.dtype is lib.float32
        results.append([loss.item()] + [p.grad.numpy() for p in net.parameters()])
    # The same roundings to 8 bits in nearly the same places: some of them of the greatest element.
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=0, atol=8 * 2**-8 * max(np.abs(b).max(), 0.05))


def test_autocast_as_decorator_and_in_other_threads():
    for lib in BOTH:

        @lib.autocast(device_type="cpu", dtype=lib.bfloat16)
        def product(lib=lib):
            assert lib.is_autocast_enabled("cpu")
            return lib.ones(2, 2) @ lib.ones(2, 2)

        assert product().dtype is lib.bfloat16
        assert not lib.is_autocast_enabled("cpu")
        found = []
        with lib.autocast("cpu"):
            assert lib.get_autocast_dtype("cpu") is lib.bfloat16
            other = threading.Thread(
                target=lambda: found.append((lib.ones(2, 2) @ lib.ones(2, 2)).dtype)  # noqa: B023
            )
            other.start()
            other.join()
        assert found == [lib.float32]
        with pytest.raises(ZeroDivisionError), lib.autocast("cpu"):
            raise ZeroDivisionError
        assert not lib.is_autocast_enabled("cpu")


def test_autocast_refuses_and_warns():
    for lib in BOTH:
        with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
            lib.autocast(0)
        with pytest.raises(RuntimeError, match="device"):
            lib.autocast("abacus")
        with pytest.warns(UserWarning, match="Disabling"), lib.autocast("cuda"):
            assert (lib.ones(2, 2) @ lib.ones(2, 2)).dtype is lib.float32
        with pytest.warns(UserWarning, match="Disabling"), lib.autocast("cpu", lib.float32):
            assert (lib.ones(2, 2) @ lib.ones(2, 2)).dtype is lib.float32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with lib.cuda.amp.autocast():
                assert not lib.is_autocast_enabled("cpu")
        assert lib.amp.is_autocast_available("cpu")


def scaled_steps(lib):
    """Losses of a few steps with a gradient that overflows in the third."""
    p = lib.nn.Parameter(lib.tensor([1.0, 2.0]))
    optimizer = lib.optim.SGD([p], lr=0.1)
    scaler = lib.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    seen = []
    for i in range(6):
        optimizer.zero_grad()
        factor = float("inf") if i == 2 else 1.0
        scaler.scale((p * p).sum() * factor).backward()
        if i % 2:
            scaler.unscale_(optimizer)
            seen.append(p.grad.tolist())
        scaler.step(optimizer)
        scaler.update()
        seen.append((p.tolist(), scaler.get_scale()))
    seen.append(scaler.state_dict())
    again = lib.amp.GradScaler("cpu")
    again.load_state_dict(scaler.state_dict())
    seen.append(again.get_scale())
    return seen


def test_grad_scaler():
    assert scaled_steps(fastdl) == scaled_steps(torch)
    for lib in BOTH:
        p = lib.nn.Parameter(lib.ones(2))
        optimizer = lib.optim.SGD([p], lr=0.1)
        scaler = lib.amp.GradScaler("cpu")
        with pytest.raises(AssertionError, match="No inf checks"):
            scaler.scale(p.sum())
            scaler.update()
        scaler.scale(p.sum()).backward()
        scaler.unscale_(optimizer)
        with pytest.raises(RuntimeError, match="already been called"):
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        with pytest.raises(RuntimeError, match="already been called"):
            scaler.step(optimizer)
        off = lib.amp.GradScaler("cpu", enabled=False)
        assert off.scale(3) == 3
        assert off.state_dict() == {}
        assert off.get_scale() == 1.0
        with pytest.warns(UserWarning, match="Disabling"):
            assert not lib.amp.GradScaler("cuda").is_enabled()
        with pytest.raises(RuntimeError, match="empty"):
            scaler.load_state_dict({})


def test_custom_functions_under_autocast():
    for lib in BOTH:

        class Double(lib.autograd.Function):
            @staticmethod
            @lib.amp.custom_fwd(device_type="cpu", cast_inputs=lib.float32)
            def forward(ctx, x, lib=lib):
                assert x.dtype is lib.float32
                assert not lib.is_autocast_enabled("cpu")
                return x * 2

            @staticmethod
            @lib.amp.custom_bwd(device_type="cpu")
            def backward(ctx, g):
                return g * 2

        x = lib.ones(2, requires_grad=True)
        with lib.autocast("cpu"):
            y = Double.apply(x.to(lib.bfloat16))
        y.sum().backward()
        assert x.grad.tolist() == [2.0, 2.0]


def test_answers_about_accelerators():
    for lib in BOTH:
        assert not lib.cuda.is_available()
        assert lib.cuda.device_count() == lib.cuda.memory_allocated() == 0
        assert lib.accelerator.current_accelerator() is None
        assert not lib.accelerator.is_available()
        assert lib.accelerator.device_count() == 0
        with pytest.raises((RuntimeError, AssertionError)):
            lib.accelerator.set_device_index(0)
        with pytest.raises(TypeError, match="not available"):
            lib.cuda.FloatTensor(2)
        assert lib.version.cuda is None
        assert lib.backends.cuda.matmul.allow_tf32 is False
        assert not lib.backends.mps.is_available()
        with lib.cuda.device(-1):
            pass
        with pytest.raises((RuntimeError, AssertionError)):
            lib.cuda.get_device_name(0)
    assert fastdl.version.__version__ == fastdl.__version__
    start, end = (fastdl.cuda.Event(enable_timing=True) for _ in range(2))
    with pytest.raises(RuntimeError, match="must be recorded"):
        start.elapsed_time(end)
    start.record()
    end.record()
    assert start.elapsed_time(end) >= 0
    fastdl.cuda.reset_peak_memory_stats()
    assert fastdl.cuda.max_memory_allocated() == 0


def test_switches_are_kept():
    for lib in BOTH:
        assert lib.get_float32_matmul_precision() == "highest"
        lib.set_float32_matmul_precision("high")
        assert lib.get_float32_matmul_precision() == "high"
        lib.set_float32_matmul_precision("highest")
        lib.use_deterministic_algorithms(True, warn_only=True)
        assert lib.are_deterministic_algorithms_enabled()
        assert lib.is_deterministic_algorithms_warn_only_enabled()
        assert lib.get_deterministic_debug_mode() == 1
        lib.set_deterministic_debug_mode("default")
        assert not lib.are_deterministic_algorithms_enabled()
        with pytest.raises(RuntimeError, match="debug_mode"):
            lib.set_deterministic_debug_mode("loud")
    with pytest.raises(RuntimeError, match="expected one of highest"):
        fastdl.set_float32_matmul_precision("exact")


def test_compile_changes_nothing():
    net = fastdl.nn.Linear(2, 3)
    assert fastdl.compile(net) is net
    assert fastdl.compile(net, mode="reduce-overhead", fullgraph=True) is net

    @fastdl.compile
    def f(x):
        return x + 1

    @fastdl.compile(dynamic=True)
    def g(x):
        return f(x) + 1

    assert g(fastdl.zeros(1)).tolist() == [2.0]
    with pytest.raises(TypeError, match="compile"):
        fastdl.compile(3)
    with pytest.raises(RuntimeError, match="Either mode or options"):
        fastdl.compile(net, mode="default", options={})
    assert not fastdl.compiler.is_compiling()
    ours, theirs = (inspect.signature(lib.compile) for lib in BOTH)
    assert [(p.name, p.default, p.kind) for p in ours.parameters.values()] == [
        (p.name, p.default, p.kind) for p in theirs.parameters.values()
    ]
