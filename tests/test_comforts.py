"""Beside the training loop: summaries of models, cross-validation, TensorBoard's writer."""

import doctest
import sys
import types
from collections import Counter

import numpy as np
import pytest

import fastdl
from fastdl import nn
from fastdl.nn import functional as F
from fastdl.utils import summary
from fastdl.utils.data import DataLoader, KFold, StratifiedKFold, TensorDataset, folds
from fastdl.utils.tensorboard import SummaryWriter
from fastdl.vision import models


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


# ---------------------------------------------------------------------------------------- summary


def test_lenet():
    found = LeNet().summary(input_size=(2, 1, 28, 28))
    assert found.total_parameters == found.trainable_parameters == 61_706
    products = [28 * 28 * 6 * 25, 10 * 10 * 16 * 6 * 25, 400 * 120, 120 * 84, 84 * 10]
    assert [row.mult_adds for row in found.layers] == [0, *(2 * n for n in products)]
    assert found.mult_adds == 2 * sum(products)
    assert [row.output_shape for row in found.layers] == [
        *((2, 10), (2, 6, 28, 28), (2, 16, 10, 10), (2, 120), (2, 84), (2, 10)),
    ]
    assert found.input_bytes == 4 * 2 * 28 * 28
    assert found.parameter_bytes == 4 * 61_706
    assert found.activation_bytes == 4 * 2 * (6 * 784 + 1600 + 120 + 84 + 10)


@pytest.mark.parametrize(
    ("name", "parameters", "mult_adds"),
    # The parameters and GMACs that torchvision's documentation states.
    [
        ("resnet18", 11_689_512, 1.814e9),
        ("mobilenet_v2", 3_504_872, 0.301e9),
        ("squeezenet1_1", 1_235_496, 0.349e9),
    ],
)
def test_known_models(name, parameters, mult_adds):
    model = getattr(models, name)()
    found = model.summary(fastdl.zeros(1, 3, 224, 224))
    assert found.total_parameters == parameters == sum(p.numel() for p in model.parameters())
    assert found.mult_adds == pytest.approx(mult_adds, rel=2e-3)
    assert found.layers[0].output_shape == (1, 1000)
    assert {row.name for row in found.layers} == {name for name, _ in model.named_modules()}
    text = str(found)
    assert f"{parameters:,}" in text
    assert "Mult-adds" in text


def test_nothing_changes():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout())
    model[2].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = fastdl.get_rng_state()
    summary(model, fastdl.ones(5, 3))
    assert (fastdl.get_rng_state() == state).all()
    assert [m.training for m in model.modules()] == [True, True, True, False]
    for key, value in model.state_dict().items():
        assert (value == before[key]).all(), key
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(RuntimeError):
        summary(model, input_size=(5, 4))
    assert [m.training for m in model.modules()] == [True, True, True, False]
    calls = len(summary(model, input_size=(5, 3)).layers)
    assert calls == 4, "no hooks of the failed call are left"


def test_layers_of_every_kind():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared = nn.Linear(4, 4, bias=False)
            self.frozen = nn.Linear(4, 2).requires_grad_(False)
            self.direct = nn.Linear(4, 4)  # its weight is used, it is not called
            self.scale = nn.Parameter(fastdl.ones(3))
            self.up = nn.ConvTranspose1d(2, 3, 5, groups=1)

        def forward(self, x, *, y):
            x = self.shared(self.shared(x))
            x = F.linear(x, self.direct.weight, self.direct.bias) + y
            return self.frozen(x), {"up": self.up(x[:, None].expand(-1, 2, -1))}

    model = Odd()
    found = summary(model, {"x": fastdl.ones(7, 4), "y": fastdl.ones(4)})
    by_name = {}
    for row in found.layers:
        by_name.setdefault(row.name, []).append(row)
    assert [row.parameters for row in by_name["shared"]] == [16, 0]
    assert [row.mult_adds for row in by_name["shared"]] == [7 * 16, 7 * 16]
    assert by_name["direct"][0].output_shape is None
    assert by_name["frozen"][0].trainable == 0
    assert by_name["up"][0].mult_adds == (7 * 2 * 4) * (3 * 5)
    assert by_name[""][0].output_shape == [(7, 2), (7, 3, 8)]
    assert found.total_parameters == sum(p.numel() for p in model.parameters())
    assert found.trainable_parameters == found.total_parameters - 10
    for text in ("(not called)", "(10)", "10 not"):
        assert text in str(found)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_recurrent_layers(cell):
    """Each element of a sequence meets the weights (gates x 5) of each of 3 inputs and 5 states."""
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[cell]
    layer = getattr(nn, cell)(3, 5)
    step = gates * 5 * (3 + 5)
    assert summary(layer, input_size=(7, 2, 3)).mult_adds == 14 * step
    assert summary(layer, input_size=(7, 3)).mult_adds == 7 * step
    packed = nn.utils.rnn.pack_sequence([fastdl.ones(n, 3) for n in (7, 4, 1)])
    assert summary(layer, (packed,)).mult_adds == 12 * step
    assert summary(getattr(nn, cell + "Cell")(3, 5), input_size=(2, 3)).mult_adds == 2 * step
    both = getattr(nn, cell)(3, 5, num_layers=2, bidirectional=True, batch_first=True)
    found = summary(both, {"hx": None, "input": fastdl.ones(2, 7, 3)})
    assert found.mult_adds == 14 * 2 * (step + gates * 5 * (10 + 5))
    small = summary(nn.LSTM(3, 5, proj_size=2), input_size=(7, 2, 3))
    assert small.mult_adds == 14 * (20 * (3 + 2) + 5 * 2)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("more", [{}, {"kdim": 5, "vdim": 7}, {"add_zero_attn": True}])
def test_attention(batch_first, more):
    """What PyTorch's counter finds."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    inputs = [(2, 6, 8), (2, 9, more.get("kdim", 8)), (2, 9, more.get("vdim", 8))]
    if not batch_first:
        inputs = [(length, n, width) for n, length, width in inputs]
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=batch_first, **more)
    with FlopCounterMode(display=False) as counter:
        theirs(*map(torch.ones, inputs))
    ours = nn.MultiheadAttention(8, 2, batch_first=batch_first, **more)
    found = summary(ours, input_size=inputs)
    assert found.mult_adds == counter.get_total_flops() // 2
    assert [row.name for row in found.layers] == [""]  # out_proj is used, not called
    assert found.total_parameters == sum(p.numel() for p in theirs.parameters())
    query, key, value = map(fastdl.ones, inputs)
    named = {"value": value, "key": key, "query": query}
    assert summary(ours, named).mult_adds == found.mult_adds


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_transformer():
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    sizes = {"num_encoder_layers": 1, "num_decoder_layers": 2, "dim_feedforward": 12}
    inputs = [(5, 2, 8), (4, 2, 8)]
    with FlopCounterMode(display=False) as counter:
        torch.nn.Transformer(8, 2, **sizes)(*map(torch.ones, inputs))
    found = summary(nn.Transformer(8, 2, **sizes), input_size=inputs)
    assert found.mult_adds == counter.get_total_flops() // 2


def test_inputs():
    two = nn.Bilinear(3, 4, 5)
    assert summary(two, input_size=[(2, 3), (2, 4)]).mult_adds == 2 * 5 * 12
    table = nn.Sequential(nn.Embedding(10, 3), nn.LazyLinear(2))
    assert summary(table, input_size=(4, 6), dtype=fastdl.int64).total_parameters == 38
    for wrong in ({}, {"input": fastdl.ones(1), "input_size": (1,)}):
        with pytest.raises(TypeError, match="either input or input_size"):
            summary(two, **wrong)


def test_documentation():
    for module in (sys.modules["fastdl.nn.summary"], folds):
        found = doctest.testmod(module)
        assert found.attempted > 1
        assert found.failed == 0


# ------------------------------------------------------------------------------- cross-validation


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("count", [10, 23])
def test_folds_are_a_partition(count, shuffle):
    sklearn = pytest.importorskip("sklearn.model_selection")
    data = TensorDataset(fastdl.arange(count))
    pairs = list(KFold(5, shuffle=shuffle, seed=3).split(data))
    assert sorted(i for _, valid in pairs for i in valid.indices) == list(range(count))
    theirs = list(sklearn.KFold(5).split(np.zeros(count)))
    for (train, valid), (_, expected) in zip(pairs, theirs, strict=True):
        assert sorted([*train.indices, *valid.indices]) == list(range(count))
        assert len(valid) == len(expected)
        assert shuffle or valid.indices == expected.tolist()
        batch = next(iter(DataLoader(valid, batch_size=count)))
        assert batch[0].tolist() == valid.indices


def test_shuffled_folds_follow_from_the_seed():
    def cut(seed):
        return [valid.indices for _, valid in KFold(4, shuffle=True, seed=seed).split(range(40))]

    first = cut(1)
    state = fastdl.get_rng_state()
    assert cut(1) == first != cut(2)
    assert (fastdl.get_rng_state() == state).all(), "nothing is drawn from the default generator"


@pytest.mark.parametrize("shuffle", [False, True])
def test_stratified_folds(shuffle):
    targets = np.random.default_rng(0).choice(3, 100, p=[0.6, 0.25, 0.15])
    counts = Counter(targets.tolist())
    data = TensorDataset(fastdl.zeros(100, 2), fastdl.tensor(targets))
    pairs = list(StratifiedKFold(4, shuffle=shuffle).split(data))
    assert sorted(i for _, valid in pairs for i in valid.indices) == list(range(100))
    for _, valid in pairs:
        assert len(valid) == 25
        for label, count in Counter(targets[valid.indices].tolist()).items():
            assert count in (counts[label] // 4, -(-counts[label] // 4))

    class Labelled:
        def __init__(self, targets):
            self.targets = targets

        def __len__(self):
            return 100

    expected = [valid.indices for _, valid in pairs]
    again = StratifiedKFold(4, shuffle=shuffle)
    for source in (again.split(Labelled(targets.tolist())), again.split(range(100), targets)):
        assert [valid.indices for _, valid in source] == expected
    samples = [(0, t) for t in targets]
    assert [v.indices for _, v in again.split(samples)] == expected


def test_wrong_folds_are_named():
    for wrong in (1, 2.0, True):
        with pytest.raises(ValueError, match="n_splits"):
            KFold(wrong)
    with pytest.raises(ValueError, match="at least 5 samples"):
        KFold().split(range(4))
    with pytest.raises(ValueError, match="class 1 has 1 samples"):
        StratifiedKFold(2).split(range(4), [0, 0, 0, 1])
    with pytest.raises(ValueError, match="one class for each"):
        StratifiedKFold(2).split(range(4), [0, 0, 1])


# ------------------------------------------------------------------------------------ TensorBoard


def test_the_writer_hands_on_arrays(monkeypatch):
    calls = []

    class Writer:
        def __init__(self, *args, **kwargs):
            calls.append(("init", args, kwargs))
            self.logdir = "here"

        def add_histogram(self, *args, **kwargs):
            calls.append(("histogram", args, kwargs))

        def close(self):
            calls.append(("close",))

    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    with SummaryWriter("runs", comment="x") as writer:
        assert writer.logdir == "here"
        writer.add_histogram("w", fastdl.ones(2, requires_grad=True), global_step=3)
        with pytest.raises(AttributeError):
            writer.add_nothing()
    assert calls[0] == ("init", ("runs",), {"comment": "x"})
    (_, (tag, array), options) = calls[1]
    assert (tag, array.tolist(), options) == ("w", [1, 1], {"global_step": 3})
    assert isinstance(array, np.ndarray)
    assert calls[2] == ("close",)


def test_the_writer_writes(tmp_path):
    pytest.importorskip("tensorboardX")
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("loss", fastdl.tensor(0.5), 1)
        writer.add_image("image", fastdl.zeros(3, 4, 5), 1)
        writer.add_histogram("weights", fastdl.randn(10), 1)
    (file,) = tmp_path.iterdir()
    assert b"weights" in file.read_bytes()


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"fastdl\[tensorboard\]"):
        SummaryWriter()
