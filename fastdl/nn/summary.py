"""What a model is made of: a table of its layers with shapes, parameters, products and memory."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastdl import _dtype
from fastdl.autograd import no_grad
from fastdl.nn.conv import _Conv, _ConvTranspose
from fastdl.nn.linear import Bilinear, Linear
from fastdl.nn.module import Module
from fastdl.nn.multihead import MultiheadAttention
from fastdl.nn.rnn import RNNBase, RNNCellBase
from fastdl.ops.creation import zeros
from fastdl.tensor import Tensor

__all__ = ["LayerSummary", "ModelSummary", "summary"]


@dataclass
class LayerSummary:
    """One call of a layer, or a layer with parameters that was not called.

    Attributes:
        name: its dotted path; ``""`` for the model itself.
        type: the name of its class.
        depth: how deep in the tree of modules; 0 for the model.
        is_leaf: whether it has no layers of its own that are called.
        output_shape: of its output; a list for several Tensors, None if it was not called.
        parameters, trainable: how many numbers it holds itself, without its children's; 0 at the
            second call of the same layer.
        mult_adds: multiplications with additions in this call, 0 unless it is a leaf.
        activation_bytes: of the output, 0 unless it is a leaf.
    """

    name: str
    type: str
    depth: int
    is_leaf: bool = True
    output_shape: tuple[int, ...] | list[tuple[int, ...]] | None = None
    parameters: int = 0
    trainable: int = 0
    mult_adds: int = 0
    activation_bytes: int = 0


@dataclass
class ModelSummary:
    """What :func:`summary` found; printing it gives the table.

    Attributes:
        layers: a :class:`LayerSummary` for each call, in the order of the calls.
        total_parameters, trainable_parameters: each parameter counted once.
        mult_adds: of the whole forward pass, of all samples of the batch.
        input_bytes, parameter_bytes: of the inputs, and of parameters and buffers.
        activation_bytes: of the outputs of all leaves; what training keeps is about that.
    """

    layers: list[LayerSummary] = field(default_factory=list)
    total_parameters: int = 0
    trainable_parameters: int = 0
    mult_adds: int = 0
    input_bytes: int = 0
    parameter_bytes: int = 0
    activation_bytes: int = 0

    def __str__(self) -> str:
        titles = ("Layer", "Output shape", "Parameters", "Mult-adds", "Memory")
        rows = [titles, *(_row(layer) for layer in self.layers)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(titles))]
        lines = [
            "  ".join(
                text.ljust(width) if i < 2 else text.rjust(width)
                for i, (text, width) in enumerate(zip(row, widths))
            ).rstrip()
            for row in rows
        ]
        rule = "-" * max(map(len, lines))
        frozen = self.total_parameters - self.trainable_parameters
        whole = self.input_bytes + self.parameter_bytes + self.activation_bytes
        totals = (
            f"Parameters: {self.total_parameters:,} ({self.trainable_parameters:,} trainable, "
            f"{frozen:,} not)",
            f"Mult-adds: {_short(self.mult_adds)}",
            f"Memory: {_bytes(whole)} (input {_bytes(self.input_bytes)}, parameters and buffers "
            f"{_bytes(self.parameter_bytes)}, activations {_bytes(self.activation_bytes)})",
        )
        return "\n".join([lines[0], rule, *lines[1:], rule, *totals])


def _row(layer: LayerSummary) -> tuple[str, ...]:
    name = layer.name.rpartition(".")[2]
    label = "  " * layer.depth + (f"{name} ({layer.type})" if name else layer.type)
    if layer.output_shape is None:
        shape = "(not called)"
    elif isinstance(layer.output_shape, list):
        shape = ", ".join(map(str, layer.output_shape))
    else:
        shape = str(layer.output_shape)
    parameters = f"{layer.parameters:,}" if layer.parameters else "-"
    if layer.parameters and not layer.trainable:
        parameters = f"({parameters})"  # frozen
    products = _short(layer.mult_adds) if layer.mult_adds else "-"
    memory = _bytes(layer.activation_bytes) if layer.activation_bytes else "-"
    return label, shape, parameters, products, memory


def _short(count: int) -> str:
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return str(count)


def _bytes(count: int) -> str:
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} B"


def _tensors(value: Any) -> list[Tensor]:
    """The Tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [tensor for item in value for tensor in _tensors(item)]


def _size(tensors) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _mult_adds(module: Module, inputs: list[Tensor], outputs: list[Tensor]) -> int:
    """Products summed in one call; other layers than these multiply no matrices."""
    if isinstance(module, _ConvTranspose):  # each input meets a filter
        return inputs[0].numel() * module.weight[0].numel()
    if isinstance(module, _Conv | Linear | Bilinear):  # each output is a sum over a filter
        return outputs[0].numel() * module.weight[0].numel()
    if isinstance(module, RNNBase | RNNCellBase):  # each step of a sequence meets all weights
        return _rows(inputs[0]) * sum(p.numel() for p in module.parameters() if p.dim() > 1)
    if isinstance(module, MultiheadAttention):
        return _attention_mult_adds(module, *inputs[:3])
    return 0


def _rows(x: Tensor) -> int:
    return x.numel() // max(x.shape[-1], 1)


def _attention_mult_adds(module: MultiheadAttention, query, key, value) -> int:
    """Projections in and out, and of each query with each key and value; those that the layer adds
    itself (`bias_k`, `add_zero_attn`) are keys too."""
    width = module.embed_dim
    batch_first = module.batch_first or query.dim() == 2
    keys = key.shape[-2 if batch_first else 0]
    keys += (module.bias_k is not None) + module.add_zero_attn
    projected = 2 * _rows(query) * width  # of the query and of the result
    projected += _rows(key) * module.kdim + _rows(value) * module.vdim
    return width * (projected + 2 * _rows(query) * keys)


def _is_leaf(module: Module) -> bool:
    """Whether it has no layers of its own that are called."""
    return isinstance(module, MultiheadAttention) or next(module.children(), None) is None


def _arguments(module: Module, args: tuple, kwargs: dict) -> list[Tensor]:
    """The Tensors a module was called with, in the order of its parameters."""
    if kwargs:
        try:
            bound = inspect.signature(module.forward).bind(*args, **kwargs)
        except (TypeError, ValueError):  # no Python function
            return _tensors((args, kwargs))
        return _tensors((bound.args, bound.kwargs))
    return _tensors(args)


def summary(
    model: Module,
    input: Any = None,
    *,
    input_size: Sequence | None = None,
    dtype: _dtype.dtype | None = None,
) -> ModelSummary:
    """Runs a model once and tells for each layer the shape of its output, its parameters, its
    multiplications (with additions) and the memory of its output.

    The model runs in evaluation mode and without gradients; its mode is as before afterwards, and
    nothing it learned changes (lazy layers learn their number of inputs, as in any first call).

    Args:
        model: any module.
        input: what to call it with: a Tensor, or a tuple, list or dict of arguments.
        input_size: instead of `input`: the shape of a Tensor of zeros, with the batch, or a list of
            shapes of several.
        dtype: of these zeros; the default dtype unless given (int64 for an Embedding).

    Returns:
        A :class:`ModelSummary` of numbers, which prints as a table. Mult-adds are those of
        convolutions, Linear and Bilinear layers, recurrent layers and cells, and MultiheadAttention
        (as without a mask); biases, gates, softmax, normalisation and functions called without a
        layer are not counted.

    Raises:
        TypeError: neither or both of `input` and `input_size` are given.

    >>> from fastdl import nn
    >>> from fastdl.utils import summary
    >>> found = summary(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), input_size=(2, 4))
    >>> found.total_parameters, found.mult_adds
    (40, 64)
    >>> print(found)
    Layer         Output shape  Parameters  Mult-adds  Memory
    ---------------------------------------------------------
    Sequential    (2, 8)                 -          -       -
      0 (Linear)  (2, 8)                40         64    64 B
      1 (ReLU)    (2, 8)                 -          -    64 B
    ---------------------------------------------------------
    Parameters: 40 (40 trainable, 0 not)
    Mult-adds: 64
    Memory: 320 B (input 32 B, parameters and buffers 160 B, activations 128 B)
    """
    if (input is None) == (input_size is None):
        raise TypeError("summary: expected either input or input_size")
    if input_size is not None:
        several = any(isinstance(size, list | tuple) for size in input_size)
        sizes = input_size if several else [input_size]
        input = tuple(zeros(tuple(size), dtype=dtype) for size in sizes)
    names = {id(module): name for name, module in model.named_modules()}
    found = ModelSummary(input_bytes=_size(_tensors(input)))
    open_rows: list[LayerSummary] = []
    counted: set[int] = set()

    def enter(module, args):
        row = LayerSummary(names[id(module)], type(module).__name__, len(open_rows))
        found.layers.append(row)
        open_rows.append(row)

    def leave(module, args, kwargs, output):
        row = open_rows.pop()
        if output is None:
            return
        outputs = _tensors(output)
        shapes = [tuple(t.shape) for t in outputs]
        row.output_shape = shapes[0] if len(shapes) == 1 else shapes
        row.is_leaf = _is_leaf(module)
        _count_parameters(module, row, counted)
        if row.is_leaf:
            row.mult_adds = _mult_adds(module, _arguments(module, args, kwargs), outputs)
            row.activation_bytes = _size(outputs)

    modules = list(model.modules())
    modes = [module.training for module in modules]
    handles = []
    try:
        for module in modules:
            handles.append(module.register_forward_pre_hook(enter, prepend=True))
            handles.append(module.register_forward_hook(leave, with_kwargs=True, always_call=True))
        model.eval()
        with no_grad():
            if isinstance(input, dict):
                model(**input)
            elif isinstance(input, list | tuple):
                model(*input)
            else:
                model(input)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in zip(modules, modes):
            module.training = mode

    for module in modules:  # parameters used by functions, or not used
        row = LayerSummary(names[id(module)], type(module).__name__, 0, _is_leaf(module))
        row.depth = row.name.count(".") + 1 if row.name else 0
        _count_parameters(module, row, counted)
        if row.parameters:
            found.layers.append(row)
    found.total_parameters = sum(row.parameters for row in found.layers)
    found.trainable_parameters = sum(row.trainable for row in found.layers)
    found.mult_adds = sum(row.mult_adds for row in found.layers)
    found.activation_bytes = sum(row.activation_bytes for row in found.layers)
    found.parameter_bytes = _size([*model.parameters(), *model.buffers()])
    return found


def _count_parameters(module: Module, row: LayerSummary, counted: set[int]) -> None:
    """The module's own parameters that were not counted yet; of a leaf, all."""
    for parameter in module.parameters(recurse=_is_leaf(module)):
        if id(parameter) not in counted:
            counted.add(id(parameter))
            row.parameters += parameter.numel()
            row.trainable += parameter.numel() if parameter.requires_grad else 0
