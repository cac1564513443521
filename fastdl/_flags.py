"""Switches of PyTorch's that change nothing here: what is set is kept and can be asked for.

Kernels compute in the precision of their operands and give the same bits for every number of
threads, whatever is set.
"""

__all__ = [
    "are_deterministic_algorithms_enabled",
    "get_deterministic_debug_mode",
    "get_float32_matmul_precision",
    "get_num_interop_threads",
    "is_deterministic_algorithms_warn_only_enabled",
    "set_deterministic_debug_mode",
    "set_float32_matmul_precision",
    "set_num_interop_threads",
    "use_deterministic_algorithms",
]

_PRECISIONS = ("highest", "high", "medium")
_DEBUG_MODES = ("default", "warn", "error")
_precision = "highest"
_debug_mode = 0
_interop_threads = 1


def set_float32_matmul_precision(precision: str) -> None:
    """Allow float32 products a lower precision: "highest", "high" or "medium". They stay float32.

    Raises:
        RuntimeError: it is none of these.
    """
    global _precision
    if precision not in _PRECISIONS:
        raise RuntimeError(
            f"set_float32_matmul_precision: expected one of {', '.join(_PRECISIONS)}, got "
            f"{precision!r}"
        )
    _precision = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was given; "highest" at first."""
    return _precision


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for algorithms that give the same results each time: all of fastdl's do."""
    set_deterministic_debug_mode((1 if warn_only else 2) if mode else 0)


def are_deterministic_algorithms_enabled() -> bool:
    """Whether `use_deterministic_algorithms` was asked for."""
    return _debug_mode > 0


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether that was with `warn_only`."""
    return _debug_mode == 1


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """`use_deterministic_algorithms` by a level: 0 or "default", 1 or "warn", 2 or "error".

    Raises:
        RuntimeError: it is none of these.
    """
    global _debug_mode
    if isinstance(debug_mode, str) and debug_mode in _DEBUG_MODES:
        debug_mode = _DEBUG_MODES.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(
            "invalid value of debug_mode, expected one of `default`, `warn`, `error`, 0, 1, 2, "
            f"but got {debug_mode!r}"
        )
    _debug_mode = int(debug_mode)


def get_deterministic_debug_mode() -> int:
    """The level that was set; 0 at first."""
    return _debug_mode


def set_num_interop_threads(num: int) -> None:
    """Set how many operations may run side by side: one after another, whatever is set.

    Raises:
        RuntimeError: `num` is not positive.
    """
    global _interop_threads
    if num <= 0:
        raise RuntimeError(f"Expected positive number of threads, got {num}")
    _interop_threads = int(num)


def get_num_interop_threads() -> int:
    """What `set_num_interop_threads` was given; 1 at first."""
    return _interop_threads
