"""Rows of the table (see op_cases.py) for shapes, strides, joining, splitting, grids, diagonals."""

import numpy as np
from nn_cases import pullback
from op_cases import Case, apart, bools, given, ints, normal

CASES: list[Case] = []


def row(primitives, run, inputs, **options):
    CASES.append(Case(primitives, run, inputs, **options))


def named(names, run_one, inputs, **options):
    """One row per function name: run_one(function, *inputs)."""
    primitives, *names = names.split()
    for name in names:
        row(
            primitives,
            lambda t, *xs, name=name: run_one(getattr(t, name), *xs),
            inputs,
            name=f"{name}-{len(CASES)}",
            **options,
        )


# ---- strides ----------------------------------------------------------------------------------

STRIDED = "strided.strided_view strided.strided_add"
row(
    STRIDED,
    lambda t, x: t.as_strided(x.contiguous(), (2, 3), (4, 1), 1) * 2,
    [normal(3, 4)],
    bad=[
        (lambda t: t.ones(3).as_strided((2,), (3,)), RuntimeError),
        (lambda t: t.ones(3).as_strided((2,), (-1,)), RuntimeError),
        (lambda t: t.ones(3).as_strided((2, 2), (1,)), RuntimeError),
        (lambda t: t.ones(3).as_strided((2**40, 2**40), (0, 0)), RuntimeError),
        (lambda t: t.ones(3).as_strided((-1,), (1,)), RuntimeError),
    ],
)
row(
    STRIDED,
    lambda t, x: t.as_strided(x.contiguous(), (3, 2), (1, 1)) * 2,  # places are read twice
    [normal(4)],
    name="as_strided-overlapping",
)
row(
    STRIDED,
    lambda t, x: t.as_strided(x.contiguous().t(), (4, 3), (2, 2), 3) * 2,
    [normal(4, 4)],
    name="as_strided-of-transposed",
)
row(
    STRIDED,
    lambda t, x: t.as_strided((x.contiguous() * 1)[:, 1:3], (2, 2), (4, 1), 5) * 2,
    [normal(3, 4)],
    name="as_strided-of-part",
)
row(
    STRIDED,
    lambda t, x: t.as_strided(x.contiguous().expand(3, 4), (2, 2), (2, 1)) * 2,
    [normal(4)],
    name="as_strided-of-expanded",
)
row(
    "strided.strided_take strided.strided_add",
    pullback(lambda t, x: t.as_strided(x, (3, 2), (1, 1), 1) * 2),
    [normal(3, 2), normal(5)],
)
row(
    "shape.put_window",  # PyTorch's gradient of its first argument is 0 outside the window
    lambda t, x, y: t.as_strided_scatter(x.contiguous(), y, (2, 2), (4, 1), 1) * y.sum(),
    [given(np.arange(12.0).reshape(3, 4), grad=False), normal(2, 2)],
    bad=[(lambda t: t.as_strided_scatter(t.ones(4), t.ones(3), (2,), (1,)), RuntimeError)],
)
row(
    "strided.bytes_view",
    lambda t, x: x.contiguous().view(t.int64) + x.contiguous().view(t.uint8).sum(),
    [given(np.arange(12.0).reshape(3, 4), grad=False)],
    order=0,
    single="int64",
    bad=[
        (lambda t: t.tensor(1.0).view(t.int16), RuntimeError),
        (lambda t: t.ones(2, 3).view(t.int64), RuntimeError),
        (lambda t: t.ones(2, 4).t().view(t.int64), RuntimeError),
        (lambda t: t.ones(2).view("a"), TypeError),
    ],
)

# ---- shapes -----------------------------------------------------------------------------------

named(
    "elementwise.mul atleast_1d atleast_2d atleast_3d",
    lambda f, x: f(x) * 2,
    [normal(3)],
    more=[[normal()], [normal(2, 3)], [normal(0)], [normal(2, 1, 2, 2)]],
)
named(
    "shape.reshape_to atleast_1d atleast_2d atleast_3d",
    lambda f, x, y: f(x, y)[1] * f([y])[0],
    [normal(), normal(2)],
    order=1,
)
row(
    "shape.expand_to",
    lambda t, x, y: (
        t.broadcast_tensors(x, y)[0] * t.broadcast_to(y, t.broadcast_shapes((3,), (2, 1)))
    ),
    [normal(2, 1), normal(3)],
    bad=[
        (lambda t: t.broadcast_tensors(t.ones(2), t.ones(3)), RuntimeError),
        (lambda t: t.broadcast_shapes((2,), (3,)), RuntimeError),
        (lambda t: t.broadcast_shapes((-1,), (3,)), ValueError),
    ],
)
row(
    "shape.swap",
    lambda t, x: t.adjoint(x) * x.mH * 2,
    [normal(2, 3, 4)],
    bad=[(lambda t: t.adjoint(t.ones(2)), (RuntimeError, IndexError))],
)
for k in (-1, 0, 1, 2, 3):
    row(
        "join.flip_along" if k % 4 else "elementwise.clone",
        lambda t, x, k=k: t.rot90(x, k, (0, -1)) * 2,
        [normal(2, 3, 4)],
        name=f"rot90-{k}",
        bad=[
            (lambda t: t.rot90(t.ones(2, 2), 1, (0, 0)), RuntimeError),
            (lambda t: t.rot90(t.ones(2, 2), 1, (0,)), RuntimeError),
            (lambda t: t.rot90(t.ones(2), 1, (0, 1)), RuntimeError),
        ],
    )
named(
    "shape.permute_to movedim moveaxis",
    lambda f, x: f(x, (0, 1), (-1, 0)) * f(x, 0, 2).permute(0, 2, 1).permute(1, 0, 2).sum(),
    [normal(2, 3, 4)],
    bad=[
        (lambda t: t.movedim(t.ones(2, 2), 0, 2), IndexError),
        (lambda t: t.movedim(t.ones(2, 2), (0, 0), (0, 1)), RuntimeError),
        (lambda t: t.movedim(t.ones(2, 2), (0, 1), (0,)), RuntimeError),
    ],
)
row(
    "shape.sum_over",
    lambda t, x: x.sum_to_size(1, 4) * x.sum_to_size(4),
    [normal(3, 4)],
    bad=[(lambda t: t.ones(2, 3).sum_to_size(2), RuntimeError)],
)
row(
    "shape.reshape_to",
    lambda t, x: t.unflatten(x, 1, (2, -1)) * t.flatten(x, 1).reshape(shape=(3, 2, 2)),
    [normal(3, 4)],
    bad=[
        (lambda t: t.ones(2, 3).unflatten(1, (2, 2)), RuntimeError),
        (lambda t: t.ones(2, 3).unflatten(1, ()), RuntimeError),
        (lambda t: t.ones(2, 3).unflatten(1, (-1, -1)), RuntimeError),
    ],
)
row(
    "shape.windows shape.windows_add",
    lambda t, x: x.unfold(1, 2, 3) * 2,
    [normal(2, 6)],
    more=[[normal(0, 5)]],
    bad=[
        (lambda t: t.ones(3).unfold(0, 4, 1), RuntimeError),
        (lambda t: t.ones(3).unfold(0, 2, 0), RuntimeError),
        (lambda t: t.ones(3).unfold(0, -1, 1), RuntimeError),
    ],
)

# ---- joining and splitting --------------------------------------------------------------------

named(
    "join.concatenate hstack dstack column_stack",
    lambda f, x, y: f((x, y, x)) * 2,
    [normal(3), normal(3)],
    more=[[normal(), normal()], [normal(2, 3), normal(2, 3)], [normal(2, 2, 1), normal(2, 2, 1)]],
    bad=[(lambda t: t.dstack((t.ones(2), t.ones(3))), RuntimeError)],
)
named(
    "join.concatenate vstack row_stack",
    lambda f, x, y: f((x, y, x)) * 2,
    [normal(2, 3), normal(1, 3)],
    more=[[normal(), normal()], [normal(3), normal(3)], [normal(3), normal(2, 3)]],
    bad=[(lambda t: t.vstack([]), RuntimeError)],
)
named(
    "join.concatenate concat concatenate",
    lambda f, x, y: f([x, y], dim=-1) * f((x, y), axis=1),
    [normal(2, 3), normal(2, 1)],
)
named(
    "shape.cut hsplit dsplit",
    lambda f, x: f(x, 2)[1] * f(x, (1, 2))[0].sum() + f(x, [1])[1].sum(),
    [normal(3, 4, 2)],
    bad=[
        (lambda t: t.hsplit(t.ones(2, 3), 2), RuntimeError),
        (lambda t: t.dsplit(t.ones(2, 3), 1), RuntimeError),
        (lambda t: t.vsplit(t.ones(2), 1), RuntimeError),
        (lambda t: t.hsplit(t.tensor(1.0), 1), RuntimeError),
    ],
)
row(
    "shape.slice_of",
    lambda t, x: t.split(x, (1, 2), 1)[0] * t.tensor_split(x, t.tensor([1]), 1)[1],
    [normal(2, 3)],
)
row("shape.slice_of", lambda t, x: t.vsplit(x, 2)[1] * t.vsplit(x, [1])[0], [normal(2, 3)])
named(
    "shape.cut split unsafe_split tensor_split",
    lambda f, x: f(x, 2, dim=1)[1] * 2,
    [normal(2, 3)],
    bad=[
        (lambda t: t.split(t.ones(3), 0), RuntimeError),
        (lambda t: t.split(t.ones(3), -1), RuntimeError),
        (lambda t: t.split(t.ones(3), [1, 1]), RuntimeError),
        (lambda t: t.tensor_split(t.ones(3), 0), RuntimeError),
        (lambda t: t.tensor_split(t.tensor(1.0), 2), RuntimeError),
    ],
)
named(
    "shape.cut split_with_sizes unsafe_split_with_sizes",
    lambda f, x: f(x, [1, 2], 1)[1] * 2,
    [normal(2, 3)],
    bad=[(lambda t: t.split_with_sizes(t.ones(3), [2, 2]), RuntimeError)],
)
named(
    "shape.cut chunk unsafe_chunk",
    lambda f, x: f(x, 2, 1)[1] * f(x, 5, dim=1)[0],
    [normal(2, 3)],
    more=[[normal(2, 2)]],
)
row(
    "index.take_at index.add_at",
    lambda t, x, n: t.repeat_interleave(x, n, dim=0) * 2 + t.repeat_interleave(repeats=n).sum(),
    [normal(3, 2), ints(0, 4, 3)],
    bad=[
        (lambda t: t.repeat_interleave(t.ones(3), -1), RuntimeError),
        (lambda t: t.repeat_interleave(t.ones(3), t.tensor([1, 2])), RuntimeError),
        (lambda t: t.repeat_interleave(t.ones(1), t.tensor([1.0])), RuntimeError),
    ],
)
row(
    "shape.expand_to shape.reshape_to",
    lambda t, x: t.tile(x, (2,)) * x.repeat(1, 2) + x.tile(2, 2, 1).sum(),
    [normal(2, 3)],
    bad=[(lambda t: t.ones(2, 2).repeat(2), RuntimeError)],
)
row(
    "join.concatenate",
    lambda t, x, y: t.diff(x, prepend=y, append=y) * t.diff(x, 2, 0).sum(),
    [normal(3, 4), normal(3, 1)],
    bad=[
        (lambda t: t.diff(t.ones(3), n=-1), RuntimeError),
        (lambda t: t.diff(t.tensor(1.0)), RuntimeError),
        (lambda t: t.diff(t.ones(3), prepend=t.ones(1, 1)), RuntimeError),
    ],
)
row("shape.slice_of", lambda t, b: t.diff(b) ^ t.diff(b, 1, 1), [bools(3, 4)], order=0)
row("shape.slice_of", lambda t, x: t.diff(x, n=9).sum() + t.diff(x, 0)[0], [normal(3)])
row(
    "join.pad_with",
    lambda t, x: t.constant_pad_nd(x, (1, -1, 2, 0), 3.0) * 2,
    [normal(3, 4)],
)
for mode in ("reflect", "replicate", "circular"):
    for pad, shape in (((2, 1), (2, 4)), ((1, 0, 2, 1, 1, 2), (1, 2, 4, 4, 4))):
        row(
            "index.take_at index.add_at",
            lambda t, x, m=mode, p=pad: t.nn.functional.pad(x, p, mode=m) * 2,
            [normal(*shape)],
            order=1 if len(shape) > 3 else 2,
            name=f"pad-{mode}-{len(pad) // 2}d",
        )

# ---- diagonals --------------------------------------------------------------------------------

row(
    "diagonal.onto_diagonal diagonal.diagonal_of",
    lambda t, x: t.diag_embed(x, 1, 0, -1) * 2 + t.diag_embed(x, -1, 2, 0).sum(),
    [normal(2, 3)],
    bad=[(lambda t: t.diag_embed(t.ones(2, 3), 0, 0, 0), RuntimeError)],
)
row("diagonal.onto_diagonal", lambda t, x: t.diagflat(x, -1) * 2, [normal(2, 2)])
row(
    "index.put index.take_at",
    lambda t, x, y: t.diagonal_scatter(x, y, 1, 2, 0) * 2,
    [normal(3, 2, 4), normal(2, 2)],
    bad=[(lambda t: t.diagonal_scatter(t.ones(2, 2), t.ones(3)), RuntimeError)],
)
row(
    "index.put",
    lambda t, x: (x * 1).fill_diagonal_(5) * 2,
    [normal(4, 3)],
    bad=[
        (lambda t: t.ones(3).fill_diagonal_(1), RuntimeError),
        (lambda t: t.ones(2, 2, 3).fill_diagonal_(1), RuntimeError),
    ],
)
row(
    "index.put", lambda t, x: (x * 1).fill_diagonal_(5, wrap=True) * 2, [normal(7, 2)],
    name="fill_diagonal-wrapped",
)  # fmt: skip

# ---- grids ------------------------------------------------------------------------------------

for indexing in ("ij", "xy"):
    row(
        "shape.expand_to",
        lambda t, x, y, i=indexing: (
            t.meshgrid(x, y, indexing=i)[0] * t.meshgrid([x, y], indexing=i)[1]
        ),
        [normal(2), normal(3)],
        name=f"meshgrid-{indexing}",
        more=[[normal(), normal(2)], [normal(0), normal(2)]],
    )
row(
    "join.stack_along",
    lambda t, x, y: t.cartesian_prod(x, y) * 2 + t.cartesian_prod(x).sum(),
    [normal(2), normal(3)],
    bad=[(lambda t: t.cartesian_prod(t.ones(2, 2), t.ones(2)), RuntimeError)],
)
row(
    "index.take_at index.add_at",
    lambda t, x: (
        t.combinations(x) * t.combinations(x, 3).sum()
        + t.combinations(x, with_replacement=True).sum()
    ),
    [normal(4)],
    bad=[
        (lambda t: t.combinations(t.ones(2, 2)), RuntimeError),
        (lambda t: t.combinations(t.ones(2), -1), RuntimeError),
    ],
)
row(
    "elementwise.mul",
    lambda t, x: t.vander(x) * 2 + t.vander(x, 3, increasing=True).sum(),
    [apart(3)],
    torch=lambda t, x: (
        x[:, None] ** t.tensor([2, 1, 0]) * 2 + (x[:, None] ** t.tensor([0, 1, 2])).sum()
    ),
    bad=[(lambda t: t.vander(t.ones(2, 2)), RuntimeError)],
)
row("elementwise.pow", lambda t, x: t.vander(x, 2), [ints(0, 5, 4)], order=0)
row(
    "shape.slice_of",
    lambda t, i: t.stack(t.unravel_index(i, (2, 3, 4))),
    [ints(0, 24, 5)],
    order=0,
    bad=[(lambda t: t.unravel_index(t.tensor(1.0), (2, 3)), TypeError)],
)

# ---- copies of views --------------------------------------------------------------------------

COPIES = {
    "diagonal_copy": (),
    "expand_copy": ((2, 3, 4),),
    "narrow_copy": (1, 1, 2),
    "permute_copy": ((1, 0),),
    "select_copy": (0, 1),
    "squeeze_copy": (),
    "t_copy": (),
    "transpose_copy": (0, 1),
    "unfold_copy": (1, 2, 2),
    "unsqueeze_copy": (1,),
}
for name, arguments in COPIES.items():
    row(
        "elementwise.clone",
        lambda t, x, name=name, arguments=arguments: getattr(t, name)(x, *arguments) * 2,
        [normal(3, 4)],
        name=name,
    )
row(
    "elementwise.clone",
    lambda t, x: t.unbind_copy(x)[1] * t.split_copy(x, 2, 1)[0][0, 0] * t.t_copy(x)[3, 0],
    [normal(3, 4)],
)
row(
    "shape.reshape_to",
    lambda t, x: x.contiguous().view(size=(4, 3)) * x.reshape(4, -1) + t.numel(x),
    [normal(3, 4)],
    bad=[(lambda t: t.numel(3), TypeError), (lambda t: t.ones(2, 3).t().view(6), RuntimeError)],
)
row(
    "elementwise.cast",
    lambda t, x: t.tensor([t.is_nonzero(x), t.is_same_size(x, x), t.is_signed(x)]),
    [given([2.0], grad=False)],
    order=0,
    bad=[(lambda t: t.is_nonzero(t.ones(2)), RuntimeError)],
)

# ---- places and slices ------------------------------------------------------------------------

PLACES = given([[2, 0, 2], [1, 1, 0]], grad=False)
SLICES = given([2, 0, 2], grad=False)
row(
    "scatter.gather_along scatter.scatter_along",
    lambda t, x, i: t.gather(x, 1, i) * t.gather(x, dim=-2, index=i[:1] // 2, sparse_grad=False),
    [normal(2, 3), PLACES],
    bad=[
        (lambda t: t.gather(t.ones(2, 3), 1, t.tensor([[3]])), RuntimeError),
        (lambda t: t.gather(t.ones(2, 3), 1, t.tensor([[-1]])), RuntimeError),
        (lambda t: t.gather(t.ones(2, 3), 1, t.tensor([0])), RuntimeError),
        (lambda t: t.gather(t.ones(2, 3), 1, t.tensor([[0.0]])), RuntimeError),
        (lambda t: t.gather(t.ones(2, 3), 1, t.zeros(3, 1).long()), RuntimeError),
    ],
)
row(
    "scatter.scatter_values",
    lambda t, x, i, y: t.scatter(x, 1, i[:, :1], y) * t.scatter(x, 1, i, value=3.0),
    [normal(2, 3), PLACES, normal(2, 1)],
    bad=[
        (lambda t: t.scatter(t.ones(2, 3), 1, t.tensor([[3]]), 1.0), RuntimeError),
        (lambda t: t.scatter(t.ones(2, 3), 1, t.tensor([[1]]), t.ones(1, 1).long()), RuntimeError),
        (lambda t: t.scatter(t.ones(2, 3), 1, t.tensor([[1], [0]]), t.ones(1, 1)), RuntimeError),
        (lambda t: t.scatter(t.ones(2, 3), 1, t.tensor([[1]]), 1.0, reduce="mean"), RuntimeError),
    ],
)
row(
    "scatter.scatter_sum",
    lambda t, x, i, y: t.scatter_add(x, 1, i, y) * 2,
    [normal(2, 3), PLACES, normal(2, 3)],
)
for reduce in ("sum", "prod", "mean", "amax", "amin"):
    for include in (True, False):
        row(
            "scatter.scatter_combine"
            if reduce in ("prod", "amax", "amin")
            else "scatter.scatter_sum",
            lambda t, x, i, y, r=reduce, k=include: (
                t.scatter_reduce(x, 1, i, y, r, include_self=k) * 2
            ),
            [apart(2, 3), PLACES, apart(2, 3)],
            # PyTorch's gradients of these are not differentiable twice in every case
            order=1,
            name=f"scatter_reduce-{reduce}-{include}",
            bad=[
                (
                    lambda t: t.scatter_reduce(t.ones(2), 0, t.tensor([0]), t.ones(1), "x"),
                    RuntimeError,
                ),
                (
                    lambda t: t.scatter_reduce(t.ones(2), 0, t.tensor([2]), t.ones(1), "sum"),
                    RuntimeError,
                ),
            ],
        )
row(
    "scatter.scatter_combine",
    lambda t, x, i, y: t.scatter_reduce(x, 0, i, y, "prod") * 2,
    [given([0.0, 2.0, 3.0, 1.0]), given([0, 1, 1, 2, 2, 0], grad=False),
     given([2.0, 0.0, 5.0, 0.0, 0.0, 3.0])],
    order=1,
    name="scatter_reduce-prod-of-zeros",
)  # fmt: skip
for reduce in ("prod", "mean", "amax", "amin"):
    row(
        "scatter.scatter_combine" if reduce != "mean" else "scatter.scatter_sum",
        lambda t, x, i, y, r=reduce: t.index_reduce(x, 1, i, y, r) * 2,
        [apart(2, 3), SLICES, apart(2, 3)],
        order=1,
        name=f"index_reduce-{reduce}",
        bad=[
            (lambda t: t.index_reduce(t.ones(2), 0, t.tensor([0]), t.ones(1), "sum"), RuntimeError)
        ],
    )
row(
    "index.take_at index.add_at",
    lambda t, x, i: t.index_select(x, 1, i) * 2,
    [normal(2, 3, 2), SLICES],
    bad=[
        (lambda t: t.index_select(t.ones(3), 0, t.tensor([3])), IndexError),
        (lambda t: t.index_select(t.ones(3), 0, t.tensor([-1])), IndexError),
        (lambda t: t.index_select(t.ones(3), 0, t.tensor([[1]])), IndexError),
        (lambda t: t.index_select(t.ones(3), 0, t.tensor([1.0])), RuntimeError),
        (lambda t: t.index_select(t.tensor(1.0), 0, t.tensor([0, 0])), RuntimeError),
    ],
)
row(
    "index.index_sum",
    lambda t, x, i, y: t.index_add(x, 1, i, y, alpha=2) * 2,
    [normal(2, 3), SLICES, normal(2, 3)],
    bad=[
        (lambda t: t.index_add(t.ones(3), 0, t.tensor([3]), t.ones(1)), RuntimeError),
        (lambda t: t.index_add(t.ones(3), 0, t.tensor([0]), t.ones(2)), RuntimeError),
        (lambda t: t.index_add(t.ones(3), 0, t.tensor([0]), t.ones(1).long()), RuntimeError),
    ],
)
row(
    "index.put index.take_at",
    lambda t, x, y: (
        t.index_copy(x, 1, t.tensor([2, 0]), y) * 2 + t.index_fill(x, 0, t.tensor([-1]), 5.0).sum()
    ),
    [normal(2, 3), normal(2, 2)],
    bad=[
        (lambda t: t.index_copy(t.ones(3), 0, t.tensor([3]), t.ones(1)), IndexError),
        (lambda t: t.index_copy(t.ones(3), 0, t.tensor([0]), t.ones(2)), IndexError),
        (lambda t: t.index_fill(t.ones(3), 0, t.tensor([3]), 1), IndexError),
        (lambda t: t.index_fill(t.ones(3), 0, t.tensor([0]), t.ones(2)), RuntimeError),
    ],
)
row(
    "index.put index.index_sum",
    lambda t, x, y: (
        t.index_put(x, (t.tensor([0, 1]), t.tensor([2, 0])), y)
        * t.index_put(x, (t.tensor([0, 0]), t.tensor([1, 1])), y, accumulate=True)
    ),
    [normal(2, 3), normal(2)],
    bad=[
        (lambda t: t.index_put(t.ones(3), (t.tensor([3]),), t.tensor(1.0)), IndexError),
        (lambda t: t.index_put(t.ones(3), t.tensor([0]), t.tensor(1.0)), TypeError),
        (lambda t: t.index_put(t.ones(3), (t.tensor([0, 1]),), t.ones(3)), RuntimeError),
        (lambda t: t.index_put(t.ones(3), (t.tensor([0]),), t.tensor(1)), RuntimeError),
    ],
)
row(
    "index.put index.index_sum index.take_at",
    lambda t, x, y: (
        t.put(x, t.tensor([[0, -1]]), y) * t.take(x, t.tensor([[5, 0, -2]]))
        + t.put(x, t.tensor([1, 1]), y, accumulate=True).sum()
    ),
    [normal(2, 3), normal(1, 2)],
    bad=[
        (lambda t: t.take(t.ones(3), t.tensor([3])), IndexError),
        (lambda t: t.take(t.ones(3), t.tensor([0.0])), RuntimeError),
        (lambda t: t.put(t.ones(3), t.tensor([-4]), t.ones(1)), IndexError),
        (lambda t: t.put(t.ones(3), t.tensor([0]), t.ones(2)), IndexError),
    ],
)
row(
    "scatter.gather_along",
    lambda t, x: t.take_along_dim(x, t.tensor([[2], [0]]), 1) * t.take_along_dim(x, t.tensor([4])),
    [normal(2, 3)],
    bad=[
        (lambda t: t.take_along_dim(t.ones(2, 3), t.tensor([0]), 1), RuntimeError),
        (lambda t: t.take_along_dim(t.ones(2, 3), t.tensor([[0.0]]), 1), RuntimeError),
    ],
)
row(
    "index.put index.take_at",
    lambda t, x, m, y: t.masked_scatter(x, m, y) * t.masked_select(x, m).sum(),
    [normal(2, 3), given([True, False, True], grad=False), normal(5)],
    bad=[
        (lambda t: t.masked_scatter(t.ones(3), t.ones(3).bool(), t.ones(2)), RuntimeError),
        (lambda t: t.masked_scatter(t.ones(1), t.ones(1).bool(), t.ones(1).long()), RuntimeError),
        (lambda t: t.masked_select(t.ones(3), t.ones(3)), RuntimeError),
        (lambda t: t.masked_select(t.ones(3), t.ones(2).bool()), RuntimeError),
    ],
)
row(
    "elementwise.mul",
    lambda t, x: t.nonzero(x) + t.argwhere(x) + t.stack(t.nonzero(x, as_tuple=True), 1)
    + t.nonzero_static(x, size=2, fill_value=7).sum(),
    [given([[1, 0, 2], [0, 3, 0]], grad=False)],
    order=0,
)  # fmt: skip
row(
    "index.put",
    lambda t, x, y: t.select_scatter(x, y, 0, -1) * t.slice_scatter(x, x[:, :2], 1, 1, None, 1),
    [normal(2, 3), normal(3)],
    bad=[
        (lambda t: t.select_scatter(t.ones(2, 3), t.ones(3), 0, 2), IndexError),
        (lambda t: t.select_scatter(t.ones(2, 3), t.ones(2), 0, 0), RuntimeError),
        (lambda t: t.slice_scatter(t.ones(3), t.ones(2), 0, 0, 1), RuntimeError),
    ],
)

# ---- sparse -----------------------------------------------------------------------------------

row(
    "index.index_sum index.take_at",
    lambda t, v, x: (
        t.spmm(t.sparse_coo_tensor([[0, 1, 1], [2, 0, 2]], v, (2, 3)), x) * 2
        + x.to_sparse().to_dense().sum()
    ),
    [normal(3), normal(3, 2)],
    bad=[(lambda t: t.spmm(t.eye(3).to_sparse(), t.ones(2, 2)), RuntimeError)],
    name="sparse-products",
)
