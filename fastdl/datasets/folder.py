"""A user's own pictures: FOLDER/class/picture.png, read with Pillow (extra ``fastdl[demo]``)."""

import warnings
from pathlib import Path

import numpy as np

from fastdl.datasets.arrays import Arrays, DatasetError, image_to_tensor
from fastdl.utils.data import Dataset

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def read_image(
    path, size: tuple[int, int] | None = None, channels: int | None = None
) -> np.ndarray:
    """Read a picture as an array of 8-bit numbers.

    Args:
        path: the file, in any format Pillow reads. Of an animation, the first frame counts.
        size: (height, width) the picture is resized to (its proportions are not kept); default: its
            own size.
        channels: 1 for grey, 3 for red, green and blue; default: 1 for a grey picture, else 3.
            Transparent parts are laid on white.

    Returns:
        (H, W) uint8 for one channel, (H, W, 3) uint8 for three; 255 is white.

    Raises:
        FileNotFoundError: there is no such file.
        DatasetError: the file is empty, damaged, too large, or not a picture.
        ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ImportError("reading pictures needs Pillow: pip install 'fastdl[demo]'") from None
    path = Path(path)
    if path.is_dir():
        raise DatasetError(f"{path}: a folder, not an image")
    if path.stat().st_size == 0:
        raise DatasetError(f"{path}: the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                if channels is None:
                    grey = file.mode in ("1", "L", "LA", "I", "F") or file.mode.startswith("I;")
                    channels = 1 if grey else 3
                # A JPEG may be decoded at a fraction of its size, just above the one wanted.
                file.draft("RGB", size and size[::-1])
                image = ImageOps.exif_transpose(file)
                if image.mode.startswith(("I", "F")):
                    image = _to_8_bits(image)
                if image.has_transparency_data:
                    image = image.convert("RGBA")
                    paper = Image.new("RGBA", image.size, "white")
                    image = Image.alpha_composite(paper, image)
                image = image.convert("L" if channels == 1 else "RGB")
                if size is not None:
                    image = image.resize(size[::-1], Image.Resampling.BILINEAR)
                return np.asarray(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DatasetError(f"{path}: the image has too many pixels") from None
    except Image.UnidentifiedImageError:
        raise DatasetError(f"{path}: not an image") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's decoders raise
        raise DatasetError(f"{path}: damaged image ({error})") from None


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a grey image (H, W) of float32 to size (height, width), as :func:`read_image` does."""
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def _to_8_bits(image):
    """Return a picture of 16- or 32-bit grey (mode I or F) as 8-bit grey, its maximum as white."""
    from PIL import Image

    values = np.asarray(image, np.float64)
    white = 65535.0 if image.mode.startswith("I") else max(values.max(), 1.0)
    return Image.fromarray((values.clip(0, white) * (255 / white)).round().astype(np.uint8))


def find_images(root) -> tuple[list[Path], list[int], list[str]]:
    """List the pictures in a folder of class folders.

    Returns:
        Paths, class index of each, and the classes' names: sorted, so that the same folder gives
        the same list everywhere. Folders without a picture, and hidden files, are left out.

    Raises:
        FileNotFoundError: there is no such folder.
        DatasetError: there is no class folder with a picture in it.
    """
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder")
    if not root.is_dir():
        raise DatasetError(f"{root}: not a folder")
    paths, targets, classes = [], [], []
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
        found = sorted(
            p
            for p in folder.rglob("*")
            if p.suffix.lower() in EXTENSIONS and not p.name.startswith(".") and p.is_file()
        )
        if found:
            paths += found
            targets += [len(classes)] * len(found)
            classes.append(folder.name)
    if not paths:
        raise DatasetError(
            f"{root}: no pictures found; expected one folder per class, as in "
            f"{root / 'CLASS' / 'picture.png'} ({', '.join(EXTENSIONS)})"
        )
    return paths, targets, classes


class ImageFolder(Dataset):
    """Pictures in one folder per class: pairs of a float32 Tensor (C, H, W) in [0, 1] and the
    class.

    The pictures are read when they are asked for. They keep their sizes: give ``size`` (or resize
    in ``transform``) to make batches of them.

    Args:
        root: the folder; ``root/cat/*.png`` are the pictures of class "cat".
        transform: function of the picture, an (H, W) or (H, W, 3) uint8 array.
        target_transform: function of the class index.
        size: (height, width) every picture is resized to; default: as it is.
        channels: 1 (grey) or 3 (colour); default: each picture's own.

    Attributes:
        samples: list of pairs (path, class index).
        targets: list of class indices.
        classes: names of the classes, sorted.
        class_to_idx: index of each name.

    Raises:
        FileNotFoundError, DatasetError: the folder is missing or holds no pictures; and, on access,
            a picture is damaged (the message names it).
    """

    def __init__(self, root, transform=None, target_transform=None, *, size=None, channels=None):
        paths, self.targets, self.classes = find_images(root)
        self.root = Path(root)
        self.samples = list(zip(paths, self.targets))
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.transform = transform
        self.target_transform = target_transform
        self.size = size
        self.channels = channels

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index):
        path, target = self.samples[index]
        image = read_image(path, self.size, self.channels)
        image = image_to_tensor(image) if self.transform is None else self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def __repr__(self) -> str:
        return f"ImageFolder({self.root}: {len(self)} pictures, {len(self.classes)} classes)"


def load_folder(root, size: tuple[int, int], channels: int | None = None) -> Arrays:
    """Read all pictures of a folder of class folders into memory, leaving out the bad ones.

    Args:
        root: the folder; ``root/cat/*.png`` are the pictures of class "cat".
        size: (height, width) every picture is resized to.
        channels: 1 (grey) or 3 (colour); default: 1 if the first good picture is grey, else 3.

    Returns:
        ``data`` (N, H, W) or (N, H, W, 3) uint8, ``targets`` (N,).

    Warns:
        UserWarning: a picture is damaged; the message names it and says why.

    Raises:
        FileNotFoundError, DatasetError: the folder is missing or holds no readable pictures.
    """
    paths, targets, classes = find_images(root)
    images, kept = [], []
    for path, target in zip(paths, targets):
        try:
            image = read_image(path, size, channels)
        except (DatasetError, OSError) as error:
            warnings.warn(f"left out {error}", stacklevel=2)
            continue
        channels = channels or (1 if image.ndim == 2 else 3)
        images.append(image)
        kept.append(target)
    if not images:
        raise DatasetError(f"{root}: none of its {len(paths)} pictures could be read")
    return Arrays(np.stack(images), np.array(kept, np.int64), tuple(classes), white=255.0)
