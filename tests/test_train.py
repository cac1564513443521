"""The training loop: what it computes, what its callbacks do, and that a kill changes nothing."""

import csv
import doctest
import math
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import fastdl
from fastdl import metrics, nn, optim, train
from fastdl.nn import functional as F
from fastdl.optim import lr_scheduler
from fastdl.train import (
    Callback,
    Checkpoint,
    CSVLog,
    EarlyStopping,
    LearningCurves,
    ProgressBar,
    TensorBoardLog,
    Trainer,
)
from fastdl.utils.data import DataLoader, TensorDataset

PACKAGE = Path(fastdl.__file__).resolve().parent.parent
PROGRAM = Path(__file__).with_name("killed_training.py")


def points(count=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 3)).astype("float32")
    return TensorDataset(fastdl.tensor(x), fastdl.tensor((x.sum(1) > 0).astype("int64")))


def make(callbacks=(), lr=0.1, **options):
    fastdl.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 2))
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    if "scheduler" in options:
        options["scheduler"] = options["scheduler"](optimizer)
    return Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        metrics={"accuracy": metrics.Accuracy()},
        callbacks=callbacks,
        **options,
    )


def weights(trainer):
    return b"".join(p.detach().numpy().tobytes() for p in trainer.model.parameters())


# ------------------------------------------------------------------------------------- killed


def start(folder, variant):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), variant],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize("variant", ["steps", "epochs"])
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path, variant):
    pytest.importorskip("safetensors")
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    whole = start(folders[0], variant)
    printed, errors = whole.communicate(timeout=120)
    assert whole.returncode == 0, errors
    rng = np.random.default_rng(len(variant))
    kills = 0
    while True:
        process = start(folders[1], variant)
        if kills < 5:
            for _ in range(rng.integers(1, 14)):  # lines until the kill
                process.stdout.readline()
            try:
                process.wait(rng.uniform(0, 0.004))
            except subprocess.TimeoutExpired:
                process.kill()  # SIGKILL
        _, errors = process.communicate(timeout=120)
        if process.returncode == 0:
            break
        assert process.returncode == -9, errors
        kills += 1
    assert kills >= 3, "it was interrupted, several times"
    files = ["final", "log.csv", *(["best.safetensors"] if variant == "epochs" else [])]
    for name in files:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    assert len(printed.splitlines()) == 4 * 9 + 4


@pytest.mark.parametrize(
    "make_scheduler",
    [
        lambda o: lr_scheduler.StepLR(o, 2),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2),
        lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=3),
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o), lr_scheduler.ExponentialLR(o, 0.9)], [2]
        ),
        lambda o: lr_scheduler.LambdaLR(o, lambda e: 0.9**e),
    ],
)
def test_resumed_in_the_middle_with_any_scheduler(tmp_path, make_scheduler):
    """Stopped by an error instead of a kill: every scheduler, and the state object itself."""
    pytest.importorskip("safetensors")

    class Crash(Callback):
        def on_step_end(self, trainer):
            if trainer.step == 8:
                raise KeyboardInterrupt

    loader = DataLoader(points(), batch_size=8, shuffle=True)
    whole = make(scheduler=make_scheduler, scheduler_interval="step")
    whole.fit(loader, 3)
    crashed = make(
        [Crash(), Checkpoint(tmp_path / "x", every_steps=7)],
        scheduler=make_scheduler,
        scheduler_interval="step",
    )
    with pytest.raises(KeyboardInterrupt):
        crashed.fit(loader, 3)
    fastdl.manual_seed(123)
    resumed = make(scheduler=make_scheduler, scheduler_interval="step")
    resumed.fit(loader, 3, resume=tmp_path / "x")
    assert resumed.step == whole.step == 15
    assert weights(resumed) == weights(whole) != weights(crashed)
    assert resumed.history == whole.history


def test_lbfgs_resumes(tmp_path):
    pytest.importorskip("safetensors")
    data = DataLoader(points(), batch_size=40)

    def begin():
        fastdl.manual_seed(0)
        model = nn.Linear(3, 2)
        return Trainer(model, nn.CrossEntropyLoss(), optim.LBFGS(model.parameters(), max_iter=2))

    whole = begin()
    whole.fit(data, 5)
    first = begin()
    first.fit(data, 2)
    first.save(tmp_path / "x")
    second = begin()
    second.fit(data, 5, resume=tmp_path / "x")
    assert weights(second) == weights(whole)
    assert whole.history[-1]["loss"] < 0.5 * whole.history[0]["loss"]


def test_a_state_that_does_not_fit_is_named(tmp_path):
    pytest.importorskip("safetensors")
    trainer = make()
    trainer.fit(DataLoader(points(), batch_size=8), 1)
    trainer.save(tmp_path / "x")
    with pytest.raises(RuntimeError, match="scheduler"):
        make(scheduler=lambda o: lr_scheduler.StepLR(o, 1)).load(tmp_path / "x")
    other = nn.Linear(3, 2)
    with pytest.raises(RuntimeError, match="metrics"):
        Trainer(other, F.cross_entropy, optim.SGD(other.parameters(), lr=1)).load(tmp_path / "x")
    with pytest.raises(RuntimeError, match="lacks model"):
        make().load_state_dict({})
    trainer.batch = 99
    with pytest.raises(RuntimeError, match="only 5"):
        trainer.fit(DataLoader(points(), batch_size=8), 9)
    with_generator = DataLoader(points(), 8, shuffle=True, generator=fastdl.Generator())
    with pytest.raises(RuntimeError, match="0 generators"):
        make().fit(with_generator, 9, resume=tmp_path / "x")


# --------------------------------------------------------------------------------- the loop


def test_it_is_the_loop_that_one_writes():
    trainer = make(scheduler=lambda o: lr_scheduler.StepLR(o, 1, 0.5), clip_grad_norm=0.3)
    loader = DataLoader(points(), batch_size=16, shuffle=True)
    valid = DataLoader(points(23, seed=1), batch_size=8)
    history = trainer.fit(loader, 3, valid)

    by_hand = make(scheduler=lambda o: lr_scheduler.StepLR(o, 1, 0.5))
    model, optimizer, scheduler = by_hand.model, by_hand.optimizer, by_hand.scheduler
    for row in history:
        assert row["lr"] == optimizer.param_groups[0]["lr"]
        model.train()
        total = right = 0
        for x, y in loader:
            optimizer.zero_grad()
            outputs = model(x)
            loss = F.cross_entropy(outputs, y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            optimizer.step()
            total += loss.item() * len(y)
            right += (outputs.argmax(1) == y).sum().item()
        scheduler.step()
        assert row["accuracy"] == right / 40
        assert row["loss"] == pytest.approx(total / 40, rel=1e-12)
        model.eval()
        x, y = points(23, seed=1).tensors
        next(iter(valid))  # a pass over the data draws a number
        assert row["valid_loss"] == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-5)
        assert row["valid_accuracy"] == (model(x).argmax(1) == y).sum().item() / 23
    assert weights(trainer) == weights(by_hand)
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert trainer.step == 9


def test_evaluate_and_predict():
    trainer = make()
    trainer.model[0].eval()
    x, y = points().tensors
    found = trainer.predict(DataLoader(points(), batch_size=7))
    assert [m.training for m in trainer.model] == [False, True, True, True]
    assert not found.requires_grad
    trainer.model.eval()
    # Batches of other sizes may go through other kernels: equal up to rounding.
    np.testing.assert_allclose(found.numpy(), trainer.model(x).detach().numpy(), rtol=1e-5)
    for inputs in (DataLoader(TensorDataset(x), batch_size=40), [x]):
        assert (trainer.predict(inputs) == trainer.model(x)).all()
    scores = trainer.evaluate(DataLoader(points(), batch_size=40))
    assert scores["accuracy"] == metrics.accuracy(trainer.model(x), y)
    assert scores["loss"] == trainer.loss(trainer.model(x), y).item()
    with pytest.raises(TypeError, match="override compute"):
        trainer.evaluate([{"x": x}])


def test_other_kinds_of_batches():
    """Several inputs; an autoencoder; a subclass with a computation of its own."""
    two = nn.Bilinear(2, 3, 1)
    trainer = Trainer(two, F.mse_loss, optim.SGD(two.parameters(), lr=0.1))
    data = TensorDataset(fastdl.randn(8, 2), fastdl.randn(8, 3), fastdl.randn(8, 1))
    history = trainer.fit(DataLoader(data, batch_size=4), 10)
    assert history[-1]["loss"] < history[0]["loss"]
    assert trainer.predict(DataLoader(data, batch_size=3)).shape == (8, 1)

    auto = nn.Linear(3, 3)
    trainer = Trainer(auto, F.mse_loss, optim.SGD(auto.parameters(), lr=0.1))
    history = trainer.fit([fastdl.randn(8, 3)], 10)
    assert history[-1]["loss"] < history[0]["loss"]

    class Named(Trainer):
        def compute(self, batch):
            outputs = self.model(batch["x"])
            return self.loss(outputs, batch["y"]), outputs, batch["y"]

    model = nn.Linear(3, 1)
    trainer = Named(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.1), clip_grad_value=0.1)
    trainer.fit([{"x": fastdl.ones(4, 3), "y": fastdl.zeros(4, 1)}], 1)
    assert max(p.grad.abs().max().item() for p in model.parameters()) <= np.float32(0.1)


def test_fit_goes_on_where_it_ended():
    loader = DataLoader(points(), batch_size=8, shuffle=True)
    whole, parts = make(), make()
    whole.fit(loader, 4)
    fastdl.manual_seed(0)
    parts = make()
    parts.fit(loader, 2)
    assert len(parts.fit(loader, 4)) == 4
    assert weights(parts) == weights(whole)


def test_wrong_arguments_are_named():
    model = nn.Linear(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=1)
    for arguments, options, error, message in (
        ((optimizer, F.mse_loss, optimizer), {}, TypeError, "model"),
        ((model, F.mse_loss, model), {}, TypeError, "optimizer"),
        ((model, F.mse_loss, optimizer), {"metrics": {"a": F.mse_loss}}, TypeError, "'a'"),
        ((model, F.mse_loss, optimizer), {"metrics": {"lr": metrics.Mean()}}, ValueError, "'lr'"),
        ((model, F.mse_loss, optimizer), {"scheduler_interval": "day"}, ValueError, "'day'"),
    ):
        with pytest.raises(error, match=message):
            Trainer(*arguments, **options)
    for wrong in (
        lambda: EarlyStopping("valid_accuracy"),
        lambda: EarlyStopping(mode="best"),
        lambda: Checkpoint("x", every_steps=0),
    ):
        with pytest.raises(ValueError):
            wrong()
    with pytest.raises(KeyError, match=r"'valid_loss'.*epoch, loss"):
        make([EarlyStopping()]).fit(DataLoader(points(), 8), 1)


# --------------------------------------------------------------------------------- callbacks


class Script:
    """Stands for a trainer whose numbers are given."""

    def __init__(self, callback, values, name="valid_loss"):
        self.model, self.history, self.should_stop = nn.Linear(1, 1), [], False
        self.epoch = self.step = 0
        self.saved = []
        for value in values:
            self.epoch += 1
            with fastdl.no_grad():
                self.model.weight.fill_(self.epoch)
            self.history.append({"epoch": self.epoch, name: value})
            callback.on_epoch_end(self)
            if self.should_stop:
                break
        callback.on_fit_end(self)

    def save(self, path):
        self.saved.append(self.epoch)


def test_early_stopping():
    nan = math.nan
    for values, options, epochs, stopped in (
        ([3, 2, 2, 2, 1], {"patience": 2}, 4, True),
        ([3, 2, 2, 1, 2, 2], {"patience": 2}, 6, True),
        ([1, 2, 3], {"patience": 1, "mode": "max"}, 3, False),
        ([3, 2.95, 2.9, 2.85], {"patience": 2, "min_delta": 0.2}, 3, True),
        ([1, nan, nan, 0], {"patience": 2}, 3, True),
        ([nan, nan, 1], {"patience": 3}, 3, False),
    ):
        run = Script(EarlyStopping(**options), values)
        assert (run.epoch, run.should_stop) == (epochs, stopped), (values, options)
    run = Script(EarlyStopping(patience=2, restore_best=True), [3, 1, 2, 2])
    assert run.model.weight.item() == 2
    stopped = make([EarlyStopping("loss", patience=1, min_delta=100)])
    assert len(stopped.fit(DataLoader(points(), 8), 50)) == 2
    assert len(stopped.fit(DataLoader(points(), 8), 50)) == 2


def test_checkpoints(tmp_path):
    pytest.importorskip("safetensors")
    keeper = Checkpoint(tmp_path / "x", every_epochs=2, best_path=tmp_path / "best")
    run = Script(keeper, [3, 1, 2, 4, 5])
    assert run.saved == [2, 4]
    assert fastdl.load(tmp_path / "best")["weight"].item() == 2
    trainer = make([Checkpoint(tmp_path / "x", every_steps=2)])
    trainer.fit(DataLoader(points(), 8), 1)
    state = fastdl.load(tmp_path / "x")
    nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 2)).load_state_dict(
        state["model"]
    )
    assert (state["epoch"], state["step"]) == (1, 5)


def test_logs_and_curves(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    scalars = []

    class Writer:
        def __init__(self, log_dir):
            scalars.append(log_dir)

        def add_scalar(self, *args):
            scalars.append(args)

        def close(self):
            scalars.append("closed")

    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    trainer = make(
        [
            CSVLog(tmp_path / "log.csv"),
            LearningCurves(tmp_path / "curves.png"),
            TensorBoardLog("runs"),
        ]
    )
    loader = DataLoader(points(), 8)
    trainer.fit(loader, 2, loader)
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == trainer.history
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert scalars[0] == "runs"
    assert scalars[-1] == "closed"
    assert ("valid_loss", trainer.history[1]["valid_loss"], 2) in scalars
    assert len(scalars) == 2 + 2 * 5


def test_progress(capsys, monkeypatch):
    loader = DataLoader(points(), 8)
    make([ProgressBar()]).fit(loader, 2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", "1"], ["epoch", "2"]]
    assert "accuracy" in lines[0]
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    make([ProgressBar()]).fit(loader, 1)
    assert "/5 [" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm", None)
    make([ProgressBar()]).fit(loader, 1)
    assert capsys.readouterr().err.startswith("epoch   1  loss")


def test_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"fastdl\[demo\]"):
        LearningCurves("x.png")


def test_documentation():
    found = doctest.testmod(train)
    assert found.attempted > 8
    assert found.failed == 0
