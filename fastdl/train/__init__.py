"""A training loop for those who do not want to write one: optional, small, exactly resumable.

>>> import fastdl
>>> from fastdl import metrics, nn, optim
>>> from fastdl.train import Trainer
>>> from fastdl.utils.data import DataLoader, TensorDataset
>>> _ = fastdl.manual_seed(0)
>>> x = fastdl.randn(64, 2)
>>> data = TensorDataset(x, (x.sum(1) > 0).long())
>>> model = nn.Linear(2, 2)
>>> trainer = Trainer(
...     model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.1),
...     metrics={"accuracy": metrics.Accuracy()},
... )
>>> history = trainer.fit(DataLoader(data, batch_size=16, shuffle=True), epochs=20)
>>> history[-1]["accuracy"] > 0.9
True
>>> sorted(history[-1])
['accuracy', 'epoch', 'loss', 'lr']

The callbacks save, stop, show and draw: :class:`Checkpoint`, :class:`EarlyStopping`,
:class:`ProgressBar`, :class:`CSVLog`, :class:`LearningCurves`, :class:`TensorBoardLog`.
"""

from fastdl.train.callbacks import (
    Callback,
    Checkpoint,
    CSVLog,
    EarlyStopping,
    LearningCurves,
    ProgressBar,
    TensorBoardLog,
)
from fastdl.train.trainer import Trainer

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "LearningCurves",
    "ProgressBar",
    "TensorBoardLog",
    "Trainer",
]
