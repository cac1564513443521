"""Sparse tensors against PyTorch's: values, gradients, printing, errors."""

import re

import numpy as np
import pytest

import fastdl

torch = pytest.importorskip("torch")

PLACES, VALUES = [[0, 1, 1, 0], [2, 0, 2, 2]], [3.0, 4.0, 5.0, 1.0]

LINES = """
t.sparse_coo_tensor(p, v, (2, 3))
t.sparse_coo_tensor(p, v)
t.sparse_coo_tensor(p, v, (2, 3)).to_dense()
t.sparse_coo_tensor(p, v, (2, 3)).coalesce()
t.sparse_coo_tensor(p, v, (2, 3)).coalesce().indices()
t.sparse_coo_tensor(p, v, (2, 3)).coalesce().values()
t.sparse_coo_tensor(p, v, (2, 3)).values()
t.sparse_coo_tensor(p, v, (2, 3), dtype=t.float64)
t.sparse_coo_tensor(p, v, (2, 2), check_invariants=True)
t.sparse_coo_tensor([[-1], [0]], [1.0], (2, 2), check_invariants=True)
t.sparse_coo_tensor(p, [1.0], (2, 2))
t.sparse_coo_tensor(p, v, (2, 3)).t().to_dense()
(t.sparse_coo_tensor(p, v, (2, 3)) * 2).to_dense()
t.sparse_coo_tensor(p, v, (2, 3)).shape
t.sparse_coo_tensor(p, v, (2, 3)).is_sparse, t.sparse_coo_tensor(p, v, (2, 3)).layout
t.spmm(t.sparse_coo_tensor(p, v, (2, 3)), t.arange(6.0).reshape(3, 2))
t.sparse.mm(t.sparse_coo_tensor(p, v, (2, 3)), t.arange(6.0).reshape(3, 2))
t.sparse_coo_tensor(p, v, (2, 3)) @ t.arange(3.0)
t.spmm(t.sparse_coo_tensor(p, v, (2, 3)), t.ones(2, 2))
t.eye(3).to_sparse()
t.eye(3).to_sparse().to_dense()
t.eye(3).to_sparse()._nnz()
t.eye(3).to_sparse().is_coalesced()
"""


@pytest.mark.parametrize("line", LINES.strip().split("\n"))
def test_expression(line):
    outcomes = []
    for lib in (fastdl, torch):
        try:
            found = eval(line, {"t": lib, "p": PLACES, "v": VALUES})
            outcomes.append(re.sub(r"\b(torch|fastdl)\.", "", repr(found)))
        except (RuntimeError, ValueError, TypeError) as error:
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


def test_gradients_through_products_and_conversions():
    results = []
    for lib in (fastdl, torch):
        values = lib.tensor(VALUES, dtype=lib.float64, requires_grad=True)
        dense = lib.arange(6.0, dtype=lib.float64).reshape(3, 2).requires_grad_()
        matrix = lib.sparse_coo_tensor(lib.tensor(PLACES), values, (2, 3))
        (lib.sparse.mm(matrix, dense) ** 2).sum().backward()
        x = lib.tensor([[0.0, 2.0], [3.0, 0.0]], requires_grad=True)
        (x.to_sparse().to_dense() * 5).sum().backward()
        results.append([g.detach().numpy() for g in (values.grad, dense.grad, x.grad)])
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)  # sums of a few terms
