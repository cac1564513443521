"""The autograd engine: graph, walk, freeing, versions, hooks, modes, Function."""

import gc
import weakref

import numpy as np

import fastdl


def test_chain_of_200000_nodes_lives_and_dies():
    x = fastdl.ones(4, requires_grad=True)
    y = x
    for _ in range(200_000):
        y = y * 1.0
    y.backward(fastdl.ones(4))
    assert x.grad.tolist() == [1.0] * 4
    z = x
    for _ in range(200_000):
        z = z + 1.0
    del y, z  # freeing without a walk must not recurse either


def test_graph_is_freed_without_the_cycle_collector():
    gc.collect()
    gc.disable()
    try:
        x = fastdl.ones(4, requires_grad=True)
        leaf = weakref.ref(x)
        y = x.exp().tanh()
        nodes = [weakref.ref(y), weakref.ref(y.grad_fn)]
        y.sum().backward()
        del y
        assert [n() for n in nodes] == [None, None]
        del x
        assert leaf() is None
    finally:
        gc.enable()


def test_third_derivative():
    x = fastdl.tensor([0.3, 1.2], dtype=fastdl.float64, requires_grad=True)
    y = (x.exp() * x).sum()
    for _ in range(3):
        (y,) = fastdl.autograd.grad(y, x, create_graph=True)
        y = y.sum()
    # (x e^x)''' = (x + 3) e^x; four roundings per term
    expected = ((x.detach().numpy() + 3) * np.exp(x.detach().numpy())).sum()
    assert abs(y.item() - expected) < 16 * np.finfo(float).eps * expected
