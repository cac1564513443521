"""fastdl and PyTorch through the API they share, each in its own process, turn by turn.

    python bench/versus.py                   every case, two threads or as many as there are
    python bench/versus.py conv step         families, or parts of a case's name
    python bench/versus.py --preload libtcmalloc.so    PyTorch with an allocator that reuses pages

The cases are written once, for a module called `torch`: `import torch` in one process, `import
fastdl as torch` in the other, so that both run the same code on the same numbers. Results are
compared before anything is timed. Two processes, because two OpenMP runtimes in one disturb each
other.
"""

import argparse
import contextlib
import importlib
import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from shapes import CONV, GEMM, POOL, SOFTMAX

ROOT = Path(__file__).resolve().parent.parent


def stopwatch():
    """fastdl/_stopwatch.py by itself: PyTorch's process must not load fastdl's kernels."""
    spec = importlib.util.find_spec("fastdl")
    folder = Path(spec.origin).parent if spec and spec.origin else ROOT / "fastdl"
    spec = importlib.util.spec_from_file_location("stopwatch", folder / "_stopwatch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- the cases: functions of a module `torch` that return (call, result of one call) ------------


def normal(torch, *shape, seed=0, grad=False):
    array = np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(array).requires_grad_(grad)


def inference(torch, f):
    """`f` without recording."""

    def call():
        with torch.no_grad():
            return f()

    return call, lambda: [call()]


def training(torch, f, *inputs):
    """`f` recorded, then its gradient with respect to every input."""
    with torch.no_grad():
        seed = normal(torch, *f().shape, seed=1)

    def call():
        for x in inputs:
            x.grad = None
        f().backward(seed)

    def result():
        call()
        return [x.grad for x in inputs]

    return call, result


def gemm(torch, m, n, k, layout="nn"):
    a = normal(torch, m, k) if layout[0] == "n" else normal(torch, k, m).t()
    b = normal(torch, k, n, seed=1) if layout[1] == "n" else normal(torch, n, k, seed=1).t()
    return inference(torch, lambda: a @ b)


def conv(torch, n, c, h, w, k, r, s, stride, _, padding, __, groups, mode):
    train = mode == "training"
    x = normal(torch, n, c, h, w, grad=train)
    filters = normal(torch, k, c // groups, r, s, grad=train)
    bias = normal(torch, k, grad=train)
    f = lambda: torch.nn.functional.conv2d(x, filters, bias, stride, padding, 1, groups)
    return training(torch, f, x, filters, bias) if train else inference(torch, f)


def pool(torch, n, c, h, w, kernel, stride, padding, kind, mode):
    x = normal(torch, n, c, h, w, grad=mode == "training")
    function = getattr(torch.nn.functional, f"{kind}_pool2d")
    f = lambda: function(x, kernel, stride, padding)
    return training(torch, f, x) if mode == "training" else inference(torch, f)


def softmax(torch, rows, columns, mode):
    x = normal(torch, rows, columns, grad=mode == "training")
    f = lambda: torch.softmax(x, 1)
    return training(torch, f, x) if mode == "training" else inference(torch, f)


def cross_entropy(torch, rows, columns):
    x = normal(torch, rows, columns, grad=True)
    target = torch.from_numpy(np.random.default_rng(2).integers(0, columns, rows))

    def call():
        x.grad = None
        torch.nn.functional.cross_entropy(x, target).backward()

    return call, lambda: (call(), [x.grad])[1]


def tiny(torch, mode):
    """a + b of four numbers: what one operation costs when there is nothing to compute."""
    a, b = (normal(torch, 4, seed=seed, grad=mode != "no grad") for seed in (0, 1))
    seed = normal(torch, 4, seed=2)
    if mode == "no grad":
        return lambda: a + b, lambda: [a + b]
    if mode == "recorded":
        return lambda: a + b, lambda: [(a + b).detach()]

    def call():
        a.grad = b.grad = None
        (a + b).backward(seed)

    return call, lambda: (call(), [a.grad, b.grad])[1]


def lenet(torch):
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(),
        nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def mlp(torch, *widths):
    nn = torch.nn
    layers = []
    for width, following in itertools.pairwise(widths):
        layers += [nn.Linear(width, following), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def step(torch, model, optimizer, *input_shape):
    """One training step: gradients cleared, forward, cross-entropy, backward, optimizer."""
    for i, parameter in enumerate(model.parameters()):
        values = np.random.default_rng(i).standard_normal(tuple(parameter.shape), dtype=np.float32)
        scale = np.float32(1 / math.sqrt(max(1, math.prod(values.shape[1:]))))
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(values * scale))
    optimizer = optimizer(model.parameters())
    x = normal(torch, *input_shape)
    target = torch.from_numpy(np.random.default_rng(3).integers(0, 10, input_shape[0]))

    def call():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    # five losses in a row: the optimizer's work is in all but the first
    return call, lambda: [call().detach() for _ in range(5)]


def step_lenet(torch):
    sgd = lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
    return step(torch, lenet(torch), sgd, 64, 1, 28, 28)


def step_mlp(torch, batch, *widths):
    adam = lambda parameters: torch.optim.Adam(parameters, lr=1e-3)
    return step(torch, mlp(torch, *widths), adam, batch, widths[0])


def cases(quick):
    """{name: (family, builder, its arguments after `torch`)}"""
    found = {}
    for mode in ("no grad", "recorded", "with backward"):
        found[f"a + b, 4 floats, {mode}"] = ("tiny", tiny, (mode,))
    for m, n, k in GEMM:
        found[f"gemm {m} x {n} x {k}"] = ("gemm", gemm, (m, n, k))
    for layout in () if quick else ("nt", "tn", "tt"):
        found[f"gemm 512 x 512 x 512, {layout}"] = ("gemm", gemm, (512, 512, 512, layout))
    for name, shape in CONV.items():
        for mode in ("forward", "training"):
            found[f"conv {name}, {mode}"] = ("conv", conv, (*shape, mode))
    for name, shape in POOL.items():
        for mode in ("forward", "training"):
            found[f"{name}, {mode}"] = ("pool", pool, (*shape, mode))
    for mode in ("forward", "training"):
        found["softmax {} x {}, {}".format(*SOFTMAX, mode)] = ("rows", softmax, (*SOFTMAX, mode))
    found["cross-entropy {} x {}, training".format(*SOFTMAX)] = ("rows", cross_entropy, SOFTMAX)
    found["step: LeNet, batch 64, SGD"] = ("step", step_lenet, ())
    for batch, *widths in ((32, 4, 16, 10), (128, 784, 512, 256, 10)):
        name = f"step: MLP {'-'.join(map(str, widths))}, batch {batch}, Adam"
        found[name] = ("step", step_mlp, (batch, *widths))
    return found


# ---- the worker: builds a case when told, times a round when told -------------------------------


def work(module):
    """Answers requests, one JSON object a line, until standard input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not be taken for a reply
    torch = importlib.import_module(module)
    one_round = stopwatch().one_round
    known, call = cases(quick=False), None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "case" in request:
                _, build, arguments = known[request["case"]]
                call, result = build(torch, *arguments)
                arrays = [np.asarray(value.numpy()) for value in result()]
                np.savez(request["file"], *arrays)
                reply = {}
            else:
                reply = {"seconds": one_round(call, request["seconds"], request["repeats"])}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


class Side:
    """A worker process that has `module` for torch; its environment says how many threads."""

    def __init__(self, module, threads, preload=None):
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(threads))}
        package = importlib.util.find_spec("fastdl").origin
        path = [str(Path(package).parent.parent), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        if preload:
            environment["LD_PRELOAD"] = preload
        command = [sys.executable, __file__, "--worker", module]
        self.module = module
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, **request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise SystemExit(f"{self.module}: its process ended with {self.process.wait()}")
        reply = json.loads(line)
        if "error" in reply:
            raise RuntimeError(f"{self.module}: {reply['error']}")
        return reply

    def build(self, case, folder):
        file = str(Path(folder, f"{self.module}.npz"))
        self.ask(case=case, file=file)
        with np.load(file) as arrays:
            return [arrays[name] for name in arrays.files]

    def round(self, seconds, repeats):
        return self.ask(seconds=seconds, repeats=repeats)["seconds"]

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(timeout=30)


def difference(ours, theirs):
    """The largest difference over all arrays, as a fraction of the largest value of each."""
    if [a.shape for a in ours] != [b.shape for b in theirs]:
        return math.inf
    worst = 0.0
    for a, b in zip(ours, theirs):
        worst = max(
            worst, float(np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), 1e-30))
        )
    return worst


# Both sides sum thousands of float32 products, each in its own order, and some by Winograd's
# algorithm: sqrt(4608) * eps = 8e-6 for the longest sum, 6e-6 for Winograd; a factor of 10 above.
TOLERANCE = 1e-4


def compare(threads, only=(), quick=False, preload=None, rounds=5, seconds=0.3, report=print):
    """Times both sides on every case; returns a list of dicts that JSON can hold, in their order.

    `only`: families, or parts of names. A case that one side cannot run, or on which they disagree,
    has an "error" instead of times.
    """
    sides = {"fastdl": Side("fastdl", threads), "torch": Side("torch", threads, preload)}
    race, rows = stopwatch().race, []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, (family, _, _) in cases(quick).items():
                if only and not any(part == family or part in name for part in only):
                    continue
                row = {"family": family, "case": name}
                try:
                    ours, theirs = (side.build(name, folder) for side in sides.values())
                    error = difference(ours, theirs)
                    if not error <= TOLERANCE:
                        raise RuntimeError(f"results differ by {error:.1e} of the largest value")
                    times = race(sides, rounds, seconds)
                    row |= {side: times[side].best for side in sides}
                    row |= {f"{side}_spread": times[side].spread for side in sides}
                    row |= {"ratio": row["torch"] / row["fastdl"], "difference": error}
                except RuntimeError as error:
                    row["error"] = str(error)
                rows.append(row)
                report(row)
    finally:
        for side in sides.values():
            side.close()
    return rows


def print_row(row):
    if "error" in row:
        print(f"{row['case']:52} {row['error']}")
        return
    print(
        f"{row['case']:52}{row['fastdl'] * 1e3:10.4f}{row['torch'] * 1e3:10.4f}"
        f"{row['ratio']:7.2f}   {row['fastdl_spread']:5.0%}{row['torch_spread']:6.0%}",
        flush=True,
    )


def main(argv=None):
    parser = argparse.ArgumentParser(description="fastdl against PyTorch, turn by turn")
    parser.add_argument("only", nargs="*", help="families, or parts of a case's name")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as fastdl would use")
    parser.add_argument("--quick", action="store_true", help="fewer cases, shorter rounds")
    parser.add_argument("--preload", help="a library for PyTorch's process, such as tcmalloc")
    parser.add_argument("--json", metavar="FILE", help="write the rows there")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker:
        work(options.worker)
        return
    threads = options.threads or int(os.environ.get("OMP_NUM_THREADS", "0").split(",")[0])
    threads = threads or len(os.sched_getaffinity(0))
    print(f"milliseconds on {threads} threads; ratio: PyTorch's time / fastdl's; spread of rounds")
    print(f"{'':52}{'fastdl':>10}{'torch':>10}{'ratio':>7}   {'spread of each':>11}")
    seconds = 0.1 if options.quick else 0.3
    rows = compare(
        threads, options.only, options.quick, options.preload, seconds=seconds, report=print_row
    )
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
