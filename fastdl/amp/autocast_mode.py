"""`autocast`: the dtype in which operations run is chosen by the operation."""

import functools
import threading
import warnings

from fastdl import _dtype, _engine
from fastdl._engine import TensorBase
from fastdl.ops import attention, conv, distance, elementwise, factor, linalg, linear, loss
from fastdl.ops.reduce import running

__all__ = [
    "autocast",
    "custom_bwd",
    "custom_fwd",
    "get_autocast_cpu_dtype",
    "get_autocast_dtype",
    "is_autocast_available",
    "is_autocast_cpu_enabled",
    "is_autocast_enabled",
]

# What PyTorch's documentation lists for CPUs, as far as primitives exist for it: those that gain
# from a lower precision, and those that need float32.
LOWER = (
    linalg.matmul, linalg.einsum_of, linear.affine_map, linear.relu_of_affine,
    linear.gelu_of_affine, conv.convolution, conv.convolution3d, conv.convolution_grad_input,
    conv.convolution3d_grad_input, attention.attention,
)  # fmt: skip
FLOAT32 = (
    running.prod_over, distance.distances, loss.absolute_error, loss.bit_cross_entropy,
    loss.divergence, loss.huber, loss.log_divergence, loss.logit_cross_entropy, loss.nll,
    loss.soft_cross_entropy, loss.softmax_cross_entropy, loss.squared_error,
    loss.weighted_logit_cross_entropy, factor.cholesky_of, factor.det_of, factor.eigh_of,
    factor.inverse_of, factor.lu_of, factor.qr_of, factor.slogdet_of, factor.solution,
    factor.svd_of, factor.triangular_solution,
)  # fmt: skip
DEVICES = ("cpu", "cuda", "mps", "xpu")

for _primitive in LOWER:
    _primitive.autocast = 1
for _primitive in FLOAT32:
    _primitive.autocast = 2


class _State(threading.local):
    dtype = None  # None: off
    default = None  # set by the user; None: bfloat16


_state = _State()


def _cast(args, how):
    """The operands of a primitive that runs in the lower dtype (1) or in float32 (2)."""
    wanted = (_state.dtype if how == 1 else _dtype.float32).dtype
    return tuple([_cast_one(a, wanted) for a in args])


def _cast_one(a, wanted):
    if not isinstance(a, TensorBase):
        return a
    dtype = a.array.dtype
    if dtype == wanted or not _dtype.is_float(dtype) or dtype.char == "d":
        return a
    return elementwise.cast(a, dtype=wanted)


def _switch(dtype):
    """Make `dtype` (None: off) that of this thread; returns the one before."""
    before = _state.dtype
    _state.dtype = dtype
    _engine.set_autocast(dtype is not None, _cast)
    return before


def _checked(device_type):
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if _dtype.device(device_type).type not in DEVICES:
        raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
    return device_type


class autocast:
    """Matrix products, linear layers and convolutions run in a lower precision inside.

    A context manager and a decorator. On entry nothing is converted: each such operation casts its
    float32 operands, and its result has the lower dtype; losses and decompositions cast theirs to
    float32. float64 is left alone. Parameters stay float32 and get float32 gradients. Wrap the
    forward pass and the loss, not `backward`.

    Args:
        device_type: "cpu". Others are accepted and have no effect, with a warning, as there is no
            such device.
        dtype: bfloat16 (the default; needs the ml_dtypes package) or float16.
        enabled: False makes it do nothing, also inside another `autocast`.
        cache_enabled: accepted and unused; weights are cast where they are used.

    Raises:
        ValueError: `device_type` is no string.
        RuntimeError: there is no such device type.
        ImportError: bfloat16 is wanted, and ml_dtypes is not installed.

    >>> import fastdl
    >>> with fastdl.autocast("cpu", dtype=fastdl.float16):
    ...     (fastdl.ones(2, 3) @ fastdl.ones(3, 2)).dtype
    fastdl.float16
    """

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        self.device = _checked(device_type)
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self._enabled = bool(enabled)
        self._before = []
        if not self._enabled:
            return
        if self.device != "cpu":
            warnings.warn(
                f"User provided device_type of {device_type!r}, but {device_type.upper()} is not "
                "available. Disabling",
                stacklevel=2,
            )
            self._enabled = False
        elif self.fast_dtype not in (_dtype.bfloat16, _dtype.float16):
            warnings.warn(
                "In CPU autocast, but the target dtype is not supported. Disabling autocast.\n"
                "CPU Autocast only supports dtype of torch.bfloat16, torch.float16 currently.",
                stacklevel=2,
            )
            self._enabled = False
        else:
            _dtype.as_numpy(self.fast_dtype)  # needs its package

    def __enter__(self):
        if self.device == "cpu":
            self._before.append(_switch(self.fast_dtype if self._enabled else None))
        return self

    def __exit__(self, *exc):
        if self.device == "cpu":
            _switch(self._before.pop())
        return False

    def __call__(self, func):
        @functools.wraps(func)
        def in_lower_precision(*args, **kwargs):
            with self:
                return func(*args, **kwargs)

        return in_lower_precision


def is_autocast_enabled(device_type="cpu"):
    """Is `autocast` on, in this thread?"""
    return _checked(device_type) == "cpu" and _state.dtype is not None


def get_autocast_dtype(device_type):
    """The dtype that `autocast` uses: on a CPU bfloat16, else float16."""
    if _checked(device_type) != "cpu":
        return _dtype.float16
    return _state.dtype or _state.default or _dtype.bfloat16


def set_autocast_dtype(device_type, dtype):
    """Make `dtype` that of later `autocast` without one, in this thread."""
    if _checked(device_type) == "cpu":
        _state.default = dtype


def is_autocast_cpu_enabled():
    """The old name of `is_autocast_enabled("cpu")`."""
    return is_autocast_enabled("cpu")


def get_autocast_cpu_dtype():
    """The old name of `get_autocast_dtype("cpu")`."""
    return get_autocast_dtype("cpu")


def is_autocast_available(device_type):
    """Does `autocast` work for this type of device?"""
    return _checked(device_type) == "cpu"


def _cast_all(value, dtype):
    if isinstance(value, TensorBase):
        return _cast_one(value, dtype)
    if isinstance(value, dict):
        return {k: _cast_all(v, dtype) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_cast_all(v, dtype) for v in value])
    return value


def custom_fwd(fwd=None, *, device_type, cast_inputs=None):
    """Decorator for the `forward` of an `autograd.Function`: it runs under `autocast` as its caller
    does; or, with `cast_inputs`, on inputs of that dtype with `autocast` off."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    _checked(device_type)

    @functools.wraps(fwd)
    def forward(*args, **kwargs):
        args[0]._dtype = _state.dtype
        if cast_inputs is None or not is_autocast_enabled(device_type):
            args[0]._fwd_used_autocast = is_autocast_enabled(device_type)
            return fwd(*args, **kwargs)
        args[0]._fwd_used_autocast = False
        wanted = _dtype.as_numpy(cast_inputs)
        with autocast(device_type, enabled=False):
            return fwd(*_cast_all(args, wanted), **_cast_all(kwargs, wanted))

    return forward


def custom_bwd(bwd=None, *, device_type):
    """Decorator for the `backward` of an `autograd.Function` whose `forward` has `custom_fwd`: it
    runs under `autocast` if that did."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    _checked(device_type)

    @functools.wraps(bwd)
    def backward(*args, **kwargs):
        used = args[0]._fwd_used_autocast
        with autocast(device_type, enabled=used, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return backward
