"""Random numbers: Generator, manual_seed, and what draws from them.

Every random number comes from one counter-based generator, Philox4x32-10 (csrc/random): element
i of a draw is a function of (seed, number of the draw, i). A Generator is a seed and a count.
"""

import contextlib
import itertools
import secrets
import threading

import numpy as np

from fastdl import _dtype, backends
from fastdl._engine import is_grad_enabled, tensor_of
from fastdl.ops.core import (
    ALL_DIMS,
    is_tensor,
    legacy_name,
    primitive,
    takes_out,
    tensor_argument,
)
from fastdl.ops.creation import checked_device, filled, like, number, usual, usual_like
from fastdl.ops.elementwise import fill

__all__ = [
    "Generator",
    "bernoulli",
    "binomial",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "poisson",
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

STATE_BYTES = 16  # seed, number of the next draw


class Generator:
    """A stream of random numbers: `Generator().manual_seed(0)`.

    Seeds give other numbers than in PyTorch, whose generator is a Mersenne twister. Streams of
    different seeds are independent; numbers do not depend on the number of threads.
    """

    def __init__(self, device="cpu"):
        checked_device(device)
        self.device = _dtype.CPU
        self.seed()

    def manual_seed(self, seed):
        """Restart the stream from `seed`, an int of at most 64 bits; returns the generator."""
        seed = int(seed)
        if not -(1 << 63) <= seed < 1 << 64:
            raise ValueError(f"manual_seed: expected a seed of at most 64 bits, but got {seed}")
        self._go_to(seed % (1 << 64), 0)
        return self

    def _go_to(self, seed, draw):
        self._seed = seed
        self._draws = itertools.count(draw)  # the next number is taken in one step: thread-safe

    def next_draw(self):
        """(seed, number of the draw) for the kernels; every call gives another number."""
        return self._seed, next(self._draws)

    def seed(self):
        """Restart the stream from a seed of the operating system, and return that."""
        self.manual_seed(secrets.randbits(63))
        return self._seed

    def initial_seed(self):
        """The seed the stream started from."""
        return self._seed

    def get_state(self):
        """The state as a uint8 tensor, for `set_state`."""
        seed, draw = self.__getstate__()
        return tensor_of(np.array([seed, draw], np.uint64).view(np.uint8))

    def set_state(self, new_state):
        """Go back to a state that `get_state` returned."""
        if (
            not is_tensor(new_state)
            or new_state.array.dtype != np.uint8
            or new_state.array.shape != (STATE_BYTES,)
        ):
            raise TypeError(
                f"set_state: expected the uint8 tensor of {STATE_BYTES} elements that get_state "
                "returned"
            )
        self._go_to(*np.ascontiguousarray(new_state.array).view(np.uint64).tolist())
        return self

    def clone_state(self):
        """A generator at the same place of the same stream."""
        made = Generator()
        made.set_state(self.get_state())
        return made

    def __getstate__(self):
        draw = next(self._draws)
        self._draws = itertools.count(draw)
        return self._seed, draw

    def __setstate__(self, state):
        self.device = _dtype.CPU
        self._go_to(*state)


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


@contextlib.contextmanager
def fork_rng(devices=None, enabled=True, device_type="cpu"):
    """Context manager: afterwards the default generator goes on as if nothing had been drawn.

    >>> import fastdl
    >>> with fastdl.random.fork_rng():
    ...     x = fastdl.rand(2)
    >>> bool((fastdl.rand(2) == x).all())
    True
    """
    state = default_generator.get_state()
    try:
        yield
    finally:
        if enabled:
            default_generator.set_state(state)


class _OwnGenerator(threading.local):
    generator = default_generator


_own = _OwnGenerator()


@contextlib.contextmanager
def drawing_from(generator):
    """Context manager: what draws without a generator in this thread draws from this one."""
    before = _own.generator
    _own.generator = generator
    try:
        yield generator
    finally:
        _own.generator = before


def next_draw(generator=None):
    """(seed, number of a new draw) of `generator`, or of the default one."""
    if generator is None:
        return _own.generator.next_draw()
    if not isinstance(generator, Generator):
        raise TypeError(f"generator: expected a fastdl.Generator, got {type(generator).__name__}")
    return generator.next_draw()


# ---- arrays -----------------------------------------------------------------------------------


def _drawn(name, shape, dtype, generator, *parameters):
    """An array of `shape` filled by the kernel `name`; dtypes it does not take are cast."""
    direct = dtype.char in "fd"
    if not direct:
        _need_floating(dtype)
    array = np.empty(shape, dtype if direct else np.float32)
    getattr(backends.of(array), name)(array, *next_draw(generator), *parameters)
    return array if direct else array.astype(dtype)


def _need_floating(dtype):
    if not _dtype.is_float(dtype):
        raise NotImplementedError(
            f"random numbers: not implemented for dtype {dtype}; expected floating point"
        )


def _of_parts(draw, shape, dtype, *parameters):
    """Complex numbers whose parts are drawn."""
    part = np.float32 if np.dtype(dtype) == np.complex64 else np.float64
    return draw((*shape, 2), part, *parameters).view(dtype)[..., 0]


def uniform_array(shape, dtype, generator=None, low=0, high=1):
    """NumPy array of uniform numbers in [low, high), complex ones with such parts."""
    dtype = np.dtype(dtype)
    if dtype.kind == "c":
        return _of_parts(uniform_array, shape, dtype, generator, low, high)
    return _drawn("random_uniform", shape, dtype, generator, low, high)


def normal_array(shape, dtype, generator=None, mean=0, std=1):
    """NumPy array of normal numbers; complex ones have two parts with half the variance each."""
    dtype = np.dtype(dtype)
    if dtype.kind == "c":
        return mean + _of_parts(normal_array, shape, dtype, generator, 0, std / 2**0.5)
    return _drawn("random_normal", shape, dtype, generator, mean, std)


def exponential_array(shape, dtype, generator=None, rate=1):
    """NumPy array of exponential numbers, greater than 0."""
    return _drawn("random_exponential", shape, np.dtype(dtype), generator, rate)


def bernoulli_array(shape, dtype, generator=None, p=0.5):
    """NumPy array of ones with probability `p` (a number, or an array that broadcasts), else 0."""
    if isinstance(p, np.ndarray) and p.ndim:
        return (uniform_array(shape, np.float64, generator) < p).astype(dtype)
    dtype = np.dtype(dtype)
    drawn_as = dtype if _dtype.is_float(dtype) else np.dtype(np.float32)
    drawn = _drawn("random_bernoulli", shape, drawn_as, generator, p)
    return drawn.astype(dtype, copy=False)


def category_array(weights, count, generator=None):
    """`count` draws in proportion to each row of (n, k) weights, float64: (n, count) int64."""
    n, k = weights.shape
    rows = np.arange(n)[:, None]
    edges = np.cumsum(weights, 1)
    edges = edges / edges[:, -1:] + rows  # row i between i and i + 1: one list for all
    drawn = uniform_array((n, count), np.float64, generator) + rows
    found = np.searchsorted(edges.reshape(-1), drawn.reshape(-1), side="right")
    found = found.reshape(n, count) - rows * k
    # u may round up to the end of the row, beyond the last interval of positive length
    last = k - 1 - (weights[:, ::-1] > 0).argmax(1)
    return np.minimum(found, last[:, None])


def integer_array(shape, generator, low, high):
    """NumPy array of int64 in [low, high)."""
    array = np.empty(shape, np.int64)
    return backends.of(array).random_integers(array, *next_draw(generator), low, high)


def _usual(kernel, array, generator, requires_grad, low_or_mean=0.0, high_or_std=1.0):
    """The tensor of an array that `usual` made, filled by a kernel; None for other calls."""
    if array is None or array.dtype.char not in "fd":
        return None
    kernel(array, *next_draw(generator), low_or_mean, high_or_std)
    return tensor_of(array, requires_grad)


def rand(*size, generator=None, dtype=None, device=None, requires_grad=False, **keywords):
    """Uniform numbers in [0, 1)."""
    array = usual(size, None, dtype, device, keywords)
    found = _usual(backends.cpu.random_uniform, array, generator, requires_grad)
    if found is not None:
        return found
    make = lambda shape, d: uniform_array(shape, d, generator)
    return filled("rand", make, size, dtype, device, requires_grad, keywords)


def randn(*size, generator=None, dtype=None, device=None, requires_grad=False, **keywords):
    """Standard normal numbers."""
    array = usual(size, None, dtype, device, keywords)
    found = _usual(backends.cpu.random_normal, array, generator, requires_grad)
    if found is not None:
        return found
    make = lambda shape, d: normal_array(shape, d, generator)
    return filled("randn", make, size, dtype, device, requires_grad, keywords)


def _need_range(function, low, high, dtype):
    """An exception where [low, high) holds no int, or one that `dtype` does not hold."""
    for n in (low, high):
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"{function}(): bounds must be int, not {type(n).__name__}")
        if not -(2**63) <= n < 2**63:
            raise ValueError("Overflow when unpacking long long")
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    if dtype.kind in "iub":
        limits = np.iinfo(dtype) if dtype.kind != "b" else np.iinfo(np.uint8)
        top = 1 if dtype.kind == "b" else limits.max
        for name, n in (("from", low), ("to - 1", high - 1)):
            if not (0 if dtype.kind == "b" else limits.min) <= n <= top:
                raise RuntimeError(f"{name} is out of bounds for {dtype}")


FAR = 1 << 62


def randint(
    low=0, high=None, size=None, *, generator=None, dtype=None, device=None, requires_grad=False,
    **keywords,
):  # fmt: skip
    """Integers in [low, high): `randint(high, size)` or `randint(low, high, size)`; int64.

    Errors: RuntimeError where low >= high or the dtype cannot hold them.
    """
    if size is None:
        if isinstance(high, (tuple, list)):
            low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None or isinstance(size, int):
        raise TypeError(
            f"randint(): argument 'size' must be tuple of ints, not {type(size).__name__}"
        )
    dtype = _dtype.int64 if dtype is None else dtype
    if type(low) is type(high) is int and -FAR < low < high < FAR and dtype is _dtype.int64:
        array = usual((size,), None, dtype, device, keywords)
        if array is not None:
            backends.cpu.random_integers(array, *next_draw(generator), low, high)
            return tensor_of(array, requires_grad)
    low, high = number(low), number(high)
    _need_range("randint", low, high, _dtype.as_numpy(dtype))
    make = lambda shape, d: integer_array(shape, generator, low, high).astype(d, copy=False)
    return filled("randint", make, (size,), dtype, device, requires_grad, keywords)


def randperm(n, *, generator=None, dtype=None, device=None, requires_grad=False, **keywords):
    """0 to n - 1 in random order; int64."""
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(
            f"randperm(): argument 'n' (position 1) must be int, not {type(n).__name__}"
        )
    dtype = _dtype.int64 if dtype is None else dtype
    array = usual((n,), None, dtype, device, keywords) if dtype is _dtype.int64 else None
    if array is not None:
        backends.cpu.random_permutation(array, *next_draw(generator))
        return tensor_of(array, requires_grad)
    numpy_dtype = _dtype.as_numpy(dtype)
    if numpy_dtype.kind in "iu" and n - 1 > np.iinfo(numpy_dtype).max:
        raise RuntimeError(f"value cannot be converted to type {numpy_dtype} without overflow")

    def make(shape, d):
        order = np.empty(shape, np.int64)
        backends.of(order).random_permutation(order, *next_draw(generator))
        return order.astype(d, copy=False)

    return filled("randperm", make, ((n,),), dtype, device, requires_grad, keywords)


def rand_like(
    input, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False,
    memory_format=None, generator=None,
):  # fmt: skip
    """`rand` with the shape, dtype and memory order of `input`."""
    array = usual_like(input, None, dtype, device, memory_format)
    found = _usual(backends.cpu.random_uniform, array, generator, requires_grad)
    if found is not None:
        return found
    make = lambda shape, d: uniform_array(shape, d, generator)
    return like("rand_like", make, input, dtype, device, requires_grad, memory_format)


def randn_like(
    input, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False,
    memory_format=None, generator=None,
):  # fmt: skip
    """`randn` with the shape, dtype and memory order of `input`."""
    array = usual_like(input, None, dtype, device, memory_format)
    found = _usual(backends.cpu.random_normal, array, generator, requires_grad)
    if found is not None:
        return found
    make = lambda shape, d: normal_array(shape, d, generator)
    return like("randn_like", make, input, dtype, device, requires_grad, memory_format)


def randint_like(
    input, low=0, high=None, *, generator=None, dtype=None, layout=None, device=None,
    pin_memory=False, requires_grad=False, memory_format=None,
):  # fmt: skip
    """`randint` with the shape, dtype and memory order of `input`."""
    if high is None:
        low, high = 0, low
    low, high = number(low), number(high)
    made_as = input.array.dtype if dtype is None else _dtype.as_numpy(dtype)
    _need_range("randint_like", low, high, made_as)
    make = lambda shape, d: integer_array(shape, generator, low, high).astype(d, copy=False)
    return like("randint_like", make, input, dtype, device, requires_grad, memory_format)


def normal(
    mean=0.0, std=1.0, size=None, *, generator=None, dtype=None, device=None, requires_grad=False,
    **keywords,
):  # fmt: skip
    """Normal numbers of given mean and deviation: two numbers and `size`, or tensors, of which
    the result takes the shape (broadcast) and dtype."""
    if size is not None:
        _need_spread("normal", std)
        if type(mean) is type(std) is float:
            array = usual((size,), None, dtype, device, keywords)
            kernel = backends.cpu.random_normal
            found = _usual(kernel, array, generator, requires_grad, mean, std)
            if found is not None:
                return found
        make = lambda shape, d: normal_array(shape, d, generator, mean, std)
        return filled("normal", make, (size,), dtype, device, requires_grad, keywords)
    if not (is_tensor(mean) or is_tensor(std)):
        raise TypeError("normal(): numbers for both mean and std need size")
    m, s = (a.array if is_tensor(a) else a for a in (mean, std))
    if np.size(s) and np.min(s) < 0:
        raise RuntimeError("normal expects all elements of std >= 0.0")
    drawn_as = next(a.dtype for a in (m, s) if hasattr(a, "dtype"))
    make = lambda shape, d: np.asarray(normal_array(shape, d, generator) * s + m, d)
    shape = np.broadcast_shapes(np.shape(m), np.shape(s))
    return filled("normal", make, (shape,), drawn_as, device, requires_grad, keywords)


def poisson(input, generator=None):
    """Counts drawn from Poisson distributions of the rates `input`, in its shape and dtype.

    Error: RuntimeError for negative rates.
    """
    rate = input.array
    _need_floating(rate.dtype)
    if rate.size and not (rate >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    return tensor_of(numpy_stream(next_draw(generator)).poisson(rate).astype(rate.dtype))


def binomial(count, prob, generator=None):
    """Successes among `count` trials of probability `prob`, two tensors that broadcast."""
    n, p = count.array, prob.array
    _need_floating(p.dtype)
    if not ((p >= 0) & (p <= 1)).all() or (n < 0).any():
        raise RuntimeError("binomial: expected count >= 0 and 0 <= prob <= 1")
    return tensor_of(
        numpy_stream(next_draw(generator)).binomial(n.astype(np.int64), p).astype(n.dtype)
    )


def numpy_stream(draw):
    """NumPy's generator for one draw of ours, where no kernel draws from a distribution."""
    return np.random.Generator(np.random.Philox(key=draw))


def _are_probabilities(p):
    """Do all elements lie in [0, 1]? NaN does not."""
    reduce, dims = backends.of(p).reduce, ALL_DIMS[p.ndim]
    return reduce(p, "min", dims, False).item() >= 0 and reduce(p, "max", dims, False).item() <= 1


@takes_out
def bernoulli(input, p=None, *, generator=None):
    """1 with probability `input` (or `p`), else 0, element by element."""
    tensor_argument("bernoulli", "input", input)
    if is_tensor(p):
        p = p.array
    if p is None:
        p = input.array
        _need_floating(p.dtype)
        if p.size and not _are_probabilities(p):
            raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    return tensor_of(bernoulli_array(input.array.shape, input.array.dtype, generator, p))


@takes_out
def multinomial(input, num_samples, replacement=False, *, generator=None):
    """Indices drawn in proportion to the rows of `input`: (..., num_samples) int64."""
    if not _dtype.is_float(input.array.dtype):
        raise RuntimeError(
            "multinomial only supports floating-point dtypes for input, got: "
            f"{legacy_name(input.array.dtype)}"
        )
    p = input.array.astype(np.float64)
    if p.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not np.isfinite(p).all() or (p < 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if num_samples < 1:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    rows = np.atleast_2d(p)
    if not replacement and num_samples > rows.shape[1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    if (rows.sum(1) <= 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if replacement:
        found = category_array(rows, num_samples, generator)
    else:
        if ((rows > 0).sum(1) < num_samples).any():
            raise RuntimeError(
                "invalid multinomial distribution (with replacement=False, not enough "
                "non-negative category to sample)"
            )
        # The smallest of exponential waiting times with rates p is index i with probability p[i] /
        # sum(p).
        with np.errstate(divide="ignore"):
            waiting = exponential_array(rows.shape, np.float64, generator) / rows
        found = np.argpartition(waiting, range(num_samples), 1)[:, :num_samples]
    found = found.astype(np.int64, copy=False)
    return tensor_of(np.ascontiguousarray(found if p.ndim == 2 else found[0]))


# ---- in place ---------------------------------------------------------------------------------


def _draw_into(out, x, *, kernel, draw, parameters):
    """Fill `out`: directly where the kernel takes it, else by a copy."""
    direct = out.flags.c_contiguous and out.dtype.char in "fd"
    array = out if direct else np.empty(out.shape, "d" if out.dtype.char == "d" else "f")
    getattr(backends.of(out), kernel)(array, *draw, *parameters)
    if not direct:
        out[...] = array
    return out


@primitive(node_name="Random", into=_draw_into)
def drawn(x, *, kernel, draw, parameters):
    """Random numbers in place of those of x, by a kernel of the backend: draw = (seed, number)."""
    return _draw_into(
        np.empty(x.shape, x.dtype), x, kernel=kernel, draw=draw, parameters=parameters
    )


drawn.vjp(x=lambda g: g * 0)


def _fill(input, kernel, generator, *parameters):
    array = input.array
    _need_floating(array.dtype)
    draw = next_draw(generator)
    if (
        array.dtype.char in "fd"
        and array.flags.carray
        and not (input.is_inference() or (input.requires_grad and is_grad_enabled()))
    ):  # the usual: nothing to record
        getattr(backends.of(array), kernel)(array, *draw, *parameters)
        input._bump()
        return input
    return drawn.inplace(input, kernel=kernel, draw=draw, parameters=parameters)


def _need_spread(function, std):
    if std < 0:
        raise RuntimeError(f"{function} expects std >= 0.0, but found std {std}")


def normal_(input, mean=0, std=1, *, generator=None):
    """Fill with normal numbers."""
    _need_spread("normal_", std)
    return _fill(input, "random_normal", generator, mean, std)


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
    return _fill(input, "random_uniform", generator, low, high)


def random_(input, low=None, high=None, *, generator=None, **keywords):
    """Fill with integers in [from, to): `random_()`, `random_(to)` or `random_(from, to)`."""
    low, high = _from_to("random_", ("from", "to"), low, high, keywords)
    if low is not None and high is None:
        low, high = 0, low
    if high is None:
        dtype = input.array.dtype
        low = 0
        if _dtype.is_float(dtype):
            high = round(2 / _dtype.finfo(dtype).eps)  # all whole numbers the dtype has
        else:
            high = 2 if dtype.kind == "b" else int(np.iinfo(dtype).max)
    return fill.inplace(input, integer_array(input.array.shape, generator, low, high))


def bernoulli_(input, p=0.5, *, generator=None):
    """Fill with 1 with probability `p` (number or tensor), else 0."""
    if is_tensor(p) or not _dtype.is_float(input.array.dtype):
        p = p.array if is_tensor(p) else p
        drawn = bernoulli_array(input.array.shape, input.array.dtype, generator, p)
        return fill.inplace(input, drawn)
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    return _fill(input, "random_bernoulli", generator, p)


def exponential_(input, lambd=1, *, generator=None):
    """Fill with exponential numbers of rate `lambd`, none of them 0."""
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return _fill(input, "random_exponential", generator, lambd)


def _uniform_open(input, generator):
    """Uniform float64 numbers in (0, 1], an array shaped like `input`."""
    _need_floating(input.array.dtype)
    return 1.0 - uniform_array(input.array.shape, np.float64, generator)


def cauchy_(input, median=0, sigma=1, *, generator=None):
    """Fill with numbers of the Cauchy distribution; `sigma` > 0, else RuntimeError."""
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    u = _uniform_open(input, generator)
    return fill.inplace(input, median + sigma * np.tan(np.pi * (u - 0.5)))


def log_normal_(input, mean=1, std=2, *, generator=None):
    """Fill with exp of normal numbers; `std` > 0, else RuntimeError."""
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    _need_floating(input.array.dtype)
    return fill.inplace(
        input, np.exp(normal_array(input.array.shape, np.float64, generator, mean, std))
    )


def geometric_(input, p, *, generator=None):
    """Fill with the number of trials up to the first success of probability `p` in (0, 1)."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    u = 1.0 - uniform_array(input.array.shape, np.float64, generator)
    return fill.inplace(input, np.maximum(np.ceil(np.log(u) / np.log1p(-p)), 1))
