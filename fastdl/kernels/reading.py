"""What the C sources say of themselves: the families, the headers, the code.

Everything is read from csrc, so that a kernel file with a header needs no entry here.
"""

import re
from pathlib import Path

from fastdl import _kernels

# The rungs, in the order they are climbed; other files of a family are its parts.
LADDERS = {
    "gemm": _kernels.GEMM_VARIANTS,
    "conv": ("naive", "im2col", "implicit", "winograd"),
    "pool": _kernels.POOL_VARIANTS,
}
# A rung whose file has another name: the driver's rungs differ in what they hand it.
FILES = {
    ("conv", "winograd_2x2"): "winograd",
    ("conv", "winograd_5x5"): "winograd",
    ("gemm", "packed"): "pack",
    ("gemm", "simd"): "ukernel",
    ("gemm", "threaded"): "driver",
    ("pool", "threaded"): "rows",
}


class Text(str):
    """A str that the interpreter shows as it reads, without quotes and escapes."""

    def __repr__(self):
        return str(self)


def csrc():
    """The folder of C sources: inside the package if it came as a wheel, beside it in a clone."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "csrc", package.parent / "csrc"):
        if (folder / "fastdl.h").is_file():
            return folder
    raise FileNotFoundError(f"fastdl.kernels: no csrc folder in {package} or {package.parent}")


def families():
    """Names of the families: the folders of csrc that hold kernels, in the order they are read."""
    order = ("gemm", "conv", "pool", "attention", "rnn", "elementwise", "nnops", "optim")
    found = sorted(path.name for path in csrc().iterdir() if path.is_dir())
    return (*(n for n in order if n in found), *(n for n in found if n not in order))


def header(path):
    """The comment block of a C file that has an `Idea` line, without its comment marks, or None."""
    for block in re.findall(r"/\*(.*?)\*/", path.read_text(encoding="utf-8"), re.DOTALL):
        if re.search(r"^\s*\*?\s*Idea\b", block, re.MULTILINE):
            lines = (re.sub(r"^ ?\*? ?", "", line).rstrip() for line in block.splitlines())
            return "\n".join(lines).strip()
    return None


def field(text, name):
    """One field of a header, `Removes` say, as a single line; "" where there is none."""
    match = re.search(rf"^{name}[ \t]+(.*(?:\n[ \t]+.*)*)", text, re.MULTILINE)
    return " ".join(match[1].split()) if match else ""


def file_of(family, variant):
    """The C file that holds a variant; ValueError names what there is."""
    if family not in families():
        raise ValueError(f"kernels: unknown family {family!r}; expected one of {families()}")
    path = csrc() / family / f"{FILES.get((family, variant), variant)}.c"
    if not path.is_file() or header(path) is None:
        raise ValueError(
            f"kernels: {family} has no variant {variant!r}; expected one of {list()[family]}"
        )
    return path


def list():
    """Every family and its variants: `{"gemm": ("naive", "reordered", ...), ...}`.

    Rungs of a ladder come first, in the order they are climbed; then the family's other kernels.
    """
    found = {}
    for family in families():
        ladder_ = LADDERS.get(family, ())
        stems = {FILES.get((family, rung), rung) for rung in ladder_}
        files = sorted((csrc() / family).glob("*.c"))
        others = (path.stem for path in files if path.stem not in stems and header(path))
        found[family] = (*ladder_, *others)
    return found


def describe(family=None, variant=None):
    """What a kernel is: its header's Idea / Removes / Leaves / Requires / Checked / Timed.

    Without `variant` one line for each of the family, without `family` for all. Returns a str that
    the interpreter shows as it reads. ValueError for an unknown name.
    """
    if variant is not None:
        return Text(header(file_of(family, variant)))
    chosen = list() if family is None else {family: list().get(family, ())}
    if family is not None:
        file_of(family, next(iter(chosen[family]), None))
    lines = []
    for name, variants in chosen.items():
        for each in variants:
            title = header(file_of(name, each)).splitlines()[0]
            lines.append(f"{name:6} {each:14} {title}")
    return Text("\n".join(lines))


def source(family, variant):
    """The C source of the file that holds a variant, as `describe` names them.

    Returns a str that the interpreter shows as it reads. ValueError for an unknown name.
    """
    return Text(file_of(family, variant).read_text(encoding="utf-8"))
