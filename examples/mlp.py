"""A multi-layer perceptron tells Fisher's iris flowers apart: SGD with momentum and a schedule.

python examples/mlp.py
"""

import fastdl as torch
from fastdl import nn
from fastdl.datasets import Iris
from fastdl.utils.data import DataLoader

torch.manual_seed(0)
train, test = Iris(train=True), Iris(train=False)

model = nn.Sequential(
    nn.BatchNorm1d(4),  # centimetres come in unscaled
    nn.Linear(4, 32),
    nn.ReLU(),
    nn.Linear(32, 3),
)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=20, gamma=0.1)

for epoch in range(1, 41):
    for flowers, species in DataLoader(train, batch_size=16, shuffle=True):
        optimizer.zero_grad()
        loss = criterion(model(flowers), species)
        loss.backward()
        optimizer.step()
    scheduler.step()
    if epoch % 10 == 0:
        print(f"epoch {epoch}  loss of the last batch {loss.item():.4f}")

model.eval()
with torch.no_grad():
    flowers, species = next(iter(DataLoader(test, batch_size=len(test))))
    guesses = model(flowers).argmax(1)
print(f"test accuracy {(guesses == species).float().mean().item():.4f}")
for truth, name in enumerate(test.classes):
    taken_for = [(guesses[species == truth] == k).sum().item() for k in range(3)]
    print(f"  {name:<10} taken for", dict(zip(test.classes, taken_for)))
