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
    width = max(map(len, config))
    for name, value in config.items():
        print(f"{bold(f'{name:<{width}}')}  {_text(value)}")
    return 0


def _text(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "unknown"}[value]
    return str(value)
