"""LeNet reads handwritten digits: a PyTorch program whose imports say fastdl.

python examples/lenet.py                 the digits shipped with fastdl, 8x8 pixels
python examples/lenet.py FOLDER          MNIST, from its files in FOLDER (downloaded if missing)
"""

import sys

import numpy as np

import fastdl as torch
from fastdl import nn, optim
from fastdl.datasets import MNIST, Digits
from fastdl.nn import functional as F
from fastdl.utils.data import DataLoader


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):  # (N, 1, 28, 28)
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (N, 6, 14, 14)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (N, 16, 5, 5)
        x = torch.flatten(x, 1)  # (N, 400)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)  # (N, 10): logits


def enlarge(image):
    """(8, 8) pixels of 0 to 16 -> Tensor (1, 28, 28): each pixel a block of 3x3, a border of 2."""
    blocks = np.kron(image / np.float32(16), np.ones((3, 3), np.float32))
    return torch.tensor(np.pad(blocks, 2)[None])


def train(model, loader, optimizer):
    model.train()
    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(loader.dataset)


@torch.no_grad()
def test(model, loader):
    model.eval()
    right = 0
    for images, labels in loader:
        right += (model(images).argmax(dim=1) == labels).sum().item()
    return right / len(loader.dataset)


def main():
    torch.manual_seed(0)
    if len(sys.argv) > 1:
        sets = [MNIST(sys.argv[1], train=part, download=True) for part in (True, False)]
        epochs = 2
    else:
        sets = [Digits(train=part, transform=enlarge) for part in (True, False)]
        epochs = 10
    train_loader = DataLoader(sets[0], batch_size=64, shuffle=True)
    test_loader = DataLoader(sets[1], batch_size=256)
    model = LeNet()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, epochs + 1):
        loss = train(model, train_loader, optimizer)
        accuracy = test(model, test_loader)
        print(f"epoch {epoch:2}  loss {loss:.4f}  test accuracy {accuracy:.4f}")
    torch.save(model.state_dict(), "lenet.safetensors")


if __name__ == "__main__":
    main()
