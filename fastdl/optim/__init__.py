"""Optimizers and learning-rate schedules."""

from fastdl.optim import lr_scheduler, swa_utils
from fastdl.optim.adadelta import Adadelta
from fastdl.optim.adafactor import Adafactor
from fastdl.optim.adagrad import Adagrad
from fastdl.optim.adam import Adam, AdamW
from fastdl.optim.adamax import Adamax
from fastdl.optim.asgd import ASGD
from fastdl.optim.lbfgs import LBFGS
from fastdl.optim.muon import Muon
from fastdl.optim.nadam import NAdam
from fastdl.optim.optimizer import Optimizer
from fastdl.optim.radam import RAdam
from fastdl.optim.rmsprop import RMSprop
from fastdl.optim.rprop import Rprop
from fastdl.optim.sgd import SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "swa_utils",
]
