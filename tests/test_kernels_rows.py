"""Row kernels: every tier and dtype against NumPy's float64, and PyTorch.

Bounds are multiples of the dtype's eps, derived beside each comparison. A function value of a sum
of n terms carries an error of at most n * eps relative to the sum of absolute values; the kernels
sum in blocks and stay far below it.
"""

import math
import threading
import warnings

import numpy as np
import pytest
from fences import fenced
from hypothesis import given
from hypothesis import strategies as st

from fastdl._kernels import (
    channel_sum,
    cross_entropy,
    isa_available,
    nll,
    nll_backward,
    soft_cross_entropy,
    softmax,
    softmax_backward,
)

ISAS = isa_available()
DTYPES = ("float32", "float64")

# columns around every vector length (2 ... 16), the block of a row's sum (2048), primes, nothing
COLS = (1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 100, 1000, 2047, 2048, 2049, 4099)

each_tier = pytest.mark.parametrize("isa", ISAS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def softmax64(x, log):
    x = x.astype("f8")
    shifted = x - x.max(1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return log_softmax if log else np.exp(log_softmax)


# ---------------------------------------------------------------------------------------- softmax


def exp_of(x, isa):
    """exp of each x <= 0, through softmax: rows [0, x] have the sum 1 + exp(x)."""
    y = softmax(np.stack([np.zeros_like(x), x], 1), isa=isa)
    return y[:, 1] / y[:, 0]


@each_tier
@each_dtype
def test_exp_ulp(isa, dtype):
    """Through log-softmax's gradient with dy = (0, -1): dx[0] = exp(y[0]), nothing added."""
    rng = np.random.default_rng(0)
    least, most = (-104.5, 88.7) if dtype == "float32" else (-746.0, 709.7)
    x = np.concatenate(
        [
            rng.uniform(least, most, 200_000),
            rng.uniform(-1, 1, 50_000),
            np.arange(math.ceil(least), most) * math.log(2) / 2,  # where rounding to k switches
            np.log(2) * np.arange(least / math.log(2), most / math.log(2)),
            [0.0, -0.0, 1e-30, -1e-30, least, most],
        ]
    ).astype(dtype)
    y = np.stack([x, np.zeros_like(x)], 1)
    dy = np.tile(np.array([0, -1], dtype), (len(x), 1))
    result = softmax_backward(dy, y, True, isa=isa)[:, 0]
    wide = np.longdouble if dtype == "float64" else np.float64
    exact = np.exp(x.astype(wide))
    ulp = np.spacing(exact.astype(dtype)).astype(wide)
    assert np.max(np.abs(result - exact) / ulp) <= 1.5
    assert (result[x == 0] == 1).all()
    tiny = np.finfo(dtype).tiny
    assert ((result > 0) & (result < tiny)).any(), "no denormal result was tried"


@each_tier
@each_dtype
def test_exp_special_values(isa, dtype):
    x = np.array([-np.inf, -800.0, 800.0, np.inf, np.nan, -3e38, 3e38], dtype)
    y = np.stack([x, np.zeros_like(x)], 1)
    dy = np.tile(np.array([0, -1], dtype), (len(x), 1))
    result = softmax_backward(dy, y, True, isa=isa)[:, 0]
    np.testing.assert_array_equal(result, np.array([0, 0, np.inf, np.inf, np.nan, 0, np.inf]))


@each_tier
@each_dtype
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("cols", COLS)
def test_softmax(isa, dtype, log, cols):
    """Values: exp errs by 1.5 ulp, its argument x - max by half an ulp of |x - max| <= 40, the sum
    by a few eps, the quotient or difference by one rounding more."""
    rng = np.random.default_rng(cols)
    eps = np.finfo(dtype).eps
    x = (4 * rng.standard_normal((5, cols))).astype(dtype)
    dy = rng.standard_normal((5, cols)).astype(dtype)
    y, check = fenced(x.shape, dtype)
    assert softmax(x, log, out=y, isa=isa) is y
    check()
    exact = softmax64(x, log)
    np.testing.assert_allclose(y, exact, rtol=32 * eps, atol=0 if not log else 32 * eps)
    dx, check = fenced(x.shape, dtype)
    softmax_backward(dy, y, log, out=dx, isa=isa)
    check()
    dy64, p = dy.astype("f8"), softmax64(x, False)
    if log:
        exact = dy64 - p * dy64.sum(1, keepdims=True)
    else:
        exact = p * (dy64 - (p * dy64).sum(1, keepdims=True))
    size = np.abs(dy64) + np.abs(dy64).sum(1, keepdims=True) * p
    assert (np.abs(dx - exact) <= 64 * eps * size).all()


@each_tier
@each_dtype
@pytest.mark.parametrize("log", [False, True])
def test_softmax_extremes(isa, dtype, log):
    inf, nan = np.inf, np.nan
    x = np.full((6, 19), -1.0, dtype)
    x[0, 3] = 10_000  # overflows exp without the maximum
    x[1, ::2] = -inf  # masked columns
    x[2] = -inf  # nothing left: NaN, as in PyTorch
    x[3, 18] = inf
    x[4, 7] = nan
    x[5] = -10_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = softmax64(x, log)
    np.testing.assert_allclose(softmax(x, log, isa=isa), expected, rtol=1e-5)
    torch = pytest.importorskip("torch")
    f = torch.log_softmax if log else torch.softmax
    np.testing.assert_allclose(softmax(x, log, isa=isa), f(torch.tensor(x), 1), rtol=1e-5)


@each_tier
def test_softmax_long_row(isa):
    """2**20 equal terms: adding them one by one in float32 would lose up to 2**20 * eps = 12 %."""
    x = np.zeros((1, 1 << 20), np.float32)
    np.testing.assert_allclose(softmax(x, isa=isa) * x.size, 1, rtol=1e-5)
    x[:] = np.random.default_rng(0).standard_normal(x.shape)
    np.testing.assert_allclose(softmax(x, isa=isa), softmax64(x, False), rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_softmax_empty(shape):
    assert softmax(np.empty(shape)).shape == shape
    assert softmax_backward(np.empty(shape), np.empty(shape), True).shape == shape


# ---------------------------------------------------------------------------------- cross-entropy


@each_tier
@each_dtype
@pytest.mark.parametrize("cols", COLS)
def test_cross_entropy(isa, dtype, cols):
    rng = np.random.default_rng(cols)
    eps = np.finfo(dtype).eps
    x = (4 * rng.standard_normal((7, cols))).astype(dtype)
    target = rng.integers(0, cols, 7)
    target[0], target[6] = 0, cols - 1
    target[3] = -100
    loss, check_loss = fenced((7,), dtype)
    grad, check_grad = fenced(x.shape, dtype)
    cross_entropy(x, target, out=(loss, grad), isa=isa)
    check_loss()
    check_grad()
    used = np.arange(7) != 3
    p = softmax64(x, False)
    exact = -softmax64(x, True)[np.arange(7), target.clip(0)]
    np.testing.assert_allclose(loss[used], exact[used], rtol=32 * eps, atol=32 * eps)
    p[used, target[used]] -= 1
    np.testing.assert_allclose(grad[used], p[used], rtol=32 * eps, atol=4 * eps)
    assert loss[3] == 0
    assert (grad[3] == 0).all()


@each_dtype
def test_cross_entropy_torch(dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x = rng.standard_normal((40, 11)).astype(dtype)
    target = rng.integers(0, 11, 40)
    target[::7] = 5
    t = torch.tensor(x.astype("f8"), requires_grad=True)
    expected = torch.nn.functional.cross_entropy(
        t, torch.tensor(target), ignore_index=5, reduction="none"
    )
    expected.sum().backward()
    loss, grad = cross_entropy(x, target, 5)
    tolerance = 32 * np.finfo(dtype).eps
    np.testing.assert_allclose(loss, expected.detach(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(grad, t.grad, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("bad", [-1, 12, 2**40, -(2**63)])
def test_cross_entropy_targets_are_checked(bad):
    x = np.zeros((3, 12), np.float32)
    with pytest.raises(IndexError, match=rf"^Target {bad} is out of bounds\.$"):
        cross_entropy(x, np.array([0, 11, bad]))
    loss, _ = cross_entropy(x, np.array([0, 11, bad]), bad)
    assert loss[2] == 0


@each_tier
@each_dtype
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        (3, 5, 2),
        (2, 1, 7),
        (4, 21, 16),
        (2, 33, 17),
        (1, 7, 100),
        (3, 128, 31),
        (2, 129, 64),
        (2, 5, 1024),
    ],
)
def test_softmax_of_planes(isa, dtype, log, shape):
    """Pixels stand in lanes: the errors of test_softmax, for each of them."""
    rng = np.random.default_rng(shape[2])
    eps = np.finfo(dtype).eps
    x = (4 * rng.standard_normal(shape)).astype(dtype)
    x[0, 0, 0] = -np.inf
    dy = rng.standard_normal(shape).astype(dtype)
    y, check = fenced(shape, dtype)
    softmax(x, log, out=y, isa=isa)
    check()
    with np.errstate(invalid="ignore"):  # the only class, masked: NaN, as in PyTorch
        exact = softmax64(x, log)
    np.testing.assert_allclose(y, exact, rtol=32 * eps, atol=0 if not log else 32 * eps)
    used = np.isfinite(y).all(1, keepdims=True)
    dx, check = fenced(shape, dtype)
    softmax_backward(dy, y, log, out=dx, isa=isa)
    check()
    dy64 = dy.astype("f8")
    p = np.exp(exact) if log else exact
    if log:
        exact = dy64 - p * dy64.sum(1, keepdims=True)
    else:
        exact = p * (dy64 - (p * dy64).sum(1, keepdims=True))
    size = np.abs(dy64) + np.abs(dy64).sum(1, keepdims=True) * p
    assert ((np.abs(dx - exact) <= 64 * eps * size) | ~used).all()


def cross_entropy64(x, target, ignore_index, weight, smoothing):
    """Loss and gradient in float64, by the formula, for x (n, c, p)."""
    c = x.shape[1]
    x, w = x.astype("f8"), np.ones(c) if weight is None else weight.astype("f8")
    used = target != ignore_index
    onehot = np.eye(c)[np.where(used, target, 0)].transpose(0, 2, 1)
    share = ((1 - smoothing) * onehot + smoothing / c) * w[:, None] * used[:, None]
    loss = -(share * softmax64(x, True)).sum(1)
    return loss, softmax64(x, False) * share.sum(1, keepdims=True) - share


@each_tier
@each_dtype
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        (40, 3, 1),
        (17, 24, 1),
        (5, 25, 1),
        (6, 1000, 1),
        (2, 3, 7),
        (3, 21, 50),
        (1, 128, 16),
        (2, 129, 33),
        (1, 128, 512),
    ],
)
def test_cross_entropy_options(isa, dtype, shape, weighted, smoothing):
    """A sum over c classes of values up to 20 errs by some eps of 20; gradients by some of 1."""
    rng = np.random.default_rng(shape[1])
    n, c, p = shape
    eps = np.finfo(dtype).eps
    x = (4 * rng.standard_normal(shape)).astype(dtype)
    target = rng.integers(0, c, (n, p))
    target.flat[::5] = -7
    x[0, :, 0] = np.nan  # ignored, whatever it holds
    weight = rng.uniform(0.5, 2, c).astype(dtype) if weighted else None
    exact_loss, exact_grad = cross_entropy64(x, target, -7, weight, smoothing)
    exact_loss[0, 0], exact_grad[0, :, 0] = 0, 0
    flat = (x, target) if p > 1 else (x[:, :, 0], target[:, 0])
    loss, check_loss = fenced(flat[1].shape, dtype)
    grad, check_grad = fenced(flat[0].shape, dtype)
    out = (loss, grad)
    cross_entropy(*flat, -7, weight, smoothing, 0.25, out=out, isa=isa)
    check_loss()
    check_grad()
    np.testing.assert_allclose(loss.reshape(n, p), exact_loss / 4, rtol=64 * eps, atol=320 * eps)
    np.testing.assert_allclose(grad.reshape(shape), exact_grad / 4, rtol=64 * eps, atol=8 * eps)


# ------------------------------------------------------------------------------------ channel_sum


@each_tier
@each_dtype
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1), (3, 5, 7), (5, 17, 1), (33, 65, 1), (31, 3, 33), (4, 2, 1023), (4, 2, 1024),
        (4, 2, 1025), (100, 10), (257, 129), (2, 3, 4, 5), (1, 1, 5003), (0, 3, 4), (3, 0, 4),
        (3, 4, 0), (2, 0),
    ],
)  # fmt: skip
def test_channel_sum(isa, dtype, shape):
    """Pairwise summation errs by less than log2(n) + 64 eps of the sum of absolute values."""
    rng = np.random.default_rng(0)
    dy = rng.standard_normal(shape).astype(dtype)
    db, check = fenced((shape[1],), dtype)
    assert channel_sum(dy, out=db, isa=isa) is db
    check()
    rows = np.moveaxis(dy, 1, 0).reshape(shape[1], dy.size // max(1, shape[1])).astype("f8")
    exact = np.array([math.fsum(row) for row in rows])
    assert (np.abs(db - exact) <= 80 * np.finfo(dtype).eps * np.abs(rows).sum(1)).all()


@each_tier
@pytest.mark.parametrize("shape", [(1, 1, 1 << 22), (1 << 18, 1, 16), (1 << 22, 1)])
def test_channel_sum_error_does_not_grow(isa, shape):
    """4 million times 0.1 in float32: a plain loop errs by 4 %, pairwise by a few eps."""
    dy = np.full(shape, 0.1, np.float32)
    exact = np.float64(np.float32(0.1)) * dy.size
    np.testing.assert_allclose(channel_sum(dy, isa=isa), exact, rtol=1e-5)


# ------------------------------------------------------------ probabilities, chosen probabilities


@each_tier
@each_dtype
@pytest.mark.parametrize("cols", COLS)
@pytest.mark.parametrize(("weighted", "smoothing"), [(False, 0.0), (True, 0.0), (True, 0.3)])
def test_soft_cross_entropy(isa, dtype, cols, weighted, smoothing):
    """As with classes; products of up to 20 are summed over cols, and cancel."""
    rng = np.random.default_rng(cols)
    eps = np.finfo(dtype).eps
    x = (4 * rng.standard_normal((5, cols))).astype(dtype)
    q = rng.uniform(0, 2 / cols, (5, cols)).astype(dtype)
    weight = rng.uniform(0.5, 2, cols).astype(dtype) if weighted else None
    share = (1 - smoothing) * q.astype("f8") + smoothing / cols
    share = share if weight is None else share * weight
    logs = softmax64(x, True)
    loss, mass, grad = soft_cross_entropy(x, q, weight, smoothing, 0.25, isa=isa)
    total = share.sum(1)
    exact = (np.exp(logs) * total[:, None] - share) / 4
    np.testing.assert_allclose(loss, -(share * logs).sum(1) / 4, rtol=64 * eps, atol=320 * eps)
    np.testing.assert_allclose(mass, total / 4, rtol=16 * eps)
    np.testing.assert_allclose(grad, exact, rtol=64 * eps, atol=8 * eps)
    alone = soft_cross_entropy(x, q, weight, smoothing, 0.25, gradient=False, isa=isa)
    assert alone[2] is None
    assert alone[0].tobytes() == loss.tobytes()


@each_tier
@each_dtype
@pytest.mark.parametrize("shape", [(70, 10), (5, 4, 3), (2, 3, 500), (0, 4), (3, 4, 0), (1, 1)])
def test_nll(isa, dtype, shape):
    """Numbers are chosen, and scaled: nothing to round but a product."""
    rng = np.random.default_rng(shape[0])
    eps = np.finfo(dtype).eps
    x = rng.standard_normal(shape).astype(dtype)
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    target.flat[1::5] = -7
    weight = rng.uniform(0.5, 2, shape[1]).astype(dtype)
    used = target != -7
    classes = np.where(used, target, 0)
    each = np.where(used, weight[classes].astype("f8"), 0)
    chosen = np.take_along_axis(x, np.expand_dims(classes, 1), 1)[:, 0]
    found = nll(x, target, -7, weight, 0.5, isa=isa)
    np.testing.assert_allclose(found, -0.5 * each * chosen, rtol=4 * eps)
    mean = nll(x, target, -7, weight, "mean", isa=isa)
    with np.errstate(invalid="ignore"):
        exact = -(each * chosen).sum() / each.sum()
    np.testing.assert_allclose(mean, exact, rtol=64 * eps, atol=8 * eps)

    dy = rng.standard_normal(target.shape).astype(dtype)
    dx = nll_backward(dy, target, shape[1], -7, weight, 0.5, isa=isa)
    at_target = np.expand_dims(classes, 1) == np.arange(shape[1]).reshape(-1, *[1] * (x.ndim - 2))
    exact = -0.5 * np.expand_dims(each * dy, 1) * at_target
    np.testing.assert_allclose(dx, exact, rtol=4 * eps)
    same = nll_backward(np.ones((), dtype), target, shape[1], -7, weight, 0.5, isa=isa)
    np.testing.assert_allclose(same, -0.5 * np.expand_dims(each, 1) * at_target, rtol=4 * eps)


@each_tier
@pytest.mark.parametrize("shape", [(5, 10), (40, 100), (2, 21, 50), (1, 128, 512)])
def test_cross_entropy_without_gradient(isa, shape):
    """The same bits as with it; and the mean, for which the weights of the targets count."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype("f4")
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    weight = rng.uniform(0.5, 2, shape[1]).astype("f4")
    for smoothing in (0.0, 0.1):
        loss, grad = cross_entropy(x, target, 3, weight, smoothing, isa=isa)
        alone, none = cross_entropy(x, target, 3, weight, smoothing, gradient=False, isa=isa)
        assert none is None
        assert alone.tobytes() == loss.tobytes()
        mean, slope = cross_entropy(x, target, 3, weight, smoothing, "mean", isa=isa)
        total = weight[target[target != 3]].sum(dtype="f8")
        np.testing.assert_allclose(mean, loss.sum(dtype="f8") / total, rtol=1e-6)
        np.testing.assert_allclose(slope, grad / total, rtol=1e-5, atol=1e-8)


# -------------------------------------------------------------------------- threads, bad arguments


@each_tier
@each_dtype
def test_threads_do_not_change_bits(isa, dtype):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 1501, 1003)).astype(dtype)
    target = rng.integers(0, 1003, 1501)

    def everything(n):
        y = softmax(x, threads=n, isa=isa)
        return [
            y,
            softmax(x, True, threads=n, isa=isa),
            softmax_backward(dy, y, threads=n, isa=isa),
            softmax_backward(dy, y, True, threads=n, isa=isa),
            *cross_entropy(x, target, threads=n, isa=isa),
            channel_sum(x, threads=n, isa=isa),
            channel_sum(x.reshape(79, 19, -1), threads=n, isa=isa),
        ]  # fmt: skip

    one = everything(1)
    for n in (2, 3, 7):
        for a, b in zip(one, everything(n)):
            assert a.tobytes() == b.tobytes()


def test_several_python_threads_at_once():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 1000)).astype("f4")
    expected = softmax(x).tobytes()
    wrong = []

    def work():
        for _ in range(20):
            if softmax(x).tobytes() != expected:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@given(
    st.integers(0, 40), st.integers(1, 70), st.sampled_from(DTYPES), st.sampled_from(ISAS),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_softmax_property(rows, cols, dtype, isa, seed):
    """Rows add up to one, and adding a constant to a row changes nothing but rounding."""
    eps = np.finfo(dtype).eps
    x = (3 * np.random.default_rng(seed).standard_normal((rows, cols))).astype(dtype)
    y = softmax(x, isa=isa)
    np.testing.assert_allclose(y.sum(1), 1, rtol=8 * eps + cols * eps)
    # x + 16 is off by at most 16 eps, so exp(x) by a factor of 1 + 16 eps
    np.testing.assert_allclose(softmax(x + np.array(16, dtype), isa=isa), y, rtol=100 * eps)


F4 = np.zeros((4, 6), np.float32)
BAD = {
    "softmax: x must have shape": (ValueError, lambda: softmax(F4[0])),
    "softmax: x must be float32 or float64": (TypeError, lambda: softmax(F4.astype("f2"))),
    "softmax_backward: y must have shape": (ValueError, lambda: softmax_backward(F4, F4[:2])),
    "cross_entropy: target must be int64": (
        TypeError,
        lambda: cross_entropy(F4, np.zeros(4, np.int32)),
    ),
    r"cross_entropy: target must have shape \(4,\)": (
        ValueError,
        lambda: cross_entropy(F4, np.zeros(3, np.int64)),
    ),
    "channel_sum: dy must have at least 2": (ValueError, lambda: channel_sum(F4[0])),
    "isa: 'sse9' is not available": (ValueError, lambda: softmax(F4, isa="sse9")),
    "threads: must be": (ValueError, lambda: softmax(F4, threads=-1)),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arguments(message):
    error, call = BAD[message]
    with pytest.raises(error, match=message):
        call()


def test_swapped_bytes_are_refused():
    x = np.zeros((3, 4), np.dtype(np.float32).newbyteorder())
    with pytest.raises((TypeError, ValueError), match="softmax: x"):
        softmax(x)
