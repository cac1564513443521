"""GEMM: every rung, tier and dtype against NumPy's float64 product.

Error bound: a sum of k products in any order differs from the exact one by at most
k * eps * (|A| |B|) (Higham 2002, section 3.1, first order); bias and accumulation add one rounding
each. float64 results are compared with the same bound, since NumPy's float64 errs as much.
"""

import math
import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from fastdl._kernels import GEMM_VARIANTS, gemm, isa_available
from fastdl.backends import cpu

ISAS = isa_available()
DTYPES = ("float32", "float64")
PRODUCTION = ("packed", "simd", "threaded")

# (m, n, k) around every edge: heights 1..MR of all tiers, vectors and panels (NR is 12, 24, 48 or
# half), blocks of k (KC = 512), blocks of rows (MC = 96), the paths of narrow products, primes,
# nothing at all
SHAPES = [
    *[(m, 24, 9) for m in range(1, 10)],
    *[(8, n, 10) for n in (1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 23, 24, 25, 31, 33)],
    *[(5, n, 6) for n in (47, 48, 49, 63, 64, 65, 95, 96, 97, 127)],
    *[(6, 20, k) for k in (1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1025)],
    (95, 50, 33), (96, 50, 33), (97, 50, 33), (193, 101, 67), (257, 131, 331),
    (16, 40, 129), (17, 40, 129), (40, 16, 129), (40, 17, 129), (40, 10, 63), (40, 10, 64),
    (1, 1, 1), (1, 300, 200), (300, 1, 200), (1, 1, 1000), (300, 200, 1), (2, 700, 65),
    (0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0),
]  # fmt: skip


def layouts(rng, rows, cols, dtype):
    """The same values laid out in every way: name -> array of shape (rows, cols)."""
    x = rng.standard_normal((rows, cols)).astype(dtype)
    spread = np.full((2 * rows + 1, 3 * cols + 1), np.nan, dtype)
    spread[1::2, 1::3][:rows, :cols] = x
    return {
        "rows": x,
        "columns": np.asfortranarray(x),
        "spread": spread[1::2, 1::3][:rows, :cols],
        "backwards": x[::-1, ::-1].copy()[::-1, ::-1],
    }


def expected(a, b, bias=0, start=0):
    """Float64 result and its error bound for a product of a's dtype."""
    a64, b64 = a.astype("f8"), b.astype("f8")
    k = a.shape[-1]
    exact = a64 @ b64 + bias + start
    size = np.abs(a64) @ np.abs(b64) + np.abs(bias) + np.abs(start)
    return exact, (k + 2) * np.finfo(a.dtype).eps * size


def check(result, a, b, bias=0, start=0):
    exact, bound = expected(a, b, bias, start)
    assert result.dtype == a.dtype
    assert result.shape == exact.shape
    error = np.abs(result - exact)
    assert not np.isnan(error).any()
    assert (error <= bound).all(), f"error {np.max(error - bound)} over the bound"


@pytest.mark.parametrize("variant", GEMM_VARIANTS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_edges(variant, isa, dtype):
    rng = np.random.default_rng(0)
    for m, n, k in SHAPES:
        a = rng.standard_normal((m, k)).astype(dtype)
        b = rng.standard_normal((k, n)).astype(dtype)
        out = np.full((m, n), np.nan, dtype)
        result = gemm(a, b, out=out, variant=variant, isa=isa, threads=3)
        assert result is out
        check(result, a, b)
        check(gemm(a, np.asfortranarray(b), variant=variant, isa=isa, threads=3), a, b)


@pytest.mark.parametrize("variant", GEMM_VARIANTS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 60, 50), (60, 1, 50), (9, 10, 70), (50, 67, 83)], ids=str)
def test_strides(variant, isa, dtype, shape):
    m, n, k = shape
    rng = np.random.default_rng(1)
    for a in layouts(rng, m, k, dtype).values():
        for b in layouts(rng, k, n, dtype).values():
            check(gemm(a, b, variant=variant, isa=isa), a, b)
            for out in layouts(rng, m, n, dtype).values():
                out[...] = np.nan
                check(gemm(a, b, out=out, variant=variant, isa=isa), a, b)


@pytest.mark.parametrize("variant", GEMM_VARIANTS)
@pytest.mark.parametrize("isa", ISAS)
def test_operands_with_repeated_elements(variant, isa):
    rng = np.random.default_rng(2)
    row = np.broadcast_to(rng.standard_normal((1, 70)), (90, 70))
    column = np.broadcast_to(rng.standard_normal((70, 1)), (70, 55))
    windows = as_strided(rng.standard_normal(90 + 69), (90, 70), (8, 8))
    for a in (row, windows):
        check(gemm(a, column, variant=variant, isa=isa), a, column)


def of_erf(x):
    return np.array([math.erf(v) for v in np.ravel(x) / math.sqrt(2)]).reshape(np.shape(x))


EPILOGUES = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (1 + of_erf(x)) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
}


@pytest.mark.parametrize("variant", GEMM_VARIANTS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_activations(variant, isa, dtype):
    """On every path: small, packed and over blocks of k (gaps in a), a row, few columns, nothing to
    add, lanes, columns first. An activation's slope is at most 1.2, so the product's bound holds,
    plus 16 roundings of its own value for what it is computed from."""
    rng = np.random.default_rng(5)
    shapes = [(5, 7, 3), (30, 50, 520), (1, 50, 40), (70, 3, 90), (3, 4, 0)]
    for batch, (m, n, k) in [((), s) for s in shapes] + [((20,), (4, 4, 4)), ((3,), (9, 20, 10))]:
        a = rng.standard_normal((*batch, m, k * (1 + k // 500))).astype(dtype)[..., :: 1 + k // 500]
        b = rng.standard_normal((*batch, k, n)).astype(dtype)
        bias = rng.standard_normal(n).astype(dtype)
        sums, bound = expected(a, b, bias)
        for name, function in EPILOGUES.items():
            exact = function(sums)
            allowed = 1.2 * bound + 16 * np.finfo(dtype).eps * (1 + np.abs(exact))
            before = np.full((*batch, m, n), np.nan, dtype)
            options = {"activation": name, "variant": variant, "isa": isa}
            y = gemm(a, b, bias=bias, before=before, threads=2, **options)
            assert (np.abs(y - exact) <= allowed).all()
            assert (np.abs(before - sums) <= bound).all()
            plain = gemm(a, b, bias=bias, threads=2, **options)
            assert plain.tobytes() == y.tobytes()
            turned = np.empty((*batch, n, m), dtype).swapaxes(-1, -2)
            gemm(a, b, bias=bias, out=turned, **options)
            assert (np.abs(turned - exact) <= allowed).all()
            start = rng.standard_normal(sums.shape).astype(dtype)
            more, more_bound = expected(a, b, bias, start)
            gemm(a, b, bias=bias, out=start, accumulate=True, **options)
            error = np.abs(start - function(more))
            assert (error <= 1.2 * more_bound + 16 * np.finfo(dtype).eps * (1 + abs(more))).all()


def test_bad_activations():
    a, out = np.ones((3, 3), "f4"), np.empty((3, 3), "f4")
    for options, error in [
        ({"activation": "selu"}, ValueError),
        ({"before": out}, ValueError),
        ({"activation": "relu", "before": [1]}, TypeError),
        ({"activation": "relu", "before": np.empty((3, 2), "f4")}, ValueError),
        ({"activation": "relu", "before": np.empty((3, 3))}, TypeError),
        ({"activation": "relu", "before": np.empty((3, 3), "f4").T}, ValueError),
        ({"activation": "relu", "before": out, "out": out}, ValueError),
        ({"activation": "relu", "before": a}, ValueError),
    ]:
        with pytest.raises(error):
            gemm(a, np.ones((3, 3), "f4"), **options)
    kept = np.empty((3, 3), "f4")
    assert (gemm(-a, np.ones((3, 3), "f4"), activation="relu", before=kept) == 0).all()
    assert (kept == -3).all()
    assert np.isnan(gemm(a * np.nan, np.ones((3, 3), "f4"), activation="relu")).all()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(4, 4, 4), (1, 5, 3), (10, 10, 10), (7, 9, 11), (3, 1, 17)], ids=str
)
def test_batches_of_tiny_products(isa, dtype, shape):
    """A product in every lane: all orders of the operands, gaps between matrices, no full vector of
    products at the end; what lies between the results stays."""
    m, n, k = shape
    rng = np.random.default_rng(4)
    turned = lambda x: np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)
    for batch in (1, 8, 16, 37):
        a = rng.standard_normal((batch, m, k)).astype(dtype)
        b = rng.standard_normal((batch, k, n)).astype(dtype)
        bias, start = rng.standard_normal((2, batch, m, n)).astype(dtype)
        for x in (a, turned(a), np.broadcast_to(a[:1], a.shape)):
            for y in (b, turned(b)):
                check(gemm(x, y, isa=isa), x, y)
        room = np.full((batch, 2, m, n), np.nan, dtype)
        check(gemm(a, b, out=room[:, 0], isa=isa, threads=2), a, b)
        assert np.isnan(room[:, 1]).all()
        out = turned(start.copy())
        gemm(a, b, out=out, bias=bias[0, 0], accumulate=True, isa=isa)
        check(out, a, b, bias[0, 0], start)


@pytest.mark.parametrize("variant", GEMM_VARIANTS)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [(1, 70, 40), (70, 1, 40), (3, 5, 0), (4, 50, 20), (30, 7, 400), (120, 130, 700)],
    ids=str,
)
def test_bias_and_accumulate(variant, isa, dtype, shape):
    m, n, k = shape
    rng = np.random.default_rng(3)
    b = rng.standard_normal((k, n)).astype(dtype)
    bias = rng.standard_normal(n).astype(dtype)
    start = rng.standard_normal((m, n)).astype(dtype)
    for a in layouts(rng, m, k, dtype).values():
        for order in "CF":
            nan = np.full((m, n), np.nan, dtype, order=order)
            check(gemm(a, b, out=nan, bias=bias, variant=variant, isa=isa), a, b, bias)
            out = start.copy(order=order)
            gemm(a, b, out=out, accumulate=True, variant=variant, isa=isa)
            check(out, a, b, 0, start)
            out = start.copy(order=order)
            gemm(a, b, out=out, bias=bias[::-1][::-1], accumulate=True, variant=variant, isa=isa)
            check(out, a, b, bias, start)


@pytest.mark.parametrize("variant", PRODUCTION)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_outside_is_written(variant, isa, dtype):
    rng = np.random.default_rng(4)
    for m, n, k in [(1, 50, 9), (50, 1, 9), (9, 49, 33), (7, 13, 5), (97, 101, 65)]:
        for order in "CF":
            frame = np.full((m + 8, n + 8), 7, dtype, order=order)
            a = rng.standard_normal((m, k)).astype(dtype)
            b = rng.standard_normal((k, n)).astype(dtype)
            gemm(a, b, out=frame[4:-4, 4:-4], variant=variant, isa=isa, threads=2)
            check(frame[4:-4, 4:-4], a, b)
            frame[4:-4, 4:-4] = 7
            assert (frame == 7).all()


@pytest.mark.parametrize("variant", PRODUCTION)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_lies_beside_the_operands_does_not_show(variant, isa, dtype):
    rng = np.random.default_rng(5)
    for m, n, k in [(1, 50, 9), (50, 1, 9), (9, 49, 33), (7, 13, 5), (97, 101, 65), (16, 10, 100)]:
        for order in "CF":
            frame_a = np.full((m + 2, k + 2), np.nan, dtype, order=order)
            frame_b = np.full((k + 2, n + 2), np.nan, dtype, order=order)
            a, b = frame_a[1:-1, 1:-1], frame_b[1:-1, 1:-1]
            a[...] = rng.standard_normal((m, k))
            b[...] = rng.standard_normal((k, n))
            check(gemm(a, b, variant=variant, isa=isa), a, b)


@pytest.mark.parametrize("variant", GEMM_VARIANTS)
def test_nan_and_infinity_stay_in_their_rows_and_columns(variant):
    a, b = np.ones((19, 33), "f4"), np.ones((33, 21), "f4")
    a[3, 5] = np.nan
    b[6, 17] = np.inf
    result = gemm(a, b, variant=variant)
    assert np.isnan(result[3]).all()
    assert np.isinf(np.delete(result, 3, axis=0)[:, 17]).all()
    rest = np.delete(np.delete(result, 3, axis=0), 17, axis=1)
    assert (rest == 33).all()


BATCHES = [
    ((5, 6, 7), (5, 7, 8)),
    ((5, 6, 7), (7, 8)),
    ((6, 7), (5, 7, 8)),
    ((1, 6, 7), (5, 7, 8)),
    ((4, 1, 6, 7), (3, 7, 8)),
    ((2, 3, 4, 6, 7), (3, 1, 7, 8)),
    ((2, 3, 1, 1, 7), (1, 3, 4, 7, 1)),
    ((0, 6, 7), (7, 8)),
    ((3, 0, 7), (3, 7, 8)),
    ((3, 6, 0), (3, 0, 8)),
    ((64, 8, 8), (64, 8, 8)),
    ((4, 100, 90), (4, 90, 110)),
]


@pytest.mark.parametrize(("a_shape", "b_shape"), BATCHES)
@pytest.mark.parametrize("variant", GEMM_VARIANTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_batches(a_shape, b_shape, variant, dtype):
    rng = np.random.default_rng(6)
    a = rng.standard_normal(a_shape).astype(dtype)
    b = rng.standard_normal(b_shape).astype(dtype)
    bias = rng.standard_normal(b_shape[-1]).astype(dtype)
    check(gemm(a, b, variant=variant, threads=2), a, b)
    check(gemm(a, b, bias=bias, variant=variant, threads=2), a, b, bias)
    # transposed matrices, reversed and permuted batch dimensions
    a_turned = np.swapaxes(np.swapaxes(a, -1, -2).copy(), -1, -2)[::-1]
    check(gemm(a_turned, b, variant=variant), a_turned, b)
    if a.ndim > 3:
        shuffled = np.swapaxes(np.swapaxes(a, 0, -3).copy(), 0, -3)
        assert (gemm(shuffled, b, variant=variant) == gemm(a, b, variant=variant)).all()


def test_batch_of_strided_results():
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((2, 3, 10, 11)), rng.standard_normal((2, 3, 11, 12))
    out = np.full((12, 3, 10, 2), np.nan).transpose(3, 1, 2, 0)
    check(gemm(a, b, out=out), a, b)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [
        (1, 2000, 700), (2000, 1, 700), (5, 1500, 600), (1500, 5, 600), (128, 10, 784),
        (64, 64, 64), (300, 301, 302), (301, 1900, 520), (17, 23, 9000), (1500, 2100, 33),
    ],
    ids=str,
)  # fmt: skip
def test_threads_do_not_show_in_the_bits(isa, dtype, shape):
    m, n, k = shape
    rng = np.random.default_rng(8)
    bias = rng.standard_normal(n).astype(dtype)
    for a_order in "CF":
        a = np.asarray(rng.standard_normal((m, k)), dtype, order=a_order)
        for b_order in "CF":
            b = np.asarray(rng.standard_normal((k, n)), dtype, order=b_order)
            for order in "CF":
                results = [
                    gemm(a, b, bias=bias, isa=isa, threads=threads,
                         out=np.empty((m, n), dtype, order=order))
                    for threads in (1, 2, 3, 7)
                ]  # fmt: skip
                for other in results[1:]:
                    assert (results[0] == other).all()
    assert (gemm(a, b, bias=bias, isa=isa, variant="simd") == results[0]).all()


@pytest.mark.parametrize("shape", [(40, 8, 9, 10), (3, 200, 210, 220)], ids=str)
def test_threads_do_not_show_in_the_bits_of_a_batch(shape):
    rng = np.random.default_rng(9)
    count, m, n, k = shape
    a = rng.standard_normal((count, m, k)).astype("f4")
    b = rng.standard_normal((count, k, n)).astype("f4")
    results = [gemm(a, b, threads=threads) for threads in (1, 2, 3, 7)]
    for other in results[1:]:
        assert (results[0] == other).all()
    assert (results[0][1] == gemm(a[1], b[1])).all()


def test_repeated_calls_give_the_same_bits():
    rng = np.random.default_rng(10)
    a, b = rng.standard_normal((400, 350)), rng.standard_normal((350, 420))
    first = gemm(a, b, threads=2)
    for _ in range(20):
        assert (gemm(a, b, threads=2) == first).all()


def test_calls_from_several_python_threads():
    rng = np.random.default_rng(11)
    pairs = [
        (rng.standard_normal((m, 200)), rng.standard_normal((200, 150))) for m in range(60, 200, 20)
    ]
    wrong = []

    def work():
        for a, b in pairs * 5:
            if not np.allclose(gemm(a, b, threads=2), a @ b, rtol=1e-10, atol=1e-10):
                wrong.append(a.shape)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_after_use():
    a = np.random.default_rng(12).standard_normal((300, 300))
    parent = gemm(a, a, threads=2)
    child = os.fork()
    if child == 0:
        os._exit(0 if (gemm(a, a, threads=2) == parent).all() else 1)
    assert os.waitpid(child, 0)[1] == 0


A, B = np.ones((3, 4), "f4"), np.ones((4, 5), "f4")
READ_ONLY = np.empty((3, 5), "f4")
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("error", "words", "args", "options"),
    [
        (TypeError, "a must be float32 or float64", (A.astype(int), B), {}),
        (TypeError, "b must be", (A, B.astype("f8")), {}),
        (TypeError, "a must be", (A.astype(">f4"), B), {}),
        (TypeError, "a", ([[1.0]], B), {}),
        (ValueError, r"\(3, 4\) and \(5, 4\)", (A, B.T), {}),
        (ValueError, r"\(4,\)", (A[0], B), {}),
        (ValueError, "broadcast", (np.ones((2, 3, 4), "f4"), np.ones((3, 4, 5), "f4")), {}),
        (ValueError, r"out must have shape \(3, 5\)", (A, B), {"out": np.empty((5, 3), "f4")}),
        (ValueError, r"out must have shape", (A, B), {"out": np.empty((1, 3, 5), "f4")}),
        (TypeError, "out must be", (A, B), {"out": np.empty((3, 5), "f8")}),
        (TypeError, "out must be a NumPy array", (A, B), {"out": [1]}),
        (ValueError, "out must be writable", (A, B), {"out": READ_ONLY}),
        (TypeError, "bias must be a NumPy array", (A, B), {"bias": 1.0}),
        (TypeError, "bias must be", (A, B), {"bias": np.ones(5)}),
        (ValueError, r"bias must have shape \(5,\)", (A, B), {"bias": np.ones(4, "f4")}),
        (ValueError, r"bias must have shape \(5,\)", (A, B), {"bias": np.ones((1, 5), "f4")}),
        (ValueError, "accumulate", (A, B), {"accumulate": True}),
        (ValueError, "unknown variant 'best'", (A, B), {"variant": "best"}),
        (ValueError, "isa: 'mmx'", (A, B), {"isa": "mmx"}),
        (ValueError, "threads", (A, B), {"threads": -1}),
    ],
)
def test_bad_input(error, words, args, options):
    with pytest.raises(error, match=words):
        gemm(*args, **options)


def test_unaligned_operands():
    """Fields of packed records, five bytes apart: their values are multiplied, copied first."""
    records = np.zeros((4, 4), np.dtype([("tag", "u1"), ("value", "f4")]))
    records["value"] = np.arange(16).reshape(4, 4)
    a = records["value"]
    assert not a.flags.aligned
    assert np.array_equal(gemm(a, a), a.copy() @ a.copy())  # small integers: exact


def test_out_must_lie_apart():
    square = np.ones((6, 6), "f4")
    with pytest.raises(ValueError, match="share memory with a"):
        gemm(square, square.copy(), out=square)
    with pytest.raises(ValueError, match="share memory with b"):
        gemm(square.copy(), square, out=square[::-1])
    with pytest.raises(ValueError, match="share memory with bias"):
        gemm(square.copy(), square.copy(), out=square, bias=square[2])
    repeated = as_strided(np.empty(6, "f4"), (6, 6), (0, 4))
    with pytest.raises(ValueError, match="distinct elements"):
        gemm(square, square, out=repeated)


def test_interleaved_out_is_fine():
    buffer = np.ones((6, 12), "f4")
    check(gemm(buffer[:, ::2], buffer[:, ::2], out=buffer[:, 1::2]), buffer[:, ::2], buffer[:, ::2])


@st.composite
def problems(draw):
    """Operands cut with random steps, orders and signs from a frame of NaN."""
    dtype = draw(st.sampled_from(DTYPES))
    sizes = st.one_of(st.integers(0, 20), st.integers(0, 130))
    m, n, k = draw(sizes), draw(sizes), draw(sizes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def operand(rows, cols):
        steps = [draw(st.sampled_from([1, 2, 3, -1, -2])) for _ in range(2)]
        frame = np.full(
            [1 + size * abs(step) for size, step in zip((rows, cols), steps)],
            np.nan, dtype, order=draw(st.sampled_from("CF")),
        )  # fmt: skip
        view = frame[tuple(slice(None, None, step) for step in steps)][:rows, :cols]
        view[...] = rng.standard_normal((rows, cols))
        return frame, view

    return operand(m, k)[1], operand(k, n)[1], operand(m, n)


@settings(max_examples=150, deadline=None)
@given(
    problems(), st.sampled_from(GEMM_VARIANTS), st.sampled_from(ISAS), st.booleans(),
    st.booleans(), st.integers(1, 3),
)  # fmt: skip
def test_any_problem(problem, variant, isa, with_bias, accumulate, threads):
    a, b, (frame, out) = problem
    start = out.copy()
    outside = np.isnan(frame)
    bias = np.arange(b.shape[1], dtype=a.dtype) if with_bias else None
    if not accumulate:
        out[...] = np.nan
    gemm(a, b, out=out, bias=bias, accumulate=accumulate, variant=variant, isa=isa, threads=threads)
    check(out, a, b, bias if with_bias else 0, start if accumulate else 0)
    assert np.isnan(frame[outside]).all()


EQUATIONS = (
    "abc,bcd->ad", "abc,abd->acd", "ab,bc,cd->ad", "abc,cde,ebf->adf", "ab,cd->abcd", "abc,abc->",
    "abc,abc->abc", "abcde,dcf->fabe", "ab,bc,ca->", "abc,d->abd", "abcd,ef->ad", "a,ab,b->",
    "abc,b,c->ca", "abcd,cd,d,ab->ba", "abc->cb",
)  # fmt: skip


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_by_products(equation):
    """Two operands at a time as matrix products, whatever stands where; sums of up to 15^6 terms
    of random sign, so the tolerance is relative to the size of the largest result."""
    rng = np.random.default_rng(6)
    lengths = dict(zip("abcdef", (15, 18, 21, 12, 9, 6), strict=True))
    terms, result = equation.split("->")
    terms = tuple(terms.split(","))
    xs = tuple(rng.standard_normal([lengths[c] for c in term]) for term in terms)
    expected = np.einsum(equation, *xs, optimize=True)
    found = cpu.einsum(xs, terms, result)
    assert found.shape == expected.shape
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * scale)
    single = cpu.einsum(tuple(x.astype("f4") for x in xs), terms, result)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-4 * scale)
    mixed = cpu.einsum((xs[0].astype("f4"), *xs[1:]), terms, result)
    assert mixed.dtype == (np.float64 if len(xs) > 1 else np.float32)
