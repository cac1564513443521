"""`python -m fastdl info`: what fastdl found on this machine."""

import json

from fastdl import runtime
from fastdl.cli.console import Parser, bold


def main(argv: list[str]) -> int:
    parser = Parser("info", "Print version, instruction set, threads, caches, NumPy and its BLAS.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    args = parser.parse_args(argv)
    config = runtime.config()
    if args.json:
        print(json.dumps(config, indent=2))
        return 0
    print(f"{bold('fastdl')} {config['version']}")
    for name, value in describe(config):
        print(f"  {name:<9}{value}")
    return 0


def describe(config: dict) -> list[tuple[str, str]]:
    """Return what `runtime.config` found, in words: pairs of a name and a text."""
    others = [isa for isa in config["isa_available"] if isa != config["isa"]]
    also = f" (FASTDL_ISA can choose {', '.join(others)})" if others else ""
    openmp = "OpenMP" if config["openmp"] else "built without OpenMP: always one thread"
    caches = [f"{name} {_size(count)}" for name, count in config["caches"].items()]
    return [
        ("kernels", config["isa"] + also),
        ("threads", f"{config['threads']} of {config['available_threads']}, {openmp}"),
        ("CPU", config["cpu"] or "unknown"),
        ("caches", ", ".join(caches) or "unknown"),
        ("Python", config["python"]),
        ("NumPy", f"{config['numpy']}, its BLAS {config['blas'] or 'unknown'}"),
        ("CuPy", "installed" if config["cupy"] else "not installed: no GPU"),
    ]


def _size(count: int) -> str:
    for unit, scale in (("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return f"{count / scale:g} {unit}"
    return f"{count} bytes"
