"""What `variant=None` means: the kernels that a convolution runs on, and why those."""

from typing import NamedTuple

from fastdl import _kernels
from fastdl.kernels.calling import conv2d_geometry


class Choice(NamedTuple):
    """An algorithm of csrc/conv, named as in `list()`, and the rule that chose it."""

    variant: str
    reason: str


class ConvChoices(NamedTuple):
    """What the three passes of a convolution run on; prints as a line for each."""

    forward: Choice
    grad_input: Choice
    grad_weight: Choice
    note: str = ""

    def __repr__(self):
        lines = [
            f"{direction:13}{choice.variant:14}{choice.reason}"
            for direction, choice in zip(self._fields[:3], self[:3], strict=True)
        ]
        return "\n".join([*lines, self.note] if self.note else lines)

    __str__ = __repr__


def explain_conv(
    x_shape, w_shape, stride=1, padding=0, dilation=1, groups=1, *, dtype="float32", isa=None
):
    """What a convolution of x (n, c, h, w) with filters w (k, c / groups, r, s) runs on, and why.

    The choice is made for each pass by itself, from the shapes alone, by the table in
    csrc/conv/select.c. `stride`, `padding`, `dilation`: an int or a pair. `dtype`: float32 or
    float64. `isa`: an instruction set (default: the one in force).

    Returns the choices by name, each a (variant, reason); the variant can be handed to `conv2d`,
    `conv2d_grad_input` or `conv2d_grad_weight`. Raises TypeError or ValueError naming the argument.

    >>> from fastdl import kernels
    >>> chosen = kernels.explain_conv((16, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
    >>> chosen.forward.variant
    'implicit'
    >>> chosen.forward.reason
    'any other: a matrix product that reads the input in place'
    """
    geometry = conv2d_geometry("explain_conv", x_shape, w_shape, stride, padding, dilation, groups)
    choices = (
        Choice(*_kernels.conv_choice(geometry, direction=direction, dtype=dtype, isa=isa))
        for direction in ConvChoices._fields[:3]
    )
    fits = _kernels.winograd_forbidden() and any(
        variant.startswith("winograd") and _kernels.conv_fits(variant, geometry)
        for variant in _kernels.CONV_VARIANTS
    )
    note = "Winograd's algorithm is forbidden (fastdl.runtime.set_winograd_enabled)" if fits else ""
    return ConvChoices(*choices, note)
