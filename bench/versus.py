"""fastdl and PyTorch through the API they share, each in its own process, turn by turn.

    python bench/versus.py                   every case, two threads or as many as there are
    python bench/versus.py conv step         families, or parts of a case's name
    python bench/versus.py --full conv       layers of whole networks and DeepBench's lists
    python bench/versus.py --fresh 7         shapes of the same families drawn with this seed
    python bench/versus.py --tuned           and PyTorch with an allocator that reuses pages
    python bench/versus.py --growth          the same work in ever larger problems
    python bench/versus.py --memory          peak memory of a training step

The problems (problems.py) are written once, for a module called `torch`: `import torch` in one
process, `import fastdl as torch` in the other, so that both run the same code on the same numbers.
Results are compared before anything is timed. Processes of their own, because two OpenMP runtimes
in one disturb each other. `--tuned` preloads tcmalloc (Debian: libtcmalloc-minimal4) into a third
process: PyTorch then reuses pages instead of faulting them in again, and is the harder opponent.
"""

import argparse
import contextlib
import ctypes.util
import gc
import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from problems import cases, fresh_cases, full_cases, growth

ROOT = Path(__file__).resolve().parent.parent


def package():
    """The folder of the fastdl that is installed, else of the one beside this file."""
    spec = importlib.util.find_spec("fastdl")
    return Path(spec.origin).parent if spec and spec.origin else ROOT / "fastdl"


def stopwatch():
    """fastdl/_stopwatch.py by itself: PyTorch's process must not load fastdl's kernels."""
    spec = importlib.util.spec_from_file_location("stopwatch", package() / "_stopwatch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- the worker: builds a case when told, times a round when told -------------------------------


def work(module):
    """Answers requests, one JSON object a line, until standard input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not be taken for a reply
    torch = importlib.import_module(module)
    one_round = stopwatch().one_round
    known, call = {**cases(), **full_cases(), **growing()}, None
    at_rest = resident("VmRSS")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "fresh" in request:
                known |= fresh_cases(request["fresh"])
                reply = {}
            elif "case" in request:
                call = result = None
                gc.collect()
                _, build, arguments = known[request["case"]]
                call, result = build(torch, *arguments)
                arrays = [np.asarray(value.numpy()) for value in result()]
                np.savez(request["file"], *arrays)
                reply = {}
            elif "peak" in request:
                reply = {"peak": resident("VmHWM") - at_rest}
            elif "whole_cores" in request:
                importlib.import_module("fastdl._measure").whole_cores()
                reply = {}
            else:
                reply = {"seconds": one_round(call, request["seconds"], request["repeats"])}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


def resident(field):
    """Bytes of this process that are in memory ("VmRSS"), or that ever were ("VmHWM")."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) << 10


def growing():
    """The problems of growth() as cases."""
    return {
        f"{title}, {size}": ("growth", build, arguments)
        for title, (_, sizes) in growth().items()
        for size, (_, build, arguments) in sizes.items()
    }


class Side:
    """A worker process that has `module` for torch; its environment says how many threads."""

    def __init__(self, module, threads, preload=None):
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, str(threads))}
        path = [str(package().parent), os.environ.get("PYTHONPATH", "")]
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

    def peak(self):
        return self.ask(peak=True)["peak"]

    def whole_cores(self):
        """Only fastdl's: returns when its threads have a core each."""
        self.ask(whole_cores=True)

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
        gap = np.abs(np.subtract(a, b, dtype=np.float64)).max(initial=0)
        worst = max(worst, float(gap / max(np.abs(b).max(initial=0), 1e-30)))
    return worst


# Both sides sum thousands of float32 products, each in its own order, and some by Winograd's
# algorithm: sqrt(4608) * eps = 8e-6 for the longest sum, 6e-6 for Winograd; a factor of 10 above.
TOLERANCE = 1e-4


def preload_found():
    """tcmalloc, as this system calls it; SystemExit where it is not installed."""
    for name in ("tcmalloc_minimal", "tcmalloc"):
        if found := ctypes.util.find_library(name):
            return found
    raise SystemExit("no tcmalloc to preload: install libtcmalloc-minimal4, or name --preload FILE")


@contextlib.contextmanager
def opponents(threads, preload=None):
    """Running workers by name: "fastdl", "torch" and, with an allocator to preload, "tuned"."""
    sides = {}
    try:
        sides["fastdl"] = Side("fastdl", threads)
        sides["torch"] = Side("torch", threads)
        if preload:
            sides["tuned"] = Side("torch", threads, preload)
        yield sides
    finally:
        for side in sides.values():
            side.close()


def compare(sides, names, rounds=5, seconds=0.3, report=print):
    """Times every side on every case {name: family}; a list of dicts that JSON can hold.

    A case that one side cannot run, or on which they disagree, has an "error" instead of times.
    """
    race, rows = stopwatch().race, []
    with tempfile.TemporaryDirectory() as folder:
        for name, family in names.items():
            row = {"family": family, "case": name}
            try:
                ours, *theirs = (side.build(name, folder) for side in sides.values())
                error = max(difference(ours, arrays) for arrays in theirs)
                if not error <= TOLERANCE:
                    raise RuntimeError(f"results differ by {error:.1e} of the largest value")
                times = race(sides, rounds, seconds, ready=sides["fastdl"].whole_cores)
                row |= {side: times[side].best for side in sides}
                row |= {f"{side}_spread": times[side].spread for side in sides}
                row["difference"] = error
            except RuntimeError as error:
                row["error"] = str(error)
            rows.append(row)
            report(row)
    return rows


def peaks(threads, names, preload=None, report=print):
    """The most memory each side holds beyond an import while a case runs four times."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, family in names.items():
            row = {"family": family, "case": name}
            with opponents(threads, preload) as sides:
                for side, worker in sides.items():
                    worker.build(name, folder)
                    worker.round(0.0, 1)
                    row[side] = worker.peak()
            rows.append(row)
            report(row)
    return rows


def chosen(known, only):
    """{name: family} of the cases in `only`: families, or parts of names; all without any."""
    wanted = lambda name, family: not only or any(x == family or x in name for x in only)
    return {name: family for name, (family, *_) in known.items() if wanted(name, family)}


def print_row(row):
    if "error" in row:
        print(f"{row['case']:52} {row['error']}", flush=True)
        return
    others = [side for side in ("torch", "tuned") if side in row]
    times = "".join(f"{row[side] * 1e3:10.4f}" for side in ("fastdl", *others))
    ratios = "".join(f"{row[side] / row['fastdl']:8.2f}" for side in others)
    spreads = " ".join(f"{row[f'{side}_spread']:4.0%}" for side in ("fastdl", *others))
    print(f"{row['case']:52}{times}{ratios}   {spreads}", flush=True)


def print_peak(row):
    sides = ", ".join(f"{side} {row[side] / 2**20:.0f} MB" for side in list(row)[2:])
    print(f"{row['case']:52}{sides}", flush=True)


def main(argv=None):
    parser = argparse.ArgumentParser(description="fastdl against PyTorch, turn by turn")
    parser.add_argument("only", nargs="*", help="families, or parts of a case's name")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as fastdl would use")
    parser.add_argument("--quick", action="store_true", help="shorter rounds")
    parser.add_argument("--full", action="store_true", help="every problem of shapes.json")
    parser.add_argument("--fresh", type=int, metavar="SEED", help="shapes drawn at random")
    parser.add_argument("--growth", action="store_true", help="ever larger problems")
    parser.add_argument("--memory", action="store_true", help="peak memory of the steps")
    parser.add_argument("--tuned", action="store_true", help="and PyTorch with tcmalloc preloaded")
    parser.add_argument("--preload", metavar="FILE", help="the same with this library")
    parser.add_argument("--json", metavar="FILE", help="write the rows there")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker:
        work(options.worker)
        return
    threads = options.threads or int(os.environ.get("OMP_NUM_THREADS", "0").split(",")[0])
    threads = threads or len(os.sched_getaffinity(0))
    preload = options.preload or (preload_found() if options.tuned else None)
    known = growing() if options.growth else full_cases() if options.full else cases()
    if options.fresh is not None:
        known = fresh_cases(options.fresh)
    names = chosen(known, options.only)
    if options.memory:
        names = {name: family for name, family in names.items() if family == "step"}
        rows = peaks(threads, names, preload, print_peak)
    else:
        sides = ["fastdl", "torch", "tuned"][: 3 if preload else 2]
        print(f"milliseconds on {threads} threads; ratio: theirs / fastdl's; spread of rounds")
        columns = "".join(f"{side:>10}" for side in sides) + "   ratio" * (len(sides) - 1)
        print(f"{'':52}{columns}   spreads")
        with opponents(threads, preload) as sides:
            for side in sides.values() if options.fresh is not None else ():
                side.ask(fresh=options.fresh)
            seconds = 0.1 if options.quick else 0.3
            rows = compare(sides, names, seconds=seconds, report=print_row)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
