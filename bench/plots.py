"""The two pictures of bench/report.py, drawn from its results: the ladders, the roofline."""

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
FAMILY = {
    "gemm": ("matrix product", "#2563eb", "o"),
    "conv": ("convolution", "#d97706", "s"),
    "pool": ("pooling", "#059669", "^"),
    "rows": ("row kernels, optimizers", "#9333ea", "D"),
    "elementwise": ("elementwise", "#dc2626", "v"),
    "reduce": ("reductions", "#0891b2", "<"),
    "norm": ("normalisation", "#65a30d", ">"),
    "attention": ("attention", "#db2777", "P"),
}
STYLE = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": FAINT,
    "ytick.color": INK,
    "figure.dpi": 110,
    "savefig.bbox": "tight",
    "savefig.facecolor": "white",
}


def subtitle(machine):
    threads = machine["threads"]
    return (
        f"{machine['cpu']}, {machine['isa']}, float32, measured: FMA peak "
        f"{machine['peak'] / 1e9:.0f} GFLOP/s and copy {machine['bandwidth'] / 1e9:.0f} GB/s on "
        f"{threads} thread{'s' * (threads != 1)}"
    )


def ladders(results, path):
    """A panel per ladder, a bar per rung on a logarithmic axis, its gain over the one before."""
    panels = [(name, results["ladders"][name]) for name in ("gemm", "conv", "pool", "softmax")]
    heights = [len(ladder["rungs"]) + 1.2 for _, ladder in panels]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(panels), 1, figsize=(8.6, sum(heights) * 0.37 + 0.8), height_ratios=heights
        )
        for ax, (name, ladder) in zip(axes, panels):
            panel(ax, ladder, FAMILY.get(name, FAMILY["rows"])[1])
        figure.tight_layout(h_pad=1.6)
        figure.text(0.012, -0.012, subtitle(results["machine"]), color=FAINT, fontsize=8.5)
        save(figure, path)


def panel(ax, ladder, color):
    rungs = ladder["rungs"]
    rates = np.array([rung["rate"] / 1e9 for rung in rungs])
    compute = ladder["roof"] == "compute"
    unit, what = ("GFLOP/s", "FMA peak") if compute else ("GB/s", "copy")
    roofs = {rung["threads"]: rung["rate"] / 1e9 / rung["of_roof"] for rung in rungs}
    left, right = rates.min() * 0.45, max([rates.max(), *roofs.values()]) * 1.12
    bars = ax.barh(range(len(rungs)), rates - left, left=left, height=0.68, color=color)
    for bar, alpha in zip(bars, np.linspace(0.35, 1, len(rungs))):
        bar.set_alpha(alpha)
    columns = ((1.22, unit), (1.33, "of roof"), (1.45, "gain"))
    for i, rung in enumerate(rungs):
        cells = (
            three_digits(rung["rate"] / 1e9),
            f"{rung['of_roof']:.0%}",
            f"×{rung['gain']:.1f}" if i else "",
        )
        for (x, _), cell in zip(columns, cells):
            weight = "bold" if x == columns[-1][0] else "normal"
            place = {"transform": ax.get_yaxis_transform(), "va": "center", "ha": "right"}
            ax.text(x, i, cell, weight=weight, fontsize=9.5, **place)
    top = {"transform": ax.get_yaxis_transform(), "va": "bottom", "color": FAINT, "fontsize": 8}
    for x, head in columns:
        ax.text(x, -0.6, head, ha="right", **top)
    ordered = sorted(roofs.items())
    for threads, roof in ordered:
        ax.axvline(roof, color=FAINT, lw=0.9, ls=(0, (4, 3)), zorder=0)
        # the roof of one thread is named to the left of its line, that of more to the right
        first = threads == 1
        name = f"{what}, 1 thread " if first else f" {threads} threads"
        ax.text(roof, -0.6, name, ha="right" if first else "left", va="bottom", fontsize=8,
                color=FAINT)  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlim(left, right)
    ax.set_ylim(len(rungs) - 0.45, -0.6)
    ax.set_yticks(range(len(rungs)), [label_of(rung) for rung in rungs])
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize=8)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter("")
    ax.set_title(ladder["title"], pad=19)


def label_of(rung):
    """`threaded` -> `threaded (2)`, `implicit, threads` -> `implicit (2)`; one thread: as it is."""
    if rung["threads"] == 1:
        return rung["name"]
    return f"{rung['name'].removesuffix(', threads')} ({rung['threads']})"


def three_digits(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def roofline(results, path):
    """What each problem reaches against what its intensity allows; the GEMM ladder climbs in it."""
    machine = results["machine"]
    intensity = np.logspace(-1.6, 3.3, 400)
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(8.6, 5.6))
        lines = ((1, 1.0, "_1"), (machine["threads"], 1.8, ""))
        for threads, width, suffix in lines[machine["threads"] == 1 :]:
            peak, copy = machine[f"peak{suffix}"] / 1e9, machine[f"bandwidth{suffix}"] / 1e9
            ax.plot(intensity, np.minimum(peak, intensity * copy), color=INK, lw=width, zorder=1)
            name = f"{threads} thread" + "s" * (threads != 1)
            ax.text(
                intensity[-1], peak * 1.05, f"{peak:.0f} GFLOP/s, {name}", ha="right", fontsize=8.5
            )
        for family, (label, color, marker) in FAMILY.items():
            rows = [row for row in results["cases"] if row["family"] == family and "rate" in row]
            xs = [row["flops"] / row["bytes"] for row in rows]
            ys = [row["flops"] / row["fastdl"] / 1e9 for row in rows]
            ax.scatter(xs, ys, s=34, color=color, marker=marker, label=label, zorder=3,
                       edgecolor="white", linewidth=0.6)  # fmt: skip
        climb(ax, results["ladders"]["gemm"])
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlim(intensity[0], intensity[-1] * 1.02)
        slowest = min(
            [row["flops"] / row["fastdl"] for row in results["cases"] if "rate" in row]
            + [rung["rate"] for rung in results["ladders"]["gemm"]["rungs"]]
        )
        ax.set_ylim(slowest / 1e9 / 2, machine["peak"] / 1e9 * 2)
        ax.grid(True, which="major", color=GRID, lw=0.8, zorder=0)
        ax.set_axisbelow(True)
        ax.set_xlabel("arithmetic intensity: FLOP per byte, every array moved once")
        ax.set_ylabel("GFLOP/s of the direct algorithm")
        ax.set_title("Roofline: the closer to the line, the less is left to gain", pad=10)
        ax.legend(loc="upper left", frameon=False, fontsize=9)
        along_roof(figure, ax, copy, f"copy bandwidth {copy:.0f} GB/s")
        figure.text(0.012, -0.02, subtitle(machine), color=FAINT, fontsize=8.5)
        save(figure, path)


def along_roof(figure, ax, copy, text, x=0.3):
    """Writes `text` just above the slanted roof, along it."""
    figure.canvas.draw()
    (x0, y0), (x1, y1) = ax.transData.transform([(x, x * copy), (2 * x, 2 * x * copy)])
    angle = np.degrees(np.arctan2(y1 - y0, x1 - x0))
    ax.text(x, x * copy * 1.12, text, rotation=angle, rotation_mode="anchor", fontsize=8.5)


def climb(ax, ladder):
    """The rungs of one matrix product, at its one intensity: a ladder up to the roof."""
    x = ladder["flops"] / ladder["bytes"]
    ys = [rung["rate"] / 1e9 for rung in ladder["rungs"]]
    color = FAMILY["gemm"][1]
    ax.plot([x] * len(ys), ys, color=color, lw=1, ls=":", zorder=2)
    ax.scatter([x] * len(ys), ys, s=14, facecolor="white", edgecolor=color, zorder=4)
    shown = []
    for rung, y in sorted(zip(ladder["rungs"], ys), key=lambda pair: pair[1]):
        # names that would stand on one another share a line
        if shown and y / shown[-1][0] < 1.3:
            shown[-1] = (shown[-1][0], f"{shown[-1][1]}, {rung['name']}")
        else:
            shown.append((y, rung["name"]))
    for y, name in shown:
        ax.text(x * 0.86, y, name, fontsize=8, color=color, va="center", ha="right")


def save(figure, path):
    """A PNG of 128 colours, a third of the size of one with all of them."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    whole = io.BytesIO()
    figure.savefig(whole)
    plt.close(figure)
    Image.open(whole).convert("RGB").quantize(128).save(path, optimize=True)
