"""Layers, containers, Module and initialisers against PyTorch, or against the mathematics."""

import copy
import math
import pickle
from collections import OrderedDict

import nn_layers
import nn_losses
import numpy as np
import pytest

import fastdl
import fastdl.nn.functional as F
from fastdl import nn


@pytest.fixture
def rng():
    return np.random.default_rng(0)


EPS = {"float32": np.finfo(np.float32).eps, "float64": np.finfo(np.float64).eps}


def assert_close(ours, reference, dtype, terms, what):
    """Both sum about `terms` rounded products in some order: each is off by at most terms * eps
    times the size of the values, which the largest of the reference (or 1) stands for. Twice that,
    as both are rounded; 4 more for the elementwise steps around the sums."""
    reference = np.asarray(reference)
    ours = np.asarray(ours)
    assert ours.shape == reference.shape, what
    scale = max(1.0, np.abs(reference).max(initial=0))
    error = np.abs(ours - reference).max(initial=0)
    assert error <= (2 * terms + 4) * EPS[dtype] * scale, f"{what}: error {error}, scale {scale}"


def numpy_of(tensor):
    return tensor.detach().numpy()


# name, constructor given either library's nn, input shape, terms of the longest sum
LAYERS = [
    ("linear", lambda nn: nn.Linear(7, 5), (4, 7), 7),
    ("linear_nobias", lambda nn: nn.Linear(7, 5, bias=False), (4, 7), 7),
    ("linear_3d", lambda nn: nn.Linear(7, 5), (2, 3, 7), 7),
    ("linear_1d", lambda nn: nn.Linear(7, 5), (7,), 7),
    ("conv", lambda nn: nn.Conv2d(3, 4, 3), (2, 3, 8, 7), 100),
    ("conv_unbatched", lambda nn: nn.Conv2d(3, 4, 3), (3, 8, 7), 100),
    ("conv_stride_pad", lambda nn: nn.Conv2d(3, 4, 3, stride=2, padding=1), (2, 3, 9, 8), 100),
    ("conv_pairs", lambda nn: nn.Conv2d(2, 4, (3, 2), (2, 1), (1, 0), (1, 2)), (2, 2, 9, 9), 150),
    ("conv_groups", lambda nn: nn.Conv2d(4, 6, 3, groups=2, bias=False), (2, 4, 6, 6), 100),
    ("conv_depthwise", lambda nn: nn.Conv2d(4, 4, 3, padding=1, groups=4), (2, 4, 6, 6), 100),
    ("conv_same", lambda nn: nn.Conv2d(2, 3, 3, padding="same"), (2, 2, 6, 7), 100),
    ("conv_same_even", lambda nn: nn.Conv2d(2, 3, (4, 2), padding="same"), (2, 2, 6, 7), 100),
    (
        "conv_same_dilated",
        lambda nn: nn.Conv2d(2, 3, (4, 3), padding="same", dilation=2),
        (2, 2, 8, 9),
        150,
    ),
    ("conv_valid", lambda nn: nn.Conv2d(2, 3, 3, padding="valid"), (2, 2, 6, 7), 100),
    ("conv1d", lambda nn: nn.Conv1d(3, 4, 3, 2, padding=1), (2, 3, 8), 100),
    (
        "conv1d_circular",
        lambda nn: nn.Conv1d(2, 4, 3, padding=2, dilation=2, padding_mode="circular"),
        (2, 2, 8),
        100,
    ),
    ("conv1d_unbatched", lambda nn: nn.Conv1d(2, 4, (3,), groups=2, bias=False), (2, 8), 100),
    (
        "conv_reflect",
        lambda nn: nn.Conv2d(2, 3, 3, 1, (1, 2), padding_mode="reflect"),
        (2, 2, 5, 6),
        150,
    ),
    (
        "conv_replicate_same",
        lambda nn: nn.Conv2d(2, 3, (4, 2), padding="same", padding_mode="replicate"),
        (2, 2, 5, 6),
        150,
    ),
    (
        "conv_circular_valid",
        lambda nn: nn.Conv2d(2, 3, 3, padding="valid", padding_mode="circular"),
        (2, 2, 5, 6),
        150,
    ),
    ("conv3d", lambda nn: nn.Conv3d(2, 4, 3, (1, 2, 1), 1, (2, 1, 1), 2), (2, 2, 6, 5, 4), 300),
    ("conv3d_same", lambda nn: nn.Conv3d(2, 3, (2, 3, 1), padding="same"), (2, 4, 5, 4), 300),
    (
        "conv3d_replicate",
        lambda nn: nn.Conv3d(1, 2, 3, padding=1, padding_mode="replicate"),
        (1, 1, 4, 5, 4),
        300,
    ),
    ("transposed1d", lambda nn: nn.ConvTranspose1d(3, 4, 5, 3, 2, 1), (2, 3, 6), 100),
    ("transposed2d", lambda nn: nn.ConvTranspose2d(3, 4, 4, 2, 1), (2, 3, 5, 4), 150),
    ("transposed2d_first", lambda nn: nn.ConvTranspose2d(5, 6, 4, bias=False), (2, 5, 1, 1), 150),
    (
        "transposed2d_groups",
        lambda nn: nn.ConvTranspose2d(4, 6, (3, 2), 2, (1, 0), (1, 0), 2, True, (1, 3)),
        (4, 5, 4),
        150,
    ),
    ("transposed3d", lambda nn: nn.ConvTranspose3d(2, 3, 3, 2, 1, (1, 0, 1)), (2, 2, 3, 4, 3), 200),
    ("max_pool", lambda nn: nn.MaxPool2d(2), (2, 3, 7, 8), 1),
    ("max_pool_overlap", lambda nn: nn.MaxPool2d(3, 2, 1), (2, 3, 7, 8), 4),
    ("max_pool_ceil", lambda nn: nn.MaxPool2d(3, 2, ceil_mode=True), (2, 3, 8, 8), 4),
    ("max_pool_dilated", lambda nn: nn.MaxPool2d((2, 3), 1, (0, 1), 2), (3, 7, 8), 6),
    ("avg_pool", lambda nn: nn.AvgPool2d(2), (2, 3, 7, 8), 4),
    ("avg_pool_pad", lambda nn: nn.AvgPool2d(3, 2, 1), (2, 3, 7, 8), 9),
    (
        "avg_pool_ceil",
        lambda nn: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        (2, 3, 8, 8),
        9,
    ),
    ("avg_pool_ceil_pad", lambda nn: nn.AvgPool2d(3, 2, 1, ceil_mode=True), (3, 8, 8), 9),
    ("avg_pool_divisor", lambda nn: nn.AvgPool2d((2, 3), divisor_override=5), (2, 3, 8, 8), 9),
    ("adaptive", lambda nn: nn.AdaptiveAvgPool2d((2, 4)), (2, 3, 6, 8), 12),
    ("adaptive_uneven", lambda nn: nn.AdaptiveAvgPool2d((3, None)), (2, 3, 7, 5), 12),
    ("max_pool1d", lambda nn: nn.MaxPool1d(3, 2, 1), (2, 3, 8), 4),
    (
        "max_pool3d",
        lambda nn: nn.MaxPool3d((2, 3, 2), 2, (1, 1, 0), ceil_mode=True),
        (1, 2, 5, 6, 7),
        8,
    ),
    ("avg_pool1d", lambda nn: nn.AvgPool1d(3, 2, 1, count_include_pad=False), (2, 3, 8), 4),
    ("avg_pool3d", lambda nn: nn.AvgPool3d(3, 2, 1, True, divisor_override=7), (2, 5, 6, 7), 27),
    ("lp_pool1d", lambda nn: nn.LPPool1d(1, 3, 2), (2, 3, 8), 8),
    ("lp_pool2d", lambda nn: nn.LPPool2d(4, (2, 3)), (2, 3, 6, 8), 60),
    ("lp_pool3d", lambda nn: nn.LPPool3d(1, 2, ceil_mode=True), (2, 3, 4, 5), 60),
    ("adaptive_1d", lambda nn: nn.AdaptiveAvgPool1d(3), (2, 3, 8), 12),
    ("adaptive_3d", lambda nn: nn.AdaptiveAvgPool3d((3, None, 1)), (2, 3, 4, 5, 6), 24),
    ("adaptive_max_1d", lambda nn: nn.AdaptiveMaxPool1d(5), (2, 3, 8), 4),
    ("adaptive_max_2d", lambda nn: nn.AdaptiveMaxPool2d((3, None)), (2, 3, 8, 5), 4),
    ("adaptive_max_3d", lambda nn: nn.AdaptiveMaxPool3d(2), (3, 4, 5, 6), 8),
    ("unfold", lambda nn: nn.Unfold((2, 3), 2, 1, (1, 2)), (2, 3, 8, 7), 1),
    ("fold", lambda nn: nn.Fold((4, 5), 2, padding=1, stride=(2, 1)), (2, 12, 18), 8),
    ("flatten", lambda nn: nn.Flatten(), (2, 3, 4), 1),
    ("flatten_part", lambda nn: nn.Flatten(0, 1), (2, 3, 4), 1),
    ("unflatten", lambda nn: nn.Unflatten(1, (2, -1)), (3, 8), 1),
    ("identity", lambda nn: nn.Identity(1, a=2), (3, 8), 1),
    ("relu", lambda nn: nn.ReLU(), (3, 8), 1),
    ("leaky_relu", lambda nn: nn.LeakyReLU(0.2), (3, 8), 2),
    ("leaky_relu_negative", lambda nn: nn.LeakyReLU(-0.2), (3, 8), 2),
    ("elu", lambda nn: nn.ELU(1.3), (3, 8), 4),
    ("gelu", lambda nn: nn.GELU(), (3, 8), 16),
    ("gelu_tanh", lambda nn: nn.GELU(approximate="tanh"), (3, 8), 16),
    ("silu", lambda nn: nn.SiLU(), (3, 8), 8),
    ("softplus", lambda nn: nn.Softplus(beta=2, threshold=3), (3, 8), 8),
    ("sigmoid", lambda nn: nn.Sigmoid(), (3, 8), 4),
    ("tanh", lambda nn: nn.Tanh(), (3, 8), 4),
    ("softmax", lambda nn: nn.Softmax(dim=-1), (3, 8), 16),
    ("softmax_inner", lambda nn: nn.Softmax(dim=1), (3, 4, 5), 16),
    ("log_softmax", lambda nn: nn.LogSoftmax(dim=1), (3, 8), 16),
    ("log_softmax_first", lambda nn: nn.LogSoftmax(dim=0), (3, 8), 16),
    ("batch_norm1d", lambda nn: nn.BatchNorm1d(5), (8, 5), 64),
    ("batch_norm1d_length", lambda nn: nn.BatchNorm1d(5), (4, 5, 6), 128),
    ("batch_norm2d", lambda nn: nn.BatchNorm2d(3, eps=1e-3, momentum=0.3), (4, 3, 5, 4), 256),
    ("batch_norm2d_average", lambda nn: nn.BatchNorm2d(3, momentum=None), (4, 3, 5, 4), 256),
    ("batch_norm2d_plain", lambda nn: nn.BatchNorm2d(3, affine=False), (4, 3, 5, 4), 256),
    (
        "batch_norm2d_untracked",
        lambda nn: nn.BatchNorm2d(3, track_running_stats=False),
        (4, 3, 5, 4),
        256,
    ),
    ("batch_norm3d", lambda nn: nn.BatchNorm3d(3), (2, 3, 2, 3, 4), 256),
    ("instance_norm1d", lambda nn: nn.InstanceNorm1d(3), (2, 3, 9), 64),
    ("instance_norm1d_unbatched", lambda nn: nn.InstanceNorm1d(3), (3, 9), 64),
    ("instance_norm2d", lambda nn: nn.InstanceNorm2d(3, affine=True), (2, 3, 5, 4), 128),
    (
        "instance_norm2d_tracked",
        lambda nn: nn.InstanceNorm2d(3, 1e-3, 0.3, True, True, bias=False),
        (4, 3, 5, 4),
        256,
    ),
    ("instance_norm3d", lambda nn: nn.InstanceNorm3d(2), (2, 2, 2, 3, 4), 128),
    ("group_norm", lambda nn: nn.GroupNorm(2, 6), (3, 6, 4), 128),
    ("group_norm_wide", lambda nn: nn.GroupNorm(3, 6, affine=False), (2, 6, 5, 5), 256),
    ("rms_norm", lambda nn: nn.RMSNorm(8), (3, 8), 64),
    (
        "rms_norm_plain",
        lambda nn: nn.RMSNorm((2, 4), 1e-3, elementwise_affine=False),
        (3, 2, 4),
        64,
    ),
    ("local_response_norm", lambda nn: nn.LocalResponseNorm(3, 0.5), (2, 5, 3, 3), 64),
    ("layer_norm", lambda nn: nn.LayerNorm(8), (3, 8), 64),
    ("layer_norm_2", lambda nn: nn.LayerNorm((4, 5), bias=False), (3, 4, 5), 128),
    ("layer_norm_plain", lambda nn: nn.LayerNorm(8, elementwise_affine=False), (2, 3, 8), 64),
    (
        "sequential",
        lambda nn: nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)),
        (4, 6),
        32,
    ),
]


LAYERS += nn_layers.ROWS


def test_every_layer_stands_in_a_row():
    known = nn_layers.ELSEWHERE | {type(build(nn)).__name__ for _, build, _, _ in LAYERS}
    layers = {
        name
        for name in dir(nn)
        if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    }
    left = {name for name in layers - known if not name.endswith(("Loss", "Loss2d"))}
    assert {name for name in left if not name.startswith("Lazy")} == set()


LAZY = [
    ("LazyLinear", (5,), {}, (2, 3, 7)),
    ("LazyConv1d", (4, 3), {"bias": False}, (2, 3, 7)),
    ("LazyConv2d", (4, 3, 2), {"groups": 2}, (2, 6, 7, 7)),
    ("LazyConv3d", (4, 2), {"padding": 1}, (3, 3, 4, 5)),
    ("LazyConvTranspose1d", (4, 3), {}, (2, 3, 7)),
    ("LazyConvTranspose2d", (4, 3, 2), {"output_padding": 1}, (2, 3, 4, 5)),
    ("LazyConvTranspose3d", (4, 2), {"groups": 2}, (2, 2, 3, 3, 3)),
    ("LazyBatchNorm1d", (), {}, (4, 5)),
    ("LazyBatchNorm2d", (1e-3, 0.2), {}, (2, 3, 4, 5)),
    ("LazyBatchNorm3d", (), {"affine": False}, (2, 3, 2, 2, 2)),
    ("LazyInstanceNorm1d", (), {"affine": True}, (2, 3, 7)),
    ("LazyInstanceNorm2d", (), {"track_running_stats": True}, (2, 3, 4, 5)),
    ("LazyInstanceNorm3d", (), {}, (2, 3, 2, 2, 2)),
]


@pytest.mark.parametrize(("name", "args", "options", "shape"), LAZY, ids=[c[0] for c in LAZY])
def test_lazy_layers(name, args, options, shape, rng):
    torch = pytest.importorskip("torch")
    assert {case[0] for case in LAZY} == {n for n in dir(nn) if n.startswith("Lazy")}
    values = rng.standard_normal(shape).astype(np.float32)
    ours, theirs = (getattr(lib, name)(*args, **options) for lib in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    held = list(ours.parameters())
    y, ty = ours(fastdl.tensor(values)), theirs(torch.tensor(values))
    assert type(ours) is getattr(nn, name.removeprefix("Lazy"))
    assert repr(ours) == repr(theirs)
    assert y.shape == ty.shape
    assert all(a is b for a, b in zip(held, ours.parameters()))
    assert all(type(p) is nn.Parameter for p in held)
    shapes = lambda m: [(key, tuple(v.shape)) for key, v in m.state_dict().items()]
    assert shapes(ours) == shapes(theirs)
    # A saved layer's weights go into a lazy one that has seen nothing yet.
    fresh = copy.deepcopy(getattr(nn, name)(*args, **options))
    fresh.load_state_dict(ours.state_dict())
    ours.eval(), fresh.eval()
    x = fastdl.tensor(values)
    np.testing.assert_array_equal(numpy_of(fresh(x)), numpy_of(ours(x)))
    assert repr(fresh) == repr(ours)


def test_lazy_layers_in_training():
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1))
    optimizer = fastdl.optim.SGD(model.parameters(), lr=0.1)
    model(fastdl.randn(5, 3))
    before = numpy_of(model[0].weight).copy()
    model(fastdl.randn(5, 3)).square().sum().backward()
    optimizer.step()
    assert before.shape == (4, 3)
    assert (before != numpy_of(model[0].weight)).any()
    with pytest.raises(RuntimeError, match="batched"):
        nn.LazyConv2d(1, 1)(fastdl.ones(3, 3))


@pytest.mark.parametrize(
    ("build", "shapes"),
    [
        (lambda nn: nn.Bilinear(3, 4, 5), [(2, 3), (2, 4)]),
        (lambda nn: nn.Bilinear(3, 4, 5, bias=False), [(2, 2, 3), (2, 2, 4)]),
        (lambda nn: nn.CosineSimilarity(), [(4, 3), (4, 3)]),
        (lambda nn: nn.CosineSimilarity(-1, 0.1), [(4, 3), (3,)]),
        (lambda nn: nn.PairwiseDistance(), [(4, 3), (4, 3)]),
        (lambda nn: nn.PairwiseDistance(1, 1e-3, True), [(4, 3), (4, 3)]),
    ],
)
def test_layers_of_two_inputs(build, shapes, rng):
    torch = pytest.importorskip("torch")
    ours, theirs = build(nn), build(torch.nn)
    same_weights(ours, theirs, torch, "float64")
    assert repr(ours) == repr(theirs)
    arrays = [rng.standard_normal(s) for s in shapes]
    found = []
    for lib, layer in ((fastdl, ours), (torch, theirs)):
        xs = [lib.tensor(a, requires_grad=True) for a in arrays]
        y = layer(*xs)
        slopes = lib.autograd.grad(y.square().sum(), [*xs, *layer.parameters()])
        found.append([numpy_of(z) for z in (y, *slopes)])
    for a, b in zip(*found, strict=True):
        assert_close(a, b, "float64", 64, "output or gradient")


def same_weights(ours, theirs, torch, dtype):
    """Both models in `dtype` with the weights of `ours`, moved through NumPy and PyTorch's own
    load_state_dict, and back."""
    ours.to(getattr(fastdl, dtype))
    theirs.to(getattr(torch, dtype))
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in state.items()})
    assert not any(ours.load_state_dict(theirs.state_dict()))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(
    ("build", "shape", "terms"), [c[1:] for c in LAYERS], ids=[c[0] for c in LAYERS]
)
def test_layer_matches_torch(build, shape, terms, training, dtype, rng):
    torch = pytest.importorskip("torch")
    ours, theirs = build(nn), build(torch.nn)
    same_weights(ours, theirs, torch, dtype)
    assert repr(ours) == repr(theirs)
    for step in range(2):  # twice: running statistics move
        values = rng.standard_normal(shape).astype(dtype)
        x, tx = fastdl.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        ours.train(training), theirs.train(training)
        ours.zero_grad(), theirs.zero_grad()
        y, ty = ours(x), theirs(tx)
        assert_close(numpy_of(y), numpy_of(ty), dtype, terms, f"output, step {step}")
        g = rng.standard_normal(tuple(y.shape)).astype(dtype)
        y.backward(fastdl.tensor(g)), ty.backward(torch.tensor(g))
        assert_close(numpy_of(x.grad), numpy_of(tx.grad), dtype, terms, "input gradient")
        for (name, p), (_, tp) in zip(ours.named_parameters(), theirs.named_parameters()):
            assert_close(numpy_of(p.grad), numpy_of(tp.grad), dtype, terms, f"gradient of {name}")
        for (name, b), (_, tb) in zip(ours.named_buffers(), theirs.named_buffers()):
            assert_close(numpy_of(b), numpy_of(tb), dtype, terms, f"buffer {name}")


def test_max_pool_indices_and_ties():
    torch = pytest.importorskip("torch")
    x = np.zeros((2, 3, 6, 5), np.float32)  # all ties: the first wins
    x[0, 0, 2, 2] = np.nan
    x[1, 2, 3, 3] = 5
    for size, stride, padding, ceil in [(2, 2, 0, False), (3, 2, 1, True), ((3, 2), 1, 1, False)]:
        y, i = F.max_pool2d(fastdl.tensor(x), size, stride, padding, 1, ceil, return_indices=True)
        ty, ti = torch.nn.functional.max_pool2d(
            torch.tensor(x), size, stride, padding, 1, ceil, return_indices=True
        )
        assert i.dtype == fastdl.int64
        np.testing.assert_array_equal(y.numpy(), ty.numpy())
        np.testing.assert_array_equal(i.numpy(), ti.numpy())


def test_max_pooling_of_integers():
    """2-d and 3-d, as in PyTorch: the values of the same dtype and the positions; 1-d refuses."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for dtype in ("uint8", "int8", "int16", "int32", "int64"):
        x = rng.integers(-100 if dtype != "uint8" else 0, 100, (2, 3, 4, 7, 6)).astype(dtype)
        for dims, options in ((2, (3, 2, 1)), (3, (2,)), (2, (2, 1, 1, 2))):
            values = x if dims == 3 else x[:, :, 0]
            found, theirs = (
                getattr(lib.nn.functional, f"max_pool{dims}d")(
                    lib.tensor(values), *options, return_indices=True
                )
                for lib in (fastdl, torch)
            )
            for ours, wanted in zip(found, theirs, strict=True):
                assert str(ours.numpy().dtype) == str(wanted.numpy().dtype)
                np.testing.assert_array_equal(ours.numpy(), wanted.numpy())
    with pytest.raises(NotImplementedError):
        F.max_pool1d(fastdl.ones(1, 1, 4, dtype=fastdl.int64), 2)


LOSSES = [
    ("mse", lambda F, x, y, **k: F.mse_loss(x, y, **k)),
    ("l1", lambda F, x, y, **k: F.l1_loss(x, y, **k)),
    ("mse_weight", lambda F, x, y, **k: F.mse_loss(x, y, weight=y + 1, **k)),
    ("l1_weight", lambda F, x, y, **k: F.l1_loss(x, y, weight=y + 1, **k)),
    ("smooth_l1", lambda F, x, y, **k: F.smooth_l1_loss(x, y, **k)),
    ("smooth_l1_beta", lambda F, x, y, **k: F.smooth_l1_loss(x, y, beta=0.3, **k)),
    ("smooth_l1_zero", lambda F, x, y, **k: F.smooth_l1_loss(x, y, beta=0.0, **k)),
    ("bce", lambda F, x, y, **k: F.binary_cross_entropy(x.sigmoid(), y, **k)),
    ("bce_weight", lambda F, x, y, **k: F.binary_cross_entropy(x.sigmoid(), y, weight=y, **k)),
    ("bce_logits", lambda F, x, y, **k: F.binary_cross_entropy_with_logits(x, y, **k)),
    (
        "bce_logits_weights",
        lambda F, x, y, **k: F.binary_cross_entropy_with_logits(
            x, y, weight=y + 1, pos_weight=y[:1] * 3, **k
        ),
    ),
    ("ce_probabilities", lambda F, x, y, **k: F.cross_entropy(x, y, **k)),
    (
        "ce_probabilities_weights",
        lambda F, x, y, **k: F.cross_entropy(x, y, weight=y[0], label_smoothing=0.2, **k),
    ),
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", [c[1] for c in LOSSES], ids=[c[0] for c in LOSSES])
def test_loss_matches_torch(loss, reduction, rng):
    torch = pytest.importorskip("torch")
    values, targets = rng.standard_normal((4, 6)) * 3, rng.random((4, 6))
    x, y = fastdl.tensor(values, requires_grad=True), fastdl.tensor(targets)
    tx, ty = torch.tensor(values, requires_grad=True), torch.tensor(targets)
    ours = loss(F, x, y, reduction=reduction)
    theirs = loss(torch.nn.functional, tx, ty, reduction=reduction)
    assert_close(numpy_of(ours), numpy_of(theirs), "float64", 64, "loss")
    ours.sum().backward(), theirs.sum().backward()
    assert_close(numpy_of(x.grad), numpy_of(tx.grad), "float64", 64, "gradient")


@pytest.mark.parametrize("shape", [(5,), (4, 5), (3, 5, 4), (2, 5, 3, 2)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nll_loss", ()),
        ("nll_loss", ("weight",)),
        ("cross_entropy", ()),
        ("cross_entropy", ("weight",)),
        ("cross_entropy", ("smooth",)),
        ("cross_entropy", ("weight", "smooth")),
    ],
)
def test_class_losses_match_torch(name, options, shape, reduction, rng):
    torch = pytest.importorskip("torch")
    values = rng.standard_normal(shape) * 3
    targets = rng.integers(0, 5, shape[:1] * (len(shape) > 1) + shape[2:])
    ignored = int(targets.flat[0]) if targets.size > 2 else -100
    weights = rng.random(5)
    results = []
    for lib in (fastdl, torch):
        x = lib.tensor(values, requires_grad=True)
        keywords = {"reduction": reduction, "ignore_index": ignored}
        if "weight" in options:
            keywords["weight"] = lib.tensor(weights)
        if "smooth" in options:
            keywords["label_smoothing"] = 0.1
        loss = getattr(lib.nn.functional, name)(x, lib.tensor(targets), **keywords)
        (loss * loss).sum().backward()
        results.append((numpy_of(loss), numpy_of(x.grad)))
    for ours, theirs, what in zip(*results, ("loss", "gradient")):
        assert_close(ours, theirs, "float64", 256, what)


def test_losses_are_stable():
    big = fastdl.tensor([[1000.0, -1000.0]], requires_grad=True)
    loss = F.cross_entropy(big, fastdl.tensor([1]))
    loss.backward()
    assert loss.item() == 2000
    np.testing.assert_array_equal(big.grad.numpy(), [[1, -1]])
    assert F.binary_cross_entropy_with_logits(big, big.detach() * 0).item() == 500
    bits = fastdl.tensor([0.0, 1.0], requires_grad=True)
    loss = F.binary_cross_entropy(bits, fastdl.tensor([1.0, 0.0]))
    assert loss.item() == 100
    loss.backward()
    assert np.isfinite(bits.grad.numpy()).all()
    assert math.isnan(F.cross_entropy(big, fastdl.tensor([-100])).item())


@pytest.mark.parametrize("heads", [(), (4, 2)])
@pytest.mark.parametrize("options", [{}, {"bias": True, "label_smoothing": 0.1}])
def test_linear_cross_entropy_layer(heads, options, rng):
    torch = pytest.importorskip("torch")
    x, weight = rng.standard_normal((3, 6)), rng.random(5)
    target = rng.integers(0, 5, (3, *heads))
    losses, gradients = [], []
    theirs = None
    for lib in (torch, fastdl):
        layer = lib.nn.LinearCrossEntropyLoss(
            6, 5, out_features=heads, weight=lib.tensor(weight), dtype=lib.float64, **options
        )
        if theirs is None:
            theirs = layer
        else:
            layer.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
            assert repr(layer) == repr(theirs)
        loss = layer(lib.tensor(x), lib.tensor(target))
        loss.backward()
        losses.append(loss.item())
        gradients.append(layer.linear.weight.grad.numpy())
    assert losses[0] == pytest.approx(losses[1], rel=1e-13)
    np.testing.assert_allclose(*gradients, rtol=1e-11, atol=1e-14)
    for wrong in ({"weight": fastdl.ones(3)}, {"label_smoothing": 2.0}):
        with pytest.raises(RuntimeError, match="expected"):
            nn.LinearCrossEntropyLoss(6, 5, **wrong)


def test_loss_layers_pass_their_arguments(rng):
    torch = pytest.importorskip("torch")
    x, y, w = rng.random((4, 3)), rng.random((4, 3)), rng.random(3)
    classes = np.array([0, 2, 1, 2])
    results = []
    for lib in (fastdl, torch):
        nn, t = lib.nn, lib.tensor
        results.append(
            [
                nn.MSELoss(reduction="sum")(t(x), t(y)),
                nn.L1Loss()(t(x), t(y)),
                nn.SmoothL1Loss(beta=0.1)(t(x), t(y)),
                nn.HuberLoss("sum", 0.1)(t(x), t(y)),
                nn.KLDivLoss(reduction="batchmean", log_target=True)(t(x), t(y)),
                nn.BCELoss(weight=t(w))(t(x), t(y)),
                nn.BCEWithLogitsLoss(pos_weight=t(w))(t(x), t(y)),
                nn.NLLLoss(weight=t(w), ignore_index=2)(t(x), t(classes)),
                nn.CrossEntropyLoss(t(w), label_smoothing=0.1, ignore_index=1)(t(x), t(classes)),
            ]
        )
    for ours, theirs in zip(*results):
        assert_close(numpy_of(ours), numpy_of(theirs), "float64", 64, "loss")


@pytest.mark.parametrize(
    ("build", "given"), [c[1:] for c in nn_losses.ROWS], ids=[c[0] for c in nn_losses.ROWS]
)
@pytest.mark.filterwarnings("ignore:NLLLoss2d")
def test_loss_layer_matches_torch(build, given, rng):
    torch = pytest.importorskip("torch")
    arrays = [rng.standard_normal(g) if isinstance(g, tuple) else g for g in given]
    ours, theirs = build(nn, fastdl.tensor), build(torch.nn, torch.tensor)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    found = []
    for lib, layer in ((fastdl, ours), (torch, theirs)):
        xs = [lib.tensor(a, requires_grad=isinstance(g, tuple)) for a, g in zip(arrays, given)]
        y = layer(*xs)
        slopes = lib.autograd.grad(y.square().sum(), [x for x in xs if x.requires_grad])
        found.append([numpy_of(z) for z in (y, *slopes)])
    for a, b in zip(*found, strict=True):
        assert_close(a, b, "float64", 64, "loss or gradient")


def test_every_loss_stands_in_a_row():
    """Here, in test_loss_layers_pass_their_arguments, in test_nn_utils.py or
    in test_ctc.py."""
    known = {type(build(nn, fastdl.tensor)).__name__ for _, build, _ in nn_losses.ROWS}
    known |= {"MSELoss", "L1Loss", "SmoothL1Loss", "BCELoss", "BCEWithLogitsLoss", "NLLLoss"}
    known |= {"CrossEntropyLoss", "HuberLoss", "KLDivLoss", "AdaptiveLogSoftmaxWithLoss", "CTCLoss"}
    known.add("LinearCrossEntropyLoss")  # has parameters, and a test of its own
    assert {name for name in nn.__all__ if name.endswith(("Loss", "Loss2d"))} - known == set()


# what is wrong, as a call that both libraries must refuse with the same type of exception
REFUSED = {
    "linear of an array": lambda t: t.nn.Linear(2, 2)(np.zeros((2, 2), "float32")),
    "conv of an array": lambda t: t.nn.Conv2d(2, 2, 1)(np.zeros((1, 2, 2, 2), "float32")),
    "pool of an array": lambda t: t.nn.MaxPool2d(2)(np.zeros((1, 2, 2, 2), "float32")),
    "average of a list": lambda t: t.nn.AvgPool2d(2)([[1.0]]),
    "relu of an array": lambda t: t.nn.functional.relu(np.zeros(3)),
    "elu of a number": lambda t: t.nn.functional.elu(3.0),
    "layer norm of an array": lambda t: t.nn.functional.layer_norm(np.zeros(3), (3,)),
    "dropout of an array": lambda t: t.nn.functional.dropout(np.zeros(3)),
    "embedding of a list": lambda t: t.nn.functional.embedding([1], t.zeros(4, 3)),
    "loss of a list": lambda t: t.nn.functional.cross_entropy(t.zeros(2, 3), [0, 1]),
    "nll of a list": lambda t: t.nn.functional.nll_loss(t.zeros(2, 3), [0, 1]),
    "linear sizes": lambda t: t.nn.Linear(2, 2)(t.zeros(3, 4)),
    "linear dtype": lambda t: t.nn.functional.linear(t.zeros(2, 3).double(), t.zeros(4, 3)),
    "linear bias": lambda t: t.nn.functional.linear(t.zeros(2, 3), t.zeros(4, 3), t.zeros(5)),
    "conv channels": lambda t: t.nn.Conv2d(2, 2, 3)(t.zeros(1, 3, 4, 4)),
    "conv too small": lambda t: t.nn.Conv2d(2, 2, 3)(t.zeros(1, 2, 2, 2)),
    "conv dimensions": lambda t: t.nn.Conv2d(2, 2, 3)(t.zeros(2, 2)),
    "conv groups": lambda t: t.nn.Conv2d(2, 3, 3, groups=2),
    "conv no groups": lambda t: t.nn.Conv2d(2, 3, 3, groups=0),
    "conv padding name": lambda t: t.nn.Conv2d(2, 3, 3, padding="full"),
    "conv same strided": lambda t: t.nn.Conv2d(2, 3, 3, padding="same", stride=2),
    "conv stride": lambda t: t.nn.functional.conv2d(
        t.zeros(1, 1, 4, 4), t.zeros(1, 1, 3, 3), stride=0
    ),
    "conv padding": lambda t: t.nn.functional.conv2d(
        t.zeros(1, 1, 4, 4), t.zeros(1, 1, 3, 3), padding=-1
    ),
    "conv bias": lambda t: t.nn.functional.conv2d(
        t.zeros(1, 1, 4, 4), t.zeros(1, 1, 3, 3), t.zeros(3)
    ),
    "conv dtype": lambda t: t.nn.functional.conv2d(
        t.zeros(1, 1, 4, 4).double(), t.zeros(1, 1, 3, 3)
    ),
    "conv stride type": lambda t: t.nn.functional.conv2d(
        t.zeros(1, 1, 4, 4), t.zeros(1, 1, 3, 3), stride=1.5
    ),
    "pool dimensions": lambda t: t.nn.MaxPool2d(2)(t.zeros(2, 2)),
    "pool too small": lambda t: t.nn.MaxPool2d(3)(t.zeros(1, 1, 2, 2)),
    "pool padding": lambda t: t.nn.MaxPool2d(3, padding=2)(t.zeros(1, 1, 9, 9)),
    "pool avg padding": lambda t: t.nn.AvgPool2d(3, padding=2)(t.zeros(1, 1, 9, 9)),
    "pool divisor": lambda t: t.nn.AvgPool2d(3, divisor_override=0)(t.zeros(1, 1, 9, 9)),
    "adaptive dimensions": lambda t: t.nn.AdaptiveAvgPool2d(2)(t.zeros(3, 4)),
    "class range": lambda t: t.nn.functional.cross_entropy(t.zeros(2, 3), t.tensor([0, 5])),
    "class negative": lambda t: t.nn.functional.cross_entropy(t.zeros(2, 3), t.tensor([0, -1])),
    "class range nll": lambda t: t.nn.functional.nll_loss(t.zeros(2, 3), t.tensor([0, 5])),
    "class batch": lambda t: t.nn.functional.cross_entropy(t.zeros(2, 3), t.tensor([0, 1, 2])),
    "class dtype": lambda t: t.nn.functional.cross_entropy(t.zeros(2, 3), t.tensor([0.0, 1.0])),
    "class probabilities dtype": lambda t: t.nn.functional.cross_entropy(
        t.zeros(2, 3), t.zeros(2, 3).int()
    ),
    "logits dtype": lambda t: t.nn.functional.cross_entropy(t.zeros(2, 3).long(), t.tensor([0, 1])),
    "class weights": lambda t: t.nn.functional.cross_entropy(
        t.zeros(2, 3), t.tensor([0, 1]), weight=t.zeros(4)
    ),
    "smoothing": lambda t: t.nn.functional.cross_entropy(
        t.zeros(2, 3), t.tensor([0, 1]), label_smoothing=2.0
    ),
    "reduction": lambda t: t.nn.functional.mse_loss(t.zeros(2), t.zeros(2), reduction="median"),
    "mse weight": lambda t: t.nn.functional.mse_loss(t.zeros(2), t.zeros(2), weight=t.ones(1)),
    "bce sizes": lambda t: t.nn.functional.binary_cross_entropy(t.zeros(2, 3), t.zeros(2)),
    "bce range": lambda t: t.nn.functional.binary_cross_entropy(t.zeros(2) + 2, t.zeros(2)),
    "bce logits sizes": lambda t: t.nn.functional.binary_cross_entropy_with_logits(
        t.zeros(2, 3), t.zeros(2)
    ),
    "dropout p": lambda t: t.nn.functional.dropout(t.zeros(3), p=2),
    "Dropout p": lambda t: t.nn.Dropout(-0.1),
    "norm one value": lambda t: t.nn.BatchNorm1d(3)(t.zeros(1, 3)),
    "norm 1d of 4d": lambda t: t.nn.BatchNorm1d(3)(t.zeros(2, 3, 4, 5)),
    "norm 2d of 3d": lambda t: t.nn.BatchNorm2d(3)(t.zeros(2, 3, 4)),
    "norm channels": lambda t: t.nn.BatchNorm2d(3)(t.zeros(2, 4, 4, 4)),
    "norm no statistics": lambda t: t.nn.functional.batch_norm(t.zeros(2, 3), None, None),
    "instance norm one value": lambda t: t.nn.InstanceNorm1d(3)(t.zeros(2, 3, 1)),
    "instance norm of 2d": lambda t: t.nn.InstanceNorm2d(3)(t.zeros(2, 3)),
    "instance norm channels": lambda t: t.nn.InstanceNorm1d(3, affine=True)(t.zeros(2, 4, 5)),
    "GroupNorm groups": lambda t: t.nn.GroupNorm(2, 3),
    "group norm groups": lambda t: t.nn.functional.group_norm(t.zeros(2, 3, 4), 2),
    "local response norm of 2d": lambda t: t.nn.LocalResponseNorm(3)(t.zeros(2, 3)),
    "rms norm shape": lambda t: t.nn.RMSNorm(4)(t.zeros(2, 3)),
    "Embedding padding": lambda t: t.nn.Embedding(3, 2, padding_idx=3),
    "bag without offsets": lambda t: t.nn.EmbeddingBag(3, 2)(t.tensor([0, 1])),
    "bag offsets from 1": lambda t: t.nn.EmbeddingBag(3, 2)(t.tensor([0, 1]), t.tensor([1])),
    "bag offsets too far": lambda t: t.nn.EmbeddingBag(3, 2)(t.tensor([0, 1]), t.tensor([0, 3])),
    "bag mode": lambda t: t.nn.functional.embedding_bag(
        t.tensor([[0]]), t.zeros(3, 2), mode="median"
    ),
    "layer norm shape": lambda t: t.nn.functional.layer_norm(t.zeros(2, 3), (4,)),
    "softmax of integers": lambda t: t.nn.functional.softmax(t.zeros(3).long(), 0),
    "softmax dimension": lambda t: t.nn.functional.softmax(t.zeros(3), 1),
    "relu of bool": lambda t: t.nn.functional.relu(t.zeros(3).bool()),
    "gelu": lambda t: t.nn.functional.gelu(t.zeros(3), approximate="cubic"),
    "embedding range": lambda t: t.nn.functional.embedding(t.tensor([5]), t.zeros(4, 3)),
    "embedding dtype": lambda t: t.nn.functional.embedding(t.tensor([1.0]), t.zeros(4, 3)),
    "gain": lambda t: t.nn.init.calculate_gain("cosine"),
    "fan": lambda t: t.nn.init.kaiming_uniform_(t.zeros(3)),
    "fan mode": lambda t: t.nn.init.kaiming_uniform_(t.zeros(3, 3), mode="fan_up"),
    "orthogonal": lambda t: t.nn.init.orthogonal_(t.zeros(3)),
    "train mode": lambda t: t.nn.ReLU().train(2),
    "module dtype": lambda t: t.nn.Linear(2, 2).to(t.int64),
    "parameter dtype": lambda t: t.nn.Parameter(t.zeros(3).long()),
    "parameter name": lambda t: t.nn.Module().register_parameter("a.b", None),
    "parameter taken": lambda t: t.nn.Linear(2, 2).register_parameter("forward", None),
    "parameter type": lambda t: t.nn.Module().register_parameter("a", t.zeros(3)),
    "parameter replaced": lambda t: setattr(t.nn.Linear(2, 2), "weight", t.zeros(3)),
    "child replaced": lambda t: setattr(t.nn.Sequential(t.nn.ReLU()), "0", 3),
    "buffer type": lambda t: t.nn.Module().register_buffer("a", 3),
    "buffer taken": lambda t: t.nn.Linear(2, 2).register_buffer("weight", t.zeros(3)),
    "module type": lambda t: t.nn.Module().add_module("a", 3),
    "no attribute": lambda t: t.nn.Linear(2, 2).wieght,
    "no forward": lambda t: t.nn.Module()(3),
    "no submodule": lambda t: t.nn.Linear(2, 2).get_submodule("a.b"),
    "list index": lambda t: t.nn.ModuleList([t.nn.ReLU()])[3],
    "dict key": lambda t: t.nn.ModuleDict({"a": t.nn.ReLU()})["b"],
    "state type": lambda t: t.nn.Linear(2, 2).load_state_dict(3),
    "state missing": lambda t: t.nn.Linear(2, 2).load_state_dict({}),
    "state size": lambda t: t.nn.Linear(2, 2, bias=False).load_state_dict({"weight": t.ones(3)}),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED.keys())
def test_refused_as_by_torch(call):
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as theirs:
        call(torch)
    with pytest.raises(theirs.type):
        call(fastdl)


def test_size_mismatch_warns():
    with pytest.warns(UserWarning, match="different to the input size"):
        assert F.mse_loss(fastdl.ones(2, 3), fastdl.zeros(3)).item() == 1


def test_empty_batch(rng):
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2)
    )
    y = net(fastdl.zeros(0, 2, 6, 6))
    assert y.shape == (0, 2)
    y.sum().backward()
    assert all((p.grad.numpy() == 0).all() for p in net.parameters())


# ------------------------------------------------------------------------------------------- Module


class Net(nn.Module):
    """Every kind of registered attribute, one of each shared or unusual."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(fastdl.ones(4))
        self.register_buffer("count", fastdl.tensor(0))
        self.register_buffer("scratch", fastdl.zeros(2), persistent=False)
        self.register_parameter("nothing", None)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.ReLU()])
        self.last = self.first
        self.number = 3

    def forward(self, x):
        x = self.first(x) * self.scale
        for block in self.blocks:
            x = block(x)
        return x


def test_registration():
    net = Net()
    names = ["scale", "first.weight", "first.bias", "blocks.0.weight", "blocks.0.bias"]
    assert [n for n, _ in net.named_parameters()] == names
    assert len(list(net.named_parameters(remove_duplicate=False))) == 7
    assert [n for n, _ in net.named_parameters(prefix="a", recurse=False)] == ["a.scale"]
    assert [n for n, _ in net.named_buffers()] == ["count", "scratch"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "blocks", "blocks.0", "blocks.1"]
    assert [n for n, _ in net.named_children()] == ["first", "blocks"]
    expected = ["scale", "count", "first.weight", "first.bias", "blocks.0.weight", "blocks.0.bias"]
    assert list(net.state_dict()) == [*expected, "last.weight", "last.bias"]
    assert net.get_parameter("blocks.0.bias") is net.blocks[0].bias
    assert net.get_buffer("count") is net.count
    assert net.get_submodule("blocks.1") is net.blocks[1]
    assert net.get_submodule("") is net
    assert net.nothing is None
    assert dict(net._modules)["first"] is net.first
    assert str(net._modules.keys()) == str(dict(net._modules).keys())

    net.nothing = nn.Parameter(fastdl.zeros(1))
    assert "nothing" in dict(net.named_parameters())
    net.number = nn.ReLU()  # a plain attribute becomes a module
    assert "number" in dict(net.named_children())
    del net.last, net.nothing, net.scratch
    assert not hasattr(net, "last")
    assert "last.weight" not in net.state_dict()
    net._parameters["extra"] = nn.Parameter(fastdl.zeros(1))
    assert "extra" in net.state_dict()
    assert net.extra.shape == (1,)


def test_assignment_before_init_is_refused():
    class Hasty(nn.Module):
        def __init__(self):
            self.layer = nn.ReLU()

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Hasty()


def test_read_only_property_of_a_subclass():
    class Named(nn.Module):
        @property
        def name(self):
            return "named"

    assert Named().name == "named"
    with pytest.raises(AttributeError):
        Named().name = 3


def test_state_dict_round_trip_and_reports(rng):
    source, target = Net(), Net()
    state = source.state_dict()
    assert repr(target.load_state_dict(state)) == "<All keys matched successfully>"
    x = fastdl.tensor(rng.standard_normal((2, 3)).astype("float32"))
    np.testing.assert_array_equal(numpy_of(source(x)), numpy_of(target(x)))
    assert state["scale"].data_ptr() == source.scale.data_ptr(), "the dict shares memory"
    assert target.scale.data_ptr() != source.scale.data_ptr(), "loading copies"

    partial = {k: v for k, v in state.items() if not k.startswith("first")}
    partial["stranger.x.y"] = fastdl.zeros(1)
    partial["blocks.0.z"] = fastdl.zeros(1)
    report = target.load_state_dict(partial, strict=False)
    assert report.missing_keys == ["first.weight", "first.bias"]
    assert report.unexpected_keys == ["stranger.x.y", "blocks.0.z"]
    with pytest.raises(RuntimeError) as error:
        target.load_state_dict(partial)
    text = str(error.value)
    assert text.startswith("Error(s) in loading state_dict for Net:")
    assert 'Missing key(s) in state_dict: "first.weight", "first.bias".' in text
    assert 'Unexpected key(s) in state_dict: "stranger.x.y", "blocks.0.z".' in text
    with pytest.raises(RuntimeError, match="size mismatch for scale: copying a param with shape"):
        target.load_state_dict({**state, "scale": fastdl.zeros(5)}, strict=False)
    with pytest.raises(RuntimeError, match='the parameter named "scale"'):
        target.load_state_dict({**state, "scale": "text"})

    arrays = {k: v.numpy() for k, v in state.items()}
    assert not any(target.load_state_dict(arrays)), "arrays do as well"
    target.load_state_dict(state, assign=True)
    assert target.scale.data_ptr() == source.scale.data_ptr()
    assert isinstance(target.scale, nn.Parameter)


def test_modes_apply_and_moves():
    net = Net()
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "Linear", "ReLU", "ModuleList", "Net"]
    net.eval()
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    assert net.double() is net
    assert {p.dtype for p in net.parameters()} == {fastdl.float64}
    assert net.count.dtype == fastdl.int64, "integers keep their dtype"
    assert net.first.weight is net.last.weight, "shared parameters stay shared"
    net.to(fastdl.float32).to("cpu", fastdl.float64).to(fastdl.zeros(1)).to(device="cpu")
    assert {p.dtype for p in net.parameters()} == {fastdl.float32}
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    with pytest.raises((RuntimeError, AssertionError)):
        net.cuda()


def test_zero_grad():
    net = Net()
    net(fastdl.ones(1, 3)).sum().backward()
    grad = net.scale.grad
    net.zero_grad(set_to_none=False)
    assert (grad.numpy() == 0).all()
    net.zero_grad()
    assert net.scale.grad is None


def test_copy_and_pickle(rng):
    net = Net().eval()
    x = fastdl.tensor(rng.standard_normal((2, 3)).astype("float32"))
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(numpy_of(twin(x)), numpy_of(net(x)))
        assert twin.scale.data_ptr() != net.scale.data_ptr()
        assert twin.first is twin.last
        assert isinstance(twin.scale, nn.Parameter)
        assert twin.scale.requires_grad
        assert not twin.training


def test_forward_hooks():
    layer, seen = nn.Linear(2, 2), []
    handles = [
        layer.register_forward_pre_hook(lambda m, args: (args[0] * 2,)),
        layer.register_forward_hook(lambda m, args, out: out + 1),
        layer.register_forward_hook(
            lambda m, args, kwargs, out: seen.append((args[0].shape, kwargs, out.shape)),
            with_kwargs=True,
        ),
        layer.register_forward_pre_hook(lambda m, args: seen.append("first"), prepend=True),
    ]
    x = fastdl.ones(3, 2)
    plain = F.linear(x * 2, layer.weight, layer.bias) + 1
    np.testing.assert_array_equal(numpy_of(layer(x)), numpy_of(plain))
    assert seen == ["first", ((3, 2), {}, (3, 2))]
    for handle in handles:
        handle.remove()
    np.testing.assert_array_equal(
        numpy_of(layer(x)), numpy_of(F.linear(x, layer.weight, layer.bias))
    )

    failing = nn.Module()
    failing.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    with pytest.raises(NotImplementedError):
        failing(1)
    assert seen[-1] is None


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("grad_needed", [True, False])
def test_full_backward_hook_matches_torch(grad_needed, rng):
    torch = pytest.importorskip("torch")
    values, weights = rng.standard_normal((3, 2)), rng.standard_normal((4, 2))
    seen = {}
    for lib in (fastdl, torch):

        class Two(lib.nn.Module):
            def __init__(self, lib=lib):
                super().__init__()
                self.weight = lib.nn.Parameter(lib.tensor(weights))

            def forward(self, x, y):
                return x @ self.weight.t(), y * 2

        net, records = Two(), []
        net.register_full_backward_hook(
            lambda m, gi, go, records=records: records.append(
                # gi[1], of an input that needs no gradient: None here, zeros in PyTorch
                [None if g is None else g.detach().numpy().copy() for g in (gi[0], *go)]
            )
        )
        net.register_full_backward_hook(
            lambda m, gi, go: tuple(None if g is None else g * 3 for g in gi)
        )
        x = lib.tensor(values, requires_grad=grad_needed)
        a, b = net(x, lib.tensor(values))
        ((a * a).sum() + b.sum()).backward()
        records.append(x.grad.numpy() if grad_needed else None)
        records.append(net.weight.grad.numpy())
        seen[lib.__name__] = records
    ours, theirs = seen["fastdl"], seen["torch"]
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        a, b = (r if isinstance(r, list) else [r] for r in (a, b))
        assert len(a) == len(b)
        for x, y in zip(a, b):
            assert (x is None) == (y is None)
            if x is not None:
                assert_close(x, y, "float64", 16, "hooked gradient")


def test_containers():
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)
    net = nn.Sequential(OrderedDict([("in", a), ("act", b), ("out", c)]))
    assert [n for n, _ in net.named_children()] == ["in", "act", "out"]
    assert net[0] is a
    assert net[-1] is c
    assert len(net[:2]) == 2
    assert net[:2].act is b
    net[1] = nn.Tanh()
    assert isinstance(net.act, nn.Tanh)
    net = nn.Sequential(a, b)
    net.append(c).insert(1, nn.Tanh())
    assert [type(m).__name__ for m in net] == ["Linear", "Tanh", "ReLU", "Linear"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    del net[1]
    assert [n for n, _ in net.named_children()] == ["0", "1", "2"]
    assert net.pop(-1) is c
    assert len(net + nn.Sequential(c)) == 3

    modules = nn.ModuleList([a, b])
    modules += [c]
    modules.extend([b])
    assert len(modules) == 4
    assert list(modules[1:3]) == [b, c]
    assert c in modules
    assert [n for n, _ in modules.named_parameters()] == [
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
    ]

    named = nn.ModuleDict({"x": a})
    named["y"] = b
    named.update([("z", c)])
    assert list(named) == ["x", "y", "z"]
    assert named.pop("y") is b
    assert "y" not in named
    assert list(named.items()) == [("x", a), ("z", c)]

    parameters = nn.ParameterList([fastdl.zeros(2), nn.Parameter(fastdl.zeros(3))])
    parameters.append(fastdl.ones(1))
    assert all(isinstance(p, nn.Parameter) for p in parameters)
    assert [n for n, _ in parameters.named_parameters()] == ["0", "1", "2"]
    table = nn.ParameterDict({"a": fastdl.zeros(2)})
    table["b"] = fastdl.zeros(3)
    assert [n for n, _ in table.named_parameters()] == ["a", "b"]
    assert table.pop("a").shape == (2,)
    assert "a" not in table


def test_repr_of_nested_modules_matches_torch():
    torch = pytest.importorskip("torch")

    def build(nn):
        return nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()),
            nn.ModuleList([nn.Linear(2, 2) for _ in range(3)] + [nn.Dropout(0.1)]),
            nn.ModuleDict({"a": nn.Embedding(4, 2, padding_idx=1)}),
            nn.ModuleList(),
        )

    assert repr(build(nn)) == repr(build(torch.nn))


def test_repr_of_parameters_matches_torch():
    torch = pytest.importorskip("torch")

    def build(lib):
        values = [lib.zeros(2), lib.ones(2, 3, dtype=lib.float16), lib.zeros((), dtype=lib.float64)]
        named = {"a": values[0], "b": values[1], "c": values[2], "d": 3}
        return lib.nn.ParameterList(values), lib.nn.ParameterDict(named)

    for ours, theirs in zip(build(fastdl), build(torch)):
        assert repr(ours).replace("fastdl.", "torch.") == repr(theirs)


# ---------------------------------------------------------------------------- dropout and embedding


def test_dropout():
    fastdl.manual_seed(0)
    x = fastdl.ones(200, 500, requires_grad=True)
    y = F.dropout(x, 0.3)
    kept = (y != 0).float().mean().item()
    # a binomial share of n = 1e5 draws: five standard deviations
    assert abs(kept - 0.7) < 5 * math.sqrt(0.3 * 0.7 / 1e5)
    np.testing.assert_array_equal(np.unique(y.detach().numpy()), np.float32([0, 1 / 0.7]))
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert F.dropout(x, 0.3, training=False) is x
    assert (F.dropout(x, 1.0) == 0).all()
    layer = nn.Dropout(0.5).eval()
    assert layer(x) is x
    z = fastdl.ones(10)
    assert nn.Dropout(0.5, inplace=True)(z) is z


def test_one_hot_normalize_and_pad_match_torch(rng):
    torch = pytest.importorskip("torch")
    values, index = rng.standard_normal((3, 4)), np.array([[0, 2], [1, 1]])
    results = []
    for lib in (fastdl, torch):
        F = lib.nn.functional
        results.append(
            [
                F.one_hot(lib.tensor(index)),
                F.one_hot(lib.tensor(index), 5),
                F.normalize(lib.tensor(values)),
                F.normalize(lib.tensor(values * 0), p=1, dim=0),
                F.pad(lib.tensor(values), (1, 2), value=3.0),
            ]
        )
        for wrong in (lib.tensor([0.0]), lib.tensor([-1]), lib.tensor([], dtype=lib.int64)):
            with pytest.raises(RuntimeError):
                F.one_hot(wrong)
        with pytest.raises(RuntimeError):
            F.one_hot(lib.tensor([3]), 3)
    for ours, theirs in zip(*results):
        assert_close(ours, theirs, "float64", 8, "function")
        assert str(ours.dtype).rpartition(".")[2] == str(theirs.dtype).rpartition(".")[2]


@pytest.mark.parametrize("padding", [None, 1, -1])
def test_embedding_matches_torch(padding, rng):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Embedding(5, 3, padding_idx=padding), torch.nn.Embedding(5, 3, padding)
    if padding is not None:
        assert (ours.weight[padding] == 0).all()
    theirs.load_state_dict({"weight": torch.tensor(ours.weight.detach().numpy())})
    index, g = np.array([[0, 1, 4], [1, 1, 0]]), rng.standard_normal((2, 3, 3)).astype("float32")
    y, ty = ours(fastdl.tensor(index)), theirs(torch.tensor(index))
    np.testing.assert_array_equal(numpy_of(y), numpy_of(ty))
    y.backward(fastdl.tensor(g)), ty.backward(torch.tensor(g))
    assert_close(numpy_of(ours.weight.grad), numpy_of(theirs.weight.grad), "float32", 3, "gradient")
    frozen = nn.Embedding.from_pretrained(fastdl.ones(4, 2))
    assert not frozen.weight.requires_grad


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag_matches_torch(mode, rng):
    torch = pytest.importorskip("torch")
    make = lambda nn: nn.EmbeddingBag(6, 3, max_norm=1.2, mode=mode, padding_idx=2)
    ours, theirs = make(nn), make(torch.nn)
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict({"weight": torch.tensor(ours.weight.detach().numpy())})
    index, offsets = np.array([5, 2, 1, 1, 2, 0]), np.array([0, 3, 3])
    g = rng.standard_normal((3, 3)).astype("float32")
    y = ours(fastdl.tensor(index), fastdl.tensor(offsets))
    ty = theirs(torch.tensor(index), torch.tensor(offsets))
    assert_close(numpy_of(y), numpy_of(ty), "float32", 4, "bags")
    y.backward(fastdl.tensor(g)), ty.backward(torch.tensor(g))
    assert_close(numpy_of(ours.weight), numpy_of(theirs.weight), "float32", 4, "renormalised")
    assert_close(numpy_of(ours.weight.grad), numpy_of(theirs.weight.grad), "float32", 4, "gradient")
    frozen = nn.EmbeddingBag.from_pretrained(fastdl.ones(4, 2), mode=mode)
    assert not frozen.weight.requires_grad


def test_embedding_is_not_sparse():
    with pytest.raises(NotImplementedError, match="sparse"):
        nn.Embedding(3, 2, sparse=True)
    with pytest.raises(NotImplementedError, match="sparse"):
        F.embedding(fastdl.tensor([0]), fastdl.ones(3, 2), sparse=True)


def settled(bn, rng):
    """`bn` in evaluation with statistics and parameters that are not the initial ones."""
    for t in (bn.running_mean, bn.running_var, bn.weight, bn.bias):
        t.data.copy_(fastdl.tensor(rng.uniform(0.5, 2, t.shape)))
    return bn.eval()


FUSED = [
    (nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6), (2, 4, 7), False),
    (nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6), (2, 4, 5, 6), False),
    (nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (2, 4, 5, 6), True),
]


@pytest.mark.parametrize(("conv", "bn", "shape", "transpose"), FUSED)
def test_batch_norm_folds_into_convolution(conv, bn, shape, transpose, rng):
    """Each output is a sum of fewer than 64 products, and two roundings more."""
    conv, bn = conv.eval(), settled(bn, rng)
    x = fastdl.tensor(rng.standard_normal(shape).astype(np.float32))
    expected = bn(conv(x))
    before = numpy_of(conv.weight).copy()
    fused = nn.utils.fusion.fuse_conv_bn_eval(conv, bn, transpose)
    assert_close(numpy_of(fused(x)), numpy_of(expected), "float32", 64, "fused")
    np.testing.assert_array_equal(numpy_of(conv.weight), before)
    assert isinstance(fused.bias, nn.Parameter)
    with pytest.raises(AssertionError, match="only for eval"):
        nn.utils.fusion.fuse_conv_bn_eval(conv.train(), bn, transpose)
    conv.eval()


def test_batch_norm_folds_into_linear(rng):
    linear, bn = nn.Linear(5, 4).eval(), settled(nn.BatchNorm1d(4), rng)
    x = fastdl.tensor(rng.standard_normal((3, 5)).astype(np.float32))
    fused = nn.utils.fusion.fuse_linear_bn_eval(linear, bn)
    assert_close(numpy_of(fused(x)), numpy_of(bn(linear(x))), "float32", 16, "fused")
    with pytest.raises(AssertionError, match="To fuse"):
        nn.utils.fusion.fuse_linear_bn_eval(linear, settled(nn.BatchNorm1d(3), rng))


def test_fused_weights_match_torch(rng):
    torch = pytest.importorskip("torch")
    arrays = [rng.uniform(0.5, 2, shape) for shape in ((6, 2, 3, 3), (6,), (6,), (6,), (6,), (6,))]
    w, b, mean, var, bn_w, bn_b = arrays
    results = [
        lib.nn.utils.fusion.fuse_conv_bn_weights(
            *[lib.tensor(a) for a in (w, b, mean, var)], 1e-3, lib.tensor(bn_w), lib.tensor(bn_b)
        )
        for lib in (fastdl, torch)
    ]
    for ours, theirs in zip(*results):
        assert_close(numpy_of(ours), numpy_of(theirs), "float64", 4, "fused weights")


def test_norm_layers_describe_themselves_as_torch():
    torch = pytest.importorskip("torch")
    for make in (
        lambda nn: nn.BatchNorm3d(3, momentum=None),
        lambda nn: nn.InstanceNorm2d(3),
        lambda nn: nn.InstanceNorm1d(3, affine=True, track_running_stats=True),
        lambda nn: nn.GroupNorm(2, 4, bias=False),
        lambda nn: nn.RMSNorm(4),
        lambda nn: nn.LocalResponseNorm(3),
        lambda nn: nn.Embedding(3, 4, max_norm=1.0, scale_grad_by_freq=True),
    ):
        assert repr(make(nn)) == repr(make(torch.nn))
        assert list(make(nn).state_dict()) == list(make(torch.nn).state_dict())


# ------------------------------------------------------------------------------------- initialisers


def moments(values):
    values = np.asarray(values, np.float64).ravel()
    return values.mean(), values.std(), values.min(), values.max()


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [(lambda nn: nn.Linear(400, 300), 400), (lambda nn: nn.Conv2d(16, 64, 5, groups=2), 8 * 25)],
)
def test_default_initialisation(layer, fan_in):
    """Uniform within +-1 / sqrt(fan_in) for weight and bias, and filling that interval."""
    fastdl.manual_seed(1)
    module = layer(nn)
    bound = 1 / math.sqrt(fan_in)
    for parameter in (module.weight, module.bias):
        mean, std, low, high = moments(numpy_of(parameter))
        n = parameter.numel()
        assert -bound * (1 + 1e-6) <= low < -bound * (1 - 10 / n)
        assert bound * (1 - 10 / n) < high <= bound * (1 + 1e-6)
        # std of the mean of n uniform draws is bound / sqrt(3 n); five of them
        assert abs(mean) < 5 * bound / math.sqrt(3 * n)
        assert abs(std / (bound / math.sqrt(3)) - 1) < 5 / math.sqrt(n)


def test_initialisers(rng):
    fastdl.manual_seed(2)
    init = nn.init
    w = fastdl.empty(200, 100, 2, 2)
    fan_in, fan_out, n = 400, 800, 80000
    uniform = {
        "xavier_uniform_": (init.xavier_uniform_(w.clone(), 2.0), 2 * math.sqrt(6 / 1200)),
        "kaiming_uniform_": (init.kaiming_uniform_(w.clone(), a=1), math.sqrt(3 / fan_in)),
        "fan_out": (
            init.kaiming_uniform_(w.clone(), mode="fan_out", nonlinearity="relu"),
            math.sqrt(6 / fan_out),
        ),
    }
    for name, (tensor, bound) in uniform.items():
        mean, std, low, high = moments(tensor)
        assert -bound <= low < -0.99 * bound, name
        assert 0.99 * bound < high <= bound, name
        assert abs(mean) < 5 * bound / math.sqrt(3 * n), name
    normal = {
        "xavier_normal_": (init.xavier_normal_(w.clone()), math.sqrt(2 / 1200)),
        "kaiming_normal_": (init.kaiming_normal_(w.clone()), math.sqrt(2 / fan_in)),
        "normal_": (init.normal_(w.clone(), std=0.02), 0.02),
    }
    for name, (tensor, expected) in normal.items():
        mean, std, _, _ = moments(tensor)
        assert abs(mean) < 5 * expected / math.sqrt(n), name
        assert abs(std / expected - 1) < 5 / math.sqrt(2 * n), name
    truncated = init.trunc_normal_(w.clone(), std=1, a=-0.5, b=1.5)
    assert -0.5 <= truncated.min().item() < truncated.max().item() <= 1.5
    with pytest.raises(ValueError, match="no mass"):
        init.trunc_normal_(w, a=20, b=21)
    for shape in ((5, 3), (3, 5), (4, 2, 2)):
        q = numpy_of(init.orthogonal_(fastdl.empty(*shape), gain=2.0)).reshape(shape[0], -1)
        square = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
        np.testing.assert_allclose(square, 4 * np.eye(len(square)), atol=1e-5)
    assert (init.constant_(w, 3.5) == 3.5).all()
    assert (init.eye_(fastdl.empty(3, 4)).numpy() == np.eye(3, 4)).all()
    leaf = nn.Parameter(fastdl.empty(3, 3))
    assert init.ones_(leaf) is leaf
    assert leaf.requires_grad
    assert leaf.is_leaf


@pytest.mark.parametrize("norm", [1.0, 2.0, math.inf])
def test_clip_grad_norm_matches_torch(norm, rng):
    torch = pytest.importorskip("torch")
    values = [rng.standard_normal(s).astype("float32") for s in ((3, 4), (5,), ())]
    for bound in (0.5, 1000.0):
        ours, theirs = [], []
        for v in values:
            ours.append(nn.Parameter(fastdl.zeros(v.shape)))
            theirs.append(torch.nn.Parameter(torch.zeros(v.shape)))
            ours[-1].grad, theirs[-1].grad = fastdl.tensor(v), torch.tensor(v)
        total = nn.utils.clip_grad_norm_(ours, bound, norm)
        reference = torch.nn.utils.clip_grad_norm_(theirs, bound, norm)
        assert_close(total, reference, "float32", 18, "norm")
        for p, tp in zip(ours, theirs):
            assert_close(p.grad, tp.grad, "float32", 18, "clipped gradient")
    nn.utils.clip_grad_value_(ours, 0.1)
    assert max(np.abs(p.grad.numpy()).max() for p in ours) == np.float32(0.1)
    ours[0].grad = fastdl.full((3, 4), math.inf)
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0


def test_backend_vocabulary():
    """Each backend module defines the agreed names, and nothing public beside them."""
    import inspect

    from fastdl import backends

    public = {
        name
        for name, value in vars(backends.cpu).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert public == set(backends.VOCABULARY)
    assert backends.of(np.zeros(3)) is backends.cpu
    with pytest.raises(TypeError, match="no backend"):
        backends.of([1, 2])
