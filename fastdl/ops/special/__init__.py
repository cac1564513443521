"""Special functions: the gamma function's family, Bessel functions, the normal distribution's."""

from fastdl.ops.special import bessel, gamma, normal
from fastdl.ops.special.bessel import *
from fastdl.ops.special.gamma import *
from fastdl.ops.special.normal import *

__all__ = [name for part in (bessel, gamma, normal) for name in part.__all__]
