"""Where in the sequence: sinusoidal and rotary positional encodings."""

from __future__ import annotations

import numpy as np

import fastdl.nn.functional as F
from fastdl import _dtype
from fastdl._engine import tensor_of
from fastdl.nn.module import Module
from fastdl.ops.join import cat, stack
from fastdl.tensor import Tensor

__all__ = ["RotaryEncoding", "SinusoidalEncoding", "sinusoidal_encoding"]


def _angles(first: int, length: int, dim: int, base: float) -> np.ndarray:
    """position / base^(2 i / dim) for `length` positions and i < dim / 2, in float64."""
    positions = np.arange(first, first + length, dtype=np.float64)
    return positions[:, None] * base ** (-np.arange(0, dim, 2, dtype=np.float64) / dim)


def sinusoidal_encoding(length: int, d_model: int, base: float = 10000.0, dtype=None) -> Tensor:
    """Sines in the even columns and cosines in the odd ones, (length, d_model).

    Row p holds sin(p / base^(2 i / d_model)) and cos(p / base^(2 i / d_model)) in columns 2 i and
    2 i + 1. Vaswani et al. 2017, section 3.5.

    Args:
        length: number of positions, from 0.
        d_model: number of columns.
        base: of the wavelengths, which grow from 2 pi to 2 pi base.
        dtype: of the result, the default dtype unless given.

    >>> import fastdl
    >>> fastdl.text.sinusoidal_encoding(2, 4)
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0100, 0.9999]])
    """
    angles = _angles(0, length, d_model, base)
    table = np.empty((length, d_model), _dtype.as_numpy(dtype or _dtype.get_default_dtype()))
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles[:, : d_model // 2])
    return tensor_of(table)


class SinusoidalEncoding(Module):
    """Adds :func:`sinusoidal_encoding` to its input, then dropout.

    Args:
        d_model: width of the input.
        dropout: probability of the dropout after the sum.
        max_len: the longest sequence.
        batch_first: whether inputs are (N, L, d_model) rather than (L, N, d_model); (L, d_model) is
            taken either way.

    Raises:
        ValueError: an input longer than `max_len`.
    """

    def __init__(
        self,
        d_model: int,
        dropout: float = 0.0,
        max_len: int = 5000,
        batch_first: bool = True,
    ) -> None:
        super().__init__()
        self.d_model = d_model
        self.dropout = dropout
        self.max_len = max_len
        self.batch_first = batch_first
        self.register_buffer("pe", sinusoidal_encoding(max_len, d_model), persistent=False)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """x plus the rows from `offset` on."""
        along = 0 if x.dim() == 2 or not self.batch_first else 1
        end = offset + x.shape[along]
        if end > self.max_len:
            raise ValueError(f"SinusoidalEncoding: position {end - 1} is beyond {self.max_len}")
        rows = self.pe[offset:end]
        if x.dim() == 3 and not self.batch_first:
            rows = rows.unsqueeze(1)
        return F.dropout(x + rows.to(x.dtype), self.dropout, self.training)

    def extra_repr(self) -> str:
        return f"{self.d_model}, dropout={self.dropout}, max_len={self.max_len}"


class RotaryEncoding(Module):
    """Turns pairs of queries' and keys' entries by angles that grow with the position.

    Pair i of the vector at position p is turned by p / base^(2 i / dim), so that the product of a
    query and a key depends on the distance of their positions only. Su et al. 2021, "RoFormer".

    Args:
        dim: how many entries are turned, even; further ones are left as they are.
        base: of the wavelengths.
        interleaved: whether pair i is entries 2 i and 2 i + 1, as in the paper and GPT-J, rather
            than i and i + dim / 2, as in GPT-NeoX and Llama.

    Raises:
        ValueError: `dim` is odd.
    """

    def __init__(self, dim: int, base: float = 10000.0, interleaved: bool = False) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"RotaryEncoding: dim must be even, but got {dim}")
        self.dim = dim
        self.base = base
        self.interleaved = interleaved

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """x (..., L, D) with D >= dim, turned; its first position is `offset`."""
        angles = _angles(offset, x.shape[-2], self.dim, self.base)
        dtype = x.array.dtype
        cos, sin = (tensor_of(f(angles).astype(dtype)) for f in (np.cos, np.sin))
        turned = x[..., : self.dim]
        if self.interleaved:
            a, b = turned[..., 0::2], turned[..., 1::2]
            y = stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
        else:
            a, b = turned.chunk(2, -1)
            y = cat([a * cos - b * sin, a * sin + b * cos], -1)
        return y if self.dim == x.shape[-1] else cat([y, x[..., self.dim :]], -1)

    def extra_repr(self) -> str:
        return f"{self.dim}, base={self.base}, interleaved={self.interleaved}"
