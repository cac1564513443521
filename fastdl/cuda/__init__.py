"""What scripts ask of ``torch.cuda`` before they fall back to the CPU.

This release computes on the CPU alone, so :func:`is_available` is False and :func:`device_count` 0.
What a script may call without a GPU (seeding, emptying caches) does nothing, as in PyTorch; what
needs one raises RuntimeError.
"""

import contextlib
import time

from fastdl import _dtype
from fastdl.cuda import amp

__all__ = [
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "Event",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
    "Stream",
    "amp",
    "current_device",
    "current_stream",
    "device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "init",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "memory_summary",
    "reset_max_memory_allocated",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
    "stream",
    "synchronize",
]


def is_available() -> bool:
    """Whether tensors can live on a GPU: False in this release."""
    return False


def is_initialized() -> bool:
    """Whether a GPU is in use: False."""
    return False


def device_count() -> int:
    """The number of GPUs that tensors can live on: 0 in this release."""
    return 0


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the GPU computes with bfloat16: False, there is none."""
    return False


def manual_seed(seed: int) -> None:
    """Seed the current GPU's generator; nothing to do without a GPU."""


def manual_seed_all(seed: int) -> None:
    """Seed every GPU's generator; nothing to do without a GPU."""


def seed() -> None:
    """Seed the current GPU's generator at random; nothing to do without a GPU."""


def seed_all() -> None:
    """Seed every GPU's generator at random; nothing to do without a GPU."""


def empty_cache() -> None:
    """Return unused cached GPU memory; nothing to do without a GPU."""


def ipc_collect() -> None:
    """Collect memory shared between processes; nothing to do without a GPU."""


def get_rng_state_all() -> list:
    """The states of every GPU's generator: none."""
    return []


def set_rng_state_all(new_states) -> None:
    """Set the states of every GPU's generator; nothing to do without a GPU."""


def _no_bytes(name):
    def function(device=None) -> int:
        return 0

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As ``torch.cuda.{name}``: 0 bytes, there is no GPU."
    return function


memory_allocated = _no_bytes("memory_allocated")
max_memory_allocated = _no_bytes("max_memory_allocated")
memory_reserved = _no_bytes("memory_reserved")
max_memory_reserved = _no_bytes("max_memory_reserved")


def reset_peak_memory_stats(device=None) -> None:
    """Forget the peaks of GPU memory; nothing to do without a GPU."""


def reset_max_memory_allocated(device=None) -> None:
    """The old name of `reset_peak_memory_stats`."""


def memory_summary(device=None, abbreviated: bool = False) -> str:
    """A report on GPU memory: none is in use."""
    return "no GPU is available to fastdl: no GPU memory is in use"


def _needs_gpu(name):
    def function(*args, **kwargs):
        raise RuntimeError(
            f"fastdl.cuda.{name}: no GPU is available to fastdl; "
            "check fastdl.cuda.is_available() first"
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As ``torch.cuda.{name}``; RuntimeError where no GPU is available."
    return function


synchronize = _needs_gpu("synchronize")
set_device = _needs_gpu("set_device")
current_device = _needs_gpu("current_device")
current_stream = _needs_gpu("current_stream")
get_device_name = _needs_gpu("get_device_name")
get_device_capability = _needs_gpu("get_device_capability")
get_device_properties = _needs_gpu("get_device_properties")
mem_get_info = _needs_gpu("mem_get_info")
get_rng_state = _needs_gpu("get_rng_state")
set_rng_state = _needs_gpu("set_rng_state")
init = _needs_gpu("init")


class device:
    """A context in which a GPU is the current one: with none, it changes nothing."""

    def __init__(self, device):
        self.idx = _dtype.device(device).index if not isinstance(device, int) else device

    def __enter__(self):
        return None

    def __exit__(self, *exc):
        return False


class Stream:
    """A queue of GPU work; RuntimeError, as there is no GPU."""

    def __init__(self, device=None, priority=0, **kwargs):
        raise RuntimeError("fastdl.cuda.Stream: no GPU is available to fastdl")


def stream(stream):
    """A context in which GPU work goes to `stream`: without one, it changes nothing."""
    return contextlib.nullcontext()


class Event:
    """A moment in a program, for timing: without a GPU, when `record` was called.

    Args:
        enable_timing: whether `elapsed_time` will be asked for.
        blocking, interprocess, external: accepted, without effect.

    >>> import fastdl
    >>> start, end = (fastdl.cuda.Event(enable_timing=True) for _ in range(2))
    >>> start.record(), end.record()
    (None, None)
    >>> start.elapsed_time(end) >= 0
    True
    """

    def __init__(self, enable_timing=False, blocking=False, interprocess=False, external=False):
        self.enable_timing = enable_timing
        self.time = None

    def record(self, stream=None):
        """Take the time."""
        self.time = time.perf_counter_ns()

    def elapsed_time(self, end_event) -> float:
        """Milliseconds from this event to `end_event`.

        Raises:
            RuntimeError: one has not been recorded, or was made without `enable_timing`.
        """
        if not (self.enable_timing and end_event.enable_timing):
            raise RuntimeError(
                "Both events must be created with argument 'enable_timing=True' to calculate "
                "elapsed time."
            )
        if self.time is None or end_event.time is None:
            raise RuntimeError("Both events must be recorded before calculating elapsed time.")
        return (end_event.time - self.time) / 1e6

    def synchronize(self) -> None:
        """Wait for the event: it is over when it is recorded."""

    def wait(self, stream=None) -> None:
        """Let later work wait for the event: it is over when it is recorded."""

    def query(self) -> bool:
        """Is the event over: True."""
        return True


def _tensor_type(name):
    def new(cls, *args, **kwargs):
        raise TypeError(f"type torch.cuda.{name} not available: there is no GPU.")

    return type(name, (), {"__new__": new, "__doc__": f"`{name}` on a GPU: TypeError, none here."})


HalfTensor = _tensor_type("HalfTensor")
BFloat16Tensor = _tensor_type("BFloat16Tensor")
FloatTensor = _tensor_type("FloatTensor")
DoubleTensor = _tensor_type("DoubleTensor")
CharTensor = _tensor_type("CharTensor")
ShortTensor = _tensor_type("ShortTensor")
IntTensor = _tensor_type("IntTensor")
LongTensor = _tensor_type("LongTensor")
ByteTensor = _tensor_type("ByteTensor")
BoolTensor = _tensor_type("BoolTensor")
