"""Measures everything and writes it where it is read: the tables between markers, and two pictures.

    python bench/report.py                 ladders and NumPy, about 4 minutes
    python bench/report.py --torch         and PyTorch, in processes of its own; about 15 minutes
    python bench/report.py --quick         fewer and shorter, about a minute
    python bench/report.py --from FILE     measures nothing: tables and pictures from saved results

Results go to bench/results.json, tables between `<!-- bench:NAME -->` and `<!-- /bench -->` in
README.md, csrc/README.md and bench/README.md, pictures to bench/plots/. A table whose figures
were not measured this time is left as it stands. No figure is written by hand.
"""

import argparse
import json
import re
from functools import partial
from pathlib import Path

import problems
import shapes
import versus

from fastdl import _cases, _kernels, _measure
from fastdl._stopwatch import race
from fastdl.cli.bench import FAMILIES, busy, settings
from fastdl.kernels import climbing, reading

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PAGES = (ROOT / "README.md", ROOT / "csrc" / "README.md", HERE / "README.md")
PLOTS = HERE / "plots"

LADDERS = {"gemm": 1024, "conv": None, "pool": None, "softmax": None}
QUICK_LADDERS = {**LADDERS, "gemm": 512}


# ---- measuring ----------------------------------------------------------------------------------


def measure(threads, quick, torch, preload):
    """Everything, as a dict that JSON can hold."""
    seconds, rounds = (0.1, 3) if quick else (0.3, 5)
    with settings(threads, None) as threads, _measure.numpy_threads(threads) as blas:
        say("machine")
        machine = _measure.machine(threads, seconds=seconds)
        results = {"machine": {**machine, "blas_threads": blas}}
        results["ladders"] = {
            family: measure_ladder(family, size, machine, seconds, rounds)
            for family, size in (QUICK_LADDERS if quick else LADDERS).items()
        }
        results["cases"] = []
        for case in numpy_cases(quick):
            say(f"{case.family}: {case.name}")
            results["cases"].append(_cases.measure(case, machine, rounds, seconds))
        results["threads"] = [] if quick else measure_threads(threads, rounds, seconds)
    if torch:
        results["torch"] = measure_torch(threads, preload, quick, seconds, rounds)
    return results


def measure_torch(threads, preload, quick, seconds, rounds):
    """Every case beside PyTorch, how time grows, and peak memory."""
    told = {"report": lambda row: say(row["case"])}
    names = versus.chosen(problems.cases(), ())
    found = {"version": torch_version(), "preload": preload, "growth": [], "memory": []}
    with versus.opponents(threads, preload) as sides:
        found["cases"] = versus.compare(sides, names, rounds, seconds, **told)
        if not quick:
            names = versus.chosen(versus.growing(), ())
            found["growth"] = versus.compare(sides, names, 3, seconds, **told)
    if not quick:
        names = versus.chosen(problems.cases(), ("step",))
        found["memory"] = versus.peaks(threads, names, preload, **told)
    return found


def measure_ladder(family, size, machine, seconds, rounds):
    ladder = climbing.problem(family, size)
    roof = "peak" if ladder.roof == "compute" else "bandwidth"
    roofs = {1: machine[f"{roof}_1"], machine["threads"]: machine[roof]}
    found = []
    for rung in climbing.climb(ladder, seconds=seconds, rounds=rounds, roofs=roofs):
        say(f"ladder of {family}: {rung.name}")
        amount = ladder.work.flops if ladder.roof == "compute" else ladder.work.bytes
        found.append(
            {
                "name": rung.name,
                "threads": rung.threads,
                "seconds": rung.timing.best,
                "rate": amount / rung.timing.best,
                "of_roof": rung.of_roof,
                "gain": rung.gain,
                "error": rung.error,
            }
        )
    return {
        "title": ladder.title,
        "roof": ladder.roof,
        "flops": ladder.work.flops,
        "bytes": ladder.work.bytes,
        "rungs": found,
    }


# the families whose cases are the command line's; of the others shapes.py has more
BY_FAMILY = [name for name in FAMILIES if name not in ("gemm", "conv", "pool")]


def numpy_cases(quick):
    """The cases against NumPy: the command line's quick ones, or every shape."""
    if quick:
        return [case for _, _, cases in FAMILIES.values() for case in cases]
    found = [_cases.gemm(*shape) for shape in [*shapes.GEMM, (2048, 2048, 2048)]]
    for name, shape in shapes.CONV.items():
        found += [_cases.conv2d(name, shape, mode) for mode in ("forward", "training")]
    for name, shape in shapes.POOL.items():
        found += [_cases.pool2d(name, shape, mode) for mode in ("forward", "training")]
    return found + [case for name in BY_FAMILY for case in FAMILIES[name][1]]


# what a second thread brings: work that arithmetic limits, and work that memory limits
THREADED = [
    _cases.gemm(512, 512, 512),
    _cases.gemm(2048, 2048, 2048),
    *(
        _cases.conv2d(name, shapes.CONV[name], mode)
        for name in ("CIFAR, 3 -> 32, 3x3", "ResNet, 64 at 56, 3x3")
        for mode in ("forward", "training")
    ),
    _cases.pool2d("max pool 3x3/2", shapes.POOL["max pool 3x3/2, 8x64x112x112"], "forward"),
    *(case for name in BY_FAMILY for case in FAMILIES[name][1]),
]


def measure_threads(threads, rounds, seconds):
    """fastdl on one thread and on `threads`, turn by turn."""
    found = []
    for case in THREADED if threads > 1 else ():
        say(f"threads: {case.name}")
        call = case.build()["fastdl"]
        sides = {n: partial(on_threads, n, call) for n in (1, threads)}
        times = race(sides, rounds, seconds, ready=partial(_measure.whole_cores, threads))
        row = {"case": f"{case.family}: {case.name}", "one": times[1].best}
        found.append(
            {**row, "all": times[threads].best, "ratio": times[1].best / times[threads].best}
        )
    return found


def on_threads(threads, call):
    _kernels.set_num_threads(threads)
    call()


def torch_version():
    from importlib.metadata import version

    return version("torch").split("+")[0]


def say(text):
    _measure.progress(f"  {text} ...")


# ---- tables: each a function of the results that returns Markdown, None without its figures ------


def header(results):
    """What a table is read with."""
    m = results["machine"]
    more = m["threads"] > 1
    peak_1, copy_1 = (
        f" ({m[f'{roof}_1'] / 1e9:.0f} on one)" * more for roof in ("peak", "bandwidth")
    )
    return (
        f"{m['cpu']}, `{m['isa']}` kernels, {m['threads']} thread{'s' * more}; measured FMA peak "
        f"{m['peak'] / 1e9:.0f} GFLOP/s{peak_1}, copy bandwidth "
        f"{m['bandwidth'] / 1e9:.0f} GB/s{copy_1}. fastdl "
        f"{m['fastdl']}, Python {m['python']}, NumPy {m['numpy']} ({m['blas']}, "
        f"{m['blas_threads']})."
    )


def markdown(head, align, rows):
    lines = [head, align, *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def machine_table(results):
    return header(results)


def ladder_table(family):
    """A table of rungs, with what each removes by its own header."""

    def table(results):
        ladder = results["ladders"].get(family)
        if ladder is None:
            return None
        unit = "GFLOP/s" if ladder["roof"] == "compute" else "GB/s"
        roof = "of peak" if ladder["roof"] == "compute" else "of copy"
        rows = []
        for i, rung in enumerate(ladder["rungs"]):
            rows.append(
                (
                    f"`{rung['name']}`",
                    rung["threads"],
                    _measure.duration(rung["seconds"]),
                    _measure.three_digits(rung["rate"] / 1e9),
                    f"{rung['of_roof']:.0%}",
                    f"{rung['gain']:.1f}" if i else "",
                    removes(family, rung["name"]),
                )
            )
        gain = ladder["rungs"][0]["seconds"] / ladder["rungs"][-1]["seconds"]
        head = ["rung", "threads", "time", unit, roof, "× the one before", "removes"]
        align = ["---", *["---:"] * 5, "---"]
        if not any(row[-1] for row in rows):
            head, align, rows = head[:-1], align[:-1], [row[:-1] for row in rows]
        title = ladder["title"][0].upper() + ladder["title"][1:]
        return (
            f"{title}, float32; the last is {gain:.0f} times the first.\n\n"
            f"{markdown(head, align, rows)}"
        )

    return table


def removes(family, rung):
    """What a rung removes, by its own header; a rung climbed again with threads adds cores only."""
    found = reading.list().get(family, ())
    if rung not in found:
        return ""
    text = reading.describe(family, rung)
    before = found[max(found.index(rung) - 1, 0)]
    if before != rung and reading.describe(family, before) == text:
        return "one core doing it all"  # the same file, called with more threads
    return reading.field(text, "Removes")


def span(values):
    """`1.32 (0.98 - 2.10, 9 cases)`: geometric mean, and between what."""
    values = sorted(values)
    if not values:
        return ""
    mean = _cases.geometric_mean(values)
    if len(values) == 1:
        return f"**{mean:.2f}**"
    return f"**{mean:.2f}** ({values[0]:.2f} to {values[-1]:.2f}, {len(values)} cases)"


SUMMARY = {
    "gemm": "matrix product",
    "conv": "convolution",
    "pool": "pooling",
    "elementwise": "elementwise",
    "reduce": "reductions",
    "move": "copies, cat, permute",
    "rows": "softmax, cross-entropy, embedding, optimizers",
    "loss": "losses, reduced and with their gradients",
    "norm": "normalisation",
    "attention": "attention",
    "random": "random numbers, dropout",
    "data": "loading data",
    "tiny": "one small operation",
    "step": "training step",
    "predict": "inference",
}


def summary_table(results):
    """One line per family, for the front page."""
    numpy, torch = {}, {}
    for row in results["cases"]:
        family = "step" if row["family"] == "train" else row["family"]
        numpy.setdefault(family, []).append(row["ratio"])
    sides = torch_sides(results)
    for row in results.get("torch", {}).get("cases", ()):
        if "error" not in row:
            for side in sides:
                torch.setdefault((row["family"], side), []).append(row[side] / row["fastdl"])
    head = ["times the speed of", f"NumPy {results['machine']['numpy']}", *sides.values()]
    rows = []
    for family, title in SUMMARY.items():
        cells = [title, span(numpy.get(family, ()))]
        cells += [span(torch.get((family, side), ())) for side in sides]
        if any(cells[1:]):
            rows.append(cells)
    rungs = "".join(
        f"![{what}](bench/plots/{file}.png)\n"
        for file, what in (("ladder", "the ladders"), ("roofline", "the roofline"))
    )
    return (
        f"{header(results)} Geometric means, from the worst to the best case; each case stands in "
        f"[`bench/README.md`](bench/README.md). NumPy in its fastest formulation found.\n\n"
        f"{markdown(head, ['---'] * len(head), rows)}\n\n{rungs}"
    ).rstrip()


def torch_sides(results):
    """{side: what a column of its ratios is called}"""
    if "torch" not in results:
        return {}
    name = f"PyTorch {results['torch']['version']}"
    tuned = {"tuned": f"{name}, tcmalloc preloaded"} if results["torch"]["preload"] else {}
    return {"torch": name, **tuned}


def numpy_table(results):
    rows = []
    for row in results["cases"]:
        textbook = row.get("textbook_ratio")
        rate = ""
        if "rate" in row:
            unit = "GFLOP/s" if row["roof"] == "compute" else "GB/s"
            rate = f"{_measure.three_digits(row['rate'] / 1e9)} {unit}"
        rows.append(
            (
                row["case"],
                _measure.duration(row["fastdl"]),
                _measure.duration(row["numpy"]),
                f"**{row['ratio']:.2f}**",
                f"{textbook:.1f}" if textbook else "",
                rate,
                f"{row['of_roof']:.0%}" if rate else "",
                f"{row['fastdl_spread']:.0%} / {row['numpy_spread']:.0%}",
            )
        )
    head = ("", "fastdl", "NumPy", "ratio", "textbook", "rate", "of the roof", "spread")
    return f"{header(results)}\n\n{markdown(head, ('---', *['---:'] * 7), rows)}"


def threads_table(results):
    if not results.get("threads"):
        return None
    rows = [
        (
            row["case"],
            _measure.duration(row["one"]),
            _measure.duration(row["all"]),
            f"**{row['ratio']:.2f}**",
        )
        for row in results["threads"]
    ]
    head = ("", "1 thread", f"{results['machine']['threads']} threads", "ratio")
    return f"{header(results)}\n\n{markdown(head, ('---', *['---:'] * 3), rows)}"


def torch_table(results):
    sides = torch_sides(results)
    if not sides:
        return None
    blank = [""] * (len(sides) + 1)
    rows = []
    for row in results["torch"]["cases"]:
        if "error" in row:
            rows.append((row["case"], *blank, row["error"], *blank[2:], ""))
            continue
        times = (_measure.duration(row[side]) for side in ("fastdl", *sides))
        ratios = (f"**{row[side] / row['fastdl']:.2f}**" for side in sides)
        spreads = " / ".join(f"{row[f'{side}_spread']:.0%}" for side in ("fastdl", *sides))
        rows.append((row["case"], *times, *ratios, spreads))
    head = ("", "fastdl", *sides.values(), *["ratio"] * len(sides), "spread")
    return f"{header(results)}\n\n{markdown(head, ('---', *['---:'] * (len(head) - 1)), rows)}"


def growth_table(results):
    """Nanoseconds a unit of work as problems grow; flat is good."""
    sides = torch_sides(results)
    times = {row["case"]: row for row in results.get("torch", {}).get("growth", ())}
    if not times:
        return None
    rows = []
    for title, (unit, sizes) in problems.growth().items():
        for side, name in {"fastdl": "fastdl", **sides}.items():
            found = {
                size: times[f"{title}, {size}"][side] / units * 1e9
                for size, (units, *_) in sizes.items()
                if side in times.get(f"{title}, {size}", ())
            }
            if found:
                cells = ", ".join(f"{size}: {value:.4g}" for size, value in found.items())
                bend = max(found.values()) / min(found.values())
                rows.append((title, name, f"ns a {unit}: {cells}", f"{bend:.2f}"))
    head = ("", "", "size: time per unit of work", "slowest / fastest")
    return f"{header(results)}\n\n{markdown(head, ('---', '---', '---', '---:'), rows)}"


def memory_table(results):
    """Peak memory of the training steps."""
    sides = torch_sides(results)
    rows = [
        (row["case"], *(f"{row[side] / 2**20:.0f} MB" for side in ("fastdl", *sides)))
        for row in results.get("torch", {}).get("memory", ())
    ]
    if not rows:
        return None
    head = ("", "fastdl", *sides.values())
    return markdown(head, ("---", *["---:"] * (len(head) - 1)), rows)


TABLES = {
    "summary": summary_table,
    "machine": machine_table,
    "numpy": numpy_table,
    "torch": torch_table,
    "threads": threads_table,
    "growth": growth_table,
    "memory": memory_table,
    **{family: ladder_table(family) for family in LADDERS},
}


def fill(text, results, page="the page"):
    """`text` with the tables between its markers rewritten; ValueError for an unknown name."""

    def table(match):
        name = match[1]
        if name not in TABLES:
            raise ValueError(f"{page}: no table is called {name!r}; there are {sorted(TABLES)}")
        made = TABLES[name](results)
        return match[0] if made is None else f"<!-- bench:{name} -->\n{made}\n<!-- /bench -->"

    return re.sub(r"<!-- bench:(\w+) -->.*?<!-- /bench -->", table, text, flags=re.DOTALL)


def main(argv=None):
    parser = argparse.ArgumentParser(description="measure, then write the tables and pictures")
    parser.add_argument("--quick", action="store_true", help="fewer cases, shorter rounds")
    parser.add_argument("--torch", action="store_true", help="compare with PyTorch too")
    parser.add_argument("--preload", help="for the tuned PyTorch; default: tcmalloc")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as fastdl would use")
    parser.add_argument("--from", dest="saved", metavar="FILE", help="results to read, not measure")
    parser.add_argument("--save", metavar="FILE", default=str(HERE / "results.json"))
    parser.add_argument("--no-pages", action="store_true", help="write results only")
    options = parser.parse_args(argv)
    if options.saved:
        results = json.loads(Path(options.saved).read_text(encoding="utf-8"))
    else:
        preload = options.preload or (versus.preload_found() if options.torch else None)
        results = measure(options.threads, options.quick, options.torch, preload)
        _measure.progress("")
        text = json.dumps(results, indent=1) + "\n"
        Path(options.save).write_text(text, encoding="utf-8")
        print(f"results in {options.save}")
    print(summary_table(results))
    if busy(results["cases"]):
        print("\nThis machine was busy: rounds of a case differ widely. Do not publish these.\n")
    if options.no_pages:
        return
    for page in PAGES:
        if page.is_file():
            before = page.read_text(encoding="utf-8")
            page.write_text(fill(before, results, page), encoding="utf-8")
            print(f"tables in {page}")
    import plots

    plots.ladders(results, PLOTS / "ladder.png")
    plots.roofline(results, PLOTS / "roofline.png")
    print(f"pictures in {PLOTS}")


if __name__ == "__main__":
    main()
