"""How tensors print: PyTorch's rules for precision, width, scientific notation and summarising."""

import math

import numpy as np

from fastdl import _dtype

_DEFAULTS = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
_PROFILES = {
    "default": _DEFAULTS,
    "short": {**_DEFAULTS, "precision": 2, "edgeitems": 2},
    "full": {**_DEFAULTS, "threshold": math.inf},
}
options = dict(_DEFAULTS)


def set_printoptions(
    precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None
):
    """Change how tensors print; None leaves an option alone.

    precision: digits after the point (4). threshold: more elements are summarised (1000),
    edgeitems (3) at each end. linewidth: columns (80). sci_mode: always (True), never (False), or
    by range (None). profile: 'default', 'short' or 'full'.
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"profile: expected one of {sorted(_PROFILES)}, got {profile!r}")
        options.update(_PROFILES[profile])
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    options.update({name: value for name, value in given.items() if value is not None})
    options["sci_mode"] = sci_mode


def get_printoptions():
    """The options in force, a dict."""
    return dict(options)


class _Formatter:
    """One width and notation for all elements of a tensor."""

    def __init__(self, array):
        self.floating = _dtype.is_float(array.dtype)
        self.whole = True
        self.scientific = False
        self.width = 1
        flat = array.reshape(-1)
        if not self.floating:
            self.width = max([len(f"{v}") for v in flat.tolist()], default=1)
            return
        flat = flat.astype(np.float64)
        shown = flat[
            np.isfinite(flat) & (flat != 0)
        ]  # zeros, infinities and NaN do not set the width
        if shown.size == 0:
            return
        low, high = np.abs(shown).min(), np.abs(shown).max()
        self.whole = bool((shown == np.ceil(shown)).all())
        wide = high / low > 1000.0 or high > 1.0e8
        self.scientific = wide or (not self.whole and low < 1.0e-4)
        if options["sci_mode"] is not None:
            self.scientific = options["sci_mode"]
        self.width = max(len(self.plain(v)) for v in shown.tolist())

    def plain(self, value):
        """The element without padding."""
        if not self.floating:
            return f"{value}"
        if self.scientific:
            return f"{value:.{options['precision']}e}"
        if self.whole:
            text = f"{value:.0f}"
            return text if math.isinf(value) or math.isnan(value) else text + "."
        return f"{value:.{options['precision']}f}"

    def __call__(self, value):
        return self.plain(value).rjust(self.width)


class _ComplexFormatter:
    """A width and notation for the real parts, and one for the imaginary parts."""

    def __init__(self, array):
        self.real, self.imag = _Formatter(array.real), _Formatter(array.imag)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, value):
        imag = self.imag(value.imag).lstrip() + "j"
        return self.real(value.real) + ("" if imag[0] in "+-" else "+") + imag


def _vector(array, indent, summarise, form):
    per_line = max(1, math.floor((options["linewidth"] - indent) / (form.width + 2)))
    edge = options["edgeitems"]
    if summarise and not edge:
        items = ["..."]
    elif summarise and array.shape[0] > 2 * edge:
        items = [*map(form, array[:edge].tolist()), " ...", *map(form, array[-edge:].tolist())]
    else:
        items = [form(v) for v in array.tolist()]
    lines = [items[i : i + per_line] for i in range(0, len(items), per_line)]
    joint = ",\n" + " " * (indent + 1)
    return "[" + joint.join([", ".join(line) for line in lines]) + "]"


def _nested(array, indent, summarise, form):
    if array.ndim == 0:
        return form(array.item())
    if array.ndim == 1:
        return _vector(array, indent, summarise, form)
    edge = options["edgeitems"]
    n = array.shape[0]
    rows = range(n)
    if summarise and n > 2 * edge:
        rows = [*range(edge), None, *range(n - edge, n)]
    parts = ["..." if i is None else _nested(array[i], indent + 1, summarise, form) for i in rows]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _ends(array):
    """The elements that a summary shows."""
    edge = options["edgeitems"]
    if not edge:
        return array[:0] if array.ndim == 1 else np.empty((0,) * array.ndim, array.dtype)
    for d in range(array.ndim):
        if array.shape[d] > 2 * edge:
            array = np.concatenate(
                [array.take(range(edge), d), array.take(range(-edge, 0), d)], axis=d
            )
    return array


def body(array, indent):
    """The elements of a NumPy array as PyTorch prints them, continuation lines indented."""
    if array.size == 0:
        return "[]"
    summarise = array.size > options["threshold"]
    shown = _ends(array) if summarise else array
    form = _ComplexFormatter(shown) if array.dtype.kind == "c" else _Formatter(shown)
    return _nested(array, indent, summarise, form)


def text(tensor, name="tensor"):
    """`repr` of a tensor."""
    array = tensor.array
    prefix = name + "("
    suffixes = []
    usual = _dtype.get_default_dtype()
    default = tensor.dtype in (usual, usual.to_complex(), _dtype.int64, _dtype.bool_)
    if (array.size == 0 and array.ndim != 1) or (array.size and not options["edgeitems"]):
        suffixes.append(f"size={tuple(array.shape)}")
    if not default or (array.size == 0 and tensor.dtype is not usual):
        suffixes.append(f"dtype={tensor.dtype}")
    if tensor.grad_fn is not None:
        suffixes.append(f"grad_fn=<{tensor.grad_fn.name().rpartition('::')[2]}>")
    elif tensor.requires_grad:
        suffixes.append("requires_grad=True")
    out = prefix + body(array, len(prefix))
    last = len(out) - out.rfind("\n") + 1  # two more than the last line: PyTorch's count
    for suffix in suffixes:
        length = len(suffix.replace("fastdl.", "torch."))  # lines break where PyTorch's do
        if last + length + 2 > options["linewidth"]:
            out += ",\n" + " " * len(prefix) + suffix
            last = len(prefix) + length
        else:
            out += ", " + suffix
            last += length + 2
    return out + ")"
