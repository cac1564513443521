"""Optical Recognition of Handwritten Digits: 1,797 images of 8x8, shipped with fastdl."""

from fastdl.datasets.arrays import ArrayDataset, Arrays, load_shipped, stratified_part


def load_digits() -> Arrays:
    """Return the whole data set: ``data`` (1797, 8, 8) uint8 of 0 to 16, ``targets`` (1797,).

    Each pixel counts the ink in one 4x4 block of a 32x32 bitmap of the digit: 0 is paper, 16 ink.
    Source, licence and citation: see :class:`Digits`.
    """
    data, targets = load_shipped("digits.npz")
    return Arrays(data, targets, tuple("0123456789"), white=16.0)


class Digits(ArrayDataset):
    """Handwritten digits, 8x8 pixels: pairs of a float32 Tensor (1, 8, 8) in [0, 1] and the digit.

    * Source: the test part of *Optical Recognition of Handwritten Digits*, UCI Machine Learning
      Repository, https://archive.ics.uci.edu/dataset/80; the same images as scikit-learn's
      ``load_digits``.
    * Licence: Creative Commons Attribution 4.0 International (CC BY 4.0).
    * Citation: Alpaydin, E. and Kaynak, C. (1998). Optical Recognition of Handwritten Digits
      [Dataset]. UCI Machine Learning Repository. https://doi.org/10.24432/C50P49

    The split is :func:`stratified_split`: of each digit, every fifth image in the order of UCI's
    file is for testing (1,442 to train on and 355 to test). Most writers are in both parts.

    Args:
        train: the training part (default) or the test part; ``None`` for all 1,797 images.
        transform: function of the raw image, an (8, 8) uint8 array of 0 to 16.
        target_transform: function of the digit.
    """

    def __init__(self, train: bool | None = True, transform=None, target_transform=None):
        super().__init__(stratified_part(load_digits(), train), transform, target_transform)
