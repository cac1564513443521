"""Convolution layers: Conv1d, Conv2d, Conv3d and their transposes."""

from __future__ import annotations

import fastdl.nn.functional as F
from fastdl.nn.linear import reset_weight_and_bias
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter
from fastdl.ops.conv import int_tuple
from fastdl.ops.creation import empty
from fastdl.tensor import Tensor

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all have in common: arguments, parameters, initial values, repr."""

    dims: int

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        dilation,
        transposed,
        output_padding,
        groups,
        bias,
        padding_mode,
        device,
        dtype,
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
        self.kernel_size = self.sizes(kernel_size, "kernel_size")
        self.stride = self.sizes(stride, "stride")
        self.dilation = self.sizes(dilation, "dilation")
        if isinstance(padding, str) and not transposed:
            if padding not in ("same", "valid"):
                raise ValueError(
                    f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}"
                )
            if padding == "same" and max(self.stride) > 1:
                raise ValueError("padding='same' is not supported for strided convolutions")
            self.padding = padding
        else:
            self.padding = self.sizes(padding, "padding")
        if padding_mode not in PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {set(PADDING_MODES)}, but got "
                f"padding_mode='{padding_mode}'"
            )
        self.transposed = transposed
        self.output_padding = self.sizes(output_padding, "output_padding")
        self.groups = groups
        self.padding_mode = padding_mode
        rows, columns = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        shape = (rows, columns // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def sizes(self, value, argument: str) -> tuple[int, ...]:
        """One int for each dimension."""
        return int_tuple(value, self.dims, type(self).__name__, argument)

    def reset_parameters(self) -> None:
        """Draws fresh initial values."""
        reset_weight_and_bias(self.weight, self.bias)

    def padded(self, input: Tensor):
        """The input, padded as `padding_mode` says, and the zeros that are then still to add."""
        if self.padding_mode == "zeros":
            return input, self.padding
        if self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            both = [(total // 2, total - total // 2) for total in totals]
        else:
            padding = (0,) * self.dims if self.padding == "valid" else self.padding
            both = [(p, p) for p in padding]
        widths = [width for around in reversed(both) for width in around]
        return F.pad(input, widths, mode=self.padding_mode), (0,) * self.dims

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        zero, one = (0,) * self.dims, (1,) * self.dims
        if self.padding != zero:
            text += f", padding={self.padding}"
        if self.dilation != one:
            text += f", dilation={self.dilation}"
        if self.output_padding != zero:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_ConvNd):
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
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            False,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self.dims - 1]
        input, padding = self.padded(input)
        return convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class Conv1d(_Conv):
    """1-d cross-correlation: (N, C, L) or (C, L) -> (N, K, OL) or (K, OL).

    Arguments as :class:`Conv2d`; ``weight``: (K, C / groups, kernel size).
    """

    dims = 1


class Conv2d(_Conv):
    """2-d cross-correlation: (N, C, H, W) or (C, H, W) -> (N, K, OH, OW) or (K, OH, OW).

    Args:
        in_channels, out_channels: C and K.
        kernel_size, stride, padding, dilation: an int, or a pair (vertical, horizontal). `padding`
            may be ``"valid"`` (none) or ``"same"`` (OH = H, OW = W, stride 1 only).
        groups: channels are split into so many independent convolutions.
        bias: whether to add a learned bias to each output channel.
        padding_mode: what the padding holds: ``"zeros"``, or values of the input: ``"reflect"``,
            ``"replicate"`` (the nearest) or ``"circular"``.

    ``weight``: (K, C / groups, kernel height, kernel width) and ``bias``: (K,) start from
    U(-k, k), k = 1 / sqrt(C / groups * kernel height * kernel width).

    Raises:
        ValueError: groups divides not both channel counts, or a padding is unknown.
    """

    dims = 2


class Conv3d(_Conv):
    """3-d cross-correlation: (N, C, D, H, W) or (C, D, H, W) -> (N, K, OD, OH, OW) or
    (K, OD, OH, OW).

    Arguments as :class:`Conv2d`; ``weight``: (K, C / groups, kernel depth, height, width).
    """

    dims = 3


class _ConvTranspose(_ConvNd):
    def __init__(
        self,
        in_channels: int,
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
        if padding_mode != "zeros":
            name = type(self).__name__
            raise ValueError(f'Only "zeros" padding mode is supported for {name}')
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            True,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """`output_size`: the sizes wanted (with or without N and C), instead of `output_padding`.

        Raises:
            ValueError: `output_size` has another length, or no padding below `stride` reaches it.
        """
        convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.dims - 1]
        extra = self.output_padding
        if output_size is not None:
            extra = self.padding_for(input, output_size)
        return convolve(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            extra,
            self.groups,
            self.dilation,
        )

    def padding_for(self, input: Tensor, output_size) -> tuple[int, ...]:
        """The output padding that makes outputs of `output_size`."""
        lead = input.ndim - self.dims
        if len(output_size) == input.ndim:
            output_size = output_size[lead:]
        if len(output_size) != self.dims:
            raise ValueError(
                f"ConvTranspose{self.dims}D: for {input.ndim}D input, output_size must have "
                f"{self.dims} or {input.ndim} elements (got {len(output_size)})"
            )
        least = [
            (size - 1) * s - 2 * p + d * (k - 1) + 1
            for size, s, p, d, k in zip(
                input.shape[lead:],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        ]
        most = [low + s - 1 for low, s in zip(least, self.stride, strict=True)]
        if any(not a <= n <= b for n, a, b in zip(output_size, least, most, strict=True)):
            raise ValueError(
                f"requested an output size of {list(output_size)}, but valid sizes range from "
                f"{least} to {most} (for an input of {list(input.shape[lead:])})"
            )
        return tuple([n - low for n, low in zip(output_size, least, strict=True)])


class ConvTranspose1d(_ConvTranspose):
    """Transposed 1-d convolution: (N, C, L) or (C, L) -> (N, K, OL) or (K, OL).

    Arguments as :class:`ConvTranspose2d`; ``weight``: (C, K / groups, kernel size).
    """

    dims = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed 2-d convolution: (N, C, H, W) or (C, H, W) -> (N, K, OH, OW) or (K, OH, OW).

    OH = (H - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1.

    Args:
        in_channels, out_channels: C and K.
        kernel_size, stride, padding, dilation: of the convolution whose input gradient this is; an
            int, or a pair (vertical, horizontal).
        output_padding: rows and columns more at the bottom and right: a strided convolution maps
            several input sizes to one output size, and this says which of them is meant.
        groups: channels are split into so many independent convolutions.
        bias: whether to add a learned bias to each output channel.
        padding_mode: ``"zeros"``.

    ``weight``: (C, K / groups, kernel height, kernel width) and ``bias``: (K,) start from
    U(-k, k), k = 1 / sqrt(K / groups * kernel height * kernel width).

    Raises:
        ValueError: groups divides not both channel counts, or another padding mode.
    """

    dims = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed 3-d convolution: (N, C, D, H, W) or (C, D, H, W) -> (N, K, OD, OH, OW) or
    (K, OD, OH, OW).

    Arguments as :class:`ConvTranspose2d`; ``weight``: (C, K / groups, kernel depth, height, width).
    """

    dims = 3
