"""Parametrizations: tensors of a module that are functions of others, which are trained.

A parametrized module gets a class of its own, ``ParametrizedNAME``, on which the tensor is a
property: reading it runs the parametrizations on the original, assigning to it runs their
``right_inverse``. The originals stand in ``module.parametrizations.TENSOR.original`` (or
``original0``, ``original1``, ... where there are several), as PyTorch names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager, suppress

from fastdl.autograd import no_grad
from fastdl.nn.container import ModuleDict, ModuleList
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter
from fastdl.tensor import Tensor

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

_cache: dict[tuple[int, str], Tensor] = {}
_cached_depth = 0  # how many `cached` blocks are open


@contextmanager
def cached():
    """Within the block each parametrized tensor is computed once, however often it is read."""
    global _cached_depth
    _cached_depth += 1
    try:
        yield
    finally:
        _cached_depth -= 1
        if not _cached_depth:
            _cache.clear()


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _check_same(what: str, found, expected: Tensor) -> None:
    """ValueError unless `found` is a Tensor of the dtype and shape of `expected`."""
    if not isinstance(found, Tensor):
        raise ValueError(f"{what} must return a tensor. Got {type(found).__name__}.")
    if found.dtype != expected.dtype:
        raise ValueError(
            f"{what} may not change the dtype of the tensor, unless the `unsafe` flag is enabled: "
            f"expected {expected.dtype}, got {found.dtype}"
        )
    if found.shape != expected.shape:
        raise ValueError(
            f"{what} may not change the shape of the tensor, unless the `unsafe` flag is enabled: "
            f"expected {expected.shape}, got {found.shape}"
        )


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, first to last, and its original or originals.

    Args:
        modules: the parametrizations, at least one.
        original: the tensor's value so far.
        unsafe: skip the check that shape and dtype stay what they are.

    Raises:
        ValueError: there is none, or what a ``right_inverse`` or the first one returns is not a
            tensor (or tensors) that fits.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = original.detach()
        with no_grad():
            new = original
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    with suppress(NotImplementedError):  # taken for the identity, as without
                        new = module.right_inverse(new)
        self.is_tensor = isinstance(new, Tensor)
        if not self.is_tensor and not isinstance(new, Sequence):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            if new.dtype != original.dtype:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                    f"original.dtype: {original.dtype}\nright_inverse(original).dtype: {new.dtype}"
                )
            original.data = new.detach()  # the same object: optimizers know it
            _register(self, "original", original)
        else:
            for i, part in enumerate(new):
                if not isinstance(part, Tensor):
                    raise ValueError(
                        "'right_inverse' must return a Tensor or a Sequence of tensors (list, "
                        f"tuple...). Got element {i} of the sequence with type "
                        f"{type(part).__name__}."
                    )
                if isinstance(original, Parameter):
                    part = Parameter(part.detach(), original.requires_grad)
                _register(self, f"original{i}", part)
        if not unsafe:
            _check_same("A parametrization", self(), before)

    def _originals(self) -> list[Tensor]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Sets the originals so that the parametrizations give `value`.

        Raises:
            RuntimeError: a parametrization has no ``right_inverse``.
            ValueError: what it returns does not fit the originals.
        """
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                value = module.right_inverse(value)
            parts = [value] if self.is_tensor else value
            originals = self._originals()
            if not isinstance(parts, Sequence) or len(parts) != len(originals):
                raise ValueError(
                    f"'right_inverse' must return a sequence of {len(originals)} tensors."
                )
            for original, part in zip(originals, parts, strict=True):
                if not isinstance(part, Tensor):
                    raise ValueError(
                        f"`right_inverse` should return a tensor. Got {type(part).__name__}"
                    )
                if part.dtype != original.dtype:
                    raise ValueError(
                        f"The tensor returned by `right_inverse` has dtype {part.dtype} while "
                        f"the original has dtype {original.dtype}"
                    )
                original.data = part.detach()

    def forward(self) -> Tensor:
        """The tensor: the parametrizations applied to the originals."""
        values = self._originals()
        for module in self:
            values = [module(*values)]
        return values[0]


def _parametrized_tensor(name: str) -> property:
    def read(self):
        if not _cached_depth:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = self.parametrizations[name]()
        return _cache[key]

    def write(self, value):
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def _parametrized_class(base: type) -> type:
    """A subclass for one module, to hold its properties; copies get classes of their own."""

    def reduce(self):
        return _rebuild, (base, list(self.parametrizations.keys())), self.__dict__

    return type(f"Parametrized{base.__name__}", (base,), {"__reduce__": reduce})


def _rebuild(base: type, names: list[str]) -> Module:
    cls = _parametrized_class(base)
    for name in names:
        setattr(cls, name, _parametrized_tensor(name))
    return cls.__new__(cls)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Makes a tensor of `module` a function of its original.

    Args:
        module: any module.
        tensor_name: a parameter or buffer of it, parametrized already or not; a further
            parametrization is applied to what those before it give.
        parametrization: a module; its forward takes the original (or several of them) and returns
            the tensor. Where it has a method ``right_inverse``, that gives the original of the
            present value, and of values assigned later.
        unsafe: skip the check that the parametrization keeps shape and dtype.

    Returns:
        The module.

    Raises:
        ValueError: there is no such tensor, or shapes, dtypes or what is returned do not fit.

    >>> import fastdl
    >>> from fastdl.nn.utils import parametrize
    >>> class Symmetric(fastdl.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).t()
    >>> layer = parametrize.register_parametrization(
    ...     fastdl.nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.t()).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            value = getattr(module, tensor_name)
            result = parametrization(value)
            _check_same("A parametrization", result, value)
            if hasattr(parametrization, "right_inverse"):
                try:
                    inverse = parametrization.right_inverse(result)
                except NotImplementedError:
                    pass
                else:
                    _check_same("parametrization.right_inverse", inverse, value)
        chain = module.parametrizations[tensor_name]
        chain.append(parametrization)
        chain.unsafe |= unsafe
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a "
            f"parametrized element with name '{tensor_name}'"
        )
    chain = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.__class__ = _parametrized_class(type(module))
        module.parametrizations = ModuleDict()
    setattr(type(module), tensor_name, _parametrized_tensor(tensor_name))
    module.parametrizations._modules[tensor_name] = chain
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the tensor `tensor_name`, or any tensor, of the module is parametrized."""
    chains = getattr(module, "parametrizations", None)
    if not isinstance(chains, ModuleDict):
        return False
    return len(chains) > 0 if tensor_name is None else tensor_name in chains


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Makes an ordinary parameter or buffer of a parametrized tensor.

    Args:
        module: the module.
        tensor_name: the tensor.
        leave_parametrized: keep the value that the parametrizations give, else the original.

    Returns:
        The module.

    Raises:
        ValueError: it is not parametrized, or has several originals, none of which is the value
            to go back to.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    chain = module.parametrizations[tensor_name]
    if not chain.is_tensor and not leave_parametrized:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor "
            "that is parametrized in terms of a sequence of tensors."
        )
    if chain.is_tensor:
        tensor = chain.original
        if leave_parametrized:
            with no_grad():
                tensor.data = chain().detach()
    else:
        value = chain()
        tensor = Parameter(value.detach()) if value.requires_grad else value
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, tensor)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of the module, without what parametrizations have made of it."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Gives `to_module` the parametrizations of `from_module`, of one tensor or all, and their
    originals; returns `to_module`."""
    if not is_parametrized(from_module):
        return to_module
    for name in list(from_module.parametrizations) if tensor_name is None else [tensor_name]:
        chain = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        for parametrization in chain:
            register_parametrization(to_module, name, parametrization)
        target = to_module.parametrizations[name]
        for key in chain._parameters.keys() | chain._buffers.keys():
            setattr(target, key, getattr(chain, key))
    return to_module
