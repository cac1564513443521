"""The table of ops: one row per case, read by test_ops.py. Every registered Primitive must stand
in a row.

A row:

    Case("elementwise.exp", lambda t, x: t.exp(x), [normal(3, 4)])

1. the primitives it covers, space separated: `module.name` as in `fastdl.ops.core.REGISTRY`. What
only runs in
   a gradient (`shape.slice_scatter`) is covered by the row whose gradient runs it;
2. a function (t, *inputs) that works with t = fastdl and t = torch alike;
3. the inputs: specs (below), or plain values that are passed on as they are.

What a row gets: forward and gradients against float64 PyTorch (or `numpy=`, a function of arrays,
where PyTorch is not installed), gradcheck to second order, float32 against float64, non-contiguous
inputs. Options:

    numpy     reference on arrays, used without PyTorch
    order     derivatives checked by finite differences: 2, 1, or 0 for functions without gradient
    torch     another function for PyTorch, where the op has no PyTorch name
    more      lists of further inputs (0-d, zero-size, broadcast) for the forward and gradient
              comparison
    bad       [(function of t, exception), ...]: what must be refused, by PyTorch too (with any
              exception)
    exact     float32 tolerance factor k in k * eps32 * max|result|; the default 64 covers sums of
              some ten terms
    coarse    the factor for float64 against PyTorch, where its own approximation is coarse
    single    dtype of the result for float32 inputs, "any" where rows cast

Another module's rows go into its own list, joined at the end of this file: `CASES +=
conv_cases.CASES`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spec:
    """An input array: `make(rng)` gives float64, int64 or bool values."""

    make: Callable
    grad: bool = True


def normal(*shape):
    """Standard normal numbers."""
    return Spec(lambda rng: rng.standard_normal(shape))


def between(low, high, *shape):
    """Uniform numbers in [low, high)."""
    return Spec(lambda rng: rng.uniform(low, high, shape))


def apart(*shape):
    """Numbers at least 0.1 from each other, from 0 and from whole numbers: no ties, no steps
    within reach.
    """

    def make(rng):
        n = int(np.prod(shape))
        values = (np.arange(n) - n // 2) + rng.uniform(0.2, 0.8, n)
        return rng.permutation(values).reshape(shape) / 2

    return Spec(make)


def ints(low, high, *shape):
    """Integers in [low, high)."""
    return Spec(lambda rng: rng.integers(low, high, shape), grad=False)


def bools(*shape):
    """True or False."""
    return Spec(lambda rng: rng.random(shape) < 0.5, grad=False)


def given(values, grad=True):
    """These values."""
    return Spec(lambda rng: np.asarray(values), grad)


@dataclass
class Case:
    """One row; see the head of this file."""

    primitives: str
    run: Callable
    inputs: list
    numpy: Callable | None = None
    order: int = 2
    torch: Callable | None = None
    more: list = field(default_factory=list)
    bad: list = field(default_factory=list)
    exact: float = 64
    coarse: float = 64
    single: str = "float32"
    name: str = ""

    def __post_init__(self):
        shapes = []
        for spec in self.inputs:
            array = spec.make(np.random.default_rng(0)) if isinstance(spec, Spec) else None
            shapes.append("x".join(map(str, array.shape)) if array is not None else str(spec)[:12])
        self.name = self.name or f"{self.primitives.split()[0]}-{'-'.join(shapes)}"


CASES: list[Case] = []


def row(primitives: str, run: Callable, inputs: list, **options: Any):
    CASES.append(Case(primitives, run, inputs, **options))


EMPTY_AND_SCALAR = ((0, 3), ())


def unary(name, make, numpy=None, order=2, **options):
    """A row for an elementwise function of one operand with PyTorch's name; also zero-size and
    0-d.
    """
    short = name.split()[0].partition(".")[2]
    row(
        name,
        lambda t, x: getattr(t, short)(x),
        [make(3, 4)],
        numpy=numpy,
        order=order,
        more=[[make(*shape)] for shape in EMPTY_AND_SCALAR],
        **options,
    )


def binary(name, run, a, b, numpy, order=2, **options):
    """A row for an elementwise function of two operands; also broadcast, zero-size, 0-d, and
    mismatched shapes.
    """
    row(
        name,
        run,
        [a(3, 4), b(3, 4)],
        numpy=numpy,
        order=order,
        more=[[a(3, 1), b(1, 4)], [a(2, 3, 4), b(4)], [a(0, 3), b(1, 3)], [a(), b()], [a(3), b()]],
        bad=[(lambda t: run(t, t.ones(2, 3), t.ones(2, 4)), RuntimeError)],
        **options,
    )


# ---- elementwise ------------------------------------------------------------------------------

positive = lambda *shape: between(0.3, 2, *shape)
inside = lambda *shape: between(-0.8, 0.8, *shape)

binary("elementwise.add_arrays", lambda t, x, y: x + y, normal, normal, np.add)
binary("elementwise.sub_arrays", lambda t, x, y: x - y, normal, normal, np.subtract)
binary("elementwise.mul", lambda t, x, y: x * y, normal, normal, np.multiply)
binary("elementwise.div_arrays", lambda t, x, y: x / y, normal, positive, np.divide)
binary("elementwise.pow", lambda t, x, y: x**y, positive, normal, np.power)
binary(
    "elementwise.floor_divide",
    lambda t, x, y: x.detach() // y.detach(),
    apart,
    positive,
    np.floor_divide,
    0,
)
binary("elementwise.remainder", lambda t, x, y: t.remainder(x, y), apart, positive, np.remainder, 1)
binary("elementwise.fmod", lambda t, x, y: t.fmod(x, y), apart, positive, np.fmod, 1)
binary("elementwise.logaddexp", lambda t, x, y: t.logaddexp(x, y), normal, normal, np.logaddexp)
binary("elementwise.atan2", lambda t, x, y: t.atan2(x, y), normal, positive, np.arctan2)
binary(
    "elementwise.maximum elementwise.maximum_backward",
    lambda t, x, y: t.maximum(x, y),
    normal,
    normal,
    np.maximum,
)
binary(
    "elementwise.minimum elementwise.minimum_backward",
    lambda t, x, y: t.minimum(x, y),
    normal,
    normal,
    np.minimum,
)
row(
    "elementwise.maximum elementwise.maximum_backward",
    lambda t, x, y: t.maximum(x, y),
    [given([1.0, 2]), given([1.0, 3])],
    order=0,
    name="maximum shares the gradient of ties",
)
row(
    "elementwise.minimum elementwise.minimum_backward",
    lambda t, x, y: t.minimum(x, y),
    [given([1.0, 2]), given([1.0, 3])],
    order=0,
    name="minimum shares the gradient of ties",
)
row(
    "elementwise.add_arrays",
    lambda t, x: t.add(x, x, alpha=2) + 1 + (2 - x) + t.sub(x, 3, alpha=2),
    [normal(3)],
)
row("elementwise.mul elementwise.div_arrays", lambda t, x: 2 * x / 3 + 3 / (x + 4), [normal(3)])
row("elementwise.pow", lambda t, x: x**2 + x**3 + x**-1 + x**0.5 + x**0 + 2**x, [positive(3, 2)])
row(
    "elementwise.pow",
    lambda t, x, y: x**y,
    [given([0.0, 0.0, 2.0]), given([2.0, 1.0, 0.0])],
    order=0,
    name="pow at 0",
)

unary("elementwise.neg", normal, np.negative)
unary("elementwise.abs elementwise.abs_backward", apart, np.abs)
unary("elementwise.sign", apart, np.sign)
unary("elementwise.square elementwise.square_backward", normal, np.square)
unary("elementwise.reciprocal elementwise.reciprocal_backward", positive, np.reciprocal)
unary("elementwise.sqrt elementwise.sqrt_backward", positive, np.sqrt)
unary("elementwise.rsqrt elementwise.rsqrt_backward", positive, lambda x: 1 / np.sqrt(x))
unary("elementwise.exp", normal, np.exp)
unary("elementwise.exp2", normal, np.exp2)
unary("elementwise.expm1 elementwise.expm1_backward", normal, np.expm1)
unary("elementwise.log", positive, np.log)
unary("elementwise.log2", positive, np.log2)
unary("elementwise.log10", positive, np.log10)
unary("elementwise.log1p elementwise.log1p_backward", positive, np.log1p)
unary("elementwise.sigmoid elementwise.sigmoid_backward", normal, lambda x: 1 / (1 + np.exp(-x)))
unary("elementwise.sin", normal, np.sin)
unary("elementwise.cos", normal, np.cos)
unary("elementwise.tan", inside, np.tan)
unary("elementwise.asin", inside, np.arcsin)
unary("elementwise.acos", inside, np.arccos)
unary("elementwise.atan", normal, np.arctan)
unary("elementwise.sinh", normal, np.sinh)
unary("elementwise.cosh", normal, np.cosh)
unary("elementwise.tanh elementwise.tanh_backward", normal, np.tanh)
unary("elementwise.erf elementwise.erf_backward", lambda *s: between(-5, 5, *s))
unary("elementwise.erfc", lambda *s: between(-5, 5, *s))
unary("elementwise.floor", apart, np.floor)
unary("elementwise.ceil", apart, np.ceil)
unary("elementwise.trunc", apart, np.trunc)
unary("elementwise.round", lambda *s: between(1.1, 1.4, *s), np.round)
row("elementwise.round", lambda t, x: t.round(x.detach() * 100, decimals=1), [normal(5)], order=0)
unary("elementwise.frac", apart, lambda x: x - np.trunc(x))

ODD = given([1.0, -0.0, np.nan, np.inf, -np.inf])
for name in ("isnan", "isinf", "isfinite", "signbit"):
    row(
        f"elementwise.{name}",
        lambda t, x, f=name: getattr(t, f)(x),
        [ODD],
        order=0,
        numpy=getattr(np, name),
        more=[[normal()], [normal(0)]],
    )
for name, sign in {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}.items():
    binary(
        f"elementwise.{name}",
        lambda t, x, y, f=name: getattr(t, f)(x, y),
        lambda *s: ints(0, 3, *s),
        lambda *s: ints(0, 3, *s),
        getattr(np, sign),
        0,
    )
for name in ("logical_and", "logical_or", "logical_xor"):
    binary(
        f"elementwise.{name}",
        lambda t, x, y, f=name: getattr(t, f)(x, y),
        bools,
        bools,
        getattr(np, name),
        0,
    )
unary("elementwise.logical_not", bools, np.logical_not, 0)
for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    binary(
        f"elementwise.{name}",
        lambda t, x, y, f=name: getattr(t, f)(x, y),
        lambda *s: ints(-9, 9, *s),
        lambda *s: ints(0, 9, *s),
        getattr(np, name),
        0,
    )
unary("elementwise.bitwise_not", lambda *s: ints(-9, 9, *s), np.invert, 0)
binary(
    "elementwise.bitwise_left_shift",
    lambda t, x, y: x << y,
    lambda *s: ints(-9, 9, *s),
    lambda *s: ints(0, 4, *s),
    np.left_shift,
    0,
)
binary(
    "elementwise.bitwise_right_shift",
    lambda t, x, y: x >> y,
    lambda *s: ints(-9, 9, *s),
    lambda *s: ints(0, 4, *s),
    np.right_shift,
    0,
)

row(
    "elementwise.select",
    lambda t, c, x, y: t.where(c, x, y),
    [bools(3, 4), normal(3, 4), normal(3, 4)],
    numpy=np.where,
    more=[[bools(3, 1), normal(1, 4), normal()], [bools(0, 2), normal(0, 2), normal(2)]],
    bad=[(lambda t: t.where(t.ones(3) > 0, t.ones(2), t.ones(3)), RuntimeError)],
)
row(
    "elementwise.select",
    lambda t, c, x: t.where(c, x, 0.5) + t.where(c, 2, x),
    [bools(3, 4), normal(3, 4)],
)
row(
    "elementwise.masked_fill",
    lambda t, x, m: x.masked_fill(m, -1.5),
    [normal(3, 4), bools(4)],
    numpy=lambda x, m: np.where(m, -1.5, x),
    more=[[normal(0, 2), bools(1, 2)], [normal(), bools()]],
)
row(
    "elementwise.masked_fill",
    lambda t, x, m, v: t.masked_fill(x, m, v),
    [normal(3, 4), bools(3, 4), normal()],
)
row(
    "elementwise.clamp_numbers elementwise.clamp_backward",
    lambda t, x: t.clamp(x, -0.4, 0.9) + x.clamp(min=0.1) + t.clip(x, max=0.2),
    [normal(3, 4)],
    more=[[normal(0)], [normal()]],
    bad=[(lambda t: t.clamp(t.ones(2)), (RuntimeError, ValueError))],
)
row(
    "elementwise.cast",
    lambda t, x: x.to(t.float32).double() * x,
    [given([0.5, 2.0, -3.0])],
    order=0,
    single="float64",
)
row(
    "elementwise.clone",
    lambda t, x: x.clone() * x,
    [normal(3, 4)],
    more=[[normal()], [normal(0, 2)]],
)
row(
    "elementwise.fill",
    lambda t, x, v: (x * 1).fill_(2.0) * x + (x * 1).copy_(v),
    [normal(3, 4), normal(4)],
)

# ---- shape ------------------------------------------------------------------------------------

row(
    "shape.reshape_to",
    lambda t, x: x.reshape(4, -1) * x.contiguous().view(4, 3) + t.flatten(x).reshape((4, 3)),
    [normal(3, 4)],
    bad=[
        (lambda t: t.ones(3, 4).reshape(5, -1), RuntimeError),
        (lambda t: t.ones(3).view(-1, -1), RuntimeError),
        (lambda t: t.ones(3, 4).t().view(12), RuntimeError),
        (lambda t: t.ones(2).reshape(3), RuntimeError),
    ],
)
row(
    "shape.reshape_to",
    lambda t, x: t.flatten(x, 1, 2) * 2,
    [normal(2, 3, 2)],
    more=[[normal(0, 3, 2)]],
)
row("shape.reshape_to", lambda t, x: x.unflatten(1, (2, -1)).flatten(0), [normal(3, 4)])
row(
    "shape.permute_to",
    lambda t, x: x.permute(2, 0, 1) * 2 + x.movedim(2, 0),
    [normal(2, 3, 4)],
    numpy=lambda x: 3 * x.transpose(2, 0, 1),
    more=[[normal(2, 0, 3)]],
    bad=[
        (lambda t: t.ones(2, 3).permute(0, 0), RuntimeError),
        (lambda t: t.ones(2, 3).permute(0), RuntimeError),
    ],
)
row("shape.permute_to shape.swap", lambda t, x: x.T @ x + x.mT @ x + x.t() @ x, [normal(3, 2)])
row(
    "shape.swap",
    lambda t, x: t.transpose(x, 0, -1) * 3,
    [normal(2, 3, 4)],
    numpy=lambda x: x.swapaxes(0, 2) * 3,
    bad=[(lambda t: t.ones(2).transpose(0, 1), IndexError)],
)
row(
    "shape.expand_to shape.sum_over",
    lambda t, x: x.expand(2, 3, -1) * 2,
    [normal(3, 1)],
    more=[[normal(3, 0)]],
    bad=[
        (lambda t: t.ones(3).expand(4), RuntimeError),
        (lambda t: t.ones(3).expand(-1, 3), RuntimeError),
    ],
)
row(
    "shape.expand_to",
    lambda t, x: t.broadcast_to(x, (2, 3)) + t.broadcast_tensors(x, t.ones(2, 1))[0],
    [normal(3)],
)
row(
    "shape.sum_over",
    lambda t, x: t.sum(x, (0, 2)),
    [normal(2, 3, 4)],
    numpy=lambda x: x.sum((0, 2)),
    more=[[normal(2, 0, 3)]],
    bad=[
        (lambda t: t.ones(2).sum(1), IndexError),
        (lambda t: t.ones(2, 2).sum((0, 0)), RuntimeError),
    ],
)
row(
    "shape.sum_over",
    lambda t, x: x.sum() * x.sum(-1, keepdim=True),
    [normal(3, 4)],
    more=[[normal(0, 2)], [normal(1)]],
)
row(
    "shape.slice_of shape.slice_scatter",
    lambda t, x: x[1:, ::2] * x[0, :2] + x[1:, ..., -1:] + x[None, 2, 1],
    [normal(3, 4)],
    bad=[
        (lambda t: t.ones(2)[2], IndexError),
        (lambda t: t.ones(2)[0, 0], IndexError),
    ],
)
row(
    "shape.reshape_to",
    lambda t, x: x.squeeze(1).unsqueeze(0).unsqueeze(-1).squeeze() * 2,
    [normal(3, 1, 2)],
    bad=[
        (lambda t: t.ones(2).unsqueeze(3), IndexError),
        (lambda t: t.ones(2).squeeze(1), IndexError),
    ],
)
row(
    "shape.slice_of shape.cut",
    lambda t, x: x.narrow(1, 1, 2) * x.select(0, 1)[:2] + t.chunk(x, 2, dim=1)[1],
    [normal(3, 4)],
    bad=[
        (lambda t: t.ones(2).narrow(0, 1, 2), RuntimeError),
        (lambda t: t.ones(2).select(0, 2), IndexError),
    ],
)
row(
    "shape.cut",
    lambda t, x: t.split(x, [1, 3], 1)[1] * t.split(x, 2, 1)[0][:, :1],
    [normal(3, 4)],
    bad=[(lambda t: t.ones(3).split([1, 1]), RuntimeError)],
)


def written_through_views(t, x):
    """x with one part written through a view, beside a view of before and its gradient's views."""
    y = x * 2
    early, row = y[:, 1:], y[1]
    row.mul_(x[0])
    return y * y + early.sum() * x


row(
    "shape.window shape.window_scatter shape.put_window",
    written_through_views,
    [normal(3, 4)],
    bad=[(lambda t: t.ones(2, requires_grad=True)[0].add_(1), RuntimeError)],
)
row(
    "join.concatenate",
    lambda t, x, y: t.cat([x, y, x], 1) * 2,
    [normal(2, 3), normal(2, 1)],
    numpy=lambda x, y: np.concatenate([x, y, x], 1) * 2,
    more=[[normal(2, 0), normal(2, 1)], [normal(0, 1), normal(0, 2)]],
    bad=[
        (lambda t: t.cat([]), (RuntimeError, ValueError)),
        (lambda t: t.cat([t.ones(2, 3), t.ones(3, 2)]), RuntimeError),
        (lambda t: t.cat([t.ones(2), 3.0]), TypeError),
        (lambda t: t.cat([t.ones(2)], 1), IndexError),
    ],
)
row(
    "join.concatenate",
    lambda t, x, y: t.hstack([x, y]) * t.vstack([x, y]).sum(),
    [normal(3), normal(3)],
)
row(
    "join.stack_along",
    lambda t, x, y: t.stack([x, y, x], -1) * 2,
    [normal(2, 3), normal(2, 3)],
    more=[[normal(), normal()], [normal(0, 2), normal(0, 2)]],
    bad=[(lambda t: t.stack([t.ones(2), t.ones(3)]), RuntimeError)],
)
row(
    "join.unstack join.stack_along",
    lambda t, x: t.unbind(x, 1)[1] * t.unbind(x, 1)[0] + sum(list(x.T)),
    [normal(3, 4)],
    bad=[(lambda t: t.tensor(1.0).unbind(), (RuntimeError, IndexError))],
)
row(
    "join.flip_along",
    lambda t, x: t.flip(x, (0, -1)) * x,
    [normal(3, 4)],
    numpy=lambda x: np.flip(x) * x,
    more=[[normal(0, 3)]],
)
row("join.roll_along", lambda t, x: t.roll(x, (1, -2), (0, 1)) * x + t.roll(x, 5), [normal(3, 4)])
row(
    "join.pad_with",
    lambda t, x: t.pad(x, (1, 2, 0, -1), value=3.0) * 2,
    [normal(3, 4)],
    torch=lambda t, x: t.nn.functional.pad(x, (1, 2, 0, -1), value=3.0) * 2,
    numpy=lambda x: np.pad(x[:-1], ((0, 0), (1, 2)), constant_values=3.0) * 2,
    more=[[normal(2, 0)]],
)
for mode in ("reflect", "replicate", "circular"):
    row(
        "index.take_at index.add_at",
        lambda t, x, m=mode: t.pad(x, (1, 2, 2, 0), m) * 2,
        [normal(2, 3, 4)],
        torch=lambda t, x, m=mode: t.nn.functional.pad(x, (1, 2, 2, 0), m) * 2,
    )
row(
    "diagonal.diagonal_of diagonal.onto_diagonal",
    lambda t, x: t.diagonal(x, 1) * 2,
    [normal(3, 4)],
    numpy=lambda x: np.diagonal(x, 1) * 2,
    more=[[normal(2, 3)]],
    bad=[(lambda t: t.ones(2, 2).diagonal(0, 1, 1), RuntimeError)],
)
row(
    "diagonal.onto_diagonal diagonal.diagonal_of",
    lambda t, x: t.diag(x, -1) * 2,
    [normal(3)],
    numpy=lambda x: np.diag(x, -1) * 2,
)
row(
    "diagonal.lower",
    lambda t, x: t.tril(x, 1) * x,
    [normal(3, 4)],
    numpy=lambda x: np.tril(x, 1) * x,
    more=[[normal(2, 0, 3)]],
    bad=[(lambda t: t.ones(2).tril(), RuntimeError)],
)
row(
    "diagonal.upper",
    lambda t, x: t.triu(x, diagonal=1) * x,
    [normal(2, 3, 4)],
    numpy=lambda x: np.triu(x, 1) * x,
)
row(
    "shape.windows shape.windows_add",
    lambda t, x: x.unfold(1, 3, 2) * 2,
    [normal(2, 7)],
    bad=[(lambda t: t.ones(3).unfold(0, 4, 1), RuntimeError)],
)
row(
    "shape.copy_in_order",
    lambda t, x: x.t().contiguous().view(-1) * 2,
    [normal(3, 4)],
    more=[[normal(0, 2)]],
)
row(
    "shape.reshape_to shape.expand_to",
    lambda t, x: x.repeat(2, 1, 3) * 2 + t.tile(x, (2, 1, 3)),
    [normal(3, 2)],
)
row(
    "shape.expand_to",
    lambda t, x, y: sum(t.meshgrid(x, y, indexing="ij")) * t.meshgrid(x, y, indexing="xy")[0].T,
    [normal(3), normal(2)],
)

row("shape.slice_of", lambda t, x: t.diff(x) * t.diff(x, 2, 0).sum(), [normal(3, 4)])

# ---- reduce -----------------------------------------------------------------------------------

row(
    "reduce.mean_over",
    lambda t, x: t.mean(x, 1, keepdim=True) * x.mean(),
    [normal(3, 4)],
    more=[[normal(1, 2)]],
    bad=[(lambda t: t.arange(3).mean(), RuntimeError)],
)
row(
    "reduce.mean_over",
    lambda t, x: x.mean(dim=(0, 2)),
    [normal(2, 3, 4)],
    numpy=lambda x: x.mean((0, 2)),
    more=[[normal(2, 3, 0)]],
)
row(
    "reduce.var_over",
    lambda t, x: x.var(1) + x.var(1, unbiased=False) + t.var(x, 1, correction=2),
    [normal(3, 4)],
)
row("reduce.std_over", lambda t, x: x.std(0, keepdim=True) * x.std() + x.std(False), [normal(3, 4)])
row("reduce.var_over", lambda t, x: t.var(x), [normal(5)], numpy=lambda x: x.var(ddof=1))
row("reduce.logsumexp_over", lambda t, x: t.logsumexp(x, 1), [normal(3, 4)], more=[[normal(2, 1)]])
row(
    "reduce.logsumexp_over",
    lambda t, x: t.logsumexp(x, 0),
    [given([[-np.inf, 1.0], [-np.inf, 2.0]])],
    order=0,
)
row("reduce.prod_over", lambda t, x: t.prod(x, 1) * x.prod(), [normal(2, 3)], more=[[normal(1, 0)]])
row(
    "reduce.prod_over",
    lambda t, x: t.prod(x, 0),
    [given([[1.0, 0.0, 0.0], [2.0, 3.0, 0.0]])],
    name="prod with zeros",
)
row(
    "reduce.cumsum_along",
    lambda t, x: t.cumsum(x, 1) * x,
    [normal(3, 4)],
    numpy=lambda x: x.cumsum(1) * x,
    more=[[normal(0, 4)]],
    bad=[(lambda t: t.ones(2).cumsum(1), IndexError)],
)
row(
    "reduce.cumprod_along",
    lambda t, x: t.cumprod(x, 1),
    [positive(3, 4)],
    numpy=lambda x: x.cumprod(1),
)
row(
    "reduce.cumprod_along",
    lambda t, x: t.cumprod(x, 0),
    [given([[1.0, 2.0], [0.0, 3.0], [2.0, 0.0], [3.0, 0.0]])],
    name="cumprod with zeros",
)
row(
    "reduce.amax_over",
    lambda t, x: t.amax(x, (0, 2)) + x.max(),
    [apart(2, 3, 4)],
    numpy=lambda x: x.max((0, 2)) + x.max(),
    bad=[(lambda t: t.zeros(0).max(), RuntimeError)],
)
row("reduce.amin_over", lambda t, x: t.amin(x, 1, keepdim=True) + x.min(), [apart(2, 3)])
row(
    "reduce.amax_over reduce.amin_over",
    lambda t, x: x.amax(1) - x.amin(1),
    [given([[1.0, 2, 2], [1, 1, 3]])],
    order=0,
    name="amax and amin share the gradient of ties",
)
row(
    "reduce.max_along scatter.scatter_along",
    lambda t, x: x.max(1).values * 2,
    [apart(3, 4)],
    numpy=lambda x: x.max(1) * 2,
    bad=[(lambda t: t.ones(2).max(1), IndexError), (lambda t: t.zeros(2, 0).max(1), IndexError)],
)
row(
    "reduce.max_along", lambda t, x: x.max(dim=0, keepdim=True).indices, [ints(0, 3, 4, 3)], order=0
)
row("reduce.min_along", lambda t, x: t.min(x, 0, True)[0] * 2, [apart(3, 4)])
row(
    "scatter.gather_along scatter.scatter_along",
    lambda t, x, i: t.gather(x, 1, i) * 2,
    [normal(3, 4), ints(0, 4, 2, 5)],
    numpy=lambda x, i: np.take_along_axis(x[: len(i)], i, 1) * 2,
    more=[[normal(3, 4), ints(0, 4, 0, 2)]],
    bad=[
        (lambda t: t.ones(2, 2).gather(1, t.tensor([[2]])), (RuntimeError, IndexError)),
        (lambda t: t.ones(2, 2).gather(1, t.tensor([0])), RuntimeError),
    ],
)
row("reduce.euclidean_norm", lambda t, x: x.norm(dim=1) + x.norm(), [normal(3, 4)])
row(
    "reduce.euclidean_norm",
    lambda t, x: x.norm(dim=1),
    [given([[0.0, 0.0], [3.0, 4.0]])],
    order=0,
    name="norm at 0",
)
row(
    "elementwise.abs",
    lambda t, x: x.norm(1) + x.norm(3, dim=0).sum() + x.norm(float("inf"), dim=1).sum(),
    [apart(3, 4)],
)
row(
    "order.ordered",
    lambda t, x: t.sort(x, 1, descending=True)[0] * t.sort(x, 0).values,
    [apart(3, 4)],
)
row(
    "order.ordered",
    lambda t, x: x.topk(2, dim=1)[0] * x.topk(2, largest=False).values,
    [apart(3, 4)],
    bad=[(lambda t: t.ones(2).topk(3), RuntimeError)],
)
row(
    "order.ordered order.middle_along order.middle_of_all",
    lambda t, x: x.median() * x.median(0).values * x.kthvalue(2, 0).values,
    [apart(4, 3)],
)

# ---- index ------------------------------------------------------------------------------------

row(
    "index.take_at index.add_at",
    lambda t, x, i: x[i] * 2,
    [normal(3, 4), ints(0, 3, 5)],
    numpy=lambda x, i: x[i] * 2,
    more=[[normal(3, 4), ints(0, 3, 0)], [normal(3), ints(0, 3, 2, 2)]],
    bad=[
        (lambda t: t.ones(2)[t.tensor([2])], IndexError),
        (lambda t: t.ones(2)[t.tensor([0.5])], IndexError),
    ],
)
row(
    "index.take_at index.add_at",
    lambda t, x, m: x[m] * 2,
    [normal(3, 4), bools(3, 4)],
    numpy=lambda x, m: x[m] * 2,
    bad=[(lambda t: t.ones(3)[t.ones(2) > 0], IndexError)],
)
row(
    "index.take_at",
    lambda t, x, i: x[:, i, None] * x[i, 0][:, None] + x[1:, [0, 0, 1, 2, 2]].sum(),
    [normal(3, 4), given([0, 2, 1], False)],
)
row(
    "index.take_at",
    lambda t, x, i: t.index_select(x, 1, i) * 2,
    [normal(3, 4), ints(0, 4, 6)],
    bad=[(lambda t: t.ones(2).index_select(0, t.tensor([2])), (IndexError, RuntimeError))],
)
row("index.take_at", lambda t, x, m: t.masked_select(x, m) * 2, [normal(3, 4), bools(4)])
row(
    "index.take_at",
    lambda t, x: t.repeat_interleave(x, 2, dim=1) * 2 + t.take(x, t.tensor([1, 5])).sum(),
    [normal(3, 4)],
)
row(
    "scatter.gather_along",
    lambda t, x, i: t.take_along_dim(x, i, 1) * 2,
    [normal(3, 4), ints(0, 4, 1, 2)],
)


def _assigned(t, x, v):
    y = x * 1
    y[1:, 0] = v
    y[0] = 2.0
    y[:, [1, 2]] = v[:, None] if v.ndim else v
    return y * x


row(
    "index.put",
    _assigned,
    [normal(3, 4), normal()],
    bad=[
        (lambda t: t.ones(3).__setitem__(slice(0, 2), t.ones(3)), RuntimeError),
        (lambda t: t.ones(3).__setitem__(3, 1.0), IndexError),
    ],
)


def _masked_assigned(t, x, m, v):
    y = x.clone()
    y[m] = 0.5
    y[m[0]] = v
    return y * x


row("index.put", _masked_assigned, [normal(3, 3), bools(3, 3), normal(3)])
row(
    "scatter.scatter_values",
    lambda t, x, i, s: x.scatter(1, i, s) * 2,
    [normal(3, 4), given([[0, 2], [1, 3], [3, 0]], False), normal(3, 2)],
    bad=[(lambda t: t.ones(2).scatter(0, t.tensor([2]), t.ones(1)), (RuntimeError, IndexError))],
)
row(
    "scatter.scatter_values",
    lambda t, x, i: x.scatter(0, i, 1.5) * x,
    [normal(3, 4), ints(0, 3, 1, 4)],
)
row(
    "scatter.scatter_sum",
    lambda t, x, i, s: t.scatter_add(x, 1, i, s) * 2,
    [normal(3, 4), ints(0, 4, 2, 5), normal(2, 5)],
)
row(
    "index.index_sum",
    lambda t, x, i, s: t.index_add(x, 0, i, s, alpha=2) * 2,
    [normal(3, 4), ints(0, 3, 5), normal(5, 4)],
)

# ---- linalg -----------------------------------------------------------------------------------

MISMATCHED = [
    (lambda t: t.ones(2, 3) @ t.ones(2, 3), RuntimeError),
    (lambda t: t.ones(2) @ t.ones(3), RuntimeError),
    (lambda t: t.ones(2, 3) @ 2, TypeError),
    (lambda t: t.ones(2, 3) @ t.ones(2), RuntimeError),
    (lambda t: t.ones(2, 2) @ t.ones(2, 2).double(), RuntimeError),
    (lambda t: t.tensor(1.0) @ t.ones(2), RuntimeError),
    (lambda t: t.mm(t.ones(2), t.ones(2, 2)), RuntimeError),
    (lambda t: t.bmm(t.ones(2, 2, 2), t.ones(3, 2, 2)), RuntimeError),
]
row(
    "linalg.matmul",
    lambda t, x, y: x @ y,
    [normal(2, 3), normal(3, 4)],
    numpy=np.matmul,
    bad=MISMATCHED,
    more=[
        [normal(3), normal(3)],
        [normal(2, 3), normal(3)],
        [normal(3), normal(3, 2)],
        [normal(2, 2, 3), normal(3, 4)],
        [normal(2, 2, 3), normal(2, 3, 4)],
        [normal(2, 2, 3), normal(3)],
        [normal(3), normal(2, 3, 4)],
        [normal(5, 1, 2, 3), normal(4, 3, 2)],
        [normal(0, 3), normal(3, 2)],
        [normal(2, 0), normal(0, 3)],
        [normal(2, 3), normal(2, 3, 2)],
    ],
)
for shapes in (
    [(3,), (3,)],
    [(2, 3), (3,)],
    [(3,), (3, 2)],
    [(2, 2, 3), (3, 2)],
    [(2, 1, 2, 3), (2, 3, 2)],
    [(3,), (2, 3, 2)],
    [(2, 2, 3), (3,)],
):
    row(
        "linalg.matmul",
        lambda t, x, y: t.matmul(x, y),
        [normal(*s) for s in shapes],
        numpy=np.matmul,
    )
row(
    "linalg.matmul",
    lambda t, c, x, y: t.addmm(c, x, y, beta=2, alpha=3) + t.mm(x, y),
    [normal(4), normal(2, 3), normal(3, 4)],
)
row(
    "linalg.matmul",
    lambda t, c, x, y: t.baddbmm(c, x, y) + t.bmm(x, y),
    [normal(2, 4), normal(3, 2, 3), normal(3, 3, 4)],
)
row(
    "linalg.matmul", lambda t, x, y: t.outer(t.mv(x, y), y) * t.dot(y, y), [normal(2, 3), normal(3)]
)
SINGULAR = [
    (lambda t: t.zeros(2, 2).inverse(), RuntimeError),
    (lambda t: t.ones(2, 3).inverse(), RuntimeError),
    (lambda t: t.arange(4).reshape(2, 2).inverse(), RuntimeError),
]
DIAGONAL = np.diag([3.0, -2.0, 4.0])
row(
    "factor.inverse_of",
    lambda t, x: (x + t.from_numpy(DIAGONAL).to(x.dtype)).inverse(),
    [between(-0.5, 0.5, 2, 3, 3)],
    numpy=lambda x: np.linalg.inv(x + DIAGONAL),
    bad=SINGULAR,
)
row(
    "factor.det_of factor.cofactors",
    lambda t, x: t.det(x + t.from_numpy(DIAGONAL).to(x.dtype)),
    [between(-0.5, 0.5, 3, 3)],
    numpy=lambda x: np.linalg.det(x + DIAGONAL),
    bad=[(lambda t: t.det(t.ones(2, 3)), RuntimeError)],
)
row("linalg.matmul", lambda t, x: t.cov(x) + t.cov(x[0]), [normal(3, 5)])
row(
    "linalg.einsum_of",
    lambda t, x, y: t.einsum("bij,bjk->bik", x, y),
    [normal(2, 2, 3), normal(2, 3, 2)],
    numpy=lambda x, y: x @ y,
    more=[[normal(0, 2, 3), normal(0, 3, 2)]],
    bad=[
        (lambda t: t.einsum("ij,jk", t.ones(2, 3)), (RuntimeError, ValueError)),
        (lambda t: t.einsum("ij->k", t.ones(2, 3)), RuntimeError),
        (lambda t: t.einsum("ij,jk", t.ones(2, 3), t.ones(2, 3)), RuntimeError),
    ],
)
row(
    "linalg.einsum_of",
    lambda t, x, y, z: t.einsum("ij,jk,kl->il", x, y, z),
    [normal(2, 3), normal(3, 2), normal(2, 2)],
)
row(
    "linalg.einsum_of",
    lambda t, x, y: t.einsum("...i,ij", x, y) + t.einsum("i,j->", y[:, 0], y[0]),
    [normal(2, 2, 3), normal(3, 2)],
)
row(
    "linalg.einsum_of",
    lambda t, x: t.einsum("ii->i", x) * t.einsum("ij->i", x) + t.einsum("ii", x),
    [normal(3, 3)],
)
row("linalg.einsum_of", lambda t, x, y: t.tensordot(x, y, ([1], [0])), [normal(2, 3), normal(3, 2)])
row(
    "elementwise.lerp_arrays elementwise.addcmul_arrays elementwise.addcdiv_arrays",
    lambda t, x, y, w: t.lerp(x, y, w) + t.addcmul(x, y, w, value=2) + t.addcdiv(x, y, w + 5),
    [normal(3), normal(3), normal(3)],
    more=[[normal(2, 3), normal(3), normal()], [normal(0), normal(0), normal(0)]],
)
row(
    "elementwise.lerp_arrays elementwise.addcmul_arrays elementwise.addcdiv_arrays",
    lambda t, x, y, w: (x * 1).lerp_(y, 0.75).addcmul_(y, w, value=0.5).addcdiv_(y, w + 5),
    [normal(3), normal(3), normal(3)],
)
row(
    "elementwise.add_scaled",
    lambda t, x, y: t.add(x, y, alpha=2.5) * t.sub(x, y, alpha=0.5) + (x * 1).sub_(y, alpha=3),
    [normal(3, 4), normal(4)],
)
row(
    "elementwise.add_arrays",
    lambda t, x: t.sub(t.add(x, 3, alpha=2), x, alpha=2),
    [ints(0, 9, 5)],
    order=0,
)
row(
    "linalg.matmul",
    lambda t, x, y: t.cross(x, y, dim=1) * t.trace(x @ y.T),
    [normal(2, 3), normal(2, 3)],
)

# ---- what other modules contribute ------------------------------------------------------------

from cases_dtypes import CASES as DTYPE_CASES  # noqa: E402 (its rows use the names above)
from nn_cases import CASES as NN_CASES  # noqa: E402 (its rows use the names above)

CASES += NN_CASES
CASES += DTYPE_CASES

from cases_linalg import CASES as LINALG_CASES  # noqa: E402

CASES += LINALG_CASES

import cases_maths  # noqa: E402, F401 (joins its rows, with the names above)
from cases_shape import CASES as SHAPE_CASES  # noqa: E402

CASES += SHAPE_CASES

from cases_special import CASES as SPECIAL_CASES  # noqa: E402

CASES += SPECIAL_CASES

from cases_rest import CASES as REST_CASES  # noqa: E402

CASES += REST_CASES

from cases_losses import CASES as LOSS_CASES  # noqa: E402

CASES += LOSS_CASES
import cases_attention  # noqa: E402, F401 (joins its rows)
from cases_rnn import CASES as RNN_CASES  # noqa: E402

CASES += RNN_CASES

from cases_audio import CASES as AUDIO_CASES  # noqa: E402

CASES += AUDIO_CASES
