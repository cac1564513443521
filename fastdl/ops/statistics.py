"""Covariances, integrals by the trapezoidal rule, slopes of samples."""

import numpy as np

from fastdl import _dtype
from fastdl._engine import tensor_of
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.complex import complex, imag, real
from fastdl.ops.core import is_tensor, normal_dim, normal_dims, result_dtype, tensor_argument
from fastdl.ops.diagonal import diagonal
from fastdl.ops.join import cat, diff
from fastdl.ops.linalg import matmul, swap_last

__all__ = ["corrcoef", "cov", "cumulative_trapezoid", "gradient", "trapezoid", "trapz"]


def _observation_weights(fweights, aweights, count, dtype):
    """(weights or None, their sum): products of frequencies and importances."""
    weights = None
    for name, w, kinds in (("fweights", fweights, "iu"), ("aweights", aweights, "f")):
        if w is None:
            continue
        tensor_argument("cov", name, w)
        if w.array.ndim > 1 or w.array.size != count:
            raise RuntimeError(
                f"cov(): expected {name} to have one or fewer dimensions and one element per "
                f"observation ({count}), but got shape {list(w.array.shape)}"
            )
        if w.array.dtype.kind not in kinds:
            raise RuntimeError(
                f"cov(): expected {name} to have "
                f"{'integral' if kinds == 'iu' else 'floating point'} dtype, but got {w.dtype}"
            )
        if (w.array < 0).any():
            raise RuntimeError(f"cov(): {name} cannot be negative")
        w = S.reshape(w, -1).to(dtype)
        weights = w if weights is None else weights * w
    return weights


def cov(input, *, correction=1, fweights=None, aweights=None):
    """Covariances of the rows (variables) of a matrix, or the variance of a vector.

    Sums of products are divided by observations - correction. fweights: how often each
    observation counts (integers); aweights: its importance.
    """
    tensor_argument("cov", "input", input)
    ndim = input.array.ndim
    if input.array.dtype.kind == "b":
        raise RuntimeError("cov(): bool dtype is not supported for input")
    if ndim > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {ndim} "
            "dimensions"
        )
    x = S.reshape(input, 1, -1) if ndim < 2 else input
    if x.array.dtype.kind not in "fc":
        x = x.to(result_dtype((x.array, 1.0)))
    count = x.array.shape[1]
    w = _observation_weights(fweights, aweights, count, x.dtype)
    if w is None:
        x = x - x.mean(1, keepdim=True)
        product, norm = matmul(x, _turned(x)), max(count - correction, 0)
    else:
        total = w.sum()
        if float(total) == 0:
            raise RuntimeError("cov(): weights sum to zero, can't be normalized")
        x = x - (x * w).sum(1, keepdim=True) / total
        product = matmul(x, _turned(x * w))
        norm = total - correction
        if aweights is not None:
            norm = total - correction * (w * aweights.to(x.dtype)).sum() / total
        norm = E.clamp(norm, min=0)
    found = product / norm
    return S.reshape(found, ()) if x.array.shape[0] == 1 else found


def _turned(x):
    return swap_last(x.conj() if x.array.dtype.kind == "c" else x)


def corrcoef(input):
    """Correlation coefficients of the rows (variables) of a matrix; 1 for a vector."""
    c = cov(input)
    if not c.array.ndim:
        return c / c
    spread = E.sqrt(real(diagonal(c)) if c.array.dtype.kind == "c" else diagonal(c))
    found = c / S.unsqueeze(spread, -1) / S.unsqueeze(spread, 0)
    if found.array.dtype.kind == "c":
        return complex(E.clamp(real(found), -1, 1), E.clamp(imag(found), -1, 1))
    return E.clamp(found, -1, 1)


def _slabs(function, y, x, dx, dim):
    """Areas between neighbours along `dim`, and that dimension."""
    tensor_argument(function, "y", y)
    if y.array.dtype.kind == "b":
        raise RuntimeError(f"{function}: received a bool input for `y`, but bool is not supported")
    dim = normal_dim(dim, y.array.ndim)
    n = y.array.shape[dim]
    if not n:
        return E.mul(y, 1.0), dim
    heights = S.narrow(y, dim, 1, n - 1) + S.narrow(y, dim, 0, n - 1)
    if x is None:
        width = 1.0 if dx is None else dx
    else:
        if dx is not None:
            raise TypeError(f"{function}(): takes x or dx, not both")
        if not is_tensor(x):
            raise TypeError(f"{function}(): argument 'x' must be Tensor, not {type(x).__name__}")
        axis = dim
        if x.array.ndim == 1 and y.array.ndim > 1:
            x = S.reshape(x, *[-1 if d == dim else 1 for d in range(y.array.ndim)])
        elif x.array.ndim < y.array.ndim:
            axis = dim - (y.array.ndim - x.array.ndim)
        if x.array.shape[axis] != n:
            raise RuntimeError(
                f"{function}(): There must be one `x` value for each sample point: got "
                f"{x.array.shape[axis]} for {n}"
            )
        width = diff(x, 1, axis)
    return heights * width / 2.0, dim


def trapezoid(y, x=None, *, dx=None, dim=-1):
    """Integral of samples y along `dim` by the trapezoidal rule, at places x or `dx` (1) apart."""
    areas, dim = _slabs("trapezoid", y, x, dx, dim)
    return S.sum_over(areas, dims=(dim,), keepdim=False)


def cumulative_trapezoid(y, x=None, *, dx=None, dim=-1):
    """Running integral of samples y by the trapezoidal rule: one element fewer than y."""
    areas, dim = _slabs("cumulative_trapezoid", y, x, dx, dim)
    return areas.cumsum(dim)


def trapz(y, x=None, *, dx=None, dim=-1):
    """The old name of `trapezoid`."""
    return trapezoid(y, x, dx=dx, dim=dim)


def gradient(input, *, spacing=1, dim=None, edge_order=1):
    """Slopes of the samples `input` along each of `dim` (int or tuple; None: all): a tuple.

    Central differences inside, one-sided ones of `edge_order` 1 or 2 at the edges. spacing: the
    distance of neighbours, one for all or a sequence of one per dimension, of numbers or of 1-d
    tensors of coordinates. RuntimeError for fewer than edge_order + 1 samples.

    >>> import fastdl
    >>> fastdl.gradient(fastdl.tensor([1.0, 2.0, 4.0, 7.0]))
    (tensor([1.0000, 1.5000, 2.5000, 3.0000]),)
    """
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    dims = normal_dims(dim, input.array.ndim)
    steps = spacing if isinstance(spacing, (tuple, list)) else [spacing] * len(dims)
    if len(steps) != len(dims):
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar or a list of length "
            f"{len(dims)}, but got a list of length {len(steps)}"
        )
    if any(input.array.shape[d] < edge_order + 1 for d in dims):
        raise RuntimeError(
            "torch.gradient expected each dimension size to be at least edge_order+1"
        )
    return tuple([_slopes(input, d, step, edge_order) for d, step in zip(dims, steps)])


def _slopes(f, dim, step, edge_order):
    n = f.array.shape[dim]
    if is_tensor(step):
        places = step.array
        if places.shape != (n,):
            raise RuntimeError(
                "torch.gradient expected each element of spacing to have the size of its "
                f"dimension, {n}, but got {list(places.shape)}"
            )
    else:
        places = np.arange(n) * step
    h = np.diff(places)
    dtype = f.array.dtype if _dtype.is_inexact(f.array.dtype) else _dtype.get_default_dtype().dtype

    def weighted(first, weights):
        """sum of weights[k] * f[first + k], each along `dim`."""
        total = None
        for k, w in enumerate(weights):
            w = np.reshape(w, (-1,) + (1,) * (f.array.ndim - 1 - dim)).astype(dtype)
            term = S.narrow(f, dim, first + k, w.shape[0]) * tensor_of(w)
            total = term if total is None else total + term
        return total

    def edge(first, a, b, sign):
        """At the end where the first two steps are a and b, seen from it."""
        if edge_order == 1:
            return weighted(first, [-1 / h[first], 1 / h[first]])
        weights = [-(2 * a + b) / (a * (a + b)), (a + b) / (a * b), -a / (b * (a + b))]
        return weighted(first, [sign * w for w in weights[:: int(sign)]])

    a, b = h[:-1], h[1:]
    inside = [-b / (a * (a + b)), (b - a) / (a * b), a / (b * (a + b))]
    ends = (h[0], h[1]) if n > 2 else (h[0], h[0]), (h[-1], h[-2]) if n > 2 else (h[0], h[0])
    parts = [edge(0, *ends[0], 1.0), edge(n - 1 - edge_order, *ends[1], -1.0)]
    if n > 2:
        parts.insert(1, weighted(0, inside))
    return cat(parts, dim)
