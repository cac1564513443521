"""python -m fastdl, through a subprocess as a person runs it: what it prints, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastdl
from fastdl import runtime
from fastdl.__main__ import COMMANDS, main
from fastdl._measure import numpy_threads

pytest.importorskip("safetensors")  # every command but info and bench writes or reads such a file
Image = pytest.importorskip("PIL.Image")

LAST_LINE = r"test accuracy (\d\.\d{4}), (\d+) images/s, (\d+\.\d) times NumPy"
MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(done.returncode)
"""
PACKAGE = Path(fastdl.__file__).resolve().parent.parent
ENVIRONMENT = {
    **os.environ,
    "NO_COLOR": "1",
    "PYTHONUNBUFFERED": "1",
    # The fastdl under test, from whatever folder a command is run in.
    "PYTHONPATH": os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")]),
    # Results are the same for any number of threads, and on a machine busy with other tests threads
    # would mostly wait for one another.
    "OMP_NUM_THREADS": "1",
}
ENVIRONMENT.pop("PYTHONWARNINGS", None)  # a warning on stderr would count as a line of ours


def start(*args, cwd=None):
    return subprocess.Popen(
        [sys.executable, "-m", "fastdl", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=ENVIRONMENT,
        cwd=cwd,
    )


def run(*args, status=0, cwd=None):
    """Run a command; check its exit status and that failure is told without a traceback."""
    process = start(*args, cwd=cwd)
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, err
    assert "Traceback" not in err
    return out, err


@pytest.fixture
def here(capsys):
    """Run a command in this process, on one thread: quicker than `run`, and the same otherwise."""

    def run_here(*args, status=0):
        assert main([str(arg) for arg in args]) == status
        return capsys.readouterr()

    before = runtime.get_num_threads()
    runtime.set_num_threads(1)
    with numpy_threads(1):
        yield run_here
    runtime.set_num_threads(before)


def one_line(err):
    """The line on stderr; that there is exactly one."""
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    return err.rstrip()


# -------------------------------------------------------------------------------------------- demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """One run of the demo, as a person runs it: output, files, peak memory in bytes."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("demo")
    checkpoint, picture = folder / "digits.safetensors", folder / "demo.png"
    # Through a small process: a child's peak begins at that of the process it comes from, and this
    # one may have grown by hundreds of megabytes.
    command = [sys.executable, "-m", "fastdl", "demo", "--save", str(checkpoint)]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=folder,
    )
    *err, peak = done.stderr.splitlines()
    assert done.returncode == 0, err
    out = done.stdout
    run("demo", "--epochs", 1, "--plot", picture)
    memory = int(peak) * (1 if sys.platform == "darwin" else 1024)
    return out, checkpoint, picture, memory


def test_demo_learns(demo):
    out = demo[0]
    accuracy, rate, ratio = re.fullmatch(LAST_LINE, out.splitlines()[-1]).groups()
    assert float(accuracy) >= 0.98
    assert int(rate) > 0
    # Ahead of NumPy, unless kernels without vector instructions run against a BLAS that has them.
    assert float(ratio) > (0.2 if runtime.isa() == "generic" else 1)
    rows = re.findall(r"^ +(\d+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d,]+)$", out, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(1, 21))
    assert float(rows[0][1]) > 5 * float(rows[-1][1])  # the loss
    assert rows[-1][3] == accuracy
    assert re.search(r"losses agree to \de-0\d over \d+ steps", out)


def test_demo_needs_little_memory(demo):
    assert demo[3] < 300e6


def test_demo_files(demo):
    _, checkpoint, picture, _ = demo
    with Image.open(picture) as image:
        assert image.width > 1000
        assert len(image.convert("RGB").resize((64, 64)).getcolors(4096)) > 50  # not a blank page
    from safetensors.numpy import load_file

    tensors = load_file(checkpoint)  # any other program reads the weights under PyTorch's names
    assert tensors["conv1.weight"].shape == (6, 1, 5, 5)
    assert set(tensors) == {
        f"{layer}.{kind}"
        for layer in ("conv1", "conv2", "fc1", "fc2", "fc3")
        for kind in ("weight", "bias")
    }


def test_demo_json_and_seed(here):
    results = [
        json.loads(here("demo", "--epochs", 2, "--json", "--seed", seed)[0]) for seed in (1, 1, 2)
    ]
    for result in results:
        assert result["settings"]["epochs"] == len(result["epochs"]) == 2
        assert result["epochs"][-1]["test_accuracy"] == result["test_accuracy"] > 0.5
        assert result["race"]["loss_difference"] <= result["race"]["loss_tolerance"]
        ratio = result["race"]["numpy"]["step"] / result["race"]["fastdl"]["step"]
        assert result["times_numpy"] == pytest.approx(ratio)
    losses = [[row["loss"] for row in result["epochs"]] for result in results]
    assert losses[0] == losses[1]  # a seed says everything
    assert losses[0] != losses[2]


# ----------------------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["frobnicate"], "unknown command 'frobnicate'"),
        (["demo", "--epochs", "0"], "--epochs: expected a whole number from 1"),
        (["demo", "--epochs", "2.5"], "--epochs: expected a whole number, not '2.5'"),
        (["demo", "--batch-size", "-1"], "--batch-size: expected a whole number from 1"),
        (["demo", "--lr", "nan"], "--lr: expected a number above 0"),
        (["demo", "--lr", "inf"], "--lr: expected a number above 0"),
        (["demo", "--seed", "-1"], "--seed: expected a whole number from 0"),
        (["demo", "--threads", "0"], "--threads: expected a whole number from 1"),
        (["demo", "--plot", "picture.txt"], "--plot: expected a file .png"),
        (["demo", "--save", "nowhere/x.safetensors"], "there is no folder nowhere"),
        (["demo", "--save", "model.pt"], "expected a file .safetensors"),
        (["demo", "--colour"], "unrecognized arguments: --colour"),
        (["train"], "required: --data, --out"),
        (["train", "--data", "digits"], "required: --out"),
        (["train", "--data", "nothing", "--out", "x.safetensors"], "'nothing' is neither"),
        (["train", "--data", "mnist", "--out", "x.safetensors"], "download"),
        (["train", "--data", "iris", "--out", "x.safetensors", "--model", "lenet"], "for images"),
        (["train", "--data", "iris", "--out", "x.safetensors", "--shift", "1"], "is for images"),
        (["train", "--data", "iris", "--out", "x.safetensors", "--model", "gpt"], "is for text"),
        (["train", "--data", "iris", "--out", "x.safetensors", "--model", "vgg"], "'vgg'"),
        (["train", "--data", "iris", "--out", "x.safetensors", "--hidden", "8,x"], "not 'x'"),
        (["predict", "nothing.safetensors", "a.png"], "nothing.safetensors: no such file"),
        (["predict", "nothing.safetensors"], "required: IMAGE"),
        (["info", "--verbose"], "unrecognized arguments"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments(here, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    out, err = here(*args, status=2)
    assert message in one_line(err)
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_bad_argument_from_outside(tmp_path):
    out, err = run("demo", "--epochs", "many", status=2, cwd=tmp_path)
    assert "--epochs: expected a whole number, not 'many'" in one_line(err)
    assert out == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_help(capsys, command):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    out, err = capsys.readouterr()
    assert f"usage: python -m fastdl {command}" in out
    assert err == ""


def test_usage_and_version(here):
    assert "python -m fastdl COMMAND" in here()[0]
    assert all(f"  {command} " in here("--help")[0] for command in COMMANDS)
    assert here("--version")[0] == f"fastdl {fastdl.__version__}\n"


def test_info(here):
    config = json.loads(here("info", "--json")[0])
    assert config == runtime.config()
    out, _ = here("info")
    for value in (config["version"], config["isa"], config["cpu"], config["numpy"], "CuPy"):
        assert value in out


def test_packages_of_one_command_are_imported_by_it_alone():
    code = (
        "import sys; from fastdl.__main__ import main; main(['info']); "
        "print(*[m for m in ('matplotlib', 'PIL', 'tqdm', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


# --------------------------------------------------------------------------------- train, predict


def digit_pictures(folder, count=30):
    """Test digits of the shipped set as pictures of 32x32; returns their paths and classes."""
    from fastdl.datasets import Digits

    arrays = Digits(train=False).arrays
    paths = []
    for index in range(count):
        grey = (arrays.data[index] * 15.9375).round().astype(np.uint8)
        paths.append(folder / f"{index}.png")
        Image.fromarray(grey).resize((32, 32), Image.Resampling.NEAREST).save(paths[-1])
    return paths, [str(k) for k in arrays.targets[:count]]


def test_predict_digits(demo, tmp_path):
    paths, truth = digit_pictures(tmp_path)
    report = json.loads(run("predict", demo[1], *paths, "--json")[0])
    found = [p["class"] for p in report["predictions"]]
    # The network is right in 0.98 of such images; of 30, 3 wrong would be bad luck indeed.
    assert sum(a == b for a, b in zip(found, truth)) >= 28
    assert [p["input"] for p in report["predictions"]] == [str(path) for path in paths]
    out, _ = run("predict", demo[1], paths[0], "--top", 3)
    rows = out.splitlines()[2:]
    assert len(rows) == 3
    assert rows[0].split()[1] == found[0]


def test_predict_dark_ink_on_light_paper(demo, tmp_path):
    paths, _ = digit_pictures(tmp_path, 5)
    before = json.loads(run("predict", demo[1], *paths, "--json")[0])["predictions"]
    for path in paths:
        with Image.open(path) as image:
            negative = 255 - np.asarray(image)
        Image.fromarray(negative).save(path)
    after = json.loads(run("predict", demo[1], *paths, "--json")[0])["predictions"]
    assert [p["remark"] for p in after] == ["as a negative"] * 5
    assert [p["class"] for p in after] == [p["class"] for p in before]
    never = json.loads(run("predict", demo[1], *paths, "--json", "--invert", "never")[0])
    assert [p["remark"] for p in never["predictions"]] == [""] * 5


def test_predict_a_small_drawing_on_a_large_page(demo, tmp_path):
    """The training digits fill their frame; one that does not is cut out and enlarged."""
    paths, _ = digit_pictures(tmp_path, 8)
    before = json.loads(run("predict", demo[1], *paths, "--json")[0])["predictions"]
    for path in paths:
        with Image.open(path) as image:
            digit = image.resize((96, 96), Image.Resampling.BICUBIC)
        page = Image.new("L", (1500, 1100), 230)
        page.paste(Image.fromarray(230 - np.asarray(digit) // 2), (200, 700))
        page.save(path)
    after = json.loads(run("predict", demo[1], *paths, "--json")[0])["predictions"]
    assert [p["remark"] for p in after] == ["as a negative, cut out"] * 8
    same = sum(a["class"] == b["class"] for a, b in zip(after, before))
    assert same >= 7  # narrow digits are put in the middle, which not all were before


def test_bad_images_are_named_and_the_others_predicted(demo, tmp_path):
    paths, truth = digit_pictures(tmp_path, 2)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image")
    bad = ["empty.png", "text.png", "missing.png", "."]
    out, err = run("predict", demo[1], paths[0].name, *bad, paths[1].name, status=1, cwd=tmp_path)
    assert [line.split()[:2] for line in out.splitlines()[2:]] == [
        [path.name, digit] for path, digit in zip(paths, truth)
    ]
    assert err.splitlines() == [
        "fastdl predict: empty.png: the file is empty",
        "fastdl predict: text.png: not an image",
        "fastdl predict: missing.png: no such file",
        "fastdl predict: .: a folder, not an image",
    ]


@pytest.fixture(scope="module")
def folder_of_pictures(tmp_path_factory):
    """Colour pictures: bright in the left half (class "left side"), or in the right one."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, bright in (("left side", slice(0, 15)), ("right side", slice(15, 30))):
        (root / name).mkdir()
        for index in range(30):
            picture = rng.integers(0, 100, (20, 30, 3), dtype=np.uint8)
            picture[:, bright] += 120
            Image.fromarray(picture).save(root / name / f"{index}.png")
    (root / "left side" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    return root


@pytest.mark.parametrize("model", ["lenet", "mlp"])
def test_train_on_a_folder(folder_of_pictures, tmp_path, model):
    network = tmp_path / "sides.safetensors"
    args = ["--data", folder_of_pictures, "--out", network, "--model", model, "--epochs", 6]
    out, err = run("train", *args, "--size", 16, "--shift", 0, "--hidden", "16")
    assert re.fullmatch(r"fastdl train: left out .*bad\.png: (damaged|not an) image.*\n", err)
    assert "48 to learn from, 12 to test, 2 classes" in out
    assert "colour" in out
    assert out.splitlines()[-1].startswith("test accuracy 1.0000, ")
    picture = folder_of_pictures / "right side" / "3.png"
    report = json.loads(run("predict", network, picture, "--json", "--top", 5)[0])
    (prediction,) = report["predictions"]
    assert prediction["class"] == "right side"
    assert sum(entry["probability"] for entry in prediction["top"]) == pytest.approx(1, abs=1e-5)


def test_train_on_a_table(tmp_path):
    network = tmp_path / "iris.safetensors"
    out, err = run("train", "--data", "iris", "--out", network, "--epochs", 20, "--json")
    assert err == ""
    assert json.loads(out)["test_accuracy"] >= 0.9
    (tmp_path / "rows.csv").write_text("a,b,c,d\n5.0,3.4,1.5,0.2\n\n6.5,3.0,5.8,2.2\n")
    out, _ = run("predict", network, "5.1,3.5,1.4,0.2", "rows.csv", cwd=tmp_path)
    cells = [line.split()[:2] for line in out.splitlines()[2:]]
    assert cells == [
        ["5.1,3.5,1.4,0.2", "setosa"],
        ["rows.csv:2", "setosa"],
        ["rows.csv:4", "virginica"],
    ]
    _, err = run("predict", network, "1,2,3", status=1)
    assert "expected 4 numbers with commas between them (sepal length (cm)" in one_line(err)
    (tmp_path / "rows.csv").write_text("5.0,3.4,1.5,0.2\n5.0,3.4,much,0.2\n")
    _, err = run("predict", network, "rows.csv", status=1, cwd=tmp_path)
    assert "rows.csv, line 2: expected 4 numbers" in one_line(err)


def test_train_on_an_archive(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = rng.random((60, 14, 14), dtype=np.float32) * 0.2 + (y / 3).astype("f4")[:, None, None]
    np.savez(tmp_path / "data.npz", x=x, y=y)
    out, _ = run("train", "--data", "data.npz", "--out", "a.safetensors", cwd=tmp_path)
    assert "14x14 pixels, enlarged to 32x32" in out
    assert float(re.search(r"test accuracy (\S+),", out.splitlines()[-1])[1]) > 0.6
    np.savez(tmp_path / "data.npz", x=x[:9], y=y[:9])  # too few to keep some for a test
    args = ["--data", "data.npz", "--out", "a.safetensors", "--epochs", 1]
    out, _ = run("train", *args, cwd=tmp_path)
    assert out.splitlines()[-1].startswith("no test part, ")
    result = json.loads(run("train", *args, "--json", cwd=tmp_path)[0])
    assert result["test_accuracy"] is result["epochs"][0]["test_accuracy"] is None
    np.savez(tmp_path / "data.npz", x=x, y=y * 0)
    _, err = run("train", "--data", "data.npz", "--out", "b.safetensors", status=1, cwd=tmp_path)
    assert "all samples are of one class" in one_line(err)
    (tmp_path / "data.npz").write_bytes((tmp_path / "data.npz").read_bytes()[:100])
    _, err = run("train", "--data", "data.npz", "--out", "b.safetensors", status=1, cwd=tmp_path)
    assert "data.npz: damaged or truncated" in one_line(err)
    assert not (tmp_path / "b.safetensors").exists()


def test_damaged_mnist_is_named(tmp_path):
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0")
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\0")
    args = ["--data", "mnist", "--root", tmp_path, "--out", tmp_path / "a.safetensors"]
    _, err = run("train", *args, status=1)
    assert "train-images-idx3-ubyte: truncated in the header" in one_line(err)


def test_damaged_networks_are_named(demo, tmp_path):
    from safetensors.numpy import save_file

    whole = demo[1].read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    header = whole[8:length]
    # Another number of classes in the description, of the same length in bytes.
    assert header.count(rb"\"classes\", 10") == 1
    wrong = header.replace(rb"\"classes\", 10", rb"\"classes\", 12")
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "other")
    cases = {
        "is empty": b"",
        "truncated": whole[:-100],
        "not a safetensors file": b"hello, this is text and no network",
        "no file of torch.save": b"\x80\x02}q\x00.",
        "does not say of what network": (tmp_path / "other").read_bytes(),
        "its description does not fit its tensors": whole[:8] + wrong + whole[length:],
    }
    path = tmp_path / "network.safetensors"
    for message, content in cases.items():
        path.write_bytes(content)
        out, err = run("predict", path, "a.png", status=1)
        assert message in one_line(err)
        assert "network.safetensors" in err
        assert out == ""


# ------------------------------------------------------------------------------------------ Ctrl-C


def interrupt(process, condition):
    """Wait until `condition()` holds, send Ctrl-C, and return what the process then said."""
    deadline = time.monotonic() + 60
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    return one_line(err)


def test_ctrl_c_names_the_checkpoint(tmp_path):
    checkpoint = tmp_path / "demo.safetensors"
    process = start("demo", "--epochs", 1000, "--save", checkpoint)
    line = interrupt(process, checkpoint.exists)
    epoch, done, path = re.fullmatch(
        r"fastdl demo: interrupted in epoch (\d+); the last checkpoint, of epoch (\d+), is (.*)",
        line,
    ).groups()
    assert int(done) in (int(epoch), int(epoch) - 1)
    assert path == str(checkpoint)
    assert [p.name for p in tmp_path.iterdir()] == ["demo.safetensors"]  # nothing half-written
    pictures, _ = digit_pictures(tmp_path, 1)
    run("predict", checkpoint, *pictures)


def test_ctrl_c_without_a_checkpoint():
    process = start("demo", "--epochs", 1000)
    line = interrupt(process, lambda: " 1  " in process.stdout.readline())
    assert "nothing is saved (--save FILE keeps a checkpoint of each epoch)" in line


# ------------------------------------------------------------------------------- parts of commands


def test_numpy_network_has_the_gradients_of_the_other():
    """In float64: in float32 rounding may take an input of a ReLU across zero."""
    from fastdl.cli.models import LeNet
    from fastdl.cli.numpy_lenet import NumpyAdam, NumpyLeNet, cross_entropy

    fastdl.manual_seed(0)
    model = LeNet(channels=1, size=(28, 28), classes=10).double()
    optimizer = fastdl.optim.Adam(model.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 1, 28, 28)), np.arange(7)
    network = NumpyLeNet({name: weight.numpy() for name, weight in model.state_dict().items()})
    adam = NumpyAdam(network.weights, lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        loss = fastdl.nn.functional.cross_entropy(model(fastdl.from_numpy(x)), fastdl.from_numpy(y))
        loss.backward()
        logits, saved = network.forward(x)
        theirs, gradient = cross_entropy(logits, y)
        gradients = network.backward(gradient, saved)
        assert theirs == pytest.approx(loss.item(), rel=1e-12)
        assert set(gradients) == {name for name, _ in model.named_parameters()}
        for name, parameter in model.named_parameters():
            # Sums of up to 7 * 784 terms in another order, behind five layers, relative to the
            # largest; Adam's division makes ten times as much of it in the second and third step.
            most = np.abs(gradients[name]).max()
            tolerance = 10 * 5 * (7 * 784) ** 0.5 * np.finfo(np.float64).eps * most
            assert np.abs(parameter.grad.numpy() - gradients[name]).max() <= tolerance, name
        optimizer.step()
        adam.step(gradients)
        for name, parameter in model.named_parameters():
            change = np.abs(parameter.detach().numpy() - network.weights[name]).max()
            assert change < 1e-3 * 1e-6, name  # lr, and what a gradient near eps = 1e-8 does to it


@pytest.mark.usefixtures("here")
def test_demo_notices_when_the_two_networks_differ(monkeypatch):
    from fastdl.cli import demo as command
    from fastdl.cli.console import CliError
    from fastdl.cli.numpy_lenet import cross_entropy
    from fastdl.cli.training import Settings, Task
    from fastdl.datasets import load_digits

    digits = load_digits()
    task = Task.of("digits", digits, digits)
    settings = Settings(epochs=1, batch_size=64, lr=3e-3, seed=0, shift=2)
    assert command.compare_with_numpy(task, settings)["loss_difference"] < command.LOSS_TOLERANCE

    def off_by_a_little(logits, y):
        loss, gradient = cross_entropy(logits, y)
        return 1.0001 * loss, gradient

    monkeypatch.setattr(command, "cross_entropy", off_by_a_little)
    with pytest.raises(CliError, match="disagree on the loss"):
        command.compare_with_numpy(task, settings)


def test_shifted_moves_every_image_by_its_own_step():
    from fastdl.cli.training import shifted

    rng = np.random.default_rng(0)
    images = rng.random((50, 2, 6, 7), dtype=np.float32)
    fill = np.array([-1, -2], np.float32)[:, None, None]
    moved = shifted(images, 2, fill, rng)
    steps = set()
    for before, after in zip(images, moved):
        canvas = np.pad(before, ((0, 0), (2, 2), (2, 2)))
        for channel in (0, 1):
            outside = np.pad(np.zeros((6, 7), bool), 2, constant_values=True)
            canvas[channel][outside] = fill[channel, 0, 0]
        found = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if np.array_equal(canvas[:, i : i + 6, j : j + 7], after)
        ]
        assert len(found) == 1
        steps.add(found[0])
    assert len(steps) > 15  # of 25


def test_preparation_goes_through_json():
    from fastdl.cli.preparation import Preparation
    from fastdl.datasets import load_digits, load_iris

    for arrays, shape in ((load_digits(), (1, 28, 28)), (load_iris(), (4,))):
        prepare = Preparation.of(arrays)
        again = Preparation.from_dict(json.loads(json.dumps(prepare.to_dict())))
        assert again == prepare
        x = prepare(arrays.data)
        assert x.shape == (len(arrays.data), *shape) == (len(x), *prepare.input_shape)
        assert x.dtype == np.float32
        axes = (0, 2, 3) if x.ndim == 4 else 0
        np.testing.assert_allclose(x.mean(axes), 0, atol=1e-4)  # mean, std are kept to 6 decimals
        np.testing.assert_allclose(x.std(axes), 1, atol=1e-4)
    noise = np.random.default_rng(0).random((20, 30), dtype=np.float32)
    assert prepare.extent is None  # a table
    assert prepare.framed(noise) is noise
    assert Preparation.of(load_digits()).extent == pytest.approx(1, abs=0.01)
    with pytest.raises((TypeError, ValueError)):
        Preparation.from_dict({**prepare.to_dict(), "repeat": -1})


def test_plain_progress_bar(monkeypatch):
    """Where tqdm is missing and stderr is a terminal."""
    import io

    from fastdl.cli import console

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setitem(sys.modules, "tqdm", None)  # import tqdm now fails
    assert list(console.progress(iter("abc"), 3, "epoch 1")) == ["a", "b", "c"]
    shown = sys.stderr.getvalue()
    assert "epoch 1 [" in shown
    assert shown.endswith("\r\033[K")
