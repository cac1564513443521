"""Two threads against one, for every family of kernels, from sizes that one thread does alone to
large ones: are two ever slower?

    python bench/threads.py                  all families, 2 threads
    python bench/threads.py softmax conv     parts of names
    python bench/threads.py --threads 4 --seconds 0.5

A kernel is handed the number of threads as an upper bound and decides by its own estimate of the
work whether a parallel region pays (`fdl_plan` in csrc/runtime.c). A line shows for each size the
time of one thread over the time of several, in brackets where the kernel stayed with one; a size
at which several threads were used and cost more than 1 / 0.95 of one thread's time is marked with
`!`: the estimate is too high there. The estimate is too low where a large size stays in brackets.
The machine must be idle: a thread that waits for a CPU holds up all.
"""

import argparse
import os
from functools import partial

import numpy as np

from fastdl import _kernels
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


def pool(function, planes):
    """2x2 pooling of 28 x 28 planes."""
    geom = (planes, 28, 28, 14, 14, 2, 2, 2, 2, 0, 0, 1, 1, 0, 0, 1, 0)
    x, y = normal(planes, 28, 28), normal(planes, 14, 14)
    taps = np.zeros((planes, 14, 14), np.uint8)
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


FINE = [2**k for k in range(10, 23, 2)]  # values
ROWS = [2**k for k in range(1, 14, 2)]  # rows of 512
BATCH = [1, 2, 4, 8, 16, 32]
SIDES = [16, 32, 48, 64, 96, 128, 256, 512]

# name -> (function of a size that returns the kernel, waiting for `threads`; sizes)
CASES = {
    "gemm, square": (lambda n: partial(_kernels.gemm, normal(n, n), normal(n, n)), SIDES),
    "gemm, 8 rows": (lambda n: partial(_kernels.gemm, normal(8, n), normal(n, n)), SIDES),
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
        function: (partial(pool, function), [2**k for k in range(0, 13, 2)])
        for function in ("max_pool2d", "max_pool2d_scatter", "avg_pool2d", "avg_pool2d_backward")
    },
    "relu": (lambda n: partial(_kernels.MAPS["relu"], normal(n)), FINE),
    "exp": (lambda n: partial(_kernels.MAPS["exp"], normal(n)), FINE),
    "add": (lambda n: partial(_kernels.MAPS["add"], normal(n), normal(n)), FINE),
    "softmax": (lambda n: partial(_kernels.softmax, normal(n, 512)), ROWS),
    "softmax_backward": (
        lambda n: partial(_kernels.softmax_backward, normal(n, 512), normal(n, 512)),
        ROWS,
    ),
    "cross_entropy": (
        lambda n: partial(_kernels.cross_entropy, normal(n, 512), np.zeros(n, np.int64)),
        ROWS,
    ),
    "channel_sum": (lambda n: partial(_kernels.channel_sum, normal(n, 64, 64)), ROWS),
    "attention": (attention, [16, 32, 64, 128, 256, 512]),
    "sgd_step": (lambda n: optimizer("sgd_step", 1, n, momentum=0.9), FINE),
    "adam_step": (lambda n: optimizer("adam_step", 2, n, steps=[3]), FINE),
    "rmsprop_step": (lambda n: optimizer("rmsprop_step", 1, n), FINE),
    "adadelta_step": (lambda n: optimizer("adadelta_step", 2, n), FINE),
    "sum_squares": (lambda n: partial(_kernels.sum_squares, [normal(n)]), FINE),
}


def compare(kernel, threads, seconds):
    """(one thread's time over that of several, threads the kernel used)."""
    many = partial(kernel, threads=threads)
    _kernels.planned_threads()
    many()
    used = _kernels.planned_threads()
    times = race({"one": partial(kernel, threads=1), "many": many}, seconds=seconds)
    return times["one"].best / times["many"].best, used


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("names", nargs="*", help="parts of names; default: all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.1, help="for each size and side")
    args = parser.parse_args()
    print(f"{_kernels.get_isa()}: one thread's time over that of {args.threads}, size by size")
    if os.getloadavg()[0] > 0.5:
        print(f"the machine is busy (load {os.getloadavg()[0]:.1f}): what follows says little")
    slower = []
    for name, (make, sizes) in CASES.items():
        if args.names and not any(part in name for part in args.names):
            continue
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
