"""Attention: every variant, tier and dtype against the definition in float64.

Error bound: with u = eps / 2 and first-order terms, a score of e products errs by at most
(e + 2) u |scale| |q| |k|, whose largest is `spread` below; so does the exponent, the probability
by that factor, its normalisation by another s u; the value product adds s u. In all
|y - exact| <= (2 * spread + 3 s + 20) eps max|v|; gradients go through two more products, bounded
alike by their largest terms. float32 sums err as a random walk, far below this; a wrong tile, mask
or scale errs by far more.
"""

import numpy as np
import pytest

import fastdl
from fastdl._kernels import (
    ATTENTION_VARIANTS,
    attention,
    attention_backward,
    attention_factors,
    isa_available,
)

ISAS = isa_available()
DTYPES = ("float32", "float64")

# (n, h, group, rows, s, e, ev): tiles are 64 x 64, chunks 512 keys; lanes end in tiles
SHAPES = [
    (2, 2, 1, 64, 64, 64, 64),
    (1, 4, 2, 70, 133, 20, 33),
    (2, 1, 1, 1, 200, 64, 64),
    (1, 2, 1, 129, 1, 8, 5),
    (1, 2, 2, 5, 7, 3, 1),
    (1, 1, 1, 63, 65, 1, 17),
    (1, 1, 1, 600, 1100, 16, 24),
    (1, 3, 3, 66, 66, 530, 48),
]
MASKS = ("none", "bool", "float", "keys", "queries", "column")


def problem(shape, dtype, mask, seed=0):
    n, h, group, rows, s, e, ev = shape
    rng = np.random.default_rng(seed)
    normal = lambda *size: rng.standard_normal(size).astype(dtype)
    q, k = normal(n, h, rows, e), normal(n, h // group, s, e)
    v, dy = normal(n, h // group, s, ev), normal(n, h, rows, ev)
    masks = {
        "none": None,
        "bool": rng.random((n, h, rows, s)) < 0.5,
        "float": normal(h, rows, s),
        "keys": rng.random((n, 1, 1, s)) < 0.7,
        "queries": normal(n, 1, rows, 1),
        "column": np.asfortranarray(rng.random((rows, s)) < 0.5),
    }
    if mask == "bool":
        masks["bool"][0, 0, 0] = False  # nothing takes part
        masks["bool"][:, :, : rows // 2, : min(s, 64)] = False  # whole tiles
    return q, k, v, dy, masks[mask]


def definition(q, k, v, dy, mask, scale, causal, factors=1.0):
    """y, lse, dq, dk, dv in float64; `factors` of the probabilities."""
    q, k, v, dy = (x.astype("f8") for x in (q, k, v, dy))
    group = q.shape[1] // k.shape[1]
    kk, vv = np.repeat(k, group, 1), np.repeat(v, group, 1)
    scores = scale * q @ kk.swapaxes(-1, -2)
    if mask is not None:
        scores = scores + (np.where(mask, 0, -np.inf) if mask.dtype == bool else mask)
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    top = scores.max(-1, keepdims=True, initial=-np.inf)
    top = np.where(np.isinf(top), 0, top)
    e = np.exp(scores - top)
    total = e.sum(-1, keepdims=True)
    p = np.divide(e, total, out=np.zeros_like(e), where=total != 0)
    lse = np.where(total == 0, np.inf, top + np.log(np.where(total == 0, 1, total)))[..., 0]
    dp = factors * (dy @ vv.swapaxes(-1, -2))
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * scale
    shared = lambda x: x.reshape(*k.shape[:2], group, *x.shape[2:]).sum(2)
    kept = p * factors
    dk, dv = shared(ds.swapaxes(-1, -2) @ q), shared(kept.swapaxes(-1, -2) @ dy)
    return kept @ vv, lse, ds @ kk, dk, dv


def check(found, exact, factor, dtype):
    assert found.dtype == dtype
    assert found.shape == exact.shape
    finite = np.isfinite(exact)
    assert (found[~finite] == exact[~finite]).all()
    error = np.abs(found[finite] - exact[finite])
    scale = np.abs(exact[finite]).max(initial=1.0)
    assert not np.isnan(error).any()
    assert error.max(initial=0) <= factor * np.finfo(dtype).eps * scale


def bound(q, k, s, scale):
    """The factor of eps, in the random-walk form sqrt(terms) of the bound at the head."""
    spread = np.abs(scale) * np.sqrt((q.astype("f8") ** 2).sum(-1).max(initial=0))
    spread *= np.sqrt((k.astype("f8") ** 2).sum(-1).max(initial=0))
    return 8 * (spread + np.sqrt(s) + 8)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("causal", [False, True])
def test_against_the_definition(isa, dtype, mask, causal):
    for shape in SHAPES:
        q, k, v, dy, m = problem(shape, dtype, mask)
        scale = shape[5] ** -0.5
        exact = definition(q, k, v, dy, m, scale, causal)
        factor = bound(q, k, shape[4], scale)
        for variant in ATTENTION_VARIANTS:
            y, lse = attention(q, k, v, m, scale=scale, causal=causal, variant=variant, isa=isa)
            check(y, exact[0], factor, dtype)
            check(lse, exact[1], factor, dtype)
        slopes = attention_backward(
            dy, q, k, v, y, lse, m, scale=scale, causal=causal, isa=isa, threads=2
        )
        for found, wanted in zip(slopes, exact[2:], strict=True):
            check(found, wanted, factor * shape[2], dtype)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3, 1.0])
def test_dropout_against_the_definition(isa, dtype, causal, dropout):
    """The same factors in every variant, tile and pass; they are at most 1 / (1 - 0.3)."""
    draw = (7, 3)
    for shape in SHAPES:
        q, k, v, dy, m = problem(shape, dtype, "bool")
        n, h, _, rows, s, _, _ = shape
        scale = shape[5] ** -0.5
        factors = attention_factors(np.empty((n, h, rows, s), dtype), dropout, draw, isa=isa)
        assert set(np.unique(factors)) <= {0, dtype_of(1 / (1 - min(dropout, 0.5)), dtype)}
        exact = definition(q, k, v, dy, m, scale, causal, factors.astype("f8"))
        factor = 2 * bound(q, k, s, scale)
        how = {"scale": scale, "causal": causal, "dropout": dropout, "draw": draw, "isa": isa}
        for variant in ATTENTION_VARIANTS:
            y, lse = attention(q, k, v, m, variant=variant, **how)
            check(y, exact[0], factor, dtype)
            check(lse, exact[1], factor, dtype)
        slopes = attention_backward(dy, q, k, v, y, lse, m, threads=2, **how)
        for found, wanted in zip(slopes, exact[2:], strict=True):
            check(found, wanted, factor * shape[2], dtype)


def dtype_of(value, dtype):
    return np.dtype(dtype).type(value)


def test_factors_of_attention():
    """The same ones in every tier; the mean within 5 standard deviations, rows and heads apart."""
    made = [
        attention_factors(np.empty((2, 3, 130, 70), dtype), 0.25, (1, 2), isa=isa) > 0
        for isa in ISAS
        for dtype in DTYPES
    ]
    assert all((x == made[0]).all() for x in made)
    n = made[0].size
    assert abs(made[0].mean() - 0.75) < 5 * np.sqrt(0.1875 / n)
    flat = made[0].reshape(6, -1)
    correlation = np.corrcoef(flat)[np.triu_indices(6, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(flat.shape[1])
    columns = np.corrcoef(made[0].reshape(-1, 70).T)[np.triu_indices(70, 1)]
    assert np.abs(columns).max() < 6 / np.sqrt(6 * 130)
    assert (attention_factors(np.empty((2, 3, 130, 70)), 0.25, (1, 3)) > 0).mean() != made[0].mean()
    with pytest.raises(ValueError, match="dropout must be between 0 and 1"):
        attention_factors(np.empty((1, 1, 1, 1)), 1.5, (0, 0))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_for_any_number_of_threads(isa, dtype):
    for shape in [(2, 3, 1, 130, 70, 24, 17), (1, 2, 1, 300, 2100, 8, 8)]:
        q, k, v, dy, m = problem(shape, dtype, "bool")
        runs = []
        for threads in (1, 2, 3, 7):
            y, lse = attention(q, k, v, m, scale=0.5, causal=True, isa=isa, threads=threads)
            slopes = attention_backward(
                dy, q, k, v, y, lse, m, scale=0.5, causal=True, isa=isa, threads=threads
            )
            runs.append([x.tobytes() for x in (y, lse, *slopes)])
        assert all(run == runs[0] for run in runs)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(isa, dtype):
    """Heads side by side in memory, as layers hold them, repeated ones, and rows apart."""
    shape = (2, 3, 1, 70, 70, 12, 12)
    q, k, v, dy, _ = problem(shape, dtype, "none")
    packed = np.full((2, 70, 3, 3 * 12 + 1), np.nan, dtype)
    views = [packed[..., i * 12 : (i + 1) * 12].transpose(0, 2, 1, 3) for i in range(3)]
    for view, x in zip(views, (q, k, v), strict=True):
        view[...] = x
    y, lse = attention(q, k, v, scale=0.3, isa=isa)
    slopes = attention_backward(dy, q, k, v, y, lse, scale=0.3, isa=isa)
    turned = np.ascontiguousarray(dy.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    y2, lse2 = attention(*views, scale=0.3, isa=isa)
    assert y2.transpose(0, 2, 1, 3).flags.c_contiguous
    slopes2 = attention_backward(turned, *views, y2, lse2, scale=0.3, isa=isa)
    for a, b in zip((y, lse, *slopes), (y2, lse2, *slopes2), strict=True):
        np.testing.assert_array_equal(a, b)
    one = np.broadcast_to(k[:1, :1], k.shape)
    np.testing.assert_array_equal(
        attention(q, one, one, scale=0.3, isa=isa)[0],
        attention(q, one.copy(), one.copy(), scale=0.3, isa=isa)[0],
    )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_scores(isa, dtype):
    """Scores far apart, infinities and NaN: each row on its own."""
    rng = np.random.default_rng(1)
    q = rng.standard_normal((1, 1, 6, 4)).astype(dtype)
    k = rng.standard_normal((1, 1, 90, 4)).astype(dtype)
    v = rng.standard_normal((1, 1, 90, 3)).astype(dtype)
    q[0, 0, 1] *= 1e4  # one key takes all
    q[0, 0, 2, 0] = np.nan
    mask = np.zeros((6, 90), dtype)
    mask[3] = -np.inf
    mask[4, 5] = np.nan
    mask[5, 70:] = -1e30
    y, lse = attention(q, k, v, mask, scale=1.0, isa=isa)
    best = int(np.argmax((q[0, 0, 1].astype("f8") * k[0, 0].astype("f8")).sum(-1)))
    np.testing.assert_allclose(y[0, 0, 1], v[0, 0, best], rtol=1e-6)
    assert np.isnan(y[0, 0, [2, 4]]).all()
    assert (y[0, 0, 3] == 0).all()
    assert lse[0, 0, 3] == np.inf
    alone, _ = attention(q[:, :, 5:], k[:, :, :70], v[:, :, :70], scale=1.0, isa=isa)
    np.testing.assert_allclose(y[0, 0, 5], alone[0, 0, 0], rtol=64 * np.finfo(dtype).eps, atol=1e-6)
    dy = np.ones_like(y)
    slopes = attention_backward(dy, q, k, v, y, lse, mask, scale=1.0, isa=isa)
    assert (slopes[0][0, 0, 3] == 0).all()


def test_memory_does_not_grow_with_the_scores():
    """L = S = 4096: the scores would take 64 MB in float32."""
    stats = fastdl._kernels.memory_stats
    q, k, v, dy, _ = problem((1, 1, 1, 4096, 4096, 16, 16), "float32", "none")
    before = stats()["peak"]
    y, lse = attention(q, k, v, scale=0.25, causal=True)
    attention_backward(dy, q, k, v, y, lse, scale=0.25, causal=True)
    assert stats()["peak"] - before < 8e6


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"q": np.zeros((2, 3, 4), "f4")}, ValueError),
        ({"q": np.zeros((1, 2, 3, 4), "i8")}, TypeError),
        ({"q": np.zeros((1, 2, 3, 8), "f4")[..., ::2]}, ValueError),
        ({"k": np.zeros((1, 2, 5, 4), "f8")}, TypeError),
        ({"k": np.zeros((1, 3, 5, 4), "f4")}, ValueError),
        ({"k": np.zeros((1, 0, 5, 4), "f4")}, ValueError),
        ({"k": np.zeros((1, 2, 5, 3), "f4")}, ValueError),
        ({"v": np.zeros((1, 2, 6, 4), "f4")}, ValueError),
        ({"v": np.zeros((1, 1, 5, 4), "f4")}, ValueError),
        ({"mask": np.zeros((1, 2, 3, 4), bool)}, ValueError),
        ({"mask": np.zeros((1, 1, 2, 3, 5), bool)}, ValueError),
        ({"mask": np.zeros((3, 5), "i8")}, TypeError),
        ({"mask": np.zeros((3, 5), "f8")}, TypeError),
        ({"mask": [[True]]}, TypeError),
        ({"variant": "best"}, ValueError),
        ({"isa": "z80"}, ValueError),
        ({"threads": -1}, ValueError),
    ],
    ids=str,
)
def test_bad_arguments(change, error):
    arguments = {
        "q": np.zeros((1, 2, 3, 4), "f4"),
        "k": np.zeros((1, 2, 5, 4), "f4"),
        "v": np.zeros((1, 2, 5, 4), "f4"),
        "scale": 1.0,
    }
    attention(**arguments)
    with pytest.raises(error):
        attention(**(arguments | change))


def test_bad_arguments_backward():
    q, k, v, dy, _ = problem((1, 2, 1, 3, 5, 4, 6), "float32", "none")
    y, lse = attention(q, k, v, scale=1.0)
    for change in ({"dy": dy[..., :5].copy()}, {"y": y[:, :, :2].copy()}, {"lse": lse[..., :2]}):
        given = {"dy": dy, "q": q, "k": k, "v": v, "y": y, "lse": lse} | change
        with pytest.raises(ValueError, match=next(iter(change))):
            attention_backward(**given, scale=1.0)


# ---- the public function ------------------------------------------------------------------------


def test_dropout_keeps_the_mean():
    """Over many values the mean stays; p = 1 gives 0; the gradient sees the same mask."""
    F = fastdl.nn.functional
    fastdl.manual_seed(0)
    q = fastdl.zeros(1, 1, 64, 8)
    v = fastdl.ones(1, 1, 512, 2).requires_grad_()
    y = F.scaled_dot_product_attention(q, fastdl.zeros(1, 1, 512, 8), v, dropout_p=0.25)
    # each of 64 rows is a mean of 512 values, 0 or 4/3: standard deviation 0.0255 a row
    assert abs(y.mean().item() - 1) < 5 * 0.0255 / 8
    assert y.std().item() > 0
    y.sum().backward()
    assert abs(v.grad.sum().item() - y.sum().item()) < 1e-2
    none = F.scaled_dot_product_attention(q, fastdl.zeros(1, 1, 512, 8), v, dropout_p=1.0)
    assert (none == 0).all()


def test_gradients_with_dropout():
    """First and second derivatives by differences, every call with the same draw."""
    F = fastdl.nn.functional
    rng = np.random.default_rng(0)
    q, k, v = (
        fastdl.tensor(rng.standard_normal(shape), requires_grad=True)
        for shape in ((1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 2))
    )

    def attend(*inputs):
        fastdl.manual_seed(3)
        return F.scaled_dot_product_attention(*inputs, dropout_p=0.4)

    assert fastdl.autograd.gradcheck(attend, (q, k, v))
    assert fastdl.autograd.gradgradcheck(attend, (q, k, v))


def test_half_precision_is_computed_in_float32():
    rng = np.random.default_rng(0)
    q, k, v = (fastdl.tensor(rng.standard_normal((1, 2, 9, 8)).astype("f2")) for _ in range(3))
    q.requires_grad_()
    F = fastdl.nn.functional
    y = F.scaled_dot_product_attention(q, k, v)
    wide = F.scaled_dot_product_attention(q.detach().float(), k.float(), v.float())
    assert y.dtype == fastdl.float16
    assert (y.detach() == wide.half()).all()
    y.sum().backward()
    assert q.grad.dtype == fastdl.float16


def test_result_is_laid_out_as_the_query():
    x = fastdl.randn(2, 5, 12).requires_grad_()
    q = x.view(2, 5, 3, 4).transpose(1, 2)
    y = fastdl.nn.functional.scaled_dot_product_attention(q, q, q)
    assert y.transpose(1, 2).is_contiguous()
    y.transpose(1, 2).reshape(2, 5, 12).sum().backward()
    assert x.grad.shape == x.shape
