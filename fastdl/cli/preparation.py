"""From raw samples to the network's input. Saved with a model, so that predict does the same."""

from dataclasses import asdict, dataclass

import numpy as np

from fastdl.datasets import Arrays


@dataclass(frozen=True)
class Preparation:
    """How raw samples become the network's input: scaled, enlarged if small, standardised.

    An image of fewer than 15 pixels is too small for two stages of 5x5 convolution and pooling:
    each of its pixels is repeated, and a border is put round it. Digits of 8x8 become 28x28: every
    pixel a block of 3x3, with a border of 2.
    """

    white: float  # the raw value that becomes 1
    size: tuple[int, int] | None  # (height, width) of the raw images; None: rows of a table
    channels: int  # 1 or 3; for a table, the number of columns
    repeat: int  # each pixel becomes a block of this many, squared
    border: int  # pixels put round the enlarged image
    background: float  # 0 where pictures are light on dark, 1 where dark on light
    mean: tuple[float, ...]  # of each channel or column, after scaling
    std: tuple[float, ...]
    features: tuple[str, ...] = ()  # names of a table's columns
    extent: float | None = None  # how much of the frame a drawing fills, if they all fill as much

    @classmethod
    def of(cls, arrays: Arrays) -> "Preparation":
        """Return the preparation that suits a training set."""
        shape = arrays.data.shape
        if len(shape) == 2:
            rough = cls(1.0, None, shape[1], 1, 0, 0.0, (0.0,) * shape[1], (1.0,) * shape[1])
            axes = 0
        else:
            height, width = shape[1:3]
            channels = shape[3] if len(shape) == 4 else 1
            repeat = max(1, 28 // max(height, width))
            rim = np.concatenate(
                [arrays.data[:, edge].ravel() for edge in (0, -1)]
                + [arrays.data[:, :, edge].ravel() for edge in (0, -1)]
            )
            background = float(rim.mean() > arrays.white / 2)
            extent = None
            if channels == 1:
                extents = [
                    _extent(image / arrays.white, background) for image in arrays.data[:1000]
                ]
                if np.std(extents) < 0.1:
                    extent = float(np.mean(extents).round(3))
            rough = cls(
                arrays.white,
                (height, width),
                channels,
                repeat,
                2 if repeat > 1 else 0,
                background,
                (0.0,) * channels,
                (1.0,) * channels,
                extent=extent,
            )
            axes = (0, 2, 3)
        # Ten thousand samples tell mean and deviation well enough, and need little memory.
        sample = rough(arrays.data[:: 1 + len(arrays.data) // 10_000]).astype(np.float64)
        mean, std = sample.mean(axes), sample.std(axes)
        std[std == 0] = 1.0
        fields = {f: getattr(rough, f) for f in cls.__dataclass_fields__}
        fields.update(
            mean=tuple(mean.round(6).tolist()),
            std=tuple(std.round(6).clip(1e-6).tolist()),
            features=arrays.features,
        )
        return cls(**fields)

    def framed(self, image: np.ndarray) -> np.ndarray:
        """A grey picture (H, W) in [0, 1] in the frame that the training pictures had.

        Where the training pictures are drawings on plain paper that fill the same share of their
        frame (digits do), a drawing that fills another share is cut out and put in the middle of a
        frame of that share, on even paper, at full contrast. Else the picture is returned as it is.
        """
        if self.extent is None or abs(_extent(image, self.background) - self.extent) < 0.1:
            return image
        ink = _ink(image, self.background)
        down, right = _box(ink)
        drawing = ink[down, right] / ink.max()
        side = max(1, round(max(drawing.shape) / self.extent))
        frame = np.zeros((side, side), np.float32)
        top, left = ((side - length) // 2 for length in drawing.shape)
        frame[top : top + drawing.shape[0], left : left + drawing.shape[1]] = drawing
        return np.abs(self.background - frame)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample as the network gets it: (C, H, W), or (columns,)."""
        if self.size is None:
            return (self.channels,)
        return (self.channels, *(side * self.repeat + 2 * self.border for side in self.size))

    @property
    def fill(self) -> np.ndarray:
        """(C, 1, 1) float32: the background as the network sees it."""
        mean, std = np.array(self.mean), np.array(self.std)
        return ((self.background - mean) / std).astype(np.float32)[:, None, None]

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Raw samples (N, columns), (N, H, W) or (N, H, W, C) -> float32 (N, *input_shape)."""
        x = raw.astype(np.float32)
        if self.size is not None:
            x = x[:, None] if x.ndim == 3 else np.ascontiguousarray(np.moveaxis(x, 3, 1))
            if self.repeat > 1:
                x = x.repeat(self.repeat, 2).repeat(self.repeat, 3)
            if self.border:
                margin = (self.border, self.border)
                paper = self.background * self.white
                x = np.pad(x, ((0, 0), (0, 0), margin, margin), constant_values=paper)
        columns = (-1,) + (1,) * (x.ndim - 2)
        x *= np.float32(1 / self.white)
        x -= np.array(self.mean, np.float32).reshape(columns)
        x /= np.array(self.std, np.float32).reshape(columns)
        return x

    def describe(self) -> str:
        """Return in words what a raw sample is and what is done to it."""
        if self.size is None:
            return f"{self.channels} columns"
        height, width = self.size
        text = f"{height}x{width} pixels" + (", colour" if self.channels == 3 else "")
        if self.repeat > 1:
            _, height, width = self.input_shape
            text += (
                f", enlarged to {height}x{width} (each pixel {self.repeat}x{self.repeat}, "
                f"border {self.border})"
            )
        return text

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict) -> "Preparation":
        """Return the preparation that `to_dict` wrote, after a trip through JSON.

        Raises:
            KeyError, TypeError, ValueError: the fields are not those of a preparation.
        """
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        made = cls(**fields)
        sides = made.size or ()
        whole = (made.channels, made.repeat, made.border, *sides)
        if not all(isinstance(v, int) and 0 <= v <= 1 << 16 for v in whole):
            raise ValueError("sizes are not small whole numbers")
        if len(made.mean) != made.channels or len(made.std) != made.channels:
            raise ValueError("mean and std do not have one value per channel")
        return made


def _ink(image: np.ndarray, background: float) -> np.ndarray:
    """How much darker or lighter than the paper, the median of its rim, each pixel is: (H, W)."""
    rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return (np.median(rim) - image if background else image - np.median(rim)).clip(0)


def _box(ink: np.ndarray) -> tuple[slice, slice]:
    """The smallest box that holds all pixels of at least a third of the strongest ink."""
    drawn = ink >= max(ink.max() / 3, 0.1)
    spans = []
    for axis in (1, 0):
        (where,) = np.nonzero(drawn.any(axis))
        spans.append(
            slice(where[0], where[-1] + 1) if len(where) else slice(0, ink.shape[1 - axis])
        )
    return spans[0], spans[1]


def _extent(image: np.ndarray, background: float) -> float:
    """The larger of the shares of its height and width that a drawing fills; 1 for empty paper."""
    spans = _box(_ink(image, background))
    return max((s.stop - s.start) / length for s, length in zip(spans, image.shape))
