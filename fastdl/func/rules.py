"""The primitives on a batch of examples: what `fastdl.func.batching` runs.

In each rule dimension 0 of an operand x with batched[i] is the batch, and that of the result; other
operands are shared by all examples. A rule of several operands first repeats those where it must.
What has no rule here is left to the loop over examples: random numbers, draws of dropout, sorting,
indices that differ between examples, batch statistics, recurrent layers.
"""

import numpy as np

from fastdl._engine import tensor_of
from fastdl.func.batching import RULES, NoRule, repeated, rule
from fastdl.ops import (
    activation,
    attention,
    complex,
    conv,
    diagonal,
    distance,
    elementwise,
    factor,
    fft,
    index,
    join,
    linalg,
    linear,
    loss,
    matrices,
    norm,
    order,
    pool,
    scatter,
)
from fastdl.ops import embedding as rows
from fastdl.ops import shape as S
from fastdl.ops.activation import gelu
from fastdl.ops.reduce import extremes, running, sums
from fastdl.ops.reduce import norm as lengths


def _is_tensor(x):
    return hasattr(x, "array")


def _all_batched(operands, batched, size):
    """The operands, each with the batch in front; None stays None."""
    return [
        x if b or x is None else repeated(x, size) for x, b in zip(operands, batched, strict=True)
    ]


def _with_rank(x, ndim):
    """x (batch, *shape) with dimensions of length 1 after the batch: ndim besides it."""
    shape = x.array.shape
    missing = ndim + 1 - len(shape)
    return S.reshape_to(x, shape=(shape[0], *(1,) * missing, *shape[1:])) if missing else x


def _folded(x):
    """(batch, n, ...) as (batch * n, ...)."""
    shape = x.array.shape
    return S.reshape_to(x, shape=(shape[0] * shape[1], *shape[2:]))


def _unfolded(x, size):
    shape = x.array.shape
    return S.reshape_to(x, shape=(size, shape[0] // size if size else 0, *shape[1:]))


# ---- one element at a time --------------------------------------------------------------------


def _elementwise(op, size, operands, batched, /, **static):
    tensors = [(x, b) for x, b in zip(operands, batched) if _is_tensor(x)]
    ranks = [x.array.ndim - b for x, b in tensors]
    ndim = max(ranks)
    if min(ranks) == 0 < ndim and len({x.array.dtype for x, _ in tensors}) > 1:
        # a tensor without dimensions decides the dtype only within its category: not once batched
        kinds = [x.array.dtype for x, _ in tensors if x.array.dtype.kind != "b"]
        if len({d.kind for d in kinds}) < len(set(kinds)):
            raise NoRule(op.name)
    aligned = [_with_rank(x, ndim) if b else x for x, b in zip(operands, batched)]
    return op(*aligned, **static)


RULES["elementwise"] = _elementwise


@rule(loss.total)
def _(op, size, operands, batched, *, loss, scale, parameters):
    each = _elementwise(
        loss, size, operands[: 2 + (operands[2] is not None)], batched, **parameters
    )
    total = S.sum_over(each, dims=tuple(range(1, each.array.ndim)), keepdim=False)
    return total * scale


# ---- of one tensor, dimension by dimension ------------------------------------------------------


def _behind(d):
    """A dimension of an example as one of the batch."""
    return d + 1 if d >= 0 else d


@rule(
    activation._softmax, activation._log_softmax, sums.mean_over, sums.var_over, sums.std_over,
    sums.logsumexp_over, S.sum_over, extremes.amax_over, extremes.amin_over, extremes.max_along,
    extremes.min_along, lengths.euclidean_norm, distance.power_norm, running.cumsum_along,
    running.cumprod_along, running.cummax_along, running.cummin_along,
    running.logcumsumexp_along, running.prod_over, join.flip_along, join.roll_along, join.unstack,
    order.ordered, order.middle_along, S.cut, S.swap, S.windows, diagonal.diagonal_of, fft.c2c,
    fft.r2c, fft.c2r,
)  # fmt: skip
def _(op, size, operands, batched, /, **static):
    for name in ("dim", "axis", "dim0", "dim1", "dim2"):
        if name in static:
            static[name] = _behind(static[name])
    if "dims" in static:
        static["dims"] = tuple([_behind(d) for d in static["dims"]])
    return op(operands[0], **static)


@rule(
    complex.numbers_of, complex.pairs_of, diagonal.lower, diagonal.upper, factor.det_of,
    factor.slogdet_of, factor.inverse_of, factor.cholesky_of, factor.eigh_of, factor.svd_of,
    factor.qr_of, matrices.matrix_exponential, matrices.pseudoinverse, pool.max_pool,
    pool.avg_pool, pool.cell_max, pool.cell_mean,
)  # fmt: skip
def _(op, size, operands, batched, /, **static):
    """They count dimensions from the end, and take any in front."""
    if "geom" in static and hasattr(static["geom"], "planes"):
        static["geom"] = static["geom"]._replace(planes=static["geom"].planes * size)
    elif "geom" in static:
        raise NoRule(op.name)
    return op(operands[0], **static)


@rule(S.reshape_to)
def _(op, size, operands, batched, *, shape):
    return op(operands[0], shape=(size, *shape))


@rule(S.permute_to)
def _(op, size, operands, batched, *, dims):
    return op(operands[0], dims=(0, *[_behind(d) for d in dims]))


@rule(S.expand_to)
def _(op, size, operands, batched, *, shape):
    return op(_with_rank(operands[0], len(shape)), shape=(size, *shape))


@rule(S.slice_of)
def _(op, size, operands, batched, *, index):
    index = index if isinstance(index, tuple) else (index,)
    return op(operands[0], index=(slice(None), *index))


@rule(index.take_at)
def _(op, size, operands, batched, *, index):
    places = [i for i, item in enumerate(index) if hasattr(item, "dtype")]
    if places[-1] - places[0] + 1 != len(places):  # NumPy puts their dimensions first
        raise NoRule(op.name)
    return op(operands[0], index=(slice(None), *index))


@rule(join.pad_with)
def _(op, size, operands, batched, *, widths, value):
    return op(operands[0], widths=((0, 0), *widths), value=value)


# ---- of several tensors -------------------------------------------------------------------------


@rule(join.concatenate, join.stack_along, scatter.gather_along)
def _(op, size, operands, batched, *, dim):
    return op(*_all_batched(operands, batched, size), dim=_behind(dim))


@rule(scatter.scatter_sum, scatter.scatter_values)
def _(op, size, operands, batched, *, dim):
    if not all(map(_is_tensor, operands)):
        raise NoRule(op.name)
    return op(*_all_batched(operands, batched, size), dim=_behind(dim))


@rule(distance.distances)
def _(op, size, operands, batched, /, **static):
    x, y = _all_batched(operands, batched, size)
    ndim = max(x.array.ndim, y.array.ndim) - 1
    return op(_with_rank(x, ndim), _with_rank(y, ndim), **static)


@rule(rows.take_rows)
def _(op, size, operands, batched, *, padding_idx=None, by_frequency=False, gaps=False):
    weight, places = operands
    if batched[0]:  # the tables under one another
        if padding_idx is not None or by_frequency or gaps:
            raise NoRule(op.name)
        start = np.arange(size) * weight.array.shape[1]
        places = places if batched[1] else repeated(places, size)
        start = tensor_of(start.reshape(size, *(1,) * (places.array.ndim - 1)))
        return op(_folded(weight), places + start)
    return op(weight, places, padding_idx=padding_idx, by_frequency=by_frequency, gaps=gaps)


# ---- products -----------------------------------------------------------------------------------


@rule(linalg.matmul)
def _matmul(op, size, operands, batched):
    x, y = operands
    if not (_is_tensor(x) and _is_tensor(y)):
        raise NoRule(op.name)
    rank_x, rank_y = (t.array.ndim - b for t, b in zip(operands, batched))
    if not rank_x or not rank_y:
        raise NoRule(op.name)
    if rank_x == 2 and rank_y == 1 and batched == [False, True]:
        return op(y, linalg.swap_last(x))  # one product in place of one for each vector
    if rank_x == 1:
        x = S.unsqueeze(x, -2)
    if rank_y == 1:
        y = S.unsqueeze(y, -1)
    ndim = max(rank_x, rank_y, 2)
    x, y = (_with_rank(t, ndim) if b else t for t, b in zip((x, y), batched))
    z = op(x, y)
    if rank_y == 1:
        z = S.squeeze(z, -1)
    return S.squeeze(z, -1 if rank_y == 1 else -2) if rank_x == 1 else z


@rule(linalg.einsum_of)
def _(op, size, operands, batched, *, terms, result):
    free = next(c for c in map(chr, range(97, 123)) if c not in "".join(terms))
    terms = tuple([free + term if b else term for term, b in zip(terms, batched)])
    return op(*operands, terms=terms, result=free + result)


@rule(linear.affine_map)
def _affine(op, size, operands, batched):
    x, w, bias = operands
    if not batched[1] and not batched[2]:
        return op(x, w, bias)
    if not batched[1]:
        y = op(x, w, None)
    else:
        x = x if batched[0] else repeated(x, size)
        lead = x.array.shape[1:-1]
        flat = S.reshape_to(x, shape=(size, int(np.prod(lead)), x.array.shape[-1]))
        y = linalg.matmul(flat, linalg.swap_last(w))
        y = S.reshape_to(y, shape=(size, *lead, y.array.shape[-1]))
    if bias is None:
        return y
    if batched[2] and not any(batched[:2]):
        y = repeated(y, size)
    return y + (_with_rank(bias, y.array.ndim - 1) if batched[2] else bias)


@rule(linear.relu_of_affine)
def _(op, size, operands, batched):
    return activation.relu(_affine(linear.affine_map, size, operands, batched))


@rule(linear.gelu_of_affine)
def _(op, size, operands, batched, *, activation, recorded):
    if not batched[1] and not batched[2]:
        return op(*operands, activation=activation, recorded=recorded)
    before = _affine(linear.affine_map, size, operands, batched)
    y = gelu(before, "tanh" if activation == "gelu_tanh" else "none")
    return (y, before) if recorded else y


@rule(conv.convolution, conv.convolution_grad_input)
def _(op, size, operands, batched, *, geom):
    """x (n, c, ...) for the first, the gradient (n, k, ...) for the second."""
    x, w, bias = operands
    x = x if batched[0] else repeated(x, size)
    if batched[1]:  # the examples' channels side by side, as groups
        moved = S.permute_to(x, dims=(1, 0, *range(2, x.array.ndim)))
        shape = moved.array.shape
        moved = S.reshape_to(moved, shape=(shape[0], shape[1] * shape[2], *shape[3:]))
        wide = geom._replace(c=geom.c * size, k=geom.k * size, groups=geom.groups * size)
        y = op(moved, _folded(w), None, geom=wide)
        shape = y.array.shape
        y = S.reshape_to(y, shape=(shape[0], size, shape[1] // size, *shape[2:]))
        y = S.permute_to(y, dims=(1, 0, *range(2, y.array.ndim)))
    else:
        inside = None if batched[2] else bias
        y = _unfolded(op(_folded(x), w, inside, geom=geom._replace(n=geom.n * size)), size)
        bias = bias if batched[2] else None
    if bias is None:
        return y
    along = (1, *bias.array.shape[-1:], *(1,) * (y.array.ndim - 3))
    return y + S.reshape_to(bias, shape=(size if batched[2] else 1, *along))


@rule(conv.convolution3d)
def _(op, size, operands, batched, *, geom):
    x, w, bias = operands
    if batched[1] or batched[2]:
        raise NoRule(op.name)
    plane = geom.plane._replace(n=geom.plane.n * size)
    return _unfolded(
        op(_folded(x), w, bias, geom=geom._replace(n=geom.n * size, plane=plane)), size
    )


@rule(attention.attention)
def _(op, size, operands, batched, *, causal, scale, dropout, draw):
    if dropout:
        raise NoRule(op.name)
    mask, shared = operands[3], operands[3] is None or not batched[3]
    if shared and mask is not None and mask.array.ndim == 4 and mask.array.shape[0] > 1:
        mask, shared = repeated(mask, size), False
    q, k, v = (_folded(x) for x in _all_batched(operands[:3], batched[:3], size))
    if not shared:
        n = operands[0].array.shape[batched[0]]
        mask = _with_rank(mask, 4)
        mask = _folded(S.expand_to(mask, shape=(size, n, *mask.array.shape[2:])))
    out = op(q, k, v, mask, causal=causal, scale=scale, dropout=dropout, draw=draw)
    return tuple([_unfolded(y, size) for y in out])


# ---- layers -------------------------------------------------------------------------------------


@rule(norm.normalize_rows)
def _(op, size, operands, batched, *, shape, eps, centred, stats):
    x, weight, bias = operands
    x = x if batched[0] else repeated(x, size)
    n, g, c, p = shape
    room = np.empty((2, stats.shape[1] * size), stats.dtype)
    how = {"shape": (n * size, g, c, p), "eps": eps, "centred": centred, "stats": room}
    if not batched[1] and not batched[2]:
        return op(x, weight, bias, **how)
    per_value = lambda t, b: S.reshape_to(t, shape=(size if b else 1, 1, g, c, 1))
    y = S.reshape_to(op(x, None, None, **how), shape=(size, n, g, c, p))
    y = y if weight is None else y * per_value(weight, batched[1])
    y = y if bias is None else y + per_value(bias, batched[2])
    return S.reshape_to(y, shape=x.array.shape)


@rule(norm.normalize_by)
def _(op, size, operands, batched, *, eps):
    x, mean, var, weight, bias = operands
    if batched[1] or batched[2]:
        raise NoRule(op.name)
    x = x if batched[0] else repeated(x, size)
    alone = batched[3] or batched[4]
    y = op(_folded(x), mean, var, *((None, None) if alone else (weight, bias)), eps=eps)
    y = _unfolded(y, size)
    if not alone:
        return y
    along = (1, x.array.shape[2], *(1,) * (x.array.ndim - 3))
    per_channel = lambda t, b: S.reshape_to(t, shape=(size if b else 1, *along))
    y = y if weight is None else y * per_channel(weight, batched[3])
    return y if bias is None else y + per_channel(bias, batched[4])


# ---- cross-entropies ----------------------------------------------------------------------------


def _mass(target, weight, ignore_index, dtype):
    """What the mean of a loss (batch, n, ...) is divided by: the sums of the targets' weights."""
    used = target != ignore_index
    if weight is not None:
        used = rows.take_rows(S.reshape_to(weight, shape=(-1, 1)), target * used)[..., 0] * used
    dims = tuple(range(1, target.array.ndim))
    return S.sum_over(elementwise.cast(used, dtype=dtype), dims=dims, keepdim=False)


def _classes(op, size, operands, batched, reduction, ignore_index, **static):
    """A loss of classes (batch, n, ...), reduced for each example."""
    if batched[2]:
        raise NoRule("weights of classes that differ between examples")
    x, target = _all_batched(operands[:2], batched[:2], size)
    weight = operands[2]
    each = op(_folded(x), _folded(target), weight, ignore_index=ignore_index, **static)
    each = _unfolded(each[0] if type(each) is tuple else each, size)
    if reduction == "none":
        return each
    total = S.sum_over(each, dims=tuple(range(1, each.array.ndim)), keepdim=False)
    if reduction == "sum":
        return total
    mass = _mass(target, weight, ignore_index, x.array.dtype)
    # without targets the mean is NaN and has no slope
    none = mass == 0
    mean = total / elementwise.where(none, 1.0, mass)
    return elementwise.where(none, float("nan"), mean)


@rule(loss.softmax_cross_entropy)
def _(op, size, operands, batched, *, reduction, gradient, **static):
    each = lambda *operands, **how: op(*operands, reduction="none", gradient=gradient, **how)
    found = _classes(each, size, operands, batched, reduction, **static)
    return (found, None) if gradient else found


@rule(loss.nll)
def _(op, size, operands, batched, *, scale, ignore_index):
    if scale != "mean":
        return _classes(op, size, operands, batched, "none", ignore_index, scale=scale)
    return _classes(op, size, operands, batched, "mean", ignore_index, scale=1.0)


@rule(loss.soft_cross_entropy)
def _(op, size, operands, batched, *, gradient, **static):
    if batched[2]:
        raise NoRule(op.name)
    logits, target = (_folded(x) for x in _all_batched(operands[:2], batched[:2], size))
    found = op(logits, target, operands[2], gradient=gradient, **static)
    found = _unfolded(found[0] if gradient else found, size)
    return (found, None, None) if gradient else found
