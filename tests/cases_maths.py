"""Rows of the case table (op_cases.py): elementwise functions, reductions, order and counting."""

import numpy as np
from op_cases import Spec, apart, between, binary, bools, given, ints, normal, row, unary

INTEGERS = [ints(-9, 9, 3, 4), ints(1, 9, 3, 4)]


# ---- elementwise: functions of one operand ----------------------------------------------------

unary("elementwise.asinh", normal, np.arcsinh)
unary("elementwise.acosh", lambda *s: between(1.2, 4, *s), np.arccosh)
unary("elementwise.atanh", lambda *s: between(-0.9, 0.9, *s), np.arctanh)
unary("elementwise.deg2rad", normal, np.deg2rad)
unary("elementwise.rad2deg", normal, np.rad2deg)
unary("elementwise.sinc", apart, np.sinc)
unary("elementwise.positive", normal, np.positive)
unary("elementwise.isposinf", normal, order=0)
unary("elementwise.isneginf", normal, order=0)
unary("elementwise.isreal", normal, order=0)
row("elementwise.sinc", lambda t, x: t.sinc(x), [given([0.0, 1.0, -2.0, 0.5])], order=0)
row(
    "elementwise.logit_arrays",
    lambda t, x: t.logit(x) + t.logit(x, 0.2) + x.logit(eps=0.05),
    [between(0.1, 0.9, 3, 4)],
    more=[[between(0.1, 0.9, 0, 3)], [between(0.1, 0.9)]],
    bad=[(lambda t: t.logit("x"), TypeError)],
)
row(
    "elementwise.frexp_arrays",
    lambda t, x: t.frexp(x)[0] + t.frexp(x * 3).mantissa,
    [normal(3, 4)],
    order=1,
    more=[[normal(0, 3)], [normal()]],
    bad=[(lambda t: t.frexp(t.tensor([1, 2])), RuntimeError)],
)
row("elementwise.frexp_arrays", lambda t, x: tuple(x.frexp()), [normal(5)], order=0)
row(
    "elementwise.finite_numbers",
    lambda t, x: t.nan_to_num(x) + x.nan_to_num(1.0, 2.0, -3.0),
    [normal(3, 4)],
    more=[[given([np.nan, np.inf, -np.inf, 1.0])], [normal()], [normal(0)]],
)
row(
    "elementwise.finite_numbers",
    lambda t, x: t.nan_to_num(x.half()) + t.nan_to_num(t.arange(4).reshape(2, 2).mT, 1.0),
    [given([[np.nan, np.inf], [-np.inf, 1.0]])],
    order=0,
    name="nan_to_num of halves and integers",
)
row(
    "elementwise.round",
    lambda t, x: t.round(x, decimals=1) + x.round(decimals=-1) + x,
    [normal(3, 4)],
    order=0,
)
row(
    "elementwise.select",
    lambda t, x: t.threshold(x, 0.3, -2.0) * x,
    [apart(3, 4)],
    more=[[apart(0)], [apart()]],
)

# ---- elementwise: functions of two operands ---------------------------------------------------

binary("elementwise.hypot", lambda t, x, y: t.hypot(x, y), apart, apart, np.hypot)
binary("elementwise.copysign", lambda t, x, y: t.copysign(x, y), apart, apart, np.copysign)
binary(
    "elementwise.xlogy",
    lambda t, x, y: t.xlogy(x, y),
    normal,
    lambda *s: between(0.5, 2, *s),
    lambda x, y: x * np.log(y),
)
binary(
    "elementwise.ldexp",
    lambda t, x, y: t.ldexp(x, y),
    normal,
    normal,
    lambda x, y: x * 2**y,
)
binary("elementwise.logaddexp2", lambda t, x, y: t.logaddexp2(x, y), normal, normal, np.logaddexp2)
binary("elementwise.fmax", lambda t, x, y: t.fmax(x, y), apart, apart, np.fmax)
binary("elementwise.fmin", lambda t, x, y: t.fmin(x, y), apart, apart, np.fmin)
binary(
    "elementwise.pow",
    lambda t, x, y: t.float_power(x, y),
    lambda *s: between(0.5, 2, *s),
    normal,
    lambda x, y: x**y,
    single="float64",
)
for mode in ("floor", "trunc"):
    binary(
        "elementwise.rounded_quotient",
        lambda t, x, y, mode=mode: t.div(x, y, rounding_mode=mode) + x * y,
        apart,
        apart,
        None,
    )
    row(
        "elementwise.rounded_quotient",
        lambda t, x, y, mode=mode: t.div(x, y, rounding_mode=mode),
        INTEGERS,
        order=0,
        bad=[
            (lambda t: t.div(t.tensor([1]), 0, rounding_mode="floor"), RuntimeError),
            (lambda t: t.div(t.ones(2), 2, rounding_mode="up"), RuntimeError),
        ],
    )
    row(
        "elementwise.rounded_quotient",
        lambda t, x, mode=mode: (x * 3).div_(0.4, rounding_mode=mode) + x,
        [apart(3)],
    )
row(
    "elementwise.nextafter",
    lambda t, x, y: t.nextafter(x.detach(), y.detach()),
    [normal(3), normal(3)],
    order=0,
)
row("elementwise.gcd", lambda t, x, y: t.gcd(x, y), INTEGERS, order=0)
row("elementwise.lcm", lambda t, x, y: t.lcm(x, y), INTEGERS, order=0)
row(
    "elementwise.heaviside",
    lambda t, x, y: t.heaviside(x, y),
    [given([-1.0, 0.0, 2.0, -0.0], grad=False), given([3.0, 4.0, 5.0, 6.0], grad=False)],
    order=0,
    bad=[(lambda t: t.heaviside(t.ones(2), t.ones(2).double()), RuntimeError)],
)
row(
    "elementwise.at_least elementwise.at_most",
    lambda t, x, a, b: t.clamp(x, a, b) + x.clamp(min=a) * t.clamp(x, max=b) + t.clamp_min(x, a),
    [normal(3, 4), between(-1, -0.5, 4), between(0.5, 1, 3, 1)],
    more=[[normal(0), normal(0), normal(1)], [normal(), normal(), normal()]],
)
row(
    "elementwise.at_least elementwise.at_most",
    lambda t, x, a: (x * 1).clamp_(min=a) + (x * 2).clamp_(a, a + 1) + (x * 3).clamp_max_(a),
    [apart(3, 4), normal(4)],
)
row(
    "elementwise.clamp_numbers",
    lambda t, x: t.clamp_min(x, 0.5) + t.clamp_max(x, 0.2) + (x * 1).clamp_(-0.1, 0.7),
    [apart(3, 4)],
)
row(
    "elementwise.close",
    lambda t, x, y: t.isclose(x, y, 0.5, 0.1) & x.isclose(x.clone(), equal_nan=True),
    [normal(3, 4), normal(4)],
    order=0,
    more=[[ints(0, 3, 5), ints(0, 3, 5)], [bools(5), bools(5)]],
    bad=[
        (lambda t: t.isclose(t.ones(2), t.ones(2).double()), RuntimeError),
        (lambda t: t.isclose(t.ones(2), t.ones(2), rtol=-1.0), RuntimeError),
    ],
)
row(
    "elementwise.eq",
    lambda t, x, y: (t.isin(x, y) ^ t.isin(y, 3) ^ t.isin(x, y[:2], invert=True)) == (x != 2),
    [ints(0, 5, 12), ints(0, 5, 12)],
    order=0,
)


def counted(name, run, inputs, **options):
    """A row for a function that has no gradient and is no primitive."""
    row("", run, inputs, order=0, name=name.replace(" ", "-"), **options)


# ---- reductions -------------------------------------------------------------------------------


def finite_and_not(rng):
    """Numbers of which some are NaN."""
    x = rng.standard_normal((3, 5))
    x[0, 1] = x[2, 4] = x[2, 0] = np.nan
    return x


with_nan = Spec(finite_and_not)
row(
    "reduce.std_over",
    lambda t, x: t.std(x, 0) + t.std(x) * x.std(dim=1, correction=0, keepdim=True),
    [normal(3, 4)],
)
row("reduce.std_over", lambda t, x: t.std_mean(x, dim=(0, 2), unbiased=False), [normal(2, 3, 4)])
row(  # no slope where all elements are the same
    "reduce.std_over", lambda t, x: t.std(x * 0 + 3, 1), [normal(2, 3)], order=0
)
row("shape.sum_over", lambda t, x: t.nansum(x, 1) * x.nansum() + t.nanmean(x), [with_nan], order=0)
row("shape.sum_over", lambda t, x: t.nansum(x, 0, True) * t.nanmean(x, (0, 1)), [normal(3, 4)])
row(
    "reduce.cummax_along reduce.cummin_along",
    lambda t, x: t.cummax(x, 0).values * x.cummin(-1).values,
    [apart(4, 5)],
    more=[[apart(1, 5)], [normal(0, 3)], [apart(6, 1)]],
    bad=[(lambda t: t.cummax(t.ones(2), 1), IndexError)],
)
row(
    "reduce.cummax_along reduce.cummin_along",
    lambda t, x: (*t.cummax(x, 1), *t.cummin(x, 0)),
    [given([[1.0, 3.0, 3.0, 2.0], [np.nan, 1.0, 1.0, 4.0], [3.0, 3.0, 3.0, 3.0]])],
    order=0,
)
row(
    "reduce.cummax_along reduce.cummin_along",
    lambda t, x: (*t.cummax(x, 0), *x.cummin(0)),
    [ints(0, 4, 7)],
    order=0,
)
row(
    "reduce.logcumsumexp_along reduce.fading_sum_along",
    lambda t, x: t.logcumsumexp(x, 0) * x.logcumsumexp(dim=-1),
    [normal(3, 4)],
    more=[[normal(5, 1)], [normal(0, 3)], [given([[8.0, -900.0, 9.0]])]],
    bad=[(lambda t: t.logcumsumexp(t.tensor([1, 2]), 0), (NotImplementedError, RuntimeError))],
)
row(
    "reduce.cumsum_along reduce.cumprod_along",
    lambda t, x: (x * 2).cumsum_(0) + (x + 1).cumprod_(1) + t.cumsum(x, 1, dtype=t.float64),
    [normal(3, 4)],
    single="float64",
)
row(
    "shape.slice_of",
    lambda t, x, y: (
        t.diff(x, n=2) * t.diff(x, dim=0, prepend=y).sum() + x.diff(append=x)[:, :3].sum()
    ),
    [normal(3, 5), normal(1, 5)],
    bad=[(lambda t: t.diff(t.tensor(1.0)), RuntimeError)],
)
row(
    "reduce.amax_over reduce.amin_over",
    lambda t, x: (
        t.amax(x, (0, 1)) * x.amin(1).sum() + sum(t.aminmax(x)) + sum(x.aminmax(dim=0)).sum()
    ),
    [given([[1.0, 3.0, 3.0], [3.0, -2.0, -2.0]])],
    order=0,
)
row(
    "reduce.max_along reduce.min_along",
    lambda t, x: t.max(x, 1).values * t.min(x, dim=-1, keepdim=True)[0].sum() + t.max(x) * x.min(),
    [given([[1.0, 3.0, 3.0], [3.0, -2.0, -2.0]])],
    order=0,
)
row(
    "reduce.prod_over",
    lambda t, x: t.prod(x, 0) * x.prod() + t.prod(x, 1, keepdim=True).sum(),
    [given([[1.0, 0.0, 3.0], [2.0, -2.0, 0.5]])],
)
row(
    "reduce.logsumexp_over",
    lambda t, x: (
        t.logsumexp(x, (0, 1)) + x.logsumexp(0, keepdim=True).sum() * t.logsumexp(x, -1)[0]
    ),
    [normal(3, 4)],
)
row(
    "shape.sum_over",
    lambda t, x, m: (
        t.all(m, 0) | t.any(m, 1)[0] | (t.count_nonzero(x, dim=0) > m.all((0, 1)).long())
    ),
    [normal(3, 3), bools(3, 3)],
    order=0,
)

# ---- order and counting -----------------------------------------------------------------------

row(
    "order.ordered",
    lambda t, x: (
        t.sort(x, 0).values * t.topk(x, 3, 0, largest=False)[0] + t.msort(x) * x.argsort(0)
    ),
    [apart(3, 4)],
)
row(
    "order.ordered order.middle_along scatter.gather_along",
    lambda t, x: t.kthvalue(x, 2, 0).values * x.median(0)[0] * t.nanmedian(x) * x.mode(0).values,
    [apart(3, 4)],
)
counted(
    "mode",
    lambda t, x: (*t.mode(x, 1), t.mode(x.flatten(), keepdim=True).values),
    [ints(0, 3, 4, 6)],
    bad=[(lambda t: t.mode(t.ones(0, 2), 0), IndexError)],
)
row(
    "order.middle_of_all",
    lambda t, x: t.median(x) * x.nanmedian() * x,
    [apart(3, 4)],
    more=[[normal(0)], [normal()], [given([1.0, 2.0, 2.0, 3.0])], [given([1.0, np.nan, 2.0])]],
)
counted(
    "median nanmedian",
    lambda t, x: t.stack([t.median(x), t.nanmedian(x), *t.nanmedian(x, 1)[0], *t.median(x, 1)[0]]),
    [with_nan],
)
for rule in ("linear", "lower", "higher", "midpoint", "nearest"):
    row(
        "scatter.gather_along",
        lambda t, x, rule=rule: (
            t.quantile(x, 0.3, 0, interpolation=rule)
            * x.nanquantile(t.tensor([0.1, 0.8]).to(x.dtype), 1, True, interpolation=rule)
        ),
        [apart(3, 4)],
        bad=[
            (lambda t: t.quantile(t.ones(3), -0.1), RuntimeError),
            (lambda t: t.quantile(t.ones(3).long(), 0.1), RuntimeError),
            (lambda t: t.quantile(t.ones(3), 0.1, interpolation="cubic"), RuntimeError),
        ],
    )
counted(
    "nanquantile",
    lambda t, x: t.nanquantile(x, 0.4, 1) + t.nanquantile(x, 0.9),
    [with_nan],
)
counted(
    "unique",
    lambda t, x: (*t.unique(x, return_counts=True), *x.unique(return_inverse=True, dim=1)),
    [ints(0, 2, 3, 6)],
)
counted(
    "unique_consecutive",
    lambda t, x: (*t.unique_consecutive(x, True, True), *x.unique_consecutive(True, dim=0)),
    [ints(0, 2, 5, 2)],
)
counted(
    "bincount",
    lambda t, x: (t.bincount(x), t.bincount(x, x.double() * 0.5, minlength=12)),
    [ints(0, 9, 20)],
    bad=[
        (lambda t: t.bincount(t.tensor([-1])), RuntimeError),
        (lambda t: t.bincount(t.tensor([1]), minlength=-1), RuntimeError),
    ],
)
counted(
    "searchsorted bucketize",
    lambda t, x, y: (
        t.searchsorted(t.sort(y).values, x, right=True),
        t.searchsorted(y, x[:, :2].contiguous(), sorter=t.argsort(y)),
        t.bucketize(x, t.sort(y[0])[0]),
    ),
    [normal(3, 4), normal(3, 6)],
    bad=[
        (lambda t: t.searchsorted(t.ones(2, 3), t.ones(3, 3)), RuntimeError),
        (lambda t: t.bucketize(t.ones(2), t.ones(2, 3)), RuntimeError),
    ],
)
counted(
    "histc histogram",
    lambda t, x, w: (
        t.histc(x.detach(), 6, -1, 1),
        *t.histogram(x.detach(), 5, weight=w.detach()),
        *t.histogram(x.detach(), t.tensor([-1.0, 0.0, 0.5]).to(x.dtype), density=True),
    ),
    [normal(20), between(0.5, 1, 20)],
)
counted(
    "histogramdd",
    lambda t, x: (lambda h: (h.hist, *h.bin_edges))(t.histogramdd(x.detach(), [2, 3])),
    [normal(20, 2)],
)

for order in (1, 2):
    row(
        "shape.slice_of",
        lambda t, x, order=order: (
            *t.gradient(x, edge_order=order),
            *t.gradient(x, spacing=0.5, dim=1, edge_order=order),
            *t.gradient(x, spacing=[2.0, 3.0], dim=(0, 1), edge_order=order),
            *t.gradient(
                x, spacing=(t.tensor([0.0, 1.0, 4.0, 6.0]).to(x.dtype),), dim=0, edge_order=order
            ),
        ),
        [normal(4, 3)],
        name=f"gradient-{order}",
        bad=[
            (lambda t: t.gradient(t.ones(1)), RuntimeError),
            (lambda t: t.gradient(t.ones(4), edge_order=3), RuntimeError),
            (lambda t: t.gradient(t.ones(4, 4), spacing=[1.0, 2.0, 3.0]), RuntimeError),
        ],
    )
