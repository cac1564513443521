"""The functions behind the layers, under PyTorch's names: ``import fastdl.nn.functional as F``.

Convolution, pooling, normalisation, activations and losses are defined in ``fastdl.ops``; here
they get PyTorch's argument lists where those differ, and embedding is added.
"""

from __future__ import annotations

import numpy as np

from fastdl import backends
from fastdl._engine import tensor_of
from fastdl.ops import activation as _activation
from fastdl.ops import piecewise as _piecewise
from fastdl.ops.activation import (
    gelu,
    glu,
    gumbel_softmax,
    log_softmax,
    logsigmoid,
    softmax,
    softmin,
    softplus,
    softsign,
    tanhshrink,
)
from fastdl.ops.attention import scaled_dot_product_attention
from fastdl.ops.conv import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from fastdl.ops.core import tensor_argument
from fastdl.ops.ctc import ctc_loss
from fastdl.ops.distance import cosine_similarity, pairwise_distance, pdist
from fastdl.ops.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from fastdl.ops.elementwise import sigmoid, tanh
from fastdl.ops.embedding import embedding, embedding_bag
from fastdl.ops.fold import fold, unfold
from fastdl.ops.fractional import fractional_max_pool2d, fractional_max_pool3d
from fastdl.ops.grid import affine_grid, grid_sample
from fastdl.ops.join import pad
from fastdl.ops.likelihood import gaussian_nll_loss, poisson_nll_loss
from fastdl.ops.linear import bilinear, linear
from fastdl.ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    linear_cross_entropy,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from fastdl.ops.margin import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from fastdl.ops.multihead import multi_head_attention_forward
from fastdl.ops.norm import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)
from fastdl.ops.piecewise import hardshrink, prelu, softshrink
from fastdl.ops.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from fastdl.ops.resample import interpolate, upsample, upsample_bilinear, upsample_nearest
from fastdl.ops.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "affine_grid",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "celu_",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "elu_",
    "embedding",
    "embedding_bag",
    "feature_alpha_dropout",
    "fold",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "grid_sample",
    "group_norm",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "leaky_relu_",
    "linear",
    "linear_cross_entropy",
    "local_response_norm",
    "log_softmax",
    "logsigmoid",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "mish",
    "mse_loss",
    "multi_head_attention_forward",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "pdist",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu6",
    "relu_",
    "rms_norm",
    "rrelu",
    "rrelu_",
    "scaled_dot_product_attention",
    "selu",
    "selu_",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "threshold_",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "unfold",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]


def relu(input, inplace=False):
    """max(0, x)."""
    if tensor_argument("relu", "input", input).array.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return _activation.relu.inplace(input) if inplace else _activation.relu(input)


def relu_(input):
    """max(0, x), in place."""
    return relu(input, inplace=True)


def _perhaps_in_place(name, function, input, inplace):
    """function(input), written over `input` if asked; the gradient needs the old values, so what is
    recorded then is a copy."""
    tensor_argument(name, "input", input)
    return input.copy_(function(input.clone())) if inplace else function(input)


def leaky_relu(input, negative_slope=0.01, inplace=False):
    """x where positive, negative_slope * x elsewhere."""
    return _perhaps_in_place(
        "leaky_relu", lambda x: _activation.leaky_relu(x, negative_slope), input, inplace
    )


def elu(input, alpha=1.0, inplace=False):
    """x where positive, alpha * (exp(x) - 1) elsewhere."""
    return _perhaps_in_place("elu", lambda x: _activation.elu(x, alpha), input, inplace)


def silu(input, inplace=False):
    """x * sigmoid(x)."""
    return _perhaps_in_place("silu", _activation.silu, input, inplace)


def mish(input, inplace=False):
    """x * tanh(softplus(x)). Misra 2019."""
    return _perhaps_in_place("mish", _activation.mish, input, inplace)


def selu(input, inplace=False):
    """scale * elu(x, alpha) with alpha 1.6733, scale 1.0507. Klambauer et al. 2017."""
    return _perhaps_in_place("selu", _activation.selu, input, inplace)


def celu(input, alpha=1.0, inplace=False):
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)). Barron 2017."""
    return _perhaps_in_place("celu", lambda x: _activation.celu(x, alpha), input, inplace)


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """`input` held between `min_val` and `max_val`."""
    return _perhaps_in_place(
        "hardtanh", lambda x: _piecewise.hardtanh(x, min_val, max_val), input, inplace
    )


def relu6(input, inplace=False):
    """`input` held between 0 and 6."""
    return _perhaps_in_place("relu6", _piecewise.relu6, input, inplace)


def hardsigmoid(input, inplace=False):
    """x / 6 + 1/2 held between 0 and 1."""
    return _perhaps_in_place("hardsigmoid", _piecewise.hardsigmoid, input, inplace)


def hardswish(input, inplace=False):
    """x * hardsigmoid(x). Howard et al. 2019."""
    return _perhaps_in_place("hardswish", _piecewise.hardswish, input, inplace)


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False):
    """x where positive, else x times a slope: random in [lower, upper) in training, else their
    mean. Xu et al. 2015."""
    return _perhaps_in_place(
        "rrelu", lambda x: _piecewise.rrelu(x, lower, upper, training), input, inplace
    )


def threshold(input, threshold, value, inplace=False):
    """x where x > threshold, else `value`."""
    return _perhaps_in_place(
        "threshold", lambda x: _piecewise.threshold(x, threshold, value), input, inplace
    )


def threshold_(input, threshold, value):
    """:func:`threshold` in place."""
    return _perhaps_in_place(
        "threshold_", lambda x: _piecewise.threshold(x, threshold, value), input, True
    )


def leaky_relu_(input, negative_slope=0.01):
    """:func:`leaky_relu` in place."""
    return leaky_relu(input, negative_slope, inplace=True)


def elu_(input, alpha=1.0):
    """:func:`elu` in place."""
    return elu(input, alpha, inplace=True)


def selu_(input):
    """:func:`selu` in place."""
    return selu(input, inplace=True)


def celu_(input, alpha=1.0):
    """:func:`celu` in place."""
    return celu(input, alpha, inplace=True)


def hardtanh_(input, min_val=-1.0, max_val=1.0):
    """:func:`hardtanh` in place."""
    return hardtanh(input, min_val, max_val, inplace=True)


def rrelu_(input, lower=1.0 / 8, upper=1.0 / 3, training=False):
    """:func:`rrelu` in place."""
    return rrelu(input, lower, upper, training, inplace=True)


def one_hot(tensor, num_classes=-1):
    """Integers (*) -> (*, num_classes), int64: 1 at each integer's place, 0 elsewhere.

    `num_classes` is one more than the largest integer unless given.

    Raises:
        RuntimeError: the tensor holds no int64, or is empty without `num_classes`, or a value lies
            outside [0, num_classes).
    """
    index = tensor.array
    if index.dtype != np.int64:
        raise RuntimeError(
            f"one_hot is only applicable to index tensor of int64, got {index.dtype}"
        )
    if num_classes == -1:
        if index.size == 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        num_classes = int(index.max()) + 1
    if num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    if not backends.of(index).within(index, 0, num_classes):
        raise RuntimeError(f"one_hot: class values must lie in [0, {num_classes})")
    made = np.zeros(index.size * num_classes, np.int64)
    made[np.arange(0, made.size, num_classes) + index.reshape(-1)] = 1
    return tensor_of(made.reshape(*index.shape, num_classes))


def normalize(input, p=2.0, dim=1, eps=1e-12):
    """`input` divided by its p-norm along `dim`, or by `eps` where the norm is smaller."""
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)
