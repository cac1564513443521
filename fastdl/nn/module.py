"""Module: the base class of every layer and model.

Lives here: registration of parameters, buffers and submodules, traversal, hooks, ``state_dict``
and moving between dtypes and devices. Layers live in the files beside this one.

Parameters, buffers and submodules are *plain instance attributes*; the module keeps only their
names, in order. ``self.weight`` in a ``forward`` therefore costs one dictionary look-up, where a
registry behind ``__getattr__`` would cost a failed look-up and a Python call each time.
``_parameters``, ``_buffers`` and ``_modules``, which PyTorch users know, are live views made on
demand: they read and write the same attributes, so the two can never disagree.
"""

from __future__ import annotations

import mmap
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import numpy as np

from fastdl._engine import RemovableHandle, tensor_of
from fastdl.autograd import no_grad
from fastdl.nn.hooks import (
    ALWAYS_CALLED,
    HOOKS_OF_ALL,
    NO_HOOKS,
    WITH_KWARGS,
    FullBackwardHooks,
    registered,
)
from fastdl.nn.parameter import Buffer, Parameter
from fastdl.ops.creation import as_tensor, empty_like
from fastdl.tensor import Tensor

__all__ = ["Module"]

# The three kinds of registered attribute and the instance attribute that lists each one's names.
PARAMETERS, BUFFERS, MODULES = "_parameter_names", "_buffer_names", "_module_names"
KINDS = (PARAMETERS, BUFFERS, MODULES)
EXTRA_STATE = "_extra_state"


class RegisteredAttributes(MutableMapping):
    """A live, ordered view of one kind of registered attribute of a module: name -> value."""

    __slots__ = ("_attributes", "_names")

    def __init__(self, module: Module, kind: str) -> None:
        self._attributes = module.__dict__
        self._names = module.__dict__[kind]

    def __getitem__(self, name):
        if name not in self._names:
            raise KeyError(name)
        return self._attributes[name]

    def __setitem__(self, name, value):
        self._names[name] = None
        self._attributes[name] = value

    def __delitem__(self, name):
        del self._names[name]
        del self._attributes[name]

    def __iter__(self):
        return iter(self._names)

    def __len__(self):
        return len(self._names)

    def keys(self):
        return self._names.keys()  # a dict's own view: it prints the names alone

    def __repr__(self):
        return repr(dict(self))


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What ``load_state_dict`` returns: the names that the model or the dict lacks."""

    __slots__ = ()

    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class Module:
    """Base class of layers and models: subclass it, create layers in ``__init__``, use them in
    ``forward``, and call the instance.

    Assigning a :class:`Parameter`, a :class:`Module` or (after :meth:`register_buffer`) a Tensor
    to an attribute registers it: it then appears in :meth:`parameters`, :meth:`modules`,
    :meth:`state_dict` and follows :meth:`to`.
    """

    training: bool
    _version: int = 1  # of what a state dict of the class holds, noted in its metadata
    call_super_init: bool = False
    dump_patches: bool = False
    # Each first registration makes a table of the module's own; until then calls take the short
    # path.
    _forward_pre_hooks: OrderedDict = NO_HOOKS
    _forward_hooks: OrderedDict = NO_HOOKS
    _hooks_with_kwargs: frozenset[int] = frozenset()  # the keys of those among the forward hooks
    _hooks_always_called: frozenset[int] = frozenset()
    _backward_pre_hooks: OrderedDict = NO_HOOKS
    _backward_hooks: OrderedDict = NO_HOOKS
    _state_dict_pre_hooks: OrderedDict = NO_HOOKS
    _state_dict_hooks: OrderedDict = NO_HOOKS
    _load_state_dict_pre_hooks: OrderedDict = NO_HOOKS
    _load_state_dict_post_hooks: OrderedDict = NO_HOOKS
    _hooked = False

    def __init__(self, *args, **kwargs) -> None:
        if not self.call_super_init and (args or kwargs):
            what = f"keyword argument '{next(iter(kwargs))}'" if kwargs else "positional arguments"
            raise TypeError(f"{type(self).__name__}.__init__() got an unexpected {what}")
        attributes = self.__dict__
        attributes["training"] = True
        attributes[PARAMETERS] = {}
        attributes[BUFFERS] = {}
        attributes[MODULES] = {}
        attributes["_non_persistent_buffers"] = set()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *args, **kwargs):
        """The computation of the module: every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args, **kwargs):
        if self._hooked:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    # ---------------------------------------------------------------- registered attributes

    @property
    def _parameters(self) -> MutableMapping[str, Parameter | None]:
        return RegisteredAttributes(self, PARAMETERS)

    @property
    def _buffers(self) -> MutableMapping[str, Tensor | None]:
        return RegisteredAttributes(self, BUFFERS)

    @property
    def _modules(self) -> MutableMapping[str, Module | None]:
        return RegisteredAttributes(self, MODULES)

    def _names_of(self, kind: str, what: str) -> dict:
        names = self.__dict__.get(kind)
        if names is None:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        return names

    def __setattr__(self, name: str, value: Any) -> None:
        attributes = self.__dict__
        if isinstance(value, Parameter):
            names = self._names_of(PARAMETERS, "parameter")
            self._forget(name, keep=PARAMETERS)
            names[name] = None
            attributes[name] = registered("parameter", self, name, value)
        elif isinstance(value, Module):
            names = self._names_of(MODULES, "module")
            self._forget(name, keep=MODULES)
            names[name] = None
            attributes[name] = registered("module", self, name, value)
        elif isinstance(value, Buffer) and name not in attributes.get(BUFFERS, ()):
            self._names_of(BUFFERS, "buffer")
            self._forget(name, keep=BUFFERS)
            attributes.pop(name, None)
            self.register_buffer(name, value, value.persistent)
        elif name in attributes.get(PARAMETERS, ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as parameter '{name}' "
                    "(fastdl.nn.Parameter or None expected)"
                )
            attributes[name] = None
        elif name in attributes.get(MODULES, ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}' "
                    "(fastdl.nn.Module or None expected)"
                )
            attributes[name] = None
        elif name in attributes.get(BUFFERS, ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as buffer '{name}' "
                    "(fastdl.Tensor or None expected)"
                )
            if isinstance(value, Buffer):
                self._set_persistence(name, value.persistent)
            attributes[name] = registered("buffer", self, name, value)
        else:
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        self._forget(name)
        object.__delattr__(self, name)

    def _forget(self, name: str, keep: str | None = None) -> None:
        """Takes `name` off the lists of registered names, but for the list `keep`."""
        for kind in KINDS:
            if kind != keep:
                self.__dict__.get(kind, {}).pop(name, None)
        if keep != BUFFERS:
            self.__dict__.get("_non_persistent_buffers", set()).discard(name)

    def _check_new_name(self, name: str, kind: str, what: str) -> None:
        self._names_of(kind, what)
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[kind]:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter, reachable as attribute `name`; None reserves the name.

        Raises:
            TypeError: `param` is neither a Parameter nor None, or `name` is not a string.
            KeyError: `name` is empty, contains a dot or is taken.
        """
        self._check_new_name(name, PARAMETERS, "parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(fastdl.nn.Parameter or None required)"
            )
        self._parameters[name] = registered("parameter", self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Adds a Tensor that belongs to the module's state but is no parameter.

        Args:
            name: the attribute it is reached by.
            tensor: the value; None reserves the name.
            persistent: whether it is part of :meth:`state_dict`.

        Raises:
            TypeError: `tensor` is neither a Tensor nor None, or `name` is not a string.
            KeyError: `name` is empty, contains a dot or is taken.
        """
        self._check_new_name(name, BUFFERS, "buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                "(fastdl.Tensor or None required)"
            )
        self._buffers[name] = registered("buffer", self, name, tensor)
        self._set_persistence(name, persistent)

    def _set_persistence(self, name: str, persistent: bool) -> None:
        """Whether the buffer `name` is part of the state dict."""
        if persistent:
            self._non_persistent_buffers.discard(name)
        else:
            self._non_persistent_buffers.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a child module, reachable as attribute `name`.

        Raises:
            TypeError: `module` is neither a Module nor None, or `name` is not a string.
            KeyError: `name` is empty, contains a dot or is taken.
        """
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_new_name(name, MODULES, "module")
        self._modules[name] = registered("module", self, name, module)

    register_module = add_module

    def _get_by_path(self, target: str) -> tuple[Module, str]:
        path, _, name = target.rpartition(".")
        return self.get_submodule(path), name

    def get_submodule(self, target: str) -> Module:
        """The submodule with the dotted path `target`; the module itself for ``""``.

        Raises:
            AttributeError: there is none.
        """
        module = self
        for name in target.split(".") if target else ():
            module = getattr(module, name, None)
            if not isinstance(module, Module):
                raise AttributeError(f"{type(self).__name__} has no submodule `{target}`")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Puts `module` at the dotted path `target`, in place of what is there.

        Args:
            target: the path; all of it but the last name must lead to a module.
            module: the new module.
            strict: refuse a path where nothing is yet.

        Raises:
            ValueError: an empty path, or `module` is none.
            AttributeError: the path leads to no module, or, if strict, to nothing.
        """
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        parent, name = self._get_by_path(target)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with the dotted path `target`; AttributeError where there is none."""
        module, name = self._get_by_path(target)
        if name not in module._parameters:
            raise AttributeError(f"{type(module).__name__} has no parameter `{name}`")
        return getattr(module, name)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with the dotted path `target`; AttributeError where there is none."""
        module, name = self._get_by_path(target)
        if name not in module._buffers:
            raise AttributeError(f"{type(module).__name__} has no buffer `{name}`")
        return getattr(module, name)

    # ---------------------------------------------------------------------------- traversal

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Every module of the tree with its dotted path, parents first, each module once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        attributes = self.__dict__
        for name in attributes[MODULES]:
            module = attributes[name]
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Every module of the tree, parents first, each once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        for _, module in self.named_children():
            yield module

    def _named_members(self, kind, prefix, recurse, remove_duplicate):
        seen = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            attributes = module.__dict__
            for name in attributes[kind]:
                value = attributes[name]
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names; a shared one comes once, by its first name."""
        yield from self._named_members(PARAMETERS, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once: what an optimizer takes."""
        for _, parameter in self._named_members(PARAMETERS, "", recurse, True):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their dotted names."""
        yield from self._named_members(BUFFERS, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        for _, buffer in self._named_members(BUFFERS, "", recurse, True):
            yield buffer

    # ------------------------------------------------------------------------ modes and moves

    def apply(self, fn: Callable[[Module], None]) -> Module:
        """Calls `fn` on every submodule, children before parents, and returns self."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Module:
        """Sets training mode (dropout active, batch statistics used) on the whole tree."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Module:
        """Sets evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Switches gradient recording of every parameter on or off, and returns self."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of the parameters, or fills them with zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach()
                parameter.grad.zero_()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Module:
        """Replaces the data of every parameter (and its gradient) and buffer by ``fn`` of it."""
        for module in self.children() if recurse else ():
            module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            with no_grad():
                parameter.data = fn(parameter.data)
                if parameter.grad is not None:
                    parameter.grad = fn(parameter.grad)
        buffers = self._buffers
        for name, buffer in buffers.items():
            if buffer is not None:
                buffers[name] = fn(buffer)
        return self

    def to(self, *args, **kwargs) -> Module:
        """Moves parameters and buffers to a device and/or a floating dtype, in place.

        Takes what :meth:`Tensor.to` takes. A dtype changes floating-point tensors only.

        Raises:
            TypeError: the dtype is not a floating-point one.
        """
        example = as_tensor(0.0).to(*args, **kwargs)
        if not example.is_floating_point():
            raise TypeError(
                "nn.Module.to only accepts floating point dtypes, but got desired "
                f"dtype={example.dtype}"
            )
        # what is given decides for floating tensors; the others follow to the device alone
        return self._apply(
            lambda t: t.to(*args, **kwargs) if t.is_floating_point() else t.to(example.device)
        )

    def to_empty(self, *, device, recurse: bool = True) -> Module:
        """Moves parameters and buffers to `device` without their values, which are then not set.

        Args:
            device: where to; None leaves them where they are.
            recurse: whether the submodules' too.
        """
        return self._apply(lambda t: empty_like(t, device=device), recurse)

    def share_memory(self) -> Module:
        """Moves parameters and buffers to memory that processes forked from now on share."""
        return self._apply(in_shared_memory)

    def compile(self, *args, **kwargs) -> None:
        """Accepted for PyTorch's programs: calls of the module run as they are."""

    def type(self, dst_type) -> Module:
        """Casts every parameter and buffer to `dst_type`."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self) -> Module:
        """Casts floating-point parameters and buffers to float32."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self) -> Module:
        """Casts floating-point parameters and buffers to float64."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self) -> Module:
        """Casts floating-point parameters and buffers to float16."""
        return self._apply(lambda t: t.half() if t.is_floating_point() else t)

    def bfloat16(self) -> Module:
        """Casts floating-point parameters and buffers to bfloat16."""
        return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)

    def cpu(self) -> Module:
        """Moves parameters and buffers to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device=None) -> Module:
        """Moves parameters and buffers to a GPU; raises where there is none."""
        return self._apply(lambda t: t.cuda(device))

    # -------------------------------------------------------------------------------- hooks

    def _register_hook(self, table: str, hook, prepend: bool = False) -> RemovableHandle:
        hooks = self.__dict__.setdefault(table, OrderedDict())
        handle = RemovableHandle(hooks, hook)
        if prepend:
            hooks.move_to_end(next(reversed(hooks)), last=False)
        if table in HOOKS_OF_ALL:  # hooks of calls
            self.__dict__["_hooked"] = True
        return handle

    def _hooks(self, table: str) -> tuple[tuple[int, Callable], ...]:
        """The hooks of all modules and the module's own with their keys, in the order in which
        they run."""
        return (*HOOKS_OF_ALL[table].items(), *getattr(self, table).items())

    def register_forward_pre_hook(
        self, hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Calls ``hook(module, args)`` before each forward.

        The hook may return new arguments: a tuple, or one value that becomes the only argument.
        With `with_kwargs` it is called as ``hook(module, args, kwargs)`` and returns None or
        ``(args, kwargs)``.
        """
        handle = self._register_hook("_forward_pre_hooks", hook, prepend)
        if with_kwargs:
            self._hooks_with_kwargs |= {handle._key}
        return handle

    def register_forward_hook(
        self, hook, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Calls ``hook(module, args, output)`` after each forward; may return a new output.

        With `with_kwargs` it is called as ``hook(module, args, kwargs, output)``. With
        `always_call` it also runs, with output None, when the forward raises.
        """
        handle = self._register_hook("_forward_hooks", hook, prepend)
        if with_kwargs:
            self._hooks_with_kwargs |= {handle._key}
        if always_call:
            self._hooks_always_called |= {handle._key}
        return handle

    def register_full_backward_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(module, grad_input, grad_output)`` when the module's gradients are known.

        Both are tuples with None where there is no gradient. The hook may return a new
        ``grad_input``. Inputs and outputs must be Tensors or tuples of Tensors.
        """
        return self._register_hook("_backward_hooks", hook, prepend)

    register_backward_hook = register_full_backward_hook

    def register_full_backward_pre_hook(self, hook, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(module, grad_output)`` when the gradients of the outputs are known, before
        any is taken in the module. The hook may return a new ``grad_output``, a tuple."""
        return self._register_hook("_backward_pre_hooks", hook, prepend)

    def _call_with_hooks(self, args: tuple, kwargs: dict):
        output, hook_failed = None, False
        with_kwargs = self._hooks_with_kwargs | WITH_KWARGS
        try:
            for key, hook in self._hooks("_forward_pre_hooks"):
                if key in with_kwargs:
                    result = hook(self, args, kwargs)
                    if result is not None:
                        args, kwargs = result
                else:
                    result = hook(self, args)
                    if result is not None:
                        args = result if isinstance(result, tuple) else (result,)
            backward = tuple(hook for _, hook in self._hooks("_backward_hooks"))
            before = tuple(hook for _, hook in self._hooks("_backward_pre_hooks"))
            ends = None
            if backward or before:
                ends = FullBackwardHooks(self, backward, before)
                args = ends.watch_inputs(args)
            output = self.forward(*args, **kwargs)
            for key, hook in self._hooks("_forward_hooks"):
                hook_failed = True
                result = self._run_forward_hook(hook, key in with_kwargs, args, kwargs, output)
                output = output if result is None else result
                hook_failed = False
            return output if ends is None else ends.watch_outputs(output)
        except BaseException:
            if not hook_failed:
                for key, hook in self._hooks("_forward_hooks"):
                    if key in self._hooks_always_called or key in ALWAYS_CALLED:
                        self._run_forward_hook(hook, key in with_kwargs, args, kwargs, None)
            raise

    def _run_forward_hook(self, hook, with_kwargs, args, kwargs, output):
        if with_kwargs:
            return hook(self, args, kwargs, output)
        return hook(self, args, output)

    # --------------------------------------------------------------------------- state_dict

    def get_extra_state(self) -> Any:
        """What else belongs into the module's part of a state dict, under the key
        ``"_extra_state"``: a subclass that has some overrides this and :meth:`set_extra_state`."""
        raise RuntimeError(
            f"{type(self).__name__}: get_extra_state is to be overridden where it is called"
        )

    def set_extra_state(self, state: Any) -> None:
        """Takes back what :meth:`get_extra_state` gave."""
        raise RuntimeError(
            f"{type(self).__name__}: set_extra_state is to be overridden where the state dict has "
            "an '_extra_state'"
        )

    def register_state_dict_pre_hook(self, hook) -> RemovableHandle:
        """Calls ``hook(module, prefix, keep_vars)`` before the module writes its state."""
        return self._register_hook("_state_dict_pre_hooks", hook)

    def _register_state_dict_hook(self, hook) -> RemovableHandle:
        """Calls ``hook(module, state_dict, prefix, local_metadata)`` after the module and its
        submodules have written their state; may return another state dict."""
        return self._register_hook("_state_dict_hooks", (hook, True))

    def register_state_dict_post_hook(self, hook) -> RemovableHandle:
        """Calls ``hook(module, state_dict, prefix, local_metadata)`` after the module and its
        submodules have written their state, which the hook may change in place; it returns
        None."""
        return self._register_hook("_state_dict_hooks", (hook, False))

    def _register_load_state_dict_pre_hook(self, hook, with_module=False) -> RemovableHandle:
        """:meth:`register_load_state_dict_pre_hook`, without the module as first argument unless
        asked for."""
        return self._register_hook("_load_state_dict_pre_hooks", (hook, with_module))

    def register_load_state_dict_pre_hook(self, hook) -> RemovableHandle:
        """Calls ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)`` before the module loads its state; the hook may change the
        state dict, a copy, and the three lists in place."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook) -> RemovableHandle:
        """Calls ``hook(module, incompatible_keys)`` when the module and its submodules have loaded
        their state; the hook may change the lists ``missing_keys`` and ``unexpected_keys`` of its
        second argument in place, and returns None."""
        return self._register_hook("_load_state_dict_post_hooks", hook)

    def _save_to_state_dict(self, destination, prefix: str, keep_vars: bool) -> None:
        """Writes this module's own parameters and persistent buffers into `destination`."""
        attributes = self.__dict__
        for name in attributes[PARAMETERS]:
            parameter = attributes[name]
            if parameter is not None:
                destination[prefix + name] = parameter if keep_vars else parameter.detach()
        for name in attributes[BUFFERS]:
            buffer = attributes[name]
            if buffer is not None and name not in self._non_persistent_buffers:
                destination[prefix + name] = buffer if keep_vars else buffer.detach()
        if type(self).get_extra_state is not Module.get_extra_state:
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def state_dict(
        self, *, destination: dict | None = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict[str, Tensor]:
        """Names and values of all parameters and persistent buffers, in PyTorch's order.

        The values share memory with the model (detached; with `keep_vars` the very objects).
        """
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        attributes = self.__dict__
        for name in attributes[MODULES]:
            module = attributes[name]
            if module is not None:
                module.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook, may_replace in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, metadata)
            if result is not None:
                if not may_replace:
                    raise RuntimeError("state_dict post-hook must return None")
                destination = result
        return destination

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        """Loads this module's own parameters and buffers (the arguments are PyTorch's).

        Appends to the three lists what is missing, what nothing takes, and what does not fit.
        `local_metadata` carries ``assign_to_params_buffers``, PyTorch's key for ``assign=True``.
        """
        for hook, with_module in self._load_state_dict_pre_hooks.values():
            hook(
                *((self,) if with_module else ()),
                state_dict,
                prefix,
                local_metadata,
                strict,
                missing_keys,
                unexpected_keys,
                error_msgs,
            )
        assign = local_metadata.get("assign_to_params_buffers", False)
        own = dict(self._parameters)
        own.update(
            (k, v) for k, v in self._buffers.items() if k not in self._non_persistent_buffers
        )
        for name, current in own.items():
            if current is None:
                continue
            key = prefix + name
            if key not in state_dict:
                missing_keys.append(key)
                continue
            try:
                value = as_loadable(state_dict[key])
            except TypeError as error:
                error_msgs.append(f'While copying the parameter named "{key}", {error}')
                continue
            if value.shape != current.shape:
                error_msgs.append(
                    f"size mismatch for {key}: copying a param with shape {value.shape} from "
                    f"checkpoint, the shape in current model is {current.shape}."
                )
            elif assign:
                if isinstance(current, Parameter) and not isinstance(value, Parameter):
                    value = Parameter(value.detach(), requires_grad=current.requires_grad)
                setattr(self, name, value)
            else:
                with no_grad():
                    current.copy_(value)
        if type(self).set_extra_state is not Module.set_extra_state:
            own[EXTRA_STATE] = None
            if prefix + EXTRA_STATE in state_dict:
                self.set_extra_state(state_dict[prefix + EXTRA_STATE])
            elif strict:
                missing_keys.append(prefix + EXTRA_STATE)
        if strict:  # collect strangers; load_state_dict decides whether they are an error
            children = self.__dict__[MODULES]
            for key in state_dict:
                if key.startswith(prefix):
                    name, dot, _ = key[len(prefix) :].partition(".")
                    if not (name in children if dot else name in own):
                        unexpected_keys.append(key)

    def load_state_dict(
        self, state_dict: MutableMapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copies values into the parameters and buffers of the same names.

        Args:
            state_dict: name -> Tensor, or anything NumPy can read as an array, a PyTorch tensor
                included.
            strict: whether the names must match exactly.
            assign: take the given tensors themselves instead of copying from them.

        Returns:
            ``missing_keys`` and ``unexpected_keys``.

        Raises:
            TypeError: `state_dict` is not a mapping.
            RuntimeError: shapes differ, or (when strict) names do; the message lists them all.
        """
        if not hasattr(state_dict, "keys"):
            raise TypeError(
                f"Expected state_dict to be dict-like, got {type(state_dict).__name__}."
            )
        metadata = getattr(state_dict, "_metadata", None) or {}
        state_dict = OrderedDict(state_dict)
        missing, unexpected, errors = [], [], []

        def load(module, prefix):
            local = {**metadata.get(prefix[:-1], {}), "assign_to_params_buffers": assign}
            module._load_from_state_dict(
                state_dict, prefix, local, True, missing, unexpected, errors
            )
            for name, child in module._modules.items():
                if child is not None:
                    load(child, f"{prefix}{name}.")
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, IncompatibleKeys(missing, unexpected)) is not None:
                    raise AssertionError(
                        "Hooks registered with ``register_load_state_dict_post_hook`` are not "
                        "expected to return new values: change incompatible_keys in place."
                    )

        load(self, "")
        if strict:
            for label, keys in (("Unexpected", unexpected), ("Missing", missing)):
                if keys:
                    listed = ", ".join(f'"{k}"' for k in keys)
                    errors.insert(0, f"{label} key(s) in state_dict: {listed}. ")
        if errors:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(errors)
            )
        return IncompatibleKeys(missing, unexpected)

    # ----------------------------------------------------------------------------- printing

    def summary(self, input=None, *, input_size=None, dtype=None):
        """A table of the layers with shapes, parameters, mult-adds and memory, found by a call.

        The arguments are those of :func:`fastdl.utils.summary`, which says what is in it.
        """
        from fastdl.nn.summary import summary

        return summary(self, input, input_size=input_size, dtype=dtype)

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """The layer's own arguments, for printing; subclasses override it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [
            f"({name}): " + indent_after_first(repr(module))
            for name, module in self._modules.items()
        ]
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"


def indent_after_first(text: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first] + ["  " + line for line in rest])


def in_shared_memory(value: Tensor) -> Tensor:
    """A copy of `value` in memory that forked processes share."""
    source = value.array
    array = np.ndarray(source.shape, source.dtype, mmap.mmap(-1, max(source.nbytes, 1)))
    array[...] = source
    return tensor_of(array)


def as_loadable(value) -> Tensor:
    """A Tensor of `value`; raises TypeError for what is no array of numbers."""
    if isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "biufcV":
        raise TypeError(f"expected a Tensor or an array, but got {type(value).__name__}.")
    return as_tensor(array)
