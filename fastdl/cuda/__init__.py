"""What scripts ask of ``torch.cuda`` before they fall back to the CPU.

This release computes on the CPU alone, so :func:`is_available` is False and :func:`device_count` 0.
What a script may call without a GPU (seeding, emptying caches) does nothing, as in PyTorch; what
needs one raises RuntimeError.
"""

__all__ = [
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "set_device",
    "synchronize",
]


def is_available() -> bool:
    """Whether tensors can live on a GPU: False in this release."""
    return False


def device_count() -> int:
    """The number of GPUs that tensors can live on: 0 in this release."""
    return 0


def manual_seed(seed: int) -> None:
    """Seed the current GPU's generator; nothing to do without a GPU."""


def manual_seed_all(seed: int) -> None:
    """Seed every GPU's generator; nothing to do without a GPU."""


def empty_cache() -> None:
    """Return unused cached GPU memory; nothing to do without a GPU."""


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
get_device_name = _needs_gpu("get_device_name")
