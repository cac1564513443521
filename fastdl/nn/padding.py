"""Layers that pad: N-d inputs (*, L), (*, H, W), (*, D, H, W) with or without a batch dimension."""

from __future__ import annotations

import fastdl.nn.functional as F
from fastdl.nn.module import Module
from fastdl.tensor import Tensor

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    """Pads the last `dims` dimensions by `padding`: a number for all sides, or (before, after)
    pairs, last dimension first."""

    dims: int
    mode = "constant"

    def __init__(self, padding) -> None:
        super().__init__()
        sides = 2 * self.dims
        self.padding = (padding,) * sides if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != sides:
            raise ValueError(
                f"{type(self).__name__}: padding must be a number or {sides} numbers, got {padding}"
            )

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Pads (*, L) with `value`; padding: a number or (left, right)."""

    dims = 1


class ConstantPad2d(_ConstantPad):
    """Pads (*, H, W) with `value`; padding: a number or (left, right, top, bottom)."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """Pads (*, D, H, W) with `value`;
    padding: a number or (left, right, top, bottom, front, back)."""

    dims = 3


class ZeroPad1d(ConstantPad1d):
    """Pads (*, L) with zeros; padding: a number or (left, right)."""

    def __init__(self, padding) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """Pads (*, H, W) with zeros; padding: a number or (left, right, top, bottom)."""

    def __init__(self, padding) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """Pads (*, D, H, W) with zeros;
    padding: a number or (left, right, top, bottom, front, back)."""

    def __init__(self, padding) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPad1d(_Pad):
    """Pads (*, L) with its reflection at the edges; padding: a number or (left, right)."""

    dims = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """Pads (*, H, W) with its reflection at the edges;
    padding: a number or (left, right, top, bottom)."""

    dims = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """Pads (*, D, H, W) with its reflection at the edges;
    padding: a number or (left, right, top, bottom, front, back)."""

    dims = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """Pads (*, L) with its edges; padding: a number or (left, right)."""

    dims = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """Pads (*, H, W) with its edges; padding: a number or (left, right, top, bottom)."""

    dims = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """Pads (*, D, H, W) with its edges;
    padding: a number or (left, right, top, bottom, front, back)."""

    dims = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """Pads (*, L) with its other side; padding: a number or (left, right)."""

    dims = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """Pads (*, H, W) with its other side; padding: a number or (left, right, top, bottom)."""

    dims = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """Pads (*, D, H, W) with its other side;
    padding: a number or (left, right, top, bottom, front, back)."""

    dims = 3
    mode = "circular"
