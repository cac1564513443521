"""The commands of `python -m fastdl`: demo, train, predict, generate, bench, info.

A command is a module with ``main(argv) -> exit status``. Modules that only one command needs
(matplotlib, Pillow, tqdm) are imported when they are needed: `--help` is quick.
"""
