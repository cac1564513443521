"""The CPU backend: NumPy arrays in, NumPy arrays out.

float32 and float64 go to the C kernels, which want C order: other layouts are copied first. float16
and, where a function makes sense for them, integers go to NumPy. Callers have checked that shapes
and dtypes belong together; nothing here broadcasts but `matmul`. A kernel call costs 0.15 us, less
than any NumPy call, so small arrays need no way of their own.
"""

import math

import numpy as np

from fastdl import _kernels

KERNEL_DTYPES = frozenset("fd")  # dtype.char of float32 and float64


def _ordered(x):
    """x itself if it is in C order and aligned, else a copy that is."""
    flags = x.flags
    return x if flags.c_contiguous and flags.aligned else _kernels.copy(x)


# ------------------------------------------------------------------------------- matrix products


def matmul(a, b):
    """numpy.matmul: 1-d, 2-d or batched operands of one dtype."""
    if a.dtype.char not in KERNEL_DTYPES:
        return np.matmul(a, b)
    if a.ndim > 1 and b.ndim > 1:
        return _kernels.gemm(a, b)
    y = _kernels.gemm(a if a.ndim > 1 else a[None], b if b.ndim > 1 else b[:, None])
    if a.ndim == 1:
        y = y[..., 0, :]
    return y if b.ndim > 1 else y[..., 0]


SMALL_EINSUM = 4096  # terms: so few are summed by NumPy's loop sooner than rearranged


def einsum(xs, terms, result):
    """Products of arrays summed over the letters that are not in `result`: numpy.einsum of operands
    whose `terms` are strings of distinct letters, two at a time as matrix products."""
    equation = f"{','.join(terms)}->{result}"
    lengths = {c: n for x, term in zip(xs, terms) for c, n in zip(term, x.shape)}
    few = math.prod(lengths.values()) <= SMALL_EINSUM
    dtypes = {x.dtype.char for x in xs}
    if few or len(xs) == 1 or len(dtypes) > 1 or not dtypes <= KERNEL_DTYPES:
        return np.einsum(equation, *xs, optimize=not few and len(xs) > 1)
    xs, terms = list(xs), list(terms)
    pairs = np.einsum_path(equation, *xs)[0][1:] if len(xs) > 2 else [(0, 1)]
    for pair in pairs:
        chosen = [(xs.pop(i), terms.pop(i)) for i in sorted(pair, reverse=True)]
        while len(chosen) > 1:
            (x, of_x), (y, of_y) = chosen.pop(), chosen.pop()
            others = {c for _, term in chosen for c in term}.union(result, *terms)
            kept = result
            if chosen or terms:  # an intermediate: in the order in which a product leaves them
                kept = "".join([c for c in dict.fromkeys(of_x + of_y) if c in others])
            chosen.append((_contracted(x, of_x, y, of_y, kept), kept))
        xs.append(chosen[0][0])
        terms.append(chosen[0][1])
    return xs[0]


def _contracted(x, of_x, y, of_y, result):
    """The einsum of two operands as a (batched) matrix product."""
    x, of_x = _summed_alone(x, of_x, of_y + result)
    y, of_y = _summed_alone(y, of_y, of_x + result)
    batch = [c for c in of_x if c in of_y and c in result]
    inner = [c for c in of_x if c in of_y and c not in result]
    rows = [c for c in of_x if c not in of_y]
    columns = [c for c in of_y if c not in of_x]
    x = x.transpose([of_x.index(c) for c in batch + rows + inner])
    y = y.transpose([of_y.index(c) for c in batch + inner + columns])
    shape = (*x.shape[: len(batch) + len(rows)], *y.shape[len(batch) + len(inner) :])
    depth = math.prod(y.shape[len(batch) : len(batch) + len(inner)])
    heights, widths = shape[len(batch) : len(batch) + len(rows)], shape[len(batch) + len(rows) :]
    x = x.reshape(*shape[: len(batch)], math.prod(heights), depth)
    y = y.reshape(*shape[: len(batch)], depth, math.prod(widths))
    order = batch + rows + columns
    return _kernels.gemm(x, y).reshape(shape).transpose([order.index(c) for c in result])


def _summed_alone(x, term, others):
    """x summed over the letters that are its own; and the letters left."""
    alone = tuple([i for i, c in enumerate(term) if c not in others])
    return (x.sum(alone), "".join([c for c in term if c in others])) if alone else (x, term)


def linear(x, w, bias, activation=None, keep=False):
    """x (..., in), w (out, in), bias (out,) or None -> (..., out), of which an activation is taken
    if one is named (`_kernels.ACTIVATIONS`; float dtypes). `keep`: also what it is taken of."""
    if activation is not None:
        return _activated_linear(x, w, bias, activation, keep)
    if x.dtype.char not in KERNEL_DTYPES:
        y = np.matmul(x, w.T)
        return y if bias is None else y + bias
    if x.ndim == 2:
        return _kernels.gemm(x, w.T, bias=bias)
    y = _kernels.gemm(x.reshape(-1, x.shape[-1]), w.T, bias=bias)
    return y.reshape(*x.shape[:-1], w.shape[0])


def _activated_linear(x, w, bias, activation, keep):
    dtype = x.dtype if x.dtype.char in KERNEL_DTYPES else np.dtype(np.float32)
    rows = x.reshape(-1, x.shape[-1]).astype(dtype, copy=False)
    w = w.astype(dtype, copy=False)
    bias = None if bias is None else bias.astype(dtype, copy=False)
    before = np.empty((len(rows), len(w)), dtype) if keep else None
    y = _kernels.gemm(rows, w.T, bias=bias, activation=activation, before=before)
    y, before = (
        None if r is None else r.astype(x.dtype, copy=False).reshape(*x.shape[:-1], len(w))
        for r in (y, before)
    )
    return (y, before) if keep else y


# ------------------------------------------------------------------------------------- attention


def _with_rows(x, dtype):
    """x in `dtype`, aligned and with contiguous rows: itself, if it is so."""
    if x.dtype != dtype:
        return x.astype(dtype)
    return x if x.strides[-1] == x.itemsize and x.flags.aligned else x.copy()


def attention(q, k, v, mask, causal, scale, dropout=0.0, draw=(0, 0)):
    """q (N, H, L, E), k (N, H / G, S, E), v (N, H / G, S, Ev), mask None, bool or q's dtype, which
    broadcasts to (N, H, L, S) -> y = softmax(scale q k^T + mask) v (N, H, L, Ev), laid out as q is,
    and log sum exp of the scores (N, H, L), in float32 if q's dtype is float16. `dropout`: the
    probability that an entry of the softmax is dropped, which `draw`, (seed, number), decides."""
    dtype = q.dtype if q.dtype.char in KERNEL_DTYPES else np.dtype(np.float32)
    if mask is not None and mask.dtype.kind != "b":
        mask = mask.astype(dtype, copy=False)
    q_, k_, v_ = _with_rows(q, dtype), _with_rows(k, dtype), _with_rows(v, dtype)
    how = {"causal": causal, "scale": scale, "dropout": dropout, "draw": draw}
    y, lse = _kernels.attention(q_, k_, v_, mask, **how)
    return y.astype(q.dtype, copy=False), lse


def attention_backward(g, q, k, v, mask, y, lse, causal, scale, dropout=0.0, draw=(0, 0)):
    """The gradients of q, k and v for g (N, H, L, Ev), that of y, as `attention` returned y and
    lse; each laid out as what it belongs to."""
    dtype = lse.dtype
    if mask is not None and mask.dtype.kind != "b":
        mask = mask.astype(dtype, copy=False)
    arrays = [_with_rows(x, dtype) for x in (g, q, k, v, y)]
    how = {"causal": causal, "scale": scale, "dropout": dropout, "draw": draw}
    slopes = _kernels.attention_backward(*arrays, lse, mask, **how)
    return tuple([slope.astype(q.dtype, copy=False) for slope in slopes])


def attention_factors(shape, dtype, dropout, draw):
    """What `attention` multiplies its softmax, of `shape` (N, H, L, S), by: 0 or
    1 / (1 - dropout)."""
    wide = dtype if dtype.char in KERNEL_DTYPES else np.dtype(np.float32)
    factors = _kernels.attention_factors(np.empty(shape, wide), dropout, draw)
    return factors.astype(dtype, copy=False)


# ------------------------------------------------------------------------------------ recurrences


def recurrence(a, w, b, h, c, cell, sizes, reverse, recorded):
    """a (rows, G H), w (G H, H), b (G H,) or None, h and, of an LSTM, c (N, H) -> all states (rows,
    H), the last ones, what the gradient wants of the gates, and of an LSTM the last c; see
    `fastdl.ops.rnn.recurrence`."""
    operands = [None if x is None else _ordered(x) for x in (a, w, b, h, c)]
    return _kernels.recurrence(*operands, cell, sizes, reverse, recorded)


def recurrence_backward(gy, gh, gc, w, h, c, y, gates, cell, sizes, reverse, states):
    """The gradients of a, of h w^T + b, of b, of h, the states (rows, H) from which the steps
    began, and of an LSTM the gradient of c; see `fastdl.ops.rnn.recurrence_backward`."""
    operands = [None if x is None else _ordered(x) for x in (gy, gh, gc, w, h, c, y, gates)]
    return _kernels.recurrence_backward(*operands, cell, sizes, reverse, states)


# ----------------------------------------------------------------------------------- convolution


def conv2d(x, w, bias, geom):
    """x (N, C, H, W), w (K, C / groups, R, S), bias (K,) or None -> (N, K, OH, OW)."""
    bias = None if bias is None else _ordered(bias)
    return _kernels.conv2d(_ordered(x), _ordered(w), bias, geom)


def conv2d_grad_input(dy, w, geom):
    """dy (N, K, OH, OW), w (K, C / groups, R, S) -> dx (N, C, H, W)."""
    return _kernels.conv2d_grad_input(_ordered(dy), _ordered(w), geom)


def conv2d_grad_weight(x, dy, geom):
    """x (N, C, H, W), dy (N, K, OH, OW) -> dw (K, C / groups, R, S)."""
    return _kernels.conv2d_grad_weight(_ordered(x), _ordered(dy), geom)


def channel_sum(dy):
    """dy (N, C, ...) -> (C,): sum over all dimensions but the second."""
    if dy.dtype.char in KERNEL_DTYPES:
        return _kernels.channel_sum(_ordered(dy))
    return dy.sum(axis=(0, *range(2, dy.ndim)))


# --------------------------------------------------------------------------------------- pooling


def max_pool2d(x, geom):
    """x (..., H, W) -> the maxima (..., OH, OW) and their taps, positions r * kw + s in each
    window: uint8 where that fits, else int32."""
    return _kernels.max_pool2d(_ordered(x), geom)


def max_pool2d_scatter(g, taps, geom):
    """g (..., OH, OW) added at the winners -> (..., H, W)."""
    return _kernels.max_pool2d_scatter(_ordered(g), taps, geom)


def max_pool2d_gather(x, taps, geom):
    """x (..., H, W) read at the winners -> (..., OH, OW)."""
    return _kernels.max_pool2d_gather(_ordered(x), taps, geom)


def max_pool2d_positions(taps, geom):
    """Taps (..., OH, OW) -> positions in the flattened H x W plane, int64."""
    return _kernels.positions_from_taps(taps, geom)


def avg_pool2d(x, geom):
    """x (..., H, W) -> the mean of each window (..., OH, OW)."""
    return _kernels.avg_pool2d(_ordered(x), geom)


def avg_pool2d_backward(dy, geom):
    """dy (..., OH, OW) -> (..., H, W): the adjoint of `avg_pool2d`."""
    return _kernels.avg_pool2d_backward(_ordered(dy), geom)


def adaptive_max_pool2d(x, oh, ow):
    """x (..., H, W) -> the maxima of OH x OW uneven cells and their positions in the flattened
    plane, int64, both (..., OH, OW)."""
    return _kernels.adaptive_max_pool2d(_ordered(x), oh, ow)


def adaptive_avg_pool2d(x, oh, ow):
    """x (..., H, W) -> the means of OH x OW uneven cells (..., OH, OW)."""
    return _kernels.adaptive_avg_pool2d(_ordered(x), oh, ow)


def adaptive_avg_pool2d_backward(dy, h, w):
    """dy (..., OH, OW) -> (..., H, W): the adjoint of `adaptive_avg_pool2d`."""
    return _kernels.adaptive_avg_pool2d_backward(_ordered(dy), h, w)


def plane_gather(x, positions):
    """x (planes, n) read at positions (planes, m), int64 -> (planes, m)."""
    return _kernels.plane_gather(_ordered(x), _ordered(positions))


def plane_scatter(x, positions, size, add):
    """x (planes, m) at positions (planes, m) of (planes, size), 0 elsewhere; equal positions add
    up if `add`, else the last stays."""
    return _kernels.plane_scatter(_ordered(x), _ordered(positions), size, add)


# ----------------------------------------------------------------------------------- elementwise


# Kernels of elementwise functions by name: (*arrays, out=None, **parameters) for arrays of float32,
# or of float64, that broadcast. They are faster than NumPy for small arrays, too.
MAPS = _kernels.MAPS
KERNELS = {  # what primitives may name as their kernel
    **MAPS,
    **{name: getattr(np, name) for name in ("floor", "ceil", "trunc", "hypot")},
    "cast": _kernels.cast_to,
    "row_norm": _kernels.rows_normed,
    "max_pool": _kernels.max_pool_windows,
    "avg_pool": _kernels.avg_pool_windows,
    "sum": _kernels.Reduction("sum"),
    "mean": _kernels.Reduction("sum", mean=True),
    "amax": _kernels.Reduction("max"),
    "amin": _kernels.Reduction("min"),
    "cat": _kernels.join_along,
    "stack": _kernels.stack_along,
    "pad": _kernels.pad_with,
    "flip": _kernels.flip_along,
    "roll": _kernels.roll_along,
    "gather": _kernels.gather_along,
    "take": _kernels.take_at,
    "put": _kernels.put_at,
    "put_sum": _kernels.sum_at,
    "scatter": _kernels.scatter_values,
    "scatter_sum": _kernels.scatter_sum,
    "tril": _kernels.tril,
    "triu": _kernels.triu,
    "triangle": _kernels.triangle_places,
    "matmul": _kernels.product,
    "floor_divide": _kernels.floor_divide,
    "remainder": _kernels.remainder,
    "fmod": _kernels.fmod,
    "log_gamma": _kernels.log_gamma,
    "digamma": _kernels.digamma,
    "median": _kernels.middle,
    "order": _kernels.ordered_along,
    "middle": _kernels.middle_along,
    "norm": _kernels.Reduction("sum_squares", root=True),
    "max": _kernels.Extreme("max"),
    "min": _kernels.Extreme("min"),
    "argmax": _kernels.Extreme("max", places=True),
    "argmin": _kernels.Extreme("min", places=True),
    "cumsum": _kernels.cumsum_along,
    "cumprod": _kernels.cumprod_along,
    "cummax": _kernels.cummax_along,
    "cummin": _kernels.cummin_along,
    "softmax": _kernels.softmax_along,
    "log_softmax": _kernels.log_softmax_along,
}

_POWERS = {2: "square", 3: "cube", 0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}


def _is_kernel_array(x):
    return (
        isinstance(x, np.ndarray)
        and x.dtype.char in KERNEL_DTYPES
        and x.dtype.isnative
        and x.flags.aligned
    )


def select(condition, x, y):
    """x where `condition` (bool), else y; arrays or scalars of one dtype."""
    if _is_kernel_array(x) or _is_kernel_array(y):
        return _kernels.MAPS["select"](np.asarray(condition), np.asarray(x), np.asarray(y))
    return np.where(condition, x, y)


def masked_fill(x, mask, value, out=None):
    """x with `value`, a 0-d array, where `mask` (bool) is true; written into `out` if given."""
    if _is_kernel_array(x):
        return _kernels.MAPS["masked_fill"](x, mask, value, out=out)
    if out is None:
        return np.where(mask, value, x)
    np.copyto(out, value, where=mask, casting="same_kind")
    return out


def power(x, y):
    """x ** y, for numbers and arrays."""
    name = _POWERS.get(y) if type(y) in (int, float) and _is_kernel_array(x) else None
    return x**y if name is None else _kernels.MAPS[name](x)


# ----------------------------------------------------------------------- softmax, cross-entropy


def _around(x, axis):
    """x in C order as (n, length of `axis`, p), or (n, length) for the last axis."""
    shape = x.shape
    if axis == x.ndim - 1:
        return _ordered(x).reshape(-1, shape[-1]) if x.size else x.reshape(0, shape[-1])
    return _ordered(x).reshape(math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))


def softmax(x, axis):
    """exp(x) / sum(exp(x)) along `axis`."""
    if x.dtype.char in KERNEL_DTYPES:
        return _kernels.softmax(_around(x, axis)).reshape(x.shape)
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def softmax_backward(g, out, axis):
    """out * (g - sum(g * out)) along `axis`."""
    if g.dtype.char in KERNEL_DTYPES:
        return _kernels.softmax_backward(_around(g, axis), _around(out, axis)).reshape(g.shape)
    return out * (g - (g * out).sum(axis, keepdims=True))


def log_softmax(x, axis):
    """x - log(sum(exp(x))) along `axis`."""
    if x.dtype.char in KERNEL_DTYPES:
        return _kernels.softmax(_around(x, axis), True).reshape(x.shape)
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def log_softmax_backward(g, out, axis):
    """g - exp(out) * sum(g) along `axis`."""
    if g.dtype.char in KERNEL_DTYPES:
        dx = _kernels.softmax_backward(_around(g, axis), _around(out, axis), True)
        return dx.reshape(g.shape)
    return g - np.exp(out) * g.sum(axis, keepdims=True)


def _wide(x):
    """x in a dtype that kernels take, in C order."""
    return _ordered(x if x.dtype.char in KERNEL_DTYPES else x.astype(np.float32))


def cross_entropy(logits, target, ignore_index, weight, smoothing, scale, gradient=True):
    """logits (N, C) or (N, C, P), target (N,) or (N, P) int64, weight (C,) or None -> the
    cross-entropy for each target, times `scale`, and, if wanted, its gradient in the logits; both 0
    where the target is `ignore_index`. `smoothing`: the part of a target that is spread over all
    classes. `scale` "mean": the mean, weighted by the targets' weights. IndexError for any other
    target outside [0, C)."""
    wide = _wide(logits)
    loss, grad = _kernels.cross_entropy(
        wide,
        _ordered(target),
        ignore_index,
        _vector(weight, wide.dtype),
        smoothing,
        scale,
        gradient=gradient,
    )
    if wide.dtype is logits.dtype:
        return loss, grad
    return loss.astype(logits.dtype), None if grad is None else grad.astype(logits.dtype)


def soft_cross_entropy(logits, target, weight, smoothing, scale, gradient=True):
    """logits (N, C), target (N, C), weight (C,) or None -> the cross-entropy of each row with
    probabilities, times `scale`, its target's sum, weighted and scaled, and, if wanted, the
    gradient in the logits."""
    wide = _wide(logits)
    found = _kernels.soft_cross_entropy(
        wide,
        _ordered(target.astype(wide.dtype, copy=False)),
        _vector(weight, wide.dtype),
        smoothing,
        scale,
        gradient=gradient,
    )
    return tuple([None if x is None else x.astype(logits.dtype, copy=False) for x in found])


def nll(x, target, ignore_index, weight, scale):
    """x (N, C) or (N, C, P), target (N,) or (N, P) int64, weight (C,) or None -> minus the number
    that each target chooses, times its weight and `scale`, 0 where it is `ignore_index`. `scale`
    "mean": the mean, weighted by the targets' weights. IndexError for other targets."""
    wide = _wide(x)
    if weight is not None:
        weight = _vector(weight, wide.dtype)
    loss = _kernels.nll(wide, _ordered(target), ignore_index, weight, scale)
    return loss if wide.dtype is x.dtype else loss.astype(x.dtype)


def nll_backward(g, target, classes, ignore_index, weight, scale):
    """The gradient of `nll` in x; g: that of its result, of target's shape or 0-d."""
    wide = _wide(g)
    weight = _vector(weight, wide.dtype)
    dx = _kernels.nll_backward(wide, _ordered(target), classes, ignore_index, weight, scale)
    return dx.astype(g.dtype, copy=False)


def ctc_loss(x, targets, steps, lengths, blank, zero_infinity, gradient):
    """The losses (N,) of log-probabilities x (T, N, C) against labellings, int64: targets (N, S) of
    `lengths`, over the first `steps` (N,); and their gradient (T, N, C), or None."""
    wide = _wide(x)
    loss, grad = _kernels.ctc_loss(wide, targets, steps, lengths, blank, zero_infinity, gradient)
    if wide.dtype != x.dtype:
        loss, grad = loss.astype(x.dtype), grad.astype(x.dtype) if gradient else None
    return loss, grad


def map_sum(name, *arrays, factor=1.0, **parameters):
    """`factor` times the sum of the elementwise function `name` of _kernels.MAPS, 0-d."""
    dtype = arrays[0].dtype
    if not all(map(_is_kernel_array, arrays)):
        wide = dtype if dtype.char in KERNEL_DTYPES else np.dtype(np.float32)
        arrays = [_ordered(np.asarray(x).astype(wide, copy=False)) for x in arrays]
    total = _kernels.MAPS[name].sum(*arrays, factor=factor, **parameters)
    return total.astype(dtype, copy=False)


# ----------------------------------------------------------------------------------------- copies


def copy(x):
    """A copy of x in C order."""
    return _kernels.copy(x)


def copy_into(out, x):
    """x written to `out`, of its shape and dtype and with any strides; returns `out`."""
    return _kernels.copy(x, out=out)


def concatenate(xs, axis):
    """The arrays, of one dtype, after one another along `axis`, counted from the front."""
    return _kernels.concatenate(xs, axis)


def stack(xs, axis):
    """The arrays, of one shape and dtype, side by side along a new axis."""
    return _kernels.stack(xs, axis)


def pad(x, widths, value):
    """x with `widths[i]` = (before, after) elements of `value` added along axis i; negative widths
    take elements away."""
    return _kernels.pad(x, widths, value)


def gather(x, index, dim):
    """The elements of x that `index`, no larger than x beside axis `dim`, names along it."""
    return _kernels.gather(x, index, dim)


def scatter_add(x, index, shape, dim):
    """Zeros of `shape` with x added at the places that `gather` with `index` reads; repeated places
    add up."""
    if x.dtype.char in KERNEL_DTYPES:
        return _kernels.scatter_add(x, index, shape, dim)
    y = np.zeros(shape, x.dtype)
    grid = list(np.ogrid[tuple([slice(0, n) for n in index.shape])])
    grid[dim] = index
    np.add.at(y, tuple(grid), x)
    return y


def within(index, low, high):
    """Do all ints of an array lie in [low, high)?"""
    return _kernels.within(index.astype(np.int64, copy=False), low, high)


def fill(out, value):
    """The number `value`, cast to the dtype of `out`, in every place; returns `out`."""
    return _kernels.fill(out, value)


# ------------------------------------------------------------------------------------- reductions

_UFUNCS = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}


def _has_order(x, op):
    if x.dtype.kind == "c":
        raise NotImplementedError(f'"{op}" not implemented for complex numbers: they have no order')


def reduce(x, op, dims, keepdim, mean=False):
    """The `op` of x over `dims`, axes counted from the front: "sum", "prod", "max", "min", and of
    floats "sum_abs", "sum_squares". Sums and products of bools and integers are int64; `mean`
    divides by the number of elements."""
    if x.dtype.char in KERNEL_DTYPES:
        return _kernels.reduce(x, op, dims, keepdim, mean)
    if op == "max" or op == "min":
        _has_order(x, op)
    if op == "sum_abs" or op == "sum_squares":
        x, op = np.abs(x) if op == "sum_abs" else np.square(x), "sum"
    dtype = np.int64 if x.dtype.kind in "biu" and op in ("sum", "prod") else None
    y = _UFUNCS[op].reduce(x, dims, dtype, None, keepdim)
    return y / math.prod([x.shape[d] for d in dims]) if mean else y


def logsumexp(x, dims, keepdim):
    """log(sum(exp(x))) over `dims`; the greatest element is taken out and added again."""
    top = reduce(x, "max", dims, True) if x.size else np.zeros((), x.dtype)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype, copy=False)
    if _is_kernel_array(x):
        y = MAPS["sub"](x, top)
        y = MAPS["exp"](y, out=y)
    else:
        y = np.exp(x - top)
    y = np.log(reduce(y, "sum", dims, True)) + top
    return y if keepdim else y.reshape([n for i, n in enumerate(x.shape) if i not in dims])


def extreme(x, op, dim, keepdim):
    """(greatest or smallest elements along `dim`, their places, int64): `op` "max" or "min"; the
    first of equal ones, NaN before all. `dim` None: of all elements."""
    if x.dtype.char in KERNEL_DTYPES:
        return _kernels.extreme(x, op, dim, keepdim)
    _has_order(x, op)
    if dim is None:
        values, places = extreme(x.reshape(-1), op, 0, keepdim)
        return tuple([a.reshape((1,) * x.ndim) if keepdim else a for a in (values, places)])
    places = (np.argmax if op == "max" else np.argmin)(x, dim, keepdims=True)
    places = places.astype(np.int64, copy=False)
    values = np.take_along_axis(x, places, dim)
    return (values, places) if keepdim else (np.squeeze(values, dim), np.squeeze(places, dim))


def scan(x, dim, product=False):
    """Running sums (or products) of x along `dim`; of bools and integers as int64."""
    if x.dtype.char in KERNEL_DTYPES:
        return _kernels.scan(_ordered(x), dim, product)
    ufunc = np.multiply if product else np.add
    return ufunc.accumulate(x, dim, np.int64 if x.dtype.kind in "biu" else None)


def variance(x, dims, correction, keepdim):
    """(variance, mean) over `dims`; the variance is divided by the count less `correction`."""
    if x.dtype.char in KERNEL_DTYPES:
        return _kernels.variance(x, dims, correction, keepdim)
    found = _kernels.variance(x.astype(np.float32), dims, correction, keepdim)
    return tuple([a.astype(x.dtype) for a in found])


# --------------------------------------------------------------------- random numbers and dropout


def random_uniform(out, seed, draw, low, high):
    """Fill `out`, float32 or float64 in C order, with numbers in [low, high); returns it."""
    return _kernels.random_uniform(out, seed, draw, low, high)


def random_normal(out, seed, draw, mean, std):
    """Fill `out` with normal numbers; returns it."""
    return _kernels.random_normal(out, seed, draw, mean, std)


def random_exponential(out, seed, draw, rate):
    """Fill `out` with exponential numbers, none of them 0; returns it."""
    return _kernels.random_exponential(out, seed, draw, rate)


def random_bernoulli(out, seed, draw, p):
    """Fill `out` with 1 with probability `p`, else 0; returns it."""
    return _kernels.random_bernoulli(out, seed, draw, p)


def random_integers(out, seed, draw, low, high):
    """Fill `out`, int64 in C order, with integers in [low, high); returns it."""
    return _kernels.random_integers(out, seed, draw, low, high)


def random_permutation(out, seed, draw):
    """Fill `out`, int64 in C order, with 0, 1, ... in random order; returns it."""
    return _kernels.random_permutation(out, seed, draw)


def dropout(x, seed, draw, p):
    """0 with probability `p`, else x / (1 - p): the same elements for the same (seed, draw)."""
    if x.dtype.char in KERNEL_DTYPES:
        return _kernels.dropout(_ordered(x), seed, draw, p)
    return _kernels.dropout(x.astype(np.float32, order="C"), seed, draw, p).astype(x.dtype)


# ----------------------------------------------------------------------------------- normalisation


def _vector(values, dtype):
    """A contiguous vector of `dtype`; None stays None."""
    return None if values is None else np.ascontiguousarray(values, dtype)


def batch_norm(x, weight, bias, eps, stats):
    """x (N, C, ...) -> (x - mean) / sqrt(var + eps) * weight + bias, with each channel's own mean
    and biased variance, which are written to `stats` (2, C). weight, bias: (C,) or None."""
    if x.dtype.char in KERNEL_DTYPES:
        weight, bias = _vector(weight, x.dtype), _vector(bias, x.dtype)
        return _kernels.batch_norm(_ordered(x), weight, bias, eps, stats=stats)[0]
    return batch_norm(x.astype(np.float32), weight, bias, eps, stats).astype(x.dtype)


def batch_norm_fixed(x, mean, var, weight, bias, eps):
    """The same with mean and var given, both (C,)."""
    if x.dtype.char in KERNEL_DTYPES:
        vectors = [_vector(v, x.dtype) for v in (mean, var, weight, bias)]
        return _kernels.batch_norm_fixed(_ordered(x), *vectors, eps)
    return batch_norm_fixed(x.astype(np.float32), mean, var, weight, bias, eps).astype(x.dtype)


def batch_norm_backward(g, x, weight, eps, stats):
    """The gradients of `batch_norm` in x, weight and bias: (N, C, ...), (C,) and (C,)."""
    if x.dtype.char in KERNEL_DTYPES:
        weight = _vector(weight, x.dtype)
        return _kernels.batch_norm_backward(_ordered(g), _ordered(x), stats, weight, eps)
    g, wide = g.astype(np.float32), x.astype(np.float32)
    return tuple([d.astype(x.dtype) for d in batch_norm_backward(g, wide, weight, eps, stats)])


def row_norm(x, weight, bias, shape, eps, centred, stats):
    """x, seen as `shape` (n, g, c, p), normalised over c and p; stats (2, n g) takes the means and
    biased variances. weight, bias: g c values or None. Without `centred` no mean is subtracted and
    the variance is the mean square."""
    if x.dtype.char in KERNEL_DTYPES:
        weight, bias = _vector(weight, x.dtype), _vector(bias, x.dtype)
        return _kernels.row_norm(_ordered(x), shape, weight, bias, eps, centred, stats=stats)[0]
    wide = x.astype(np.float32)
    return row_norm(wide, weight, bias, shape, eps, centred, stats).astype(x.dtype)


def row_norm_backward(g, x, weight, shape, eps, centred, stats):
    """The gradients of `row_norm` in x, weight and bias: x's shape, (g c,) and (g c,)."""
    if x.dtype.char in KERNEL_DTYPES:
        weight = _vector(weight, x.dtype)
        return _kernels.row_norm_backward(
            _ordered(g), _ordered(x), shape, stats, weight, eps, centred
        )
    g, wide = g.astype(np.float32), x.astype(np.float32)
    found = row_norm_backward(g, wide, weight, shape, eps, centred, stats)
    return tuple([d.astype(x.dtype) for d in found])


# -------------------------------------------------------------------------------- rows of a table


def gather_rows(table, index, gaps):
    """table (rows, d), index (n,) int64 -> (n, d). With `gaps` an index of -1 gives zeros.
    IndexError for other indices outside [0, rows)."""
    wide = table if table.dtype.char in KERNEL_DTYPES else table.astype(np.float64)
    rows = _kernels.gather_rows(_ordered(wide), _ordered(index), gaps)
    return rows if wide is table else rows.astype(table.dtype)


def scatter_rows(g, index, rows):
    """g (n, d), index (n,) int64 -> (rows, d): row r is the sum of g[i] over index[i] == r; -1 is
    left out."""
    wide = g if g.dtype.char in KERNEL_DTYPES else g.astype(np.float32)
    table = _kernels.scatter_rows(_ordered(wide), _ordered(index), rows)
    return table if wide is g else table.astype(g.dtype)


# --------------------------------------------------------------------------------- optimizer steps
#
# Parameters, gradients and states come in lists with one array per parameter, and are updated in
# place; a state that a rule does not keep is None. What the options mean stands at the classes of
# fastdl.optim.


def _update(kernel, lists, options, **each):
    """Runs an optimizer kernel on all parameters; on each alone, if need be on copies, where it
    does not take their dtypes (float16, several) or layouts. `each`: lists of numbers."""
    try:
        kernel(*lists, **each, **options)
        return
    except (TypeError, ValueError):  # the kernel checks before it writes
        pass
    for i, param in enumerate(lists[0]):
        own = [None if x is None else x[i] for x in lists]
        dtype = param.dtype if param.dtype.char in KERNEL_DTYPES else np.float32
        copies = [None if x is None else [np.array(x, dtype, order="C")] for x in own]
        kernel(*copies, **{name: x and x[i : i + 1] for name, x in each.items()}, **options)
        for k, x in enumerate(own):
            if x is not None and k != 1:  # all but the gradient
                x[...] = copies[k][0]


def sgd_step(params, grads, bufs, *, steps, **options):
    """One step of SGD; `bufs`: the running averages, zeros before step 1 (None: no momentum).
    Options: lr, momentum, dampening, weight_decay, nesterov, maximize."""
    _update(_kernels.sgd_step, (params, grads, bufs), options, steps=steps)


def adam_step(params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, *, steps, **options):
    """One step of Adam or AdamW; `max_exp_avg_sqs` is None without amsgrad. Options: lr, beta1,
    beta2, eps, weight_decay, decoupled, maximize."""
    lists = (params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs)
    _update(_kernels.adam_step, lists, options, steps=steps)


def nadam_step(params, grads, exp_avgs, exp_avg_sqs, *, steps, mu_products, **options):
    """One step of NAdam. Options: as `adam_step`, and momentum_decay."""
    lists = (params, grads, exp_avgs, exp_avg_sqs)
    _update(_kernels.nadam_step, lists, options, steps=steps, mu_products=mu_products)


def radam_step(params, grads, exp_avgs, exp_avg_sqs, *, steps, **options):
    """One step of RAdam. Options: as `adam_step`."""
    _update(_kernels.radam_step, (params, grads, exp_avgs, exp_avg_sqs), options, steps=steps)


def adamax_step(params, grads, exp_avgs, exp_infs, *, steps, **options):
    """One step of Adamax. Options: lr, beta1, beta2, eps, weight_decay, maximize."""
    _update(_kernels.adamax_step, (params, grads, exp_avgs, exp_infs), options, steps=steps)


def rmsprop_step(params, grads, square_avgs, bufs, grad_avgs, **options):
    """One step of RMSprop; `bufs` is None without momentum, `grad_avgs` unless centered. Options:
    lr, alpha, eps, weight_decay, momentum, maximize."""
    _update(_kernels.rmsprop_step, (params, grads, square_avgs, bufs, grad_avgs), options)


def adagrad_step(params, grads, sums, *, steps, **options):
    """One step of Adagrad. Options: lr, lr_decay, eps, weight_decay, maximize."""
    _update(_kernels.adagrad_step, (params, grads, sums), options, steps=steps)


def adadelta_step(params, grads, square_avgs, acc_deltas, **options):
    """One step of Adadelta. Options: lr, rho, eps, weight_decay, maximize."""
    _update(_kernels.adadelta_step, (params, grads, square_avgs, acc_deltas), options)


def _taken(arrays):
    """Can a kernel take these arrays, all in one call?"""
    chars = {x.dtype.char for x in arrays}
    return len(chars) == 1 and chars <= KERNEL_DTYPES and all(x.flags.carray for x in arrays)


def sum_squares(arrays):
    """The sum of the squares of all values of all arrays, a float."""
    if _taken(arrays):
        return _kernels.sum_squares(arrays)
    return sum(float(np.sum(np.square(x, dtype=np.float64))) for x in arrays)


def scale(arrays, factor):
    """All values of all arrays times `factor`, in place."""
    if _taken(arrays):
        _kernels.scale(arrays, factor)
    else:
        for x in arrays:
            x *= x.dtype.type(factor)


def clamp(arrays, low, high):
    """All values of all arrays brought into [low, high], in place; NaN stays."""
    if _taken(arrays):
        _kernels.clamp(arrays, low, high)
    else:
        for x in arrays:
            np.clip(x, low, high, out=x)
