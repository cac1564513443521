"""`python -m fastdl COMMAND`: the command line. Each command is a module of `fastdl.cli`."""

import os
import sys
from importlib import import_module

COMMANDS = {
    "demo": "watch a network learn real handwritten digits, then race NumPy (start here)",
    "train": "train on your images, tables or text: --data FOLDER --out model.safetensors",
    "predict": "what a trained network sees in images: model.safetensors IMAGE...",
    "generate": "what a trained language model writes: model.safetensors --prompt TEXT",
    "bench": "measure this machine: its limits, fastdl's kernels, NumPy's",
    "info": "version, instruction set, threads, caches, NumPy and its BLAS",
}


def usage() -> str:
    lines = ["usage: python -m fastdl COMMAND [OPTIONS]", ""]
    lines += [f"  {name:<9}{what}" for name, what in COMMANDS.items()]
    lines += ["", "python -m fastdl COMMAND --help lists a command's options."]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run a command and return the exit status.

    0: done; 1: could not be done (a damaged file, a missing package); 2: bad arguments;
    130: interrupted by Ctrl-C. Every failure is told in one line on stderr.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] in ("-V", "--version"):
        from fastdl import __version__

        print(f"fastdl {__version__}")
        return 0
    command = argv[0]
    if command not in COMMANDS:
        print(
            f"fastdl: unknown command {command!r}; the commands are {', '.join(COMMANDS)}",
            file=sys.stderr,
        )
        return 2
    # A file name or class name that the terminal cannot show must not end the program.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    from fastdl.cli.console import CliError

    try:
        status = import_module(f"fastdl.cli.{command}").main(argv[1:])
        sys.stdout.flush()
        return status
    except CliError as error:
        status, reason = error.status, str(error)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has seen enough. Python would complain once more when
        # it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        status, reason = 130, "interrupted"
    except MemoryError as error:
        status, reason = 1, f"not enough memory ({error})" if str(error) else "not enough memory"
    print(f"fastdl {command}: {reason}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
