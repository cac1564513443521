"""A user's own arrays, from a NumPy archive (.npz)."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from fastdl.datasets.arrays import ArrayDataset, Arrays, DatasetError, stratified_part

# Names under which samples and classes are found, in this order.
SAMPLES = ("data", "x", "X", "images")
TARGETS = ("targets", "y", "labels", "target")


def load_npz(path) -> tuple[Arrays, Arrays | None]:
    """Read samples and classes from a NumPy archive.

    The archive holds either one set, ``data`` and ``targets`` (or ``x`` and ``y``, ``images`` and
    ``labels``), or two, ``x_train``, ``y_train``, ``x_test`` and ``y_test``. Samples are tables
    (N, features) or images (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3, of any real
    dtype; classes are (N,) integers or strings, in any values: class k is the k-th in sorted order.
    Pickled objects are never loaded.

    Args:
        path: the file.

    Returns:
        The set and None; or the training set and the test set.

    Raises:
        FileNotFoundError: there is no such file.
        DatasetError: the file is damaged or not an archive, lacks an array, or an array has a wrong
            shape or dtype, or holds NaN or infinity.
    """
    path = Path(path)
    if path.stat().st_size == 0:
        raise DatasetError(f"{path}: the file is empty")
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise DatasetError(f"{path}: one array (.npy); expected an archive (.npz) of two")
        with archive:
            return _read(archive, path)
    except DatasetError:
        raise
    except zipfile.BadZipFile as error:
        raise DatasetError(f"{path}: damaged or truncated archive ({error})") from None
    except (ValueError, zlib.error, EOFError, OSError) as error:
        # NumPy takes whatever it does not recognise for a pickle, which it is told not to load.
        what = "pickled objects, or some other format" if "pickle" in str(error) else error
        raise DatasetError(f"{path}: not a readable NumPy archive ({what})") from None


def _read(archive, path: Path) -> tuple[Arrays, Arrays | None]:
    names = set(archive.files)
    for x, y in zip(SAMPLES, TARGETS):
        if {f"{x}_train", f"{y}_train", f"{x}_test", f"{y}_test"} <= names:
            train = _check(archive, f"{x}_train", f"{y}_train", path)
            test = _check(archive, f"{x}_test", f"{y}_test", path)
            if train[0].shape[1:] != test[0].shape[1:]:
                raise DatasetError(
                    f"{path}: samples of shape {train[0].shape[1:]} in {x}_train, "
                    f"{test[0].shape[1:]} in {x}_test"
                )
            both = _arrays(*(np.concatenate(pair) for pair in zip(train, test)))
            n = len(train[0])
            return (
                both._replace(data=both.data[:n], targets=both.targets[:n]),
                both._replace(data=both.data[n:], targets=both.targets[n:]),
            )
    x = next((name for name in SAMPLES if name in names), None)
    y = next((name for name in TARGETS if name in names), None)
    if x is None or y is None:
        raise DatasetError(
            f"{path}: holds {', '.join(sorted(names)) or 'nothing'}; expected the samples "
            f"as one of {', '.join(SAMPLES)} and the classes as one of {', '.join(TARGETS)} "
            f"(or x_train, y_train, x_test, y_test)"
        )
    return _arrays(*_check(archive, x, y, path)), None


def _check(archive, x: str, y: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    data, targets = archive[x], archive[y]
    if data.dtype.kind not in "buif":
        raise DatasetError(f"{path}: {x} has dtype {data.dtype}; expected real numbers")
    if targets.dtype.kind not in "buiU":
        raise DatasetError(f"{path}: {y} has dtype {targets.dtype}; expected integers or strings")
    if data.ndim not in (2, 3, 4) or (
        data.ndim == 4 and not {data.shape[1], data.shape[3]} & {1, 3}
    ):
        raise DatasetError(
            f"{path}: {x} has shape {data.shape}; expected (N, features), (N, H, W), (N, H, W, C) "
            f"or (N, C, H, W) with C = 1 or 3"
        )
    if targets.shape != data.shape[:1]:
        raise DatasetError(
            f"{path}: {y} has shape {targets.shape}; expected ({len(data)},): one class for each "
            f"sample of {x}"
        )
    if data.size == 0:
        raise DatasetError(f"{path}: {x} has shape {data.shape}: there are no samples")
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise DatasetError(f"{path}: {x} holds NaN or infinity")
    return data, targets


def _arrays(data: np.ndarray, targets: np.ndarray) -> Arrays:
    values, targets = np.unique(targets, return_inverse=True)
    if data.ndim == 4 and data.shape[3] not in (1, 3):
        data = np.moveaxis(data, 1, 3)
    if data.ndim == 2:
        white = 1.0
    else:
        white = 255.0 if data.dtype == np.uint8 else float(max(data.max(), 1))
    return Arrays(data, targets.astype(np.int64), tuple(str(v) for v in values), white)


class NpzDataset(ArrayDataset):
    """Samples and classes of a NumPy archive: pairs of a float32 Tensor and the class index.

    Args:
        path: the file; see :func:`load_npz` for what it must hold.
        train: the training part (default) or the test part; ``None`` for all. A file with one set
            is divided by :func:`stratified_split`.
        transform: function of the raw sample, an array.
        target_transform: function of the class index.
    """

    def __init__(self, path, train: bool | None = True, transform=None, target_transform=None):
        first, second = load_npz(path)
        if second is None:
            arrays = stratified_part(first, train)
        elif train is None:
            arrays = first._replace(
                data=np.concatenate([first.data, second.data]),
                targets=np.concatenate([first.targets, second.targets]),
            )
        else:
            arrays = first if train else second
        super().__init__(arrays, transform, target_transform)
