"""Boxes, suppression, pooled regions and losses of detection against their definitions."""

import math

import numpy as np
import pytest

import fastdl
from fastdl.autograd import gradcheck
from fastdl.vision import ops


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def some_boxes(rng, n, extent=20.0):
    corner = rng.random((n, 2)) * extent / 2
    return np.concatenate([corner, corner + 1 + rng.random((n, 2)) * extent / 2], 1)


def overlap(a, b):
    """Intersection and union of two boxes."""
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return w * h, area(a) + area(b) - w * h


def definition(name, a, b):
    common, union = overlap(a, b)
    wide, high = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    iou = common / union
    if name == "box_iou":
        return iou
    if name == "generalized_box_iou":
        return iou - (wide * high - union) / (wide * high)
    middle = lambda box: ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    distance = iou - math.dist(middle(a), middle(b)) ** 2 / (wide**2 + high**2 + 1e-7)
    if name == "distance_box_iou":
        return distance
    angle = lambda box: math.atan((box[2] - box[0]) / (box[3] - box[1]))
    ratio = 4 / math.pi**2 * (angle(a) - angle(b)) ** 2
    return distance - ratio**2 / (1 - iou + ratio + 1e-7)


@pytest.mark.parametrize(
    "name", ["box_iou", "generalized_box_iou", "distance_box_iou", "complete_box_iou"]
)
def test_overlaps(name, rng):
    first, second = some_boxes(rng, 6), some_boxes(rng, 4)
    second[0] = first[0]
    found = getattr(ops, name)(fastdl.tensor(first), fastdl.tensor(second)).numpy()
    expected = [[definition(name, a, b) for b in second] for a in first]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_forms_of_boxes(rng):
    boxes = some_boxes(rng, 5)
    x1, y1, x2, y2 = boxes.T
    forms = {
        "xyxy": boxes,
        "xywh": np.stack([x1, y1, x2 - x1, y2 - y1], 1),
        "cxcywh": np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1),
    }
    for before, values in forms.items():
        for after, expected in forms.items():
            found = ops.box_convert(fastdl.tensor(values), before, after)
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="Unsupported"):
        ops.box_convert(fastdl.tensor(boxes), "xyxy", "yxyx")
    with pytest.raises(ValueError, match="expected boxes"):
        ops.box_area(fastdl.zeros(3))
    clipped = ops.clip_boxes_to_image(fastdl.tensor(boxes), (8, 6)).numpy()
    np.testing.assert_array_equal(clipped, np.clip(boxes, 0, [6, 8, 6, 8]))
    large = np.flatnonzero(((x2 - x1) >= 5) & ((y2 - y1) >= 5))
    assert ops.remove_small_boxes(fastdl.tensor(boxes), 5).tolist() == large.tolist()
    masks = fastdl.zeros(2, 9, 8, dtype=fastdl.bool)
    masks[0, 2:5, 3:7] = True
    masks[1, 8, 0] = True
    assert ops.masks_to_boxes(masks).tolist() == [[3, 2, 6, 4], [0, 8, 0, 8]]
    with pytest.raises(ValueError, match="empty"):
        ops.masks_to_boxes(masks & False)


def test_suppression(rng):
    boxes, scores = some_boxes(rng, 60), rng.random(60)
    for threshold in (0.1, 0.4, 0.9):
        kept = []
        for i in np.argsort(-scores):
            ratios = [np.divide(*overlap(boxes[i], boxes[k])) for k in kept]
            if all(ratio <= threshold for ratio in ratios):
                kept.append(i)
        found = ops.nms(fastdl.tensor(boxes), fastdl.tensor(scores), threshold)
        assert found.dtype is fastdl.int64
        assert found.tolist() == kept
    kinds = rng.integers(0, 3, 60)
    expected = []
    for kind in range(3):
        own = np.flatnonzero(kinds == kind)
        kept = ops.nms(fastdl.tensor(boxes[own]), fastdl.tensor(scores[own]), 0.4)
        expected += own[kept.numpy()].tolist()
    expected.sort(key=lambda i: -scores[i])
    tensors = [fastdl.tensor(values) for values in (boxes, scores, kinds)]
    assert ops.batched_nms(*tensors, 0.4).tolist() == expected
    empty = fastdl.zeros(0, 4), fastdl.zeros(0)
    assert ops.nms(*empty, 0.5).tolist() == []
    assert ops.batched_nms(*empty, fastdl.zeros(0, dtype=fastdl.int64), 0.5).tolist() == []
    with pytest.raises(RuntimeError, match="number of elements"):
        ops.nms(fastdl.zeros(3, 4), fastdl.zeros(2), 0.5)
    with pytest.raises(RuntimeError, match=r"\(N, 4\)"):
        ops.nms(fastdl.zeros(3, 5), fastdl.zeros(3), 0.5)


def interpolated(plane, y, x):
    """A value between four pixels; 0 beyond one pixel outside."""
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    i, j = int(y), int(x)
    below, right = min(i + 1, height - 1), min(j + 1, width - 1)
    v, u = y - i, x - j
    top = plane[i, j] * (1 - u) + plane[i, right] * u
    return top * (1 - v) + (plane[below, j] * (1 - u) + plane[below, right] * u) * v


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [-1, 2])
def test_roi_align(ratio, aligned, rng):
    x = rng.standard_normal((2, 3, 9, 11))
    regions = [(1, 2.3, 1.7, 15.0, 12.2), (0, -7.0, -6.0, 3.0, 30.0), (1, 4.0, 4.0, 4.2, 4.1)]
    scale, (rows, columns) = 0.7, (2, 3)
    expected = np.zeros((3, 3, rows, columns))
    for k, (image, *box) in enumerate(regions):
        x1, y1, x2, y2 = (v * scale - 0.5 * aligned for v in box)
        h, w = y2 - y1, x2 - x1
        h, w = (h, w) if aligned else (max(h, 1), max(w, 1))
        down = ratio if ratio > 0 else max(1, math.ceil(h / rows))
        across = ratio if ratio > 0 else max(1, math.ceil(w / columns))
        for c in range(3):
            for i in range(rows):
                for j in range(columns):
                    expected[k, c, i, j] = np.mean([
                        interpolated(
                            x[image, c],
                            y1 + h / rows * (i + (a + 0.5) / down),
                            x1 + w / columns * (j + (b + 0.5) / across),
                        )
                        for a in range(down) for b in range(across)
                    ])  # fmt: skip
    boxes = fastdl.tensor(regions, dtype=fastdl.float64)
    found = ops.roi_align(fastdl.tensor(x), boxes, (rows, columns), scale, ratio, aligned)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-14)
    layer = ops.RoIAlign((rows, columns), scale, ratio, aligned)
    listed = [boxes[1:2, 1:], boxes[[0, 2], 1:]]
    np.testing.assert_array_equal(layer(fastdl.tensor(x), listed).numpy(), found.numpy()[[1, 0, 2]])
    taken = fastdl.tensor(x[:, :1], requires_grad=True)
    assert gradcheck(lambda t: ops.roi_align(t, boxes, 2, scale, ratio, aligned), [taken])


def test_roi_pool(rng):
    x = rng.standard_normal((2, 2, 8, 9))
    regions = [(0, 1.0, 2.0, 12.0, 9.0), (1, -4.0, 3.0, 2.0, 40.0), (1, 100.0, 100.0, 120.0, 120.0)]
    scale, rows, columns = 0.5, 3, 2
    expected = np.zeros((3, 2, rows, columns))
    for k, (image, *box) in enumerate(regions):
        x1, y1, x2, y2 = (math.floor(v * scale + 0.5) for v in box)
        high, wide = max(y2 - y1 + 1, 1) / rows, max(x2 - x1 + 1, 1) / columns
        for i in range(rows):
            for j in range(columns):
                ys = range(y1 + math.floor(i * high), y1 + math.ceil((i + 1) * high))
                xs = range(x1 + math.floor(j * wide), x1 + math.ceil((j + 1) * wide))
                inside = [(y, z) for y in ys for z in xs if 0 <= y < 8 and 0 <= z < 9]
                for c in range(2):
                    values = [x[image, c, y, z] for y, z in inside]
                    expected[k, c, i, j] = max(values, default=0.0)
    boxes = fastdl.tensor(regions, dtype=fastdl.float64)
    found = ops.RoIPool((rows, columns), scale)(fastdl.tensor(x), boxes)
    np.testing.assert_array_equal(found.numpy(), expected)
    taken = fastdl.tensor(x, requires_grad=True)
    assert gradcheck(lambda t: ops.roi_pool(t, boxes, 2, scale), [taken])
    assert tuple(ops.roi_pool(fastdl.tensor(x), fastdl.zeros(0, 5), 2).shape) == (0, 2, 2, 2)
    with pytest.raises(IndexError, match="image"):
        ops.roi_pool(fastdl.tensor(x), fastdl.tensor([[2.0, 0, 0, 1, 1]]), 2)
    with pytest.raises(ValueError, match=r"\(K, 5\)"):
        ops.roi_pool(fastdl.tensor(x), fastdl.zeros(2, 4), 2)
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        ops.roi_align(fastdl.zeros(3, 4), fastdl.zeros(2, 5), 2)


@pytest.mark.parametrize("alpha", [0.25, 0.7, -1])
def test_focal_loss(alpha, rng):
    x, y = rng.standard_normal((4, 5)), rng.integers(0, 2, (4, 5)).astype(float)
    p = 1 / (1 + np.exp(-x))
    given = np.where(y == 1, p, 1 - p)
    weight = np.where(y == 1, alpha, 1 - alpha) if alpha >= 0 else 1.0
    expected = -weight * (1 - given) ** 1.5 * np.log(given)
    logits, targets = fastdl.tensor(x, requires_grad=True), fastdl.tensor(y)
    for reduction, reduce in (("none", lambda v: v), ("mean", np.mean), ("sum", np.sum)):
        found = ops.sigmoid_focal_loss(logits, targets, alpha, 1.5, reduction)
        np.testing.assert_allclose(found.detach().numpy(), reduce(expected), rtol=1e-12)
    assert gradcheck(lambda t: ops.sigmoid_focal_loss(t, targets, alpha), [logits])
    with pytest.raises(ValueError, match="alpha"):
        ops.sigmoid_focal_loss(logits, targets, 1.5)


def test_loss_of_overlap(rng):
    first, second = some_boxes(rng, 5), some_boxes(rng, 5)
    found = ops.generalized_box_iou_loss(fastdl.tensor(first), fastdl.tensor(second))
    expected = [1 - definition("generalized_box_iou", a, b) for a, b in zip(first, second)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)  # eps, 1e-7, over areas >= 1
    mean = ops.generalized_box_iou_loss(fastdl.tensor(first), fastdl.tensor(second), "mean")
    assert mean.item() == pytest.approx(found.mean().item(), rel=1e-14)
