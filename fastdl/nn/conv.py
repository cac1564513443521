"""Convolution layers: Conv2d."""

from __future__ import annotations

import fastdl.nn.functional as F
from fastdl.nn.linear import reset_weight_and_bias
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter
from fastdl.ops.conv import pair
from fastdl.ops.creation import empty
from fastdl.tensor import Tensor

__all__ = ["Conv2d"]


class Conv2d(Module):
    """2-d cross-correlation: (N, C, H, W) or (C, H, W) -> (N, K, OH, OW) or (K, OH, OW).

    Args:
        in_channels, out_channels: C and K.
        kernel_size, stride, padding, dilation: an int, or a pair (vertical, horizontal). `padding`
            may be ``"valid"`` (none) or ``"same"`` (OH = H, OW = W, stride 1 only).
        groups: channels are split into so many independent convolutions.
        bias: whether to add a learned bias to each output channel.
        padding_mode: ``"zeros"``.

    ``weight``: (K, C / groups, kernel height, kernel width) and ``bias``: (K,) start from
    U(-k, k), k = 1 / sqrt(C / groups * kernel height * kernel width).

    Raises:
        ValueError: groups divides not both channel counts, or a padding is unknown.
    """

    def __init__(
        self,
        in_channels: int,
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
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = pair(kernel_size, "Conv2d", "kernel_size")
        self.stride = pair(stride, "Conv2d", "stride")
        self.dilation = pair(dilation, "Conv2d", "dilation")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(
                    f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}"
                )
            if padding == "same" and self.stride != (1, 1):
                raise ValueError("padding='same' is not supported for strided convolutions")
            self.padding = padding
        else:
            self.padding = pair(padding, "Conv2d", "padding")
        if padding_mode != "zeros":
            raise ValueError(f"Conv2d: padding_mode must be 'zeros', but got {padding_mode!r}")
        self.groups = groups
        self.padding_mode = padding_mode
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws fresh initial values."""
        reset_weight_and_bias(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text
