"""Gradients against finite differences: `gradcheck` and, for second derivatives,
`gradgradcheck`.
"""

import numpy as np

from fastdl._engine import TensorBase, set_recording, tensor_of
from fastdl.autograd.gradients import grad


class GradcheckError(RuntimeError):
    """A gradient function disagrees with finite differences."""


def _outputs(function, inputs):
    found = function(*inputs)
    found = found if isinstance(found, tuple) else (found,)
    return [y for y in found if isinstance(y, TensorBase) and y.array.dtype.kind == "f"]


def _weights(outputs, rng):
    return [tensor_of(rng.uniform(0.5, 1.5, y.array.shape) * rng.choice([-1, 1])) for y in outputs]


def _weighted(function, inputs, weights):
    """sum(weights * outputs), a Python number."""
    before = set_recording(False)
    try:
        outputs = _outputs(function, inputs)
    finally:
        set_recording(before)
    return sum([float((w.array * y.array).sum()) for w, y in zip(weights, outputs)])


def gradcheck(function, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, seed=0):
    """Compare the gradient of a randomly weighted sum of `function(*inputs)` with central
    differences.

    inputs: float64 Tensors that require grad are checked element by element; others are passed on.
    The error of a central difference is about eps**2 times the third derivative plus rounding /
    eps: 1e-10 relative here, far below the tolerances, which leave room for steep functions.
    Returns True; raises GradcheckError (or returns False) naming the input and element that
    disagrees.
    """
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    checked = [x for x in inputs if isinstance(x, TensorBase) and x.requires_grad]
    if not checked:
        raise ValueError("gradcheck: at least one input must be a Tensor that requires grad")
    for x in checked:
        if x.array.dtype != np.float64:
            raise ValueError(f"gradcheck: inputs must be float64, got {x.array.dtype}")
    rng = np.random.default_rng(seed)
    outputs = _outputs(function, inputs)
    weights = _weights(outputs, rng)
    recorded = [(y, w) for y, w in zip(outputs, weights) if y.requires_grad]
    if recorded:
        ys, ws = zip(*recorded)
        slopes = grad(ys, checked, ws, allow_unused=True)
    else:
        slopes = [None] * len(checked)
    for number, (x, slope) in enumerate(zip(checked, slopes)):
        analytic = np.zeros_like(x.array) if slope is None else slope.array
        if analytic.shape != x.array.shape:
            raise GradcheckError(
                f"input {number}: gradient of shape {analytic.shape} for {x.array.shape}"
            )
        for place in np.ndindex(x.array.shape):
            kept = x.array[place]
            x.array[place] = kept + eps
            above = _weighted(function, inputs, weights)
            x.array[place] = kept - eps
            below = _weighted(function, inputs, weights)
            x.array[place] = kept
            numeric = (above - below) / (2 * eps)
            if not abs(numeric - analytic[place]) <= atol + rtol * abs(numeric):
                if not raise_exception:
                    return False
                raise GradcheckError(
                    f"input {number}, element {place}: gradient {analytic[place]:.9g}, finite "
                    f"difference {numeric:.9g}"
                )
    return True


def gradgradcheck(function, inputs, **options):
    """`gradcheck` of the gradients of `function`, by its inputs and by the seed."""
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    which = [i for i, x in enumerate(inputs) if isinstance(x, TensorBase) and x.requires_grad]
    outputs = _outputs(function, inputs)
    seeds = [w.requires_grad_() for w in _weights(outputs, np.random.default_rng(1))]

    def gradients(*values):
        xs, ws = values[: len(inputs)], values[len(inputs) :]
        before = set_recording(True)
        try:
            recorded = [(y, w) for y, w in zip(_outputs(function, xs), ws) if y.requires_grad]
            if not recorded:
                return ()
            ys, vs = zip(*recorded)
            found = grad(ys, [xs[i] for i in which], vs, create_graph=True, allow_unused=True)
        finally:
            set_recording(before)
        return tuple([g for g in found if g is not None])

    return gradcheck(gradients, (*inputs, *seeds), **options)
