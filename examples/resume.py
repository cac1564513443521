"""A small network reads handwritten digits; kill it at any moment, and start it again.

python examples/resume.py          trains, saves digits.checkpoint all the time, goes on from it

However often it was interrupted, it ends with the same weights, bit for bit.
"""

import fastdl as torch
from fastdl import metrics, nn
from fastdl.datasets import Digits
from fastdl.train import Checkpoint, CSVLog, EarlyStopping, ProgressBar, Trainer
from fastdl.utils.data import DataLoader

torch.manual_seed(0)
train, test = Digits(train=True), Digits(train=False)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(256, 64),
    nn.ReLU(),
    nn.Dropout(0.2),
    nn.Linear(64, 10),
)
print(model.summary(input_size=(1, 1, 8, 8)))

optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
trainer = Trainer(
    model,
    nn.CrossEntropyLoss(),
    optimizer,
    scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 15),
    metrics={"accuracy": metrics.Accuracy()},
    callbacks=[
        ProgressBar(),
        CSVLog("digits.csv"),
        EarlyStopping("valid_accuracy", mode="max", patience=5),
        Checkpoint("digits.checkpoint", every_steps=10),
    ],
)
test_loader = DataLoader(test, batch_size=256)
trainer.fit(
    DataLoader(train, batch_size=64, shuffle=True),
    15,
    test_loader,
    resume="digits.checkpoint",  # unless there is none yet
)

guesses = trainer.predict(test_loader)
digits = torch.tensor([digit for _, digit in test])
print(f"test accuracy {metrics.accuracy(guesses, digits):.4f}")
print(metrics.confusion_matrix(guesses, digits))
