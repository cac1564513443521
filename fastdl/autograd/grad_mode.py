"""Switching recording on and off: context managers that are decorators too. The mode is the
thread's own.
"""

import functools
import inspect

from fastdl._engine import is_grad_enabled, set_recording


class _Mode:
    """Sets the grad mode to `mode` inside a with block or a decorated function."""

    def __init__(self, mode):
        self.mode = mode
        self.before = []

    def __enter__(self):
        self.before.append(set_recording(self.mode))
        return self

    def __exit__(self, *exc):
        set_recording(self.before.pop())

    def __call__(self, function):
        if inspect.isgeneratorfunction(function):
            return self._generator(function)

        @functools.wraps(function)
        def in_mode(*args, **kwargs):
            before = set_recording(self.mode)
            try:
                return function(*args, **kwargs)
            finally:
                set_recording(before)

        return in_mode

    def _generator(self, function):
        """Each step of the generator runs in the mode; the code between the steps does not."""

        @functools.wraps(function)
        def in_mode(*args, **kwargs):
            steps = function(*args, **kwargs)
            sent, step = None, steps.send
            while True:
                before = set_recording(self.mode)
                try:
                    item = step(sent)
                except StopIteration as stop:
                    return stop.value
                finally:
                    set_recording(before)
                try:
                    sent, step = (yield item), steps.send
                except GeneratorExit:
                    steps.close()
                    raise
                except BaseException as error:
                    sent, step = error, steps.throw

        return in_mode


def _mode(name, value, doc):
    class Mode(_Mode):
        def __init__(self):
            super().__init__(value)

        def __new__(cls, function=None):
            made = super().__new__(cls)
            if function is None:
                return made
            made.__init__()
            return made(function)  # bare decorator: @no_grad

    Mode.__name__ = Mode.__qualname__ = name
    Mode.__doc__ = doc
    return Mode


no_grad = _mode("no_grad", False, "Nothing is recorded: `with no_grad():` or `@no_grad()`.")
enable_grad = _mode("enable_grad", True, "Recording is on, inside a `no_grad` block too.")


class inference_mode(_Mode):
    """`no_grad` under PyTorch's other name; `inference_mode(False)` changes nothing."""

    def __init__(self, mode=True):
        super().__init__(not mode and is_grad_enabled())

    def __new__(cls, mode=True):
        made = super().__new__(cls)
        if not callable(mode):
            return made
        made.__init__()
        return made(mode)


class set_grad_enabled(_Mode):
    """Sets the mode at once; as a context manager it is put back at the end."""

    def __init__(self, mode):
        super().__init__(bool(mode))
        self.at_once = set_recording(self.mode)

    def __enter__(self):
        set_recording(self.mode)
        self.before.append(self.at_once)
        return self

    def __call__(self, function):
        set_recording(self.at_once)
        return super().__call__(function)
