"""Calls every public function with arguments that make no sense, and says how each call ended. Run
by test_hostile.py in a process of its own, where a crash is seen:

    python tests/hostile_calls.py torch [--rounds 40] [--only NAME] [--seed 0]

Areas: torch (functions of fastdl), methods (of Tensor), functional (of nn.functional). Standard
output has one line for each call that ended badly; the file `--log` always names the call that is
running, so that a crash or a hang can be traced to it.
"""

import argparse
import contextlib
import faulthandler
import inspect
import io
import resource
import sys
import warnings

import numpy as np

import fastdl

# What a caller may get for wrong arguments; MemoryError: where one array would be too large.
ORDINARY = (
    RuntimeError, TypeError, ValueError, IndexError, OverflowError, MemoryError, BufferError,
)  # fmt: skip
BUGS = (RecursionError, UnicodeError)
SECONDS = 60  # for one call
MEMORY = 6 << 30

# Names that change the whole process, wait, or write files.
LEFT_OUT = {
    "set_num_threads", "set_default_dtype", "set_default_device", "set_printoptions", "save",
    "set_grad_enabled", "set_num_interop_threads", "load", "compile", "manual_seed", "seed",
    "set_rng_state", "use_deterministic_algorithms", "set_anomaly_enabled", "show_config",
    "set_default_tensor_type", "set_warn_always", "set_flush_denormal", "fork", "wait",
}  # fmt: skip


def pool():
    """Arguments: numbers, sequences and tensors at the edges of what can be."""
    read_only = np.arange(4.0, dtype=np.float32)
    read_only.flags.writeable = False
    numbers = (0, 1, -1, 2, 3, 2**31, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63), 2**63, 2**64,
               1.5, -0.0, float("nan"), float("inf"), 1j, True, False)  # fmt: skip
    others = (None, "a", "", "sum", "mean", b"x", object(), {}, (), [], (1,), [0], (-1,), (0, 0),
              (2**40, 2**40), (2**62,), (-1, -1), [1.5], [None], ["a"], (3, 2), (1, 1, 1),
              slice(None), Ellipsis, np.float64(2), np.int64(-3), int, fastdl.float32,
              fastdl.int64, "float32", fastdl.strided, lambda x: x)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensors = (
            fastdl.zeros(0), fastdl.zeros(0, 3), fastdl.zeros(3, 0), fastdl.tensor(2.0),
            fastdl.tensor(3), fastdl.ones(2, 3), fastdl.ones(3), fastdl.ones(3, 3),
            fastdl.ones(2, 3, 4), fastdl.ones(1, 2, 5, 5), fastdl.arange(3), fastdl.ones(2).bool(),
            fastdl.tensor([2**62, -(2**62), 5]), fastdl.tensor([-1, 7]), fastdl.ones(2, 3).t(),
            fastdl.ones(1, 3).expand(2, 3), fastdl.ones(4, 4)[::2, 1::2], fastdl.zeros(2, 0, 3),
            fastdl.from_numpy(read_only), fastdl.ones(3, requires_grad=True),
            fastdl.tensor([float("nan"), float("inf"), -float("inf")]), fastdl.ones(2).half(),
            fastdl.ones((1,) * 20), fastdl.ones((1,) * 64), fastdl.ones(3, dtype=fastdl.uint8),
            fastdl.ones(3).double(),
        )  # fmt: skip
    arrays = (np.ones(3), np.array(["a"]), np.ones((2, 0)), np.arange(3)[::-1])
    return [*numbers, *others, *arrays], list(tensors)


def targets(area):
    """(name, function) of an area; methods take their tensor as the first argument."""
    place = {"torch": fastdl, "methods": fastdl.Tensor, "functional": fastdl.nn.functional}[area]
    for name in sorted(dir(place)):
        found = getattr(place, name)
        hidden = name.startswith("_") and not (area == "methods" and name in SPECIAL)
        if hidden or name in LEFT_OUT or not callable(found) or inspect.ismodule(found):
            continue
        if inspect.isclass(found) and area != "torch":
            continue
        yield name, found


SPECIAL = {
    "__getitem__", "__setitem__", "__add__", "__matmul__", "__floordiv__", "__mod__", "__pow__",
    "__and__", "__lshift__", "__eq__", "__iadd__", "__imul__", "__contains__", "__format__",
    "__array__", "__index__", "__int__", "__float__", "__bool__", "__iter__", "__len__",
    "__deepcopy__", "__rsub__", "__rtruediv__", "__rpow__", "__delitem__",
}  # fmt: skip


def described(value):
    """An argument in a few words."""
    if isinstance(value, fastdl.Tensor):
        dtype = str(value.dtype).rpartition(".")[2]
        return f"{dtype}{list(value.shape)}"
    return repr(value)[:60]


def arguments(function, rng, area):
    """Random positional and named arguments, more often tensors than not at the front."""
    others, tensors = pool()
    any_of = lambda items: items[int(rng.integers(0, len(items)))]
    count = int(rng.integers(0, 5))
    found = []
    for i in range(count):
        tensor_first = rng.random() < (0.9 if i == 0 else 0.35)
        found.append(any_of(tensors) if tensor_first else any_of(others))
    if area == "methods" and not (found and isinstance(found[0], fastdl.Tensor)):
        found = [any_of(tensors), *found[1:]]
    keywords = {}
    try:
        names = list(inspect.signature(function).parameters)[count:]
    except (TypeError, ValueError):
        names = []
    for name in names:
        if rng.random() < 0.15 and name not in ("args", "kwargs", "keywords", "named", "options"):
            keywords[name] = any_of(tensors) if rng.random() < 0.3 else any_of(others)
    return found, keywords


def main():
    """Make the calls of an area."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("area", choices=("torch", "methods", "functional"))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only")
    parser.add_argument("--log")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    log = open(options.log, "w+") if options.log else io.StringIO()  # noqa: SIM115
    calls = 0
    for name, function in targets(options.area):
        if options.only and name != options.only:
            continue
        rng = np.random.default_rng([options.seed, *name.encode()])
        for _ in range(options.rounds):
            given, named = arguments(function, rng, options.area)
            words = ", ".join(
                [described(a) for a in given] + [f"{k}={described(v)}" for k, v in named.items()]
            )
            log.seek(0)
            log.truncate()
            log.write(f"{name}({words})")
            log.flush()
            calls += 1
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            try:
                with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
                    result = function(*given, **named)
                    if inspect.isgenerator(result):
                        result.close()
                    elif isinstance(result, fastdl.Tensor):
                        repr(result)
            except BUGS as error:
                print(f"{name}({words}) -> {type(error).__name__}: {str(error)[:120]}", flush=True)
            except ORDINARY:
                pass
            except BaseException as error:
                print(f"{name}({words}) -> {type(error).__name__}: {str(error)[:120]}", flush=True)
            faulthandler.cancel_dump_traceback_later()
    print(f"{calls} calls", file=sys.stderr)


if __name__ == "__main__":
    main()
