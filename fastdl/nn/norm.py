"""Normalisation layers: batch, instance, layer, group, RMS and local response norm."""

from __future__ import annotations

import warnings

import fastdl.nn.functional as F
from fastdl.nn import init
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter
from fastdl.ops.creation import empty, ones, tensor, zeros
from fastdl.tensor import Tensor

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
    "SyncBatchNorm",
]


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


class _ChannelNorm(Module):
    """What batch and instance norm share: parameters and running statistics of C channels."""

    _version = 2
    input_dims: tuple[int, ...] = ()  # numbers of dimensions that the class takes

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

    def check_dims(self, input: Tensor) -> None:
        """ValueError unless the class takes inputs of as many dimensions."""
        if input.dim() not in self.input_dims:
            expected = " or ".join(f"{d}D" for d in self.input_dims)
            raise ValueError(f"expected {expected} input (got {input.dim()}D input)")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm(_ChannelNorm):
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

    def forward(self, input: Tensor) -> Tensor:
        self.check_dims(input)
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


class BatchNorm1d(BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L); arguments as in :class:`BatchNorm`."""

    input_dims = (2, 3)


class BatchNorm2d(BatchNorm):
    """Batch normalisation of (N, C, H, W); arguments as in :class:`BatchNorm`."""

    input_dims = (4,)


class BatchNorm3d(BatchNorm):
    """Batch normalisation of (N, C, D, H, W); arguments as in :class:`BatchNorm`."""

    input_dims = (5,)


class SyncBatchNorm(BatchNorm):
    """Batch normalisation of (N, C, ...) over the batches of all processes, of which there is one
    here; arguments as in :class:`BatchNorm`. `process_group` is kept, without effect."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group=None,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def check_dims(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected at least 2D input (got {input.ndim}D input)")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group=None) -> Module:
        """`module` with a SyncBatchNorm, which has the same parameters and statistics, in place of
        every batch normalisation."""
        converted = module
        if isinstance(module, BatchNorm):
            converted = SyncBatchNorm(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
                bias=module.bias is not None,
            )
            for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                setattr(converted, name, getattr(module, name))
            converted.training = module.training
        for name, child in module.named_children():
            converted.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return converted


class InstanceNorm(_ChannelNorm):
    """Normalises each channel of each sample (Ulyanov et al. 2016).

    Args:
        num_features: C, the number of channels.
        eps: added to the (biased) variance.
        momentum: weight of the newest batch in the running statistics.
        affine: whether to learn ``weight`` and ``bias``, both (C,), starting from 1 and 0.
        track_running_stats: whether to keep ``running_mean`` and ``running_var`` and to normalise
            by them in evaluation.
        bias: whether ``bias`` exists when affine.

    Raises:
        ValueError: the input has a number of dimensions that the class does not take, another
            number of channels (when affine), or one value per channel and sample only.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        self.check_dims(input)
        unbatched = input.dim() == self.input_dims[0]
        channels = input.shape[0 if unbatched else 1]
        if channels != self.num_features:
            where = f"input's size at dim={0 if unbatched else 1}"
            if self.affine:
                raise ValueError(
                    f"expected {where} to match num_features ({self.num_features}), but got: "
                    f"{channels}."
                )
            warnings.warn(
                f"{where} does not match num_features. You can silence this warning by not passing "
                "in num_features, which is not used because affine=False",
                stacklevel=2,
            )
        y = F.instance_norm(
            input.unsqueeze(0) if unbatched else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y.squeeze(0) if unbatched else y


class InstanceNorm1d(InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L); arguments as in :class:`InstanceNorm`."""

    input_dims = (2, 3)


class InstanceNorm2d(InstanceNorm):
    """Instance normalisation of (N, C, H, W) or (C, H, W); arguments as in
    :class:`InstanceNorm`."""

    input_dims = (3, 4)


class InstanceNorm3d(InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W); arguments as in
    :class:`InstanceNorm`."""

    input_dims = (4, 5)


class GroupNorm(Module):
    """Normalises each of `num_groups` groups of channels of each sample (Wu & He 2018).

    Args:
        num_groups: how many groups the channels form.
        num_channels: C of inputs (N, C, ...).
        eps: added to the (biased) variance.
        affine: whether to learn ``weight`` and ``bias``, both (C,), starting from 1 and 0.
        bias: whether ``bias`` exists when affine.

    Raises:
        ValueError: `num_groups` does not divide `num_channels`.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        like = {"device": device, "dtype": dtype}
        add_affine_parameters(self, num_channels, affine, affine and bias, like)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weight to 1 and the bias to 0."""
        reset_affine_parameters(self)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


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


class RMSNorm(Module):
    """Divides by the root of the mean square over the trailing dimensions `normalized_shape`
    (Zhang & Sennrich 2019).

    Args:
        normalized_shape: an int or a tuple: the trailing dimensions of the input.
        eps: added to the mean square; None is the dtype's smallest step at 1.
        elementwise_affine: whether to learn ``weight`` of that shape, from 1.
    """

    def __init__(
        self,
        normalized_shape,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = empty(self.normalized_shape, device=device, dtype=dtype)
        self.register_parameter("weight", Parameter(weight) if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets the weight to 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LocalResponseNorm(Module):
    """Divides by a power of the mean square over `size` neighbouring channels, see
    :func:`F.local_response_norm`."""

    def __init__(
        self, size: int, alpha: float = 0.0001, beta: float = 0.75, k: float = 1.0
    ) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


# PyTorch's names, for programs that ask what kind a layer is.
_BatchNorm, _InstanceNorm = BatchNorm, InstanceNorm
