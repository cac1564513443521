"""Random tensors, subscripts and shape operations, the same in fastdl and in PyTorch: used by the
property tests, and run alone for longer:

    python tests/fuzz_indexing.py --minutes 10 [--seed 0]

prints how many cases it tried and what differed, and exits with 1 if anything did. Every case can
be run again: its number is the seed of its random choices.
"""

import argparse
import sys
import time
import warnings

import numpy as np

DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")


class Choices:
    """Random choices: a NumPy generator, or what stands in for one in a property test."""

    def __init__(self, rng):
        self.rng = rng

    def whole(self, low, high):
        """An int in [low, high]."""
        return int(self.rng.integers(low, high + 1))

    def one_of(self, options):
        """One of a sequence."""
        return options[self.whole(0, len(options) - 1)]

    def chance(self, percent):
        """True in `percent` of the cases."""
        return self.whole(1, 100) <= percent


# ---- tensors ----------------------------------------------------------------------------------


def array(choose, most=4):
    """A random array of at most `most` dimensions, some of length 0 or 1, values 0, 1, 2 ..."""
    shape = tuple(
        [choose.one_of((0, 1, 1, 2, 2, 3, 3, 4, 5)) for _ in range(choose.whole(0, most))]
    )
    dtype = choose.one_of(DTYPES)
    return np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)


def relaid(choose, lib, x):
    """x with another layout in memory: steps that are only taken in views."""
    for _ in range(choose.whole(0, 2)):
        if x.dim() and choose.chance(50):
            x = x.transpose(choose.whole(0, x.dim() - 1), choose.whole(0, x.dim() - 1))
        elif x.dim() and choose.chance(60):
            part = slice(choose.whole(0, 1), None, choose.whole(1, 2))
            x = x[(slice(None),) * choose.whole(0, x.dim() - 1) + (part,)]
        elif choose.chance(30):
            x = x.unsqueeze(choose.whole(0, x.dim()))
    return x


# ---- subscripts -------------------------------------------------------------------------------


def subscript(choose, shape):
    """A random index for a tensor of `shape`, as a list of (kind, value) that `built` makes; some
    are out of range, or too many."""
    items, dim = [], 0
    count = choose.whole(0, len(shape) + (1 if choose.chance(10) else 0))
    ellipsis = choose.chance(25)
    while dim < count:
        n = shape[dim] if dim < len(shape) else 1
        kind = choose.one_of(
            ("int", "int", "slice", "slice", "slice", "places", "places", "list", "mask", "none",
             "truth", "number")
        )  # fmt: skip
        slack = 1 if choose.chance(4) else 0
        if kind in ("int", "number"):
            if n + slack == 0:
                kind, value = "slice", (None, None, None)
            else:
                value = choose.whole(-n - slack, n - 1 + slack)
            items.append((kind, value))
            dim += 1
        elif kind == "slice":
            bound = lambda n=n: choose.whole(-n - 2, n + 2) if choose.chance(60) else None
            items.append((kind, (bound(), bound(), choose.one_of((None, 1, 2, 3)))))
            dim += 1
        elif kind in ("places", "list"):
            inner = choose.one_of(((2,), (2,), (3,), (1,), (2, 1), (2, 2), (0,)))
            inner = inner[:1] if kind == "list" else inner
            if n + slack == 0:
                inner = (0,)
            low, high = -n - slack, max(n - 1 + slack, -n)
            size = int(np.prod(inner))
            values = [choose.whole(low, high) for _ in range(size)] if size else []
            items.append((kind, np.array(values, np.int64).reshape(inner)))
            dim += 1
        elif kind == "mask":
            span = choose.whole(1, max(1, min(2, len(shape) - dim)))
            inner = list(shape[dim : dim + span])
            if choose.chance(4) and inner:
                inner[-1] += 1
            size = int(np.prod(inner))
            values = [choose.chance(50) for _ in range(size)]
            items.append((kind, np.array(values, bool).reshape(inner)))
            dim += max(span, 1)
        else:
            items.append((kind, choose.chance(50)))
        if kind in ("none", "truth") and choose.chance(50):
            break
    if ellipsis:
        items.insert(choose.whole(0, len(items)), ("dots", None))
    return items


def built(lib, items):
    """The index of `items` for `lib`; a single item stands alone."""
    made = []
    for kind, value in items:
        if kind == "slice":
            made.append(slice(*value))
        elif kind in ("places", "mask"):
            made.append(lib.from_numpy(value.copy()))
        elif kind == "list":
            made.append(value.tolist())
        elif kind == "number":
            made.append(lib.tensor(value))
        else:
            made.append({"none": None, "dots": Ellipsis}.get(kind, value))
    return made[0] if len(made) == 1 else tuple(made)


# ---- cases ------------------------------------------------------------------------------------


def outcome(lib, run):
    """What run(lib) gives, an exception included, in terms that are equal in both libraries."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = run(lib)
    except (IndexError, RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        return error
    return [
        (tuple(y.shape), str(y.dtype).rpartition(".")[2], y.detach().numpy().copy())
        if isinstance(y, lib.Tensor)
        else y
        for y in (found if isinstance(found, (tuple, list)) else [found])
    ]


def is_tensor(found):
    """Does an outcome stand for a tensor: shape, dtype, values?"""
    return isinstance(found, tuple) and len(found) == 3 and isinstance(found[2], np.ndarray)


def difference(ours, theirs):
    """What differs between two outcomes, in words; None if nothing does."""
    both = ours, theirs
    if any(isinstance(a, Exception) for a in both) and any(
        isinstance(a, list) and not a[0][2].size for a in both
    ):
        return None  # whether PyTorch looks at places where nothing is read varies
    if "view size is not compatible" in str(theirs):
        return None  # its flip leaves other strides in dimensions of length 1
    if isinstance(ours, Exception) or isinstance(theirs, Exception):
        kinds = type(ours), type(theirs)
        if all(issubclass(kind, Exception) for kind in kinds) and (
            issubclass(*kinds) or issubclass(*kinds[::-1])
        ):
            return None
        return f"{ours!r} against {theirs!r}"
    if len(ours) != len(theirs):
        return f"{len(ours)} results against {len(theirs)}"
    for a, b in zip(ours, theirs):
        if not is_tensor(a) or not is_tensor(b):
            if is_tensor(a) or is_tensor(b) or a != b:
                return f"{a} against {b}"
        elif a[:2] != b[:2]:
            return f"{a[:2]} against {b[:2]}"
        elif not np.array_equal(a[2], b[2], equal_nan=a[2].dtype.kind == "f"):
            return f"{a[2].tolist()} against {b[2].tolist()}"
    return None


def with_slope(lib, x, read):
    """read(x), its memory, and the gradient of a weighted sum of it."""
    if not x.dtype.is_floating_point:
        return [read(x)]
    leaf = x.clone().requires_grad_()
    y = read(leaf * 1)
    weights = lib.arange(y.numel()).reshape(y.shape).to(y.dtype)
    (y * weights).sum().backward()
    return [y, leaf.grad]


def reading(choose):
    """A subscript read, with strides and gradient."""
    values, seed = array(choose), choose.whole(0, 2**30)

    def prepare(lib):
        return relaid(Choices(np.random.default_rng(seed)), lib, lib.from_numpy(values.copy()))

    import fastdl

    items = subscript(choose, tuple(prepare(fastdl).shape))
    basic = all(kind in ("int", "slice", "none", "dots") for kind, _ in items)

    def run(lib):
        x = prepare(lib)
        y = x[built(lib, items)]
        found = with_slope(lib, x, lambda v: v[built(lib, items)])
        if basic and y.numel():
            found += [y.stride(), y.storage_offset(), y.data_ptr() - x.data_ptr()]
        return found

    return run, f"x{values.shape}{values.dtype} relaid {seed} [{items}]"


def writing(choose):
    """A subscript written, with a number or a tensor that broadcasts or nearly does."""
    values, seed = array(choose), choose.whole(0, 2**30)

    def prepare(lib):
        return relaid(Choices(np.random.default_rng(seed)), lib, lib.from_numpy(values.copy()))

    import fastdl

    x = prepare(fastdl)
    # A place that is written twice has either value: masks and views write none twice.
    items = [i for i in subscript(choose, tuple(x.shape)) if i[0] not in ("places", "list")]
    try:
        shape = list(x[built(fastdl, items)].shape)
    except (IndexError, TypeError, ValueError):
        shape = []
    for d in range(len(shape)):
        if choose.chance(15):
            shape[d] = 1
    shape = shape[choose.whole(0, len(shape)) :] if choose.chance(20) else shape
    if choose.chance(5) and 0 not in shape:
        shape = [2, *shape]
    dtype = values.dtype if choose.chance(85) else np.dtype(choose.one_of(DTYPES))
    source = -np.arange(int(np.prod(shape))).reshape(shape) % 200
    number = choose.chance(30)
    recorded = choose.chance(50) and values.dtype.kind == "f" and dtype == values.dtype

    def run(lib):
        x = prepare(lib)
        value = 7 if number else lib.from_numpy(source.astype(dtype))
        if not recorded or number:
            x[built(lib, items)] = value
            return [x]
        leaf, value = x.clone().requires_grad_(), value.requires_grad_()
        y = leaf * 1
        y[built(lib, items)] = value
        weights = lib.arange(y.numel()).reshape(y.shape).to(y.dtype)
        (y * weights).sum().backward()
        slopes = [leaf.grad, value.grad]
        return [y, *[lib.zeros(1) if g is None or not g.any() else g for g in slopes]]

    return run, f"x{values.shape}{values.dtype} relaid {seed} [{items}] = {dtype}{shape} {number}"


def shapes_of(choose, count):
    """A random shape whose lengths multiply to about `count`."""
    shape = [choose.one_of((0, 1, 2, 3, 4, -1)) for _ in range(choose.whole(0, 4))]
    if choose.chance(70) and count:
        shape, left = [], count
        while left > 1 and len(shape) < 4:
            divisors = [d for d in range(1, left + 1) if left % d == 0]
            shape.append(choose.one_of(divisors))
            left //= shape[-1]
        shape.append(left)
        if choose.chance(30):
            shape[choose.whole(0, len(shape) - 1)] = -1
    return shape


def step(choose, values):
    """(name, arguments) of a random shape operation."""
    dim = lambda: choose.whole(-4, 3)
    dims = range(values.ndim)
    chosen = choose.one_of((
        lambda: ("transpose", (dim(), dim())),
        lambda: ("unsqueeze", (dim(),)),
        lambda: ("squeeze", (dim(),) if choose.chance(50) else ()),
        lambda: ("reshape", (shapes_of(choose, values.size),)),
        lambda: ("view", (shapes_of(choose, values.size),)),
        lambda: ("flatten", tuple(sorted((dim(), dim())))),
        lambda: ("narrow", (dim(), choose.whole(-2, 3), choose.whole(0, 2))),
        lambda: ("select", (dim(), choose.whole(-3, 3))),
        lambda: ("permute", (sorted(dims, key=lambda _: choose.whole(0, 99)),)),
        lambda: ("expand", ([choose.one_of((-1, -1, 2, 3)) for _ in dims],)),
        lambda: ("repeat", ([choose.whole(0, 2) for _ in dims],)),
        lambda: ("flip", ([dim()],)),
        lambda: ("roll", (choose.whole(-3, 3), dim())),
        lambda: ("rot90", (choose.whole(-2, 5), (dim(), dim()))),
        lambda: ("unfold", (dim(), choose.whole(0, 3), choose.whole(1, 2))),
        lambda: ("diagonal", (choose.whole(-2, 2), dim(), dim())),
        lambda: ("movedim", (dim(), dim())),
        lambda: ("split", (choose.whole(1, 3), dim())),
        lambda: ("chunk", (choose.whole(1, 3), dim())),
        lambda: ("tensor_split", (choose.whole(1, 3), dim())),
        lambda: ("unbind", (dim(),)),
        lambda: ("contiguous", ()),
        lambda: ("tril", (choose.whole(-2, 2),)),
        lambda: ("repeat_interleave", (choose.whole(0, 2), None)),
        lambda: ("diff", (choose.whole(1, 2), dim())),
    ))  # fmt: skip
    return chosen()


def reshaping(choose):
    """A chain of shape operations, with strides and gradient."""
    values, seed = array(choose), choose.whole(0, 2**30)
    steps = []
    for _ in range(choose.whole(1, 4)):
        steps.append(step(choose, values))

    def chain(x):
        for name, arguments in steps:
            x = getattr(x, name)(*arguments)
            if isinstance(x, tuple):
                x = x[-1]
        return x

    def run(lib):
        x = relaid(Choices(np.random.default_rng(seed)), lib, lib.from_numpy(values.copy()))
        y = chain(x)
        found = with_slope(lib, x, chain)
        if y.numel() > 1 and "roll" not in [name for name, _ in steps]:
            moved = [s for s, n in zip(y.stride(), y.shape) if n > 1]
            return [*found, moved, y.is_contiguous()]
        return found

    return run, f"x{values.shape}{values.dtype} relaid {seed} {steps}"


CASES = (reading, writing, reshaping)


def tried(make, choose):
    """(what differs or None, the case in words) for one random case of a kind."""
    import torch

    import fastdl

    run, words = make(choose)
    return difference(outcome(fastdl, run), outcome(torch, run)), words


def main():
    """Try random cases until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    seed, wrong = options.seed, 0
    while time.monotonic() < end and wrong < 20:
        make = CASES[seed % len(CASES)]
        different, words = tried(make, Choices(np.random.default_rng(seed)))
        if different:
            wrong += 1
            print(f"case {seed}, {make.__name__}: {words}\n    {different}", flush=True)
        seed += 1
    print(f"{seed - options.seed} cases, {wrong} different")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
