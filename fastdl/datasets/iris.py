"""Fisher's iris flowers: 150 rows of 4 measurements, shipped with fastdl."""

from fastdl.datasets.arrays import ArrayDataset, Arrays, load_shipped, stratified_part

FEATURES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
SPECIES = ("setosa", "versicolor", "virginica")


def load_iris() -> Arrays:
    """Return the whole data set: ``data`` (150, 4) float64 in cm, ``targets`` (150,).

    Source, licence and citation: see :class:`Iris`.
    """
    data, targets = load_shipped("iris.npz")
    return Arrays(data, targets, SPECIES, features=FEATURES)


class Iris(ArrayDataset):
    """Iris flowers: pairs of a float32 Tensor (4,) of lengths in cm and the species' index.

    * Source: *Iris*, UCI Machine Learning Repository, https://archive.ics.uci.edu/dataset/53, with
      rows 35 and 38 as in Fisher's paper; the same numbers as scikit-learn's ``load_iris``.
    * Licence: Creative Commons Attribution 4.0 International (CC BY 4.0).
    * Citation: Fisher, R. A. (1936). Iris [Dataset]. UCI Machine Learning Repository.
      https://doi.org/10.24432/C56C76; and Fisher, R. A. (1936). The use of multiple measurements in
      taxonomic problems. Annals of Eugenics, 7(2), 179-188.

    The split is :func:`stratified_split`: every fifth flower of each species is for testing (120 to
    train on and 30 to test).

    Args:
        train: the training part (default) or the test part; ``None`` for all 150 flowers.
        transform: function of the raw row, a (4,) float64 array.
        target_transform: function of the species' index.
    """

    def __init__(self, train: bool | None = True, transform=None, target_transform=None):
        super().__init__(stratified_part(load_iris(), train), transform, target_transform)
