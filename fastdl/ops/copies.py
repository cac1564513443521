"""Copies of what the views of other modules show: PyTorch's `NAME_copy` functions; and `fill`."""

import functools

from fastdl.ops import diagonal, join, shape, split, strided
from fastdl.ops.core import is_tensor, takes_out, tensor_argument
from fastdl.ops.elementwise import clone
from fastdl.ops.elementwise import fill as filled

VIEWS = {
    diagonal: "diagonal",
    join: "unbind",
    shape: "detach expand narrow permute select squeeze t transpose unfold unsqueeze view",
    split: "split split_with_sizes",
    strided: "as_strided",
}


def _copying(function):
    @functools.wraps(function)
    def copied(*args, **kwargs):
        found = function(*args, **kwargs)
        return tuple(map(clone, found)) if isinstance(found, tuple) else clone(found)

    copied.__name__ = copied.__qualname__ = function.__name__ + "_copy"
    copied.__module__ = __name__
    copied.__doc__ = f"`{function.__name__}` as a copy: it shares no memory with `input`."
    return takes_out(copied)


@takes_out
def fill(input, value):
    """`value`, a number or 0-d tensor, in the shape and dtype of `input`."""
    tensor_argument("fill", "input", input)
    if is_tensor(value) and value.array.ndim:
        raise RuntimeError(
            "fill_ only supports 0-dimension value tensor but got tensor with "
            f"{value.array.ndim} dimensions."
        )
    return filled(input, value)


__all__ = ["fill"]
for _module, _names in VIEWS.items():
    for _name in _names.split():
        globals()[_name + "_copy"] = _copying(getattr(_module, _name))
        __all__.append(_name + "_copy")
