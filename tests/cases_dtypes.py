"""Rows for complex numbers (op_cases.py explains what a row is and gets). Inputs and results are
real: the parts of complex ones, so a row's gradients are what PyTorch's convention says of a
function of two real variables, to second order.
"""

from op_cases import Case, between, normal

CASES: list[Case] = []


def row(primitives, run, inputs, **options):
    CASES.append(Case(primitives, run, inputs, **options))


# fmt: off
away = lambda *shape: between(0.3, 2, *shape)  # off the branch cuts along the negative axis


def on_numbers(primitives, function, *inputs, name, **options):
    """A row for a function of complex tensors; `inputs`: what their parts are made as."""

    def run(t, *xs):
        y = function(t, *[t.complex(re, im) for re, im in zip(xs[::2], xs[1::2])])
        return t.view_as_real(y) if y.is_complex() else y

    parts = [part for part in inputs or [normal(3, 4)] for _ in range(2)]
    row(primitives, run, parts, name=name, **options)


row(
    "complex.numbers_of complex.pairs_of",
    lambda t, x: t.view_as_real(t.view_as_complex(x.contiguous()) * 2),
    [normal(2, 3, 2)],
    more=[[normal(2)]],
    bad=[
        (lambda t: t.view_as_complex(t.ones(3)), RuntimeError),
        (lambda t: t.view_as_complex(t.ones(2, dtype=t.int64)), RuntimeError),
        (lambda t: t.view_as_complex(t.ones(2, 4)[:, ::2]), RuntimeError),
        (lambda t: t.view_as_complex(t.ones(2, 3)[:, :2]), RuntimeError),
        (lambda t: t.view_as_real(t.ones(2)), RuntimeError),
    ],
    name="complex view_as_complex",
)
row(
    "complex.numbers_of complex.pairs_of",
    lambda t, x, y: t.view_as_real(t.complex(x, y) ** 2),
    [normal(3, 4), normal(3, 4)],
    more=[[normal(3, 1), normal(4)], [normal(), normal(2)]],
    bad=[
        (lambda t: t.complex(t.ones(2), t.ones(2, dtype=t.float64)), RuntimeError),
        (lambda t: t.complex(t.ones(2, dtype=t.int64), t.ones(2, dtype=t.int64)), RuntimeError),
        (lambda t: t.complex(t.ones(2), 1.0), TypeError),
    ],
    name="complex complex",
)
row(
    "complex.numbers_of complex.pairs_of",
    lambda t, x, y: t.view_as_real(t.polar(x, y)),
    [between(0.3, 2, 3, 4), normal(3, 4)],
    more=[[between(0.3, 2, 3, 1), normal(4)]],
    bad=[(lambda t: t.polar(t.ones(2), t.ones(2, dtype=t.float64)), RuntimeError)],
    name="complex polar",
)
on_numbers("elementwise.conj_of", lambda t, z: z.conj() * z,
           name="complex conj")
on_numbers("elementwise.conj_of", lambda t, z: t.conj_physical(z), name="complex conj_physical")
on_numbers("elementwise.sgn elementwise.abs", lambda t, z: t.sgn(z) * z.abs().exp(),
           name="complex sgn")
row("elementwise.sgn", lambda t, x: x.detach().sgn(), [normal(3, 4)], order=0, name="real sgn")
on_numbers("complex.angle", lambda t, z: z.angle(), away(3, 4), name="complex angle")
row("complex.angle", lambda t, x: t.angle(x), [normal(3, 4)], order=0, name="real angle")
on_numbers("complex.pairs_of", lambda t, z: z.real * z.imag, name="complex real imag")
row("elementwise.abs", lambda t, x: t.isreal(t.complex(x, x * 0)), [normal(3)], order=0,
    name="complex isreal")
row("elementwise.mul", lambda t, x: t.real(x) * t.conj(x).resolve_conj().resolve_neg(), [normal(3)],
    bad=[(lambda t: t.imag(t.ones(2)), RuntimeError)], name="real real conj")

for text, primitive, function in [
    ("add", "elementwise.add_arrays", lambda t, a, b: a + b * 1j),
    ("sub", "elementwise.sub_arrays", lambda t, a, b: t.sub(a, b, alpha=2 - 1j)),
    ("mul", "elementwise.mul", lambda t, a, b: a * b),
    ("div", "elementwise.div_arrays", lambda t, a, b: a / b),
    ("pow", "elementwise.pow", lambda t, a, b: a**b),
    ("matmul", "linalg.matmul", lambda t, a, b: a @ b.mH),
    ("where", "elementwise.select", lambda t, a, b: t.where(a.real > 1, a, b) * b),
    ("einsum", "linalg.einsum_of", lambda t, a, b: t.einsum("ij,kj->ik", a, b)),
    ("cat", "join.concatenate", lambda t, a, b: t.cat([a, b], 1) * (2 + 1j)),
    ("eq", "elementwise.mul", lambda t, a, b: (a == b) | (a != b)),
]:
    on_numbers(
        primitive, function, away(3, 4), away(3, 4), name=f"complex {text}",
        order=0 if text == "eq" else 2,
    )
row(
    "elementwise.mul complex.numbers_of",
    lambda t, x, y: (x * t.complex(x, y)).abs(),
    [normal(3, 1), normal(4)],
    name="real times complex",
)
row(
    "elementwise.pow complex.numbers_of",
    lambda t, x, y: t.view_as_real((1.5 - 2j) ** t.complex(x, y) + t.complex(x, y) ** 2.5),
    [away(3), away(3)],
    name="complex number to a power",
)
for name in [
    "exp", "log", "sqrt", "rsqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sigmoid",
    "reciprocal", "square", "log2", "log10", "log1p", "expm1", "asin", "atan", "neg", "abs",
]:
    on_numbers(
        f"elementwise.{name}",
        lambda t, z, name=name: getattr(t, name)(z),
        between(0.2, 0.8, 3, 4),
        name=f"complex {name}",
    )
for text, primitive, function in [
    ("sum", "shape.sum_over", lambda t, z: z.sum(0)),
    ("mean", "reduce.mean_over", lambda t, z: z.mean(1, keepdim=True)),
    ("prod", "reduce.prod_over", lambda t, z: z.prod(1)),
    ("cumsum", "reduce.cumsum_along", lambda t, z: z.cumsum(1)),
    ("cumprod", "reduce.cumprod_along", lambda t, z: z.cumprod(1)),
    ("var", "reduce.var_over", lambda t, z: z.var(0) + z.std()),
    ("index", "index.take_at", lambda t, z: z[[0, 2, 0]]),
    ("roll", "join.roll_along", lambda t, z: z.roll(1, 0).flip(1).T.reshape(-1)),
    ("H", "elementwise.conj_of", lambda t, z: z.H + z.mT.conj()),
]:
    on_numbers(primitive, function, away(3, 4), name=f"complex {text}", exact=128)
