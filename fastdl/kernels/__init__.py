"""The study door to the C kernels: read them, call any rung of a ladder, time the whole ladder.

    from fastdl import kernels
    kernels.list()                                  # families and their variants
    kernels.describe("gemm", "blocked")             # idea, what it removes, what it leaves
    kernels.source("gemm", "blocked")               # the C code
    kernels.gemm(a, b, variant="blocked", isa="avx2", threads=1)
    kernels.ladder("gemm", 512)                     # every rung, timed here and now
    kernels.explain_conv(x.shape, w.shape, padding=1)    # which kernels a convolution runs on

The functions that compute take and return NumPy arrays of float32 or float64. `variant` names the
rung, `isa` the instruction set (None: the one in force), `threads` an upper bound (0: the default).
Nothing is copied from the product for the purpose of study: the last rung of each ladder is what
every layer runs on.
"""

from fastdl._kernels import (
    attention,
    attention_backward,
    gemm,
    isa_available,
    recurrence,
    recurrence_backward,
)
from fastdl._measure import bandwidth, peak
from fastdl.kernels.calling import (
    avg_pool2d,
    conv2d,
    conv2d_grad_input,
    conv2d_grad_weight,
    max_pool2d,
)
from fastdl.kernels.choosing import explain_conv
from fastdl.kernels.climbing import ladder
from fastdl.kernels.reading import describe, list, source

__all__ = [
    "attention",
    "attention_backward",
    "avg_pool2d",
    "bandwidth",
    "conv2d",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "describe",
    "explain_conv",
    "gemm",
    "isa_available",
    "ladder",
    "list",
    "max_pool2d",
    "peak",
    "recurrence",
    "recurrence_backward",
    "source",
]
