"""A script written for PyTorch runs unchanged with ``import fastdl as torch``.

The same source text is executed twice, with the two imports; the initial weights and the batches
are handed in, so that both must give the same loss curve.
"""

import re

import numpy as np
import pytest

LENET = """
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), (2, 2))
        x = x.view(x.size(0), -1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = LeNet().to(device)
model.load_state_dict({k: torch.tensor(v) for k, v in initial.items()})
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=20, gamma=0.5)
data = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
loader = DataLoader(data, batch_size=16, shuffle=False)

losses = []
model.train()
while len(losses) < 50:
    for inputs, targets in loader:
        inputs, targets = inputs.to(device), targets.to(device)
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())

model.eval()
with torch.no_grad():
    logits = model(torch.from_numpy(images))
    _, predicted = torch.max(logits.data, 1)
    correct = (predicted == torch.from_numpy(labels)).sum().item()
"""

MLP = """
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(
    nn.Flatten(),
    nn.Linear(196, 64), nn.BatchNorm1d(64), nn.ReLU(),
    nn.Linear(64, 32), nn.LayerNorm(32), nn.GELU(),
    nn.Linear(32, 10), nn.LogSoftmax(dim=1),
)
model.load_state_dict({k: torch.tensor(v) for k, v in initial.items()})
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.05)
loss_fn = nn.NLLLoss()
losses = []
for step in range(50):
    start = step * 16 % len(images)
    x = torch.tensor(images[start:start + 16])
    y = torch.tensor(labels[start:start + 16])
    loss = loss_fn(model(x), y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
    optimizer.step()
    losses.append(loss.item())
model.eval()
correct = (model(torch.tensor(images)).argmax(dim=1) == torch.tensor(labels)).float().mean().item()
"""

REGRESSION = """
import torch

w = torch.tensor(initial["w"], requires_grad=True)
b = torch.zeros(1, requires_grad=True)
x = torch.tensor(images).reshape(len(images), -1)
y = torch.tensor(labels).float()
losses = []
for step in range(50):
    loss = ((x @ w + b - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        for p in (w, b):
            p -= 0.01 * p.grad
            p.grad.zero_()
    losses.append(loss.item())
correct = len(losses)
"""


def uniform(rng, *shape):
    bound = 1 / np.sqrt(np.prod(shape[1:]))
    return rng.uniform(-bound, bound, shape).astype("float32")


def lenet_weights(rng):
    shapes = {
        "conv1": (6, 1, 5, 5),
        "conv2": (16, 6, 5, 5),
        "fc1": (120, 400),
        "fc2": (84, 120),
        "fc3": (10, 84),
    }
    weights = {f"{name}.weight": uniform(rng, *shape) for name, shape in shapes.items()}
    biases = {f"{name}.bias": np.zeros(shape[0], "float32") for name, shape in shapes.items()}
    return weights | biases


def mlp_weights(rng):
    initial = {}
    for i, (fan_in, fan_out) in {1: (196, 64), 4: (64, 32), 7: (32, 10)}.items():
        initial[f"{i}.weight"] = uniform(rng, fan_out, fan_in)
        initial[f"{i}.bias"] = np.zeros(fan_out, "float32")
    for i, n in {2: 64, 5: 32}.items():
        initial[f"{i}.weight"], initial[f"{i}.bias"] = np.ones(n, "f"), np.zeros(n, "f")
    initial["2.running_mean"], initial["2.running_var"] = np.zeros(64, "f"), np.ones(64, "f")
    initial["2.num_batches_tracked"] = np.int64(0)
    return initial


def pictures(rng, size):
    """160 noisy pictures of ten patterns of 7 x 7 spots: learnable, and not at once."""
    labels = rng.integers(0, 10, 160)
    patterns = np.kron(rng.standard_normal((10, 1, 7, 7)), np.ones((size // 7, size // 7)))
    images = patterns[labels] + rng.standard_normal((160, 1, size, size)) * 0.5
    return images.astype("float32"), labels.astype("int64")


def run(script, library, **given):
    """Executes the script, with its imports of torch made imports of `library`."""
    text = re.sub(r"^import torch$", f"import {library} as torch", script, flags=re.MULTILINE)
    text = re.sub(r"^(import|from) torch\b", rf"\1 {library}", text, flags=re.MULTILINE)
    names = dict(given, __name__=f"script_for_{library}")
    exec(compile(text, f"<script for {library}>", "exec"), names)
    return names


@pytest.mark.parametrize(
    ("script", "weights", "size"),
    [
        (LENET, lenet_weights, 28),
        (MLP, mlp_weights, 14),
        (REGRESSION, lambda rng: {"w": uniform(rng, 49)}, 7),
    ],
    ids=["lenet", "mlp", "regression"],
)
def test_same_script_same_loss_curve(script, weights, size):
    """To 1e-4 over 50 steps, the project's promise: float32 rounding grows to less here."""
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    initial = weights(rng)
    images, labels = pictures(rng, size)
    ours = run(script, "fastdl", initial=initial, images=images, labels=labels)
    theirs = run(script, "torch", initial=initial, images=images, labels=labels)
    assert len(ours["losses"]) >= 50
    np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=0, atol=1e-4)
    assert ours["losses"][-1] < 0.7 * ours["losses"][0], "it does learn"
    assert ours["correct"] == pytest.approx(theirs["correct"], abs=1 / 160)


def test_training_reaches_its_accuracy_alone():
    """Without PyTorch: the LeNet script learns the pictures by heart."""
    rng = np.random.default_rng(0)
    initial = lenet_weights(rng)
    images, labels = pictures(rng, 28)
    names = run(LENET, "fastdl", initial=initial, images=images, labels=labels)
    assert names["correct"] >= 150, "of 160"


def test_same_seed_same_bits():
    """Two runs from one seed give the same weights, bit for bit."""
    rng = np.random.default_rng(0)
    images, labels = pictures(rng, 28)
    initial = lenet_weights(rng)
    first, second = (
        run(LENET, "fastdl", initial=initial, images=images, labels=labels) for _ in range(2)
    )
    assert first["losses"] == second["losses"]
    for a, b in zip(first["model"].parameters(), second["model"].parameters()):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
