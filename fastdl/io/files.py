"""Writing a file so that a reader finds the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import os
import tempfile

__all__ = ["write_whole"]


def write_whole(path: str | os.PathLike, *parts: bytes | memoryview) -> None:
    """Makes the parts the contents of a file in one step; OSError, and the old file, if that
    fails."""
    path = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    """The process's file mode mask; there is no way to read it but to set it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
