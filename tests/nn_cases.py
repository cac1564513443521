"""Rows of the table (see op_cases.py) for convolution, pooling, norms, activations and losses."""

import math

import numpy as np
from op_cases import Case, apart, between, given, ints, normal

import fastdl

CASES: list[Case] = []


def row(primitives, run, inputs, **options):
    CASES.append(Case(primitives, run, inputs, **options))


def F(t):
    """The functions of either library."""
    return t.nn.functional


def pullback(function):
    """(v, x) -> the gradient of sum(v * function(x)) in x at a fixed x: linear in v, so that its
    own derivatives show what a gradient's gradient runs."""

    def run(t, v, x):
        with t.enable_grad():  # finite differences are taken without
            x = x.detach().clone().requires_grad_()
            return t.autograd.grad((v * function(t, x)).sum(), x, create_graph=True)[0]

    return run


def fixed(spec):
    """The same numbers, of which no gradient is wanted."""
    return given(spec.make(np.random.default_rng(1)), grad=False)


def relu_of(x):
    return np.maximum(x, 0)


def softmax_of(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# fmt: off
# ---- activations ------------------------------------------------------------------------------

MORE = [[apart(0, 3)], [apart()]]
row("activation.relu activation.relu_backward", lambda t, x: t.relu(x) * x, [apart(3, 4)],
    numpy=lambda x: relu_of(x) * x, more=MORE)
row("activation.relu", lambda t, x: F(t).relu((x * 2), inplace=True), [apart(3, 4)],
    numpy=lambda x: relu_of(2 * x), more=MORE)
row("activation._leaky_relu activation.leaky_relu_backward",
    lambda t, x: F(t).leaky_relu(x, 0.2) * x, [apart(3, 4)], more=MORE,
    numpy=lambda x: np.where(x > 0, x, 0.2 * x) * x)
row("activation._leaky_relu", lambda t, x: F(t).leaky_relu(x * 1, -0.2, inplace=False),
    [apart(3, 4)])
row("activation._elu activation.elu_backward",
    lambda t, x: F(t).elu(x, 1.5), [apart(3, 4)], more=MORE,
    numpy=lambda x: np.where(x > 0, x, 1.5 * np.expm1(np.minimum(x, 0))))
row("activation._elu", lambda t, x: F(t).elu(x * 1, inplace=True), [apart(3, 4)])
row("activation.silu activation.silu_backward", lambda t, x: F(t).silu(x), [normal(3, 4)],
    numpy=lambda x: x / (1 + np.exp(-x)), more=[[normal(0, 3)], [normal()]])
row("activation._softplus activation.softplus_backward",
    lambda t, x: F(t).softplus(x, 2.0, 1.5), [normal(3, 4)],
    numpy=lambda x: np.where(2 * x > 1.5, x, np.log1p(np.exp(2 * x)) / 2),
    more=[[normal(0, 3)], [normal()], [given([-800.0, 800.0])]])
row("activation._softplus", lambda t, x: F(t).logsigmoid(x), [normal(3, 4)],
    numpy=lambda x: -np.logaddexp(0.0, -x), more=[[given([-800.0, 800.0])]])
row("activation._gelu activation.gelu_backward", lambda t, x: F(t).gelu(x), [normal(3, 4)],
    more=[[normal(0, 3)], [normal()], [given([-30.0, 30.0])]])
row("activation._gelu_tanh activation.gelu_tanh_backward",
    lambda t, x: F(t).gelu(x, approximate="tanh"), [normal(3, 4)],
    more=[[normal(0, 3)], [normal()], [given([-30.0, 30.0])]])
row("activation._softmax activation.softmax_backward", lambda t, x: t.softmax(x, -1) * x,
    [normal(3, 4)], numpy=lambda x: softmax_of(x) * x, more=[[normal(0, 3)], [normal()]],
    bad=[(lambda t: t.softmax(t.ones(3), 1), IndexError)])
row("activation._softmax", lambda t, x: x.softmax(1), [normal(2, 3, 2)])
row("activation._softmax", lambda t, x: t.softmax(x, 0), [given([[1000.0, -1000.0], [0.0, 0.0]])])
row("activation._log_softmax activation.log_softmax_backward",
    lambda t, x: t.log_softmax(x, -1) * x, [normal(3, 4)],
    numpy=lambda x: np.log(softmax_of(x)) * x, more=[[normal(0, 3)], [normal()]])
row("activation._log_softmax", lambda t, x: F(t).log_softmax(x, dim=0), [normal(3, 2)])

row("activation._elu", lambda t, x: F(t).selu(x), [apart(3, 4)], more=MORE)
row("activation._elu", lambda t, x: t.selu(x) * t.celu(x, 1.5), [apart(3, 4)], more=MORE)
row("activation._elu", lambda t, x: F(t).celu(x, 1.5) * F(t).celu(x, -0.5), [apart(3, 4)],
    more=MORE, bad=[(lambda t: F(t).celu(t.ones(2), 0), RuntimeError)])
WIDE = [[normal(0, 3)], [normal()], [given([-800.0, 800.0])]]
row("activation.mish activation.mish_backward", lambda t, x: F(t).mish(x), [normal(3, 4)],
    numpy=lambda x: x * np.tanh(np.logaddexp(x, 0)), more=WIDE)
row("elementwise.div_arrays", lambda t, x: F(t).softsign(x), [normal(3, 4)],
    numpy=lambda x: x / (1 + np.abs(x)), more=[[normal(0, 3)], [normal()]])
row("elementwise.tanh", lambda t, x: F(t).tanhshrink(x), [normal(3, 4)],
    numpy=lambda x: x - np.tanh(x), more=WIDE)
row("elementwise.sigmoid", lambda t, x: F(t).glu(x) * F(t).glu(x, dim=0).sum(), [normal(2, 6)],
    more=[[normal(4, 3, 2)]],
    bad=[(lambda t: F(t).glu(t.ones(3)), RuntimeError),
         (lambda t: F(t).glu(t.ones(2), 1), IndexError),
         (lambda t: F(t).glu(t.tensor(1.0)), RuntimeError)])
row("activation._softmax", lambda t, x: F(t).softmin(x, 1), [normal(2, 3)],
    more=[[normal(2, 3, 2)]])
CORNERS = [[apart(0, 3)], [apart()], [given([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0])]]
row("piecewise._hardtanh piecewise.hardtanh_backward", lambda t, x: F(t).hardtanh(x, -0.5, 1.5) * x,
    [apart(3, 4)], numpy=lambda x: np.clip(x, -0.5, 1.5) * x, more=CORNERS,
    bad=[(lambda t: F(t).hardtanh(t.ones(2) > 0), RuntimeError)])
row("piecewise._hardtanh", lambda t, x: F(t).relu6(x * 4), [apart(3, 4)], more=CORNERS)
row("piecewise._hardtanh", lambda t, x: F(t).relu6(x), [ints(-9, 9, 5)], order=0)
# PyTorch's own slope in float64 is 1/6 rounded to float32.
row("piecewise._hardsigmoid piecewise.hardsigmoid_backward", lambda t, x: F(t).hardsigmoid(x) * x,
    [apart(3, 4)], numpy=lambda x: np.clip(x + 3, 0, 6) / 6 * x, more=CORNERS,
    torch=lambda t, x: (F(t).hardtanh(x, -3.0, 3.0) + 3) / 6 * x)
row("piecewise._hardswish piecewise.hardswish_backward", lambda t, x: F(t).hardswish(x),
    [apart(3, 4)], numpy=lambda x: np.clip(x + 3, 0, 6) / 6 * x, more=CORNERS,
    bad=[(lambda t: F(t).hardswish(t.ones(2).long()), NotImplementedError)])
row("piecewise._softshrink piecewise.shrink_backward", lambda t, x: F(t).softshrink(x, 0.7) * x,
    [apart(3, 4)], more=CORNERS, bad=[(lambda t: F(t).softshrink(t.ones(2), -1), RuntimeError)])
row("piecewise._hardshrink piecewise.shrink_backward",
    lambda t, x: t.hardshrink(x, 0.3) * x.hardshrink(), [apart(3, 4)], more=CORNERS)
row("piecewise._prelu piecewise.prelu_backward", lambda t, x, w: t.prelu(x, w) * x.prelu(w),
    [apart(3, 4), normal(4)])
row("piecewise._hardshrink piecewise.shrink_backward", lambda t, x: F(t).hardshrink(x) * x,
    [apart(3, 4)], more=CORNERS)
row("piecewise._prelu piecewise.prelu_backward", lambda t, x, w: F(t).prelu(x, w),
    [apart(2, 3, 2), normal(3)],
    more=[[apart(4), normal(1)], [apart(2, 3), normal(3)], [apart(), normal(1)],
          [apart(0, 3), normal(3)], [apart(2, 2), normal()]],
    bad=[(lambda t: F(t).prelu(t.ones(2, 4), t.ones(3)), RuntimeError),
         (lambda t: F(t).prelu(t.ones(2, 4), t.ones(2, 2)), RuntimeError),
         (lambda t: F(t).prelu(t.ones(2), t.ones(1).double()), RuntimeError)])
row("activation._leaky_relu", lambda t, x: F(t).rrelu(x, 0.1, 0.3), [apart(3, 4)], more=MORE,
    bad=[(lambda t: F(t).rrelu(t.ones(2), 0.3, 0.1), RuntimeError)])
for name in ("celu_", "elu_", "hardtanh_", "leaky_relu_", "rrelu_", "selu_"):
    row("elementwise.mul", lambda t, x, name=name: getattr(F(t), name)(x * 2), [apart(3, 4)],
        name=f"in-place-{name}")

# ---- linear and convolution -------------------------------------------------------------------

row("linear.affine_map linear.affine_map_grad_input linear.affine_map_grad_weight conv.channel_sum",
    lambda t, x, w, b: F(t).linear(x, w, b), [normal(2, 3), normal(4, 3), normal(4)],
    numpy=lambda x, w, b: x @ w.T + b,
    more=[[normal(3), normal(4, 3), normal(4)], [normal(2, 2, 3), normal(4, 3), normal(4)],
          [normal(0, 3), normal(4, 3), normal(4)], [normal(2, 0), normal(4, 0), normal(4)],
          [normal(2, 3), normal(4, 3), normal(1)]])
row(
    "linear.affine_map",
    lambda t, x, w: F(t).linear(x, w),
    [normal(2, 2, 3), normal(4, 3)],
)
row("linear.affine_map", lambda t, x, w: F(t).linear(x, w), [normal(2, 3), normal(3)])


def activated(activation):
    """The fused operation here, the layer and the activation in PyTorch."""

    def run(t, x, w, *bias):
        if t.__name__ == "fastdl":
            from fastdl.ops.linear import activated_linear

            return activated_linear(x, w, bias[0] if bias else None, activation)
        y = t.nn.functional.linear(x, w, *bias)
        if activation == "relu":
            return t.relu(y)
        approximate = "tanh" if activation == "gelu_tanh" else "none"
        return t.nn.functional.gelu(y, approximate=approximate)

    return run


LAYER = [normal(5, 3), normal(4, 3), normal(4)]
row("linear.relu_of_affine", activated("relu"), LAYER,
    more=[[normal(2, 3, 3), normal(4, 3)], [normal(0, 3), normal(4, 3)], [normal(3), normal(4, 3)]],
    bad=[(lambda t: activated("relu")(t, t.ones(2, 3), t.ones(4, 2)), RuntimeError)])
row("linear.gelu_of_affine", activated("gelu"), LAYER, more=[[normal(2, 3, 3), normal(4, 3)]])
row("linear.gelu_of_affine", activated("gelu_tanh"), LAYER)

# ---- attention --------------------------------------------------------------------------------


def attend(t, q, k, v, *args, **options):
    return F(t).scaled_dot_product_attention(q, k, v, *args, **options)


def attend_slopes(t, g, q, k, v, **options):
    """The gradients of q, k and v: their own gradients are what a gradient's gradient runs."""
    with t.enable_grad():
        q, k, v = (x if x.requires_grad else x.detach().requires_grad_() for x in (q, k, v))
        y = attend(t, q, k, v, **options)
        return t.autograd.grad(y, (q, k, v), g, create_graph=True)


ATTENTION = "attention.attention attention.attention_backward"
QKV = [normal(2, 2, 3, 4), normal(2, 2, 5, 4), normal(2, 2, 5, 3)]
# E != Ev: there PyTorch has second derivatives
SHARED = [normal(1, 4, 3, 2), normal(1, 2, 3, 2), normal(1, 2, 3, 3)]
SOME = given(np.arange(15).reshape(3, 5) % 4 != 1, grad=False)
row(ATTENTION, attend, QKV, bad=[
    (lambda t: attend(t, t.ones(3, 4), t.ones(3, 5), t.ones(3, 4)), RuntimeError),
    (lambda t: attend(t, t.ones(3, 4), t.ones(5, 4), t.ones(4, 4)), RuntimeError),
    (lambda t: attend(t, t.ones(4), t.ones(5, 4), t.ones(5, 4)), RuntimeError),
    (lambda t: attend(t, t.ones(3, 4), t.ones(5, 4).double(), t.ones(5, 4)), RuntimeError),
    (lambda t: attend(t, t.ones(3, 4).long(), t.ones(5, 4).long(), t.ones(5, 4).long()),
     RuntimeError),
    (lambda t: attend(t, t.ones(3, 4), t.ones(5, 4), t.ones(5, 4), t.ones(3, 5).long()),
     RuntimeError),
    (lambda t: attend(t, t.ones(3, 4), t.ones(5, 4), t.ones(5, 4), t.ones(3, 4)), RuntimeError),
    (lambda t: attend(t, t.ones(3, 4), t.ones(5, 4), t.ones(5, 4), dropout_p=1.5), RuntimeError),
    (lambda t: attend(t, t.ones(2, 3, 4), t.ones(3, 5, 4), t.ones(3, 5, 4)), RuntimeError),
    (lambda t: attend(t, t.ones(1, 6, 3, 4), t.ones(1, 4, 5, 4), t.ones(1, 4, 5, 4),
                      enable_gqa=True), RuntimeError),
    (lambda t: attend(t, t.ones(1, 6, 3, 4), t.ones(1, 3, 5, 4), t.ones(1, 3, 5, 4)),
     RuntimeError),
    (lambda t: attend(t, 1, t.ones(5, 4), t.ones(5, 4)), TypeError),
])
row(ATTENTION, lambda t, q, k, v: attend(t, q, k, v, is_causal=True, scale=0.7), QKV,
    name="causal attention", more=[
        [normal(1, 2, 5, 4), normal(1, 2, 3, 4), normal(1, 2, 3, 3)],
        [normal(0, 2, 5, 4), normal(0, 2, 3, 4), normal(0, 2, 3, 3)],
        [normal(2, 0, 4), normal(2, 3, 4), normal(2, 3, 5)],
        [normal(2, 3, 4), normal(2, 3, 4), normal(2, 3, 0)],
        [normal(3, 0), normal(4, 0), normal(4, 2)]])
row(ATTENTION, lambda t, q, k, v, m: attend(t, q, k, v, attn_mask=m), [*QKV, SOME],
    name="attention with a boolean mask", more=[
        [*QKV, given(np.zeros((2, 1, 3, 5), bool), grad=False)],
        [*QKV, given(np.arange(10).reshape(2, 1, 1, 5) % 3 != 1, grad=False)],
        [normal(3, 4), normal(5, 4), normal(5, 4), SOME],
        [normal(2, 1, 2, 3, 4), normal(1, 5, 4), normal(3, 2, 5, 4), SOME],
        [normal(2, 2, 2, 3, 4), normal(2, 5, 4), normal(5, 4),
         given(np.arange(60).reshape(2, 2, 3, 5) % 7 != 1, grad=False)]])
row(ATTENTION, lambda t, q, k, v, m: attend(t, q, k, v, m), [*QKV, fixed(normal(2, 3, 5))],
    name="attention with an added mask",
    more=[[*QKV, given(np.where(np.arange(15).reshape(3, 5) < 8, -np.inf, 1.5), grad=False)]])
row("linalg.matmul activation._softmax", lambda t, q, k, v, m: attend(t, q, k, v, m),
    [*QKV, normal(2, 1, 3, 5)],
    name="attention with a learned mask")
row("attention.brief_attention", lambda t, *xs: attend(t, *(x.detach() for x in xs)),
    [normal(2, 2, 1, 32), normal(2, 2, 33, 32), normal(2, 2, 33, 3)],
    name="attention of one query", order=0, more=[
        [normal(4, 32), normal(150, 32), normal(150, 40)],
        [normal(1, 2, 3, 2, 64), normal(1, 2, 3, 20, 64), normal(1, 2, 3, 20, 1)],
    ])
row("attention.brief_attention",
    lambda t, *xs: attend(t, *(x.detach() for x in xs), enable_gqa=True, scale=0.3),
    [normal(2, 6, 2, 32), normal(2, 2, 33, 32), normal(2, 2, 33, 3)],
    name="attention of two queries with shared heads", order=0,
    more=[[normal(0, 2, 32), normal(1, 150, 32), normal(1, 150, 32)]])
row(ATTENTION, lambda t, q, k, v: attend(t, q, k, v, is_causal=True, enable_gqa=True), SHARED,
    name="attention with shared heads",
    more=[[normal(4, 3, 2), normal(2, 3, 2), normal(1, 3, 2)]])
row(ATTENTION, lambda t, *xs: attend_slopes(t, *xs, is_causal=True), [normal(2, 2, 3, 3), *QKV],
    name="gradients of attention")
row(ATTENTION, lambda t, *xs: attend_slopes(t, *xs, enable_gqa=True), [normal(1, 4, 3, 3), *SHARED],
    name="gradients of attention with shared heads")

GEOMETRIES = [
    ((2, 2, 4, 4), (3, 2, 3, 3), {}),
    ((1, 2, 5, 4), (2, 2, 3, 2), {"stride": 2, "padding": 1}),
    ((1, 4, 4, 5), (4, 2, 2, 3), {"groups": 2, "stride": (1, 2), "padding": (1, 0)}),
    ((1, 1, 5, 5), (2, 1, 2, 2), {"dilation": 2, "padding": "same"}),
    ((1, 3, 3, 3), (3, 1, 2, 2), {"groups": 3}),
    ((3, 2, 3, 2), (4, 2, 3, 2), {"stride": 2}),
]
for x, w, options in GEOMETRIES:
    row("conv.convolution conv.convolution_grad_input "
        "conv.convolution_grad_weight conv.channel_sum",
        lambda t, x, w, b, options=options: F(t).conv2d(x, w, b, **options),
        [normal(*x), normal(*w), normal(w[0])], exact=256)
row("conv.convolution", lambda t, x, w: F(t).conv2d(x, w, stride=(2, 1)),
    [normal(2, 3, 4), normal(2, 2, 2, 2)], more=[[normal(0, 2, 3, 4), normal(2, 2, 2, 2)]])

for x, w, options in [
    ((2, 2, 6), (3, 2, 3), {"stride": 2, "padding": 1}),
    ((1, 4, 7), (4, 2, 2), {"groups": 2, "dilation": 2, "padding": "same"}),
]:
    row("conv.convolution conv.convolution_grad_input "
        "conv.convolution_grad_weight conv.channel_sum",
        lambda t, x, w, b, options=options: F(t).conv1d(x, w, b, **options),
        [normal(*x), normal(*w), normal(w[0])], exact=256)
for x, w, options in [
    ((1, 2, 4, 3, 3), (2, 2, 2, 2, 3), {"padding": 1, "stride": (2, 1, 2)}),
    ((1, 2, 5, 2, 3), (2, 1, 2, 2, 2), {"groups": 2, "dilation": (3, 1, 1), "padding": (3, 0, 1)}),
]:
    row("conv.convolution3d conv.convolution3d_grad_input "
        "conv.convolution3d_grad_weight conv.channel_sum",
        lambda t, x, w, b, options=options: F(t).conv3d(x, w, b, **options),
        [normal(*x), normal(*w), normal(w[0])], exact=256)
for dims, x, w, options in [
    (1, (2, 2, 4), (2, 3, 3), {"stride": 2, "output_padding": 1}),
    (2, (1, 2, 3, 2), (2, 2, 3, 2), {"stride": (2, 1), "padding": 1}),
    (2, (1, 4, 2, 2), (4, 1, 2, 2), {"groups": 2, "dilation": 2, "output_padding": (1, 0)}),
    (2, (3, 4, 1, 1), (4, 2, 3, 2), {"stride": 2}),
    (3, (2, 3, 1, 1, 1), (3, 2, 2, 3, 2), {}),
    (3, (1, 2, 2, 2, 2), (2, 1, 2, 3, 2), {"stride": 2, "padding": (0, 1, 1), "groups": 2}),
]:
    names = ["conv.convolution", "conv.convolution_grad_input", "conv.convolution_grad_weight"]
    if dims == 3:
        names = [name.replace("convolution", "convolution3d") for name in names]
    k = w[1] * options.get("groups", 1)
    row(" ".join([*names, "conv.channel_sum"]),
        lambda t, x, w, b, dims=dims, options=options:
            getattr(F(t), f"conv_transpose{dims}d")(x, w, b, **options),
        [normal(*x), normal(*w), normal(k)], exact=256)

# ---- pooling ----------------------------------------------------------------------------------

WINDOWS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (2, 3), "stride": (2, 1), "ceil_mode": True},
]
for window in WINDOWS:
    pool = lambda t, x, window=window: F(t).max_pool2d(x, **window)
    row("pool.max_pool pool.max_pool_scatter", pool, [apart(1, 2, 5, 4)], more=[[apart(2, 5, 4)]])
    y = (1, 2, *{0: (2, 2), 1: (3, 2), 2: (3, 2)}[WINDOWS.index(window)])
    row("pool.max_pool_scatter pool.max_pool_gather", pullback(pool),
        [normal(*y), fixed(apart(1, 2, 5, 4))])
    row("pool.avg_pool pool.avg_pool_backward",
        lambda t, x, window=window: F(t).avg_pool2d(x, **window),
        [normal(1, 2, 5, 4)], more=[[normal(2, 5, 4)]])
row("pool.winners", lambda t, x: F(t).max_pool2d(x, 2, return_indices=True),
    [apart(1, 2, 5, 4)])
row("pool.avg_pool",
    lambda t, x: F(t).avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    + F(t).avg_pool2d(x, 3, 2, 1, divisor_override=7), [normal(1, 2, 5, 4)])
row("pool.avg_pool", lambda t, x: F(t).adaptive_avg_pool2d(x, 2), [normal(1, 2, 4, 6)])
for dims, shape, cells in [(1, (1, 2, 7), 3), (2, (1, 2, 5, 3), (2, None)), (2, (2, 3, 3), (4, 2)),
                           (3, (1, 1, 3, 4, 3), (2, 3, 2))]:
    row("pool.cell_mean pool.cell_mean_backward",
        lambda t, x, dims=dims, cells=cells:
            getattr(F(t), f"adaptive_avg_pool{dims}d")(x, cells), [normal(*shape)])
    pool = lambda t, x, dims=dims, cells=cells: (
        getattr(F(t), f"adaptive_max_pool{dims}d")(x, cells))
    row("pool.cell_max pool.scatter_positions", pool, [apart(*shape)])
    y = np.shape(pool(fastdl, fastdl.zeros(shape)))
    row("pool.scatter_positions pool.gather_positions", pullback(pool),
        [normal(*y), fixed(apart(*shape))])
    row("pool.cell_max", lambda t, x, dims=dims, cells=cells:
        getattr(F(t), f"adaptive_max_pool{dims}d")(x, cells, return_indices=True), [apart(*shape)])
for dims, shape, window in [
    (1, (1, 2, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
    (3, (1, 2, 4, 3, 5), {"kernel_size": (2, 2, 3), "stride": (1, 2, 2), "padding": (1, 0, 1)}),
]:
    row("pool.max_pool pool.max_pool_scatter",
        lambda t, x, dims=dims, window=window: getattr(F(t), f"max_pool{dims}d")(x, **window),
        [apart(*shape)], more=[[apart(*shape[1:])]])
    row("pool.winners", lambda t, x, dims=dims, window=window:
        getattr(F(t), f"max_pool{dims}d")(x, **window, return_indices=True), [apart(*shape)])
    row("pool.avg_pool pool.avg_pool_backward",
        lambda t, x, dims=dims, window=window: getattr(F(t), f"avg_pool{dims}d")(x, **window),
        [normal(*shape)], more=[[normal(*shape[1:])]])
    row("pool.avg_pool", lambda t, x, dims=dims, window=window:
        getattr(F(t), f"lp_pool{dims}d")(x, 3.0, window["kernel_size"], window["stride"]),
        [between(0.5, 2, *shape)])
row("pool.avg_pool", lambda t, x: F(t).avg_pool3d(x, 2, divisor_override=3),
    [normal(1, 2, 4, 2, 3)])
row("pool.avg_pool", lambda t, x: F(t).lp_pool2d(x, 2, 2, ceil_mode=True),
    [normal(1, 2, 3, 4)])
row("pool.scatter_positions pool.gather_positions",
    lambda t, x, at: F(t).max_unpool2d(x, at, 2, output_size=(4, 5)),
    [normal(1, 2, 2, 2), given([[[[0, 3], [10, 19]], [[1, 2], [3, 4]]]], False)],
    bad=[(lambda t: F(t).max_unpool2d(t.ones(1, 1, 1), t.full((1, 1, 1), 4), 2), RuntimeError),
         (lambda t: F(t).max_unpool2d(t.ones(1, 1, 1), t.full((1, 1, 1), -1), 2), RuntimeError),
         (lambda t: F(t).max_unpool1d(t.ones(1, 1), t.ones(1, 1), 2), RuntimeError)])

# ---- patches ----------------------------------------------------------------------------------

for shape, options in [
    ((2, 2, 4, 3), {"kernel_size": (2, 3), "padding": 1, "stride": (2, 1)}),
    ((1, 5, 5), {"kernel_size": 2, "dilation": (3, 2)}),
]:
    row("fold.patches fold.patch_sum", lambda t, x, options=options: F(t).unfold(x, **options),
        [normal(*shape)])
    columns = np.shape(F(fastdl).unfold(fastdl.zeros(shape), **options))
    row("fold.patch_sum fold.patches", lambda t, x, shape=shape, options=options:
        F(t).fold(x, shape[-2:], **options), [normal(*columns)])

# ---- norms ------------------------------------------------------------------------------------

BATCH = lambda t, x, w=None, b=None: F(t).batch_norm(x, None, None, w, b, training=True)
GROUPS = lambda t, x, w=None, b=None: F(t).group_norm(x, 2, w, b, 1e-2)
LAYER = lambda t, x, w=None, b=None: F(t).layer_norm(x, (3,), w, b, 1e-2)
RMS = lambda t, x, w=None: F(t).rms_norm(x, (3,), w, 1e-2)
CHANNELS = "norm.normalize_channels norm.normalize_channels_backward"
ROWS = "norm.normalize_rows norm.normalize_rows_backward"
for name, norm, x, w, more in (
    (CHANNELS, BATCH, (3, 2), (2,), [(2, 3, 2, 2), (3,)]),
    (CHANNELS, BATCH, (2, 2, 3), (2,), []),
    (ROWS, LAYER, (2, 2, 3), (3,), [(0, 3), (3,)]),
    (ROWS, GROUPS, (2, 4, 3), (4,), [(2, 4), (4,)]),
):
    row(name, norm, [normal(*x), normal(*w), normal(*w)], exact=512,
        more=[[normal(*more[0]), normal(*more[1]), normal(*more[1])]] if more else [])
    row(name, norm, [normal(*x)], exact=512)
    row(name.split()[1],
        lambda t, v, x, w, norm=norm: pullback(lambda t, x: norm(t, x, w))(t, v, x),
        [normal(*x), fixed(normal(*x)), normal(*w)], exact=512)
row(ROWS, RMS, [normal(2, 2, 3), normal(3)], exact=512)
row(ROWS, RMS, [normal(2, 3)], exact=512)
row(ROWS, lambda t, x, w: F(t).layer_norm(x, (2, 3), w) * x, [normal(2, 2, 3), normal(2, 3)],
    exact=512, bad=[(lambda t: F(t).layer_norm(t.ones(2, 3), (2,)), RuntimeError),
                    (lambda t: F(t).group_norm(t.ones(2, 3), 2), RuntimeError)])
row(ROWS, lambda t, x, w, b: F(t).instance_norm(x, weight=w, bias=b),
    [normal(2, 2, 3), normal(2), normal(2)], exact=512)
row("join.pad_with", lambda t, x: F(t).local_response_norm(x, 3, 0.5, 0.75, 2.0), [normal(2, 4, 3)],
    more=[[normal(2, 1, 3)]])
row("norm.normalize_by",
    lambda t, x, m, v, w, b: F(t).batch_norm(x, m, v, w, b, eps=1e-2) * 1,
    [normal(2, 3, 2), fixed(normal(3)), fixed(between(0.5, 2, 3)), normal(3), normal(3)])
row("norm.normalize_by",
    lambda t, x, m, v, w: F(t).batch_norm(x, m, v, w, eps=1e-2),
    [normal(2, 3, 2), normal(3), between(0.5, 2, 3), normal(3)],
    torch=lambda t, x, m, v, w: (x - m[:, None]) / (v[:, None] + 1e-2) ** 0.5 * w[:, None])
row("norm.normalize_by",
    lambda t, x, m, v: F(t).batch_norm(x, m, v, eps=1e-2) * x,
    [normal(2, 3), fixed(normal(3)), fixed(between(0.5, 2, 3))])

# ---- embeddings -------------------------------------------------------------------------------

LOOKED_UP = given([[0, 3, 3], [1, 3, 2]], False)
TABLE = "embedding.take_rows embedding.sum_rows"
row(TABLE, lambda t, w, i: F(t).embedding(i, w) ** 2, [normal(5, 3), LOOKED_UP],
    more=[[normal(5, 3), given([4, 4], False)], [normal(5, 3), given(2, False)]],
    bad=[(lambda t: F(t).embedding(t.tensor([0, 5]), t.ones(5, 3)), IndexError),
         (lambda t: F(t).embedding(t.tensor([-1]), t.ones(5, 3)), IndexError),
         (lambda t: F(t).embedding(t.tensor([0.5]), t.ones(5, 3)), RuntimeError)])
row(TABLE, lambda t, w, i: F(t).embedding(i, w, padding_idx=-2) ** 2, [normal(5, 3), LOOKED_UP],
    order=0)
row(TABLE, lambda t, w, i: F(t).embedding(i, w, scale_grad_by_freq=True), [normal(5, 3), LOOKED_UP],
    order=0)
row(TABLE, lambda t, w, i: F(t).embedding(i, (w * 2).detach() + w, max_norm=1.5, norm_type=1.0),
    [normal(5, 3), LOOKED_UP], order=0)
OFFSETS = given([0, 2, 2, 5], False)
for mode in ("sum", "mean", "max"):
    bag = lambda t, w, i, o=None, mode=mode, **options: (
        F(t).embedding_bag(i, w, o, mode=mode, **options))
    row(TABLE, bag, [normal(5, 3), LOOKED_UP], bad=[(lambda t, bag=bag: bag(
        t, t.ones(2, 2), t.tensor([0])), ValueError)])
    row(TABLE, bag, [normal(5, 3), given([4, 0, 3, 3, 1, 2], False), OFFSETS])
    row(TABLE, lambda t, w, i, o, bag=bag: bag(t, w, i, o, padding_idx=3, include_last_offset=True),
        [normal(5, 3), given([4, 0, 3, 3, 1, 3], False), given([0, 2, 4, 6], False)], order=1)
row(TABLE, lambda t, w, i, f: F(t).embedding_bag(i, w, mode="sum", per_sample_weights=f),
    [normal(5, 3), LOOKED_UP, normal(2, 3)])

# ---- losses -----------------------------------------------------------------------------------



def loss(name, options, inputs, **more):
    """A row of `nn.functional.NAME(*inputs, **options)`, its primitives the first option."""
    options = dict(options)
    row(options.pop("runs"), lambda t, *tensors: getattr(F(t), name)(*tensors, **options),
        inputs, **more)


def weighted_bits(t, x, y, w, **options):
    return F(t).binary_cross_entropy_with_logits(x, y, pos_weight=w, **options)


def of(primitive, reduced):
    """A pointwise loss, or its sum, and its gradient."""
    return f"{'loss.total' if reduced else primitive} {primitive}_backward"


BITS = between(0.2, 0.8, 3, 4)
for reduction in ("mean", "sum", "none"):
    options = {"reduction": reduction}
    loss("cross_entropy", {"runs": "loss.softmax_cross_entropy", "ignore_index": 1, **options},
        [normal(4, 3), given([0, 2, 1, 2], False)],
        more=[[normal(2, 3, 2), ints(0, 3, 2, 2)], [normal(3), given(2, False)]])
    row("linear.affine_map loss.softmax_cross_entropy",
        lambda t, x, w, y, options=options: F(t).linear_cross_entropy(x, w, y, **options),
        [normal(4, 3), normal(5, 3), given([0, 2, 1, 4], False)],
        more=[[normal(3), normal(5, 3), given(2, False)],
              [normal(2, 3), normal(5, 4, 3), ints(0, 5, 2, 4)]],
        bad=[
            (lambda t: F(t).linear_cross_entropy(
                t.ones(4, 3), t.ones(5, 2), t.zeros(4, dtype=t.int64)), RuntimeError),
            (lambda t: F(t).linear_cross_entropy(
                t.ones(4, 3), t.ones(5, 3), t.zeros(4, dtype=t.int64), linear_bias=t.zeros(3)),
             RuntimeError),
            (lambda t: F(t).linear_cross_entropy(
                t.ones(4, 3), t.ones(5, 3), t.ones(4, 5), ignore_index=1), RuntimeError)])
    row("loss.nll loss.nll_backward",
        lambda t, x, y, w, options=options: F(t).nll_loss(
            x * x, y, w, ignore_index=1, **options),
        [normal(4, 3), given([0, 2, 1, 2], False), fixed(between(0.5, 2, 3))],
        more=[[normal(2, 3, 5), ints(0, 3, 2, 5), fixed(between(0.5, 2, 3))]])
    row("loss.softmax_cross_entropy",
        lambda t, x, y, w, options=options: F(t).cross_entropy(
            x, y, w, ignore_index=1, label_smoothing=0.2, **options),
        [normal(4, 3), given([0, 2, 1, 2], False), fixed(between(0.5, 2, 3))],
        more=[[normal(2, 3, 2, 2), ints(0, 3, 2, 2, 2), fixed(between(0.5, 2, 3))]])
    row("loss.soft_cross_entropy",
        lambda t, x, y, w, options=options: F(t).cross_entropy(
            x, y, w, label_smoothing=0.2, **options),
        [normal(4, 3), between(0, 1, 4, 3), fixed(between(0.5, 2, 3))],
        more=[[normal(2, 3, 2, 2), between(0, 1, 2, 3, 2, 2), fixed(between(0.5, 2, 3))],
              [normal(3), between(0, 1, 3), fixed(between(0.5, 2, 3))]])
    loss("cross_entropy", {"runs": "loss.soft_cross_entropy", **options},
        [normal(4, 3), between(0, 1, 4, 3)])
    reduced = reduction != "none"
    loss("mse_loss",
        {"runs": of("loss.squared_error", reduced), **options},
        [normal(3, 4), normal(3, 4)], more=[[normal(), normal()], [normal(0), normal(0)]])
    loss("l1_loss",
        {"runs": of("loss.absolute_error", reduced), **options},
        [apart(3, 4), fixed(normal(3, 4))], more=[[normal(5), normal(5)]])
    loss("binary_cross_entropy",
        {"runs": of("loss.bit_cross_entropy", reduced), **options},
        [BITS, BITS], bad=[
            (lambda t, *_: F(t).binary_cross_entropy(t.tensor([0.5, 1.5]), t.ones(2)),
             RuntimeError),
            (lambda t, *_: F(t).binary_cross_entropy(t.tensor([-0.1, math.nan]), t.zeros(2)),
             RuntimeError)])
    loss("binary_cross_entropy_with_logits",
        {"runs": of("loss.logit_cross_entropy", reduced), **options},
        [apart(3, 4), BITS], more=[[given([800.0, -800.0]), given([0.5, 1.0])]])
    row("loss.weighted_logit_cross_entropy_slope "
        + ("loss.total" if reduced else "loss.weighted_logit_cross_entropy"),
        lambda t, x, y, w, options=options: weighted_bits(t, x, y, w, **options),
        [apart(3, 4), BITS, fixed(between(0.5, 3, 4))],
        more=[[given([800.0, -800.0]), given([0.5, 1.0]), fixed(between(0.5, 3, 1))]])
    row("loss.logit_cross_entropy loss.logit_cross_entropy_backward",
        lambda t, x, y, w, options=options: F(t).binary_cross_entropy_with_logits(
            x, y, w, **options),
        [apart(3, 4), BITS, fixed(between(0.5, 3, 4))])
    loss("smooth_l1_loss",
        {"runs": of("loss.huber", reduced), "beta": 0.7, **options},
        [apart(3, 4), normal(3, 4)])
    loss("huber_loss",
        {"runs": of("loss.huber", reduced), "delta": 0.7, **options},
        [apart(3, 4), normal(3, 4)])
    loss("kl_div", {"runs": "loss.total" if reduced else "loss.divergence", **options},
        [normal(3, 4), BITS], more=[[normal(2), given([0.0, 1.0], False)]])
    loss("kl_div", {"runs": "loss.total" if reduced else "loss.log_divergence", "log_target": True,
                    **options},
        [normal(3, 4), normal(3, 4)])


def loss_gradient(t, x, y, **options):
    with t.enable_grad():
        x = x if x.requires_grad else x.clone().requires_grad_()
        loss = F(t).cross_entropy(x, y, ignore_index=0, **options)
        return t.autograd.grad(loss, x, create_graph=True)[0]


def soft_gradient(t, x, y, **options):
    with t.enable_grad():
        x, y = (v if v.requires_grad else v.clone().requires_grad_() for v in (x, y))
        loss = F(t).cross_entropy(x, y, **options)
        return sum(t.autograd.grad(loss, [x, y], create_graph=True))


row("loss.softmax_cross_entropy", loss_gradient, [normal(3, 4), given([3, 0, 1], False)])
row("loss.softmax_cross_entropy",
    lambda t, x, y, w: loss_gradient(t, x, y, weight=w, label_smoothing=0.3),
    [normal(3, 4), given([3, 0, 1], False), fixed(between(0.5, 2, 4))])
row("loss.softmax_cross_entropy",
    lambda t, x, y: loss_gradient(t, x, y, label_smoothing=0.3, reduction="sum"),
    [normal(2, 4, 3), given([[3, 0, 1], [1, 2, 0]], False)])
row("loss.soft_cross_entropy",
    lambda t, x, y: soft_gradient(t, x, y, label_smoothing=0.3),
    [normal(3, 4), between(0, 1, 3, 4)], order=1)
row("loss.total", lambda t, x, y: F(t).kl_div(x, y, reduction="batchmean", log_target=True),
    [normal(3, 4), normal(3, 4)])

# fmt: on
# ---- dropout: the mask of a seed is the same in every dtype ------------------------------------


def seeded_dropout(t, x):
    t.manual_seed(3)
    return F(t).dropout(x, 0.4)


def masked(t, x):
    fastdl.manual_seed(3)
    mask = F(fastdl).dropout(fastdl.ones(3, 4, dtype=fastdl.float64), 0.4)
    return x * t.as_tensor(mask.numpy(), dtype=x.dtype)


row("dropout.drop", seeded_dropout, [normal(3, 4)], torch=masked)
# no spread: what is drawn is known; the gradient does not pass
row("random.drawn", lambda t, x: (x * 1).normal_(2.0, 0.0) * x, [normal(3, 4)])

# ---- modules ----------------------------------------------------------------------------------


def hooked(t, x):
    layer = t.nn.Tanh()
    layer.register_full_backward_hook(lambda module, into, out: tuple(g * 2 for g in into))
    return layer(x)


# A hook that changes gradients makes them differ from the differences: first order by PyTorch only.
row("hooks.boundary", hooked, [normal(3, 4)], order=0)

# ---- resizing and rearranging -----------------------------------------------------------------

for mode, shape in (
    ("nearest", (2, 2, 5)),
    ("linear", (2, 2, 5)),
    ("nearest-exact", (1, 2, 3, 5)),
    ("bilinear", (1, 2, 3, 5)),
    ("bicubic", (1, 2, 5, 3)),
    ("area", (1, 2, 3, 5)),
    ("trilinear", (1, 1, 2, 3, 2)),
    ("nearest", (1, 1, 2, 3, 2)),
):
    row(
        "pool.cell_mean" if mode == "area" else "resample.resample",
        lambda t, x, mode=mode: F(t).interpolate(x, scale_factor=1.7, mode=mode),
        [normal(*shape)],
        name=f"interpolate-{mode}-{len(shape) - 2}d",
    )
for options in (
    {"size": 3},
    {"size": (70, 2)},
    {"scale_factor": (0.6, 2.0)},
    {"scale_factor": 3},
    {"scale_factor": 1.7, "recompute_scale_factor": True},
):
    for mode, corners in (("bilinear", True), ("bilinear", False), ("bicubic", True)):
        row(
            "resample.resample",
            lambda t, x, options=options, mode=mode, corners=corners: F(t).interpolate(
                x, mode=mode, align_corners=corners, **options
            ),
            [normal(1, 2, 4, 5)],
            order=1,
        )
for mode in ("bilinear", "bicubic"):
    row(
        "resample.resample",
        lambda t, x, mode=mode: F(t).interpolate(x, size=(3, 4), mode=mode, antialias=True),
        [normal(1, 2, 7, 9)],
        more=[[normal(1, 2, 2, 9)]],
    )
row(
    "resample.resample",
    lambda t, x: (
        F(t).upsample_bilinear(x, scale_factor=2) + F(t).upsample(x, size=(4, 6), mode="bilinear")
    ),
    [normal(1, 1, 2, 3)],
)
row(
    "shape.reshape_to",
    lambda t, x: F(t).upsample_nearest(x, scale_factor=2),
    [normal(1, 2, 2, 3)],
    bad=[
        (lambda t: F(t).interpolate(t.ones(1, 1, 2, 2)), ValueError),
        (lambda t: F(t).interpolate(t.ones(1, 1, 2), 3, mode="bilinear"), NotImplementedError),
        (lambda t: F(t).interpolate(t.ones(1, 1, 2, 2), 2, 2), ValueError),
        (lambda t: F(t).interpolate(t.ones(1, 1, 2, 2), 0), RuntimeError),
        (lambda t: F(t).interpolate(t.ones(1, 1, 2, 2), (2, 2, 2)), ValueError),
        (lambda t: F(t).interpolate(t.ones(1, 1, 2, 2), 3, align_corners=True), ValueError),
        (
            lambda t: F(t).interpolate(t.ones(1, 1, 2, 2), 3, mode="area", antialias=True),
            ValueError,
        ),
    ],
)
row(
    "shape.permute_to",
    lambda t, x: F(t).pixel_shuffle(x, 2),
    [normal(2, 8, 2, 3)],
    more=[[normal(4, 1, 1)]],
    bad=[
        (lambda t: F(t).pixel_shuffle(t.ones(3, 2, 2), 2), RuntimeError),
        (lambda t: F(t).pixel_shuffle(t.ones(2, 2), 2), RuntimeError),
        (lambda t: F(t).pixel_shuffle(t.ones(4, 2, 2), 0), RuntimeError),
    ],
)
row(
    "shape.permute_to",
    lambda t, x: F(t).pixel_unshuffle(x, 2),
    [normal(2, 2, 4, 6)],
    bad=[
        (lambda t: F(t).pixel_unshuffle(t.ones(1, 3, 4), 2), RuntimeError),
        (lambda t: F(t).pixel_unshuffle(t.ones(4, 4), 2), RuntimeError),
    ],
)
row(
    "shape.swap",
    lambda t, x: F(t).channel_shuffle(x, 3),
    [normal(2, 6, 2)],
    bad=[
        (lambda t: F(t).channel_shuffle(t.ones(1, 4, 2), 3), RuntimeError),
        (lambda t: F(t).channel_shuffle(t.ones(4, 2), 2), RuntimeError),
    ],
)

# ---- sampling ---------------------------------------------------------------------------------

for corners in (True, False):
    row(
        "linalg.matmul",
        lambda t, x, corners=corners: F(t).affine_grid(x, (2, 1, 3, 4), corners),
        [normal(2, 2, 3)],
        name=f"affine_grid-{corners}",
    )
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            row(
                "scatter.gather_along",
                lambda t, x, g, mode=mode, padding=padding, corners=corners: F(t).grid_sample(
                    x, g, mode, padding, corners
                ),
                [normal(2, 2, 4, 3), between(-1.6, 1.6, 2, 3, 2, 2)],
                order=1,
                name=f"grid_sample-{mode}-{padding}-{corners}",
            )
row(
    "linalg.matmul",
    lambda t, x: F(t).affine_grid(x, [1, 2, 2, 3, 1], False),
    [normal(1, 3, 4)],
    bad=[
        (lambda t: F(t).affine_grid(t.ones(2, 2, 3), (1, 1, 2, 2), False), ValueError),
        (lambda t: F(t).affine_grid(t.ones(1, 2, 3), (1, 1, 0, 2), False), ValueError),
    ],
)
row(
    "scatter.gather_along",
    lambda t, x, g: F(t).grid_sample(x, g, align_corners=False),
    [normal(1, 2, 3, 2, 4), between(-1.2, 1.2, 1, 2, 2, 2, 3)],
    order=1,
    bad=[
        (lambda t: F(t).grid_sample(t.ones(1, 1, 2, 2), t.ones(1, 2, 2, 3)), RuntimeError),
        (lambda t: F(t).grid_sample(t.ones(1, 1, 2, 2), t.ones(2, 2, 2, 2)), RuntimeError),
        (lambda t: F(t).grid_sample(t.ones(1, 1, 2, 2), t.ones(1, 2, 2)), RuntimeError),
        (lambda t: F(t).grid_sample(t.ones(1, 1, 2, 2), t.ones(1, 2, 2, 2), "cubic"), ValueError),
        (
            lambda t: F(t).grid_sample(t.ones(1, 1, 2, 2), t.ones(1, 2, 2, 2), "nearest", "edge"),
            ValueError,
        ),
    ],
)
row(
    "linalg.matmul",
    lambda t, x, y, w, b: F(t).bilinear(x, y, w, b),
    [normal(5, 3), normal(5, 2), normal(4, 3, 2), normal(4)],
    more=[
        [normal(3), normal(2), normal(4, 3, 2), normal(4)],
        [normal(2, 2, 3), normal(2, 2, 2), normal(4, 3, 2), normal(4)],
    ],
    bad=[
        (lambda t: F(t).bilinear(t.ones(2, 3), t.ones(3, 2), t.ones(4, 3, 2)), RuntimeError),
        (lambda t: F(t).bilinear(t.ones(2, 3), t.ones(2, 3), t.ones(4, 3, 2)), RuntimeError),
    ],
)
