"""Sparse tensors as lists of coordinates (COO): what a graph network's adjacency matrix needs.

They convert to and from dense tensors, multiply dense matrices, and carry gradients through both.
Other functions do not take them: `to_dense` first.
"""

import re

import numpy as np

from fastdl import _dtype
from fastdl._engine import tensor_of
from fastdl.ops import creation, index
from fastdl.ops import elementwise as E
from fastdl.ops import shape as S
from fastdl.ops.core import is_tensor, sizes, tensor_argument

__all__ = ["sparse_coo_tensor", "spmm"]


class SparseTensor:
    """values[k] at [indices[0, k], indices[1, k], ...], zeros elsewhere; places that stand several
    times add up. Made by `sparse_coo_tensor` and `Tensor.to_sparse`.
    """

    __array_priority__ = 1000
    is_sparse = True
    is_cuda = False

    def __init__(self, indices, values, size, is_coalesced=False):
        self._places, self._numbers = indices, values
        self.shape, self._coalesced = _dtype.Size(size), is_coalesced

    dtype = property(lambda self: self._numbers.dtype, doc="The dtype of the values.")
    device = property(lambda self: _dtype.CPU, doc="Where the elements are.")
    layout = property(lambda self: _dtype.sparse_coo, doc="`sparse_coo`.")
    ndim = property(lambda self: len(self.shape), doc="Number of dimensions.")
    requires_grad = property(lambda self: self._numbers.requires_grad, doc="That of the values.")

    def dim(self):
        """Number of dimensions."""
        return len(self.shape)

    def size(self, dim=None):
        """The shape, or its length along `dim`."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self):
        """Number of elements, zeros included."""
        return self.shape.numel()

    def _nnz(self):
        return self._numbers.array.shape[0]

    def _indices(self):
        return self._places

    def _values(self):
        return self._numbers

    def is_coalesced(self):
        """Does every place stand once, in row-major order?"""
        return self._coalesced

    def indices(self):
        """The places, (ndim, nnz) int64; RuntimeError before `coalesce`."""
        self._need_coalesced("indices")
        return self._places

    def values(self):
        """The values, (nnz,); RuntimeError before `coalesce`."""
        self._need_coalesced("values")
        return self._numbers

    def _need_coalesced(self, name):
        if not self._coalesced:
            raise RuntimeError(
                f"Cannot get {name} on an uncoalesced tensor, please call .coalesce() first"
            )

    def coalesce(self):
        """The same tensor with every place once, in row-major order, values added up."""
        if self._coalesced:
            return self
        flat = np.ravel_multi_index(tuple(self._places.array), self.shape)
        places, where = np.unique(flat, return_inverse=True)
        zeros = tensor_of(np.zeros(places.shape, self._numbers.array.dtype))
        values = index.index_sum(zeros, self._numbers, index=(where,))
        indices = np.stack(np.unravel_index(places, self.shape))
        return SparseTensor(tensor_of(indices), values, self.shape, True)

    def to_dense(self):
        """The dense tensor."""
        zeros = tensor_of(np.zeros(self.shape, self._numbers.array.dtype))
        return index.index_sum(zeros, self._numbers, index=tuple(self._places.array))

    def to_sparse(self):
        """Itself."""
        return self

    def transpose(self, dim0, dim1):
        """The tensor with two dimensions exchanged."""
        order = list(range(self.dim()))
        order[dim0], order[dim1] = order[dim1], order[dim0]
        places = tensor_of(self._places.array[order])
        return SparseTensor(places, self._numbers, [self.shape[d] for d in order])

    def t(self):
        """The transpose of a matrix."""
        return self.transpose(0, 1)

    def _with(self, values):
        return SparseTensor(self._places, values, self.shape, self._coalesced)

    def to(self, *args, **keywords):
        """The tensor as another dtype or on another device."""
        return self._with(self._numbers.to(*args, **keywords))

    def float(self):
        """The tensor in float32."""
        return self.to(_dtype.float32)

    def double(self):
        """The tensor in float64."""
        return self.to(_dtype.float64)

    def cpu(self):
        """Itself."""
        return self

    def clone(self):
        """A copy."""
        return self._with(E.clone(self._numbers))

    def detach(self):
        """The same values without history."""
        return self._with(self._numbers.detach())

    def requires_grad_(self, requires_grad=True):
        """Record gradients of the values, or no longer."""
        self._numbers.requires_grad_(requires_grad)
        return self

    def __mul__(self, factor):
        if is_tensor(factor) and factor.array.ndim:
            return NotImplemented
        return self._with(self._numbers * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor):
        return self._with(self._numbers / divisor)

    def __neg__(self):
        return self._with(-self._numbers)

    def sum(self):
        """The sum of all elements."""
        return self._numbers.sum()

    def mm(self, mat2):
        """`spmm(self, mat2)`."""
        return spmm(self, mat2)

    def matmul(self, other):
        """The product with a dense matrix or vector."""
        if is_tensor(other) and other.array.ndim == 1:
            return spmm(self, S.unsqueeze(other, 1)).squeeze(1)
        return spmm(self, other)

    __matmul__ = matmul

    def __repr__(self):
        values = re.sub(r", dtype=[\w.]+|,\n +dtype=[\w.]+", "", repr(self._numbers.detach()))
        parts = [f"size={tuple(self.shape)}", f"nnz={self._nnz()}"]
        if self.dtype not in (_dtype.get_default_dtype(), _dtype.int64, _dtype.bool_):
            parts.append(f"dtype={self.dtype}")
        if self._numbers.grad_fn is None and self.requires_grad:
            parts.append("requires_grad=True")
        indices = repr(self._places).replace("\n", "\n" + " " * 15)
        values = values.replace("\n", "\n" + " " * 14)
        return (
            f"tensor(indices={indices},\n       values={values},\n       {', '.join(parts)}, "
            f"layout={self.layout})"
        )


def sparse_coo_tensor(
    indices, values, size=None, *, dtype=None, device=None, pin_memory=False, requires_grad=False,
    check_invariants=None, is_coalesced=None,
):  # fmt: skip
    """A sparse tensor: `values` (nnz,) at `indices` (ndim, nnz), of shape `size` (None: as large as
    the indices ask for).

    Errors: RuntimeError for indices that are negative or outside `size`, or of another number.

    >>> import fastdl
    >>> fastdl.sparse_coo_tensor([[0, 1], [1, 0]], [2.0, 3.0], (2, 2)).to_dense()
    tensor([[0., 2.],
            [3., 0.]])
    """
    places = creation.as_tensor(indices, dtype=_dtype.int64, device=device)
    values = creation.as_tensor(values, dtype=dtype, device=device)
    x = places.array
    if x.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(x.shape)}")
    if values.array.ndim != 1 or values.array.shape[0] != x.shape[1]:
        raise RuntimeError(
            f"indices and values must have same nnz, but got nnz from indices: {x.shape[1]}, nnz "
            f"from values: {list(values.array.shape)}"
        )
    if size is None:
        size = tuple((x.max(1) + 1).tolist()) if x.size else (0,) * x.shape[0]
    size = sizes("sparse_coo_tensor", (size,))
    if len(size) != x.shape[0]:
        raise RuntimeError(
            f"number of dimensions must be sparse_dim ({x.shape[0]}) + dense_dim (0), but got "
            f"{len(size)}"
        )
    for d, n in enumerate(size):
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(size)}")
        if x.size and x[d].min() < 0:
            raise RuntimeError(f"found negative index {x[d].min()} for dim {d}")
        if x.size and x[d].max() >= n:
            raise RuntimeError(
                f"size is inconsistent with indices: for dim {d}, size is {n} but found index "
                f"{x[d].max()}"
            )
    made = SparseTensor(places, values, size, bool(is_coalesced))
    return made.requires_grad_() if requires_grad else made


def to_sparse(input):
    """The tensor as a list of its non-zeros: a SparseTensor, coalesced."""
    places = np.nonzero(tensor_argument("to_sparse", "input", input).array)
    values = index.take_at(input, index=places)
    return SparseTensor(tensor_of(np.stack(places)), values, input.array.shape, True)


def to_dense(input):
    """The tensor itself: it is no list of coordinates."""
    return input


def spmm(mat1, mat2):
    """The product of a sparse matrix (n, m) and a dense one (m, p): dense, (n, p).

    Gradients go to both. Error: RuntimeError for other shapes.
    """
    if not isinstance(mat1, SparseTensor):
        return tensor_argument("spmm", "mat1", mat1).mm(mat2)
    tensor_argument("spmm", "mat2", mat2)
    if mat1.dim() != 2 or mat2.array.ndim != 2 or mat1.shape[1] != mat2.array.shape[0]:
        raise RuntimeError(
            f"spmm: expected an (n, m) and an (m, p) matrix, got {list(mat1.shape)} and "
            f"{list(mat2.array.shape)}"
        )
    rows, columns = mat1._places.array
    terms = S.unsqueeze(mat1._numbers, 1) * index.take_at(mat2, index=(columns, Ellipsis))
    zeros = tensor_of(np.zeros((mat1.shape[0], mat2.array.shape[1]), terms.array.dtype))
    return index.index_sum(zeros, terms, index=(rows, Ellipsis))
