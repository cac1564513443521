"""`python -m fastdl bench`: what this machine can do, what fastdl does of it, NumPy beside it."""

import json
import sys
from contextlib import contextmanager

import numpy as np

import fastdl
from fastdl import _cases, _cases_api, _kernels, _measure
from fastdl.cli.console import Parser, bold, dim, number

LENET_1 = (64, 1, 28, 28, 6, 5, 5, 1, 1, 2, 2, 1)
LENET_2 = (64, 6, 14, 14, 16, 5, 5, 1, 1, 0, 0, 1)
CIFAR = (64, 3, 32, 32, 32, 3, 3, 1, 1, 1, 1, 1)
RESNET = (4, 64, 56, 56, 64, 3, 3, 1, 1, 1, 1, 1)
POINTWISE = (4, 64, 56, 56, 256, 1, 1, 1, 1, 0, 0, 1)


def lenet_step():
    """One training step of LeNet, 64 images: forward, cross-entropy, backward, Adam."""

    def build():
        from fastdl.cli.models import LeNet
        from fastdl.cli.numpy_lenet import NumpyAdam, NumpyLeNet, cross_entropy

        images = _cases.normal(64, 1, 28, 28)
        labels = np.random.default_rng(0).integers(0, 10, 64)
        state = np.random.default_rng(1)
        model = LeNet(1, (28, 28), 10)
        weights = {}
        with fastdl.no_grad():
            for name, parameter in model.named_parameters():
                shape = tuple(parameter.shape)
                scale = 1 / np.sqrt(max(1, np.prod(shape[1:])))
                weights[name] = (state.standard_normal(shape) * scale).astype(np.float32)
                parameter.copy_(fastdl.from_numpy(weights[name]))
        optimizer = fastdl.optim.Adam(model.parameters(), lr=1e-3)
        x, y = fastdl.from_numpy(images), fastdl.from_numpy(labels)

        def ours():
            optimizer.zero_grad()
            loss = fastdl.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return np.asarray(loss.item())

        net = NumpyLeNet(weights)
        adam = NumpyAdam(net.weights, 1e-3)

        def numpy():
            logits, saved = net.forward(images)
            loss, grad = cross_entropy(logits, labels)
            adam.step(net.backward(grad, saved))
            return np.asarray(loss)

        return {"fastdl": ours, "numpy": numpy}

    return _cases.Case("train", "LeNet step, batch 64, Adam", _measure.Work(0, 1), "", 400, build)


# family -> (title, what its rate is, its cases, those of --quick)
FAMILIES = {
    "gemm": (
        "matrix product (float32)",
        [
            _cases.gemm(256, 256, 256),
            _cases.gemm(512, 512, 512),
            _cases.gemm(1024, 1024, 1024),
            _cases.gemm(2048, 2048, 2048),
            _cases.gemm(128, 3072, 768),
            _cases.gemm(64, 10, 784),
            _cases.gemm(1, 1024, 1024),
        ],
        [_cases.gemm(256, 256, 256), _cases.gemm(512, 512, 512)],
    ),
    "conv": (
        "convolution",
        [
            _cases.conv2d("LeNet, 1 -> 6, 5x5", LENET_1, "forward"),
            _cases.conv2d("LeNet, 1 -> 6, 5x5", LENET_1, "training"),
            _cases.conv2d("LeNet, 6 -> 16, 5x5", LENET_2, "training"),
            _cases.conv2d("CIFAR, 3 -> 32, 3x3", CIFAR, "forward"),
            _cases.conv2d("CIFAR, 3 -> 32, 3x3", CIFAR, "training"),
            _cases.conv2d("ResNet, 64 at 56, 3x3", RESNET, "forward"),
            _cases.conv2d("ResNet, 64 at 56, 3x3", RESNET, "training"),
            _cases.conv2d("ResNet, 64 -> 256, 1x1", POINTWISE, "forward"),
        ],
        [_cases.conv2d("CIFAR, 3 -> 32, 3x3", CIFAR, "training")],
    ),
    "pool": (
        "pooling",
        [
            _cases.pool2d("max 2x2, 64 at 112", (16, 64, 112, 112, 2, 2, 0, "max"), "forward"),
            _cases.pool2d("max 2x2, 64 at 112", (16, 64, 112, 112, 2, 2, 0, "max"), "training"),
            _cases.pool2d("max 3x3/2, 64 at 112", (16, 64, 112, 112, 3, 2, 1, "max"), "forward"),
            _cases.pool2d("max 3x3/2, 64 at 112", (16, 64, 112, 112, 3, 2, 1, "max"), "training"),
            _cases.pool2d("avg 2x2, 64 at 112", (16, 64, 112, 112, 2, 2, 0, "avg"), "forward"),
        ],
        [_cases.pool2d("max 2x2, 64 at 112", (16, 64, 112, 112, 2, 2, 0, "max"), "training")],
    ),
    "rows": (
        "row kernels and optimizers",
        [
            _cases.relu(16, 64, 112, 112),
            _cases.softmax(8192, 1000),
            _cases.cross_entropy(8192, 1000),
            *_cases_api.FAMILIES["embedding"],
            _cases.sgd(4_000_000),
            _cases.adam(4_000_000),
        ],
        [_cases.cross_entropy(8192, 1000)],
    ),
    "elementwise": (
        "elementwise operations",
        _cases_api.FAMILIES["elementwise"],
        _cases_api.FAMILIES["elementwise"][:1],
    ),
    "reduce": ("reductions", _cases_api.FAMILIES["reduce"], _cases_api.FAMILIES["reduce"][:1]),
    "move": ("copies", _cases_api.FAMILIES["move"], _cases_api.FAMILIES["move"][:1]),
    "norm": ("normalisation", _cases_api.FAMILIES["norm"], _cases_api.FAMILIES["norm"][:1]),
    "attention": (
        "attention",
        _cases_api.FAMILIES["attention"],
        _cases_api.FAMILIES["attention"][:1],
    ),
    "train": ("training step", [lenet_step()], [lenet_step()]),
}


def parser():
    parser = Parser(
        "bench",
        "Measure this machine's FMA peak and copy bandwidth, then fastdl and NumPy on the same\n"
        "problems with the same number of threads, results compared first.",
    )
    add = parser.add_argument
    add("family", nargs="*", metavar="FAMILY", help=f"{', '.join(FAMILIES)}; default: all")
    add(
        "--threads",
        type=number(int, 1, 1024),
        metavar="N",
        help="default: all this process may use",
    )
    add("--isa", choices=_kernels.isa_available(), help="instruction set; default: the widest")
    add("--quick", action="store_true", help="fewer problems, shorter rounds: a few seconds")
    add("--json", action="store_true", help="print the results as JSON instead of text")
    return parser


@contextmanager
def settings(threads, isa):
    """fastdl's threads and instruction set as asked for, restored at the end."""
    before = _kernels.get_num_threads(), _kernels.get_isa()
    try:
        _kernels.set_num_threads(threads or before[0])
        _kernels.set_isa(isa or before[1])
        yield _kernels.get_num_threads()
    finally:
        _kernels.set_num_threads(before[0])
        _kernels.set_isa(before[1])


def main(argv: list[str]) -> int:
    options = parser().parse_args(argv)
    unknown = [name for name in options.family if name not in FAMILIES]
    if unknown:
        parser().error(f"unknown family {unknown[0]!r}; expected one of {', '.join(FAMILIES)}")
    chosen = [name for name in FAMILIES if name in options.family or not options.family]
    with settings(options.threads, options.isa) as threads, _measure.numpy_threads(threads) as blas:
        say = Silent() if options.json else Table()
        machine = _measure.machine(threads, seconds=0.1 if options.quick else 0.3)
        machine["blas_threads"] = blas
        say.machine(machine)
        rows = []
        for family in chosen:
            title, cases, quick = FAMILIES[family]
            say.family(title)
            found = []
            for case in quick if options.quick else cases:
                say.measuring(case)
                rounds, seconds = (3, 0.06) if options.quick else (5, 0.2)
                found.append(_cases.measure(case, machine, rounds, seconds))
                say.row(found[-1])
            say.verdict(family, found)
            rows += found
        say.summary(machine, rows)
    if options.json:
        found = {"machine": machine, "cases": rows, "ratios": ratios(rows), "busy": busy(rows)}
        print(json.dumps(found, indent=1))
    return 0


def ratios(rows):
    """{family: geometric mean of its ratios}"""
    families = dict.fromkeys(row["family"] for row in rows)
    return {
        family: _cases.geometric_mean(row["ratio"] for row in rows if row["family"] == family)
        for family in families
    }


def busy(rows):
    """Whether other programs disturbed the run: half of the cases had a round twice as slow."""
    spreads = sorted(max(row["fastdl_spread"], row["numpy_spread"]) for row in rows)
    return spreads[len(spreads) // 2] > 1


class Silent:
    """Says nothing: for --json."""

    def __getattr__(self, name):
        return lambda *args: None


class Table:
    """The figures as text: a line per case as soon as it is measured."""

    def __init__(self):
        encoding = sys.stdout.encoding or "ascii"
        try:
            "█▌▏×".encode(encoding)
            self.cells, self.times = " ▏▎▍▌▋▊▉█", "×"
        except UnicodeEncodeError:
            self.cells, self.times = " #", "x"

    def machine(self, m):
        print(bold(f"fastdl {m['fastdl']}") + f" and NumPy {m['numpy']} on {m['cpu']}")
        threads = f"{m['threads']} thread" + "s" * (m["threads"] != 1)
        print(f"{m['isa']} kernels on {threads}; NumPy: {m['blas']}, {m['blas_threads']}")
        more = m["threads"] > 1
        peak_1 = f" ({m['peak_1'] / 1e9:.0f} on one thread)" * more
        copy_1 = f" ({m['bandwidth_1'] / 1e9:.1f} on one)" * more
        print(
            f"measured: FMA peak {m['peak'] / 1e9:.0f} GFLOP/s{peak_1}, "
            f"copy bandwidth {m['bandwidth'] / 1e9:.1f} GB/s{copy_1}"
        )
        print()
        heads = ("fastdl", "NumPy", "ratio", "textbook")
        self.head = "".join(f"{head:>10}" for head in heads)

    def family(self, title):
        print(bold(f"{title:34}") + dim(f"{self.head}{'rate':>14}  of the roof"))

    def measuring(self, case):
        _measure.progress(f"  {case.name} ...")

    def row(self, row):
        _measure.progress("")
        textbook = row.get("textbook_ratio")
        cells = [
            f"  {row['case']:32}",
            f"{_measure.duration(row['fastdl']):>10}{_measure.duration(row['numpy']):>10}",
            bold(f"{row['ratio']:>9.{1 if row['ratio'] < 99.5 else 0}f}{self.times}"),
            f"{textbook:>9.{1 if textbook < 99.5 else 0}f}{self.times}" if textbook else " " * 10,
        ]
        if "rate" in row:
            unit = "GFLOP/s" if row["roof"] == "compute" else "GB/s"
            rate = f"{_measure.three_digits(row['rate'] / 1e9)} {unit}"
            cached = row["roof"] == "memory" and row["of_roof"] > 1.1
            share = "from cache" if cached else f"{row['of_roof']:.0%}"
            cells.append(f"{rate:>14}  {self.bar(row['of_roof'])} {share}")
        print("".join(cells).rstrip(), flush=True)

    def bar(self, share, width=10):
        """A bar of `width` cells, in eighths of one where the terminal can show them."""
        parts = len(self.cells) - 1
        filled = round(min(max(share, 0), 1) * width * parts)
        bar = self.cells[-1] * (filled // parts)
        if filled % parts:
            bar += self.cells[filled % parts]
        return f"{bar:{width}}"

    def verdict(self, family, rows):
        mean = _cases.geometric_mean(row["ratio"] for row in rows)
        best = max(rows, key=lambda row: row["ratio"])
        if mean >= 1.05:
            text = f"{mean:.1f} times NumPy's speed"
        elif mean > 0.95:
            text = f"level with NumPy ({mean:.2f})"
        else:
            text = f"behind NumPy ({mean:.2f})"
        if len(rows) > 1:
            text += f" (geometric mean of {len(rows)}), at most {best['ratio']:.1f}"
        compute = [row for row in rows if row.get("roof") == "compute"]
        if compute:
            top = max(compute, key=lambda row: row["of_roof"])
            text += f"; up to {top['rate'] / 1e9:.0f} GFLOP/s, {top['of_roof']:.0%} of the peak"
        print(f"  -> {text}\n")

    def summary(self, machine, rows):
        means = ", ".join(f"{name} {mean:.1f}" for name, mean in ratios(rows).items())
        threads = f"{machine['threads']} thread" + "s" * (machine["threads"] != 1)
        print(dim("ratio: NumPy's time / fastdl's, NumPy in its fastest formulation found;"))
        print(dim("textbook: the same against the usual one; GFLOP/s of the direct algorithm"))
        if busy(rows):
            print(bold("This machine was busy: rounds of a case differ widely, do not quote them."))
        where = f"{machine['cpu']}, {machine['isa']}, {threads}"
        print(f"fastdl {machine['fastdl']}, times NumPy's speed: {means} ({where})")
