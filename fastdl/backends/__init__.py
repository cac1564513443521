"""Where the hot functions run: ``of(array)`` gives the flat module of functions for its device.

Ordinary ops call ``numpy.*``. The functions named in VOCABULARY have kernels of their own; every
backend module defines each of them with the signature that ``fastdl.backends.cpu`` documents.
"""

import numpy as np

from fastdl.backends import cpu, cuda, cudnn, mps

__all__ = ["VOCABULARY", "cuda", "cudnn", "mps", "of"]

VOCABULARY = (
    "matmul",
    "einsum",
    "linear",
    "attention",
    "attention_backward",
    "attention_factors",
    "recurrence",
    "recurrence_backward",
    "conv2d",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "channel_sum",
    "max_pool2d",
    "max_pool2d_scatter",
    "max_pool2d_gather",
    "max_pool2d_positions",
    "avg_pool2d",
    "avg_pool2d_backward",
    "adaptive_max_pool2d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "plane_gather",
    "plane_scatter",
    "select",
    "masked_fill",
    "power",
    "softmax",
    "softmax_backward",
    "log_softmax",
    "log_softmax_backward",
    "cross_entropy",
    "soft_cross_entropy",
    "nll",
    "nll_backward",
    "ctc_loss",
    "map_sum",
    "copy",
    "copy_into",
    "concatenate",
    "stack",
    "pad",
    "gather",
    "scatter_add",
    "within",
    "fill",
    "reduce",
    "logsumexp",
    "extreme",
    "variance",
    "scan",
    "random_uniform",
    "random_normal",
    "random_exponential",
    "random_bernoulli",
    "random_integers",
    "random_permutation",
    "dropout",
    "batch_norm",
    "batch_norm_fixed",
    "batch_norm_backward",
    "row_norm",
    "row_norm_backward",
    "gather_rows",
    "scatter_rows",
    "sgd_step",
    "adam_step",
    "nadam_step",
    "radam_step",
    "adamax_step",
    "rmsprop_step",
    "adagrad_step",
    "adadelta_step",
    "sum_squares",
    "scale",
    "clamp",
)


def of(array):
    """The backend module that computes on `array`.

    Raises:
        TypeError: no backend takes arrays of this type.
    """
    if type(array) is np.ndarray or isinstance(array, (np.ndarray, np.generic)):
        return cpu  # the exact type first: it is nearly always that
    raise TypeError(f"no backend computes on {type(array).__name__}; expected a NumPy array")
