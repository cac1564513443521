"""`python -m fastdl demo`: a LeNet learns real digits, then races the same network in NumPy."""

import json
import time
from statistics import median

import numpy as np

import fastdl
from fastdl import nn, runtime
from fastdl._measure import numpy_threads
from fastdl.cli.checkpoint import require_safetensors
from fastdl.cli.console import CliError, Parser, Table, bold, dim, output_file
from fastdl.cli.models import LeNet, build
from fastdl.cli.numpy_lenet import NumpyAdam, NumpyLeNet, cross_entropy
from fastdl.cli.training import (
    Settings,
    Task,
    add_training_options,
    batches,
    introduce,
    median_rate,
    predict,
    run,
)
from fastdl.datasets import Arrays, load_digits, stratified_part

ARCHITECTURE = {"model": "lenet", "channels": 1, "size": [28, 28], "classes": 10}

# The race: rounds of steps on one side, then the same steps on the other. In a round's first step
# the caches are still the other side's; it counts for the loss, not for the time. A round's time is
# the median of its other steps, and the fastest round of each side counts: other programs on the
# machine can only make a round slower.
#
# Every step of NumPy's starts from the weights that fastdl's had there, so that the losses of each
# step can be held against rounding. Left alone, the two would part after some steps, as any two
# float32 programs do: where rounding takes one input of a ReLU across zero, the gradient jumps, and
# Adam divides it by its own size.
ROUNDS, STEPS = 6, 6
RACE_LR = 3e-3

# Both sides compute the loss in float32, with additions in another order. That changes a sum of k
# numbers by about sqrt(k) roundings; the longest sums here have k = 400 terms (fc1), and five
# layers stand behind one another.
LOSS_TOLERANCE = 5 * 400**0.5 * float(np.finfo(np.float32).eps)  # 1.2e-5


def parser() -> Parser:
    parser = Parser(
        "demo",
        "Train a convolutional network (LeNet) on the 1,797 handwritten digits shipped with\n"
        "fastdl, then run the same network, weights and batches in plain NumPy and compare.",
    )
    add = parser.add_argument
    add(
        "--save",
        type=output_file(".safetensors"),
        metavar="FILE",
        help="keep a checkpoint of each epoch (.safetensors), for python -m fastdl predict",
    )
    add_training_options(parser, epochs=20, batch_size=64)
    return parser


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    if args.plot:
        from fastdl.cli.plot import require_matplotlib

        require_matplotlib()  # before the work, not after it
    if args.save:
        require_safetensors("--save")
    if args.threads:
        runtime.set_num_threads(args.threads)
    digits = load_digits()
    test = stratified_part(digits, False)
    task = Task.of("UCI handwritten digits", stratified_part(digits, True), test)
    settings = Settings(args.epochs, args.batch_size, args.lr, args.seed, shift=2)
    fastdl.manual_seed(args.seed)
    model = build(ARCHITECTURE)
    if not args.json:
        introduce(task, model, settings)
    history = run(model, ARCHITECTURE, task, settings, args.save, "--save", quiet=args.json)
    try:
        race = compare_with_numpy(task, settings)
    except KeyboardInterrupt:
        where = f"the checkpoint is {args.save}" if args.save else "nothing is saved"
        raise CliError(f"interrupted after the training; {where}", 130) from None
    last, rate = history[-1], median_rate(history)
    if args.plot:
        from fastdl.cli.plot import plot_training

        plot_training(args.plot, history, model, task)
    if args.json:
        print(json.dumps(report(args, history, race, rate), indent=2))
        return 0
    show_digits(model, task, test)
    show_race(race)
    for what, path in (("picture", args.plot), ("checkpoint", args.save)):
        if path:
            print(f"  {what} saved in {path}")
    if args.save:
        print(f"  try: python -m fastdl predict {args.save} IMAGE...")
    if args.plot or args.save:
        print()
    print(
        f"test accuracy {last.test_accuracy:.4f}, {rate:.0f} images/s, "
        f"{race['ratio']:.1f} times NumPy"
    )
    return 0


def show_digits(model: nn.Module, task: Task, test: Arrays, count: int = 4) -> None:
    """Print test digits as characters, under what the network reads: first those it gets wrong."""
    guesses = predict(model, task.x_test).argmax(1)
    right = guesses == task.y_test
    wrong = int((~right).sum())
    sample = np.argsort(right, kind="stable")[:count]
    print()
    print(f"  {bold('Test digits')}, and what the network reads ({wrong} of {len(right)} wrong):")
    print()
    titles = [
        f"{guess}" if guess == truth else f"{guess} (it is a {truth})"
        for guess, truth in zip(guesses[sample], task.y_test[sample])
    ]
    print("  " + "  ".join(f"{title:<16}" for title in titles).rstrip())
    shades = " .:-=+*#%@"  # no ink to full ink
    inks = (test.data[sample] / test.white * (len(shades) - 1)).round().astype(int)
    for rows in inks.transpose(1, 0, 2):  # row by row of all the digits; a pixel is two characters
        line = "  ".join("".join(2 * shades[ink] for ink in row) for row in rows)
        print(("  " + line).rstrip())


def compare_with_numpy(task: Task, settings: Settings) -> dict:
    """Run the same steps in fastdl and in NumPy: the same weights, batches and optimizer.

    Returns:
        Seconds a step for each side, whole and by phase, the ratio, and the largest relative
        difference of a loss.

    Raises:
        CliError: the losses differ by more than rounding explains.
    """
    fastdl.manual_seed(settings.seed)
    model = LeNet(channels=1, size=(28, 28), classes=10)
    optimizer = fastdl.optim.Adam(model.parameters(), lr=RACE_LR)
    loss_of = nn.CrossEntropyLoss()
    network = NumpyLeNet({name: weight.numpy() for name, weight in model.state_dict().items()})
    numpy_adam = NumpyAdam(network.weights, RACE_LR)

    def fastdl_step(x, y):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = loss_of(model(fastdl.from_numpy(x)), fastdl.from_numpy(y))
        middle = time.perf_counter()
        loss.backward()
        end = time.perf_counter()
        optimizer.step()
        return loss.item(), (middle - start, end - middle, time.perf_counter() - end)

    def numpy_step(x, y):
        start = time.perf_counter()
        logits, saved = network.forward(x)
        loss, gradient = cross_entropy(logits, y)
        middle = time.perf_counter()
        gradients = network.backward(gradient, saved)
        end = time.perf_counter()
        numpy_adam.step(gradients)
        return loss, (middle - start, end - middle, time.perf_counter() - end)

    rng = np.random.default_rng(settings.seed)
    threads = runtime.get_num_threads()
    times = {"fastdl": [], "numpy": []}
    difference = 0.0
    for number in range(ROUNDS):
        steps = [next(batches(task, settings, rng)) for _ in range(STEPS)]
        ours = []
        for x, y in steps:
            weights = {name: weight.numpy().copy() for name, weight in model.state_dict().items()}
            ours.append((weights, *fastdl_step(x, y)))
        theirs = []
        # A BLAS may be slower on all threads than on one: the better of NumPy's two times counts.
        with numpy_threads(threads if number % 2 == 0 else 1) as how:
            for (x, y), (weights, _, _) in zip(steps, ours):
                for name, weight in weights.items():
                    network.weights[name][:] = weight
                theirs.append(numpy_step(x, y))
        for (_, our_loss, _), (their_loss, _) in zip(ours, theirs):
            difference = max(difference, abs(our_loss - their_loss) / max(abs(their_loss), 1e-3))
        times["fastdl"].append([phases for _, _, phases in ours[1:]])
        times["numpy"].append([phases for _, phases in theirs[1:]])
    if not difference <= LOSS_TOLERANCE:
        raise CliError(
            f"fastdl and NumPy disagree on the loss by {difference:.1e} (rounding explains "
            f"{LOSS_TOLERANCE:.1e}): please report this with the output of python -m fastdl info"
        )
    result = {side: fastest_round(rounds) for side, rounds in times.items()}
    return result | {
        "ratio": result["numpy"]["step"] / result["fastdl"]["step"],
        "steps": ROUNDS * STEPS,
        "batch_size": settings.batch_size,
        "blas_threads": f"{threads} or 1, the faster" if how == "pinned to 1" else how,
        "loss_difference": difference,
        "loss_tolerance": LOSS_TOLERANCE,
    }


def fastest_round(rounds: list[list[tuple[float, float, float]]]) -> dict[str, float]:
    """Return the median seconds of a step and of its phases, in the round that was fastest."""
    best = min(rounds, key=lambda steps: median(map(sum, steps)))
    forward, backward, update = (median(column) for column in zip(*best))
    step = median(map(sum, best))
    return {"forward": forward, "backward": backward, "update": update, "step": step}


def show_race(race: dict) -> None:
    print()
    print(bold("The same network in plain NumPy") + ": same weights, same batches, float32")
    print(dim("  im2col by sliding_window_view, matmul by BLAS, Adam; milliseconds a step"))
    print(dim(f"  threads of the BLAS: {race['blas_threads']}"))
    print()
    table = Table(("", -16), ("NumPy", 7), ("fastdl", 7), ("ratio", 6))
    names = {
        "forward": "forward + loss",
        "backward": "backward",
        "update": "Adam",
        "step": "training step",
    }
    for phase, name in names.items():
        theirs, ours = race["numpy"][phase], race["fastdl"][phase]
        table.row(name, f"{theirs * 1e3:.2f}", f"{ours * 1e3:.2f}", f"{theirs / ours:.1f}x")
    print()
    print(
        f"  losses agree to {race['loss_difference']:.0e} over {race['steps']} steps "
        f"(rounding allows {race['loss_tolerance']:.0e})"
    )
    columns = 4 * race["batch_size"] * (25 * 28 * 28 + 6 * 25 * 10 * 10) / 1e6  # float32, im2col
    print(f"  why: NumPy copies every 5x5 window ({columns:.0f} MB of columns a step) before BLAS")
    print("  multiplies, and crosses memory once for each operation; fastdl's kernels read the")
    print("  windows out of the image while they multiply (python -m fastdl bench, csrc/README.md)")
    print()


def report(args, history, race: dict, rate: float) -> dict:
    """Return what `--json` prints."""
    return {
        "test_accuracy": history[-1].test_accuracy,
        "images_per_second": rate,
        "times_numpy": race["ratio"],
        "epochs": [row.to_json() for row in history],
        "race": race,
        "settings": {
            "epochs": args.epochs,
            "batch_size": args.batch_size,
            "lr": args.lr,
            "seed": args.seed,
        },
        "config": runtime.config(),
        "plot": str(args.plot) if args.plot else None,
        "checkpoint": str(args.save) if args.save else None,
    }
