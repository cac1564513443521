"""Reductions and what runs along a dimension: sums, extremes, truth, products, running sums. One
module for each; what they hold is reached through the package.
"""

from fastdl.ops.reduce import extremes, running, sums, truth
from fastdl.ops.reduce.extremes import *
from fastdl.ops.reduce.extremes import amax_over, amin_over, shared_slope
from fastdl.ops.reduce.norm import euclidean_norm
from fastdl.ops.reduce.running import *
from fastdl.ops.reduce.sums import *
from fastdl.ops.reduce.truth import *

__all__ = [name for part in (extremes, running, sums, truth) for name in part.__all__]
