"""Containers: Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from fastdl.nn.module import Module, indent_after_first
from fastdl.nn.parameter import Parameter
from fastdl.tensor import Tensor

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


def position(index, length: int) -> int:
    """`index` as 0 <= i < length; IndexError naming it otherwise."""
    index = index.__index__()
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of range")
    return index % length


class ModuleSequence(Module):
    """What Sequential and ModuleList share: children named "0", "1", ... used as a list."""

    def __len__(self) -> int:
        return len(self._module_names)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __contains__(self, module) -> bool:
        return any(module is own for own in self)

    def _name_at(self, index) -> str:
        return list(self._module_names)[position(index, len(self))]

    def _rename(self, modules: Iterable[Module]) -> None:
        """Makes `modules` the children, named by position."""
        modules = list(modules)
        for name in list(self._module_names):
            delattr(self, name)
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def __setitem__(self, index, module: Module) -> None:
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index) -> None:
        modules = list(self)
        del modules[index]
        self._rename(modules)

    def append(self, module: Module):
        """Adds `module` at the end and returns self."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]):
        """Adds all of `modules` at the end and returns self."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module):
        """Puts `module` before position `index` and returns self."""
        if not isinstance(module, Module):
            raise TypeError(f"module should be of type {Module}, but got {type(module).__name__}")
        modules = list(self)
        if not -len(modules) <= index <= len(modules):
            raise IndexError(f"Index out of range: {index}")
        modules.insert(index, module)
        self._rename(modules)
        return self

    def pop(self, index: int = -1) -> Module:
        """Takes the module at `index` out and returns it."""
        module = self[index]
        del self[index]
        return module


class Sequential(ModuleSequence):
    """Modules called one after the other, each on the output of the one before.

    Takes modules, or one OrderedDict of named modules.
    """

    def __init__(self, *args) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def forward(self, input):
        attributes = self.__dict__
        for name in self._module_names:
            input = attributes[name](input)
        return input

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return getattr(self, self._name_at(index))

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(
                f"add operator supports only objects of Sequential class, but got {type(other)}"
            )
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(
                f"add operator supports only objects of Sequential class, but got {type(other)}"
            )
        return self.extend(list(other))

    def __mul__(self, other: int) -> Sequential:
        """The same modules `other` times."""
        return Sequential(*list(self) * self._times(other))

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Sequential:
        modules = list(self)
        for _ in range(self._times(other) - 1):
            self.extend(modules)
        return self

    def _times(self, other) -> int:
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(other)}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for {type(self)}")
        return other


class ModuleList(ModuleSequence):
    """A list of modules, all registered."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, self._name_at(index))

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    __iadd__ = ModuleSequence.extend

    def __repr__(self) -> str:
        """As PyTorch does, a run of equal modules on one line: ``(0-2): 3 x Linear(...)``."""
        if len(self) == 0:
            return f"{self._get_name()}()"
        lines, start = [], 0
        for text, run in itertools.groupby(repr(module) for module in self):
            count = len(list(run))
            end = start + count - 1
            name = f"({start}): " if count == 1 else f"({start}-{end}): {count} x "
            lines.append(indent_after_first(name + text))
            start = end + 1
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


class ModuleDict(Module):
    """A dict of modules, all registered, in the order they were added."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._module_names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._module_names)

    def __contains__(self, key: str) -> bool:
        return key in self._module_names

    def keys(self):
        return self._modules.keys()

    def values(self):
        return self._modules.values()

    def items(self):
        return self._modules.items()

    def get(self, key: str, default=None):
        return self._modules.get(key, default)

    def clear(self) -> None:
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Takes the module `key` out and returns it."""
        return self._modules.pop(key)

    def update(self, modules) -> None:
        """Adds the modules of a mapping or of (key, module) pairs."""
        for key, module in modules.items() if hasattr(modules, "items") else modules:
            self[key] = module


def as_parameter(value):
    """A Tensor as a Parameter; anything else as it is."""
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return Parameter(value)
    return value


class ParameterList(Module):
    """A list of parameters, all registered; Tensors put into it become Parameters."""

    def __init__(self, values: Iterable | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, str(position(index, self._size)))

    def __setitem__(self, index, value) -> None:
        setattr(self, str(position(index, self._size)), as_parameter(value))

    def __iter__(self) -> Iterator:
        return (getattr(self, str(i)) for i in range(self._size))

    def append(self, value):
        """Adds `value` at the end and returns self."""
        setattr(self, str(self._size), as_parameter(value))
        self._size += 1
        return self

    def extend(self, values: Iterable):
        """Adds all of `values` at the end and returns self."""
        for value in values:
            self.append(value)
        return self

    __iadd__ = extend

    def extra_repr(self) -> str:
        return _describe_parameters(enumerate(self), lambda value: value.dtype)


class ParameterDict(Module):
    """A dict of parameters, all registered; Tensors put into it become Parameters."""

    def __init__(self, parameters=None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str):
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value) -> None:
        setattr(self, key, as_parameter(value))
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __or__(self, other: ParameterDict) -> ParameterDict:
        copy = self.copy()
        copy.update(other)
        return copy

    def __ror__(self, other: ParameterDict) -> ParameterDict:
        copy = other.copy()
        copy.update(self)
        return copy

    def __ior__(self, other: ParameterDict) -> ParameterDict:
        self.update(other)
        return self

    def copy(self) -> ParameterDict:
        """Another dict of the same values."""
        return ParameterDict(OrderedDict(self.items()))

    def clear(self) -> None:
        """Takes everything out."""
        for key in list(self._keys):
            del self[key]

    def popitem(self) -> tuple:
        """Takes the value added last out; returns its key and it."""
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def setdefault(self, key: str, default=None):
        """The value of `key`, which becomes `default` if there is none."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def fromkeys(self, keys: Iterable[str], default=None) -> ParameterDict:
        """A dict with `default` for each of the keys."""
        return ParameterDict((key, default) for key in keys)

    def keys(self):
        return self._keys.keys()

    def values(self):
        return (getattr(self, key) for key in self._keys)

    def items(self):
        return ((key, getattr(self, key)) for key in self._keys)

    def get(self, key: str, default=None):
        return getattr(self, key) if key in self._keys else default

    def pop(self, key: str):
        """Takes the value `key` out and returns it."""
        value = self[key]
        del self[key]
        return value

    def update(self, parameters) -> None:
        """Adds the values of a mapping or of (key, value) pairs."""
        for key, value in parameters.items() if hasattr(parameters, "items") else parameters:
            self[key] = value

    def extra_repr(self) -> str:
        return _describe_parameters(self.items(), lambda value: value.type())


def _describe_parameters(items, type_of) -> str:
    return "\n".join(
        f"  ({key}): Parameter containing: [{type_of(value)} of size "
        f"{'x'.join(map(str, value.shape))}]"
        if isinstance(value, Tensor)
        else f"  ({key}): Object of type: {type(value).__name__}"
        for key, value in items
    )
