"""A training that `test_train.py` runs in a process of its own, and kills.

python killed_training.py FOLDER VARIANT
"""

import random
import sys
from pathlib import Path

import fastdl
from fastdl import metrics, nn, optim
from fastdl.optim import lr_scheduler
from fastdl.train import Callback, Checkpoint, CSVLog, EarlyStopping, Trainer
from fastdl.utils.data import DataLoader, Dataset, Subset

EPOCHS = 4


class Noisy(Dataset):
    """Samples that come out differently each time, by all generators that a program may use."""

    def __init__(self, python):
        self.python = python
        self.x = fastdl.randn(90, 6, generator=fastdl.Generator().manual_seed(1))
        self.y = (self.x[:, :3].sum(1) > 0).long()

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        x = self.x[i] + 0.3 * fastdl.randn(6)
        return (x * random.choice([1.0, 0.9]) if self.python else x), self.y[i]


class Report(Callback):
    """A line for each step, so that the other process can tell how far this one is."""

    goes_last = True

    def on_step_end(self, trainer):
        print(trainer.step, flush=True)

    def on_epoch_end(self, trainer):
        print("epoch", flush=True)


def main():
    folder, variant = Path(sys.argv[1]), sys.argv[2]
    fastdl.manual_seed(0)
    random.seed(0)
    model = nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
    )
    if variant == "steps":
        optimizer = optim.Adam(model.parameters(), lr=0.01, amsgrad=True)
        scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=0.03, total_steps=EPOCHS * 9)
        options = {"scheduler_interval": "step", "clip_grad_norm": 0.5}
        every = {"every_steps": 2}
    else:
        optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        options = {}
        every = {"every_steps": 5, "every_epochs": 2, "best_path": folder / "best.safetensors"}
    data = Noisy(python=variant == "steps")
    generator = fastdl.Generator().manual_seed(5)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        scheduler=scheduler,
        metrics={"accuracy": metrics.Accuracy(), "auc": metrics.ROCAUC(average=None)},
        callbacks=[
            Checkpoint(folder / "last", **every),
            EarlyStopping(patience=3, restore_best=variant == "epochs"),
            CSVLog(folder / "log.csv"),
            Report(),
        ],
        **options,
    )
    train = DataLoader(
        Subset(data, range(70)),
        batch_size=8,
        shuffle=True,
        num_workers=0 if variant == "steps" else 2,
        generator=None if variant == "steps" else generator,
    )
    valid = DataLoader(Subset(data, range(70, 90)), batch_size=8)
    trainer.fit(train, EPOCHS, valid, resume=folder / "last")
    fastdl.save(
        {"weights": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / "final"
    )


if __name__ == "__main__":
    main()
