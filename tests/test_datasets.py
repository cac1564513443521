"""fastdl.datasets: shipped data against their source, files of others, damaged files."""

import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pytest

import fastdl
from fastdl import datasets
from fastdl.datasets import DatasetError
from fastdl.utils.data import DataLoader, Dataset

# ------------------------------------------------------------------------------- shipped data sets


def test_digits_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.datasets")
    theirs, ours = sklearn.load_digits(), datasets.load_digits()
    np.testing.assert_array_equal(ours.data, theirs.images)
    np.testing.assert_array_equal(ours.targets, theirs.target)


def test_iris_is_that_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.datasets")
    theirs, ours = sklearn.load_iris(), datasets.load_iris()
    np.testing.assert_array_equal(ours.data, theirs.data)
    np.testing.assert_array_equal(ours.targets, theirs.target)
    assert ours.features == tuple(theirs.feature_names)
    assert ours.classes == tuple(theirs.target_names)


def test_digits_without_scikit_learn():
    """Sums taken from the source, for machines without it."""
    digits = datasets.load_digits()
    assert digits.data.shape == (1797, 8, 8)
    assert digits.data.dtype == np.uint8
    assert digits.data.sum() == 561718
    assert np.bincount(digits.targets).tolist() == [
        178,
        182,
        177,
        183,
        181,
        182,
        181,
        179,
        174,
        180,
    ]
    iris = datasets.load_iris()
    assert iris.data.shape == (150, 4)
    np.testing.assert_allclose(iris.data.sum(0), [876.5, 458.6, 563.7, 179.9])


def test_split_is_stratified_fixed_and_complete():
    targets = np.array([0, 1] * 10 + [2] * 4)
    train, test = datasets.stratified_split(targets)
    assert test.tolist() == [8, 9, 18, 19]  # the 5th and 10th of classes 0 and 1; class 2 has 4
    assert sorted([*train, *test]) == list(range(24))
    with pytest.raises(ValueError, match="every must be at least 2"):
        datasets.stratified_split(targets, every=1)
    with pytest.raises(ValueError, match=r"shape \(N,\)"):
        datasets.stratified_split(targets.reshape(2, 12))


@pytest.mark.parametrize(
    ("cls", "lengths", "shape", "highest"),
    [(datasets.Digits, (1442, 355), (1, 8, 8), 1.0), (datasets.Iris, (120, 30), (4,), 7.9)],
)
def test_shipped_datasets_are_datasets(cls, lengths, shape, highest):
    train, test, both = cls(), cls(train=False), cls(train=None)
    assert isinstance(train, Dataset)
    assert (len(train), len(test)) == lengths
    assert len(both) == sum(lengths)
    sample, target = train[0]
    assert sample.shape == shape
    assert sample.dtype == fastdl.float32
    assert isinstance(target, int)
    batch, targets = next(iter(DataLoader(both, batch_size=len(both))))
    assert batch.shape == (len(both), *shape)
    assert targets.dtype == fastdl.int64
    assert batch.max().item() == pytest.approx(highest)
    assert batch.numpy().std() > 0.1
    counts = np.bincount(train.targets.numpy()) / np.bincount(both.targets.numpy())
    assert np.abs(counts - 0.8).max() < 0.01  # the same share of every class
    assert train.class_to_idx[train.classes[1]] == 1
    assert str(lengths[0]) in repr(train)


def test_transforms_get_the_raw_sample():
    data = datasets.Digits(transform=lambda image: image, target_transform=lambda digit: -digit)
    image, target = data[3]
    assert image.dtype == np.uint8
    assert image.shape == (8, 8)
    assert target == -data.targets[3].item()
    plain, _ = datasets.Digits()[3]
    np.testing.assert_array_equal(plain.numpy()[0], image / np.float32(16))


# --------------------------------------------------------------------------------------- IDX files


def idx_bytes(array, magic=None):
    """An array as an IDX file, written here independently of the reader."""
    code = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D}
    head = magic or struct.pack(">HBB", 0, code.get(array.dtype.name, 0x0E), array.ndim)
    dims = struct.pack(f">{array.ndim}I", *array.shape)
    return head + dims + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_idx_round_trip(tmp_path, dtype, pack):
    array = np.arange(2 * 3 * 5).reshape(2, 3, 5).astype(dtype)
    path = tmp_path / "array"
    path.write_bytes(pack(idx_bytes(array)))
    read = datasets.read_idx(path)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    assert read.flags.writeable


IMAGES = np.arange(3 * 28 * 28, dtype=np.uint32).reshape(3, 28, 28).astype(np.uint8)
GOOD = idx_bytes(IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (GOOD[:3], "truncated: 3 bytes"),
        (GOOD[:9], "truncated in the header"),
        (GOOD[:-1], "truncated: shape .3, 28, 28. needs 2,352 bytes of data, 2,351 found"),
        (GOOD + b"x", "more data than shape"),
        (b"\x89PNG" + GOOD[4:], "wrong magic number 0x89504e47"),
        (b"\0\0\x07\x03" + GOOD[4:], "wrong magic number 0x00000703"),
        (gzip.compress(b""), "is empty"),
        (gzip.compress(GOOD)[:-20], "gzip stream ends too early"),
        (gzip.compress(GOOD)[:10] + b"\xff" * 50, "damaged gzip file"),
        (gzip.compress(GOOD)[:-6] + b"\0" * 6, "damaged gzip file"),  # wrong checksum
        (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "truncated: shape"),
    ],
    ids=[
        "empty",
        "3 bytes",
        "no dimensions",
        "cut",
        "too long",
        "png",
        "unknown dtype",
        "empty gzip",
        "cut gzip",
        "bad deflate block",
        "bad gzip checksum",
        "huge",
    ],
)
def test_idx_damage_is_named(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message) as caught:
        datasets.read_idx(path)
    assert str(path) in str(caught.value)


def test_idx_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(idx_bytes(np.zeros(4, np.uint8)))
    with pytest.raises(DatasetError, match=r"1-dimensional uint8 .* expected 3-dimensional uint8"):
        datasets.read_idx(path, ndim=3, dtype="u1")
    with pytest.raises(DatasetError, match="expected 1-dimensional float32"):
        datasets.read_idx(path, dtype="f4")
    with pytest.raises(FileNotFoundError):
        datasets.read_idx(tmp_path / "nothing")


# ------------------------------------------------------------------------------------------- MNIST


def mnist_files(seed=0, n_train=20, n_test=10):
    """Name -> content of four files like MNIST's."""
    rng = np.random.default_rng(seed)
    files = {}
    for prefix, n in (("train", n_train), ("t10k", n_test)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        files[f"{prefix}-images-idx3-ubyte"] = idx_bytes(images)
        files[f"{prefix}-labels-idx1-ubyte"] = idx_bytes((np.arange(n) % 10).astype(np.uint8))
    return files


def write_mnist(folder, files=None, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (files or mnist_files()).items():
        content = gzip.compress(content) if suffix == ".gz" else content
        (folder / (name + suffix)).write_bytes(content)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("place", ["MNIST/raw", "."])
def test_mnist_finds_its_files(tmp_path, suffix, place):
    write_mnist(tmp_path / place, suffix=suffix)
    train, test = datasets.MNIST(tmp_path), datasets.MNIST(tmp_path, train=False)
    assert (len(train), len(test)) == (20, 10)
    image, digit = train[13]
    raw = np.frombuffer(mnist_files()["train-images-idx3-ubyte"][16:], np.uint8)
    np.testing.assert_allclose(
        image.numpy()[0], raw.reshape(20, 28, 28)[13] / 255, rtol=2 * np.finfo("f4").eps
    )
    assert image.shape == (1, 28, 28)
    assert digit == 3
    assert train.data.shape == (20, 28, 28)
    assert train.targets.tolist() == [k % 10 for k in range(20)]


def test_fashion_mnist_is_told_from_mnist_by_its_folder(tmp_path):
    write_mnist(tmp_path / "FashionMNIST" / "raw")
    assert datasets.FashionMNIST(tmp_path).classes[9] == "Ankle boot"
    with pytest.raises(FileNotFoundError, match="MNIST: train-images"):
        datasets.MNIST(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-images-idx3-ubyte", np.zeros((20, 32, 32), np.uint8), r"\(32, 32\) pixels"),
        (
            "train-images-idx3-ubyte",
            np.zeros((19, 28, 28), np.uint8),
            "20 labels for the 19 images",
        ),
        ("train-images-idx3-ubyte", np.zeros(20, np.uint8), "1-dimensional uint8"),
        ("train-labels-idx1-ubyte", np.full(20, 10, np.uint8), "label 10 is out of range"),
    ],
)
def test_mnist_files_that_do_not_fit(tmp_path, name, array, message):
    write_mnist(tmp_path, mnist_files() | {name: idx_bytes(array)})
    with pytest.raises(DatasetError, match=message):
        datasets.MNIST(tmp_path)
    datasets.MNIST(tmp_path, train=False)  # the other part is whole


@pytest.fixture
def mirror(tmp_path):
    """A web server on this machine with MNIST's file names; yields its address and its folder."""
    folder = tmp_path / "mirror"
    write_mnist(folder, suffix=".gz")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", folder
    server.shutdown()
    thread.join()
    server.server_close()


def mnist_from(*mirrors, folder):
    """MNIST with these mirrors, and the checksums of a folder's files."""
    sums = {p.name[:-3]: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    return type("MNIST", (datasets.MNIST,), {"mirrors": mirrors, "checksums": sums})


def test_mnist_downloads_from_the_first_mirror_that_works(tmp_path, mirror):
    address, folder = mirror
    mnist = mnist_from(address + "missing/", folder.as_uri() + "/none/", address, folder=folder)
    root = tmp_path / "root"
    with pytest.raises(FileNotFoundError, match="download=True"):
        mnist(root)
    assert len(mnist(root, train=False, download=True)) == 10
    assert sorted(p.name for p in (root / "MNIST" / "raw").iterdir()) == [
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ]
    # What is there is not fetched again: no mirror is left, and nothing goes wrong.
    assert len(mnist_from(folder=folder)(root, train=False, download=True)) == 10


def test_download_refuses_a_wrong_file(tmp_path, mirror):
    address, folder = mirror
    mnist = mnist_from(address, folder=folder)
    bad = folder / "train-images-idx3-ubyte.gz"
    bad.write_bytes(bad.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"cannot download train-images.*wrong SHA-256"):
        mnist(tmp_path / "root", download=True)
    assert list((tmp_path / "root" / "MNIST" / "raw").iterdir()) == []  # nothing is left behind


def test_download_says_why_of_each_mirror(tmp_path, mirror):
    address, folder = mirror
    mnist = mnist_from(address + "missing/", "http://127.0.0.1:9/", folder=folder)
    with pytest.raises(DatasetError, match=r"missing/.*HTTP 404.*127\.0\.0\.1:9/.*refused"):
        mnist(tmp_path / "root", download=True)


@pytest.mark.parametrize("cls", [datasets.MNIST, datasets.FashionMNIST])
def test_published_checksums_are_sha256(cls):
    assert len(set(cls.checksums.values())) == 4
    assert all(len(bytes.fromhex(digest)) == 32 for digest in cls.checksums.values())
    assert all(mirror.endswith("/") for mirror in cls.mirrors)


# ---------------------------------------------------------------------------------------- pictures


def write_picture(path, array, **options):
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(array).save(path, **options)


def gradient(value=0, shape=(10, 12)):
    """A picture whose pixels all differ a little from their neighbours."""
    return (np.add.outer(np.arange(shape[0]), np.arange(shape[1])) + value).astype(np.uint8)


@pytest.fixture
def pictures(tmp_path):
    """root/cat: two grey pictures; root/dog: three; and things that are no class or no picture."""
    root = tmp_path / "pictures"
    for name, count in (("cat", 2), ("dog", 3)):
        for index in range(count):
            write_picture(root / name / f"{index}.png", gradient(50 * index))
    (root / "empty").mkdir()
    (root / ".hidden").mkdir()
    (root / "cat" / "notes.txt").write_text("not a picture, and not called one")
    (root / "readme.png").write_text("a file between the class folders")
    return root


def test_image_folder(pictures):
    data = datasets.ImageFolder(pictures)
    assert data.classes == ["cat", "dog"]
    assert data.class_to_idx == {"cat": 0, "dog": 1}
    assert data.targets == [0, 0, 1, 1, 1]
    assert [path.name for path, _ in data.samples] == ["0.png", "1.png", "0.png", "1.png", "2.png"]
    image, target = data[4]
    np.testing.assert_array_equal(image.numpy()[0], gradient(100) / np.float32(255))
    assert target == 1
    raw, _ = datasets.ImageFolder(pictures, transform=lambda image: image)[4]
    np.testing.assert_array_equal(raw, gradient(100))
    resized, _ = datasets.ImageFolder(pictures, size=(6, 5), channels=3)[0]
    assert resized.shape == (3, 6, 5)
    batch, targets = next(iter(DataLoader(data, batch_size=5)))
    assert batch.shape == (5, 1, 10, 12)
    assert targets.tolist() == data.targets


def test_load_folder_leaves_out_bad_pictures_and_names_them(pictures):
    (pictures / "dog" / "empty.png").write_bytes(b"")
    (pictures / "dog" / "text.png").write_text("no picture")
    write_picture(pictures / "dog" / "cut.png", gradient(shape=(100, 100)) ** 3)
    whole = (pictures / "dog" / "cut.png").read_bytes()
    (pictures / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="left out") as caught:
        arrays = datasets.load_folder(pictures, (8, 8))
    messages = sorted(str(warning.message) for warning in caught)
    assert len(messages) == 3
    assert "cut.png: damaged image" in messages[0]
    assert "empty.png: the file is empty" in messages[1]
    assert "text.png: not an image" in messages[2]
    assert arrays.data.shape == (5, 8, 8)
    assert arrays.targets.tolist() == [0, 0, 1, 1, 1]
    assert arrays.classes == ("cat", "dog")


def test_folders_without_pictures(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        datasets.ImageFolder(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="one folder per class"):
        datasets.ImageFolder(tmp_path)
    write_picture(tmp_path / "a" / "1.png", gradient())
    with pytest.raises(DatasetError, match="not a folder"):
        datasets.ImageFolder(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "1.png").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="empty"),
        pytest.raises(DatasetError, match="none of its 1"),
    ):
        datasets.load_folder(tmp_path, (8, 8))


def test_read_image_formats(tmp_path):
    """Colour, transparency, 16 bits, a palette: what each becomes is fixed."""
    image = pytest.importorskip("PIL.Image")
    colour = np.stack([gradient(0), gradient(50), gradient(100)], -1)
    write_picture(tmp_path / "colour.png", colour)
    np.testing.assert_array_equal(datasets.read_image(tmp_path / "colour.png"), colour)
    assert datasets.read_image(tmp_path / "colour.png", channels=1).shape == (10, 12)

    clear = np.concatenate([colour, np.zeros((10, 12, 1), np.uint8)], -1)
    write_picture(tmp_path / "clear.png", clear)
    assert (datasets.read_image(tmp_path / "clear.png") == 255).all()  # laid on white

    deep = (np.arange(120, dtype=np.uint16) * 257).reshape(10, 12)
    write_picture(tmp_path / "deep.png", deep)
    np.testing.assert_array_equal(datasets.read_image(tmp_path / "deep.png"), deep // 257)

    image.fromarray(gradient() > 8).save(tmp_path / "bits.png")
    assert set(datasets.read_image(tmp_path / "bits.png").ravel()) == {0, 255}
    assert datasets.read_image(tmp_path / "bits.png", size=(3, 4)).shape == (3, 4)


def test_read_image_names_what_is_wrong(tmp_path):
    pytest.importorskip("PIL")
    with pytest.raises(FileNotFoundError):
        datasets.read_image(tmp_path / "nothing.png")
    with pytest.raises(DatasetError, match="a folder, not an image"):
        datasets.read_image(tmp_path)


# ---------------------------------------------------------------------------------- NumPy archives

X, Y = np.arange(60, dtype=np.float32).reshape(20, 3), np.arange(20) % 2


def test_npz_table(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=np.where(Y == 0, "no", "yes"))
    arrays, test = datasets.load_npz(tmp_path / "a.npz")
    assert test is None
    np.testing.assert_array_equal(arrays.data, X)
    assert arrays.classes == ("no", "yes")
    assert arrays.targets.tolist() == Y.tolist()
    train, test = (datasets.NpzDataset(tmp_path / "a.npz", train=part) for part in (True, False))
    assert (len(train), len(test)) == (16, 4)
    np.testing.assert_array_equal(test[0][0].numpy(), X[8])  # the fifth of class 0
    assert len(datasets.NpzDataset(tmp_path / "a.npz", train=None)) == 20


def test_npz_images_of_both_layouts(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 5, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "last.npz", images=images, labels=Y)
    np.savez(tmp_path / "first.npz", data=np.moveaxis(images, 3, 1), targets=Y)
    for name in ("last", "first"):
        image, _ = datasets.NpzDataset(tmp_path / f"{name}.npz", train=None)[7]
        expected = np.moveaxis(images[7], 2, 0) / np.float32(255)
        np.testing.assert_array_equal(image.numpy(), expected)


def test_npz_with_a_test_set(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y * 5, x_test=X[:4], y_test=Y[:4] * 5)
    train, test = datasets.load_npz(tmp_path / "a.npz")
    assert train.data.shape == (20, 3)
    assert test.data.shape == (4, 3)
    assert train.classes == test.classes == ("0", "5")
    assert test.targets.tolist() == Y[:4].tolist()
    assert len(datasets.NpzDataset(tmp_path / "a.npz", train=None)) == 24


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "holds x; expected the samples"),
        ({"x": X, "y": Y[:-1]}, r"y has shape \(19,\); expected \(20,\)"),
        ({"x": X, "y": X[:, 0]}, "y has dtype float32; expected integers or strings"),
        ({"x": X.astype("U9"), "y": Y}, "x has dtype <U9; expected real numbers"),
        ({"x": X[:, 0], "y": Y}, r"x has shape \(20,\)"),
        ({"x": np.zeros((20, 4, 5, 6)), "y": Y}, "C = 1 or 3"),
        ({"x": X[:0], "y": Y[:0]}, "there are no samples"),
        ({"x": np.where(X == 4, np.nan, X), "y": Y}, "x holds NaN"),
        ({"x": np.array([None] * 20), "y": Y}, "pickled objects"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y}, "samples of shape"),
    ],
)
def test_npz_of_wrong_arrays(tmp_path, arrays, message):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(DatasetError, match=message) as caught:
        datasets.load_npz(path)
    assert str(path) in str(caught.value)


def test_npz_damage_is_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=X, y=Y)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 4] ^= 0xFF
    for content, message in (
        (b"", "empty"),
        (b"hello, world", "some other format"),
        (whole[: len(whole) // 2], "truncated"),
        (bytes(flipped), "damaged|not a readable"),
    ):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=message):
            datasets.load_npz(path)
    np.save(tmp_path / "b.npy", X)
    with pytest.raises(DatasetError, match="one array"):
        datasets.load_npz(tmp_path / "b.npy")
    with pytest.raises(FileNotFoundError):
        datasets.load_npz(tmp_path / "nothing.npz")
