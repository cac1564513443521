"""Switching recording on and off: context managers that are decorators too. The modes are the
thread's own.
"""

import functools
import inspect

from fastdl._engine import (
    is_grad_enabled,
    is_inference_mode_enabled,
    set_inference,
    set_recording,
)

__all__ = [
    "enable_grad",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_grad_enabled",
]


class _Mode:
    """A context manager that also decorates functions, generators, coroutines and classes.

    Subclasses say how to `enter` the mode and what to do with its result to `leave` it.
    """

    def __enter__(self):
        self.__dict__.setdefault("before", []).append(self.enter())

    def __exit__(self, kind, error, trace):
        self.leave(self.before.pop())

    def __call__(self, function):
        """`function`, running in the mode; of a class, its `__init__`."""
        if inspect.isclass(function):
            function.__init__ = self(function.__init__)
            return function
        if inspect.isgeneratorfunction(function):
            return self._generator(function)
        if inspect.isasyncgenfunction(function):
            return self._async_generator(function)
        if inspect.iscoroutinefunction(function):
            return self._coroutine(function)

        @functools.wraps(function)
        def in_mode(*args, **kwargs):
            before = self.enter()
            try:
                return function(*args, **kwargs)
            finally:
                self.leave(before)

        return in_mode

    def _step(self, step, value):
        """step(value) in the mode."""
        before = self.enter()
        try:
            return step(value)
        finally:
            self.leave(before)

    def _steps(self, steps):
        """The generator `steps`, each step of which runs in the mode, the code between does not."""
        sent, step = None, steps.send
        while True:
            try:
                item = self._step(step, sent)
            except StopIteration as stop:
                return stop.value
            try:
                sent, step = (yield item), steps.send
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:
                sent, step = error, steps.throw

    def _generator(self, function):
        @functools.wraps(function)
        def in_mode(*args, **kwargs):
            return (yield from self._steps(function(*args, **kwargs)))

        return in_mode

    def _coroutine(self, function):
        """Other coroutines of the thread run between the steps: they keep their own mode."""

        class Steps:
            def __init__(self, coroutine):
                self.coroutine = coroutine

            def __await__(steps):
                return (yield from self._steps(steps.coroutine))

        @functools.wraps(function)
        async def in_mode(*args, **kwargs):
            return await Steps(function(*args, **kwargs))

        return in_mode

    def _async_generator(self, function):
        class Steps:
            def __init__(self, awaitable):
                self.steps = awaitable.__await__()

            def __await__(steps):
                return (yield from self._steps(_as_generator(steps.steps)))

        @functools.wraps(function)
        async def in_mode(*args, **kwargs):
            items = function(*args, **kwargs)
            sent, step = None, items.asend
            while True:
                try:
                    item = await Steps(step(sent))
                except StopAsyncIteration:
                    return
                try:
                    sent, step = (yield item), items.asend
                except GeneratorExit:
                    await items.aclose()
                    raise
                except BaseException as error:
                    sent, step = error, items.athrow

        return in_mode


def _as_generator(iterator):
    """An awaitable's iterator need not have `send`; a generator has."""
    return (yield from iterator)


class _FixedMode(_Mode):
    """A mode without arguments: the class itself decorates, too."""

    def __new__(cls, orig_func=None):
        made = super().__new__(cls)
        return made if orig_func is None else made(orig_func)

    def leave(self, before):
        set_recording(before)


class no_grad(_FixedMode):
    """Nothing is recorded: `with no_grad():`, `@no_grad()` or `@no_grad`.

    >>> import fastdl as torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> with torch.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def enter(self):
        return set_recording(False)


class enable_grad(_FixedMode):
    """Recording is on, inside a `no_grad` block too."""

    def enter(self):
        return set_recording(True)


class inference_mode(_Mode):
    """`no_grad` whose tensors can never take part in recording, nor be changed in place outside:
    `with inference_mode():`, `@inference_mode()` or `@inference_mode`.

    mode=False switches it off, inside such a block, and recording on.
    """

    def __init__(self, mode=True):
        self.mode = bool(mode)

    def __new__(cls, mode=True):
        made = super().__new__(cls)
        if isinstance(mode, bool):
            return made
        made.mode = True
        return made(mode)

    def enter(self):
        before = set_inference(self.mode)
        return before, set_recording(not self.mode)

    def leave(self, before):
        inference, recording = before
        set_inference(inference)
        set_recording(recording)

    def clone(self):
        """Another one of the same mode."""
        return type(self)(self.mode)


class set_grad_enabled(_Mode):
    """Sets the mode at once; as a context manager it is put back at the end, as a decorator it
    holds for the function only.
    """

    def __init__(self, mode):
        self.mode = bool(mode)
        self.at_once = set_recording(self.mode)

    def enter(self):
        return set_recording(self.mode)

    def leave(self, before):
        set_recording(before)

    def __enter__(self):
        set_recording(self.mode)
        self.__dict__.setdefault("before", []).append(self.at_once)

    def __call__(self, function):
        set_recording(self.at_once)
        return super().__call__(function)

    def clone(self):
        """Another one of the same mode."""
        return type(self)(self.mode)

    def __str__(self):
        return f"fastdl.autograd.grad_mode.set_grad_enabled(mode={self.mode})"

    __repr__ = __str__
