"""Boxes, suppression of doubles, pooling of regions and losses for detection, under torchvision's
names. A box is (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2, in pixels."""

from __future__ import annotations

import math

import numpy as np

from fastdl._engine import tensor_of
from fastdl.nn.module import Module
from fastdl.ops.core import tensor_argument
from fastdl.ops.elementwise import maximum, minimum, sigmoid
from fastdl.ops.join import stack
from fastdl.ops.loss import binary_cross_entropy_with_logits, check_reduction, reduced
from fastdl.tensor import Tensor
from fastdl.vision.models.efficientnet import SqueezeExcitation, StochasticDepth, stochastic_depth

__all__ = [
    "RoIAlign",
    "RoIPool",
    "SqueezeExcitation",
    "StochasticDepth",
    "batched_nms",
    "box_area",
    "box_convert",
    "box_iou",
    "clip_boxes_to_image",
    "complete_box_iou",
    "distance_box_iou",
    "generalized_box_iou",
    "generalized_box_iou_loss",
    "masks_to_boxes",
    "nms",
    "remove_small_boxes",
    "roi_align",
    "roi_pool",
    "sigmoid_focal_loss",
    "stochastic_depth",
]

# ---- boxes --------------------------------------------------------------------------------------


def _boxes(function: str, name: str, boxes) -> Tensor:
    """`boxes` (..., 4), checked."""
    if tensor_argument(function, name, boxes).ndim == 0 or boxes.shape[-1] != 4:
        raise ValueError(f"{function}: expected {name} (..., 4), got {tuple(boxes.shape)}")
    return boxes


def box_area(boxes: Tensor) -> Tensor:
    """(..., 4) -> (...): the areas."""
    boxes = _boxes("box_area", "boxes", boxes)
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Boxes (..., 4) in another form.

    Args:
        in_fmt, out_fmt: ``"xyxy"``: two corners; ``"xywh"``: the first corner, width and height;
            ``"cxcywh"``: the middle, width and height.

    Raises:
        ValueError: another form.
    """
    boxes = _boxes("box_convert", "boxes", boxes)
    for name in (in_fmt, out_fmt):
        if name not in ("xyxy", "xywh", "cxcywh"):
            raise ValueError(f"Unsupported Bounding Box Conversions for given formats {name!r}")
    if in_fmt == out_fmt:
        return boxes.clone()
    a, b, c, d = boxes.unbind(-1)
    if in_fmt == "xywh":
        a, b, c, d = a, b, a + c, b + d
    elif in_fmt == "cxcywh":
        a, b, c, d = a - c * 0.5, b - d * 0.5, a + c * 0.5, b + d * 0.5
    if out_fmt == "xywh":
        a, b, c, d = a, b, c - a, d - b
    elif out_fmt == "cxcywh":
        a, b, c, d = (a + c) / 2, (b + d) / 2, c - a, d - b
    return stack([a, b, c, d], -1)


def _each_with_each(function, boxes1, boxes2):
    """Boxes (N, 1, 4) and (1, M, 4), checked."""
    first, second = _boxes(function, "boxes1", boxes1), _boxes(function, "boxes2", boxes2)
    return first[:, None], second[None]


def _overlap(first, second):
    """Intersection and union of boxes with those beside them."""
    corner = maximum(first[..., :2], second[..., :2])
    sides = (minimum(first[..., 2:], second[..., 2:]) - corner).clamp(min=0)
    common = sides[..., 0] * sides[..., 1]
    return common, box_area(first) + box_area(second) - common


def _around(first, second):
    """Width and height of the smallest box around boxes and those beside them: (..., 2)."""
    low = minimum(first[..., :2], second[..., :2])
    return (maximum(first[..., 2:], second[..., 2:]) - low).clamp(min=0)


def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of each of (N, 4) with each of (M, 4): (N, M).

    >>> from fastdl import tensor
    >>> box_iou(tensor([[0.0, 0.0, 2.0, 2.0]]), tensor([[1.0, 0.0, 3.0, 2.0]]))
    tensor([[0.3333]])
    """
    common, union = _overlap(*_each_with_each("box_iou", boxes1, boxes2))
    return common / union


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """:func:`box_iou` less the part of the smallest box around both that neither covers: (N, M), in
    [-1, 1]. Rezatofighi et al. 2019."""
    return _generalized(*_each_with_each("generalized_box_iou", boxes1, boxes2), 0)


def _generalized(first, second, eps):
    common, union = _overlap(first, second)
    sides = _around(first, second)
    around = sides[..., 0] * sides[..., 1]
    return common / (union + eps) - (around - union) / (around + eps)


def distance_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """:func:`box_iou` less the squared distance of the middles over the squared diagonal of the box
    around both, plus `eps` (Zheng et al. 2020): (N, M)."""
    first, second = _each_with_each("distance_box_iou", boxes1, boxes2)
    common, union = _overlap(first, second)
    diagonal = (_around(first, second) ** 2).sum(-1) + eps
    middles = [(boxes[..., :2] + boxes[..., 2:]) / 2 for boxes in (first, second)]
    apart = ((middles[0] - middles[1]) ** 2).sum(-1)
    return common / union - apart / diagonal


def complete_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """:func:`distance_box_iou` less a measure of how the ratios of width to height differ (Zheng et
    al. 2020): (N, M). That measure's weight has no gradient."""
    distance = distance_box_iou(boxes1, boxes2, eps)
    iou = box_iou(boxes1, boxes2)
    sides = [boxes[:, 2:] - boxes[:, :2] for boxes in (boxes1, boxes2)]
    angles = [(s[:, 0] / s[:, 1]).atan() for s in sides]
    ratio = (4 / math.pi**2) * (angles[0][:, None] - angles[1][None]) ** 2
    weight = (ratio / (1 - iou + ratio + eps)).detach()
    return distance - weight * ratio


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) cut off at the borders of an image of `size` (height, width)."""
    boxes = _boxes("clip_boxes_to_image", "boxes", boxes)
    height, width = size
    a, b, c, d = boxes.unbind(-1)
    inside = [a.clamp(0, width), b.clamp(0, height), c.clamp(0, width), d.clamp(0, height)]
    return stack(inside, -1)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """The indices (K,) of the boxes (N, 4) whose width and height are at least `min_size`."""
    boxes = _boxes("remove_small_boxes", "boxes", boxes)
    sides = boxes[:, 2:] - boxes[:, :2]
    return (sides >= min_size).all(1).nonzero()[:, 0]


def masks_to_boxes(masks: Tensor) -> Tensor:
    """The box around what is not 0 in each of `masks` (N, H, W): (N, 4) float32.

    Raises:
        ValueError: a mask is empty.
    """
    array = tensor_argument("masks_to_boxes", "masks", masks).array
    found = np.empty((len(array), 4), np.float32)
    for row, mask in zip(found, array, strict=True):
        y, x = np.nonzero(mask)
        if not len(y):
            raise ValueError("masks_to_boxes: a mask is empty")
        row[:] = x.min(), y.min(), x.max(), y.max()
    return tensor_of(found)


# ---- suppression --------------------------------------------------------------------------------


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Non-maximum suppression: from the best score down, keeps a box if none that is kept overlaps
    it by more than `iou_threshold`.

    Args:
        boxes: (N, 4).
        scores: (N,).
        iou_threshold: an intersection over union.

    Returns:
        The indices of the boxes kept, int64, by falling score.

    Raises:
        RuntimeError: shapes that do not fit.
    """
    tensor_argument("nms", "boxes", boxes)
    tensor_argument("nms", "scores", scores)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise RuntimeError(f"nms: boxes should be (N, 4), got {tuple(boxes.shape)}")
    if tuple(scores.shape) != tuple(boxes.shape[:1]):
        raise RuntimeError(
            f"nms: boxes and scores should have one number of elements, got {len(boxes)} and "
            f"{tuple(scores.shape)}"
        )
    order = np.argsort(-scores.array, kind="stable")
    corners = boxes.array[order]
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    left, kept = np.ones(len(order), bool), []
    for i in range(len(order)):
        if not left[i]:
            continue
        kept.append(order[i])
        rest = corners[i + 1 :]
        sides = np.minimum(corners[i, 2:], rest[:, 2:]) - np.maximum(corners[i, :2], rest[:, :2])
        common = np.prod(np.maximum(sides, 0), axis=1)
        left[i + 1 :] &= ~(common > iou_threshold * (areas[i] + areas[i + 1 :] - common))
    return tensor_of(np.array(kept, np.int64))


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """:func:`nms` within each class: `idxs` (N,) names the class of each box. All classes' boxes
    kept, by falling score."""
    if boxes.numel() == 0:
        return tensor_of(np.empty(0, np.int64))
    # apart by more than their extent, boxes of different classes do not overlap
    shift = idxs.to(boxes.dtype) * (boxes.max() - boxes.min() + 1)
    return nms(boxes + shift[:, None], scores, iou_threshold)


# ---- pooling of regions -------------------------------------------------------------------------


def _regions(function, input, boxes, output_size):
    """[(image, box as four floats)], and (height, width) of the result."""
    if tensor_argument(function, "input", input).ndim != 4:
        raise ValueError(f"{function}: expected input (N, C, H, W), got {tuple(input.shape)}")
    size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    if isinstance(boxes, list | tuple):
        rows = [(i, *box) for i, own in enumerate(boxes) for box in own.tolist()]
    elif tensor_argument(function, "boxes", boxes).ndim == 2 and boxes.shape[1] == 5:
        rows = boxes.tolist()
    else:
        raise ValueError(
            f"{function}: expected boxes (K, 5), the first column the image's number, or a list of "
            f"(L, 4), got {tuple(boxes.shape)}"
        )
    if any(not 0 <= row[0] < len(input) for row in rows):
        raise IndexError(f"{function}: boxes name an image that is not among the {len(input)}")
    return [(int(image), box) for image, *box in rows], size


def _gathered(input, results, size):
    if not results:
        return input.new_zeros((0, input.shape[1], *size))
    return stack(results)


def roi_pool(input: Tensor, boxes, output_size, spatial_scale: float = 1.0) -> Tensor:
    """The largest values in the cells of regions (Girshick 2015): (K, C, OH, OW).

    Args:
        input: features (N, C, H, W).
        boxes: (K, 5), each the number of an image and a box; or a list with (L, 4) for each image.
        output_size: a number or (OH, OW).
        spatial_scale: a box's pixels in pixels of `input`, into whole ones of which it is rounded.

    Empty cells give 0.

    Raises:
        ValueError: shapes that do not fit.
        IndexError: an image that is not there.
    """
    regions, (rows, columns) = _regions("roi_pool", input, boxes, output_size)
    height, width = input.shape[2:]
    results = []
    for image, box in regions:
        x1, y1, x2, y2 = (math.floor(v * spatial_scale + 0.5) for v in box)
        down, across = max(y2 - y1 + 1, 1) / rows, max(x2 - x1 + 1, 1) / columns
        cells = []
        for i in range(rows):
            top = min(max(math.floor(i * down) + y1, 0), height)
            bottom = min(max(math.ceil((i + 1) * down) + y1, 0), height)
            for j in range(columns):
                left = min(max(math.floor(j * across) + x1, 0), width)
                right = min(max(math.ceil((j + 1) * across) + x1, 0), width)
                cell = input[image, :, top:bottom, left:right].flatten(1)
                cells.append(cell.max(1)[0] if cell.shape[1] else input.new_zeros(cell.shape[:1]))
        results.append(stack(cells, -1).reshape(-1, rows, columns))
    return _gathered(input, results, (rows, columns))


def roi_align(
    input: Tensor,
    boxes,
    output_size,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """The means over samples in the cells of regions, each interpolated between four pixels (He et
    al. 2017): (K, C, OH, OW).

    Args:
        input: features (N, C, H, W).
        boxes: (K, 5), each the number of an image and a box; or a list with (L, 4) for each image.
        output_size: a number or (OH, OW).
        spatial_scale: a box's pixels in pixels of `input`.
        sampling_ratio: samples a cell and direction; not positive: as many as it has pixels.
        aligned: whether a pixel's middle, not its corner, has whole coordinates.

    Samples more than one pixel outside give 0.

    Raises:
        ValueError: shapes that do not fit.
        IndexError: an image that is not there.
    """
    regions, (rows, columns) = _regions("roi_align", input, boxes, output_size)
    height, width = input.shape[2:]
    results = []
    for image, box in regions:
        x1, y1, x2, y2 = (v * spatial_scale - 0.5 * aligned for v in box)
        h, w = y2 - y1, x2 - x1
        if not aligned:
            h, w = max(h, 1.0), max(w, 1.0)
        count = [
            sampling_ratio if sampling_ratio > 0 else max(math.ceil(side / cells), 1)
            for side, cells in ((h, rows), (w, columns))
        ]
        down = _lines(y1, h, rows, count[0], height, input)
        across = _lines(x1, w, columns, count[1], width, input)
        values = 0
        for row, row_weight in down:
            for column, column_weight in across:
                taken = input[image][:, row[:, None], column[None, :]]
                values = values + taken * (row_weight[:, None] * column_weight[None, :])
        cells = values.reshape(-1, rows, count[0], columns, count[1])
        results.append(cells.mean((2, 4)))
    return _gathered(input, results, (rows, columns))


def _lines(start, length, cells, count, extent, input):
    """For all samples along one direction the pixel below and its weight, the one above and its."""
    at = start + length / cells * (np.arange(cells * count) + 0.5) / count
    outside = (at < -1) | (at > extent)
    at = np.clip(at, 0, extent - 1)
    below = np.floor(at).astype(np.int64)
    above = np.minimum(below + 1, extent - 1)
    part = np.where(outside, 0, at - below)
    rest = np.where(outside, 0, 1 - (at - below))
    dtype = input.array.dtype
    return [
        (tensor_of(below), tensor_of(rest.astype(dtype))),
        (tensor_of(above), tensor_of(part.astype(dtype))),
    ]


class RoIPool(Module):
    """:func:`roi_pool` with these arguments."""

    def __init__(self, output_size, spatial_scale: float) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input, rois):
        return roi_pool(input, rois, self.output_size, self.spatial_scale)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, spatial_scale={self.spatial_scale}"


class RoIAlign(Module):
    """:func:`roi_align` with these arguments."""

    def __init__(
        self, output_size, spatial_scale: float, sampling_ratio: int, aligned: bool = False
    ) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def forward(self, input, rois):
        options = self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned
        return roi_align(input, rois, *options)

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
            f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned}"
        )


# ---- losses -------------------------------------------------------------------------------------


def sigmoid_focal_loss(
    inputs: Tensor,
    targets: Tensor,
    alpha: float = 0.25,
    gamma: float = 2,
    reduction: str = "none",
) -> Tensor:
    """Binary cross-entropy of logits, weighted down where the answer is clear (Lin et al. 2017):
    -a (1 - p)^gamma log p, with p the probability given to the target and a `alpha` for ones and
    1 - alpha for zeros.

    Args:
        inputs, targets: of one shape; targets 0 or 1.
        alpha: in [0, 1], or negative for no such weight.
        gamma: the power.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Raises:
        ValueError: `alpha` is greater than 1, or an unknown reduction.
    """
    if alpha > 1:
        raise ValueError(f"Invalid alpha value: {alpha}. alpha must be in the range [0,1]")
    check_reduction(reduction)
    p = sigmoid(inputs)
    loss = binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    loss = loss * (1 - (p * targets + (1 - p) * (1 - targets))) ** gamma
    if alpha >= 0:
        loss = loss * (alpha * targets + (1 - alpha) * (1 - targets))
    return reduced(loss, reduction)


def generalized_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """1 - :func:`generalized_box_iou` of boxes (N, 4) with the boxes (N, 4) beside them; `eps` is
    added to what is divided by."""
    check_reduction(reduction)
    first = _boxes("generalized_box_iou_loss", "boxes1", boxes1)
    second = _boxes("generalized_box_iou_loss", "boxes2", boxes2)
    return reduced(1 - _generalized(first, second, eps), reduction)
