"""Pruning: parameters multiplied by masks of 0 and 1 before each forward.

A pruned parameter ``NAME`` becomes the parameter ``NAME_orig``, the buffer ``NAME_mask`` and a
plain attribute, their product. Pruned again, it loses more of what is left; :func:`remove` makes
the product the parameter for good.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable

from fastdl.nn.utils.convert_parameters import parameters_to_vector
from fastdl.ops.creation import ones_like, zeros_like
from fastdl.ops.random import rand
from fastdl.tensor import Tensor

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


# ---- how masks are applied ----------------------------------------------------------------------


class BasePruningMethod(ABC):
    """The hook of a pruned parameter. A subclass says in ``compute_mask(t, default_mask)`` what to
    prune of the tensor t, starting from a mask that has been applied already, and in
    `PRUNING_TYPE` what it is shown of a tensor pruned before: ``"unstructured"`` the elements that
    are left, ``"structured"`` the channels along its `dim` that are, ``"global"`` everything."""

    PRUNING_TYPE = "unstructured"
    _tensor_name: str | None = None

    def __call__(self, module, inputs) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask, of the shape of t."""

    def apply_mask(self, module) -> Tensor:
        """The original parameter times its mask."""
        if self._tensor_name is None:
            raise AssertionError(f"Module {module} has to be pruned")
        mask = getattr(module, self._tensor_name + "_mask")
        original = getattr(module, self._tensor_name + "_orig")
        return mask.to(original.dtype) * original

    @classmethod
    def apply(cls, module, name: str, *args, importance_scores=None, **kwargs):
        """Prunes the parameter `name` by a method made of the other arguments; returns the hook.

        `importance_scores`, of the parameter's shape, are judged in place of its values.
        """
        method = cls(*args, **kwargs)
        method._tensor_name = name
        key, before = find_method(module, name)
        value = getattr(module, name)
        scores = value if importance_scores is None else importance_scores
        if scores.shape != value.shape:
            raise AssertionError(
                "importance_scores should have the same shape as parameter "
                f"{name} of {module}, got {scores.shape} vs {value.shape}"
            )
        if before is None:
            mask = method.compute_mask(scores.detach(), default_mask=ones_like(value))
            delattr(module, name)
            module.register_parameter(name + "_orig", value)
        else:
            chain = before if isinstance(before, PruningContainer) else PruningContainer(before)
            chain.add_pruning_method(method)
            method = chain
            mask = getattr(module, name + "_mask").detach().clone()
            mask = method.compute_mask(scores.detach(), default_mask=mask)
            del module._forward_pre_hooks[key]
        module.register_buffer(name + "_mask", mask)
        method(module, ())
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Tensor, default_mask=None, importance_scores=None) -> Tensor:
        """t times the mask that the method finds for it."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError(
                "importance_scores should have the same shape as tensor t, "
                f"got {scores.shape} vs {t.shape}"
            )
        default_mask = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=default_mask)

    def remove(self, module) -> None:
        """Makes the pruned tensor the parameter; the hook itself stays."""
        pruned = self.apply_mask(module)
        name = self._tensor_name
        original = getattr(module, name + "_orig")
        original.data = pruned.detach()
        for end in ("", "_orig", "_mask"):
            delattr(module, name + end)
        setattr(module, name, original)


class PruningContainer(BasePruningMethod):
    """Methods that pruned one parameter, one after the other."""

    def __init__(self, *args) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if len(args) == 1:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method) -> None:
        """Appends a method for the same parameter.

        Raises:
            TypeError: it is none.
            ValueError: it is for another parameter.
        """
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method._tensor_name != self._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self):
        return iter(self._pruning_methods)

    def __getitem__(self, idx):
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask of the last method, which sees only what the others have left."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(t.dtype).clone()
        if method.PRUNING_TYPE == "unstructured":
            left = mask == 1
        elif method.PRUNING_TYPE == "structured":
            dim = _normal_dim(t, method.dim)
            others = [d for d in range(t.ndim) if d != dim]
            left = (slice(None),) * dim + (mask.sum(others) != 0,)
        elif method.PRUNING_TYPE == "global":
            left = (slice(None),) * t.ndim
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        mask[left] = method.compute_mask(t[left], default_mask=mask[left]).to(mask.dtype)
        return mask


def find_method(module, name: str):
    """The key and the hook of the parameter `name`, None twice if it is not pruned."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return key, hook
    return None, None


# ---- how much and what --------------------------------------------------------------------------


def _check_amount(amount) -> None:
    """Raises unless it is a number >= 0 of elements, or a part in [0, 1]."""
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or not (isinstance(amount, numbers.Integral) or amount <= 1):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative "
            "integer"
        )


def _number_of(amount, total: int) -> int:
    """How many of `total` are meant; ValueError if more than there are."""
    if not isinstance(amount, numbers.Integral):
        return round(amount * total)
    if amount > total:
        raise ValueError(
            f"amount={amount} should be smaller than the number of parameters to prune={total}"
        )
    return int(amount)


def _normal_dim(t: Tensor, dim: int) -> int:
    if not -t.ndim <= dim < t.ndim:
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")
    return dim % t.ndim


class Identity(BasePruningMethod):
    """Prunes nothing: the parameter gets a mask of ones."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class _Unstructured(BasePruningMethod):
    """Prunes the `amount` elements of the lowest scores."""

    def __init__(self, amount) -> None:
        _check_amount(amount)
        self.amount = amount

    def scores(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = _number_of(self.amount, t.numel())
        mask = default_mask.clone().reshape(-1)
        if count:
            mask[self.scores(t).reshape(-1).topk(count, largest=False).indices] = 0
        return mask.reshape(default_mask.shape)


class RandomUnstructured(_Unstructured):
    """Prunes random elements: `amount` of them, or that part of all."""

    def scores(self, t: Tensor) -> Tensor:
        return rand(t.shape)


class L1Unstructured(_Unstructured):
    """Prunes the elements nearest to 0: `amount` of them, or that part of all."""

    def scores(self, t: Tensor) -> Tensor:
        return t.abs()


class _Structured(BasePruningMethod):
    """Prunes the `amount` channels along `dim` of the lowest scores."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount = amount
        self.dim = dim

    def scores(self, t: Tensor, dim: int) -> Tensor:
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if t.ndim <= 1:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors. Found tensor "
                f"of shape {t.shape} with {t.ndim} dims"
            )
        dim = _normal_dim(t, self.dim)
        count = _number_of(self.amount, t.shape[dim])
        if count == 0:
            return default_mask
        kept = self.scores(t, dim).topk(t.shape[dim] - count).indices
        mask = zeros_like(t)
        mask[(slice(None),) * dim + (kept,)] = 1
        return mask * default_mask.to(mask.dtype)


class RandomStructured(_Structured):
    """Prunes random channels along `dim`: `amount` of them, or that part of all."""

    def scores(self, t: Tensor, dim: int) -> Tensor:
        return rand(t.shape[dim])


class LnStructured(_Structured):
    """Prunes the channels along `dim` of the smallest n-norm: `amount`, or that part of all."""

    def __init__(self, amount, n, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def scores(self, t: Tensor, dim: int) -> Tensor:
        return t.norm(self.n, [d for d in range(t.ndim) if d != dim])


class CustomFromMask(BasePruningMethod):
    """Prunes where a given mask is 0."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"default_mask shape {default_mask.shape} must match mask shape {self.mask.shape}"
            )
        return default_mask * self.mask.to(default_mask.dtype)


# ---- functions ----------------------------------------------------------------------------------


def identity(module, name):
    """Gives the parameter `name` a mask of ones; returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module, name, amount):
    """Prunes random elements of the parameter `name`.

    Args:
        module: the layer.
        name: of its parameter.
        amount: how many, or a float: which part.

    Returns:
        The module.

    Raises:
        TypeError: `amount` is no number.
        ValueError: it is negative, or more than there is.
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module, name, amount, importance_scores=None):
    """Prunes the elements of the parameter `name` nearest to 0, or of the lowest absolute
    `importance_scores`; other arguments and errors as in :func:`random_unstructured`."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module, name, amount, dim):
    """Prunes random channels of the parameter `name` along `dim`; other arguments and errors as
    in :func:`random_unstructured`."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module, name, amount, n, dim, importance_scores=None):
    """Prunes the channels of the parameter `name` along `dim` of the smallest n-norm; other
    arguments and errors as in :func:`l1_unstructured`."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module, name, mask):
    """Prunes the parameter `name` where `mask` is 0; returns the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters, pruning_method, importance_scores=None, **kwargs) -> None:
    """Prunes several parameters together: what is pruned is chosen among the elements of all.

    Args:
        parameters: (module, name) pairs.
        pruning_method: a class of `PRUNING_TYPE` ``"unstructured"``, as :class:`L1Unstructured`.
        importance_scores: {(module, name): tensor} of what is judged in place of the values.
        kwargs: what the class takes, as ``amount``.

    Raises:
        TypeError: an argument is of another kind.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    if not isinstance(importance_scores, dict | None):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    parameters = list(parameters)
    tensors = [getattr(module, name).detach() for module, name in parameters]
    scores = importance_scores or {}
    masks = [
        getattr(module, name + "_mask", ones_like(tensor))
        for (module, name), tensor in zip(parameters, tensors, strict=True)
    ]
    mask = PruningContainer(method).compute_mask(
        parameters_to_vector(map(scores.get, parameters, tensors)), parameters_to_vector(masks)
    )
    parts = mask.split([tensor.numel() for tensor in tensors])
    for (module, name), tensor, part in zip(parameters, tensors, parts, strict=True):
        custom_from_mask(module, name, part.reshape(tensor.shape))


def remove(module, name):
    """Makes the pruned tensor the parameter `name` for good; returns the module.

    Raises:
        ValueError: it is not pruned.
    """
    key, hook = find_method(module, name)
    if hook is None:
        raise ValueError(
            f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
        )
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module


def is_pruned(module) -> bool:
    """Whether a parameter of the module or a submodule is pruned."""
    return any(
        isinstance(hook, BasePruningMethod)
        for submodule in module.modules()
        for hook in submodule._forward_pre_hooks.values()
    )
