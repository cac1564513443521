"""For tests of code that uses fastdl: `assert_close`, `gradcheck`, `gradgradcheck`."""

import numpy as np

from fastdl._engine import TensorBase
from fastdl.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck

__all__ = ["GradcheckError", "assert_close", "gradcheck", "gradgradcheck"]

# PyTorch's tolerances (rtol, atol) by dtype; other dtypes must agree exactly.
TOLERANCES = {"float16": (1e-3, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}


def _array(value):
    return value.array if isinstance(value, TensorBase) else np.asarray(value)


def assert_close(
    actual, expected, *, rtol=None, atol=None, equal_nan=False, check_dtype=True, msg=None
):
    """AssertionError unless `|actual - expected| <= atol + rtol * |expected|` everywhere.

    Tensors, arrays, numbers, or equal structures (sequences, dicts) of them. Default tolerances go
    by dtype; shapes, and with check_dtype dtypes, must agree.
    """
    options = {
        "rtol": rtol,
        "atol": atol,
        "equal_nan": equal_nan,
        "check_dtype": check_dtype,
        "msg": msg,
    }
    if isinstance(actual, dict) and isinstance(expected, dict):
        assert actual.keys() == expected.keys(), (
            f"keys differ: {sorted(actual)} and {sorted(expected)}"
        )
        for key in actual:
            assert_close(actual[key], expected[key], **options)
        return
    if isinstance(actual, (list, tuple)) and isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected), f"lengths differ: {len(actual)} and {len(expected)}"
        for a, b in zip(actual, expected):
            assert_close(a, b, **options)
        return
    if (rtol is None) != (atol is None):
        raise ValueError("assert_close: give both rtol and atol, or neither")
    a, b = _array(actual), _array(expected)
    if a.shape != b.shape:
        raise AssertionError(
            msg or f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}."
        )
    both = isinstance(actual, TensorBase) and isinstance(expected, TensorBase)
    if both and check_dtype and a.dtype != b.dtype:
        raise AssertionError(
            msg or f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}."
        )
    if rtol is None:
        pairs = [TOLERANCES.get(str(d), (0.0, 0.0)) for d in (a.dtype, b.dtype)]
        rtol, atol = max(p[0] for p in pairs), max(p[1] for p in pairs)
    close = np.isclose(a, b, rtol, atol, equal_nan)
    if close.all():
        return
    with np.errstate(all="ignore"):
        error = np.abs(a.astype(np.float64) - b.astype(np.float64))
        relative = error / np.abs(b.astype(np.float64))
    worst = np.unravel_index(
        np.argmax(np.where(close, -1, np.nan_to_num(error, nan=np.inf))), a.shape
    )
    raise AssertionError(
        msg
        or f"Tensor-likes are not close!\n\nMismatched elements: {int((~close).sum())} / {a.size}\n"
        f"Greatest absolute difference: {error[worst]} at index {worst} (up to {atol} "
        f"allowed)\nRelative difference there: {relative[worst]} (up to {rtol} allowed)"
    )
