"""nn.utils, hooks of modules and state dicts, wrappers: against PyTorch, or what must hold."""

import copy
import math
import multiprocessing
import pickle

import numpy as np
import pytest

import fastdl
from fastdl import nn
from fastdl.nn.utils import parametrizations, parametrize, prune

torch = pytest.importorskip("torch")
from torch.nn.utils import prune as their_prune  # noqa: E402

LIBS = (fastdl, torch)


@pytest.fixture(autouse=True)
def seeded():
    fastdl.manual_seed(0)
    torch.manual_seed(0)


def close(ours, theirs, what="value", tolerance=1e-11):
    """Float64 results of some tens of rounded operations each."""
    ours, theirs = (x.detach().numpy() for x in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, 10 * tolerance, tolerance, err_msg=what)


def same_state(ours, theirs):
    """Both in float64 with the values of `ours`, whose keys must be PyTorch's in its order."""
    ours.double(), theirs.double()
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.tensor(v.numpy().copy()) for k, v in state.items()})
    assert not any(ours.load_state_dict(theirs.state_dict()))


def compare(ours, theirs, shape, steps=2, tolerance=1e-11):
    """Outputs, gradients and state of both after some forwards in training and one in evaluation;
    steps of SGD in between."""
    same_state(ours, theirs)
    rng = np.random.default_rng(0)
    for step in range(steps + 1):
        ours.train(step < steps), theirs.train(step < steps)
        values = rng.standard_normal(shape)
        results = []
        for lib, model in zip(LIBS, (ours, theirs)):
            model.zero_grad()
            x = lib.tensor(values, requires_grad=True)
            y = model(x)
            y.square().sum().backward()
            results.append([y, x.grad, *[p.grad for p in model.parameters()]])
            lib.optim.SGD(model.parameters(), lr=0.01).step()
        for a, b in zip(*results, strict=True):
            close(a, b, f"step {step}", tolerance)
    for key, value in theirs.state_dict().items():
        close(ours.state_dict()[key], value, key, tolerance)


# ---- normalised weights -------------------------------------------------------------------------

LAYERS = [
    (lambda nn: nn.Linear(4, 3), (5, 4)),
    (lambda nn: nn.Conv2d(2, 3, 3, bias=False), (2, 2, 5, 6)),
    (lambda nn: nn.ConvTranspose1d(2, 3, 3), (2, 2, 5)),
]
WRAPPERS = {
    "old_weight": lambda lib, m: lib.nn.utils.weight_norm(m),
    "old_weight_whole": lambda lib, m: lib.nn.utils.weight_norm(m, dim=None),
    "old_weight_second": lambda lib, m: lib.nn.utils.weight_norm(m, "weight", 1),
    "old_spectral": lambda lib, m: lib.nn.utils.spectral_norm(m),
    "old_spectral_steps": lambda lib, m: lib.nn.utils.spectral_norm(m, n_power_iterations=3, dim=1),
    "weight": lambda lib, m: lib.nn.utils.parametrizations.weight_norm(m),
    "weight_whole": lambda lib, m: lib.nn.utils.parametrizations.weight_norm(m, dim=None),
    "spectral": lambda lib, m: lib.nn.utils.parametrizations.spectral_norm(m),
    "spectral_last": lambda lib, m: lib.nn.utils.parametrizations.spectral_norm(m, dim=-1),
    "spectral_steps": lambda lib, m: lib.nn.utils.parametrizations.spectral_norm(
        m, n_power_iterations=2
    ),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize(("build", "shape"), LAYERS, ids=["linear", "conv", "transposed"])
def test_normalised_weights(build, shape, wrap):
    ours, theirs = (wrap(lib, build(lib.nn)) for lib in LIBS)
    compare(ours, theirs, shape)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_removal_of_normalised_weights():
    utils = nn.utils
    for add, remove in (
        (utils.weight_norm, utils.remove_weight_norm),
        (utils.spectral_norm, utils.remove_spectral_norm),
    ):
        layer = nn.Linear(4, 3)
        x = fastdl.randn(2, 4)
        with pytest.raises(ValueError, match="not found"):
            remove(layer)
        add(layer)
        with pytest.raises(RuntimeError, match="two"):
            add(layer)
        layer.eval()
        before = layer(x)
        assert remove(layer) is layer
        assert sorted(layer.state_dict()) == ["bias", "weight"]
        assert isinstance(layer.weight, nn.Parameter)
        assert fastdl.allclose(layer(x), before)
        assert not layer._forward_pre_hooks


def test_spectral_norm_has_norm_one():
    layer = parametrizations.spectral_norm(nn.Linear(6, 5), n_power_iterations=20)
    for _ in range(5):
        layer(fastdl.randn(1, 6))
    assert abs(fastdl.linalg.matrix_norm(layer.weight, 2).item() - 1) < 1e-4


@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_old_keys_of_weight_norm_load():
    old = nn.utils.weight_norm(nn.Linear(4, 3))
    new = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 3)))
    new.load_state_dict({f"0.{key}": value for key, value in old.state_dict().items()})
    x = fastdl.randn(2, 4)
    assert fastdl.equal(new(x), old(x))


# ---- parametrizations ---------------------------------------------------------------------------


def symmetric(lib):
    class Symmetric(lib.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, x):
            return x.triu()

    return Symmetric()


def scaled(lib):
    class Scaled(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = lib.nn.Parameter(lib.tensor(2.0))

        def forward(self, x):
            return x * self.factor

    return Scaled()


def rank_one(lib):
    class RankOne(lib.nn.Module):
        def forward(self, x, y):
            return x.unsqueeze(-1) @ y.unsqueeze(-2)

        def right_inverse(self, z):
            return z[:, 0].clone(), z[0].clone()

    return RankOne()


@pytest.mark.parametrize("parts", [[symmetric], [symmetric, scaled], [rank_one], [scaled]])
def test_parametrizations(parts):
    models = []
    for lib in LIBS:
        layer = lib.nn.Linear(4, 4)
        for part in parts:
            lib.nn.utils.parametrize.register_parametrization(layer, "weight", part(lib))
        assert lib.nn.utils.parametrize.is_parametrized(layer)
        assert not lib.nn.utils.parametrize.is_parametrized(layer, "bias")
        models.append(lib.nn.Sequential(layer, lib.nn.Tanh()))
    assert repr(models[0]) == repr(models[1])
    compare(*models, (3, 4))


@pytest.mark.parametrize("map_", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("sizes", [(4, 4), (3, 5), (5, 3)])
@pytest.mark.parametrize("trivial", [True, False])
def test_orthogonal(map_, sizes, trivial):
    ours, theirs = (
        lib.nn.utils.parametrizations.orthogonal(
            lib.nn.Linear(*sizes).double(), orthogonal_map=map_, use_trivialization=trivial
        )
        for lib in LIBS
    )
    # the gradient of PyTorch's matrix_exp is off by 1e-10 of its size near 0
    compare(ours, theirs, (2, sizes[0]), tolerance=1e-8 if map_ == "matrix_exp" else 1e-11)
    weight = ours.weight.detach()
    short = weight if weight.shape[0] <= weight.shape[1] else weight.t()
    close(short @ short.t(), torch.eye(min(sizes), dtype=torch.float64))
    if not trivial and map_ != "householder":
        with pytest.raises(NotImplementedError):
            ours.weight = weight
    else:
        target = nn.init.orthogonal_(fastdl.empty(*weight.shape, dtype=fastdl.float64))
        ours.weight = target
        close(ours.weight, torch.tensor(target.numpy()))


def test_orthogonal_refuses():
    for lib in LIBS:
        orthogonal = lib.nn.utils.parametrizations.orthogonal
        with pytest.raises(ValueError):
            orthogonal(lib.nn.Linear(2, 2), "nothing")
        with pytest.raises(ValueError):
            orthogonal(lib.nn.Linear(2, 2), "bias")
        with pytest.raises(ValueError):
            orthogonal(lib.nn.Linear(2, 2), orthogonal_map="other")


@pytest.mark.parametrize("leave", [True, False])
def test_parametrizations_are_removed(leave):
    for lib in LIBS:
        P = lib.nn.utils.parametrize
        layer = lib.nn.Linear(3, 3)
        weight, kind = layer.weight, type(layer)
        P.register_parametrization(layer, "weight", symmetric(lib))
        P.register_parametrization(layer, "bias", scaled(lib))
        assert P.type_before_parametrizations(layer) is kind
        original, value = weight.detach().clone(), layer.weight.detach().clone()
        P.remove_parametrizations(layer, "weight", leave_parametrized=leave)
        assert layer.weight is weight
        assert (layer.weight == (value if leave else original)).all()
        assert type(layer) is not kind
        P.remove_parametrizations(layer, "bias")
        assert type(layer) is kind
        assert sorted(layer.state_dict()) == ["bias", "weight"]
        with pytest.raises(ValueError):
            P.remove_parametrizations(layer, "weight")
        P.register_parametrization(layer, "weight", rank_one(lib))
        with pytest.raises(ValueError):
            P.remove_parametrizations(layer, "weight", leave_parametrized=False)
        P.remove_parametrizations(layer, "weight")
        assert isinstance(layer.weight, lib.nn.Parameter)


def test_parametrized_tensors_are_cached_and_assigned():
    for lib in LIBS:
        P = lib.nn.utils.parametrize
        layer = P.register_parametrization(lib.nn.Linear(3, 3), "weight", symmetric(lib))
        assert layer.weight is not layer.weight
        with P.cached():
            kept = layer.weight
            assert layer.weight is kept
        assert layer.weight is not kept
        values = lib.ones(3, 3)
        layer.weight = values
        assert (layer.weight == 1).all()
        P.register_parametrization(layer, "weight", scaled(lib))
        with pytest.raises(RuntimeError):
            layer.weight = values  # Scaled has no right_inverse


def test_bad_parametrizations():
    class Wrong(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, x):
            return self.function(x)

    for function in (lambda x: x[0], lambda x: x.double(), lambda x: 3):
        layer = nn.Linear(3, 3)
        with pytest.raises(ValueError):
            parametrize.register_parametrization(layer, "weight", Wrong(function))
        parametrize.register_parametrization(layer, "weight", symmetric(fastdl))
        with pytest.raises(ValueError):
            parametrize.register_parametrization(layer, "weight", Wrong(function))
    with pytest.raises(ValueError, match="does not have"):
        parametrize.register_parametrization(layer, "other", symmetric(fastdl))


def test_parametrized_modules_are_copied():
    layer = parametrizations.weight_norm(nn.Linear(3, 3))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        parametrize.remove_parametrizations(other, "weight")
        assert parametrize.is_parametrized(layer, "weight")
        assert fastdl.equal(other.weight, layer.weight)
        assert type(other) is nn.Linear
    moved = parametrize.transfer_parametrizations_and_params(layer, nn.Linear(3, 3))
    assert fastdl.equal(moved.weight, layer.weight)


# ---- pruning ------------------------------------------------------------------------------------

PRUNINGS = {
    "l1": lambda p, m, t: p.l1_unstructured(m, "weight", 0.4),
    "l1_count": lambda p, m, t: p.l1_unstructured(m, "weight", 3),
    "l1_scores": lambda p, m, t: p.l1_unstructured(
        m, "weight", 5, importance_scores=t.arange(24.0).reshape(4, 6) - 12.3
    ),
    "ln": lambda p, m, t: p.ln_structured(m, "weight", 0.5, n=2, dim=0),
    "ln_last": lambda p, m, t: p.ln_structured(m, "weight", 2, n=float("inf"), dim=-1),
    "identity": lambda p, m, t: p.identity(m, "weight"),
    "mask": lambda p, m, t: p.custom_from_mask(m, "weight", t.arange(24).reshape(4, 6) % 3 != 0),
}


@pytest.mark.parametrize("second", PRUNINGS.values(), ids=PRUNINGS)
@pytest.mark.parametrize("first", PRUNINGS.values(), ids=PRUNINGS)
def test_pruning(first, second):
    ours, theirs = (lib.nn.Linear(6, 4) for lib in LIBS)
    same_state(ours, theirs)
    for step in (first, second):
        for lib, model, tools in zip(LIBS, (ours, theirs), (prune, their_prune)):
            assert step(tools, model, lib) is model
        close(ours.weight_mask, theirs.weight_mask)
        compare(ours, theirs, (3, 6))
    assert prune.is_pruned(nn.Sequential(ours))
    assert [h._tensor_name for h in ours._forward_pre_hooks.values()] == ["weight"]
    for model, tools in ((ours, prune), (theirs, their_prune)):
        tools.remove(model, "weight")
        assert not tools.is_pruned(model)
    compare(ours, theirs, (3, 6))


def test_random_and_global_pruning():
    layer = nn.Conv2d(3, 8, 3)
    prune.random_unstructured(layer, "weight", 0.25)
    prune.random_unstructured(layer, "bias", 3)
    assert (layer.weight == 0).sum() == 54
    assert (layer.bias == 0).sum() == 3
    prune.random_structured(layer, "weight", 2, dim=0)
    assert sorted(layer.weight_mask.sum((1, 2, 3)).tolist())[:2] == [0, 0]
    models = [lib.nn.Sequential(lib.nn.Linear(4, 5), lib.nn.Linear(5, 3)) for lib in LIBS]
    same_state(*models)
    for model, tools in zip(models, (prune, their_prune)):
        pairs = [(model[0], "weight"), (model[1], "weight")]
        tools.l1_unstructured(model[0], "weight", 4)
        tools.global_unstructured(pairs, pruning_method=tools.L1Unstructured, amount=0.4)
    compare(*models, (2, 4))
    for tools, lib in ((prune, fastdl), (their_prune, torch)):
        layer = lib.nn.Linear(2, 2)
        for amount, error in (("half", TypeError), (1.5, ValueError), (-1, ValueError)):
            with pytest.raises(error):
                tools.l1_unstructured(layer, "weight", amount)
        with pytest.raises(ValueError):
            tools.l1_unstructured(layer, "weight", 5)
        with pytest.raises(ValueError):
            tools.ln_structured(layer, "bias", 1, 2, 0)
        with pytest.raises(ValueError):
            tools.remove(layer, "weight")
        assert sorted(layer.state_dict()) == ["bias", "weight"]


# ---- vectors of parameters, norms of gradients --------------------------------------------------


def test_parameters_as_a_vector():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.shape == (11,)
    (slope,) = fastdl.autograd.grad(vector.square().sum(), [model[0].bias])
    assert fastdl.equal(slope, 2 * model[0].bias.detach())
    nn.utils.vector_to_parameters(fastdl.arange(11.0), model.parameters())
    assert model[0].bias.tolist() == [6, 7]
    assert model[1].weight.tolist() == [[8, 9]]
    with pytest.raises(TypeError):
        nn.utils.vector_to_parameters([1.0], model.parameters())
    with pytest.raises(RuntimeError):
        nn.utils.vector_to_parameters(fastdl.ones(3), model.parameters())


@pytest.mark.parametrize("p", [2.0, 1, 3.5, math.inf])
def test_norms_of_gradients(p):
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(s) for s in ((3, 4), (5,), ())]
    results = []
    for lib in LIBS:
        parameters = [lib.nn.Parameter(lib.tensor(v)) for v in values]
        sum((q**2).sum() for q in parameters).backward()
        total = lib.nn.utils.get_total_norm([q.grad for q in parameters], p)
        assert lib.nn.utils.clip_grads_with_norm_(parameters, 1.5, total) is None
        results.append([total, *[q.grad for q in parameters]])
    for a, b in zip(*results, strict=True):
        close(a, b)
    assert nn.utils.get_total_norm([]).item() == 0
    with pytest.raises(RuntimeError):
        nn.utils.get_total_norm([fastdl.tensor([math.nan])], error_if_nonfinite=True)


def test_skip_init():
    layer = nn.utils.skip_init(nn.Linear, 3, 2, dtype=fastdl.float64)
    assert layer.weight.shape == (2, 3)
    assert layer.weight.dtype == fastdl.float64
    for lib in LIBS:
        for wrong in (lib.nn.ReLU, dict):
            with pytest.raises(RuntimeError):
                lib.nn.utils.skip_init(wrong)


# ---- hooks of state dicts -----------------------------------------------------------------------


def test_hooks_of_state_dicts():
    seen = {lib: [] for lib in LIBS}
    for lib in LIBS:
        model = lib.nn.Sequential(lib.nn.Linear(2, 2), lib.nn.BatchNorm1d(2))
        log = seen[lib].append
        handles = [
            model[0].register_state_dict_pre_hook(
                lambda m, prefix, keep, log=log: log(("before", type(m).__name__, prefix, keep))
            ),
            model[0].register_state_dict_post_hook(
                lambda m, state, prefix, meta: state.update({prefix + "more": state["0.bias"]})
            ),
            model._register_state_dict_hook(
                lambda m, state, prefix, meta: {"all": state, "version": meta["version"]}
            ),
        ]
        state = model.state_dict()
        log((list(state), list(state["all"]), state["version"]))
        for handle in handles:
            handle.remove()
        log(list(model.state_dict()))
        log(list(model.state_dict()._metadata))

        def rename(m, state, prefix, meta, strict, missing, unexpected, errors):
            state[prefix + "weight"] = state.pop(prefix + "w")

        def after(m, keys, log=log):
            log((type(m).__name__, list(keys.missing_keys), list(keys.unexpected_keys)))
            keys.missing_keys.clear()

        model[0].register_load_state_dict_pre_hook(rename)
        model.register_load_state_dict_post_hook(after)
        values = model.state_dict()
        values["0.w"] = values.pop("0.weight") * 0 + 3
        del values["0.bias"]
        log(tuple(map(tuple, model.load_state_dict(values, strict=False))))
        log(model[0].weight.tolist())
        model[1].register_state_dict_post_hook(lambda *_: 1)
        with pytest.raises(RuntimeError):
            model.state_dict()
        model.register_load_state_dict_post_hook(lambda *_: 1)
        with pytest.raises(AssertionError):
            model.load_state_dict(values, strict=False)
    assert seen[fastdl] == seen[torch]


def test_extra_state():
    for lib in LIBS:

        class Counter(lib.nn.Module):
            def __init__(self):
                super().__init__()
                self.count = 0

            def get_extra_state(self):
                return {"count": self.count}

            def set_extra_state(self, state):
                self.count = state["count"]

        model = lib.nn.Sequential(Counter(), lib.nn.Linear(1, 1))
        model[0].count = 7
        state = model.state_dict()
        assert list(state) == ["0._extra_state", "1.weight", "1.bias"]
        other = lib.nn.Sequential(Counter(), lib.nn.Linear(1, 1))
        assert not any(other.load_state_dict(state))
        assert other[0].count == 7
        del state["0._extra_state"]
        assert other.load_state_dict(state, strict=False).missing_keys == ["0._extra_state"]
        state["1._extra_state"] = 1
        unexpected = other.load_state_dict(state, strict=False).unexpected_keys
        assert unexpected == ["1._extra_state"]


# ---- hooks of calls -----------------------------------------------------------------------------


def what_hooks_of_all_modules_see(lib):
    hooks, seen = lib.nn.modules.module, []
    log = seen.append

    def name(m):
        return type(m).__name__

    model = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.Tanh())
    model[1].register_forward_hook(lambda m, x, y: log("own"))
    handles = [
        hooks.register_module_forward_pre_hook(lambda m, x: log(("pre", name(m), len(x)))),
        hooks.register_module_forward_hook(
            lambda m, x, y: log((name(m), tuple(y.shape))), always_call=True
        ),
        hooks.register_module_forward_hook(lambda m, x, k, y: log(sorted(k)), with_kwargs=True),
        hooks.register_module_full_backward_pre_hook(
            lambda m, g: log(("back", name(m), tuple(g[0].shape)))
        ),
        hooks.register_module_full_backward_hook(
            lambda m, i, o: log((name(m), i[0] is None, tuple(o[0].shape)))
        ),
        hooks.register_module_parameter_registration_hook(lambda m, key, p: log((key, p is None))),
        hooks.register_module_buffer_registration_hook(lambda m, key, b: log(key)),
        hooks.register_module_module_registration_hook(lambda m, key, c: lib.nn.Identity()),
    ]
    try:
        model(lib.ones(4, 2, requires_grad=True)).sum().backward()
        lib.nn.BatchNorm1d(2)
        assert isinstance(lib.nn.Sequential(lib.nn.ReLU())[0], lib.nn.Identity)
    finally:
        for handle in handles:
            handle.remove()
    log("end")
    model(lib.ones(4, 2)).sum().backward()
    assert isinstance(lib.nn.Sequential(lib.nn.ReLU())[0], lib.nn.ReLU)
    return seen


def test_hooks_of_all_modules():
    assert what_hooks_of_all_modules_see(fastdl) == what_hooks_of_all_modules_see(torch)


def test_full_backward_pre_hooks():
    results = []
    for lib in LIBS:
        layer = lib.nn.Linear(2, 2, bias=False)
        lib.nn.init.ones_(layer.weight)
        first = layer.register_full_backward_pre_hook(lambda m, g: (g[0] * 10,))
        layer.register_full_backward_pre_hook(lambda m, g: (g[0] + 1,), prepend=True)
        seen = []
        layer.register_full_backward_hook(lambda m, i, o, seen=seen: seen.append(o[0].tolist()))
        x = lib.ones(1, 2, requires_grad=True)
        layer(x).sum().backward()
        results.append([seen, x.grad.tolist(), layer.weight.grad.tolist()])
        first.remove()
        layer(x).sum().backward()
        results[-1] += [seen, x.grad.tolist()]
    assert results[0] == results[1]


def test_hooks_can_be_looked_at():
    layer = nn.Linear(1, 1)
    assert len(layer._forward_hooks) == len(layer._forward_pre_hooks) == 0
    hook = lambda module, args: None
    layer.register_forward_pre_hook(hook)
    assert list(layer._forward_pre_hooks.values()) == [hook]
    layer._forward_pre_hooks.clear()
    assert len(nn.Linear(1, 1)._forward_pre_hooks) == 0


# ---- Module -------------------------------------------------------------------------------------


def test_buffers_by_assignment():
    for lib in LIBS:
        model = lib.nn.Module()
        model.a = lib.nn.Buffer(lib.ones(2))
        model.b = lib.nn.Buffer(lib.zeros(1), persistent=False)
        assert [name for name, _ in model.named_buffers()] == ["a", "b"]
        assert list(model.state_dict()) == ["a"]
        assert isinstance(model.a, lib.nn.Buffer)
        model.double()
        assert model.b.dtype == lib.float64
        model.a = lib.nn.Buffer(lib.ones(3), persistent=False)
        assert list(model.state_dict()) == []


def test_places_of_layers():
    for lib in LIBS:
        modules = lib.nn.modules
        assert isinstance(lib.nn.BatchNorm2d(2), modules.batchnorm._BatchNorm)
        assert not isinstance(lib.nn.InstanceNorm2d(2), modules.batchnorm._BatchNorm)
        assert isinstance(lib.nn.MSELoss(), modules.loss._Loss)
        assert isinstance(lib.nn.Conv1d(1, 1, 1), modules.conv._ConvNd)
        assert modules.pooling.MaxPool2d is lib.nn.MaxPool2d
        assert modules.utils._pair(3) == (3, 3)
        assert modules.utils._triple([1, 2, 3]) == (1, 2, 3)
        with pytest.raises(AttributeError):
            modules.nothing  # noqa: B018


def test_set_submodule():
    for lib in LIBS:
        model = lib.nn.Sequential(lib.nn.Sequential(lib.nn.ReLU()), lib.nn.Linear(1, 1))
        new = lib.nn.Tanh()
        model.set_submodule("0.0", new)
        assert model[0][0] is new
        model.set_submodule("0.extra", new)
        assert model[0].extra is new
        with pytest.raises(AttributeError):
            model.set_submodule("0.other", new, strict=True)
        with pytest.raises(AttributeError):
            model.set_submodule("7.0", new)
        with pytest.raises(AttributeError):
            model.set_submodule("1.weight", new)
        for path, value in (("", new), ("0.0", 3)):
            with pytest.raises(ValueError):
                model.set_submodule(path, value)


def test_to_empty_and_unknown_arguments():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert model.to_empty(device="cpu") is model
    assert {key: value.shape for key, value in model.state_dict().items()} == shapes
    assert isinstance(model[0].weight, nn.Parameter)
    for lib in LIBS:
        for args, kwargs in (((1,), {}), ((), {"size": 1})):
            with pytest.raises(TypeError):
                lib.nn.Module(*args, **kwargs)


def _fill(model):
    with fastdl.no_grad():
        model.weight.fill_(7)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_shared_memory():
    model = nn.Linear(2, 2)
    weights = model.weight.tolist()
    assert model.share_memory() is model
    assert model.weight.tolist() == weights
    process = multiprocessing.get_context("fork").Process(target=_fill, args=(model,))
    process.start()
    process.join(30)
    assert model.weight.tolist() == [[7, 7], [7, 7]]


def test_containers():
    for lib in LIBS:
        nets = lib.nn.Sequential(lib.nn.Linear(1, 1), lib.nn.ReLU())
        assert len(nets * 2) == len(2 * nets) == 4
        assert (nets * 2)[2] is nets[0]
        nets *= 3
        assert len(nets) == 6
        for factor, error in ((0, ValueError), (1.5, TypeError)):
            with pytest.raises(error):
                nets * factor
        d = lib.nn.ParameterDict({"a": lib.ones(1), "b": lib.ones(2)})
        assert list(reversed(d)) == ["b", "a"]
        assert list(d.copy()) == ["a", "b"]
        both = d | lib.nn.ParameterDict({"c": lib.ones(3)})
        assert list(both) == ["a", "b", "c"]
        d |= both
        assert d.popitem()[0] == "c"
        assert d.setdefault("a") is d["a"]
        assert d.setdefault("e", lib.ones(1)).shape == (1,)
        assert list(d.fromkeys(["x", "y"], lib.ones(2))) == ["x", "y"]
        d.clear()
        assert len(d) == len(list(d.parameters())) == 0


# ---- wrappers -----------------------------------------------------------------------------------


def test_data_parallel():
    for lib in LIBS:
        model = lib.nn.Linear(2, 3)
        wrapped = lib.nn.DataParallel(model, device_ids=None)
        assert wrapped.module is model
        assert list(wrapped.state_dict()) == ["module.weight", "module.bias"]
        x = lib.randn(4, 2)
        assert (wrapped(x) == model(x)).all()
    assert nn.parallel.DataParallel is nn.DataParallel
    model = nn.Linear(2, 3)
    ddp = nn.parallel.DistributedDataParallel(model)
    assert list(ddp.state_dict()) == ["module.weight", "module.bias"]
    with ddp.no_sync():
        assert not ddp.require_backward_grad_sync
        ddp(fastdl.randn(4, 2)).sum().backward()
    assert ddp.require_backward_grad_sync
    assert model.weight.grad is not None
    with pytest.raises(RuntimeError, match="any parameter"):
        nn.parallel.DistributedDataParallel(nn.ReLU())
    with pytest.raises(RuntimeError, match="process_group"):
        nn.parallel.DistributedDataParallel(model, process_group=object())


def test_data_parallel_in_parts():
    """What data_parallel does on several devices, step by step on one."""
    parallel = nn.parallel
    model, x = nn.Linear(2, 3), fastdl.randn(5, 2)
    replicas = parallel.replicate(model, [0, 1])
    assert replicas[1] is not model
    assert replicas[1].weight is model.weight
    assert not parallel.replicate(model, [0], detach=True)[0].weight.requires_grad
    parts = parallel.scatter((x, {"k": 3}), [0, 1])
    assert [len(part[0]) for part in parts] == [3, 2]
    assert parts[1][1] == {"k": 3}
    whole = parallel.gather(parallel.parallel_apply(replicas, [(part[0],) for part in parts]))
    assert fastdl.allclose(whole, model(x))
    assert (parallel.data_parallel(model, x) == model(x)).all()
    outputs = parallel.gather([{"loss": fastdl.tensor(1.0)}, {"loss": fastdl.tensor(2.0)}])
    assert outputs["loss"].tolist() == [1.0, 2.0]


def test_buffers_that_wait_for_their_shape():
    from fastdl.nn.parameter import Buffer, UninitializedBuffer, is_lazy

    buffer = UninitializedBuffer(dtype=fastdl.float64)
    assert is_lazy(buffer)
    buffer.materialize((2, 3))
    assert type(buffer) is Buffer
    assert (tuple(buffer.shape), buffer.dtype) == ((2, 3), fastdl.float64)
    assert not is_lazy(buffer)


@pytest.mark.parametrize("length", [0, 1, 7, 12])
@pytest.mark.parametrize("drop_last", [False, True])
def test_distributed_sampler(length, drop_last):
    for replicas in (1, 3, 4):
        for rank in range(replicas):
            parts = [
                list(
                    lib.utils.data.distributed.DistributedSampler(
                        range(length), replicas, rank, shuffle=False, drop_last=drop_last
                    )
                )
                for lib in LIBS
                if length or lib is not torch
            ]
            assert parts[0] == parts[-1]
        samplers = [
            fastdl.utils.data.DistributedSampler(
                range(length), replicas, rank, drop_last=drop_last, seed=3
            )
            for rank in range(replicas)
        ]
        epochs = []
        for epoch in range(2):
            for sampler in samplers:
                sampler.set_epoch(epoch)
            drawn = [list(sampler) for sampler in samplers]
            assert drawn == [list(sampler) for sampler in samplers]
            assert {len(d) for d in drawn} == {len(samplers[0])}
            flat = [i for d in drawn for i in d]
            assert set(flat) <= set(range(length))
            assert len(set(flat)) == (len(flat) if drop_last else length)
            epochs.append(flat)
        assert length < 7 or epochs[0] != epochs[1]
    for lib in LIBS:
        with pytest.raises(ValueError):
            lib.utils.data.distributed.DistributedSampler(range(4), 2, 2)


def test_sync_batch_norm():
    models = [
        lib.nn.SyncBatchNorm.convert_sync_batchnorm(
            lib.nn.Sequential(
                lib.nn.Conv2d(2, 3, 3), lib.nn.BatchNorm2d(3, momentum=None), lib.nn.ReLU()
            )
        )
        for lib in LIBS
    ]
    assert repr(models[0]) == repr(models[1])
    compare(*models, (2, 2, 5, 6))
    for lib in LIBS:
        with pytest.raises(ValueError):
            lib.nn.SyncBatchNorm(2)(lib.ones(2))


# ---- initialisers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "groups"), [((4, 3, 3), 1), ((4, 2, 3, 4), 2), ((6, 2, 1, 3, 3), 3), ((2, 5, 3), 1)]
)
def test_dirac(shape, groups):
    ours, theirs = (lib.nn.init.dirac_(lib.empty(*shape), groups) for lib in LIBS)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_sparse_init():
    w = nn.init.sparse_(fastdl.empty(10, 200), 0.35, std=0.5)
    assert ((w == 0).sum(0) == 4).all()
    # the standard deviation of 1200 draws: within 5 of its own standard errors, std / sqrt(2 n)
    assert abs(w[w != 0].std().item() - 0.5) < 5 * 0.5 / math.sqrt(2 * 1200)
    for lib in LIBS:
        for wrong in (
            lambda t: t.nn.init.sparse_(t.empty(3), 0.1),
            lambda t: t.nn.init.dirac_(t.empty(3, 3)),
            lambda t: t.nn.init.dirac_(t.empty(3, 3, 3), 2),
        ):
            with pytest.raises(ValueError):
                wrong(lib)


# ---- adaptive softmax ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"div_value": 2.0, "head_bias": True}])
@pytest.mark.parametrize("classes", [[0, 9, 3, 5, 1], [0, 1, 1], [8], 4])
def test_adaptive_log_softmax(options, classes):
    ours, theirs = (lib.nn.AdaptiveLogSoftmaxWithLoss(16, 10, [2, 5, 6], **options) for lib in LIBS)
    same_state(ours, theirs)
    assert repr(ours) == repr(theirs)
    values = np.random.default_rng(0).standard_normal((*np.shape(classes), 16))
    results = []
    for lib, model in zip(LIBS, (ours, theirs)):
        x = lib.tensor(values, requires_grad=True)
        y = model(x, lib.tensor(classes))
        (y.loss + (y.output**2).sum()).backward()
        slopes = [p.grad for p in model.parameters() if p.grad is not None]
        rows = x.detach().reshape(-1, 16)
        results.append([y.output, y.loss, x.grad, *slopes, model.log_prob(rows)])
        results[-1].append(model.predict(rows))
    for a, b in zip(*results, strict=True):
        close(a, b)


def test_adaptive_log_softmax_refuses():
    for lib in LIBS:
        for cutoffs in ([], [3, 2], [0, 2], [2, 10], [2, 2], [1.5]):
            with pytest.raises(ValueError):
                lib.nn.AdaptiveLogSoftmaxWithLoss(8, 10, cutoffs)
        layer = lib.nn.AdaptiveLogSoftmaxWithLoss(16, 10, [4])
        for x, y in (((2, 16), [3]), ((2, 16), [3, 10]), ((16,), [1]), ((1, 16), [[1]])):
            with pytest.raises(RuntimeError):
                layer(lib.ones(*x), lib.tensor(y))


# ---- fractional max pooling ---------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_fractional_max_pool_layers(dims):
    rng = np.random.default_rng(0)
    values, draws = rng.random((2, 3, *(7, 8, 6)[:dims])), rng.random((2, 3, dims))
    results = []
    for lib in LIBS:
        kind = getattr(lib.nn, f"FractionalMaxPool{dims}d")
        layer = kind(2, output_ratio=0.6, return_indices=True, _random_samples=lib.tensor(draws))
        assert list(layer.state_dict()) == ["_random_samples"]
        x = lib.tensor(values, requires_grad=True)
        y, at = layer(x)
        y.square().sum().backward()
        results.append([y, at, x.grad])
        for args in ((2,), (2, 3, 0.5), (2, None, 1.5)):
            with pytest.raises(ValueError):
                kind(*args)
    for a, b in zip(*results, strict=True):
        close(a, b)
    layer = getattr(nn, f"FractionalMaxPool{dims}d")(2, output_size=3)
    x = fastdl.tensor(values)
    assert layer(x).shape == (2, 3) + (3,) * dims
    assert any(not fastdl.equal(layer(x), layer(x)) for _ in range(20))
