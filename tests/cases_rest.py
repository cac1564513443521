"""Rows of the table (see op_cases.py) for operators, casts, what a tensor says of itself, and
creation."""

import operator

import numpy as np
from op_cases import Case, apart, between, bools, ints, normal

CASES: list[Case] = []


def row(primitives, run, inputs, **options):
    CASES.append(Case(primitives, run, inputs, **{"order": 0, **options}))


# ---- operators --------------------------------------------------------------------------------

FLOATS = [apart(3, 4), apart(4)]
WHOLE = [ints(-20, 20, 3, 4), ints(1, 5, 4)]

for name in ("ge", "le", "lt", "gt", "eq", "ne"):
    compare = getattr(operator, name)
    row(f"elementwise.{name}", lambda t, x, y, f=compare: f(x, y), FLOATS, name=f"operator-{name}")
    row(f"elementwise.{name}", lambda t, x, f=compare: f(x, 2), [WHOLE[0]], name=f"{name}-number")
for name in ("neg", "pos", "abs"):
    act = getattr(operator, name)
    row(
        "elementwise.abs",
        lambda t, x, f=act: f(x),
        [apart(3, 4)],
        order=1,
        name=f"operator-{name}",
    )
row(
    "elementwise.bitwise_not",
    lambda t, x, b: (~x).add(~b),
    [WHOLE[0], bools(3, 4)],
    name="operator-invert",
)
for name in ("add", "sub", "mul", "truediv", "pow", "mod"):
    act, act_in_place = getattr(operator, name), getattr(operator, "i" + name)

    def in_place(t, x, y, f=act_in_place, name=name):
        z = x.abs() + 1
        if name == "pow":  # saves its result, which the second step overwrites
            return f(f(z.detach(), y.detach()), 2)
        z = f(z, y)
        return f(z, 2)

    def reflected(t, x, y, f=act, name=name):
        if name == "mod":  # PyTorch has no derivative of it
            x, y = x.detach(), y.detach()
        return f(3, x.abs() + 1) + f(2.5, y.abs() + 1)

    for form, run in (("in place", in_place), ("reflected", reflected)):
        order = 0 if f"{name} {form}" in ("pow in place", "mod reflected") else 1
        row("elementwise.mul", run, [apart(3, 4), apart(4)], order=order, name=f"{name}-{form}")
for name in ("floordiv", "mod"):
    act, act_in_place = getattr(operator, name), getattr(operator, "i" + name)
    row(
        "elementwise.floor_divide",
        lambda t, x, y, f=act: f(x, y) + f(x, 3) + f(17, y),
        WHOLE,
        name=f"whole-{name}",
    )
    row(
        "elementwise.floor_divide",
        lambda t, x, y, f=act_in_place: f(f(x, y), 3),
        WHOLE,
        name=f"whole-{name}-in-place",
    )
row("elementwise.floor_divide", lambda t, x, y: x.detach() // y.detach() + 7 // y.detach(), FLOATS)
for name in ("and_", "or_", "xor", "lshift", "rshift"):
    act, act_in_place = getattr(operator, name), getattr(operator, "i" + name.strip("_"))
    row(
        "elementwise.bitwise_and",
        lambda t, x, y, f=act: f(x, y) + f(x, 3) + f(6, y),
        WHOLE,
        name=f"bits-{name}",
    )
    row(
        "elementwise.bitwise_and",
        lambda t, x, y, f=act_in_place: f(x.clone(), y),
        WHOLE,
        name=f"bits-{name}-in-place",
    )
    if name.endswith("_") or name == "xor":
        row(
            "elementwise.bitwise_and",
            lambda t, a, b, f=act: f(a, b) & f(True, b),
            [bools(3, 4), bools(4)],
            name=f"truth-{name}",
        )
row("linalg.matmul", lambda t, x, y: x.__rmatmul__(y), [normal(3, 2),
    normal(4, 3)], order=1)  # fmt: skip
row("elementwise.bitwise_and", lambda t, x, y: t.bitwise_left_shift(x, y)
    + t.bitwise_right_shift(x, 1) + t.bitwise_left_shift(x, 1), WHOLE)  # fmt: skip
row("elementwise.floor_divide",
    lambda t, x, y: t.floor_divide(x.detach(), y.detach()) + t.floor_divide(x.detach(), 2.5),
    FLOATS)  # fmt: skip

# ---- functions and their aliases --------------------------------------------------------------

for run in (
    lambda t, x: t.mul(x, 2.5), lambda t, x: t.multiply(x, x), lambda t, x: t.pow(x.abs() + 1, 1.5),
    lambda t, x: t.pow(2, x), lambda t, x: t.rsub(x, 3, alpha=2), lambda t, x: t.ravel(x),
    lambda t, x: t.fliplr(x) + t.flipud(x),
    lambda t, x: t.view_copy(x.contiguous(), (4, 3)), lambda t, x: t.real(x * 1),
    lambda t, x: t.as_strided_copy(x.contiguous(), (2, 2), (4, 1)) * 2,
    lambda t, x: t.resolve_conj(x) * 1,
    lambda t, x: t.resolve_neg(x) + 1, lambda t, x: t.var_mean(x, 1), lambda t, x: t.pinverse(x),
    lambda t, x: t.nn.functional.softmax(x, 1), lambda t, x: t.split_with_sizes_copy(x, [1, 2]),
):  # fmt: skip
    row("elementwise.mul", run, [apart(3, 4)], order=1)
row("reduce.argmax_over", lambda t, x: t.argmax(x, 1) + t.argmin(x, -1), [apart(3, 4)])
row("reduce.argmin_over", lambda t, x: t.argmax(x) - t.argmin(x, 0, keepdim=True), [apart(3, 4)])
row(
    "index.add_at",
    lambda t, x: t.index_put_(x * 1, (t.tensor([0, 2]),), t.tensor(5.0).to(x.dtype)),
    [normal(3, 2)],
    order=1,
)
row("elementwise.mul", lambda t, x: t.imag(t.complex(x, 2 * x)) * x, [normal(3)], order=1)
row("shape.window", lambda t, x: t.as_strided_(x * 1, (2, 2), (1, 2)), [normal(6)], order=1)
for d in (1, 2, 3):
    x, w = normal(1, 2, *[5] * d), normal(3, 2, *[2] * d)
    row(
        "conv.convolution",
        lambda t, x, w, d=d: getattr(t, f"conv{d}d")(x, w, stride=2),
        [x, w],
        order=1,
    )
    row(
        "conv.convolution",
        lambda t, x, w, d=d: getattr(t, f"conv_transpose{d}d")(x, w, padding=1),
        [x, normal(2, 3, *[3] * d)],
        order=1,
    )
    row(
        "pool.max_pool",
        lambda t, x, d=d: getattr(t, f"max_pool{d}d")(x, 2),
        [apart(1, 2, *[4] * d)],
        order=1,
    )
row(
    "pool.avg_pool",
    lambda t, x: t.avg_pool1d(x, 2) + t.adaptive_avg_pool1d(x, 2).sum(),
    [normal(1, 2, 6)],
    order=1,
)
row("pool.max_pool", lambda t, x: t.adaptive_max_pool1d(x, 2)[0], [apart(1, 2, 6)], order=1)


def unpooled(t, x, d):
    F = t.nn.functional
    y, places = getattr(F, f"max_pool{d}d")(x, 2, return_indices=True)
    return getattr(F, f"max_unpool{d}d")(y, places, 2)


for d in (1, 3):
    row(
        "pool.scatter_positions",
        lambda t, x, d=d: unpooled(t, x, d),
        [apart(1, 2, *[4] * d)],
        order=1,
    )

row("elementwise.mul", lambda t, x: t.detach(x) + t.detach_copy(x.detach()), [apart(3, 4)])
for name in ("absolute", "arccos", "arcsin", "arcsinh", "arctan", "arctanh", "fix", "negative"):
    row(
        "elementwise.mul",
        lambda t, x, name=name: getattr(x.detach() * 1, name + "_")(),
        [between(0.1, 0.9, 3)],
        name=f"alias-{name}_",
    )
row("elementwise.mul", lambda t, x: (x.detach() + 1).arccosh_(), [between(0.1, 0.9, 3)])
row(
    "elementwise.mul",
    lambda t, x, y: (x.detach() * 1).arctan2_(y.detach()),
    [normal(3), normal(3)],
)
for name in ("greater", "greater_equal", "less", "less_equal", "not_equal"):
    row(
        "elementwise.mul",
        lambda t, x, y, name=name: getattr(x.clone(), name + "_")(y),
        WHOLE,
        name=f"alias-{name}_",
    )

# ---- casts, and what a tensor says of itself --------------------------------------------------

for name in (
    "float",
    "double",
    "half",
    "int",
    "long",
    "short",
    "char",
    "byte",
    "bool",
    "cfloat",
    "cdouble",
):
    row(
        "elementwise.cast",
        lambda t, x, name=name: getattr(x.detach().abs(), name)(),
        [apart(3, 4)],
        single="any",
        name=f"cast-{name}",
    )
row("elementwise.cast", lambda t, x: x.bfloat16().double(), [apart(3, 4)], single="float64")
row(
    "elementwise.cast",
    lambda t, x: x.type(t.float64).type_as(x) + x.cpu(),
    [apart(3)],
    order=1,
    single="any",
)


def facts(t, x):
    """What both libraries say, as numbers; of memory, that it is somewhere."""
    x = x.contiguous()
    y = x[1:, ::2]
    return t.tensor([
        x.dim(), x.ndimension(), x.size(0), *x.size(), x.numel(), x.nelement(), *y.stride(),
        y.stride(0), y.storage_offset(), y.is_contiguous(), x.is_contiguous(),
        x.is_floating_point(), t.is_floating_point(x), t.is_complex(x), x.is_complex(),
        x.is_signed(),
        t.is_tensor(x),
        t.is_tensor(3), x.is_pinned(), x.is_shared() and False, x.is_inference(),
        t.is_inference(x), x.is_conj(), t.is_conj(x), x.is_neg(), t.is_neg(x), x.get_device(),
        t.get_device(x), t.is_storage(x), t.is_storage(x.untyped_storage()), x.is_set_to(x),
        x.is_set_to(y), t.equal(x, x), t.equal(x, x + 1), x.equal(x), t.allclose(x, x + 1e-12),
        t.allclose(x, x + 1e-3), x.allclose(x * 2), x.data_ptr() != 0, x.const_data_ptr() != 0,
        x.data_ptr() == x.t().data_ptr(), *x.dim_order(), *x.shape, len(x.tolist()),
        x[0, 0].item() == x.tolist()[0][0], x.element_size() > 0,
        t.typename(x) in ("torch.DoubleTensor", "torch.FloatTensor"),
    ])  # fmt: skip


row("elementwise.mul", facts, [normal(3, 4)], single="any")
row(
    "elementwise.mul",
    lambda t, x: x.numpy().shape and t.tensor(x.detach().numpy() * 2),
    [ints(0, 9, 3)],
)
row(
    "elementwise.mul",
    lambda t, x, y: (x.contiguous().view_as(y) * y, x.reshape_as(y), x.expand_as(x) * 2),
    [normal(3, 2), normal(2, 3)],
    order=1,
)
row("elementwise.mul", lambda t, x: (x.ravel(), x.fliplr(), x.flipud()), [normal(3, 2)], order=1)


def resized(t, x):
    x = x.contiguous()
    y = x.detach().clone()
    y.resize_(2, 2)
    z = x.detach().clone().resize_as_(t.ones(3))
    w = t.empty(0, dtype=x.dtype).set_(x.detach())
    return y * 1, z * 1, w * 1


row("elementwise.mul", resized, [normal(3, 4)])


def shaped_in_place(t, x):
    y = x * 1
    return y.unsqueeze_(0).squeeze_(0).t_().swapaxes_(0, 1).swapdims_(0, 1).transpose_(0, 1)


row("shape.swap", shaped_in_place, [normal(3, 4)], order=1)
row("elementwise.mul", lambda t, x: (x * 1).zero_() + x, [normal(3)], order=1)
row("elementwise.mul", lambda t, x: (x * 2).detach_() + 1, [normal(3)])
row("elementwise.mul", lambda t, x: x.detach().clone().apply_(lambda v: v * 2), [normal(3)])
row(
    "elementwise.mul",
    lambda t, x, y: x.detach().clone().map_(y.detach(), lambda a, b: a - b),
    [normal(3), normal(3)],
)


def hooked(t, x):
    """Gradients as hooks change and note them."""
    noted = []
    x = x.detach().clone().requires_grad_()
    with t.enable_grad():
        y = x * 2
        y.retain_grad()
        y.register_hook(lambda g: g * 3)
        x.register_post_accumulate_grad_hook(lambda p: noted.append(p.grad * 1))
        y.sum().backward()
    return x.grad, y.grad, noted[0]


row("elementwise.mul", hooked, [normal(3)])

# ---- creation ---------------------------------------------------------------------------------

for run in (
    lambda t: t.zeros(2, 3), lambda t: t.ones((2,), dtype=t.int32), lambda t: t.full((2, 2), 7),
    lambda t: t.full((2,), 1.5), lambda t: t.full((2,), True), lambda t: t.eye(3, 2),
    lambda t: t.arange(5), lambda t: t.arange(1, 2, 0.25), lambda t: t.arange(5.0, 0, -2),
    lambda t: t.linspace(0, 1, 5), lambda t: t.logspace(0, 2, 3, base=2.0),
    lambda t: t.range(1, 3, 0.5), lambda t: t.tensor([[1, 2], [3, 4.5]]), lambda t: t.tensor(True),
    lambda t: t.scalar_tensor(3.5), lambda t: t.as_tensor([1, 2]), lambda t: t.asarray([1.5]),
    lambda t: t.tril_indices(3, 4, -1), lambda t: t.triu_indices(3, 4),
    lambda t: t.frombuffer(bytearray(b"\1\0\2\0"), dtype=t.int16),
    lambda t: t.tensor([*t.empty(2, 3).shape, *t.empty_strided((2, 3), (1, 2)).stride(),
                        *t.empty_permuted((2, 3), (1, 0)).stride()]),
    lambda t: t.from_dlpack(t.arange(3)), lambda t: t.from_numpy(np.arange(3.0)),
    lambda t: t.tensor([t.result_type(t.ones(2), 1) == t.float32,
                        t.result_type(t.ones(2, dtype=t.int32), 1.5) == t.float32]),
):  # fmt: skip
    row("elementwise.mul", run, [], name="creation")
for run in (
    lambda t, x: t.zeros_like(x), lambda t, x: t.ones_like(x), lambda t, x: t.full_like(x, 3),
    lambda t, x: x.new_zeros(2), lambda t, x: x.new_ones(2, 2), lambda t, x: x.new_full((2,), 5),
    lambda t, x: x.new_tensor([1, 2]), lambda t, x: x.new_empty(3).zero_(),
    lambda t, x: x.new_empty_strided((2, 2), (2, 1)).zero_(), lambda t, x: t.empty_like(x).zero_(),
    lambda t, x: t.zeros_like(x, dtype=t.int64),
):  # fmt: skip
    row("elementwise.mul", run, [normal(2, 3)], single="any", name="creation-like")

row(
    "elementwise.fill",
    lambda t, x, v: (t.fill(x, 2.5), t.fill(x, v), t.fill(x.long(), 2.7), t.fill(x[0, 0], 1)),
    [normal(2, 3), normal()],
    order=1,
    bad=[
        (lambda t: t.fill(t.ones(2), t.ones(2)), RuntimeError),
        (lambda t: t.fill([1], 2), TypeError),
    ],
)
