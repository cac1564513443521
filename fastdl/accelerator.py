"""``torch.accelerator``: there is none, and scripts that ask are told so."""

from fastdl._dtype import device

__all__ = [
    "current_accelerator",
    "current_device_idx",
    "current_device_index",
    "device_count",
    "is_available",
    "set_device_idx",
    "set_device_index",
    "synchronize",
]


def is_available() -> bool:
    """Is there an accelerator: False."""
    return False


def device_count() -> int:
    """The number of accelerators: 0."""
    return 0


def current_accelerator(check_available: bool = False) -> device | None:
    """The accelerator's device: None, there is none."""
    return None


def _none(name):
    def function(*args, **kwargs):
        raise RuntimeError(
            f"fastdl.accelerator.{name}: Cannot access accelerator device when none is available."
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As ``torch.accelerator.{name}``; RuntimeError: there is no accelerator."
    return function


current_device_index = _none("current_device_index")
current_device_idx = _none("current_device_idx")
set_device_index = _none("set_device_index")
set_device_idx = _none("set_device_idx")
synchronize = _none("synchronize")
