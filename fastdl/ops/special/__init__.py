"""Special functions: the gamma function's family, Bessel functions, the normal distribution's."""

from fastdl.ops.special import bessel, gamma, normal, polynomials
from fastdl.ops.special.bessel import *
from fastdl.ops.special.gamma import *
from fastdl.ops.special.normal import *
from fastdl.ops.special.polynomials import *

__all__ = [name for part in (bessel, gamma, normal, polynomials) for name in part.__all__]
