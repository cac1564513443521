"""Random numbers: Generator, manual_seed, and what draws from them."""

import secrets

import numpy as np

from fastdl import _dtype
from fastdl._engine import tensor_of
from fastdl.ops.core import is_tensor, sizes
from fastdl.ops.creation import _checked_device, _filled
from fastdl.ops.elementwise import fill

__all__ = [
    "Generator",
    "bernoulli",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "seed",
    "set_rng_state",
]


class Generator:
    """A stream of random numbers: `Generator().manual_seed(0)`.

    The stream is NumPy's SFC64, not PyTorch's Mersenne twister: seeds give other numbers than
    PyTorch.
    """

    def __init__(self, device="cpu"):
        _checked_device(device)
        self.device = _dtype.CPU
        self.seed()

    def manual_seed(self, seed):
        """Restart the stream from `seed`, any int; returns the generator."""
        seed = int(seed)
        self._seed = seed
        self.numpy = np.random.Generator(np.random.SFC64(seed % (1 << 64)))
        return self

    def seed(self):
        """Restart the stream from a seed of the operating system, and return that."""
        self.manual_seed(secrets.randbits(63))
        return self._seed

    def initial_seed(self):
        """The seed the stream started from."""
        return self._seed

    def get_state(self):
        """The state as a uint8 tensor, for `set_state`."""
        state = self.numpy.bit_generator.state
        words = [
            *state["state"]["state"].tolist(),
            state["has_uint32"],
            state["uinteger"],
            self._seed % (1 << 64),
        ]
        return tensor_of(np.array(words, np.uint64).view(np.uint8))

    def set_state(self, new_state):
        """Go back to a state that `get_state` returned."""
        if (
            not is_tensor(new_state)
            or new_state.array.dtype != np.uint8
            or new_state.array.shape != (56,)
        ):
            raise TypeError(
                "set_state: expected the uint8 tensor of 56 elements that get_state returned"
            )
        words = np.ascontiguousarray(new_state.array).view(np.uint64)
        self.manual_seed(int(words[6]))
        self.numpy.bit_generator.state = {
            "bit_generator": "SFC64",
            "state": {"state": words[:4].copy()},
            "has_uint32": int(words[4]),
            "uinteger": int(words[5]),
        }
        return self


default_generator = Generator()


def manual_seed(seed):
    """Restart the default generator from `seed`; returns it."""
    return default_generator.manual_seed(seed)


def seed():
    """Restart the default generator from an unpredictable seed, and return that."""
    return default_generator.seed()


def initial_seed():
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state():
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(new_state):
    """Put the default generator into a state `get_rng_state` returned."""
    default_generator.set_state(new_state)


def _stream(generator):
    if generator is None:
        return default_generator.numpy
    if not isinstance(generator, Generator):
        raise TypeError(f"generator: expected a fastdl.Generator, got {type(generator).__name__}")
    return generator.numpy


def _drawn_as(draw, shape, dtype):
    """draw(shape, dtype) for the types NumPy draws, float32 and float64; others are cast."""
    if dtype in (np.float32, np.float64):
        return np.asarray(draw(shape, dtype))
    if dtype.kind != "f":
        raise RuntimeError(
            f"random numbers: not implemented for dtype {dtype}; expected floating point"
        )
    return np.asarray(draw(shape, np.float32)).astype(dtype)


def uniform_array(shape, dtype, generator=None):
    """NumPy array of uniform numbers in [0, 1)."""
    stream = _stream(generator)
    return _drawn_as(lambda s, d: stream.random(s, d), shape, np.dtype(dtype))


def normal_array(shape, dtype, generator=None):
    """NumPy array of standard normal numbers."""
    stream = _stream(generator)
    return _drawn_as(lambda s, d: stream.standard_normal(s, d), shape, np.dtype(dtype))


def rand(*size, generator=None, dtype=None, device=None, requires_grad=False, **keywords):
    """Uniform numbers in [0, 1)."""
    make = lambda shape, d: uniform_array(shape, d, generator)
    return _filled("rand", make, size, dtype, device, requires_grad, keywords)


def randn(*size, generator=None, dtype=None, device=None, requires_grad=False, **keywords):
    """Standard normal numbers."""
    make = lambda shape, d: normal_array(shape, d, generator)
    return _filled("randn", make, size, dtype, device, requires_grad, keywords)


def randint(
    low, high=None, size=None, *, generator=None, dtype=None, device=None, requires_grad=False
):
    """Integers in [low, high): `randint(high, size)` or `randint(low, high, size)`; int64."""
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    stream = _stream(generator)
    make = lambda shape, d: np.asarray(stream.integers(low, high, shape)).astype(d, copy=False)
    return _filled("randint", make, (size,), dtype or _dtype.int64, device, requires_grad, {})


def randperm(n, *, generator=None, dtype=None, device=None, requires_grad=False):
    """0 to n - 1 in random order; int64."""
    _checked_device(device)
    order = _stream(generator).permutation(n)
    return tensor_of(
        order.astype(_dtype.as_numpy(dtype or _dtype.int64), copy=False), requires_grad
    )


def rand_like(input, *, dtype=None, device=None, requires_grad=False, generator=None):
    """`rand` with the shape and dtype of `input`."""
    return rand(*input.array.shape, dtype=dtype or input.array.dtype, device=device,
                requires_grad=requires_grad, generator=generator)  # fmt: skip


def randn_like(input, *, dtype=None, device=None, requires_grad=False, generator=None):
    """`randn` with the shape and dtype of `input`."""
    return randn(*input.array.shape, dtype=dtype or input.array.dtype, device=device,
                 requires_grad=requires_grad, generator=generator)  # fmt: skip


def randint_like(input, low, high=None, *, dtype=None, generator=None):
    """`randint` with the shape and dtype of `input`."""
    if high is None:
        low, high = 0, low
    return randint(
        low, high, input.array.shape, dtype=dtype or input.array.dtype, generator=generator
    )


def normal(
    mean=0.0, std=1.0, size=None, *, generator=None, dtype=None, device=None, requires_grad=False
):
    """Normal numbers of given mean and deviation: two numbers and `size`, or tensors."""
    if size is not None:
        drawn = randn(sizes("normal", (size,)), generator=generator, dtype=dtype, device=device)
        drawn.array *= std
        drawn.array += mean
        return drawn.requires_grad_(requires_grad)
    if not (is_tensor(mean) or is_tensor(std)):
        raise TypeError("normal(): numbers for both mean and std need size")
    m, s = (a.array if is_tensor(a) else a for a in (mean, std))
    shape = np.broadcast_shapes(np.shape(m), np.shape(s))
    drawn_as = next(a.dtype for a in (m, s) if hasattr(a, "dtype"))
    return tensor_of(np.asarray(normal_array(shape, drawn_as, generator) * s + m, drawn_as))


def bernoulli(input, p=None, *, generator=None):
    """1 with probability `input` (or `p`), else 0, element by element."""
    if p is None:
        p = input.array
        if p.size and not ((p >= 0) & (p <= 1)).all():
            raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    drawn = _stream(generator).random(input.array.shape) < p
    return tensor_of(np.asarray(drawn, input.array.dtype))


def multinomial(input, num_samples, replacement=False, *, generator=None):
    """Indices drawn in proportion to the rows of `input`: (..., num_samples) int64."""
    p = input.array.astype(np.float64)
    if p.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not np.isfinite(p).all() or (p < 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if num_samples < 1:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    rows = np.atleast_2d(p)
    if (rows.sum(1) <= 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    stream = _stream(generator)
    if replacement:
        edges = np.cumsum(rows, 1)
        places = stream.random((len(rows), num_samples)) * edges[:, -1:]
        found = np.stack([np.searchsorted(e, u, side="right") for e, u in zip(edges, places)])
        # u * total may round up to total, beyond the last interval of positive length
        last = np.stack([np.flatnonzero(r)[-1] for r in rows])
        found = np.minimum(found, last[:, None])
    else:
        if num_samples > rows.shape[1]:
            raise RuntimeError(
                "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
            )
        if ((rows > 0).sum(1) < num_samples).any():
            raise RuntimeError(
                "invalid multinomial distribution (with replacement=False, not enough "
                "non-negative category to sample)"
            )
        # The smallest of exponential waiting times with rates p is index i with probability p[i] /
        # sum(p).
        with np.errstate(divide="ignore"):
            waiting = stream.standard_exponential(rows.shape) / rows
        found = np.argsort(waiting, 1, kind="stable")[:, :num_samples]
    found = found.astype(np.int64, copy=False)
    return tensor_of(np.ascontiguousarray(found if p.ndim == 2 else found[0]))


# ---- in place ---------------------------------------------------------------------------------


def _overwrite(input, array):
    return fill.inplace(input, array)


def normal_(input, mean=0, std=1, *, generator=None):
    """Fill with normal numbers."""
    drawn = normal_array(input.array.shape, input.array.dtype, generator)
    drawn *= std
    drawn += mean
    return _overwrite(input, drawn)


def _from_to(function, names, low, high, keywords):
    for name in list(keywords):
        if name == names[0]:
            low = keywords.pop(name)
        elif name == names[1]:
            high = keywords.pop(name)
    if keywords:
        raise TypeError(f"{function}() got an unexpected keyword argument {next(iter(keywords))!r}")
    return low, high


def uniform_(input, low=0, high=1, *, generator=None, **keywords):
    """Fill with uniform numbers in [from, to) = [0, 1)."""
    low, high = _from_to("uniform_", ("from", "to"), low, high, keywords)
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}"
        )
    drawn = uniform_array(input.array.shape, input.array.dtype, generator)
    drawn *= high - low
    drawn += low
    return _overwrite(input, drawn)


def random_(input, low=None, high=None, *, generator=None, **keywords):
    """Fill with integers in [from, to): `random_()`, `random_(to)` or `random_(from, to)`."""
    low, high = _from_to("random_", ("from", "to"), low, high, keywords)
    if low is not None and high is None:
        low, high = 0, low
    if high is None:
        dtype = input.array.dtype
        limits = {"f": lambda: 1 << (np.finfo(dtype).nmant + 1), "b": lambda: 2}
        low, high = 0, limits.get(dtype.kind, lambda: int(np.iinfo(dtype).max))()
    return _overwrite(input, _stream(generator).integers(low, high, input.array.shape))


def bernoulli_(input, p=0.5, *, generator=None):
    """Fill with 1 with probability `p` (number or tensor), else 0."""
    p = p.array if is_tensor(p) else p
    return _overwrite(input, _stream(generator).random(input.array.shape) < p)


def exponential_(input, lambd=1, *, generator=None):
    """Fill with exponential numbers of rate `lambd`."""
    return _overwrite(input, _stream(generator).standard_exponential(input.array.shape) / lambd)
