"""Optimizer: parameter groups, state and their dicts; the update rules live beside this file."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import numpy as np

from fastdl._engine import changed, drop_gradients, gather
from fastdl.autograd import enable_grad
from fastdl.backends import of
from fastdl.ops.creation import as_tensor
from fastdl.tensor import Tensor

__all__ = ["Optimizer"]


def check_hyperparameter(name: str, value: float, at_least: float = 0.0) -> None:
    """ValueError unless `value` >= `at_least`."""
    if not at_least <= float(value):
        raise ValueError(f"Invalid {name} value: {value}")


class Optimizer:
    """Base class: subclasses define :meth:`_update` and :meth:`_names`, or :meth:`step` itself.

    Args:
        params: the Tensors to optimise, ``(name, Tensor)`` pairs, or dicts of parameter groups,
            each with the key ``"params"`` and options of its own.
        defaults: the options of groups that do not set them.

    Attributes:
        param_groups: a list of dicts with ``"params"`` and the options; change them at will.
        state: parameter -> dict of what the rule remembers about it.

    Raises:
        TypeError: `params` holds something else, or is a Tensor or a set.
        ValueError: there is no parameter, one comes twice, or one is not a leaf.
    """

    def __init__(self, params: Iterable, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or "
                f"dicts, but got {type(params).__name__}"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group of parameters: a dict with ``"params"`` and options."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        params = [params] if isinstance(params, Tensor) else list(params)
        group = {**self.defaults, **param_group, "params": params}
        if params and isinstance(params[0], tuple):
            group["param_names"] = [name for name, _ in params]
            group["params"] = params = [param for _, param in params]
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is "
                    f"{type(param).__name__}"
                )
            if not param.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        ids = [id(p) for p in chain(params, *(g["params"] for g in self.param_groups))]
        if len(ids) != len(set(ids)):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or fills them with zeros."""
        for group in self.param_groups:
            if set_to_none:
                drop_gradients(group["params"])
                continue
            for param in group["params"]:
                if param.grad is not None:
                    param.grad = param.grad.detach()
                    param.grad.zero_()

    def step(self, closure: Callable | None = None):
        """Updates the parameters by their gradients; `closure` recomputes the loss, which is then
        returned. Parameters without gradient are passed over."""
        loss = self._loss_of(closure)
        for group in self.param_groups:
            found = gather(group, self.state, self._names(group), self._begin)
            params, arrays, grads, states, steps = found
            if params:
                self._update(of(arrays[0]), group, arrays, grads, states, steps)
                changed(params)
        return loss

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Names of the arrays that the rule keeps for a parameter of `group`."""
        return ()

    def _update(self, backend, group: dict[str, Any], params, grads, states, steps) -> None:
        """One step of the rule in place: a call of `backend`, the module for the arrays' device.

        params, grads: lists of arrays; states: a list of arrays for each of :meth:`_names`; steps:
        the number of this step for each parameter.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no step")

    def _begin(self, param: Tensor, group: dict[str, Any], state: dict[str, Any], names) -> None:
        """Completes the state of a parameter: no steps yet, zeros of its shape by `names`."""
        state.setdefault("step", 0)
        for name in names:
            if state.get(name) is None:
                state[name] = param.new_zeros(param.shape)

    @staticmethod
    def _loss_of(closure: Callable | None):
        if closure is None:
            return None
        with enable_grad():
            return closure()

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {index: ...}, "param_groups": [...]}`` with parameters numbered in order."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers.setdefault(id(p), len(numbers)) for p in group["params"]]
            groups.append(packed)
        state = {numbers[id(p)]: dict(values) for p, values in self.state.items() if values}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over groups and state that :meth:`state_dict` gave, here or in PyTorch.

        Raises:
            ValueError: the groups differ in number or in size.
        """
        groups = copy.deepcopy(state_dict["param_groups"])
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        by_number: dict[int, Tensor] = {}
        for group, saved in zip(self.param_groups, groups, strict=True):
            if len(group["params"]) != len(saved["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    "optimizer's group"
                )
            by_number.update(zip(saved["params"], group["params"], strict=True))
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            param = by_number[number]
            state[param] = {name: restore(name, value, param) for name, value in values.items()}
        for group, saved in zip(self.param_groups, groups, strict=True):
            saved["params"] = group["params"]
        self.param_groups = [
            {**group, **saved} for group, saved in zip(self.param_groups, groups, strict=True)
        ]
        self.state = state

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            lines = [f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params"]
            text += f"\nParameter Group {i}\n" + "".join(lines)
        return text + ")"


def options_of(group: dict[str, Any], *names: str) -> dict[str, Any]:
    """The options of a group that backends know by the same name; lr, which may be a Tensor, as a
    float."""
    return {"lr": float(group["lr"]), **{name: group[name] for name in names}}


def restore(name: str, value, param: Tensor):
    """A loaded entry of the state: a number for ``step`` and other single numbers, an own copy in
    the parameter's dtype for an array."""
    if name == "step":
        return int(value)
    if name in ("mu_product", "eta", "mu"):
        return float(value)
    if value is None or isinstance(value, int | float | list | np.ndarray):
        return copy.deepcopy(value)
    return as_tensor(value).detach().to(param.dtype).clone()
