"""fastdl.jit: what a frozen model computes, what it may fold, and what it leaves alone."""

import copy
import pickle

import numpy as np
import pytest

import fastdl
import fastdl.testing
from fastdl import _kernels, jit, nn
from fastdl.jit.frozen import FoldedNorm
from fastdl.ops.conv import Conv2dGeometry

RNG = np.random.default_rng(0)


def normal(*shape, dtype="float64"):
    return fastdl.from_numpy(RNG.standard_normal(shape).astype(dtype))


def settled(model, dtype=fastdl.float64):
    """In evaluation, norms with statistics and weights of their own."""
    model = model.to(dtype).eval()
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            with fastdl.no_grad():
                module.weight.uniform_(0.5, 2)
                module.bias.normal_()
    return model


def folded(frozen):
    return sum(isinstance(m, FoldedNorm) for m in frozen._program.modules())


def same(model, frozen, *inputs):
    with fastdl.no_grad():
        fastdl.testing.assert_close(frozen(*inputs), model(*inputs), rtol=1e-10, atol=1e-10)


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Lines(nn.Module):
    def __init__(self, downsample=None):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.downsample = downsample

    def forward(self, x):
        identity = x
        out = self.conv1(x)
        out = self.bn1(out)
        out = fastdl.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return out


class Ordered(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU())


@pytest.mark.parametrize(
    ("make", "pairs"),
    [
        (lambda: nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.ReLU()), 1),
        (lambda: nn.Sequential(Nested(), Lines(Ordered()), Lines(), Ordered()), 9),
        (lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, 3, 2, groups=2), nn.BatchNorm2d(6)), 1),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(100, 3), nn.BatchNorm1d(3)), 1),
        (lambda: nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)), 0),
    ],
    ids=["sequence", "blocks", "transposed", "linear", "norm first"],
)
def test_folds(make, pairs):
    model, x = settled(make()), normal(2, 4, 5, 5)
    frozen = jit.freeze(model)
    assert folded(frozen) == pairs
    same(model, frozen, x)
    same(model, jit.freeze(model, optimize_numerics=False), x)


@pytest.mark.parametrize("layer", [nn.Linear(4, 4), nn.Conv1d(4, 4, 1)], ids=["linear", "conv1d"])
def test_channels_elsewhere_are_normalised_as_before(layer):
    """BatchNorm1d sees dimension 1, which is not what a linear layer makes of (N, L, C)."""
    model = settled(nn.Sequential(layer, nn.BatchNorm1d(4)))
    frozen = jit.freeze(model)
    assert folded(frozen) == 1
    for shape in ((3, 4, 4), (4, 4)):
        same(model, frozen, normal(*shape))


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "mobilenet_v2"])
def test_networks(name):
    model = settled(getattr(fastdl.vision.models, name)(weights=None, num_classes=7))
    if name == "vgg11_bn":  # its linear layers have 120 M weights
        model.classifier = nn.Flatten()
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    frozen = jit.freeze(model)
    assert folded(frozen) == norms
    same(model, frozen, normal(1, 3, 32, 32))


# ---- what must stay -----------------------------------------------------------------------------


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.bn(self.conv(x))


class ConvTwice(Pair):
    def forward(self, x):
        return self.bn(self.conv(x)) + self.conv(x)


class OutputUsed(Pair):
    def forward(self, x):
        y = self.conv(x)
        return self.bn(y) + y


class NormTwice(Pair):
    def forward(self, x):
        return self.bn(self.bn(self.conv(x)))


class WeightRead(Pair):
    def forward(self, x):
        return self.bn(self.conv(x)) * self.conv.weight.sum()


class PassedOn(Pair):
    def forward(self, x):
        return self.bn(self.conv(x)) + apply_conv(self, x)


class ByName(Pair):
    def forward(self, x):
        return self.bn(self.conv(x)) + getattr(self, "co" + "nv")(x)


class Stored(Pair):
    def __init__(self):
        super().__init__()
        self.also = [self.conv]

    def forward(self, x):
        return self.bn(self.conv(x)) + self.also[0](x)


class Registered(Pair):
    def __init__(self):
        super().__init__()
        self.other = self.conv

    def forward(self, x):
        return self.bn(self.conv(x)) + self.other(x)


class Decorated(Pair):
    @fastdl.no_grad()
    def forward(self, x):
        return self.bn(self.conv(x)) + self.conv(x)


class FromOutside(nn.Module):
    def __init__(self):
        super().__init__()
        self.pair = Pair()

    def forward(self, x):
        return self.pair(x) + self.pair.conv(x)


class Indexed(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))

    def forward(self, x):
        return self.steps(x) + self.steps[0](x)


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)])

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return x + self.steps[0](x)


class BackReference(nn.Module):
    def __init__(self):
        super().__init__()
        self.pair, self.user = Pair(), Uses(self)

    def forward(self, x):
        return self.pair(x) + self.user(x)


class Uses(nn.Module):
    def __init__(self, owner):
        super().__init__()
        self.inner = nn.Identity()
        self.owners = [owner]

    def forward(self, x):
        owner = self.owners[0].pair.conv
        return owner(self.inner(x))


def apply_conv(module, x):
    return module.conv(x)


def bound():
    model = Pair()
    model.forward = ConvTwice.forward.__get__(model)
    return model


def without_source():
    names = {"Pair": Pair}
    exec("class Unseen(Pair):\n    def forward(self, x):\n"
         "        return self.bn(self.conv(x)) + self.conv(x)\n", names)  # fmt: skip
    return names["Unseen"]()


def stale():
    """Another function under the source lines of one that could be folded."""

    class Stale(Pair):
        def forward(self, x):
            return self.bn(self.conv(x)) + 0

    code = ConvTwice.forward.__code__
    old = Stale.forward.__code__
    Stale.forward.__code__ = code.replace(
        co_filename=old.co_filename, co_firstlineno=old.co_firstlineno
    )
    return Stale()


def hooked():
    model = Pair()
    model.conv.register_forward_hook(lambda module, args, output: output * 2)
    return model


def no_statistics():
    model = Pair()
    model.bn = nn.BatchNorm2d(4, track_running_stats=False)
    return model


@pytest.mark.parametrize(
    "make",
    [
        ConvTwice, OutputUsed, NormTwice, WeightRead, PassedOn, ByName, Stored, Registered,
        Decorated, FromOutside, Indexed, Listed, BackReference, bound,
        without_source, stale, hooked, no_statistics,
    ],
)  # fmt: skip
def test_leaves_alone_what_is_used_otherwise(make):
    model = settled(make())
    frozen = jit.freeze(model)
    assert folded(frozen) == 0
    same(model, frozen, normal(2, 4, 3, 3))


def test_folds_the_pair_that_these_vary():
    assert folded(jit.freeze(settled(Pair()))) == 1


def test_kept_attributes():
    model = Pair()
    model.conv = nn.Conv2d(4, 20, 3, padding=1)
    model.bn = nn.BatchNorm2d(20)
    model = settled(model)
    frozen = jit.freeze(model, ["conv"])
    x = normal(1, 4, 16, 16)
    assert folded(frozen) == 0
    same(model.conv, frozen.conv, x)
    for conv in (model.conv, frozen.conv):
        with fastdl.no_grad():
            conv.weight.mul_(2)
    same(model.conv, frozen.conv, x)
    with pytest.raises(AttributeError):
        jit.freeze(model, ["nothing"])


# ---- constants ----------------------------------------------------------------------------------


def change_in_place(model):
    with fastdl.no_grad():
        model[0].weight.mul_(2)


def change_data(model):
    model[0].weight.data *= 2


def change_array(model):
    model[0].weight.detach().numpy()[...] *= 2


def load(model):
    model.load_state_dict({k: v * 2 for k, v in model.state_dict().items()})


def step(model):
    optimizer = fastdl.optim.SGD(model.parameters(), lr=1.0)
    with fastdl.enable_grad():
        model(normal(1, 4, 5, 5)).sum().backward()
    optimizer.step()


def statistics(model):
    model[1].running_var.fill_(3)


@pytest.mark.parametrize(
    "change", [change_in_place, change_data, change_array, load, step, statistics]
)
def test_later_changes_do_not_reach_a_frozen_model(change):
    model = settled(nn.Sequential(nn.Conv2d(4, 5, 3, padding=1), nn.BatchNorm2d(5)))
    x = normal(1, 4, 6, 6)
    with fastdl.no_grad():
        before = model(x)
        frozen = jit.freeze(model)
        frozen(x)
        change(model)
        fastdl.testing.assert_close(frozen(x), before, rtol=1e-10, atol=1e-10)
        assert (model(x) - before).abs().max() > 1e-3
    same(model, jit.freeze(model), x)


def test_has_no_state_and_stays_in_evaluation():
    model = settled(nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.Dropout()))
    frozen = jit.freeze(model)
    assert not list(frozen.parameters())
    assert not frozen.state_dict()
    assert not frozen.training
    assert frozen.eval() is frozen
    with pytest.raises(RuntimeError, match="frozen"):
        frozen.train()
    assert "Sequential" in repr(frozen)
    assert all(p.requires_grad for p in model.parameters())


def test_mode():
    model = nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5))
    with pytest.raises(RuntimeError, match=r"eval\(\)"):
        jit.freeze(model)
    frozen = jit.optimize_for_inference(jit.script(model))
    assert model.training
    assert jit.freeze(frozen) is frozen
    assert jit.optimize_for_inference(frozen) is frozen
    for function in (jit.freeze, jit.optimize_for_inference):
        with pytest.raises(RuntimeError, match=r"expected an nn\.Module, got int"):
            function(3)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(clone):
    model = settled(nn.Sequential(Nested(), nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8)))
    frozen, x = jit.freeze(model), normal(1, 4, 8, 8)
    same(model, frozen, x)
    same(model, clone(frozen), x)


def test_gradients_of_the_input():
    model = settled(nn.Sequential(nn.Conv2d(4, 5, 3, padding=1), nn.BatchNorm2d(5)))
    x = normal(2, 4, 6, 6).requires_grad_()
    grads = []
    for net in (model, jit.freeze(model)):
        grads += fastdl.autograd.grad(net(x).square().sum(), x)
    fastdl.testing.assert_close(*grads)
    model, x = model.float(), x.detach().float()
    with fastdl.autocast("cpu"):
        assert jit.freeze(model)(x).dtype == model(x).dtype


# ---- filters made ready -------------------------------------------------------------------------


def test_a_single_convolution_has_the_same_bits():
    conv = nn.Conv2d(32, 40, 3, padding=1)
    frozen = jit.freeze(conv.eval())
    with fastdl.no_grad():
        for shape in ((1, 32, 16, 16), (1, 32, 8, 8), (6, 32, 30, 31), (1, 32, 3, 3), (32, 5, 5)):
            x = normal(*shape, dtype="float32")
            np.testing.assert_array_equal(frozen(x).numpy(), conv(x).numpy())
        x = normal(1, 16, 16, 32, dtype="float32").permute(0, 3, 1, 2)
        np.testing.assert_array_equal(frozen(x).numpy(), conv(x).numpy())


@pytest.mark.parametrize(
    ("variant", "dtype", "isa"),
    [
        (variant, dtype, isa)
        for variant in ("winograd", "winograd_2x2", "winograd_5x5", "implicit")
        for dtype in (np.float32, np.float64)
        for isa in _kernels.isa_available()
        if variant != "winograd_5x5" or (dtype is np.float32 and isa != "generic")
    ],
)
@pytest.mark.parametrize("shape", [(1, 5, 9, 17, 1), (40, 6, 12, 30, 1), (2, 20, 7, 18, 2)])
def test_ready_filters_change_no_bit(shape, variant, dtype, isa):
    n, c, h, k, groups = shape
    r = 5 if variant == "winograd_5x5" else 3
    geom = Conv2dGeometry(n, c, h, h, k, r, r, h, h, 1, 1, r // 2, r // 2, 1, 1, groups)
    x = RNG.standard_normal((n, c, h, h)).astype(dtype)
    w = RNG.standard_normal((k, c // groups, r, r)).astype(dtype)
    ready = _kernels.ReadyFilters(w)
    bias = RNG.standard_normal(k).astype(dtype)
    options = {"variant": variant, "isa": isa}
    wanted = _kernels.conv2d(x, w, bias, geom, threads=1, **options)
    for threads in (1, 2, 3, 7):
        y = _kernels.conv2d(x, ready, bias, geom, threads=threads, **options)
        np.testing.assert_array_equal(y, wanted)
    assert (ready.nbytes > w.nbytes) == (variant != "implicit")
    assert pickle.loads(pickle.dumps(ready)).nbytes == w.nbytes


def test_ready_filters_must_fit():
    geom = Conv2dGeometry(1, 3, 6, 6, 4, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1)
    x, w = np.zeros((1, 3, 6, 6), np.float32), np.zeros((4, 3, 3, 3), np.float32)
    for wrong in (w.astype(np.float64), w[:2]):
        with pytest.raises((TypeError, ValueError), match="w must"):
            _kernels.conv2d(x, _kernels.ReadyFilters(wrong), None, geom)


# ---- what has nothing to do ---------------------------------------------------------------------


def test_script_and_trace():
    net, x = nn.Linear(2, 3), fastdl.ones(1, 2)
    assert jit.script(net) is net
    assert jit.trace(net, x) is net
    assert jit.trace(net, (x,)) is net
    assert jit.trace(net, example_kwarg_inputs={"input": x}) is net
    for arguments in ((), (x,)):
        with pytest.raises(RuntimeError, match="trace: expected"):
            jit.trace(
                net, *arguments, **({"example_kwarg_inputs": {"input": x}} if arguments else {})
            )
    for function in (jit.script, jit.trace):
        with pytest.raises(TypeError, match="expected a module"):
            function(3)
    assert jit.ignore(abs) is jit.unused(abs) is jit.export(abs) is abs
    assert jit.ignore(drop=True)(abs) is abs
    assert not jit.is_scripting()
    assert not jit.is_tracing()
    assert jit.run_frozen_optimizations(jit.freeze(net.eval())) is None
