"""What fastdl and PyTorch are both asked to do, written once for a module called `torch`.

A builder takes the module and a problem's numbers and returns (call, result): `call()` is what is
timed, `result()` the tensors that both sides must agree on. `cases()` lists them by name.
"""

import json
import math
import warnings
from pathlib import Path

import models
import numpy as np
from shapes import (
    ATTENTION,
    BATCHED,
    CONV,
    CONV_BEYOND_NUMPY,
    ELEMENTWISE,
    GEMM,
    LAYER_NORM,
    POOL,
    SOFTMAX,
)


def normal(torch, *shape, seed=0, grad=False):
    array = np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(array).requires_grad_(grad)


def integers(torch, high, *shape, seed=3):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, high, shape))


def inference(torch, f):
    """`f` without recording."""

    def call():
        with torch.no_grad():
            return f()

    return call, lambda: [call()]


def training(torch, f, *inputs):
    """`f` recorded, then its gradient with respect to every input."""
    with torch.no_grad():
        seed = normal(torch, *f().shape, seed=1)

    def call():
        for x in inputs:
            x.grad = None
        f().backward(seed)

    def result():
        call()
        return [x.grad for x in inputs]

    return call, result


def in_mode(torch, mode, f, *inputs):
    return training(torch, f, *inputs) if mode == "training" else inference(torch, f)


def unchecked(call):
    """A call whose numbers are random: only the shape of what it returns is compared."""
    return call, lambda: [call().detach() * 0]


# ---- single operations --------------------------------------------------------------------------


def tiny(torch, mode):
    """a + b of four numbers: what one operation costs when there is nothing to compute."""
    a, b = (normal(torch, 4, seed=seed, grad=mode != "no grad") for seed in (0, 1))
    seed = normal(torch, 4, seed=2)
    if mode == "no grad":
        return lambda: a + b, lambda: [a + b]
    if mode == "recorded":
        return lambda: a + b, lambda: [(a + b).detach()]

    def call():
        a.grad = b.grad = None
        (a + b).backward(seed)

    return call, lambda: (call(), [a.grad, b.grad])[1]


TINY = {
    "x * 2, 64 floats": ((64,), lambda torch, x: x * 2.0),
    "sum, 64 floats": ((64,), lambda torch, x: x.sum()),
}
SMALL = {
    "mean(1)": lambda torch, x: x.mean(1),
    "sum(0, keepdim)": lambda torch, x: x.sum(0, keepdim=True),
    "max()": lambda torch, x: x.max(),
    "max(1)": lambda torch, x: x.max(1)[0],
    "argmax(1)": lambda torch, x: x.argmax(1),
    "var(1)": lambda torch, x: x.var(1),
    "norm()": lambda torch, x: x.norm(),
    "any()": lambda torch, x: (x > 0).any(),
    "cumsum(1)": lambda torch, x: x.cumsum(1),
    "min(0)": lambda torch, x: x.min(0)[0],
    "sort(1)": lambda torch, x: x.sort(1)[0],
    "topk(3)": lambda torch, x: x.topk(3)[0],
    "median()": lambda torch, x: x.median(),
    "median(1)": lambda torch, x: x.median(1)[0],
    "any(1)": lambda torch, x: (x > 0).any(1),
    "count of x > 0": lambda torch, x: (x > 0).sum(),
    "all()": lambda torch, x: (x > -9).all(),
    "x[3]": lambda torch, x: x[3],
    "x[2:9]": lambda torch, x: x[2:9],
    "x[:, 0]": lambda torch, x: x[:, 0],
    "x[..., None]": lambda torch, x: x[..., None],
    "x[mask]": lambda torch, x: x[x > 0],
    "x[index]": lambda torch, x: x[torch.tensor([3, 1, 2])],
    "x.gather(1, index)": lambda torch, x: x.gather(1, torch.zeros(16, 1, dtype=torch.int64)),
    "x[:, index]": lambda torch, x: x[:, torch.tensor([3, 1, 2])],
    "x[i, j]": lambda torch, x: x[torch.tensor([3, 1]), torch.tensor([0, 2])],
    "index_select(0)": lambda torch, x: x.index_select(0, torch.tensor([3, 1, 2])),
    "take_along_dim(1)": lambda torch, x: x.take_along_dim(
        torch.zeros(16, 1, dtype=torch.int64), 1
    ),
    "masked_select": lambda torch, x: x.masked_select(x > 0),
    "masked_fill": lambda torch, x: x.masked_fill(x > 0, 0.0),
    "scatter(1)": lambda torch, x: x.scatter(1, torch.zeros(16, 1, dtype=torch.int64), 1.0),
    "scatter_add(1)": lambda torch, x: x.scatter_add(
        1, torch.zeros(16, 1, dtype=torch.int64), x[:, :1]
    ),
    "x[index] = 0": lambda torch, x: (x.__setitem__(torch.tensor([3, 1]), 0.0), x)[1],
    "x[x > 9] = 0": lambda torch, x: (x.__setitem__(x > 9, 0.0), x)[1],
    "x[2:4] = x[:2]": lambda torch, x: (x.__setitem__(slice(2, 4), x[:2]), x)[1],
    "x[3] = 0": lambda torch, x: (x.__setitem__(3, 0.0), x)[1],
    "x.view(-1)": lambda torch, x: x.view(-1),
    "x.reshape(4, 64)": lambda torch, x: x.reshape(4, 64),
    "x.flatten()": lambda torch, x: x.flatten(),
    "x.t()": lambda torch, x: x.t(),
    "x.transpose(0, 1)": lambda torch, x: x.transpose(0, 1),
    "x.permute(1, 0)": lambda torch, x: x.permute(1, 0),
    "x.unsqueeze(0)": lambda torch, x: x.unsqueeze(0),
    "x[None].squeeze(0)": lambda torch, x: x[None].squeeze(0),
    "diagonal()": lambda torch, x: x.diagonal(),
    "x.expand(4, 16, 16)": lambda torch, x: x.expand(4, 16, 16),
    "x.chunk(2)": lambda torch, x: x.chunk(2)[0],
    "x.unbind(0)": lambda torch, x: x.unbind(0)[3],
    "cat of two": lambda torch, x: torch.cat([x, x]),
    "stack of two": lambda torch, x: torch.stack([x, x]),
    "flip(0)": lambda torch, x: x.flip(0),
    "roll(1, 0)": lambda torch, x: x.roll(1, 0),
    "repeat(2, 2)": lambda torch, x: x.repeat(2, 2),
    "repeat_interleave(2, 0)": lambda torch, x: x.repeat_interleave(2, 0),
    "unfold(0, 4, 2)": lambda torch, x: x.unfold(0, 4, 2),
    "tril": lambda torch, x: x.tril(),
    "pad by 1": lambda torch, x: torch.nn.functional.pad(x, (1, 1, 1, 1)),
    "x > 0": lambda torch, x: x > 0,
    "where(x > 0, x, 0)": lambda torch, x: torch.where(x > 0, x, 0.0),
    "clamp(-1, 1)": lambda torch, x: x.clamp(-1.0, 1.0),
    "exp": lambda torch, x: x.exp(),
    "x ** 2": lambda torch, x: x**2,
    "round": lambda torch, x: x.round(),
    "x.add_(0)": lambda torch, x: x.add_(0.0),
    "zeros_like": lambda torch, x: torch.zeros_like(x),
    "zeros(16, 16)": lambda torch, x: torch.zeros(16, 16),
    "ones(16, 16)": lambda torch, x: torch.ones(16, 16),
    "full((16, 16), 0.5)": lambda torch, x: torch.full((16, 16), 0.5),
    "eye(16)": lambda torch, x: torch.eye(16),
    "linspace(0, 1, 16)": lambda torch, x: torch.linspace(0, 1, 16),
    "arange(16)": lambda torch, x: torch.arange(16),
    "arange(0, 1, 0.1)": lambda torch, x: torch.arange(0, 1, 0.1),
    "tensor([1.0, 2.0])": lambda torch, x: torch.tensor([1.0, 2.0]),
    "clone": lambda torch, x: x.clone(),
    "detach": lambda torch, x: x.detach(),
    "x.to(float64)": lambda torch, x: x.to(torch.float64),
    "sum().item()": lambda torch, x: torch.tensor(x.sum().item()),
    "x @ x": lambda torch, x: x @ x,
    "mm": lambda torch, x: torch.mm(x, x),
    "bmm of two": lambda torch, x: torch.bmm(x.view(2, 8, 16), x.view(2, 16, 8)),
    "dot": lambda torch, x: torch.dot(x[0], x[1]),
    "relu": lambda torch, x: torch.relu(x),
    "softmax(1)": lambda torch, x: torch.softmax(x, 1),
    "log_softmax(1)": lambda torch, x: torch.log_softmax(x, 1),
}
TINY |= {f"{name}, 16 x 16": ((16, 16), f) for name, f in SMALL.items()}


def small(torch, name):
    shape, f = TINY[name]
    x = normal(torch, *shape)
    return (lambda: f(torch, x)), lambda: [f(torch, x)]


def gemm(torch, m, n, k, layout="nn", batch=()):
    a = normal(torch, *batch, m, k) if layout[0] == "n" else normal(torch, *batch, k, m).mT
    b = normal(torch, *batch, k, n, seed=1)
    b = b if layout[1] == "n" else normal(torch, *batch, n, k, seed=1).mT
    return inference(torch, lambda: a @ b)


def conv(torch, n, c, h, w, k, r, s, stride_h, stride_w, pad_h, pad_w, groups, mode):
    train = mode == "training"
    x = normal(torch, n, c, h, w, grad=train)
    filters = normal(torch, k, c // groups, r, s, grad=train)
    bias = normal(torch, k, grad=train)
    geometry = (stride_h, stride_w), (pad_h, pad_w), 1, groups
    f = lambda: torch.nn.functional.conv2d(x, filters, bias, *geometry)
    return in_mode(torch, mode, f, x, filters, bias)


def conv1d(torch, n, c, length, k, r, dilation, mode):
    train = mode == "training"
    x, filters = normal(torch, n, c, length, grad=train), normal(torch, k, c, r, grad=train)
    f = lambda: torch.nn.functional.conv1d(x, filters, None, 1, dilation, dilation)
    return in_mode(torch, mode, f, x, filters)


def conv_transpose(torch, n, c, h, w, k, r, stride, padding, mode):
    train = mode == "training"
    x, filters = normal(torch, n, c, h, w, grad=train), normal(torch, c, k, r, r, grad=train)
    f = lambda: torch.nn.functional.conv_transpose2d(x, filters, None, stride, padding)
    return in_mode(torch, mode, f, x, filters)


def pool(torch, n, c, h, w, window, stride, padding, kind, mode):
    x = normal(torch, n, c, h, w, grad=mode == "training")
    function = getattr(torch.nn.functional, f"{kind}_pool2d")
    return in_mode(torch, mode, lambda: function(x, window, stride, padding), x)


def adaptive(torch, n, c, h, w, out, kind, mode):
    x = normal(torch, n, c, h, w, grad=mode == "training")
    function = getattr(torch.nn.functional, f"adaptive_{kind}_pool2d")
    return in_mode(torch, mode, lambda: function(x, out), x)


def unary(torch, name, shape, mode):
    x = normal(torch, *shape)
    x = (x * x + 0.1 if name in ("log", "sqrt") else x).requires_grad_(mode == "training")
    owner = torch if hasattr(torch, name) else torch.nn.functional
    function = getattr(owner, name)
    return in_mode(torch, mode, lambda: function(x), x)


def binary(torch, name, shape, other, mode):
    train = mode == "training"
    x, y = normal(torch, *shape, grad=train), normal(torch, *other, seed=1, grad=train)
    function = getattr(torch, name)
    return in_mode(torch, mode, lambda: function(x, y), x, y)


def chain(torch, rows, columns):
    """(x * y + x).exp().sum() and its gradients; small numbers, so that exp stays small."""
    x, y = ((normal(torch, rows, columns, seed=s) * 0.1).requires_grad_() for s in (0, 1))

    def call():
        x.grad = y.grad = None
        (x * y + x).exp().sum().backward()

    return call, lambda: (call(), [x.grad, y.grad])[1]


REDUCTIONS = {
    "sum of all": lambda torch, x: x.sum(),
    "sum(0)": lambda torch, x: x.sum(0),
    "sum(1)": lambda torch, x: x.sum(1),
    "mean(1)": lambda torch, x: x.mean(1),
    "max(1)": lambda torch, x: x.max(1)[0],
    "amax(0)": lambda torch, x: x.amax(0),
    "argmax(1)": lambda torch, x: x.argmax(1),
    "var(1)": lambda torch, x: x.var(1),
    "logsumexp(1)": lambda torch, x: torch.logsumexp(x, 1),
    "norm": lambda torch, x: x.norm(),
    "cumsum(1)": lambda torch, x: x.cumsum(1),
}


def reduction(torch, name, rows, columns):
    x = normal(torch, rows, columns)
    return inference(torch, lambda: REDUCTIONS[name](torch, x))


def channel_mean(torch, n, c, h, w):
    x = normal(torch, n, c, h, w)
    return inference(torch, lambda: x.mean((0, 2, 3)))


MOVES = {
    "clone": lambda torch, x: x.clone(),
    "cat of two, dim 1": lambda torch, x: torch.cat([x, x], 1),
    "stack of two": lambda torch, x: torch.stack([x, x]),
    "permute(0, 2, 3, 1)": lambda torch, x: x.permute(0, 2, 3, 1).contiguous(),
    "transpose(0, 1)": lambda torch, x: x.transpose(0, 1).contiguous(),
    "transpose(2, 3)": lambda torch, x: x.transpose(2, 3).contiguous(),
    "pad by 1": lambda torch, x: torch.nn.functional.pad(x, (1, 1, 1, 1)),
    "flip(3)": lambda torch, x: x.flip(3),
    "roll(5, 2)": lambda torch, x: x.roll(5, 2),
    "zeros_like": lambda torch, x: torch.zeros_like(x),
    "full": lambda torch, x: torch.full((16, 64, 56, 56), 0.5),
    "addcmul_": lambda torch, x: torch.zeros_like(x).addcmul_(x, x),
}


def move(torch, name, shape):
    x = normal(torch, *shape)
    return inference(torch, lambda: MOVES[name](torch, x))


def softmax(torch, rows, columns, mode):
    x = normal(torch, rows, columns, grad=mode == "training")
    return in_mode(torch, mode, lambda: torch.softmax(x, 1), x)


def cross_entropy(torch, rows, columns):
    x = normal(torch, rows, columns, grad=True)
    target = integers(torch, columns, rows)

    def call():
        x.grad = None
        torch.nn.functional.cross_entropy(x, target).backward()

    return call, lambda: (call(), [x.grad])[1]


LOSSES = {  # of two tensors of one shape: what makes the input and the target of normal numbers
    "mse_loss": (lambda torch, x: x, lambda torch, y: y),
    "l1_loss": (lambda torch, x: x, lambda torch, y: y),
    "smooth_l1_loss": (lambda torch, x: x, lambda torch, y: y),
    "huber_loss": (lambda torch, x: x, lambda torch, y: y),
    "binary_cross_entropy": (lambda torch, x: torch.sigmoid(x), lambda torch, y: (y > 0).float()),
    "binary_cross_entropy_with_logits": (lambda torch, x: x, lambda torch, y: (y > 0).float()),
    "kl_div": (lambda torch, x: x, lambda torch, y: torch.softmax(y, 1)),
    "cross_entropy": (lambda torch, x: x, lambda torch, y: torch.softmax(y, 1)),
}


def pointwise_loss(torch, name, rows, columns, mode):
    make_x, make_y = LOSSES[name]
    x = make_x(torch, normal(torch, rows, columns)).requires_grad_(mode == "training")
    y = make_y(torch, normal(torch, rows, columns, seed=1))
    how = {"reduction": "batchmean"} if name == "kl_div" else {}
    return in_mode(torch, mode, lambda: getattr(torch.nn.functional, name)(x, y, **how), x)


def pixel_loss(torch, name, n, c, h, w, mode):
    """Cross-entropy of scores with classes, or "nll_loss" of what would be their logarithms."""
    x, target = normal(torch, n, c, h, w, grad=mode == "training"), integers(torch, c, n, h, w)
    return in_mode(torch, mode, lambda: getattr(torch.nn.functional, name)(x, target), x)


def nll_loss(torch, rows, columns, mode):
    x, target = (
        normal(torch, rows, columns, grad=mode == "training"),
        integers(torch, columns, rows),
    )
    return in_mode(torch, mode, lambda: torch.nn.functional.nll_loss(x, target), x)


def ctc_loss(torch, steps, batch, classes, labels, mode):
    """Of log-probabilities: log_softmax is measured elsewhere."""
    x = torch.nn.functional.log_softmax(normal(torch, steps, batch, classes), -1)
    x.requires_grad_(mode == "training")
    target = 1 + integers(torch, classes - 1, batch, labels)
    lengths = [torch.tensor([n] * batch) for n in (steps, labels)]
    f = lambda: torch.nn.functional.ctc_loss(x, target, *lengths)
    # The losses are compared: PyTorch's gradient of floats is off by 1e-3 of its greatest value.
    return in_mode(torch, mode, f, x)[0], lambda: [f().detach()]


def layer_norm(torch, rows, columns, mode, name="layer_norm"):
    train = mode == "training"
    x, weight, bias = (
        normal(torch, *shape, seed=seed, grad=train)
        for seed, shape in enumerate([(rows, columns), (columns,), (columns,)])
    )
    if name == "rms_norm":
        f = lambda: torch.nn.functional.rms_norm(x, (columns,), weight)
        return in_mode(torch, mode, f, x, weight)
    f = lambda: torch.nn.functional.layer_norm(x, (columns,), weight, bias)
    return in_mode(torch, mode, f, x, weight, bias)


def batch_norm(torch, n, c, h, w, mode):
    train = mode == "training"
    x, weight, bias = (
        normal(torch, *shape, seed=seed, grad=train)
        for seed, shape in enumerate([(n, c, h, w), (c,), (c,)])
    )
    mean, variance = normal(torch, c, seed=4), normal(torch, c, seed=5) ** 2 + 0.5
    f = lambda: torch.nn.functional.batch_norm(x, mean, variance, weight, bias, mode != "eval")
    return in_mode(torch, mode, f, x, weight, bias)


def group_norm(torch, n, c, h, w, groups, mode):
    train = mode == "training"
    x, weight, bias = (
        normal(torch, *shape, seed=seed, grad=train)
        for seed, shape in enumerate([(n, c, h, w), (c,), (c,)])
    )
    f = lambda: torch.nn.functional.group_norm(x, groups, weight, bias)
    return in_mode(torch, mode, f, x, weight, bias)


def embedding(torch, words, width, tokens):
    weight, ids = normal(torch, words, width, grad=True), integers(torch, words, tokens)
    return training(torch, lambda: torch.nn.functional.embedding(ids, weight), weight)


def attention(torch, batch, heads, length, width, causal, mode):
    train = mode == "training"
    q, k, v = (normal(torch, batch, heads, length, width, seed=s, grad=train) for s in range(3))
    sdpa = torch.nn.functional.scaled_dot_product_attention
    return in_mode(torch, mode, lambda: sdpa(q, k, v, is_causal=causal), q, k, v)


def attention_dropout(torch, batch, heads, length, width, causal):
    q, k, v = (normal(torch, batch, heads, length, width, seed=s, grad=True) for s in range(3))
    sdpa, seed = torch.nn.functional.scaled_dot_product_attention, normal(torch, *q.shape, seed=3)

    def call():
        q.grad = k.grad = v.grad = None
        sdpa(q, k, v, dropout_p=0.1, is_causal=causal).backward(seed)
        return q.grad

    return unchecked(call)


def random(torch, name, size):
    x = torch.empty(size)
    fills = {
        "rand": lambda: torch.rand(size),
        "randn": lambda: torch.randn(size),
        "normal_": lambda: x.normal_(),
        "bernoulli_(0.5)": lambda: x.bernoulli_(0.5),
        "randint": lambda: torch.randint(0, 1000, (size,)),
        "randperm": lambda: torch.randperm(size),
    }
    return unchecked(fills[name])


def dropout(torch, shape):
    x, seed = normal(torch, *shape, grad=True), normal(torch, *shape, seed=1)

    def call():
        x.grad = None
        torch.nn.functional.dropout(x, 0.1).backward(seed)
        return x.grad

    return unchecked(call)


# ---- data ---------------------------------------------------------------------------------------


class Pictures:
    """28x28 grey pictures, each moved by up to 4 pixels, mirrored or not, and normalised."""

    def __init__(self, torch, n):
        values = np.random.default_rng(0).integers(0, 256, (n, 1, 28, 28), dtype=np.uint8)
        self.torch, self.images = torch, torch.from_numpy(values)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        torch = self.torch
        image = torch.nn.functional.pad(self.images[i].float(), (4, 4, 4, 4))
        y, x, mirror = torch.randint(0, 9, (3,)).tolist()
        image = image[:, y : y + 28, x : x + 28]
        if mirror > 4:
            image = image.flip(2)
        return (image - 33.3) / 78.6, i


def loader(torch, pictures, workers):
    """An epoch over augmented pictures; the workers stay, so their start is not timed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's advice on the number of processors
        batches = torch.utils.data.DataLoader(
            Pictures(torch, pictures), 64, True, num_workers=workers, persistent_workers=workers > 0
        )

    def call():
        return torch.cat([labels for _, labels in batches])

    return call, lambda: [call().sort()[0]]


# ---- whole steps --------------------------------------------------------------------------------


def prepare(torch, model):
    """The same weights on both sides, scaled as usual."""
    for i, parameter in enumerate(model.parameters()):
        values = np.random.default_rng(i).standard_normal(tuple(parameter.shape), dtype=np.float32)
        if values.ndim > 1:
            values *= np.float32(1 / math.sqrt(math.prod(values.shape[1:])))
        else:
            values = 1 + np.float32(0.1) * values
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(values))
    return model


def sgd(torch, parameters):
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def adam(torch, parameters):
    return torch.optim.Adam(parameters, lr=1e-3)


def optimize(torch, model, optimizer, loss):
    """One training step: gradients cleared, forward, backward, optimizer."""
    optimizer = optimizer(torch, prepare(torch, model).parameters())

    def call():
        optimizer.zero_grad()
        value = loss(model)
        value.backward()
        optimizer.step()
        return value

    # three losses in a row: the optimizer's work is in all but the first
    return call, lambda: [call().detach() for _ in range(3)]


def classify(torch, model, optimizer, *input_shape):
    x, target = normal(torch, *input_shape), integers(torch, 10, input_shape[0])
    loss = torch.nn.functional.cross_entropy
    return optimize(torch, model(torch), optimizer, lambda net: loss(net(x), target))


def classify_mlp(torch, batch, *widths):
    return classify(torch, lambda torch: models.mlp(torch, *widths), adam, batch, widths[0])


def segment(torch, batch, extent):
    x, target = normal(torch, batch, 3, extent, extent), integers(torch, 10, batch, extent, extent)
    loss = torch.nn.functional.cross_entropy
    return optimize(torch, models.unet(torch), adam, lambda net: loss(net(x), target))


def language(torch, model, batch, length):
    tokens = integers(torch, 512, batch, length + 1)
    x, target = tokens[:, :-1], tokens[:, 1:].reshape(-1)
    loss = torch.nn.functional.cross_entropy
    return optimize(torch, model(torch), adam, lambda net: loss(net(x).reshape(-1, 512), target))


def recurrent_language(torch, name, batch, length):
    """Time comes first: (length, batch), which for these layers is the usual order."""
    return language(torch, lambda torch: models.recurrent(torch, name), length, batch)


def adversarial(torch, batch):
    """One step of a DCGAN: the discriminator on real and generated images, then the generator."""
    generator, discriminator = models.generator(torch), models.discriminator(torch)
    optimizers = [
        adam(torch, prepare(torch, net).parameters()) for net in (generator, discriminator)
    ]
    real, noise = normal(torch, batch, 3, 64, 64), normal(torch, batch, 100, 1, 1)
    ones, zeros = torch.ones(batch), torch.zeros(batch)
    loss = torch.nn.functional.binary_cross_entropy_with_logits

    def call():
        fake = generator(noise)
        optimizers[1].zero_grad()
        real_loss = loss(discriminator(real), ones)
        (real_loss + loss(discriminator(fake.detach()), zeros)).backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        value = loss(discriminator(fake), ones)
        value.backward()
        optimizers[0].step()
        return value

    return call, lambda: [call().detach()]


def predict(torch, model, *input_shape, ready=lambda torch, model: model):
    """Inference of one batch, layers in evaluation mode."""
    model = ready(torch, prepare(torch, model(torch)).eval())
    x = normal(torch, *input_shape)
    return inference(torch, lambda: model(x))


def predict_frozen(torch, model, *input_shape):
    """The same with the weights as constants: of PyTorch's ways (a trace, optimize_for_inference)
    this is the fastest."""
    freeze = lambda torch, model: torch.jit.freeze(torch.jit.script(model))
    return predict(torch, model, *input_shape, ready=freeze)


# ---- the lists ----------------------------------------------------------------------------------

BOTH = ("forward", "training")
CHANNELS = (16, 64, 56, 56)


def cases():
    """{name: (family, builder, its arguments after `torch`)}"""
    found = {}

    def add(family, name, build, *arguments):
        found[name] = (family, build, arguments)

    def add_modes(family, name, build, *arguments, modes=BOTH):
        for mode in modes:
            add(family, f"{name}, {mode}", build, *arguments, mode)

    for mode in ("no grad", "recorded", "with backward"):
        add("tiny", f"a + b, 4 floats, {mode}", tiny, mode)
    for name in TINY:
        add("tiny", name, small, name)
    for m, n, k in GEMM:
        add("gemm", f"gemm {m} x {n} x {k}", gemm, m, n, k)
    for layout in ("nt", "tn", "tt"):
        add("gemm", f"gemm 512 x 512 x 512, {layout}", gemm, 512, 512, 512, layout)
    for batch, m, n, k in BATCHED:
        add("gemm", f"gemm {batch} of {m} x {n} x {k}", gemm, m, n, k, "nn", (batch,))
    for name, shape in {**CONV, **CONV_BEYOND_NUMPY}.items():
        add_modes("conv", f"conv {name}", conv, *shape)
    add_modes("conv", "conv1d 16 x 64 x 4096, 3 taps 4 apart", conv1d, 16, 64, 4096, 64, 3, 4)
    transposed = (64, 512, 4, 4, 256, 4, 2, 1)
    add_modes("conv", "transposed conv 512 -> 256, 4x4/2", conv_transpose, *transposed)
    for name, shape in POOL.items():
        add_modes("pool", name, pool, *shape)
    add_modes("pool", "adaptive avg pool to 1, 64x512x7x7", adaptive, 64, 512, 7, 7, 1, "avg")
    add_modes("pool", "adaptive avg pool to 5, 16x64x56x56", adaptive, *CHANNELS, 5, "avg")
    for name, shape, other in ELEMENTWISE:
        sizes = "x".join(map(str, shape)), "x".join(map(str, other))
        add(
            "elementwise",
            f"{name} {sizes[0]} and {sizes[1]}",
            binary,
            name,
            shape,
            other,
            "forward",
        )
    for name in ("exp", "log", "sqrt", "sin", "relu"):
        add("elementwise", f"{name} 16x64x56x56", unary, name, CHANNELS, "forward")
    for name in ("tanh", "sigmoid", "gelu", "silu"):
        add_modes("elementwise", f"{name} 16x64x56x56", unary, name, CHANNELS)
    add("elementwise", "(x*y+x).exp().sum() 4096x4096, training", chain, 4096, 4096)
    for name in REDUCTIONS:
        add("reduce", f"{name} of 4096x1024", reduction, name, 4096, 1024)
    add("reduce", "mean((0, 2, 3)) of 16x64x56x56", channel_mean, *CHANNELS)
    for name in MOVES:
        add("move", f"{name} 16x64x56x56", move, name, CHANNELS)
    for shape in SOFTMAX:
        add_modes("rows", "softmax {} x {}".format(*shape), softmax, *shape)
    add("rows", "cross-entropy 4096 x 1000, training", cross_entropy, 4096, 1000)
    add("rows", "cross-entropy 64 x 10, training", cross_entropy, 64, 10)
    for name in LOSSES:
        for shape in ((64, 10), (1024, 1000)):
            add_modes("loss", "{} {} x {}".format(name, *shape), pointwise_loss, name, *shape)
    for shape in ((64, 10), (4096, 1000)):
        add_modes("loss", "nll_loss {} x {}".format(*shape), nll_loss, *shape)
    for name in ("cross_entropy", "nll_loss"):
        add_modes("loss", f"{name} 4x21x128x128", pixel_loss, name, 4, 21, 128, 128)
    for shape in ((150, 16, 30, 20), (200, 32, 1000, 30)):
        add_modes("loss", "ctc_loss {}x{}x{}, {} labels".format(*shape), ctc_loss, *shape)
    for shape in LAYER_NORM:
        add_modes("norm", "layer norm {} x {}".format(*shape), layer_norm, *shape)
    for mode in BOTH:
        add("norm", f"RMS norm 4096 x 768, {mode}", layer_norm, 4096, 768, mode, "rms_norm")
    add_modes("norm", "batch norm 16x64x56x56", batch_norm, *CHANNELS, modes=("eval", *BOTH))
    add_modes("norm", "batch norm 16x512x4x4", batch_norm, 16, 512, 4, 4)
    add_modes("norm", "group norm 16x64x56x56, 8 groups", group_norm, *CHANNELS, 8)
    add("rows", "embedding 30000 x 256, 4096 tokens, training", embedding, 30000, 256, 4096)
    for name, shape in ATTENTION.items():
        add_modes("attention", name, attention, *shape)
    dropped = (8, 8, 256, 64, True)
    add("attention", "attention 8x8x256x64, causal, dropout", attention_dropout, *dropped)
    for name in ("rand", "randn", "normal_", "bernoulli_(0.5)", "randint", "randperm"):
        add("random", f"{name}, 2 M values", random, name, 1 << 21)
    add("random", "dropout 16x64x56x56, training", dropout, CHANNELS)
    for workers in (0, 2, 4):
        name = f"an epoch of 2048 augmented pictures 28x28, {workers} workers"
        add("data", name, loader, 2048, workers)
    for batch, *widths in ((32, 4, 16, 10), (128, 784, 512, 256, 10)):
        name = f"step: MLP {'-'.join(map(str, widths))}, batch {batch}, Adam"
        add("step", name, classify_mlp, batch, *widths)
    add("step", "step: LeNet, batch 64, SGD", classify, models.lenet, sgd, 64, 1, 28, 28)
    image = (3, 32, 32)
    add("step", "step: ResNet-18, batch 16, SGD", classify, models.resnet18, sgd, 16, *image)
    add("step", "step: MobileNet, batch 16, SGD", classify, models.mobilenet, sgd, 16, *image)
    add("step", "step: U-Net, 4 of 96x96, Adam", segment, 4, 96)
    add("step", "step: DCGAN, batch 16, Adam", adversarial, 16)
    add("step", "step: GPT 4x256, batch 8, length 128, Adam", language, models.gpt, 8, 128)
    for kind in ("RNN", "GRU", "LSTM"):
        name = f"step: {kind} LM 2x128, batch 32, length 35, Adam"
        add("step", name, recurrent_language, kind, 32, 35)
    for batch in (1, 16):
        name = f"predict: ResNet-18, batch {batch}"
        add("predict", name, predict, models.resnet18, batch, *image)
        add("predict", f"{name}, frozen", predict_frozen, models.resnet18, batch, *image)
    return found


def full_cases():
    """Every problem of shapes.json: layers of whole networks, DeepBench's lists."""
    lists = json.loads(Path(__file__).with_name("shapes.json").read_text(encoding="utf-8"))
    found = {}
    for network, shapes in lists["conv"].items():
        for shape in shapes:
            for mode in BOTH:
                name = f"{network} conv {'x'.join(map(str, shape))}, {mode}"
                found[name] = ("conv", conv, (*shape, mode))
    for group, shapes in lists["gemm"].items():
        for m, n, k in shapes:
            found[f"{group} gemm {m} x {n} x {k}"] = ("gemm", gemm, (m, n, k))
    for group, shapes in lists["batched"].items():
        for batch, m, n, k in shapes:
            name = f"{group} gemm {batch} of {m} x {n} x {k}"
            found[name] = ("gemm", gemm, (m, n, k, "nn", (batch,)))
    for group, shapes in lists["pool"].items():
        for n, c, h, w, *rest, kind in shapes:
            window, stride, padding = zip(rest[::2], rest[1::2])
            for mode in BOTH:
                name = f"{group} {kind} pool {'x'.join(map(str, (n, c, h, w, *rest)))}, {mode}"
                found[name] = ("pool", pool, (n, c, h, w, window, stride, padding, kind, mode))
    rows = {"softmax": ("rows", softmax), "layer_norm": ("norm", layer_norm)}
    rows["batch_norm"] = ("norm", batch_norm)
    for kind, (family, build) in rows.items():
        for shapes in lists[kind].values():
            for shape in shapes:
                for mode in BOTH:
                    name = f"{kind} {'x'.join(map(str, shape))}, {mode}"
                    found[name] = (family, build, (*shape, mode))
    return found


def fresh_cases(seed, each=6):
    """`each` problems of every shaped family, drawn at random: shapes nobody has tuned for."""
    rng = np.random.default_rng(seed)
    found = {}

    def between(low, high):
        """An int, every factor of two as likely as the next."""
        return round(math.exp(rng.uniform(math.log(low), math.log(high))))

    def add(family, title, build, *shape, modes=BOTH):
        name = f"{title} {'x'.join(map(str, shape))}"
        for mode in modes:
            found[f"{name}, {mode}"] = (family, build, (*shape, mode))

    for _ in range(each):
        m, n, k = (between(1, 2048) for _ in range(3))
        found[f"gemm {m} x {n} x {k}"] = ("gemm", gemm, (m, n, k))
        extent = between(4, 64)
        channels = (
            between(16, 512 if extent < 20 else 128),
            between(16, 512 if extent < 20 else 128),
        )
        images = max(1, min(32, int(2e9 / (18 * channels[0] * channels[1] * extent**2))))
        size = (images, channels[0], extent, extent + int(rng.integers(0, 3)), channels[1])
        add("conv", "conv 3x3", conv, *size, 3, 3, 1, 1, 1, 1, 1)
        add("conv", "conv 3x3/2", conv, *size, 3, 3, 2, 2, 1, 1, 1)
        add("conv", "conv 1x1", conv, *size, 1, 1, 1, 1, 0, 0, 1)
        add("conv", "conv 5x5", conv, images, 16, *size[2:4], between(8, 64), 5, 5, 1, 1, 2, 2, 1)
        add("conv", "depthwise", conv, 8, size[1], *size[2:4], size[1], 3, 3, 1, 1, 1, 1, size[1])
        few = between(1, 4), between(24, 96), between(4, 64), int(rng.choice([3, 5, 7]))
        padding = few[3] // 2
        shape = (16, few[0], few[1], few[1], few[2], few[3], few[3], 1, 1, padding, padding, 1)
        add("conv", "few channels", conv, *shape)
        plane = (between(4, 32), between(8, 256), extent, extent)
        add("pool", "max pool 2x2", pool, *plane, 2, 2, 0, "max")
        add("pool", "max pool 3x3/2", pool, *plane, 3, 2, 1, "max")
        add("pool", "avg pool 3x3/2", pool, *plane, 3, 2, 1, "avg")
        rows = between(16, 8192), between(8, 4096)
        add("rows", "softmax", softmax, *rows)
        add("norm", "layer norm", layer_norm, *rows)
        add("norm", "batch norm", batch_norm, *plane)
        tokens = between(32, 1024)
        add("attention", "attention", attention, 4, 8, tokens, int(rng.choice([32, 64])), True)
    return found


def growth():
    """{title: (unit, {size: (units of work, builder, arguments)})}: time should grow with them."""
    products = {n: (2 * n**3, gemm, (n, n, n)) for n in (256, 512, 1024, 2048, 4096)}
    images = {
        n: (n, classify, (models.resnet18, sgd, n, 3, 32, 32)) for n in (8, 16, 32, 64, 128, 256)
    }
    tokens = {
        n: (n * n, attention, (1, 8, n, 64, False, "training")) for n in (64, 256, 1024, 4096)
    }
    return {
        "matrix product": ("FLOP", products),
        "ResNet-18 step": ("image", images),
        "attention, 8 heads of 64": ("pair of tokens", tokens),
    }
