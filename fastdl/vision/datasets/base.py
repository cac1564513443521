"""What the data sets share: pairs (Pillow image, target), each put through a transform."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastdl.utils.data import Dataset

__all__ = ["StandardTransform", "VisionDataset", "to_image"]


def to_image(array):
    """An array (H, W) or (H, W, 3) of bytes as a Pillow image."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("images need Pillow: pip install 'fastdl[demo]'") from None
    return Image.fromarray(array)


class StandardTransform:
    """(image, target) -> (transform(image), target_transform(target))."""

    def __init__(self, transform: Callable | None = None, target_transform: Callable | None = None):
        self.transform = transform
        self.target_transform = target_transform

    def __call__(self, input, target):
        if self.transform is not None:
            input = self.transform(input)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return input, target


class VisionDataset(Dataset):
    """Base class: `root`, `transform`, `target_transform`, or `transforms` of both at once.

    Raises:
        ValueError: `transforms` beside one of the others.
    """

    def __init__(
        self,
        root=None,
        transforms: Callable | None = None,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
    ) -> None:
        if transforms is not None and (transform is not None or target_transform is not None):
            raise ValueError(
                "Only transforms or transform/target_transform can be passed as argument"
            )
        self.root = str(root) if isinstance(root, Path) else root
        self.transform = transform
        self.target_transform = target_transform
        self.transforms = transforms or StandardTransform(transform, target_transform)

    def __getitem__(self, index: int):
        raise NotImplementedError(f"{type(self).__name__} defines no __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} defines no __len__")

    def extra_repr(self) -> str:
        """More lines of the repr."""
        return ""

    def __repr__(self) -> str:
        lines = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            lines.append(f"Root location: {self.root}")
        lines += self.extra_repr().splitlines()
        if self.transform is not None or self.target_transform is not None:
            lines.append("StandardTransform")
            for name in ("transform", "target_transform"):
                if (function := getattr(self, name)) is not None:
                    head = "Transform: " if name == "transform" else "Target transform: "
                    text = repr(function).replace("\n", "\n    " + " " * len(head))
                    lines.append(f"{head}{text}")
        return "\n    ".join([f"Dataset {type(self).__name__}", *lines])
