"""What is compared with NumPy through the public API: the operations of whole tensors.

fastdl's side is what a user writes, `fastdl.exp(x)` with a Tensor; NumPy's the fastest way found to
write the same with arrays.
"""

import math

import numpy as np

from fastdl import _baselines
from fastdl._cases import Case, normal
from fastdl._measure import Work


def through_api(family, name, work, terms, inputs, ours, numpy, roof="memory"):
    """`ours(fastdl, *tensors)` beside `numpy(*arrays)`, on the arrays that `inputs()` makes."""

    def build():
        import fastdl

        arrays = inputs()
        tensors = [fastdl.from_numpy(array) for array in arrays]
        return {"fastdl": lambda: ours(fastdl, *tensors), "numpy": lambda: numpy(*arrays)}

    return Case(family, name, work, roof, terms, build)


def gradients(f, *inputs):
    """A call of `f(fastdl, *inputs)` followed by its gradients with respect to all inputs but the
    last, which is the gradient of the output."""

    def call(fastdl, *tensors):
        *tensors, dy = tensors
        tensors = [t.detach().requires_grad_() for t in tensors]
        return fastdl.autograd.grad(f(fastdl, *tensors), tensors, dy)

    return call


def traffic(*shapes):
    """Work of one operation per element of the first shape, every array moved once."""
    return Work(math.prod(shapes[0]), 4.0 * sum(math.prod(shape) for shape in shapes))


def title(name, *shapes):
    return f"{name}, {' and '.join('x'.join(map(str, shape)) for shape in shapes)}"


def binary(name, shape, other):
    return through_api(
        "elementwise",
        title(name, shape, other),
        traffic(shape, shape, other),
        1,
        lambda: [normal(*shape), normal(*other, seed=1)],
        lambda fastdl, x, y: getattr(fastdl, name)(x, y),
        getattr(np, {"mul": "multiply", "sub": "subtract"}.get(name, name)),
    )


def unary(name, *shape, ours=None, numpy=None, terms=1):
    return through_api(
        "elementwise",
        title(name, shape),
        traffic(shape, shape),
        terms,
        lambda: [normal(*shape)],
        ours or (lambda fastdl, x: getattr(fastdl, name)(x)),
        numpy or getattr(np, name),
    )


def gelu(*shape):
    """In the approximation by tanh: NumPy has no erf."""

    def ours(fastdl, x):
        return fastdl.nn.functional.gelu(x, approximate="tanh")

    return unary("gelu", *shape, ours=ours, numpy=_baselines.gelu, terms=4)


def reduction(name, axis, *shape):
    return through_api(
        "reduce",
        title(f"{name}({'' if axis is None else axis})", shape),
        traffic(shape),
        math.prod(shape),
        lambda: [normal(*shape)],
        lambda fastdl, x: getattr(fastdl, name)(x, axis) if axis is not None else x.sum(),
        lambda x: getattr(np, name)(x, axis=axis),
    )


def cat(*shape):
    both = (2 * shape[0], *shape[1:])
    return through_api(
        "move",
        title("cat of two", shape),
        traffic(both, both),
        1,
        lambda: [normal(*shape), normal(*shape, seed=1)],
        lambda fastdl, x, y: fastdl.cat([x, y]),
        lambda x, y: np.concatenate([x, y]),
    )


def permute(order, *shape):
    return through_api(
        "move",
        title(f"permute{order}", shape),
        traffic(shape, shape),
        1,
        lambda: [normal(*shape)],
        lambda fastdl, x: x.permute(order).contiguous(),
        lambda x: np.ascontiguousarray(x.transpose(order)),
    )


def layer_norm(rows, columns, mode):
    def inputs():
        found = [normal(rows, columns), normal(columns, seed=1), normal(columns, seed=2)]
        return found if mode == "forward" else [*found, normal(rows, columns, seed=3)]

    def forward(fastdl, x, weight, bias):
        return fastdl.nn.functional.layer_norm(x, (columns,), weight, bias)

    shape = (rows, columns)
    arrays = [shape] * (2 if mode == "forward" else 5)
    return through_api(
        "norm",
        f"{title('layer norm', shape)}, {mode}",
        traffic(*arrays),
        max(shape),
        inputs,
        forward if mode == "forward" else gradients(forward),
        (lambda *a: _baselines.layer_norm(*a)[0])
        if mode == "forward"
        else _baselines.layer_norm_training,
    )


def batch_norm(*shape):
    channels = shape[1]
    return through_api(
        "norm",
        f"{title('batch norm', shape)}, forward",
        traffic(shape, shape, shape),
        math.prod(shape) // channels,
        lambda: [normal(*shape), normal(channels, seed=1), normal(channels, seed=2)],
        lambda fastdl, x, w, b: fastdl.nn.functional.batch_norm(x, None, None, w, b, True),
        _baselines.batch_norm,
    )


def attention(*shape):
    *batch, length, width = shape
    flops = 4 * math.prod(batch) * length**2 * width / 2  # two products, half of them masked
    return through_api(
        "attention",
        title("causal attention", shape),
        Work(flops, 16.0 * math.prod(shape)),
        length,
        lambda: [normal(*shape, seed=seed) for seed in range(3)],
        lambda fastdl, q, k, v: fastdl.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=True
        ),
        _baselines.attention,
        roof="compute",
    )


def embedding(words, width, tokens):
    def inputs():
        ids = np.random.default_rng(0).integers(0, words, tokens)
        return [normal(words, width), ids, normal(tokens, width, seed=1)]

    def ours(fastdl, weight, ids, dy):
        weight = weight.detach().requires_grad_()
        y = fastdl.nn.functional.embedding(ids, weight)
        return fastdl.autograd.grad(y, [weight], dy)

    def numpy(weight, ids, dy):
        weight[ids]
        return _baselines.embedding_gradient(ids, dy, words)

    table, rows = (words, width), (tokens, width)
    return through_api(
        "rows",
        f"embedding {words} x {width}, {tokens} tokens, training",
        traffic(rows, rows, rows, rows, table),
        tokens,
        inputs,
        ours,
        numpy,
    )


BIG, IMAGE = (4096, 1024), (16, 64, 56, 56)

FAMILIES = {
    "elementwise": [
        binary("add", BIG, BIG),
        binary("mul", BIG, (1024,)),
        unary("exp", *IMAGE),
        unary("tanh", *IMAGE),
        unary("sin", *IMAGE),
        gelu(*IMAGE),
    ],
    "reduce": [
        reduction("sum", None, *BIG),
        reduction("sum", 0, *BIG),
        reduction("mean", 1, *BIG),
        reduction("amax", 1, *BIG),
        reduction("argmax", 1, *BIG),
    ],
    "move": [cat(*IMAGE), permute((0, 2, 3, 1), *IMAGE), permute((1, 0), *BIG)],
    "norm": [
        layer_norm(4096, 768, "forward"),
        layer_norm(4096, 768, "training"),
        batch_norm(*IMAGE),
    ],
    "attention": [attention(8, 8, 256, 64)],
    "embedding": [embedding(30000, 256, 4096)],
}
