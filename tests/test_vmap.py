"""`vmap` by batching: what runs once for all examples, and that it gives what the loop over the
examples and PyTorch give, in values, gradients of any order, dimensions, randomness and errors.
"""

import contextlib

import numpy as np
import pytest

import fastdl
from fastdl.func import mapping
from fastdl.func.batching import NoRule

torch = pytest.importorskip("torch")

EPS = np.finfo(np.float64).eps
LIBRARIES = (fastdl, torch)


class Looped(Exception):
    """The examples would have been gone through one by one."""


@pytest.fixture
def batched_only(monkeypatch):
    def refuse(*args):
        raise Looped

    monkeypatch.setattr(mapping, "_one_by_one", refuse)


@contextlib.contextmanager
def looped(monkeypatch):
    """Within it every vmap goes through the examples one by one."""
    with monkeypatch.context() as patch:
        patch.setattr(mapping, "_at_once", lambda *args: None)
        yield


def numbers(found):
    """The arrays of a tree of tensors, from left to right."""
    if isinstance(found, (tuple, list)):
        return [a for part in found for a in numbers(part)]
    if isinstance(found, dict):
        return [a for part in found.values() for a in numbers(part)]
    return [found.detach().numpy()]


def close(found, wanted, roundings=1024):
    found, wanted = numbers(found), numbers(wanted)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        scale = max(np.abs(b).max(initial=1.0), 1.0)
        np.testing.assert_allclose(a, b, rtol=0, atol=roundings * EPS * scale)


def given(seed, *shapes):
    """Arrays of each library."""
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(s) if isinstance(s, tuple) else s for s in shapes]
    return [[t.tensor(a) for a in arrays] for t in LIBRARIES]


# (shapes of the arguments with a batch of 3 in front, None for a shared one: ("shared", shape)),
# function of the library and the arguments of one example
ALONE = {
    "arithmetic": lambda t, x: (x * 2 - 1 / (x + 9)) ** 2 % 5 // 1 + abs(-x) + (+x),
    "reflected": lambda t, x: 2 - x + 3 / (x + 9) + 2 ** x + t.ones(4, dtype=t.float64) * x,
    "functions": lambda t, x: t.exp(x.sin()) + t.erf(x) + x.sigmoid().log1p() + t.atan2(x, x + 9),
    "comparisons": lambda t, x: (x > 0) & (x <= 1) | ~(x != x) ^ (x.eq(0)),
    "where": lambda t, x: t.where(x > 0, x, -1.0) + t.where(x < x.mean(), x.sum(), x),
    "clamp": lambda t, x: x.clamp(-0.5, 0.5) + x.clamp(min=0) + t.maximum(x, x.mean()),
    "masked_fill": lambda t, x: x.masked_fill(x > 0, 7.0),
    "casts": lambda t, x: (x.float().double(), x.to(t.int64), (x > 0).double(), x.long() + 1),
    "lerp": lambda t, x: t.lerp(x, x * 2, 0.3) + t.addcmul(x, x, x) + t.xlogy(x * x, x * x + 1),
    "sums": lambda t, x: (x.sum(), x.sum(0), x.sum(-1), x.sum((0, 1)), x.sum(1, keepdim=True)),
    "means": lambda t, x: (x.mean(), x.mean(-1), x.var(), x.var(1), x.std(0, unbiased=False)),
    "products": lambda t, x: (x.prod(), x.prod(1), x.cumprod(0), x.cumsum(-1), x.logsumexp(0)),
    "extremes": lambda t, x: (x.max(), x.amax(1), x.min(0).values, x.max(-1).indices, x.aminmax()),
    "scalars": lambda t, x: (x.sum().sum(), x.sum().mean(), x.mean().exp() * x),
    "norms": lambda t, x: (x.norm(), x.norm(dim=1), t.linalg.norm(x), t.linalg.vector_norm(x, 3)),
    "normalize": lambda t, x: t.nn.functional.normalize(x, dim=0),
    "softmax": lambda t, x: (x.softmax(-1), x.log_softmax(0), t.softmax(x, 1)),
    "views": lambda t, x: (x.view(-1), x.reshape(2, -1), x.T, x.transpose(0, 1), x.flatten()),
    "squeezes": lambda t, x: (x.unsqueeze(0), x.unsqueeze(-1).squeeze(-1), x[None].squeeze()),
    "permute": lambda t, x: (x.permute(1, 0), x.permute(-1, 0), x.movedim(0, 1), x.mT),
    "unflatten": lambda t, x: x.unflatten(0, (2, 2)),
    "expand": lambda t, x: (x.expand(2, 4, 4), x[0].expand(3, -1), x.sum().expand(2)),
    "repeat": lambda t, x: (x.repeat(2, 1), x.tile(3)),
    "index": lambda t, x: (x[0], x[-1, 1:], x[..., 2], x[None, :, ::2], x[1:3, [0, 2]], x[[0, 0]]),
    "select": lambda t, x: (x.select(0, 1), x.narrow(1, 1, 2), x.diagonal(), x.tril(), x.triu(1)),
    "pieces": lambda t, x: (*x.unbind(0), *x.split(2, 1), *x.chunk(2), *t.tensor_split(x, 3)),
    "stack": lambda t, x: (t.stack([x, x]), t.cat([x, x.T], 1), t.stack([x[0], x[1]], -1)),
    "stack shared": lambda t, x: t.cat([x, t.ones(1, 4, dtype=t.float64)]),
    "flip": lambda t, x: (x.flip(0), x.roll(1, 1), x.roll(2), t.nn.functional.pad(x, (1, 2))),
    "iterate": lambda t, x: sum(row * i for i, row in enumerate(x)) + len(x),
    "shapes": lambda t, x: x.reshape(x.shape[0] * x.size(1)) / x.numel() + x.dim() + x.ndim,
    "like": lambda t, x: t.zeros_like(x) + t.ones_like(x) * x + x.new_zeros(4),
    "activations": lambda t, x: sum(
        f(x)
        for f in (
            t.relu, t.tanh, t.nn.functional.gelu, t.nn.functional.silu, t.nn.functional.elu,
            t.nn.functional.leaky_relu, t.nn.functional.softplus, t.nn.functional.hardtanh,
            t.nn.functional.relu6, t.nn.functional.logsigmoid, t.nn.functional.mish,
        )
    ),
    "determinants": lambda t, x: (t.linalg.det(x), t.linalg.slogdet(x), t.linalg.inv(x + 9)),
    "matrices": lambda t, x: (x @ x, x.trace(), t.linalg.matrix_exp(x / 9), t.outer(x[0], x[1])),
    "fft": lambda t, x: (t.fft.fft(x), t.fft.rfft(x, dim=0), t.fft.ifft(x).real),
    "interpolated": lambda t, x: t.nn.functional.layer_norm(x, (4,)),
    "unfold": lambda t, x: x.unfold(0, 2, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.usefixtures("batched_only")
def test_functions_of_one_tensor(name):
    ours, theirs = given(1, (3, 4, 4))
    f = ALONE[name]
    found, wanted = (
        t.vmap(lambda x, t=t: f(t, x))(*args) for t, args in zip(LIBRARIES, (ours, theirs))
    )
    close(found, wanted)


SEVERAL = {
    "arithmetic": (lambda t, x, y: x * y - y / 2, [(3, 4), (3, 2, 4)]),
    "with a number of each": (lambda t, x, y: x * y + t.where(y > 0, x, y), [(3, 4, 2), (3,)]),
    "dot": (lambda t, x, y: t.dot(x, y) + x @ y, [(3, 4), (3, 4)]),
    "matrix vector": (lambda t, x, y: x @ y, [(3, 2, 4), (3, 4)]),
    "vector matrix": (lambda t, x, y: y @ x, [(3, 4, 2), (3, 4)]),
    "matrices": (lambda t, x, y: t.mm(x, y), [(3, 2, 4), (3, 4, 5)]),
    "stacks": (lambda t, x, y: t.bmm(x, y), [(3, 6, 2, 4), (3, 6, 4, 5)]),
    "stack and matrix": (lambda t, x, y: t.matmul(x, y), [(3, 6, 2, 4), (3, 4, 5)]),
    "matrix and stack": (lambda t, x, y: t.matmul(y, x), [(3, 6, 4, 2), (3, 5, 4)]),
    "vector and stack": (lambda t, x, y: t.matmul(y, x), [(3, 6, 4, 2), (3, 4)]),
    "stack and vector": (lambda t, x, y: t.matmul(x, y), [(3, 6, 2, 4), (3, 4)]),
    "einsum": (lambda t, x, y: t.einsum("ij,kj->ik", x, y), [(3, 2, 4), (3, 5, 4)]),
    "outer": (lambda t, x, y: (t.outer(x, y), t.tensordot(x, y, 0)), [(3, 2), (3, 4)]),
    "addmm": (lambda t, x, y, z: t.addmm(x, y, z, beta=2), [(3, 2, 5), (3, 2, 4), (3, 4, 5)]),
    "distances": (lambda t, x, y: t.cdist(x, y), [(3, 5, 2), (3, 4, 2)]),
    "linear": (lambda t, x, w, b: t.nn.functional.linear(x, w, b), [(3, 4), (3, 2, 4), (3, 2)]),
    "linear of rows": (
        lambda t, x, w, b: t.nn.functional.linear(x, w, b).relu(), [(3, 5, 6, 4), (3, 2, 4), (3, 2)]
    ),
    "linear without bias": (lambda t, x, w: t.nn.functional.linear(x, w), [(3, 5, 4), (3, 2, 4)]),
    "cat": (lambda t, x, y: (t.cat([x, y], 1), t.stack([x, x, x])), [(3, 4, 2), (3, 4, 5)]),
    "conv1d": (
        lambda t, x, w, b: t.nn.functional.conv1d(x, w, b, padding=1),
        [(3, 2, 4, 9), (3, 6, 4, 3), (3, 6)],
    ),
    "conv2d": (
        lambda t, x, w, b: t.nn.functional.conv2d(x, w, b, stride=2, padding=1, groups=2),
        [(3, 2, 4, 7, 6), (3, 6, 2, 3, 3), (3, 6)],
    ),
    "conv2d of one image": (
        lambda t, x, w: t.nn.functional.conv2d(x, w, padding="same"),
        [(3, 4, 7, 6), (3, 6, 4, 3, 3)],
    ),
    "transposed": (
        lambda t, x, w, b: t.nn.functional.conv_transpose2d(x, w, b, stride=2, padding=1),
        [(3, 2, 4, 5, 6), (3, 4, 3, 3, 3), (3, 3)],
    ),
    "conv3d": (
        lambda t, x, w: t.nn.functional.conv3d(x, w),
        [(3, 2, 2, 4, 4, 5), ("shared", 3, 2, 2, 3, 3)],
    ),
    "layer_norm": (
        lambda t, x, w, b: t.nn.functional.layer_norm(x, (4,), w, b), [(3, 5, 4), (3, 4), (3, 4)]
    ),
    "group_norm": (
        lambda t, x, w, b: t.nn.functional.group_norm(x, 2, w, b), [(3, 2, 4, 5), (3, 4), (3, 4)]
    ),
    "batch_norm": (
        lambda t, x, w, b: t.nn.functional.batch_norm(
            x, t.ones(4, dtype=t.float64), t.ones(4, dtype=t.float64) * 2, w, b
        ),
        [(3, 2, 4, 5), (3, 4), (3, 4)],
    ),
    "mse": (
        lambda t, x, y: [
            t.nn.functional.mse_loss(x, y, reduction=r) for r in ("mean", "sum", "none")
        ],
        [(3, 5, 4), (3, 5, 4)],
    ),
    "errors": (
        lambda t, x, y: (t.nn.functional.l1_loss(x, y), t.nn.functional.smooth_l1_loss(x, y),
                         t.nn.functional.huber_loss(x, y, delta=0.5)),
        [(3, 5), (3, 5)],
    ),
    "bits": (
        lambda t, x, y: (t.nn.functional.binary_cross_entropy_with_logits(x, y.sigmoid()),
                         t.nn.functional.kl_div(x, y.softmax(-1), reduction="batchmean")),
        [(3, 5), (3, 5)],
    ),
    "soft targets": (
        lambda t, x, y: t.nn.functional.cross_entropy(x, y.softmax(-1), label_smoothing=0.1),
        [(3, 5, 4), (3, 5, 4)],
    ),
    "cosine": (
        lambda t, x, y: t.nn.functional.cosine_similarity(x, y, dim=-1), [(3, 5, 4), (3, 5, 4)]
    ),
    "attention": (
        lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True),
        [(3, 2, 2, 4, 8), (3, 2, 2, 4, 8), (3, 2, 2, 4, 8)],
    ),
    "attention with a mask": (
        lambda t, q, k, v, m: t.nn.functional.scaled_dot_product_attention(q, k, v, m),
        [(3, 1, 2, 4, 8), (3, 1, 2, 4, 8), (3, 1, 2, 4, 8), (3, 4, 4)],
    ),
}  # fmt: skip


def plain(shape):
    return shape[1:] if shape and shape[0] == "shared" else shape


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.usefixtures("batched_only")
def test_functions_of_several_tensors(name):
    """Every choice of arguments that all examples share; then gradients, of which each example has
    its own also for those."""
    f, shapes = SEVERAL[name]
    for shared in range(2 ** len(shapes) - 1):
        dims, chosen = [], []
        for i, shape in enumerate(shapes):
            one = shared >> i & 1 or shape[0] == "shared"
            dims.append(None if one else i % 2 if len(shape) > 1 else 0)
            shape = plain(shape)
            if one:
                shape = shape if shapes[i][0] == "shared" else shape[1:]
            elif dims[-1]:
                shape = (shape[1], shape[0], *shape[2:])
            chosen.append(shape)
        if all(d is None for d in dims):
            continue
        arguments = given(2, *chosen)
        found, wanted = (
            t.func.vmap(lambda *a, t=t: f(t, *a), tuple(dims))(*a)
            for t, a in zip(LIBRARIES, arguments)
        )
        close(found, wanted)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.usefixtures("batched_only")
def test_gradients_of_each_example(name):
    f, shapes = SEVERAL[name]
    if name in ("conv3d", "attention with a mask"):  # nothing there has rules for such gradients
        return
    dims = (0, *[None] * (len(shapes) - 1))
    chosen = [shape if d == 0 else shape[1:] for shape, d in zip(shapes, dims)]
    results = []
    for t, arguments in zip(LIBRARIES, given(3, *chosen)):

        def total(*a, t=t):
            out = f(t, *a)
            return sum(
                (y.sin() * y).sum() for y in (out if isinstance(out, (list, tuple)) else [out])
            )

        every = tuple(range(len(shapes)))
        results.append(t.func.vmap(t.func.grad(total, every), dims)(*arguments))
    close(*results, 8192)


# ---- losses of classes, tables, layers ----------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(4,), (5, 4), (5, 4, 3)])
@pytest.mark.usefixtures("batched_only")
def test_losses_of_classes(reduction, weighted, shape):
    target = np.random.default_rng(0).integers(0, 4, (3, *shape[:1], *shape[2:])[: len(shape)])
    if len(shape) == 1:
        target = target[:, 0] if target.ndim > 1 else target
    if target.ndim > 1:
        target.flat[::5] = 2
    results = []
    for t, (x, y, w) in zip(LIBRARIES, given(4, (3, *shape), target, np.array([0.5, 1, 2, 3]))):
        F = t.nn.functional
        how = {"weight": w if weighted else None, "reduction": reduction, "ignore_index": 2}
        ce = lambda x, y, F=F, how=how: F.cross_entropy(x, y, label_smoothing=0.2, **how)
        nll = lambda x, y, F=F, how=how: F.nll_loss(x.log_softmax(min(x.dim() - 1, 1)), y, **how)
        total = lambda x, y, ce=ce, nll=nll: (ce(x, y) * 2 + nll(x, y)).sum()
        each = fastdl.vmap if t is fastdl else example_by_example
        results.append([each(ce)(x, y), each(nll)(x, y), each(ce, (0, None))(x, y[0])])
        results[-1] += [each(t.func.grad(total))(x, y), each(t.func.hessian(total))(x, y)]
    for a, b in zip(*results):
        assert (np.isnan(a.numpy()) == np.isnan(b.numpy())).all()
        close(a.nan_to_num(), b.nan_to_num(), 4096)


def example_by_example(f, dims=(0, 0)):
    """PyTorch's vmap has no rule for all of these."""
    return lambda x, y: torch.stack([f(a, y if dims[1] is None else y[i]) for i, a in enumerate(x)])


@pytest.mark.usefixtures("batched_only")
def test_tables():
    places = np.random.default_rng(0).integers(0, 7, (3, 4))
    results = []
    for t, (w, i, v) in zip(LIBRARIES, given(5, (7, 2), places, (3, 7, 2))):
        f = lambda w, i, t=t: t.nn.functional.embedding(i, w)
        g = lambda w, i, f=f: (f(w, i) ** 2).sum()
        results.append(
            (t.vmap(f, (None, 0))(w, i), t.vmap(f)(v, i), t.vmap(f, (0, None))(v, i[0]),
             t.vmap(t.func.grad(g), (None, 0))(w, i),
             t.vmap(lambda x, j, t=t: t.gather(x, 0, j), (0, None))(v, i[:2, :2]))
        )  # fmt: skip
    close(*results)


def copied(ours, theirs):
    """theirs with the weights of ours, both in float64."""
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    return ours.double(), theirs.double()


def mlp(t):
    nn = t.nn
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 5), nn.GELU(), nn.Linear(5, 3))


def convolutional(t):
    nn = t.nn
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(3, 3),
    )  # fmt: skip


def recurrent_free(t):
    nn = t.nn
    return nn.Sequential(
        nn.Embedding(9, 8), nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True),
        nn.LayerNorm(8), nn.Flatten(), nn.Linear(40, 3),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "shape"), [(mlp, (6, 4)), (convolutional, (6, 1, 8, 8)), (recurrent_free, None)]
)
def test_per_sample_gradients_of_networks(make, shape, batched_only):
    fastdl.manual_seed(0)
    networks = copied(make(fastdl), make(torch))
    rng = np.random.default_rng(1)
    xs = rng.standard_normal(shape) if shape else rng.integers(0, 9, (6, 5))
    ys = rng.integers(0, 3, 6)
    results = []
    for t, net in zip(LIBRARIES, networks):
        p = {k: v.detach() for k, v in net.named_parameters()}

        def loss(p, x, y, t=t, net=net):
            out = t.func.functional_call(net, p, (x.unsqueeze(0),))
            return t.nn.functional.cross_entropy(out, y.unsqueeze(0))

        x, y = t.tensor(xs), t.tensor(ys)
        results.append(t.vmap(t.func.grad(loss), (None, 0, 0))(p, x, y))
        if t is fastdl:
            results[-1] = [
                results[-1],
                t.vmap(t.func.grad(loss), (None, 0, 0), chunk_size=4)(p, x, y),
            ]
    close(results[0][0], results[1], 65536)
    close(results[0][1], results[1], 65536)


@pytest.mark.usefixtures("batched_only")
def test_ensembles():
    fastdl.manual_seed(0)
    ours = [mlp(fastdl).double() for _ in range(4)]
    theirs = [mlp(torch).double() for _ in ours]
    for a, b in zip(ours, theirs):
        copied(a, b)
    results = []
    for t, nets, (x,) in zip(LIBRARIES, (ours, theirs), given(6, (7, 4))):
        p, buffers = t.func.stack_module_state(nets)
        call = lambda p, b, x, t=t, net=nets[0]: t.func.functional_call(net, (p, b), (x,))
        results.append(t.vmap(call, (0, 0, None))(p, buffers, x))
    close(*results)


# ---- transforms in and around -------------------------------------------------------------------


def _scalar(a):
    return (a.sin() * a).sum() + a.prod()


def _vector(a):
    return a.exp() * a.sum()


COMPOSED = {
    "grad": lambda t, x, y: t.vmap(t.func.grad(_scalar))(x),
    "grad and value": lambda t, x, y: t.vmap(t.func.grad_and_value(_scalar))(x),
    "hessian": lambda t, x, y: t.vmap(t.func.hessian(_scalar))(x),
    "jacrev": lambda t, x, y: t.vmap(t.func.jacrev(_vector))(x),
    "jacfwd": lambda t, x, y: t.vmap(t.func.jacfwd(_vector))(x),
    "both": lambda t, x, y: t.vmap(t.func.jacrev(t.func.jacfwd(_vector)))(x),
    "jvp": lambda t, x, y: t.vmap(lambda a: t.func.jvp(_vector, (a,), (a * 2,)))(x),
    "vjp": lambda t, x, y: t.vmap(lambda a: t.func.vjp(_vector, a)[1](a)[0])(x),
    "jacrev around": lambda t, x, y: t.func.jacrev(t.vmap(_vector))(x),
    "hessian around": lambda t, x, y: t.func.hessian(lambda a: t.vmap(_scalar)(a).sum())(x),
    "grad around": lambda t, x, y: t.func.grad(
        lambda a: t.vmap(t.func.grad(_scalar))(a).pow(2).sum()
    )(x),
    "vmap in vmap": lambda t, x, y: t.vmap(
        lambda a, b: t.vmap(lambda c: (a * c).sum() * c)(b), (0, None)
    )(x, y),
    "shared by the outer": lambda t, x, y: t.vmap(
        lambda a, b: t.vmap(lambda c: (a * c).sum() * c)(b), (None, 0)
    )(x[0], t.stack([y, y])),
    "two": lambda t, x, y: t.vmap(t.vmap(_scalar))(t.stack([x, x])),
    "all pairs": lambda t, x, y: t.vmap(t.vmap(t.mul, (0, None)), (None, 0))(x, y),
    "three": lambda t, x, y: t.vmap(t.vmap(t.vmap(t.sin)), 1)(t.stack([x, x], -1)),
    "vmap in grad in vmap": lambda t, x, y: t.vmap(
        lambda a: t.func.grad(lambda b: t.vmap(lambda c: c * a.sum() * b)(y).sum())(a.sum())
    )(x),
    "grad in vmap in grad in vmap": lambda t, x, y: t.vmap(
        t.func.grad(lambda a: t.vmap(t.func.grad(_scalar))(t.stack([a, a * 2])).sum())
    )(x),
}


@pytest.mark.parametrize("name", COMPOSED)
@pytest.mark.usefixtures("batched_only")
def test_transforms_compose(name):
    arguments = given(7, (3, 4), (5, 4))
    close(*[COMPOSED[name](t, *a) for t, a in zip(LIBRARIES, arguments)], 16384)


@pytest.mark.usefixtures("batched_only")
def test_graphs_go_through():
    results = []
    for t, (x, w) in zip(LIBRARIES, given(8, (3, 4), (2, 4))):
        x, w = x.requires_grad_(), w.requires_grad_()
        y = t.vmap(lambda a, t=t, w=w: (w @ a).tanh().sum())(x)
        first = t.autograd.grad((y**2).sum(), (x, w), create_graph=True)
        second = t.autograd.grad(sum((g**2).sum() for g in first), (x, w))
        results.append([y, *first, *second])
        per = t.vmap(t.func.grad(lambda a, w=w: (w @ a).exp().sum()))(x)
        results[-1] += [per, *t.autograd.grad((per**2).sum(), (x, w))]
    close(*results, 65536)


@pytest.mark.usefixtures("batched_only")
def test_dimensions_in_and_out():
    results = []
    for t, (x,) in zip(LIBRARIES, given(9, (2, 3, 4))):
        pair = lambda a: (a, {"s": a.sum()})
        results.append([
            t.vmap(pair, 1, (1, {"s": 0}))(x), t.vmap(pair, -1, (-1, {"s": 0}))(x),
            t.vmap(lambda a: a * 2, 2, 1)(x), t.vmap(lambda a, t=t: t.ones(2), 0)(x),
            t.vmap(lambda a, b: a + b["k"][0], (0, {"k": (None,)}))(x, {"k": (x[0],)}),
            t.vmap(lambda a: a.clone(), 2, 0, chunk_size=3)(x),
            t.vmap(lambda a, k=1: a * k, 1)(x, k=3), t.vmap(lambda a: a)(x),
        ])  # fmt: skip
    close(*results)
    for t, (x,) in zip(LIBRARIES, given(9, (2, 3))):
        with pytest.raises(ValueError, match="can not return a BatchedTensor when out_dim is None"):
            t.vmap(lambda a: a, out_dims=None)(x)
        assert t.vmap(lambda a, t=t: t.ones(2), out_dims=None)(x).shape == (2,)


# ---- what is left to the loop -------------------------------------------------------------------

LOOPED = {
    "branch": lambda t, x: x * 2 if x.sum() > 0 else x - 1,
    "item": lambda t, x: x * x.sum().item(),
    "numpy": lambda t, x: x + t.tensor(np.asarray(x.detach())),
    "sort": lambda t, x: x.sort(-1).values,
    "topk": lambda t, x: x.topk(2).values,
    "argmax": lambda t, x: x.argmax(-1),
    "own index": lambda t, x: x[(x > 0).long()[:2, 0]],
    "in place": lambda t, x: x.clone().add_(1),
    "augmented": lambda t, x: _augmented(x),
    "assigned": lambda t, x: _assigned(t, x),
    "dropout": lambda t, x: t.nn.functional.dropout(x, 0.0),
    "dtype of a number": lambda t, x: x.float() * x.sum(),
    "function": lambda t, x: t.func.grad(lambda a: _cube(t).apply(a).sum())(x),
    "checkpoint": lambda t, x: t.func.grad(
        lambda a: _checkpoint(t)(lambda b: (b * b).sum(), a, use_reentrant=False)
    )(x),
    "graph": lambda t, x: _graph(t, x),
    "pullback": lambda t, x: t.func.vjp(t.sin, t.ones(4, 4, dtype=t.float64))[1](x)[0],
    "hook": lambda t, x: t.func.grad(lambda a: _hooked(a).sum())(x),
}


def _cube(t):
    class Cube(t.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x**3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0] ** 2 * 3

    return Cube


def _checkpoint(t):
    """PyTorch's does not work within transforms."""
    return fastdl.utils.checkpoint.checkpoint if t is fastdl else lambda f, x, **options: f(x)


def _graph(t, x):
    x = x.detach().requires_grad_()
    return t.autograd.grad((x**3).sum(), x)[0]


def _hooked(x):
    y = x * 2
    y.register_hook(lambda g: g * 3)
    return y


def _augmented(x):
    y = x * 1
    z = y
    y += 1
    return z


def _assigned(t, x):
    y = t.zeros(4, 4, dtype=t.float64)
    y[0] = x[0]
    return y


@pytest.mark.parametrize("name", LOOPED)
def test_the_loop_does_the_rest(name):
    x = np.random.default_rng(10).standard_normal((3, 4, 4))
    f = LOOPED[name]
    found = fastdl.vmap(lambda a: f(fastdl, a))(fastdl.tensor(x))
    wanted = torch.stack([f(torch, torch.tensor(a)) for a in x])
    close(found, wanted)


@pytest.mark.parametrize("what", ["roots", "seeds", "outputs"])
def test_the_engine_refuses_stand_ins(what):
    """Python takes them for tensors: the engine must not."""
    from fastdl import _engine
    from fastdl.func.batching import Batched

    x = fastdl.ones(2, 3, requires_grad=True)
    stand_in = Batched(x, 1)
    assert isinstance(stand_in, fastdl.Tensor)
    with pytest.raises(TypeError):
        if what == "roots":
            _engine.backward([stand_in], [x], False, False)
        elif what == "seeds":
            _engine.backward([x * 2], [stand_in], False, False)
        else:
            _engine.attach(_engine.Primitive(lambda a: a), (x,), (stand_in,), (), {})
    with pytest.raises(TypeError, match="vmap"):
        fastdl.ones(3).add_(stand_in)


def test_functions_without_a_rule_are_not_half_run(monkeypatch):
    """Nothing of the attempt remains: values outside, random numbers, levels."""
    seen = []

    def f(x):
        seen.append(x.shape)
        return x.mode().values

    x = fastdl.rand(3, 4)
    state = fastdl.get_rng_state()
    fastdl.vmap(f)(x)
    assert seen == [(4,)] * 4
    assert (fastdl.get_rng_state() == state).all()
    from fastdl.func import batching

    assert batching._sizes() == []
    with pytest.raises(NoRule):
        batching.Form((2,), np.dtype(float)).__array__()
    with looped(monkeypatch):
        assert fastdl.vmap(lambda a: a * 2)(x).tolist() == (x * 2).tolist()
    with pytest.raises(ZeroDivisionError):
        fastdl.vmap(lambda a: a / (1 // 0))(x)
    assert batching._sizes() == []


def test_random_numbers():
    x = fastdl.zeros(3, 4)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        fastdl.vmap(lambda a: a + fastdl.rand(4))(x)
    for draw in (lambda a: a + fastdl.rand(4), lambda a: fastdl.nn.functional.dropout(a + 1)):
        fastdl.manual_seed(0)
        same = fastdl.vmap(draw, randomness="same")(x)
        assert (same == same[0]).all()
        fastdl.manual_seed(0)
        assert (draw(x[0]) == same[0]).all()
        fastdl.manual_seed(0)
        other = fastdl.vmap(draw, randomness="different")(x)
        assert (other[0] != other[1]).any()
        fastdl.manual_seed(0)
        chunks = fastdl.vmap(draw, randomness="same", chunk_size=2)(x)
        assert (chunks == same).all()


def test_batches_of_nothing_and_of_one():
    for n in (0, 1):
        x = fastdl.zeros(n, 3)
        assert fastdl.vmap(lambda a: (a * 2, a.sum()))(x)[1].shape == (n,)
        assert fastdl.vmap(fastdl.func.grad(lambda a: (a * a).sum()))(x).shape == (n, 3)
