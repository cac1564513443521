"""Data sets of sound under torchaudio's names, read from their makers' folders."""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path

from fastdl.audio.files import load
from fastdl.datasets import DatasetError
from fastdl.datasets.download import download as fetch
from fastdl.tensor import Tensor
from fastdl.utils.data import Dataset

__all__ = ["SPEECHCOMMANDS", "YESNO"]


def _fetched(root, url: str, checksum: str, folder: Path, inner: str = "") -> None:
    """Fetches an archive into `root` and makes `inner` of what it holds the folder, unless that is
    there: whole, or not at all."""
    if folder.is_dir():
        return
    mirror, _, archive = url.rpartition("/")
    path = Path(root, archive)
    if not path.is_file():
        path = fetch(archive, [mirror + "/"], root, checksum)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as part:
        with tarfile.open(path) as tar:
            tar.extractall(Path(part, "all"), filter="data")
        os.replace(Path(part, "all", inner), folder)


class SPEECHCOMMANDS(Dataset):
    """Speech Commands, 105829 seconds of 35 English words. Warden 2018.

    Items are (waveform (1, time), sample rate, label, speaker, number of the utterance).

    Args:
        root: the folder in which `folder_in_archive` lies.
        url: "speech_commands_v0.02" or "speech_commands_v0.01".
        folder_in_archive: the folder that holds one of the name `url`.
        download: fetch it if it is not there.
        subset: "training", "validation", "testing", by the lists that come along; None: all.

    Raises:
        RuntimeError: the folder is not there.
        ValueError: another `subset`.
    """

    CHECKSUMS = {  # noqa: RUF012
        "speech_commands_v0.01": "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
        "speech_commands_v0.02": "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    }
    LISTS = {"validation": "validation_list.txt", "testing": "testing_list.txt"}  # noqa: RUF012

    def __init__(
        self,
        root: str | Path,
        url: str = "speech_commands_v0.02",
        folder_in_archive: str = "SpeechCommands",
        download: bool = False,
        subset: str | None = None,
    ) -> None:
        if subset is not None and subset not in ("training", "validation", "testing"):
            raise ValueError(
                "When `subset` is not None, it must be one of ['training', 'validation', "
                f"'testing'], but got {subset!r}"
            )
        self._path = os.path.join(root, folder_in_archive, url)
        if download:
            if url not in self.CHECKSUMS:
                raise ValueError(f"url must be one of {[*self.CHECKSUMS]}, but got {url!r}")
            mirror = "http://download.tensorflow.org/data"
            _fetched(root, f"{mirror}/{url}.tar.gz", self.CHECKSUMS[url], Path(self._path))
        if not os.path.isdir(self._path):
            raise RuntimeError(
                f"The path {self._path} doesn't exist. Please check the ``root`` path or set "
                "`download=True` to download it"
            )
        every = sorted(
            str(path)
            for path in Path(self._path).glob("*/*.wav")
            if "_nohash_" in path.name and not path.parent.name.startswith("_")
        )
        if subset in self.LISTS:
            chosen = self._listed(self.LISTS[subset])
            every = [path for path in every if path in chosen]
        elif subset == "training":
            others = set().union(*map(self._listed, self.LISTS.values()))
            every = [path for path in every if path not in others]
        self._walker = every  # a list of paths, as subclasses in courses expect

    def _listed(self, name: str) -> set[str]:
        with open(os.path.join(self._path, name), encoding="utf-8") as file:
            return {str(Path(self._path, line.strip())) for line in file}

    def get_metadata(self, n: int) -> tuple[str, int, str, str, int]:
        """(path below the data set's folder, sample rate, label, speaker, number)."""
        path = Path(self._walker[n])
        speaker, number = path.stem.split("_nohash_")
        return str(path.relative_to(self._path)), 16000, path.parent.name, speaker, int(number)

    def __getitem__(self, n: int) -> tuple[Tensor, int, str, str, int]:
        _, expected, *about = self.get_metadata(n)
        waveform, rate = load(self._walker[n])
        if rate != expected:
            raise DatasetError(f"{self._walker[n]}: its sample rate is {rate}, not {expected}")
        return waveform, rate, *about

    def __len__(self) -> int:
        return len(self._walker)


class YESNO(Dataset):
    """YesNo, 60 recordings of somebody who says yes or no eight times, in Hebrew.

    Items are (waveform (1, time), sample rate, labels: 8 of 0 and 1).

    Args:
        root: the folder in which `folder_in_archive` lies.
        url: the archive's address; not looked at unless `download`.
        folder_in_archive: the folder of the recordings.
        download: fetch it if it is not there.

    Raises:
        RuntimeError: the folder is not there.
    """

    CHECKSUM = "c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73"

    def __init__(
        self,
        root: str | Path,
        url: str = "http://www.openslr.org/resources/1/waves_yesno.tar.gz",
        folder_in_archive: str = "waves_yesno",
        download: bool = False,
    ) -> None:
        self._path = Path(root, folder_in_archive)
        if download:
            _fetched(root, url, self.CHECKSUM, self._path, "waves_yesno")
        if not self._path.is_dir():
            raise RuntimeError("Dataset not found. Please use `download=True` to download it.")
        self._walker = sorted(self._path.glob("*.wav"))

    def __getitem__(self, n: int) -> tuple[Tensor, int, list[int]]:
        path = self._walker[n]
        waveform, rate = load(path)
        return waveform, rate, [int(label) for label in path.stem.split("_")]

    def __len__(self) -> int:
        return len(self._walker)
