"""Optimizers and schedules step for step against PyTorch."""

import copy

import numpy as np
import pytest

import fastdl
from fastdl import nn, optim

SHAPES = [(5, 3), (4,), ()]
OPTIMIZERS = [
    ("sgd", "SGD", {"lr": 0.1}),
    ("sgd_momentum", "SGD", {"lr": 0.1, "momentum": 0.9}),
    ("sgd_dampening", "SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("sgd_nesterov", "SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("sgd_maximize", "SGD", {"lr": 0.1, "maximize": True, "weight_decay": 0.1}),
    ("adam", "Adam", {"lr": 0.1}),
    ("adam_options", "Adam", {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("adam_amsgrad", "Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("adamw", "AdamW", {"lr": 0.1}),
    ("adamw_amsgrad", "AdamW", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.3}),
    ("rmsprop", "RMSprop", {"lr": 0.05}),
    ("rmsprop_momentum", "RMSprop", {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.1}),
    ("adadelta", "Adadelta", {}),
    ("adadelta_options", "Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1, "eps": 1e-3}),
    ("adagrad", "Adagrad", {"lr": 0.3}),
    (
        "adagrad_options",
        "Adagrad",
        {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "maximize": True},
    ),
    ("rmsprop_centered", "RMSprop", {"lr": 0.05, "centered": True, "alpha": 0.9}),
    ("adamax", "Adamax", {"lr": 0.1, "weight_decay": 0.1}),
    ("nadam", "NAdam", {"lr": 0.1, "weight_decay": 0.1}),
    ("nadamw", "NAdam", {"betas": (0.7, 0.9), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("radam", "RAdam", {"lr": 0.1, "betas": (0.8, 0.9), "maximize": True}),
    ("asgd", "ASGD", {"lr": 0.1}),
    ("asgd_options", "ASGD", {"lr": 0.1, "lambd": 0.1, "t0": 3, "weight_decay": 0.1}),
    ("rprop", "Rprop", {"lr": 0.1}),
    ("rprop_options", "Rprop", {"etas": (0.3, 1.5), "step_sizes": (1e-3, 0.2), "maximize": True}),
    ("adafactor", "Adafactor", {}),
    (
        "adafactor_options",
        "Adafactor",
        {"lr": 0.3, "beta2_decay": -0.5, "d": 2.0, "weight_decay": 0.1, "maximize": True},
    ),
    ("radamw", "RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def parameters(lib, values):
    return [lib.nn.Parameter(lib.tensor(v)) for v in values]


def loss_of(params, targets):
    """A bowl with a bend: its gradient changes with every step."""
    return sum((((p - t) ** 2).sum() + (p * t).sin().sum()) for p, t in zip(params, targets))


def train(lib, make, values, targets, steps, schedule=None):
    """The parameters after each step, and the optimizer."""
    params = parameters(lib, values)
    optimizer = make(lib.optim, params)
    scheduler = schedule(lib.optim.lr_scheduler, optimizer) if schedule else None
    targets = [lib.tensor(t) for t in targets]
    history = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(params, targets).backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        history.append([p.detach().numpy().copy() for p in params])
    return history, optimizer, params


def assert_same_history(ours, theirs, dtype):
    """Each of about ten roundings a step is carried on by the map of a step, whose slope is below 2
    here; 20 steps of it stay within 1e4 eps."""
    bound = 1e4 * np.finfo(dtype).eps
    for step, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=bound, atol=bound, err_msg=f"step {step}")


def precision(name, dtype):
    """The dtype that PyTorch computes in: some single numbers of it are always float32."""
    return "float32" if name in ("NAdam", "ASGD") else dtype


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "options"), [c[1:] for c in OPTIMIZERS], ids=[c[0] for c in OPTIMIZERS]
)
def test_trajectory_matches_torch(name, options, dtype, rng):
    torch = pytest.importorskip("torch")
    values = [rng.standard_normal(s).astype(dtype) for s in SHAPES]
    targets = [rng.standard_normal(s).astype(dtype) for s in SHAPES]
    make = lambda optim, params: getattr(optim, name)(params, **options)
    ours, _, _ = train(fastdl, make, values, targets, 20)
    theirs, _, _ = train(torch, make, values, targets, 20)
    assert_same_history(ours, theirs, precision(name, dtype))


def test_defaults_match_torch():
    torch = pytest.importorskip("torch")
    for name in sorted({name for _, name, _ in OPTIMIZERS}):
        ours = getattr(optim, name)([nn.Parameter(fastdl.zeros(1))])
        theirs = getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(1))])
        assert ours.defaults == theirs.defaults, name
        assert repr(ours) == repr(theirs)
        mine, other = (o.state_dict()["param_groups"][0] for o in (ours, theirs))
        assert set(mine) == set(other)


@pytest.mark.parametrize("name", ["SGD", "Adam", "NAdam", "RMSprop", "Adadelta"])
def test_parameters_that_kernels_cannot_take(name, rng):
    """Transposed, strided and float16 parameters are updated where they are."""
    options = {"momentum": 0.9} if name == "SGD" else {}
    values = rng.standard_normal((4, 6)).astype("float32")
    plain = nn.Parameter(fastdl.tensor(values))
    turned = nn.Parameter(fastdl.from_numpy(values.T.copy()).t())
    holder = np.zeros((4, 12), np.float32)
    holder[:, ::2] = values
    strided = nn.Parameter(fastdl.from_numpy(holder)[:, ::2])
    short = nn.Parameter(fastdl.tensor(values.astype(np.float16)))
    for _ in range(3):
        for p in (plain, turned, strided, short):
            if not hasattr(p, "optimizer"):
                p.optimizer = getattr(optim, name)([p], lr=0.1, **options)
            p.grad = None
            (p * p).sum().backward()
            p.optimizer.step()
    np.testing.assert_array_equal(turned.detach().numpy(), plain.detach().numpy())
    np.testing.assert_array_equal(strided.detach().numpy(), plain.detach().numpy())
    assert (holder[:, 1::2] == 0).all(), "what lies between is not touched"
    # three steps, each rounded to float16 and of slope below 1
    bound = 4 * np.finfo(np.float16).eps * np.abs(values).max()
    np.testing.assert_allclose(short.detach().numpy(), plain.detach().numpy(), atol=bound)


def test_groups_and_changes_while_training(rng):
    torch = pytest.importorskip("torch")
    values = [rng.standard_normal(s) for s in SHAPES]
    targets = [rng.standard_normal(s) for s in SHAPES]

    def make(optim, params):
        optimizer = optim.SGD(
            [{"params": params[:1], "lr": 0.3}, {"params": params[1]}], lr=0.1, momentum=0.5
        )
        optimizer.add_param_group({"params": params[2:], "momentum": 0.0})
        optimizer.param_groups[1]["lr"] = 0.05
        return optimizer

    ours, optimizer, _ = train(fastdl, make, values, targets, 5)
    theirs, reference, _ = train(torch, make, values, targets, 5)
    assert_same_history(ours, theirs, "float64")
    assert repr(optimizer) == repr(reference)
    named = nn.Linear(2, 2)
    group = optim.SGD(named.named_parameters(), lr=0.1).param_groups[0]
    assert group["param_names"] == ["weight", "bias"]
    assert group["params"][0] is named.weight


def test_parameters_without_gradient_are_passed_over():
    used, unused = parameters(fastdl, [np.ones(2), np.ones(2)])
    optimizer = optim.Adam([used, unused])
    used.sum().backward()
    optimizer.step()
    assert (unused == 1).all()
    assert used[0] != 1
    assert list(optimizer.state_dict()["state"]) == [0]


@pytest.mark.parametrize(
    ("name", "options"), [c[1:] for c in OPTIMIZERS], ids=[c[0] for c in OPTIMIZERS]
)
def test_state_dict_resumes_and_moves_from_torch(name, options, rng):
    """Ten steps, then ten more after moving everything into fresh objects, equal twenty in one go;
    so do ten steps of PyTorch carried on here."""
    torch = pytest.importorskip("torch")
    values = [rng.standard_normal(s) for s in SHAPES]
    targets = [rng.standard_normal(s) for s in SHAPES]
    make = lambda optim, params: getattr(optim, name)(params, **options)
    whole, _, _ = train(fastdl, make, values, targets, 20)
    for lib in (fastdl, torch):
        first, optimizer, _ = train(lib, make, values, targets, 10)
        state = copy.deepcopy(optimizer.state_dict())

        def resumed(optim, params, state=state):
            fresh = make(optim, params)
            fresh.load_state_dict(state)
            return fresh

        second, fresh, params = train(fastdl, resumed, first[-1], targets, 10)
        assert_same_history(first + second, whole, precision(name, "float64"))
    packed = fresh.state_dict()
    assert packed["param_groups"][0]["params"] == [0, 1, 2]
    for number, entries in packed["state"].items():
        for key, value in entries.items():
            if key not in ("step", "mu_product", "eta", "mu") and value is not None:
                rows_or_columns = key in ("row_var", "col_var")
                assert rows_or_columns or value.shape == params[number].shape
                assert value.dtype == params[number].dtype


@pytest.mark.parametrize("shape", [(6, 4), (4, 9), (5, 5), (7, 1)])
@pytest.mark.parametrize(
    "options",
    [{}, {"nesterov": False, "weight_decay": 0.0}, {"adjust_lr_fn": "match_rms_adamw", "lr": 0.1}],
)
def test_muon_matches_torch(shape, options, rng):
    """PyTorch multiplies in bfloat16: ten products of matrices of norm near 1, each rounded to 8
    bits and magnified by the iteration's slope of at most 3.4 at first, stay within 10 * 2^-8 of
    the update's norm."""
    torch = pytest.importorskip("torch")
    values, slope = rng.standard_normal(shape), rng.standard_normal(shape)
    found = []
    for lib in (fastdl, torch):
        p = lib.nn.Parameter(lib.tensor(values))
        optimizer = lib.optim.Muon([p], **options)
        for sign in (1, 1, -0.3):
            p.grad = lib.tensor(sign * slope)
            optimizer.step()
        found.append((p.detach().numpy().copy(), optimizer.state_dict()["state"][0]))
        lr, steps = optimizer.defaults["lr"], 3
    (ours, state), (theirs, other) = found
    assert set(state) - {"step"} == set(other)
    factor = 0.2 * max(shape) ** 0.5 if "adjust_lr_fn" in options else max(1, shape[0] / shape[1])
    bound = steps * lr * factor * 10 * 2**-8 * min(shape) ** 0.5
    assert np.linalg.norm(ours - theirs) < bound
    assert np.linalg.norm(theirs - values) > bound, "the step is longer than what may differ"
    momentum = np.asarray(other["momentum_buffer"])
    np.testing.assert_allclose(state["momentum_buffer"].numpy(), momentum, rtol=1e-12)


def test_muon_makes_singular_values_alike(rng):
    """Five steps of the iteration take singular values in (0.01, 1) to (0.68, 1.14) (Jordan et al.
    2024)."""
    p = nn.Parameter(fastdl.zeros(8, 5, dtype=fastdl.float64))
    u, _, v = np.linalg.svd(rng.standard_normal((8, 5)), full_matrices=False)
    p.grad = fastdl.tensor((u * np.geomspace(0.02, 1, 5)) @ v)
    optim.Muon([p], lr=1.0, nesterov=False, weight_decay=0.0, momentum=0.0).step()
    moved = np.linalg.svd(p.detach().numpy() / (8 / 5) ** 0.5, compute_uv=False)
    assert 0.68 < moved.min() < moved.max() < 1.14


def test_muon_wants_matrices():
    with pytest.raises(ValueError, match="2D parameters"):
        optim.Muon([nn.Parameter(fastdl.zeros(3))])
    for options in ({"ns_steps": 100}, {"adjust_lr_fn": "x"}, {"momentum": -1}):
        with pytest.raises(ValueError, match=r"umber of steps|not supported|momentum"):
            optim.Muon([nn.Parameter(fastdl.zeros(3, 3))], **options)
    for options in ({"beta2_decay": 1}, {"d": 0.5}, {"eps": (-1, 0)}):
        with pytest.raises(ValueError, match=r"beta2_decay|clipping|eps"):
            optim.Adafactor([nn.Parameter(fastdl.zeros(3))], **options)


def test_loading_copies_the_state():
    p = parameters(fastdl, [np.ones(3)])
    first, second = optim.Adam(p), optim.Adam(p)
    p[0].grad = fastdl.ones(3, dtype=fastdl.float64)
    first.step()
    second.load_state_dict(first.state_dict())
    second.step()
    assert first.state[p[0]]["step"] == 1
    assert (first.state[p[0]]["exp_avg"] < 0.11).all(), "the second step has moved its own copy"


def test_step_is_noticed_by_autograd():
    """A step changes what a graph saved: going back through it raises."""
    w = nn.Parameter(fastdl.ones(2))
    y = (w * w).sum()
    w.grad = fastdl.ones(2)
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_closure_records_under_no_grad():
    w = nn.Parameter(fastdl.ones(2))
    optimizer = optim.SGD([w], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with fastdl.no_grad():
        assert optimizer.step(closure).item() == 2
    assert (w == 0).all()


def test_zero_grad():
    (w,) = parameters(fastdl, [np.ones(2)])
    optimizer = optim.SGD([w])
    w.sum().backward()
    grad = w.grad
    optimizer.zero_grad(set_to_none=False)
    assert (grad == 0).all()
    optimizer.zero_grad()
    assert w.grad is None


REFUSED = {
    "a tensor": lambda t: t.optim.SGD(t.zeros(2)),
    "nothing": lambda t: t.optim.SGD([]),
    "no tensor": lambda t: t.optim.SGD([3]),
    "no leaf": lambda t: t.optim.SGD([t.nn.Parameter(t.zeros(2)) * 2]),
    "twice": lambda t: t.optim.SGD([{"params": [p := t.nn.Parameter(t.zeros(2))]}, {"params": p}]),
    "a set": lambda t: t.optim.SGD([{"params": {t.nn.Parameter(t.zeros(2))}}]),
    "lr": lambda t: t.optim.SGD([t.nn.Parameter(t.zeros(2))], lr=-1),
    "momentum": lambda t: t.optim.SGD([t.nn.Parameter(t.zeros(2))], momentum=-1),
    "nesterov": lambda t: t.optim.SGD([t.nn.Parameter(t.zeros(2))], nesterov=True),
    "betas": lambda t: t.optim.Adam([t.nn.Parameter(t.zeros(2))], betas=(0.9, 1.0)),
    "eps": lambda t: t.optim.AdamW([t.nn.Parameter(t.zeros(2))], eps=-1),
    "rho": lambda t: t.optim.Adadelta([t.nn.Parameter(t.zeros(2))], rho=1.5),
    "lr_decay": lambda t: t.optim.Adagrad([t.nn.Parameter(t.zeros(2))], lr_decay=-1),
    "alpha": lambda t: t.optim.RMSprop([t.nn.Parameter(t.zeros(2))], alpha=-1),
    "groups": lambda t: t.optim.SGD([t.nn.Parameter(t.zeros(2))]).load_state_dict(
        {"state": {}, "param_groups": []}
    ),
    "group size": lambda t: t.optim.SGD([t.nn.Parameter(t.zeros(2))]).load_state_dict(
        {"state": {}, "param_groups": [{"params": [0, 1]}]}
    ),
    "no optimizer": lambda t: t.optim.lr_scheduler.StepLR(3, 2),
    "no initial lr": lambda t: t.optim.lr_scheduler.StepLR(
        t.optim.SGD([t.nn.Parameter(t.zeros(2))]), 2, last_epoch=3
    ),
    "factor": lambda t: t.optim.lr_scheduler.ReduceLROnPlateau(
        t.optim.SGD([t.nn.Parameter(t.zeros(2))]), factor=1.5
    ),
    "lambdas": lambda t: t.optim.lr_scheduler.LambdaLR(
        t.optim.SGD([t.nn.Parameter(t.zeros(2))]), [abs, abs]
    ),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED.keys())
def test_refused_as_by_torch(call):
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as theirs:
        call(torch)
    with pytest.raises(theirs.type):
        call(fastdl)


# ---------------------------------------------------------------------------------------- schedules

SCHEDULES = [
    ("step", lambda s, o: s.StepLR(o, 3, 0.5)),
    ("multi_step", lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9], 0.1)),
    ("exponential", lambda s, o: s.ExponentialLR(o, 0.9)),
    ("lambda", lambda s, o: s.LambdaLR(o, lambda epoch: 1 / (1 + epoch))),
    ("lambdas", lambda s, o: s.LambdaLR(o, [lambda e: 0.9**e, lambda e: e + 1])),
    ("cosine", lambda s, o: s.CosineAnnealingLR(o, 5, 0.01)),
    ("restarts", lambda s, o: s.CosineAnnealingWarmRestarts(o, 4, eta_min=0.01)),
    ("restarts_longer", lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2)),
    ("constant", lambda s, o: s.ConstantLR(o, 0.5, 4)),
    ("linear", lambda s, o: s.LinearLR(o, 0.25, 0.75, 10)),
    ("polynomial", lambda s, o: s.PolynomialLR(o, 30, 1.5)),
    ("multiplicative", lambda s, o: s.MultiplicativeLR(o, lambda e: 0.95 if e % 2 else 1.01)),
    ("cyclic", lambda s, o: s.CyclicLR(o, 0.01, 0.2, 5)),
    ("cyclic_halves", lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.2, 5, 3, mode="triangular2")),
    ("cyclic_decays", lambda s, o: s.CyclicLR(o, 0.01, 0.2, 4, mode="exp_range", gamma=0.97)),
    ("cyclic_scaled", lambda s, o: s.CyclicLR(
        o, 0.01, 0.2, 4, scale_fn=lambda n: 1 / n, cycle_momentum=False)),
    ("one_cycle", lambda s, o: s.OneCycleLR(o, 0.5, 60)),
    ("one_cycle_line", lambda s, o: s.OneCycleLR(
        o, [0.5, 0.7], epochs=6, steps_per_epoch=10, anneal_strategy="linear", pct_start=0.5)),
    ("one_cycle_3", lambda s, o: s.OneCycleLR(
        o, 0.5, 70, three_phase=True, div_factor=10.0, base_momentum=0.7)),
    ("chained", lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 3), s.ExponentialLR(o, 0.9)])),
    ("sequential", lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, 30), s.StepLR(o, 4)],
        milestones=[5, 35])),
]  # fmt: skip
NO_JUMPS = ("chained", "sequential")


def two_groups(lib, name="SGD"):
    p, q = parameters(lib, [np.ones(1), np.ones(1)])
    options = {"momentum": 0.5} if name == "SGD" else {}
    groups = [{"params": [p], "lr": 0.3}, {"params": [q]}]
    return getattr(lib.optim, name)(groups, lr=0.1, **options)


def steered(group):
    """What schedules set in a group."""
    return [group["lr"], group["betas"][0] if "betas" in group else group["momentum"]]


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.filterwarnings("ignore:To get the last learning rate")
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "make"), SCHEDULES, ids=[c[0] for c in SCHEDULES])
def test_schedule_matches_torch(name, make, optimizer):
    torch = pytest.importorskip("torch")
    sequences = []
    for lib in (fastdl, torch):
        steered_optimizer = two_groups(lib, optimizer)
        scheduler = make(lib.optim.lr_scheduler, steered_optimizer)
        rates = []
        for epoch in range(50):
            rates.append([steered(group) for group in steered_optimizer.param_groups])
            assert scheduler.get_last_lr() == [lr for lr, _ in rates[-1]]
            scheduler.step()
            if epoch == 12:  # carried over into new objects
                state, kept = scheduler.state_dict(), steered_optimizer.state_dict()
                steered_optimizer = two_groups(lib, optimizer)
                scheduler = make(lib.optim.lr_scheduler, steered_optimizer)
                scheduler.load_state_dict(state)
                steered_optimizer.load_state_dict(kept)
        if name not in NO_JUMPS:
            scheduler.step(4)
            rates.append([steered(group) for group in steered_optimizer.param_groups])
        sequences.append(rates)
    np.testing.assert_allclose(*sequences, rtol=1e-12, atol=1e-15)  # 50 steps of a few roundings


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_warm_restarts_within_an_epoch():
    torch = pytest.importorskip("torch")
    for multiple in (1, 2):
        rates = []
        for lib in (fastdl, torch):
            optimizer = two_groups(lib)
            schedule = lib.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3, multiple)
            for i in range(60):
                schedule.step(i / 4)
                rates.append(schedule.get_last_lr())
        np.testing.assert_allclose(rates[:60], rates[60:], rtol=1e-12, atol=1e-15)


BAD_SCHEDULES = {
    "factor": lambda s, o: s.ConstantLR(o, 2.0),
    "start": lambda s, o: s.LinearLR(o, 0.0),
    "end": lambda s, o: s.LinearLR(o, 0.5, 1.5),
    "T_0": lambda s, o: s.CosineAnnealingWarmRestarts(o, 0),
    "T_mult": lambda s, o: s.CosineAnnealingWarmRestarts(o, 2, 0),
    "eta_min": lambda s, o: s.CosineAnnealingWarmRestarts(o, 2, 1, "0"),
    "epoch": lambda s, o: s.CosineAnnealingWarmRestarts(o, 2).step(-1),
    "base_lr": lambda s, o: s.CyclicLR(o, [0.1], 0.2),
    "mode": lambda s, o: s.CyclicLR(o, 0.1, 0.2, mode="square"),
    "no steps": lambda s, o: s.OneCycleLR(o, 0.1),
    "steps": lambda s, o: s.OneCycleLR(o, 0.1, 0),
    "epochs": lambda s, o: s.OneCycleLR(o, 0.1, epochs=-1, steps_per_epoch=1),
    "pct_start": lambda s, o: s.OneCycleLR(o, 0.1, 5, pct_start=1.5),
    "strategy": lambda s, o: s.OneCycleLR(o, 0.1, 5, anneal_strategy="cubic"),
    "too far": lambda s, o: [c.step() for c in [s.OneCycleLR(o, 0.1, 5)] * 7],
    "milestones": lambda s, o: s.SequentialLR(o, [s.StepLR(o, 1)], [3]),
    "nothing": lambda s, o: s.ChainedScheduler([]),
    "plateau": lambda s, o: s.ChainedScheduler([s.ReduceLROnPlateau(o)]),
    "two optimizers": lambda s, o: s.ChainedScheduler(
        [s.StepLR(o, 1), s.StepLR(copy.deepcopy(o), 1)]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("make", BAD_SCHEDULES.values(), ids=BAD_SCHEDULES)
def test_bad_schedules(make):
    with pytest.raises(ValueError, match=r".+"):
        make(optim.lr_scheduler, two_groups(fastdl))
    torch = pytest.importorskip("torch")
    with pytest.raises((ValueError, TypeError, ZeroDivisionError)):
        make(torch.optim.lr_scheduler, two_groups(torch))


def test_momentum_cycles_need_momentum():
    optimizer = optim.Adagrad([nn.Parameter(fastdl.ones(1))])
    for make in (
        lambda s: s.CyclicLR(optimizer, 0.1, 0.2),
        lambda s: s.OneCycleLR(optimizer, 1, 9),
    ):
        with pytest.raises(ValueError, match="support momentum"):
            make(optim.lr_scheduler)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateau_matches_torch(mode, threshold_mode, rng):
    torch = pytest.importorskip("torch")
    metrics = 1 + np.repeat(rng.standard_normal(20), 3) * 0.1
    sequences = []
    for lib in (fastdl, torch):
        optimizer = two_groups(lib)
        scheduler = lib.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer,
            mode,
            0.5,
            2,
            threshold=0.01,
            threshold_mode=threshold_mode,
            cooldown=1,
            min_lr=0.02,
        )
        rates = []
        for metric in metrics:
            scheduler.step(lib.tensor(metric))
            rates.append([group["lr"] for group in optimizer.param_groups])
        sequences.append(rates)
    np.testing.assert_allclose(*sequences, rtol=1e-12)
    assert sequences[0][-1] != sequences[0][0], "the metric did stall"


# ------------------------------------------------------------------------------------------- L-BFGS


def rosenbrock(x):
    """A curved valley: (1 - x0)^2 + 100 (x1 - x0^2)^2, chained over the elements."""
    return ((1 - x[:-1]) ** 2).sum() + 100 * ((x[1:] - x[:-1] ** 2) ** 2).sum()


def descend(lib, options, calls, dtype="float64", resume=False):
    """The parameters and losses after each call of `step`, and how often the closure ran."""
    x = lib.nn.Parameter(lib.tensor([-1.5, 2.0, 0.5, -1.0], dtype=getattr(lib, dtype)))
    y = lib.nn.Parameter(lib.tensor([[0.5]], dtype=getattr(lib, dtype)))
    optimizer = lib.optim.LBFGS([x, y], **options)
    ran, history = [], []

    def closure():
        ran.append(1)
        optimizer.zero_grad()
        loss = rosenbrock(x) + ((y - x[0]) ** 2).sum()
        loss.backward()
        return loss

    for call in range(calls):
        loss = optimizer.step(closure)
        history.append(np.concatenate([x.detach().numpy(), y.detach().numpy()[0], [loss.item()]]))
        if resume and call == 1:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = lib.optim.LBFGS([x, y], **options)
            optimizer.load_state_dict(state)
    return np.array(history), len(ran)


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.01, "max_iter": 5},
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "max_iter": 4, "history_size": 2},
        {"line_search_fn": "strong_wolfe", "lr": 5.0, "max_iter": 3, "max_eval": 5},
        {"line_search_fn": "strong_wolfe", "max_iter": 1},
    ],
)
def test_lbfgs_matches_torch(options):
    torch = pytest.importorskip("torch")
    (ours, ran), (theirs, other) = (descend(lib, options, 4) for lib in (fastdl, torch))
    assert ran == other
    # Rounding grows by the curvature of the valley, some 1e3, in a few dozen steps.
    np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7)


def test_lbfgs_finds_the_minimum_and_resumes():
    options = {"line_search_fn": "strong_wolfe", "max_iter": 10}
    found, _ = descend(fastdl, options, 20)
    # It stops where the loss changes by less than 1e-9; the valley's flattest curvature is 1/2.
    np.testing.assert_allclose(found[-1], [1, 1, 1, 1, 1, 0], atol=1e-4)
    resumed, _ = descend(fastdl, options, 20, resume=True)
    np.testing.assert_array_equal(resumed, found)
    single, _ = descend(fastdl, options, 20, dtype="float32")
    np.testing.assert_allclose(single[-1], [1, 1, 1, 1, 1, 0], atol=1e-2)


def test_lbfgs_refuses():
    p, q = parameters(fastdl, [np.ones(1), np.ones(1)])
    with pytest.raises(ValueError, match="parameter groups"):
        optim.LBFGS([{"params": [p]}, {"params": [q]}])
    with pytest.raises(RuntimeError, match="strong_wolfe"):
        optim.LBFGS([p], line_search_fn="armijo")
    with pytest.raises(TypeError, match="closure"):
        optim.LBFGS([p]).step(None)


# ----------------------------------------------------------------------------------------- averages

AVERAGES = {
    "equal": lambda u: {},
    "ema": lambda u: {"multi_avg_fn": u.get_ema_multi_avg_fn(0.8)},
    "ema_one_by_one": lambda u: {"avg_fn": u.get_ema_avg_fn(0.8)},
    "buffers": lambda u: {"use_buffers": True},
    "equal_lists": lambda u: {"multi_avg_fn": u.get_swa_multi_avg_fn()},
}


@pytest.mark.parametrize(("name", "options"), AVERAGES.items(), ids=AVERAGES)
def test_averaged_model_matches_torch(name, options, rng):
    torch = pytest.importorskip("torch")
    weights = [rng.standard_normal((4, 3)) for _ in range(6)]
    batches = [rng.standard_normal((5, 3)) for _ in range(4)]
    found = []
    for lib in (fastdl, torch):
        model = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4)).double()
        with lib.no_grad():
            model[0].bias.zero_()
        utils = lib.optim.swa_utils
        average = utils.AveragedModel(model, **options(utils))
        for w in weights:
            with lib.no_grad():
                model[0].weight.copy_(lib.tensor(w))
            model(lib.tensor(batches[0] * w.sum()))
            average.update_parameters(model)
        kept = {key: value.numpy().copy() for key, value in average.state_dict().items()}
        loader = [(lib.tensor(b), 0) for b in batches]
        average.eval()
        utils.update_bn(loader, average)
        assert not average.training
        kept["output"] = average(lib.tensor(batches[0])).detach().numpy()
        found.append(kept)
    ours, theirs = found
    assert list(ours) == list(theirs)
    # Sums of six terms, and a norm's division; PyTorch's count of models divides in float32.
    bound = 64 * np.finfo("f4" if name == "equal_lists" else "f8").eps
    if name == "buffers":  # ours is copied; PyTorch averages a count and cuts off the fraction
        assert ours.pop("module.1.num_batches_tracked") == len(weights)
    for key in ours:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=bound, atol=bound, err_msg=key)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 7])
def test_swalr_matches_torch(strategy, epochs):
    torch = pytest.importorskip("torch")
    rates = []
    for lib in (fastdl, torch):
        optimizer = two_groups(lib)
        schedule = lib.optim.swa_utils.SWALR(optimizer, 0.02, epochs, strategy)
        for _ in range(15):
            rates.append(schedule.get_last_lr())
            schedule.step()
    np.testing.assert_allclose(rates[:15], rates[15:], rtol=1e-12)
    for bad in ({"anneal_epochs": -1}, {"anneal_strategy": "cubic"}, {"swa_lr": [0.1]}):
        with pytest.raises(ValueError, match=r".+"):
            optim.swa_utils.SWALR(two_groups(fastdl), **{"swa_lr": 0.1, **bad})
    with pytest.raises(ValueError, match="decay"):
        optim.swa_utils.get_ema_multi_avg_fn(1.5)
    with pytest.raises(AssertionError):
        optim.swa_utils.AveragedModel(
            nn.Linear(1, 1),
            avg_fn=optim.swa_utils.get_swa_avg_fn(),
            multi_avg_fn=optim.swa_utils.get_swa_multi_avg_fn(),
        )
