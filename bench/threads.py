"""Two threads against one, for every family of kernels, from sizes that one thread does alone to
large ones: are two ever slower?

    python bench/threads.py                  all families, 2 threads
    python bench/threads.py softmax conv     parts of names
    python bench/threads.py --threads 4 --seconds 0.5
    python bench/threads.py --switch         where the estimates switch; the machine may be busy

A kernel is handed the number of threads as an upper bound and decides by its own estimate of the
work whether a parallel region pays (`fdl_plan` in csrc/runtime.c). A line shows for each size the
time of one thread over the time of several, in brackets where the kernel stayed with one; a size
at which several threads were used and cost more than 1 / 0.95 of one thread's time is marked with
`!`: the estimate is too high there. The estimate is too low where a large size stays in brackets.
The machine must be idle: a thread that waits for a CPU holds up all.

`--switch` compares the estimates with each other: it looks for the size at which a kernel takes the
second thread and times one thread there, by CPU time. All estimates being right, that is 16 us for
all, twice the work that fdl_plan wants for a thread (less the door's own microsecond).
"""

import argparse
import os
import time
from functools import partial

import numpy as np

from fastdl import _kernels
from fastdl._measure import whole_cores
from fastdl._stopwatch import race

SLOWER = 0.95


def normal(*shape):
    return np.random.default_rng(len(shape)).standard_normal(shape, np.float32)


def conv(function, batch, c, hw, k, kernel, stride=1, groups=1):
    """A convolution with padding for the same size: forward, or one of its gradients."""
    pad = kernel // 2
    out = (hw + 2 * pad - kernel) // stride + 1
    geom = (batch, c, hw, hw, k, kernel, kernel, out, out, stride, stride, pad, pad, 1, 1, groups)
    x, w = normal(batch, c, hw, hw), normal(k, c // groups, kernel, kernel)
    y = normal(batch, k, out, out)
    operands = {
        "conv2d": (x, w, None, geom),
        "conv2d_grad_input": (y, w, geom),
        "conv2d_grad_weight": (x, y, geom),
    }[function]
    return partial(getattr(_kernels, function), *operands)


def pool(function, side, planes):
    """2x2 pooling of planes of side x side."""
    half = side // 2
    geom = (planes, side, side, half, half, 2, 2, 2, 2, 0, 0, 1, 1, 0, 0, 1, 0)
    x, y = normal(planes, side, side), normal(planes, half, half)
    taps = np.zeros((planes, half, half), np.uint8)
    operands = {
        "max_pool2d": (x, geom),
        "max_pool2d_scatter": (y, taps, geom),
        "avg_pool2d": (x, geom),
        "avg_pool2d_backward": (y, geom),
    }[function]
    return partial(getattr(_kernels, function), *operands)


def optimizer(function, states, n, **options):
    """A step over one parameter of n values."""
    lists = [[np.abs(normal(n))] for _ in range(2 + states)]
    return partial(getattr(_kernels, function), *lists, lr=1e-9, **options)


def attention(length):
    q, k, v = (normal(1, 4, length, 64) for _ in range(3))
    return partial(_kernels.attention, q, k, v, scale=0.125, causal=True)


def mapped(function, inputs, n):
    return partial(_kernels.MAPS[function], *[np.abs(normal(n)) for _ in range(inputs)])


def row_norm_backward(n):
    x, dy, w = normal(n, 512), normal(n, 512), normal(512)
    stats = _kernels.row_norm(x, (n, 1, 512, 1), w, w)[1]
    return partial(_kernels.row_norm_backward, x, dy, (n, 1, 512, 1), stats, w)


def rows_of_table(n):
    return np.random.default_rng(n).integers(0, 1000, n)


FINE = [2**k for k in range(10, 23, 2)]  # values
ROWS = [2**k for k in range(1, 14, 2)]  # rows of 512
BATCH = [1, 2, 4, 8, 16, 32]
SIDES = [16, 32, 48, 64, 96, 128, 256, 512]

# name -> (function of a size that returns the kernel, waiting for `threads`; sizes)
CASES = {
    "gemm, square": (lambda n: partial(_kernels.gemm, normal(n, n), normal(n, n)), SIDES),
    "gemm, 8 rows": (lambda n: partial(_kernels.gemm, normal(8, n), normal(n, n)), SIDES),
    "gemm, 1 row": (lambda n: partial(_kernels.gemm, normal(1, n), normal(n, n)), SIDES),
    "gemm, batch of 16 x 16": (
        lambda n: partial(_kernels.gemm, normal(n, 16, 16), normal(n, 16, 16)),
        [*BATCH, 128, 512, 2048],
    ),
    **{
        f"{function}, {name}": (partial(lambda f, a, n: conv(f, n, *a), function, shape), BATCH)
        for name, shape in {
            "3x3, 32 channels of 14 x 14": (32, 14, 32, 3),
            "1x1, 64 channels of 14 x 14": (64, 14, 64, 1),
            "5x5, 1 to 6 channels of 28 x 28": (1, 28, 6, 5),
            "3x3 depthwise, 32 channels of 28 x 28": (32, 28, 32, 3, 1, 32),
        }.items()
        for function in ("conv2d", "conv2d_grad_input", "conv2d_grad_weight")
    },
    **{
        f"{function}, {side} x {side}": (
            partial(pool, function, side),
            [2**k for k in range(0, 13, 2)],
        )
        for function in ("max_pool2d", "max_pool2d_scatter", "avg_pool2d", "avg_pool2d_backward")
        for side in (10, 28)
    },
    **{
        name: (partial(mapped, name, inputs), FINE)
        for name, inputs in {"relu": 1, "exp": 1, "tanh": 1, "sin": 1, "add": 2}.items()
    },
    **{
        f"reduce {name}": (
            lambda n, dim=dim: partial(_kernels.reduce, normal(n, 512), "sum", (dim,)),
            ROWS,
        )
        for name, dim in {"along rows": 1, "across rows": 0}.items()
    },
    "extreme": (lambda n: partial(_kernels.extreme, normal(n, 512), "max", 1), ROWS),
    "variance": (lambda n: partial(_kernels.variance, normal(n, 512), (1,)), ROWS),
    "scan": (lambda n: partial(_kernels.scan, normal(n, 512), 1), ROWS),
    "copy, turned": (lambda n: partial(_kernels.copy, normal(n, 512).T), ROWS),
    "concatenate": (lambda n: partial(_kernels.concatenate, [normal(n, 256)] * 2, 1), ROWS),
    "pad": (lambda n: partial(_kernels.pad, normal(n, 510), [(0, 0), (1, 1)]), ROWS),
    "gather_rows": (
        lambda n: partial(_kernels.gather_rows, normal(1000, 512), rows_of_table(n)),
        ROWS,
    ),
    "scatter_rows": (
        lambda n: partial(_kernels.scatter_rows, normal(n, 64), rows_of_table(n) % 10, 10),
        ROWS,
    ),
    "dropout": (lambda n: partial(_kernels.dropout, normal(n), 1, 1, 0.5), FINE),
    "random_normal": (
        lambda n: partial(_kernels.random_normal, np.empty(n, np.float32), 1, 1),
        FINE,
    ),
    "softmax": (lambda n: partial(_kernels.softmax, normal(n, 512)), ROWS),
    "softmax_backward": (
        lambda n: partial(_kernels.softmax_backward, normal(n, 512), normal(n, 512)),
        ROWS,
    ),
    "cross_entropy": (
        lambda n: partial(_kernels.cross_entropy, normal(n, 512), np.zeros(n, np.int64)),
        ROWS,
    ),
    "row_norm": (
        lambda n: partial(
            _kernels.row_norm, normal(n, 512), (n, 1, 512, 1), normal(512), normal(512)
        ),
        ROWS,
    ),
    "row_norm_backward": (row_norm_backward, ROWS),
    "batch_norm": (lambda n: partial(_kernels.batch_norm, normal(n, 32, 8, 8)), ROWS),
    "channel_sum": (lambda n: partial(_kernels.channel_sum, normal(n, 64, 64)), ROWS),
    "attention": (attention, [16, 32, 64, 128, 256, 512]),
    "sgd_step": (lambda n: optimizer("sgd_step", 1, n, momentum=0.9), FINE),
    "adam_step": (lambda n: optimizer("adam_step", 2, n, steps=[3]), FINE),
    "rmsprop_step": (lambda n: optimizer("rmsprop_step", 1, n), FINE),
    "adadelta_step": (lambda n: optimizer("adadelta_step", 2, n), FINE),
    "sum_squares": (lambda n: partial(_kernels.sum_squares, [normal(n)]), FINE),
}


def used_threads(kernel, threads):
    """How many threads the kernel takes when it may have `threads`."""
    _kernels.planned_threads()
    kernel(threads=threads)
    return _kernels.planned_threads()


def compare(kernel, threads, seconds):
    """(one thread's time over that of several, threads the kernel used)."""
    used = used_threads(kernel, threads)
    many = partial(kernel, threads=threads)
    sides = {"one": partial(kernel, threads=1), "many": many}
    times = race(sides, seconds=seconds, ready=partial(whole_cores, threads))
    return times["one"].best / times["many"].best, used


def switch(make, sizes):
    """(size from which two threads are used, one thread's CPU time there in seconds), or None."""
    low, high = 0, sizes[-1]  # `low` has one thread
    if used_threads(make(high), 2) < 2:
        return None
    while high - low > max(1, high // 32):
        middle = (low + high) // 2
        low, high = (middle, high) if used_threads(make(middle), 2) < 2 else (low, middle)
    kernel, best = make(high), float("inf")
    for _ in range(200):
        start = time.thread_time_ns()
        kernel(threads=1)
        best = min(best, time.thread_time_ns() - start)
    return high, best * 1e-9


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("names", nargs="*", help="parts of names; default: all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.1, help="for each size and side")
    parser.add_argument("--switch", action="store_true", help="where the second thread is taken")
    args = parser.parse_args()
    chosen = {
        name: case
        for name, case in CASES.items()
        if not args.names or any(part in name for part in args.names)
    }
    if args.switch:
        print("the size that takes a second thread, and one thread's time there")
        for name, (make, sizes) in chosen.items():
            found = switch(make, sizes)
            print(f"{name:56} " + (f"{found[0]:9} {found[1] * 1e6:8.1f} us" if found else "never"))
        return 0
    print(f"{_kernels.get_isa()}: one thread's time over that of {args.threads}, size by size")
    if os.getloadavg()[0] > 0.5:
        print(f"the machine is busy (load {os.getloadavg()[0]:.1f}): what follows says little")
    slower = []
    for name, (make, sizes) in chosen.items():
        cells = []
        for size in sizes:
            ratio, used = compare(make(size), args.threads, args.seconds)
            bad = used > 1 and ratio < SLOWER
            cells.append(f"{size}: " + (f"{ratio:.2f}{'!' * bad}" if used > 1 else "(1)"))
            if bad:
                slower.append(f"{name}, {size}: {1 / ratio:.2f} times one thread's time")
        print(f"{name:56} " + "  ".join(cells), flush=True)
    print("\n".join(slower) if slower else "several threads are nowhere slower")
    return 1 if slower else 0


if __name__ == "__main__":
    raise SystemExit(main())
