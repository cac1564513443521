"""Element by element: arithmetic, powers, exponentials, trigonometry, rounding, comparison, logic,
selection. One module for each; what they hold is reached through the package.
"""

from fastdl.ops.elementwise import (
    arithmetic,
    bitwise,
    comparison,
    error_function,
    exponential,
    powers,
    rounding,
    selection,
    trigonometry,
)
from fastdl.ops.elementwise.arithmetic import *
from fastdl.ops.elementwise.arithmetic import (
    add_arrays,
    addcdiv_arrays,
    addcmul_arrays,
    conj_of,
    div_arrays,
    division,
    lerp_arrays,
    sub_arrays,
    with_alpha,
)
from fastdl.ops.elementwise.bitwise import *
from fastdl.ops.elementwise.comparison import *
from fastdl.ops.elementwise.error_function import *
from fastdl.ops.elementwise.exponential import *
from fastdl.ops.elementwise.powers import *
from fastdl.ops.elementwise.rounding import *
from fastdl.ops.elementwise.selection import *
from fastdl.ops.elementwise.selection import cast, clamping, fill, select
from fastdl.ops.elementwise.trigonometry import *

_PARTS = (
    arithmetic,
    bitwise,
    comparison,
    error_function,
    exponential,
    powers,
    rounding,
    selection,
    trigonometry,
)
__all__ = [name for part in _PARTS for name in part.__all__]
