"""fastdl: PyTorch's API on readable C kernels. ``import fastdl as torch`` runs a course's code."""

from math import e, inf, nan, pi

newaxis = None

from fastdl import _engine, autograd
from fastdl._dtype import (
    Size,
    bfloat16,
    can_cast,
    complex64,
    complex128,
    channels_last,
    channels_last_3d,
    contiguous_format,
    device,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    layout,
    memory_format,
    preserve_format,
    promote_types,
    set_default_dtype,
    set_default_tensor_type,
    sparse_coo,
    strided,
    uint8,
    uint16,
    uint32,
    uint64,
)
from fastdl._dtype import (
    bool_ as bool,
)
from fastdl._dtype import (
    complex64 as cfloat,
)
from fastdl._dtype import (
    complex128 as cdouble,
)
from fastdl._dtype import (
    float16 as half,
)
from fastdl._dtype import (
    float32 as float,
)
from fastdl._dtype import (
    float64 as double,
)
from fastdl._dtype import (
    int16 as short,
)
from fastdl._dtype import (
    int32 as int,
)
from fastdl._dtype import (
    int64 as long,
)
from fastdl._printing import get_printoptions, set_printoptions
from fastdl._version import __version__
from fastdl.ops import random
from fastdl.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from fastdl.autograd.anomaly_mode import is_anomaly_check_nan_enabled, is_anomaly_enabled
from fastdl.ops.core import is_inference, is_tensor
from fastdl.ops.creation import *
from fastdl.ops.creation import (
    range_inclusive as range,
)
from fastdl.ops.complex import *
from fastdl.ops.elementwise import *
from fastdl.ops.exchange import *
from fastdl.ops.fft import *
from fastdl.ops.counting import *
from fastdl.ops.order import *
from fastdl.ops.join import *
from fastdl.ops.join import concat as concatenate
from fastdl.ops.split import *
from fastdl.ops.grids import *
from fastdl.ops.strided import *
from fastdl.ops.storage import *
from fastdl.ops.sparse import *
from fastdl.ops.strided import resize_as_
from fastdl.ops.copies import *
from fastdl.ops.diagonal import *
from fastdl.ops.index import *
from fastdl.ops.index import put_at as put
from fastdl.ops.index import slice_replaced as slice_scatter
from fastdl.ops.scatter import *
from fastdl.ops.linalg import *
from fastdl.ops.special import digamma, i0, igamma, igammac, lgamma, mvlgamma, polygamma
from fastdl.ops.distance import *
from fastdl.ops.statistics import *
from fastdl.ops.factor import (
    cholesky_inverse,
    cholesky_solve,
    geqrf,
    inverse,
    logdet,
    lu_unpack,
    orgqr,
    ormqr,
    triangular_solve,
)
from fastdl.ops.factor import (
    old_cholesky as cholesky,
)
from fastdl.ops.factor import (
    old_det as det,
)
from fastdl.ops.factor import (
    old_lu as lu,
)
from fastdl.ops.factor import (
    old_lu_solve as lu_solve,
)
from fastdl.ops.factor import (
    old_qr as qr,
)
from fastdl.ops.factor import (
    old_slogdet as slogdet,
)
from fastdl.ops.factor import (
    old_svd as svd,
)
from fastdl.ops.matrices import (
    block_diag,
    chain_matmul,
    kron,
    pca_lowrank,
    pinverse,
    svd_lowrank,
)
from fastdl.ops.matrices import (
    old_matrix_exp as matrix_exp,
)
from fastdl.ops.matrices import (
    old_matrix_power as matrix_power,
)
from fastdl.ops.matrices import (
    old_vander as vander,
)
from fastdl.ops.random import *
from fastdl.ops.reduce import *
from fastdl.ops.rnn import *
from fastdl.ops.shape import *
from fastdl._flags import *
from fastdl.runtime import get_num_threads, set_num_threads, show_config
from fastdl.tensor import (
    FUNCTIONS_IN_PLACE,
    BFloat16Tensor,
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
    Tensor,
)

# isort: split
from fastdl import accelerator, amp, backends, compiler, cuda, fft, func, linalg, nn, optim
from fastdl import profiler, serialization, sparse, special, utils, version
from fastdl.amp.autocast_mode import (
    autocast,
    get_autocast_cpu_dtype,
    get_autocast_dtype,
    is_autocast_available,
    is_autocast_cpu_enabled,
    is_autocast_enabled,
    set_autocast_dtype,
)
from fastdl.amp.grad_scaler import GradScaler
from fastdl.compiler import compile
from fastdl.func import vmap
from fastdl.io import load, save
from fastdl.ops.activation import celu, log_softmax, relu, selu, softmax
from fastdl.ops.conv import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from fastdl.ops.dropout import alpha_dropout, dropout, feature_alpha_dropout
from fastdl.ops.linear import bilinear
from fastdl.ops.norm import group_norm, layer_norm, rms_norm
from fastdl.ops.piecewise import hardshrink, prelu, rrelu
from fastdl.ops.pool import (
    adaptive_max_pool1d_with_indices as adaptive_max_pool1d,
)
from fastdl.ops.pool import (
    adaptive_avg_pool1d,
    avg_pool1d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from fastdl.ops.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle

globals().update({name: getattr(Tensor, name) for name in FUNCTIONS_IN_PLACE.split()})

# The function goes last: importing the module `fastdl.tensor` has just bound the name.
from fastdl.ops.creation import tensor


# What takes tensors says so, and which argument is none. Primitives and shortcuts do already, and
# the decorators of `fastdl.ops.core`; creation takes anything.
for _name, _function in list(globals().items()):
    if (
        hasattr(_function, "__code__")
        and (_function.__module__.startswith("fastdl.ops.") or _name in FUNCTIONS_IN_PLACE.split())
        and _function.__module__ != "fastdl.ops.creation"
        and not hasattr(_function, "takes_aliases")
    ):
        globals()[_name] = _engine.guarded(_function)


def __getattr__(name):
    """Packages that few programs need are imported when first asked for."""
    if name in {
        "audio",
        "datasets",
        "distributions",
        "jit",
        "kernels",
        "metrics",
        "testing",
        "text",
        "train",
        "vision",
    }:
        from importlib import import_module

        return import_module(f"fastdl.{name}")
    raise AttributeError(f"module 'fastdl' has no attribute {name!r}")
