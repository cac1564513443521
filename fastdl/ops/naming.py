"""PyTorch's names of nodes where one primitive here stands for several functions there.

A name depends on the call: on its static arguments and on the shapes of operands, as far as the
node keeps them (`Node.name`); a function here returns None where that does not tell.
"""

from fastdl.ops import (
    conv,
    diagonal,
    dropout,
    index,
    linalg,
    linear,
    loss,
    norm,
    order,
    shape,
)
from fastdl.ops.elementwise import exponential, powers, selection
from fastdl.ops.reduce import extremes, running, sums

WHOLE = slice(None)


def _reduction(whole, part):
    """One name for a reduction over all dimensions, another for one over some of them."""

    def name(static, shapes, needs):
        if "x" not in shapes or static is None:
            return None
        every = len(static["dims"]) == len(shapes["x"]) and not static["keepdim"]
        return whole if every else part

    return name


def _indexed(static, shapes, needs):
    """PyTorch takes an index apart, item by item: the last one names the node."""
    for item in reversed(static["index"]):
        if item is None:
            return "UnsqueezeBackward0"
        if isinstance(item, slice) and item != WHOLE:
            return "SliceBackward0"
        if not isinstance(item, slice) and item is not Ellipsis:
            return "SelectBackward0"
    return "AliasBackward0"


def _put(static, shapes, needs):
    """A basic index is a view that is copied into."""
    items = static["index"] if isinstance(static["index"], tuple) else (static["index"],)
    basic = all(isinstance(i, (int, slice, type(None), type(...))) for i in items)
    return "torch::autograd::CopySlices" if basic else "IndexPutBackward0"


def _power(static, shapes, needs):
    if shapes.get("exponent", ...) is None:
        return "PowBackward0"
    return "PowBackward2" if shapes.get("x", ...) is None else "PowBackward1"


def _product(static, shapes, needs):
    if "x" not in shapes or "y" not in shapes:
        return None
    kinds = {(1, 1): "Dot", (2, 1): "Mv", (2, 2): "Mm", (1, 2): "Squeeze", (3, 3): "UnsafeView"}
    kind = kinds.get((len(shapes["x"]), len(shapes["y"])), "UnsafeView")
    return "SqueezeBackward4" if kind == "Squeeze" else f"{kind}Backward0"


def _affine(static, shapes, needs):
    if "x" not in shapes:
        return None
    if len(shapes["x"]) == 2:
        return "AddmmBackward0" if needs[2] else "MmBackward0"
    return "ViewBackward0" if needs[2] else "UnsafeViewBackward0"


def _loss(static, shapes, needs):
    name = static["loss"].node_name
    return "MeanBackward0" if name in ("L1LossBackward0", "KlDivBackward0") else name


def _cross_entropy(static, shapes, needs):
    flat = len(shapes.get("logits", ())) <= 2
    return "NllLossBackward0" if flat else "NllLoss2DBackward0"


def _rows(static, shapes, needs):
    if not static["centred"]:
        return "FusedRmsNormBackward0"
    _, groups, _, places = static["shape"]
    kind = "Layer" if groups == places == 1 else "Group"
    return f"Native{kind}NormBackward0"


def _pieces(static, shapes, needs):
    lengths = static["lengths"]
    equal = len(set(lengths[:-1])) <= 1 and lengths[-1] <= lengths[0]
    return "SplitBackward0" if equal else "SplitWithSizesBackward0"


def _order(static, shapes, needs):
    whole = static["last"] - static["first"] == shapes["x"][static["dim"]]
    return "SortBackward0" if whole else "TopkBackward0"


def _median(static, shapes, needs):
    return "NanmedianBackward1" if static["skip_nan"] else "MedianBackward1"


def _always(name):
    return lambda static, shapes, needs: name


NAMES = {
    shape.sum_over: _reduction("SumBackward0", "SumBackward1"),
    sums.mean_over: _reduction("MeanBackward0", "MeanBackward1"),
    extremes.amax_over: _reduction("MaxBackward1", "AmaxBackward0"),
    extremes.amin_over: _reduction("MinBackward1", "AminBackward0"),
    running.prod_over: lambda static, shapes, needs: (
        "ProdBackward0" if len(shapes.get("x", ())) < 2 else "ProdBackward1"
    ),
    shape.slice_of: _indexed,
    shape.cut: _pieces,
    shape.put_window: _always("torch::autograd::CopySlices"),
    index.put: _put,
    powers.pow: _power,
    linalg.matmul: _product,
    linear.affine_map: _affine,
    order.ordered: _order,
    order.middle_along: _median,
    loss.total: _loss,
    loss.softmax_cross_entropy: _cross_entropy,
    norm.normalize_channels: _always("NativeBatchNormBackward0"),
    norm.normalize_rows: _rows,
    dropout.drop: _always("MulBackward0"),
    conv.convolution_grad_input: _always("ConvolutionBackward0"),
    diagonal.onto_diagonal: _always("DiagEmbedBackward0"),
    exponential.logit_arrays: _always("LogitBackward0"),
    selection.cast: _always("ToCopyBackward0"),
    selection.clamp_numbers: _always("ClampBackward1"),
    selection.finite_numbers: _always("NanToNumBackward0"),
    selection.select: _always("WhereBackward0"),
}

for _primitive, _name in NAMES.items():
    _primitive.naming = _name
