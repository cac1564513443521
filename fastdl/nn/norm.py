"""Normalisation layers: BatchNorm1d, BatchNorm2d, LayerNorm."""

from __future__ import annotations

import fastdl.nn.functional as F
from fastdl.nn import init
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter
from fastdl.ops.creation import empty, ones, tensor, zeros
from fastdl.tensor import Tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "LayerNorm"]


def add_affine_parameters(module: Module, shape, weight: bool, bias: bool, like: dict) -> None:
    """Registers ``weight`` and ``bias`` of `shape`, or None where not wanted."""
    module.register_parameter("weight", Parameter(empty(shape, **like)) if weight else None)
    module.register_parameter("bias", Parameter(empty(shape, **like)) if bias else None)


def reset_affine_parameters(module: Module) -> None:
    """Sets the weight to 1 and the bias to 0."""
    if module.weight is not None:
        init.ones_(module.weight)
    if module.bias is not None:
        init.zeros_(module.bias)


class BatchNorm(Module):
    """Batch normalisation (Ioffe & Szegedy 2015) over all dimensions but the second, the channels.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics; None keeps their plain
            average.
        affine: whether to learn ``weight`` and ``bias``, both (C,), starting from 1 and 0.
        track_running_stats: whether to keep ``running_mean``, ``running_var`` (unbiased) and
            ``num_batches_tracked`` and to normalise by them in evaluation.
        bias: whether ``bias`` exists when affine.

    Raises:
        ValueError: the input has a number of dimensions that the class does not take, or in
            training offers one value per channel only.
    """

    input_dims: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        like = {"device": device, "dtype": dtype}
        add_affine_parameters(self, num_features, affine, affine and bias, like)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **like) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **like) if tracked else None)
        self.register_buffer("num_batches_tracked", tensor(0) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forgets the running statistics."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Forgets the running statistics, sets the weight to 1 and the bias to 0."""
        self.reset_running_stats()
        reset_affine_parameters(self)

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in self.input_dims:
            expected = " or ".join(f"{d}D" for d in self.input_dims)
            raise ValueError(f"expected {expected} input (got {input.dim()}D input)")
        momentum = self.momentum
        if self.training and self.track_running_stats:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / self.num_batches_tracked.item()
        by_batch = self.training or self.running_mean is None
        update = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if update else None,
            self.running_var if update else None,
            self.weight,
            self.bias,
            by_batch,
            0.0 if momentum is None else momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L); arguments as in :class:`BatchNorm`."""

    input_dims = (2, 3)


class BatchNorm2d(BatchNorm):
    """Batch normalisation of (N, C, H, W); arguments as in :class:`BatchNorm`."""

    input_dims = (4,)


class LayerNorm(Module):
    """Normalises over the trailing dimensions `normalized_shape` (Ba et al. 2016).

    Args:
        normalized_shape: an int or a tuple: the trailing dimensions of the input.
        eps: added to the (biased) variance.
        elementwise_affine: whether to learn ``weight`` and ``bias`` of that shape, from 1 and 0.
        bias: whether ``bias`` exists when affine.
    """

    def __init__(
        self,
        normalized_shape,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        like = {"device": device, "dtype": dtype}
        affine = elementwise_affine
        add_affine_parameters(self, self.normalized_shape, affine, affine and bias, like)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weight to 1 and the bias to 0."""
        reset_affine_parameters(self)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )
