"""A copy of a model for inference: norms folded, filters prepared once."""

from __future__ import annotations

import copy

import numpy as np

from fastdl import _kernels
from fastdl._engine import is_autocast_enabled, tensor_of
from fastdl.autograd import is_grad_enabled
from fastdl.jit.folding import foldable
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
from fastdl.nn.norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from fastdl.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from fastdl.ops.conv import conv_geometry, is_product
from fastdl.tensor import Tensor

__all__ = ["FrozenModule"]

# The layers that can take in a norm, by the dimensions of their batches.
BATCHED = {
    Linear: 2,
    Conv1d: 3,
    Conv2d: 4,
    Conv3d: 5,
    ConvTranspose1d: 3,
    ConvTranspose2d: 4,
    ConvTranspose3d: 5,
}
NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)


class FrozenModule(Module):
    """What :func:`fastdl.jit.freeze` returns: `module` as it is now, for inference.

    It has no parameters, buffers or submodules, and an empty ``state_dict()``: they are constants.

    Args:
        module: copied; the copy is put into evaluation.
        preserved: names of its attributes and methods to keep.
        fold: whether to fold batch norms.
    """

    def __init__(self, module: Module, preserved=(), fold: bool = True) -> None:
        super().__init__()
        program = copy.deepcopy(module).eval()
        for parameter in program.parameters():
            parameter.requires_grad_(False)
        if fold:
            for parent, first, second in foldable(program, preserved, fits):
                fold_in(parent, first, second)
        for layer in program.modules():
            if type(layer) is Conv2d and layer.padding_mode == "zeros":
                layer.__class__ = ReadyConv2d
        attributes = self.__dict__  # not registered: what it holds is constant
        attributes["_program"] = program
        attributes["training"] = False
        attributes["original_name"] = type(module).__name__
        for name in preserved:
            attributes[name] = getattr(program, name)

    def forward(self, *args, **kwargs):
        return self._program(*args, **kwargs)

    def train(self, mode: bool = True):
        """Self if `mode` is False; RuntimeError otherwise: constants cannot be trained."""
        if mode:
            raise RuntimeError("train: a frozen module stays in evaluation; train the original")
        return self

    def extra_repr(self) -> str:
        return f"original_name={self.original_name}"


def fits(layer: Module, norm: Module) -> bool:
    """Can `layer` do the work of `norm` on a batch of its outputs?"""
    if type(layer) not in BATCHED or type(norm) not in NORMS or norm.running_mean is None:
        return False
    weight = layer.weight.array
    channels = layer.out_features if isinstance(layer, Linear) else layer.out_channels
    return (
        not {"forward"} & {*layer.__dict__, *norm.__dict__}
        and BATCHED[type(layer)] in norm.input_dims
        and channels == norm.num_features
        and weight.dtype.char in "fd"
        and weight.dtype == norm.running_mean.array.dtype
    )


def fold_in(parent: Module, first: str, second: str) -> None:
    """Puts a layer that includes the norm in the layer's place."""
    layer, norm = getattr(parent, first), getattr(parent, second)
    if isinstance(layer, Linear):
        folded = fuse_linear_bn_eval(layer, norm)
    else:
        folded = fuse_conv_bn_eval(layer, norm, layer.transposed)
    for parameter in folded.parameters():
        parameter.requires_grad_(False)
    batched = BATCHED[type(layer)]
    if len(norm.input_dims) > 1:
        folded = FoldedLayer(layer, folded, batched)
    setattr(parent, first, folded)
    setattr(parent, second, FoldedNorm(norm, batched))


class FoldedLayer(Module):
    """`folded` for batches, `layer` for other inputs: the norm after it sees channels elsewhere in
    what comes of (N, L, C), or of a single (C, L)."""

    def __init__(self, layer: Module, folded: Module, batched: int) -> None:
        super().__init__()
        self.layer, self.folded, self.batched = layer, folded, batched

    def forward(self, input: Tensor) -> Tensor:
        return (self.folded if input.dim() == self.batched else self.layer)(input)


class FoldedNorm(Module):
    """A batch norm that the layer before has taken in: for other inputs than batches it is needed
    still, if only to refuse them."""

    def __init__(self, norm: Module, batched: int) -> None:
        super().__init__()
        self.norm, self.batched = norm, batched

    def forward(self, input: Tensor) -> Tensor:
        return input if input.dim() == self.batched else self.norm(input)


class ReadyConv2d(Conv2d):
    """A convolution whose weight does not change: what its algorithm makes of it first is kept.

    A weight that does, in a layer kept as attribute of a frozen model, is noticed as autograd would
    notice it: not where it is written through ``data`` or a NumPy array.
    """

    _filters = _seen = None

    def forward(self, input: Tensor) -> Tensor:
        if type(input) is not Tensor or (input.requires_grad and is_grad_enabled()):
            return super().forward(input)
        x, w, bias = input.array, self.weight.array, None if self.bias is None else self.bias.array
        if x.ndim != 4 or x.dtype != w.dtype or x.dtype.char not in "fd" or is_autocast_enabled():
            return super().forward(input)
        geom = conv_geometry(
            "conv2d",
            2,
            x.shape,
            w.shape,
            None if bias is None else bias.shape,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )
        if is_product(geom):
            return super().forward(input)
        version = None if self.weight.is_inference() else self.weight._version
        if self._filters is None or self._filters.w is not w or self._seen != version:
            self._filters, self._seen = _kernels.ReadyFilters(w), version
        return tensor_of(_kernels.conv2d(np.ascontiguousarray(x), self._filters, bias, geom))

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_filters"}
