"""Rows of the table (see op_cases.py) for losses with margins, negative log-likelihoods and
fractional max pooling."""

import numpy as np
from op_cases import Case, Spec, apart, between, given, ints, normal

CASES: list[Case] = []


def row(primitives, run, inputs, **options):
    CASES.append(Case(primitives, run, inputs, **options))


def F(t):
    """The functions of either library."""
    return t.nn.functional


def signs(*shape):
    """1 and -1."""
    return Spec(lambda rng: rng.integers(0, 2, shape) * 2.0 - 1, grad=False)


def fixed(spec):
    """The same numbers, of which no gradient is wanted."""
    return Spec(spec.make, grad=False)


def loss(primitives, name, inputs, more=(), bad=(), order=2, variants=({},)):
    """Rows of `nn.functional.NAME` for every reduction and each of the further options."""
    for i, options in enumerate(variants):
        for reduction in ("mean", "sum", "none"):
            taken = {**options, "reduction": reduction}
            named = primitives if isinstance(primitives, str) else primitives[reduction]
            row(
                named,
                lambda t, *xs, name=name, taken=taken: getattr(F(t), name)(*xs, **taken),
                inputs,
                more=list(more),
                bad=list(bad),
                order=order,
                name=f"{name}-{i}-{reduction}",
            )


def refused(name, *values, **options):
    """A call with these arrays, for `bad`."""

    def call(t, *_):
        tensors = [t.tensor(v) if isinstance(v, np.ndarray) else v for v in values]
        return getattr(F(t), name)(*tensors, **options)

    return call


# fmt: off

BITS = "loss.logit_cross_entropy"
ONES, ROWS = np.ones(3), np.ones((2, 3))

loss("activation._softplus", "soft_margin_loss", [normal(3, 4), signs(3, 4)],
    more=[[normal(3, 4), signs(4)], [normal(), signs()], [normal(0, 3), signs(0, 3)],
          [given([800.0, -600.0]), given([1.0, 1.0], False)], [normal(4), fixed(normal(4))]],
    bad=[(refused("soft_margin_loss", ONES, ONES, reduction="no"), ValueError)])
loss("elementwise.clamp_numbers", "hinge_embedding_loss", [apart(3, 4), signs(3, 4)],
    more=[[normal(5), signs(5)], [given([1.0, 2.0]), given([1, -1], False)],
          [normal(3), given([0.5, 1.0, -1.0], False)]],
    variants=[{}, {"margin": 2.25}])
loss("elementwise.mul", "margin_ranking_loss", [apart(4), apart(4), signs(4)],
    more=[[normal(3, 2), normal(3, 2), signs(3, 2)], [normal(), normal(), signs()],
          [normal(2, 3), normal(1, 3), signs(2, 1)]],
    bad=[(refused("margin_ranking_loss", ONES, ONES, ROWS), RuntimeError)],
    variants=[{}, {"margin": 0.3}])
loss("elementwise.sqrt", "cosine_embedding_loss", [normal(4, 3), normal(4, 3), signs(4)],
    more=[[normal(3), normal(3), signs()], [given(np.zeros((2, 3))), normal(2, 3), signs(2)]],
    bad=[(refused("cosine_embedding_loss", ONES, ONES, ONES), RuntimeError),
         (refused("cosine_embedding_loss", ROWS, ROWS, ROWS), RuntimeError)],
    variants=[{}, {"margin": -0.4}])
loss("elementwise.clamp_numbers", "triplet_margin_loss", [normal(4, 3), normal(4, 3), normal(4, 3)],
    more=[[normal(3), normal(3), normal(3)], [normal(2, 4, 3), normal(2, 4, 3), normal(2, 4, 3)],
          [normal(4, 3), normal(4, 3), normal(1, 3)]],
    bad=[(refused("triplet_margin_loss", ROWS, ROWS, ROWS, margin=0), ValueError),
         (refused("triplet_margin_loss", ROWS, ROWS, ONES), RuntimeError)],
    variants=[{}, {"swap": True, "margin": 0.7}, {"p": 1}, {"p": 3, "eps": 1e-3, "swap": True}])
loss("elementwise.clamp_numbers", "triplet_margin_with_distance_loss",
    [normal(4, 3), normal(4, 3), normal(4, 3)],
    bad=[(refused("triplet_margin_with_distance_loss", ROWS, ROWS, ROWS, margin=-1), ValueError),
         (refused("triplet_margin_with_distance_loss", ROWS, ROWS, ONES), RuntimeError)],
    variants=[{}, {"distance_function": lambda a, b: ((a - b) ** 2).sum(-1), "swap": True}])
loss("scatter.gather_along", "multi_margin_loss", [apart(4, 3), ints(0, 3, 4)],
    more=[[normal(3), given(2, False)], [normal(3), given([1], False)]],
    bad=[(refused("multi_margin_loss", ROWS, np.array([0, 1]), 3), ValueError),
         (refused("multi_margin_loss", ROWS, np.array([0, 3])), IndexError),
         (refused("multi_margin_loss", ROWS, np.array([0, 1, 1])), RuntimeError),
         (refused("multi_margin_loss", ROWS, np.array([0.0, 1.0])), RuntimeError),
         (refused("multi_margin_loss", ROWS, np.array([0, 1]), 1, 1.0, np.ones(2)),
          RuntimeError)],
    variants=[{}, {"p": 2, "margin": 0.6}])
row("scatter.gather_along",
    lambda t, x, y, w: F(t).multi_margin_loss(x, y, 2, 0.7, w),
    [apart(4, 3), ints(0, 3, 4), fixed(between(0.5, 2, 3))])
loss("scatter.gather_along", "multilabel_margin_loss",
    [apart(3, 4), given([[3, 0, -1, 1], [-1, 0, 1, 2], [2, 1, 0, 3]], False)],
    more=[[normal(4), given([1, 3, -1, 0], False)], [normal(2, 3), given([[1, 1, -1]] * 2, False)]],
    bad=[(refused("multilabel_margin_loss", ROWS, np.array([[0, 1, 2]])), RuntimeError),
         (refused("multilabel_margin_loss", ROWS, np.full((2, 3), 3)), RuntimeError)])
loss({"mean": "loss.total", "sum": BITS, "none": BITS}, "multilabel_soft_margin_loss",
    [normal(3, 4), fixed(between(0, 1, 3, 4))],
    more=[[normal(4), fixed(between(0, 1, 4))], [normal(2, 3, 4), fixed(between(0, 1, 2, 3, 4))],
          [given([[900.0, -900.0]]), given([[0.0, 1.0]], False)]])
row(BITS,
    lambda t, x, y, w: F(t).multilabel_soft_margin_loss(x, y, w),
    [normal(3, 4), fixed(between(0, 1, 3, 4)), fixed(between(0.5, 2, 4))])
COUNTS = given([[0.0, 1.0, 2.0], [5.0, 0.5, 1.5]], False)
loss("elementwise.exp", "poisson_nll_loss", [normal(2, 3), COUNTS],
    more=[[normal(4), ints(0, 5, 4)], [normal(), fixed(normal())],
          [normal(3), given([1.5, 2.0, 7.0])]],
    variants=[{}, {"full": True}])
loss("elementwise.log", "poisson_nll_loss", [between(0.5, 2, 2, 3), COUNTS],
    variants=[{"log_input": False}, {"log_input": False, "full": True, "eps": 0.1}])
loss("elementwise.log", "gaussian_nll_loss",
    [normal(2, 3), normal(2, 3), between(0.5, 2, 2, 3)],
    more=[[normal(2, 3), normal(2, 3), between(0.5, 2, 2)],
          [normal(2, 3), normal(2, 3), between(0.5, 2, 2, 1)], [normal(2, 3), normal(2, 3), 0.3],
          [normal(3), normal(3), given([0.0, 1e-9, 4.0])]],
    bad=[(refused("gaussian_nll_loss", ROWS, ROWS, -ROWS), ValueError),
         (refused("gaussian_nll_loss", ROWS, ROWS, -1.0), ValueError),
         (refused("gaussian_nll_loss", ROWS, ROWS, ONES), ValueError)],
    variants=[{}, {"full": True, "eps": 1e-3}])
row("elementwise.masked_fill", lambda t, x: F(t).threshold(x, 0.2, -3.0) * x, [apart(3, 4)],
    more=[[given([0.2, np.nan, 1.0])], [ints(-3, 4, 5)]])
row("elementwise.masked_fill", lambda t, x: F(t).threshold_(x * 2, 0.2, 20), [apart(3, 4)])
row("elementwise.masked_fill", lambda t, x: F(t).threshold(x * 2, -0.3, 0, True), [apart(3, 4)])


def fractional(dims, **options):
    """Fractional max pooling at given places, and where the maxima were."""

    def run(t, x, samples):
        pool = getattr(F(t), f"fractional_max_pool{dims}d")
        y, at = pool(x, return_indices=True, _random_samples=samples, **options)
        return y * y, at

    return run


# PyTorch has no second derivative of these: order 2 is checked by finite differences alone
row("pool.gather_positions pool.scatter_positions",
    fractional(2, kernel_size=2, output_size=(3, 4)),
    [apart(2, 3, 6, 9), fixed(between(0, 1, 2, 3, 2))],
    more=[[apart(3, 6, 9), fixed(between(0, 1, 1, 3, 2))]],
    name="fractional_max_pool2d",
    bad=[(lambda t, *_: F(t).fractional_max_pool2d(t.ones(1, 1, 4, 4), 2), ValueError),
         (lambda t, *_: F(t).fractional_max_pool2d(t.ones(1, 1, 4, 4), 3, 3), RuntimeError),
         (lambda t, *_: F(t).fractional_max_pool2d(t.ones(4, 4), 2, 2), RuntimeError)])
row("pool.gather_positions pool.scatter_positions",
    fractional(2, kernel_size=(3, 1), output_ratio=(0.5, 0.8)),
    [apart(2, 2, 6, 7), fixed(between(0, 1, 2, 2, 2))],
    name="fractional_max_pool2d_ratio")
row("pool.gather_positions pool.scatter_positions",
    fractional(3, kernel_size=(2, 1, 3), output_size=(2, 3, 2)),
    [apart(1, 2, 4, 5, 6), fixed(between(0, 1, 1, 2, 3))],
    more=[[apart(2, 4, 5, 6), fixed(between(0, 1, 1, 2, 3))]],
    name="fractional_max_pool3d",
    bad=[(lambda t, *_: F(t).fractional_max_pool3d(t.ones(1, 1, 4, 4, 4), 2), ValueError),
         (lambda t, *_: F(t).fractional_max_pool3d(t.ones(1, 1, 4, 4, 4), 3, 3), RuntimeError)])
