"""Random subscripts, assignments and shape operations give what PyTorch gives: values, dtypes,
shapes, strides, gradients, and the types of errors. See fuzz_indexing.py for what is drawn, and to
run it for longer. Random arrays print as PyTorch prints them.
"""

import re

import fuzz_indexing
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdl

torch = pytest.importorskip("torch")


class Drawn(fuzz_indexing.Choices):
    """Choices that hypothesis makes, and makes smaller."""

    def __init__(self, data):
        self.data = data

    def whole(self, low, high):
        return self.data.draw(st.integers(low, high))


@pytest.mark.parametrize("make", fuzz_indexing.CASES, ids=lambda make: make.__name__)
@settings(max_examples=150)
@given(data=st.data())
def test_same_as_pytorch(make, data):
    different, words = fuzz_indexing.tried(make, Drawn(data))
    assert not different, f"{words}: {different}"


@pytest.mark.parametrize("make", fuzz_indexing.CASES, ids=lambda make: make.__name__)
def test_many_seeds(make):
    for seed in range(400):
        different, words = fuzz_indexing.tried(
            make, fuzz_indexing.Choices(np.random.default_rng(seed))
        )
        assert not different, f"{words}: {different}"


def test_the_instrument_sees_differences():
    one, two = (lambda lib, k=k: [lib.tensor([k])] for k in (1, 2))
    assert fuzz_indexing.difference(*(fuzz_indexing.outcome(fastdl, f) for f in (one, two)))
    assert not fuzz_indexing.difference(*(fuzz_indexing.outcome(fastdl, f) for f in (one, one)))


# ---- printing ---------------------------------------------------------------------------------

SPECIAL = (0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e-5, 1e-4, 9.9999e-5, 1e8, 1.0000001e8,
           1e3, 1001.0, 123456.789, 0.5, 1e-40, 1e38, 99999.5)  # fmt: skip


def printed(seed):
    """(array, print options) of random kind."""
    rng = np.random.default_rng(seed)
    lengths = rng.choice([0, 1, 2, 3, 7, 8, 20, 60], rng.integers(0, 4))
    shape = tuple(int(n) for n in lengths)
    kinds = {
        "normal": lambda: rng.standard_normal(shape) * 10.0 ** rng.integers(-8, 9),
        "special": lambda: rng.choice(SPECIAL, shape),
        "whole": lambda: rng.integers(-1000, 1000, shape).astype(float),
        "quarters": lambda: rng.integers(-50, 50, shape) / 4,
        "spread": lambda: np.exp(rng.standard_normal(shape) * 10),
        "ints": lambda: rng.integers(-(2 ** rng.integers(1, 60)), 2 ** rng.integers(1, 60), shape),
        "bools": lambda: rng.random(shape) < 0.5,
    }
    array = np.asarray(kinds[str(rng.choice(list(kinds)))]())
    dtypes = {"f": ("f2", "f4", "f8"), "i": ("i1", "i2", "i4", "i8", "u1"), "b": ("?",)}
    with np.errstate(all="ignore"):
        array = array.astype(str(rng.choice(dtypes[array.dtype.kind])))
    options = {
        "precision": int(rng.integers(0, 9)),
        "threshold": int(rng.choice([0, 5, 100, 1000])),
        "edgeitems": int(rng.integers(1, 5)),
        "linewidth": int(rng.choice([20, 40, 80, 120])),
        "sci_mode": (None, True, False)[rng.integers(0, 3)],
    }
    return array, {k: v for k, v in options.items() if rng.random() < 0.3}, rng.integers(0, 3)


def test_random_arrays_print_as_pytorchs():
    for seed in range(400):
        array, options, grad = printed(seed)
        texts = []
        for lib in (fastdl, torch):
            lib.set_printoptions(profile="default")
            lib.set_printoptions(**options)
            try:
                x = lib.tensor(array)
                if grad and x.dtype.is_floating_point:
                    x = x.requires_grad_() if grad == 1 else x.requires_grad_() * 1
                texts.append(re.sub(r"\b(torch|fastdl)\.", "", repr(x)))
            finally:
                lib.set_printoptions(profile="default")
        assert texts[0] == texts[1], (seed, options)
