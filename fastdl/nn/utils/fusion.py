"""Batch norm in evaluation folded into the convolution or linear layer before it.

There batch norm is one factor and one summand per channel, which the layer before can apply at no
cost: weight * factor, bias * factor + summand.
"""

from __future__ import annotations

import copy

from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter
from fastdl.tensor import Tensor

__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]


def _scale_and_shift(bias, mean, var, eps, bn_weight, bn_bias):
    """The factor of the weight and the new bias, both (channels,)."""
    scale = (var + eps) ** -0.5
    if bn_weight is not None:
        scale = scale * bn_weight
    shift = -mean if bias is None else bias - mean
    shift = shift * scale
    return scale, shift if bn_bias is None else shift + bn_bias


def _parameter(value: Tensor, like: Tensor | None) -> Parameter:
    return Parameter(value.detach(), requires_grad=like is None or like.requires_grad)


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """The weight and bias of a convolution that includes the batch norm after it.

    Args:
        conv_w, conv_b: its weight, (K, C / groups, ...) or with `transpose` (C, K / groups, ...),
            and bias (K,) or None.
        bn_rm, bn_rv, bn_eps, bn_w, bn_b: running mean and variance (K,), eps, and weight and bias
            (K,) or None of the batch norm.
    """
    scale, bias = _scale_and_shift(conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    ones = (1,) * (conv_w.ndim - 2)
    if transpose:  # (C, K / groups, ...): the output channels of a group stand beside each other
        per_group = conv_w.shape[1]
        groups = scale.numel() // per_group
        inner = conv_w.shape[2:]
        weight = conv_w.reshape(groups, -1, per_group, *inner) * scale.reshape(
            groups, 1, per_group, *ones
        )
        weight = weight.reshape(conv_w.shape)
    else:
        weight = conv_w * scale.reshape(-1, 1, *ones)
    return _parameter(weight, conv_w), _parameter(bias, conv_b)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """The weight and bias of a linear layer that includes the batch norm after it; arguments as in
    :func:`fuse_conv_bn_weights`."""
    scale, bias = _scale_and_shift(linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    return _parameter(linear_w * scale.unsqueeze(1), linear_w), _parameter(bias, linear_b)


def _check(layer: Module, bn: Module) -> None:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("expected bn.running_mean and bn.running_var to be not None")


def fuse_conv_bn_eval(conv: Module, bn: Module, transpose: bool = False) -> Module:
    """A copy of the convolution `conv` that does what `conv` and then the batch norm `bn` do.

    Args:
        conv, bn: both in evaluation.
        transpose: whether `conv` is a transposed convolution.

    Raises:
        AssertionError: one is in training, or `bn` keeps no running statistics.
    """
    _check(conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight,
        fused.bias,
        bn.running_mean,
        bn.running_var,
        bn.eps,
        bn.weight,
        bn.bias,
        transpose,
    )
    return fused


def fuse_linear_bn_eval(linear: Module, bn: Module) -> Module:
    """A copy of the layer `linear` that does what `linear` and then the batch norm `bn` do;
    arguments and errors as in :func:`fuse_conv_bn_eval`.

    Raises:
        AssertionError: also where `bn` has another number of channels than `linear` gives, and
            more than one.
    """
    _check(linear, bn)
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1"
        )
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused
