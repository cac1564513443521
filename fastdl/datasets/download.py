"""Fetch a file from the first mirror that has it, and trust it only if its checksum is right."""

import contextlib
import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from fastdl.datasets.arrays import DatasetError

TIMEOUT = 30  # seconds without an answer after which a mirror is given up


def download(name: str, mirrors, folder, checksum: str, algorithm: str = "sha256") -> Path:
    """Download file `name` into `folder` and return its path.

    The file appears under its name only when it is whole and its checksum is right; an interrupted
    download leaves nothing behind.

    Args:
        name: file name, appended to each mirror.
        mirrors: base URLs ending in "/", tried in order.
        folder: where the file goes; made if it is missing.
        checksum: what the file must have, in hexadecimal, or the beginning of it.
        algorithm: which checksum: "sha256", or "md5" where a data set's maker gives that.

    Raises:
        DatasetError: no mirror gave the right file; the message says why of each.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for mirror in mirrors:
        descriptor, part = tempfile.mkstemp(prefix=name + ".", suffix=".part", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                with urllib.request.urlopen(mirror + name, timeout=TIMEOUT) as answer:
                    shutil.copyfileobj(answer, file, 1 << 20)
            with open(part, "rb") as file:
                found = hashlib.file_digest(file, algorithm).hexdigest()
            if not found.startswith(checksum):
                name_of = {"sha256": "SHA-256", "md5": "MD5"}[algorithm]
                raise DatasetError(f"wrong {name_of} {found[:12]}..., expected {checksum[:12]}...")
            os.chmod(part, 0o644)
            os.replace(part, folder / name)
            return folder / name
        except (OSError, DatasetError, http.client.HTTPException) as error:
            code = f"HTTP {error.code}, " if isinstance(error, urllib.error.HTTPError) else ""
            reason = f"{code}{getattr(error, 'reason', None) or error}"
            failures.append(f"{mirror + name}: {reason}")
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
    raise DatasetError(f"cannot download {name}: " + "; ".join(failures))
