"""L-BFGS: a quasi-Newton method for small problems and whole batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastdl._engine import changed
from fastdl.autograd import enable_grad, no_grad
from fastdl.optim.optimizer import Optimizer, check_hyperparameter

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Limited-memory BFGS (Liu & Nocedal 1989): the curvature from the last `history_size` steps.

    ``step(closure)`` takes up to `max_iter` steps of the method; `closure` clears the gradients,
    computes the loss, calls ``backward()`` and returns the loss.

    Args:
        params: parameters, in one group.
        lr: the length of a step, or of the first trial of a line search.
        max_iter: steps in a call.
        max_eval: calls of the closure in a call of ``step``; by default 1.25 `max_iter`.
        tolerance_grad, tolerance_change: stop where no element of the gradient, or no change of
            parameters or loss, is greater.
        history_size: how many steps are remembered.
        line_search_fn: None, or ``"strong_wolfe"`` (Nocedal & Wright 2006, algorithms 3.5, 3.6).

    Raises:
        ValueError: more than one parameter group, or `lr` is negative.
        RuntimeError: an unknown line search.
        TypeError: ``step`` without a closure.
    """

    def __init__(
        self,
        params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_hyperparameter("learning rate", lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        if line_search_fn not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")

    # -- parameters and gradients as one vector

    @property
    def _params(self):
        return self.param_groups[0]["params"]

    def _gradient(self) -> np.ndarray:
        parts = [
            np.zeros(p.numel(), p.array.dtype) if p.grad is None else p.grad.array.ravel()
            for p in self._params
        ]
        return np.concatenate(parts)

    def _move(self, start: list[np.ndarray], direction: np.ndarray, t: float) -> None:
        """Sets the parameters to start + t * direction."""
        at = 0
        for p, x in zip(self._params, start, strict=True):
            part = direction[at : at + x.size].reshape(x.shape)
            np.add(x, part * x.dtype.type(t), out=p.array)
            at += x.size
        changed(self._params)

    def step(self, closure: Callable):
        """Up to `max_iter` steps; returns the loss at the start."""
        if closure is None:
            raise TypeError("LBFGS: step() needs a closure that recomputes the loss")
        group = self.param_groups[0]
        state = self.state[self._params[0]]

        def evaluate():
            state["func_evals"] = state.get("func_evals", 0) + 1
            with enable_grad():
                loss = closure()
            return loss, self._gradient()

        with no_grad():
            first, gradient = evaluate()
            if np.abs(gradient).max(initial=0.0) > group["tolerance_grad"]:
                self._iterate(group, state, evaluate, float(first), gradient)
        return first

    def _iterate(self, group, state, evaluate, loss, gradient) -> None:
        lr, small = float(group["lr"]), group["tolerance_change"]
        evaluations = state["func_evals"] - 1
        for n in range(1, group["max_iter"] + 1):
            state["n_iter"] = state.get("n_iter", 0) + 1
            if state["n_iter"] == 1:
                state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
                t = min(1.0, 1.0 / float(np.abs(gradient).sum())) * lr
            else:
                _remember(state, gradient, group["history_size"])
                t = lr
            direction = _direction(state, -gradient)
            state.update(prev_flat_grad=gradient, prev_loss=loss)
            before, slope = loss, float(gradient @ direction)
            if slope > -small:
                state.update(d=direction, t=t)
                return
            start = [p.array.copy() for p in self._params]

            def trial(t, start=start, direction=direction):
                self._move(start, direction, t)
                f, g = evaluate()
                return _Trial(t, float(f), g, float(g @ direction))

            if group["line_search_fn"] is not None:
                here = _Trial(0.0, loss, gradient, slope)
                left = group["max_eval"] - (state["func_evals"] - evaluations)
                reach = np.abs(direction).max()
                t, loss, gradient, _ = _strong_wolfe(trial, here, t, reach, small, left)
                self._move(start, direction, t)
            elif n != group["max_iter"]:
                t, loss, gradient, _ = trial(t)
            else:
                self._move(start, direction, t)
            state.update(d=direction, t=t)
            if (
                state["func_evals"] - evaluations >= group["max_eval"]
                or np.abs(gradient).max() <= group["tolerance_grad"]
                or np.abs(direction * t).max() <= small
                or abs(loss - before) < small
            ):
                return


def _remember(state, gradient, history_size) -> None:
    """Adds the last step and the change of the gradient along it, if the curvature is positive."""
    change, step = gradient - state["prev_flat_grad"], state["d"] * state["t"]
    curvature = float(change @ step)
    if curvature > 1e-10:
        kept = state["old_dirs"], state["old_stps"], state["ro"]
        if len(state["ro"]) == history_size:
            for values in kept:
                values.pop(0)
        for values, value in zip(kept, (change, step, 1.0 / curvature), strict=True):
            values.append(value)
        state["H_diag"] = curvature / float(change @ change)


def _direction(state, q):
    """q times the inverse Hessian that the remembered steps give: the two-loop recursion."""
    past = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
    weights = []
    for change, step, ro in reversed(past):
        weights.append(float(step @ q) * ro)
        q = q - change * weights[-1]
    r = q * state["H_diag"]
    for (change, step, ro), weight in zip(past, reversed(weights), strict=True):
        r = r + step * (weight - float(change @ r) * ro)
    return r.astype(q.dtype, copy=False)


# ---- line search --------------------------------------------------------------------------------


class _Trial(NamedTuple):
    """A point on the line: how far, the loss, the gradient, and its slope along the line."""

    t: float
    f: float
    g: np.ndarray
    slope: float


def _cubic_minimum(a: _Trial, b: _Trial, low: float, high: float) -> float:
    """Where the cubic through two values and slopes is least, within [low, high]."""
    if a.t > b.t:
        a, b = b, a
    middle = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = middle * middle - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    root = math.sqrt(square)
    t = b.t - (b.t - a.t) * ((b.slope + root - middle) / (b.slope - a.slope + 2 * root))
    return min(max(t, low), high)


def _strong_wolfe(
    trial, start: _Trial, t: float, reach: float, small: float, most: int, c1=1e-4, c2=0.9
) -> _Trial:
    """A point that fulfils the strong Wolfe conditions, or the best found in `most` trials.

    First trials ever farther out, until two of them have such a point between them; then trials
    between those two.
    """
    falls_short = lambda x: x.f > start.f + c1 * x.t * start.slope
    is_flat = lambda x: abs(x.slope) <= -c2 * start.slope
    before, now, tries = start, trial(t), 0
    while tries < most:
        if falls_short(now) or (tries > 1 and now.f >= before.f):
            break
        if is_flat(now):
            return now
        if now.slope >= 0:
            break
        farther = _cubic_minimum(before, now, now.t + 0.01 * (now.t - before.t), now.t * 10)
        before, now, tries = now, trial(farther), tries + 1
    else:
        before = start
    low, high = (before, now) if before.f <= now.f else (now, before)
    stalled = False
    while tries < most and abs(high.t - low.t) * reach >= small:
        left, right = sorted((low.t, high.t))
        t = _cubic_minimum(low, high, left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            # Near an end twice, or at it: a tenth of the way inwards.
            if stalled or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stalled = False
            else:
                stalled = True
        else:
            stalled = False
        now, tries = trial(t), tries + 1
        if falls_short(now) or now.f >= low.f:
            high = now
            if high.f < low.f:
                low, high = high, low
            continue
        if is_flat(now):
            return now
        if now.slope * (high.t - low.t) >= 0:
            high = low
        low = now
    return low
