"""Products of tensors: matmul and its special cases, einsum, tensordot, cross, addmm ..."""

import functools
import math
import string

import numpy as np

from fastdl import backends
from fastdl.ops import shape as S
from fastdl.ops.core import (
    elementwise,
    legacy_name,
    normal_dim,
    primitive,
    takes_out,
    tensor_argument,
)
from fastdl.ops.diagonal import diagonal

__all__ = [
    "addbmm",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
    "bmm",
    "cross",
    "dot",
    "einsum",
    "ger",
    "inner",
    "matmul",
    "mm",
    "mv",
    "outer",
    "tensordot",
    "trace",
    "vdot",
]


def _same_dtype(function, *arrays):
    first = arrays[0].dtype
    for a in arrays[1:]:
        if a.dtype != first:
            raise RuntimeError(
                f"{function}: expected both matrices to have the same dtype, but got: {first} != "
                f"{a.dtype}"
            )


@primitive(node_name="Mm", kernel="matmul")
def matmul(x, y):
    """Matrix product (..., m, k) @ (..., k, n); vectors take part as rows or columns."""
    try:
        if x.dtype == y.dtype and x.shape[-1] == y.shape[-2 if y.ndim > 1 else 0]:
            return backends.of(x).matmul(x, y)
    except (AttributeError, IndexError):  # numbers, tensors without dimensions
        pass
    raise _product_error(x, y)


def _product_error(x, y):
    """What keeps x and y from being multiplied."""
    if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray)):
        wrong = y if isinstance(x, np.ndarray) else x
        return TypeError(f"matmul(): argument 'other' must be Tensor, not {type(wrong).__name__}")
    _same_dtype("matmul", x, y)
    if x.ndim == 0 or y.ndim == 0:
        return RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {x.ndim}D and {y.ndim}D"
        )
    return RuntimeError(_product_mismatch(x.shape, y.shape))


def _product_mismatch(a, b):
    if len(a) == 1 and len(b) == 1:
        return (
            f"inconsistent tensor size, expected tensor {list(a)} and src {list(b)} to have the "
            f"same number of elements, but got {a[0]} and {b[0]} elements respectively"
        )
    if len(b) == 1:
        return f"size mismatch, got input ({a[-2]}), mat ({a[-2]}x{a[-1]}), vec ({b[0]})"
    rows = math.prod(a[:-1])
    if len(b) > 2:
        return (
            f"Expected size for first two dimensions of batch2 tensor to be: [{a[-1]}, *] but "
            f"got: {list(b[-2:])}; shapes {list(a)} and {list(b)}"
        )
    return f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a[-1]} and {b[0]}x{b[1]})"


def _matmul_wrt_x(g, x_shape, y):
    if len(x_shape) == 1:
        if y.array.ndim == 1:
            return g * y
        return S.sum_to(matmul(y, g) if y.array.ndim == 2 else _column(y, g), x_shape)
    if y.array.ndim == 1:
        return S.unsqueeze(g, -1) * y
    return S.sum_to(matmul(g, swap_last(y)), x_shape)


def _column(y, g):
    return S.squeeze(matmul(y, S.unsqueeze(g, -1)), -1)


def _matmul_wrt_y(g, x, y_shape):
    if len(y_shape) == 1:
        if x.array.ndim == 1:
            return g * x
        rows = S.reshape_to(x, shape=(-1, x.array.shape[-1]))
        return matmul(S.reshape_to(g, shape=(-1,)), rows)
    if x.array.ndim == 1:
        return S.sum_to(S.unsqueeze(x, -1) * S.unsqueeze(g, -2), y_shape)
    if len(y_shape) == 2 and x.array.ndim > 2:  # one product instead of one per matrix, summed
        x = S.reshape_to(x, shape=(-1, x.array.shape[-1]))
        g = S.reshape_to(g, shape=(-1, g.array.shape[-1]))
    return S.sum_to(matmul(swap_last(x), g), y_shape)


def swap_last(x):
    """The last two dimensions exchanged, a view."""
    return S.swap(x, dim0=-1, dim1=-2)


matmul.vjp(x=_matmul_wrt_x, y=_matmul_wrt_y)


def _of_ndim(function, name, x, ndim):
    tensor_argument(function, name, x)
    if x.array.ndim != ndim:
        raise RuntimeError(f"{function}: {name} must be a {ndim}-D tensor, got {x.array.ndim}-D")
    return x


@takes_out
def mm(input, mat2):
    """Product of two matrices; no broadcasting."""
    if input.array.ndim == mat2.array.ndim == 2:
        return matmul(input, mat2)
    return matmul(_of_ndim("mm", "input", input, 2), _of_ndim("mm", "mat2", mat2, 2))


@takes_out
def bmm(input, mat2):
    """Products of two equally long stacks of matrices: (b, m, k), (b, k, n) -> (b, m, n)."""
    first, other = input.array.shape, mat2.array.shape
    if len(first) != 3 or len(other) != 3:
        _of_ndim("bmm", "input", input, 3), _of_ndim("bmm", "mat2", mat2, 3)
    b, _, k = first
    if other[0] != b or other[1] != k:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: [{b}, {k}] but got: "
            f"[{other[0]}, {other[1]}]."
        )
    return matmul(input, mat2)


@takes_out
def mv(input, vec):
    """Matrix times vector."""
    if input.array.ndim == 2 and vec.array.ndim == 1 and input.array.dtype is vec.array.dtype:
        return matmul(input, vec)  # the usual
    return matmul(_of_ndim("mv", "input", input, 2), _of_ndim("mv", "vec", vec, 1))


@takes_out
def dot(input, tensor):
    """Sum of products of two vectors."""
    x, y = input.array, tensor.array
    if x.ndim != 1 or y.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {x.ndim}D and {y.ndim}D tensors")
    if x.dtype != y.dtype:
        _same_dtype("dot", x, y)
    return matmul(input, tensor)


@takes_out
def vdot(input, other):
    """`dot` of the conjugate of `input` with `other`."""
    tensor_argument("vdot", "input", input)
    return dot(input.conj() if input.array.dtype.kind == "c" else input, other)


@takes_out
def inner(input, other):
    """Sums of products over the last dimensions: (..., k), (... k) -> all other dimensions."""
    tensor_argument("inner", "input", input), tensor_argument("inner", "other", other)
    if not input.array.ndim or not other.array.ndim:
        return input * other
    if input.array.dtype != other.array.dtype:
        raise RuntimeError("both inputs should have same dtype")
    k, last = input.array.shape[-1], other.array.shape[-1]
    if k != last:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input.array.shape)} and {list(other.array.shape)}"
        )
    return tensordot(input, other, ([-1], [-1]))


@takes_out
def outer(input, vec2):
    """Matrix of all products of elements of two vectors."""
    _of_ndim("outer", "input", input, 1)
    _of_ndim("outer", "vec2", vec2, 1)
    return S.unsqueeze(input, 1) * vec2


@takes_out
def ger(input, vec2):
    """The old name of `outer`."""
    return outer(input, vec2)


def _added(function, input, product, beta, alpha):
    tensor_argument(function, "input", input)
    if alpha != 1:
        product = product * alpha
    if beta == 0:  # whatever `input` holds, NaN too, is ignored
        return product
    if input.array.shape != product.array.shape:
        input = S.expand_to(input, shape=product.array.shape)
    return (input if beta == 1 else input * beta) + product


@takes_out
def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    """`beta * input + alpha * (mat1 @ mat2)`."""
    return _added("addmm", input, mm(mat1, mat2), beta, alpha)


@takes_out
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """`beta * input + alpha * bmm(batch1, batch2)`."""
    return _added("baddbmm", input, bmm(batch1, batch2), beta, alpha)


@takes_out
def addbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """`beta * input + alpha * bmm(batch1, batch2).sum(0)`."""
    total = S.sum_over(bmm(batch1, batch2), dims=(0,), keepdim=False)
    return _added("addbmm", input, total, beta, alpha)


@takes_out
def addmv(input, mat, vec, *, beta=1, alpha=1):
    """`beta * input + alpha * (mat @ vec)`."""
    return _added("addmv", input, mv(mat, vec), beta, alpha)


@takes_out
def addr(input, vec1, vec2, *, beta=1, alpha=1):
    """`beta * input + alpha * outer(vec1, vec2)`."""
    return _added("addr", input, outer(vec1, vec2), beta, alpha)


def _contracted_dims(a, b, dims):
    """Two lists of dimensions to sum over, counted from the front."""
    if hasattr(dims, "array"):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.array.ndim, b.array.ndim):
            raise RuntimeError(
                f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}, ndim_a="
                f"{a.array.ndim} and ndim_b={b.array.ndim}"
            )
        return list(range(a.array.ndim - dims, a.array.ndim)), list(range(dims))
    over = [[d] if isinstance(d, int) else list(d) for d in dims]
    if len(over) == 1:
        over *= 2
    over_a, over_b = ([normal_dim(d, x.array.ndim) for d in o] for o, x in zip(over, (a, b)))
    if len(over_a) != len(over_b):
        raise RuntimeError("both dimension lists should have same length")
    return over_a, over_b


@takes_out
def tensordot(a, b, dims=2):
    """Sum of products over the last `dims` dimensions of a and first of b, or over two lists."""
    tensor_argument("tensordot", "a", a), tensor_argument("tensordot", "b", b)
    if a.array.dtype != b.array.dtype:
        raise RuntimeError("both inputs should have same dtype")
    over_a, over_b = _contracted_dims(a, b, dims)
    letters = iter(string.ascii_letters)
    of_a = [next(letters) for _ in range(a.array.ndim)]
    of_b = [next(letters) for _ in range(b.array.ndim)]
    for i, j in zip(over_a, over_b):
        m, n = a.array.shape[i], b.array.shape[j]
        if m == 1 != n:  # broadcast
            b = S.sum_over(b, dims=(j,), keepdim=True)
        elif n == 1 != m:
            a = S.sum_over(a, dims=(i,), keepdim=True)
        elif m != n:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {m} in dim {i} and "
                f"second has size {n} in dim {j}"
            )
        of_b[j] = of_a[i]
    out = [c for i, c in enumerate(of_a) if i not in over_a]
    out += [c for j, c in enumerate(of_b) if j not in over_b]
    return einsum_of(a, b, terms=("".join(of_a), "".join(of_b)), result="".join(out))


# ---- einsum -----------------------------------------------------------------------------------


@primitive(node_name="Einsum")
def einsum_of(*xs, terms, result):
    """np.einsum; terms and result are strings of distinct letters."""
    return backends.of(xs[0]).einsum(xs, terms, result)


def _einsum_slopes(g, xs, xs_shape, terms, result, needs):
    slopes = []
    for i, needed in enumerate(needs):
        if not needed:
            slopes.append(None)
            continue
        others = [(x, t) for j, (x, t) in enumerate(zip(xs, terms)) if j != i]
        known = set(result).union(*[t for _, t in others])
        kept = "".join([c for c in terms[i] if c in known])
        slope = einsum_of(
            g, *[x for x, _ in others], terms=(result, *[t for _, t in others]), result=kept
        )
        if (
            kept != terms[i]
        ):  # letters of this operand alone were summed: the slope repeats along them
            dims = tuple([d for d, c in enumerate(terms[i]) if c not in known])
            slope = S.spread(slope, xs_shape[i], dims, False)
        slopes.append(slope)
    return tuple(slopes)


einsum_of.vjp_joint(_einsum_slopes)


def _sublists(args):
    """The equation and operands of einsum(x, [0, 1], y, [1, 2], [0, 2])."""
    terms = [[] if d is None else list(d) for d in args[1::2]]
    operands = args[: len(args) - len(args) % 2 : 2]
    out = list(args[-1]) if len(args) % 2 else None

    def text(dims):
        for d in dims:
            if d is not Ellipsis and not 0 <= d < len(string.ascii_letters):
                raise RuntimeError(
                    "einsum(): expected subscripts in the list to be within the range [0, 52), "
                    f"but got {d}"
                )
        return "".join(["..." if d is Ellipsis else string.ascii_letters[d] for d in dims])

    equation = ",".join([text(d) for d in terms])
    return equation if out is None else f"{equation}->{text(out)}", operands


def einsum(*args):
    """Sum of products by Einstein's convention: `einsum("bij,bjk->bik", x, y)`; `...` stands for
    leading dimensions. Any number of operands; also `einsum(x, [0, 1], y, [1, 2], [0, 2])`.
    """
    if not args or (len(args) < 2 and isinstance(args[0], str)):
        raise ValueError("einsum(): must specify the equation string and at least one operand")
    equation, *operands = args
    if not isinstance(equation, str):
        equation, operands = _sublists(args)
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = operands[0]
    for i, x in enumerate(operands):
        tensor_argument("einsum", f"operands[{i}]", x)
    plan = _planned(equation, tuple([x.array.ndim for x in operands]))
    explicit, out, contracted, repeated = plan
    for x in operands[1:] if contracted else ():
        if x.array.dtype != operands[0].array.dtype:
            raise RuntimeError(
                f"expected scalar type {legacy_name(operands[0].array.dtype)} but found "
                f"{legacy_name(x.array.dtype)}"
            )
    if repeated:
        operands, explicit = zip(*[_distinct(x, t) for x, t in zip(operands, explicit)])
    lengths = {}
    broadcast = False
    for x, t in zip(operands, explicit):
        for c, n in zip(t, x.array.shape):
            known = lengths.setdefault(c, n)
            if known != n:
                broadcast = True
                if n != 1 and known != 1:
                    raise RuntimeError(
                        f"einsum(): operands do not broadcast with remapped shapes: subscript {c} "
                        f"has size {n} and {known}"
                    )
                lengths[c] = max(known, n)
    if broadcast:
        operands = [
            S.expand_to(x, shape=tuple([lengths[c] for c in t])) if 1 in x.array.shape else x
            for x, t in zip(operands, explicit)
        ]
    return einsum_of(*operands, terms=explicit, result=out)


@functools.lru_cache(1024)
def _planned(equation, ndims):
    """What an equation says of operands with these numbers of dimensions: their letters and those
    of the result, `...` replaced by unused ones; is any summed; does any stand twice in a term.
    """
    left, arrow, out = equation.replace(" ", "").partition("->")
    for c in (left + out).replace("...", "").replace(",", ""):
        if c not in string.ascii_letters:
            raise RuntimeError(
                f"einsum(): invalid subscript given in {equation!r}: {c!r}, subscripts must be in "
                "[a-zA-Z]"
            )
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise RuntimeError(
            f"einsum(): {len(terms)} subscripts in {equation!r} for {len(ndims)} operands"
        )
    unused = [c for c in string.ascii_letters if c not in equation]
    own = []  # dimensions that the ellipsis of each operand stands for
    for i, (term, ndim) in enumerate(zip(terms, ndims)):
        named = len(term.replace("...", ""))
        if named > ndim or ("..." not in term and named != ndim):
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({named}) does not match the "
                f"number of dimensions ({ndim}) for operand {i}"
            )
        own.append(ndim - named)
    ellipsis = "".join(unused[: max(own)])
    explicit = tuple([t.replace("...", ellipsis[len(ellipsis) - n :]) for t, n in zip(terms, own)])
    letters = "".join(explicit)
    if arrow:
        out = out.replace("...", ellipsis)
    else:
        once = {c for c in letters if letters.count(c) == 1}
        out = ellipsis + "".join(sorted(once - set(ellipsis)))
    for c in out:
        if c not in letters or out.count(c) > 1:
            raise RuntimeError(
                f"einsum(): output subscript {c} does not appear in the equation for any input "
                "operand, or appears twice in the output"
            )
    contracted = any(c not in out for c in letters)
    return explicit, out, contracted, any(len(set(t)) < len(t) for t in explicit)


def _distinct(x, term):
    """The diagonal for repeated letters of one operand, so that each letter stands once."""
    for c in dict.fromkeys(term):
        while term.count(c) > 1:
            i = term.index(c)
            j = term.index(c, i + 1)
            x = diagonal(x, 0, i, j)
            term = term[:i] + term[i + 1 : j] + term[j + 1 :] + c
    return x, term


def trace(input):
    """Sum of the diagonal of a matrix."""
    tensor_argument("trace", "input", input)
    if input.array.ndim != 2:
        raise RuntimeError("trace: expected a matrix")
    return S.sum_over(diagonal(input), dims=(0,), keepdim=False)


@takes_out
def vecdot(x, y, *, dim=-1):
    """Sums of products of x (its conjugate) and y along `dim`, after broadcasting."""
    tensor_argument("linalg.vecdot", "x", x), tensor_argument("linalg.vecdot", "y", y)
    if not {x.array.dtype.kind, y.array.dtype.kind} <= set("fc"):
        raise RuntimeError(
            "linalg.vecdot: Expected a floating point or complex tensor as input. Got "
            f"{legacy_name(x.array.dtype)}"
        )
    if x.array.dtype != y.array.dtype:
        raise RuntimeError(
            "linalg.vecdot: Expected x and y to have the same dtype, but found x of type "
            f"{legacy_name(x.array.dtype)} and y of type {legacy_name(y.array.dtype)} instead"
        )
    product = (x.conj() if x.array.dtype.kind == "c" else x) * y
    dim = normal_dim(dim, product.array.ndim)
    return S.sum_over(product, dims=(dim,), keepdim=False)


@takes_out
def linalg_cross(input, other, *, dim=-1):
    """Vector products along a dimension of length 3, after broadcasting."""
    tensor_argument("linalg.cross", "input", input)
    tensor_argument("linalg.cross", "other", other)
    if input.array.ndim != other.array.ndim:
        raise RuntimeError(
            "linalg.cross: inputs must have the same number of dimensions. Got "
            f"{input.array.ndim} and {other.array.ndim}"
        )
    dim = normal_dim(dim, input.array.ndim)
    if input.array.shape[dim] != 3 or other.array.shape[dim] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got "
            f"{input.array.shape[dim]} and {other.array.shape[dim]}"
        )
    if input.array.dtype != other.array.dtype:
        raise RuntimeError(
            f"expected scalar type {legacy_name(input.array.dtype)} but found "
            f"{legacy_name(other.array.dtype)}"
        )
    if input.array.dtype.kind == "b":
        raise NotImplementedError("\"cross\" not implemented for 'Bool'")
    return vector_product(input, other, dim=dim)


_NEXT = np.array([1, 2, 0])


@elementwise(node_name="LinalgCross")
def vector_product(x, y, *, dim):
    """The vector products of x and y along `dim`, of length 3."""
    if x.size < 1024 > y.size:  # for few, copies take less time than views and calls
        turned = x * y.take(_NEXT, dim) - x.take(_NEXT, dim) * y
        return turned.take(_NEXT, dim)
    shape = x.shape if x.shape == y.shape else np.broadcast_shapes(x.shape, y.shape)
    z = np.empty(shape, x.dtype)
    a, b, c = x.swapaxes(0, dim), y.swapaxes(0, dim), z.swapaxes(0, dim)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        np.subtract(a[j] * b[k], a[k] * b[j], out=c[i, ...])
    return z


vector_product.vjp(
    x=lambda g, y, dim: vector_product(y, g, dim=dim),
    y=lambda g, x, dim: vector_product(g, x, dim=dim),
)


@takes_out
def cross(input, other, dim=None):
    """`linalg.cross`; without `dim` along the first dimension of length 3."""
    if dim is None:
        lengths = tensor_argument("cross", "input", input).array.shape
        if 3 not in lengths:
            raise RuntimeError("no dimension of size 3 in input")
        dim = lengths.index(3)
    return linalg_cross(input, other, dim=dim)
