"""Layers that learn how many inputs they have from the first batch: LazyLinear and its like.

Until then their parameters are UninitializedParameters: objects that optimizers and ``to`` already
hold, without values. The first call makes the layer anew, with the number found, and moves its
initial values into them; from then on the object is an ordinary Linear, Conv2d, ...
"""

from __future__ import annotations

from fastdl.nn.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from fastdl.nn.linear import Linear
from fastdl.nn.module import Module
from fastdl.nn.norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from fastdl.nn.parameter import UninitializedParameter
from fastdl.tensor import Tensor

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
    "LazyLinear",
]


class _Lazy(Module):
    """What all share; a subclass names the layer it becomes after it among its bases."""

    cls_to_become: type[Module]
    counted: str  # the attribute with the number of inputs

    def _defer(self, *args, **kwargs) -> None:
        """As the constructor of the layer, but for its first argument, the number of inputs."""
        self.__dict__["_deferred"] = args, kwargs
        self.cls_to_become.__init__(self, 0, *args, **kwargs)
        for name, parameter in self._parameters.items():
            if parameter is not None:
                setattr(self, name, UninitializedParameter(dtype=parameter.dtype))
        self.__dict__["_initializer"] = self.register_forward_pre_hook(_initialize)

    def reset_parameters(self) -> None:
        """Draws fresh initial values, if there are any yet."""
        if getattr(self, self.counted) != 0:
            super().reset_parameters()

    def has_uninitialized_params(self) -> bool:
        """Are there parameters without values?"""
        return any(isinstance(p, UninitializedParameter) for p in self._parameters.values())

    def inputs_of(self, input: Tensor) -> int:
        """How many inputs a batch says that there are: its channels."""
        return input.shape[1]

    def initialize_parameters(self, input: Tensor) -> None:
        """Gives the parameters and buffers the sizes for `input`, and initial values."""
        count = self.inputs_of(input)
        args, kwargs = self._deferred
        made = self.cls_to_become(count, *args, **kwargs)
        if self.has_uninitialized_params():
            for name, parameter in made._parameters.items():
                if isinstance(own := getattr(self, name), UninitializedParameter):
                    own.materialize(parameter.shape)
                    own.array[...] = parameter.array
        for name, buffer in made._buffers.items():
            if buffer is not None and getattr(self, name).shape != buffer.shape:
                setattr(self, name, buffer)
        setattr(self, self.counted, count)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        for name, own in self._parameters.items():
            value = state_dict.get(prefix + name)
            if isinstance(own, UninitializedParameter) and value is not None:
                own.materialize(tuple(value.shape))
        for name, own in self._buffers.items():
            value = state_dict.get(prefix + name)
            if own is not None and value is not None and own.numel() == 0:
                setattr(self, name, own.new_empty(tuple(value.shape)))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _initialize(module: _Lazy, args: tuple) -> None:
    """Before the first forward: the module becomes the layer that it stands for."""
    module.initialize_parameters(*args)
    module.__dict__.pop("_initializer").remove()
    module.__dict__.pop("_deferred")
    module.__class__ = module.cls_to_become


class LazyLinear(_Lazy, Linear):
    """Linear with `in_features` from the last dimension of the first input."""

    cls_to_become = Linear
    counted = "in_features"

    def __init__(self, out_features: int, bias: bool = True, device=None, dtype=None) -> None:
        self._defer(out_features, bias, device, dtype)

    def inputs_of(self, input: Tensor) -> int:
        return input.shape[-1]


class _LazyConv(_Lazy):
    counted = "in_channels"
    dims: int

    def __init__(
        self,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ) -> None:
        self._defer(
            out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
            device, dtype,
        )  # fmt: skip

    def inputs_of(self, input: Tensor) -> int:
        if input.ndim not in (self.dims + 1, self.dims + 2):
            raise RuntimeError(
                f"Expected {self.dims + 1}D (unbatched) or {self.dims + 2}D (batched) input to "
                f"{type(self).__name__}, but got input of size: {tuple(input.shape)}"
            )
        return input.shape[-self.dims - 1]


class _LazyConvTranspose(_LazyConv):
    def __init__(
        self,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups: int = 1,
        bias: bool = True,
        dilation=1,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ) -> None:
        self._defer(
            out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation,
            padding_mode, device, dtype,
        )  # fmt: skip


class _LazyNorm(_Lazy):
    counted = "num_features"

    def inputs_of(self, input: Tensor) -> int:
        self.check_dims(input)
        # An instance norm's input without a batch dimension begins with the channels.
        unbatched = self.cls_to_become.__name__.startswith("Instance") and input.ndim == min(
            self.input_dims
        )
        return input.shape[0] if unbatched else input.shape[1]

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ) -> None:
        self._defer(eps, momentum, affine, track_running_stats, device, dtype, bias=bias)


class LazyConv1d(_LazyConv, Conv1d):
    """Conv1d with `in_channels` from the first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """Conv2d with `in_channels` from the first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """Conv3d with `in_channels` from the first input."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """ConvTranspose1d with `in_channels` from the first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """ConvTranspose2d with `in_channels` from the first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """ConvTranspose3d with `in_channels` from the first input."""

    cls_to_become = ConvTranspose3d


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """BatchNorm1d with `num_features` from the first input."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """BatchNorm2d with `num_features` from the first input."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """BatchNorm3d with `num_features` from the first input."""

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """InstanceNorm1d with `num_features` from the first input."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """InstanceNorm2d with `num_features` from the first input."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """InstanceNorm3d with `num_features` from the first input."""

    cls_to_become = InstanceNorm3d
