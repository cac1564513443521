"""Arguments that make no sense end in an ordinary exception or the right answer: no function of
fastdl crashes, hangs, or fails with an exception that says nothing about the argument.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastdl

HERE = Path(__file__).parent
ORDINARY = (RuntimeError, TypeError, ValueError, IndexError)


@pytest.mark.timeout(280)
@pytest.mark.parametrize("area", ["torch", "methods", "functional"])
def test_every_public_function(area, tmp_path):
    log = tmp_path / "running"
    command = [sys.executable, str(HERE / "hostile_calls.py"), area, "--rounds", "12"]
    log.write_text("no call yet")
    package = str(Path(fastdl.__file__).resolve().parent.parent)  # the one that is tested here
    paths = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*command, "--log", str(log)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, f"{log.read_text()}: {done.stderr[-2000:]}"
    bad = done.stdout.splitlines()
    if area != "torch":  # an operand beside the first one is not in every case named
        bad = [line for line in bad if "AttributeError" not in line]
    assert not bad, "\n".join(bad)
    assert int(done.stderr.split()[-2]) > 500


HUGE = (2**31 + 1, 2**40, 2**62, 2**63 - 1)


@pytest.mark.parametrize("n", HUGE)
@pytest.mark.parametrize("name", ["zeros", "ones", "empty", "rand", "randn"])
def test_sizes_near_the_limit(name, n):
    for size in ((n, n), (n, 2, n), (3, n, n)):
        with pytest.raises(ORDINARY):
            getattr(fastdl, name)(*size)
    if n < 2**62:
        assert getattr(fastdl, name)(n, 0).shape == (n, 0)


@pytest.mark.parametrize("size", [(-1,), (2, -3), (2**63,), (-(2**63),), (2**64, 0)])
def test_sizes_that_are_none(size):
    x = fastdl.ones(2)
    inferring = () if size == (-1,) else (x.expand, x.reshape, x.view)
    for make in (fastdl.zeros, fastdl.empty, fastdl.randn, x.new_zeros, x.resize_, x.repeat,
                 lambda s: fastdl.full(s, 1.0), *inferring):  # fmt: skip
        with pytest.raises((*ORDINARY, OverflowError)):
            make(size)


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((2,), (1,), 3), ((3, 3), (2, 1), 0), ((2**62, 4), (1, 1), 0), ((4,), (2**62,), 0),
        ((2,), (-1,), 1), ((2,), (1,), -1), ((-1,), (1,), 0), ((2**40, 2**40), (0, 0), 0),
        ((1,), (1,), 2**62), ((1,) * 65, (1,) * 65, 0),
    ],
)  # fmt: skip
def test_absurd_strides(size, stride, offset):
    with pytest.raises(ORDINARY):
        fastdl.zeros(4).as_strided(size, stride, offset)


@pytest.mark.parametrize("offset", [-(2**31), 2**31, -(2**31) - 1, 2**62, -(2**63), 4, -4])
def test_diagonals_far_outside(offset):
    x = fastdl.ones(3, 3, requires_grad=True)
    for y in (x.diagonal(offset), x.diag(offset), fastdl.diagonal(x[None], offset, 1, 2)):
        assert y.numel() == 0
        y.sum().backward()
    assert not x.grad.any()
    assert fastdl.tril(x, offset).sum() == (9 if offset > 0 else 0)
    assert fastdl.triu(x, offset).sum() == (0 if offset > 0 else 9)


def test_read_only_memory():
    array = np.arange(3.0)
    array.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        x = fastdl.from_numpy(array)
    for change in (
        lambda: x.add_(1), lambda: x.zero_(), lambda: x.copy_(fastdl.ones(3)), lambda: x.exp_(),
        lambda: x[0:1].mul_(2), lambda: x.__setitem__(0, 1.0), lambda: x.clamp_(1, 2),
        lambda: x.__setitem__(x > 1, 0.0), lambda: x.uniform_(), lambda: x.sort(out=(x, x)),
        lambda: x.index_fill_(0, fastdl.tensor([0]), 1.0), lambda: fastdl.exp(x, out=x),
    ):  # fmt: skip
        with pytest.raises(ORDINARY):
            change()
    assert array.tolist() == [0.0, 1.0, 2.0]


def test_foreign_arrays():
    for wrong in (np.arange(3)[::-1], np.arange(3, dtype=">i4"), np.array(["a"]),
                  np.zeros(3, [("a", "i4"), ("b", "i2")])["a"]):  # fmt: skip
        with pytest.raises(ORDINARY):
            fastdl.from_numpy(wrong)


def test_one_operand_too_many_is_refused_not_written_to():
    target = fastdl.zeros(3)
    for name in ("floor", "exp", "neg", "isnan", "sin"):
        with pytest.raises(TypeError):
            getattr(fastdl, name)(fastdl.ones(3), target)
    assert target.tolist() == [0.0, 0.0, 0.0]


def test_overlapping_writes():
    x = fastdl.ones(1, 3).expand(2, 3)
    for change in (lambda: x.add_(1), lambda: x.__setitem__(slice(None), 2.0), lambda: x.exp_(),
                   lambda: x.copy_(fastdl.ones(2, 3))):  # fmt: skip
        with pytest.raises(RuntimeError):
            change()
    x[0] = 5.0  # one row is no overlap
    assert x.tolist() == [[5.0] * 3] * 2
    y = fastdl.arange(5)
    y[1:] = y[:-1]
    assert y.tolist() == [0, 0, 1, 2, 3]
    y = fastdl.arange(6).reshape(2, 3)
    y[:, 1:] = y[:, :-1].clone()
    y.copy_(y.flip(1))
    assert y.tolist() == [[1, 0, 0], [4, 3, 3]]


def test_dimensions_that_a_tensor_has_not():
    x = fastdl.tensor(1.0)
    for call in (lambda: x.roll(1, 0), lambda: x.unbind(), lambda: x.select(0, 0),
                 lambda: x.narrow(0, 0, 1), lambda: fastdl.stack([fastdl.ones((1,) * 64)] * 2),
                 lambda: fastdl.ones((1,) * 64).unsqueeze(0), lambda: fastdl.ones((1,) * 64)[None],
                 lambda: fastdl.zeros((1,) * 65)):  # fmt: skip
        with pytest.raises(ORDINARY):
            call()


def test_wrong_arguments_are_named():
    for call, words in (
        (lambda: fastdl.sum([1]), "input.*Tensor, not list"),
        (lambda: fastdl.diag([1]), "input.*Tensor, not list"),
        (lambda: fastdl.flatten(3), "input.*Tensor, not int"),
        (lambda: fastdl.stack([1, 2]), "expected Tensor"),
        (lambda: fastdl.ones(2).expand_as([1]), "other.*Tensor, not list"),
    ):
        with pytest.raises(TypeError, match=words):
            call()
