"""The programs in examples/ run, and come to what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastdl

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PACKAGE = Path(fastdl.__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PACKAGE), "OMP_NUM_THREADS": "1"}


def run(program, folder):
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def last_accuracy(text):
    return float(re.findall(r"test accuracy (\d\.\d+)", text)[-1])


def test_lenet(tmp_path):
    pytest.importorskip("safetensors")
    assert last_accuracy(run(EXAMPLES / "lenet.py", tmp_path)) > 0.95
    assert (tmp_path / "lenet.safetensors").stat().st_size > 4 * 61_706  # its parameters


def test_mlp(tmp_path):  # two flowers of 30 overlap in the data
    assert last_accuracy(run(EXAMPLES / "mlp.py", tmp_path)) >= 0.9


def test_autograd(tmp_path):
    last = run(EXAMPLES / "autograd.py", tmp_path).splitlines()[-1]
    x, y = (float(number) for number in re.findall(r"[+-]\d\.\d{9}", last))
    assert abs(x - 1) < 1e-8
    assert abs(y - 1) < 1e-8


def test_translate(tmp_path):
    printed = run(EXAMPLES / "translate.py", tmp_path)
    assert last_accuracy(printed) > 0.9
    assert re.search(r"\d\d\.\d\d\.\d{4} -> \d{4}-\d\d-\d\d", printed)


def test_resume(tmp_path):
    """Run again, it finds its checkpoint, has nothing left to learn and says the same."""
    pytest.importorskip("safetensors")
    first = run(EXAMPLES / "resume.py", tmp_path)
    assert last_accuracy(first) > 0.95
    log = (tmp_path / "digits.csv").read_text()
    assert run(EXAMPLES / "resume.py", tmp_path) == first
    assert (tmp_path / "digits.csv").read_text() == log


def test_morse(tmp_path):
    """Of some 300 letters few are wrong."""
    printed = run(EXAMPLES / "morse.py", tmp_path)
    assert float(re.findall(r"character error rate (\d\.\d+)", printed)[0]) < 0.1


def test_the_program_in_the_readme(tmp_path):
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    program = max(re.findall(r"```python\n(.*?)```", readme, re.DOTALL), key=len)
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    printed = run(tmp_path / "program.py", tmp_path)
    assert float(re.fullmatch(r"accuracy (\d\.\d+)\n", printed)[1]) > 0.95


def test_every_example_is_tested():
    tested = Path(__file__).read_text(encoding="utf-8")
    assert [p.name for p in EXAMPLES.glob("*.py") if f'"{p.name}"' not in tested] == []
