"""What a token costs that `fastdl.text.generate` writes, by how many stand before it.

    python bench/generation.py                       a GPT of 4 x 256, tokens 64 to 1024
    python bench/generation.py --model gru --beams 4
    python bench/generation.py --lengths 64,2048 --layers 12 --width 768 --json

A line gives the milliseconds of CPU time of one more token after so many: with the cache, without
it, and with the cache all tokens up to there together. Without a cache a token costs as much as
reading all before it again, and a text grows with the square of its length; with one, a token's
cost grows only by the attention over the earlier keys. The last line is the power of the length
that the whole text's time grows with, fitted from half of the greatest length on: 1 is linear.
Costs are medians over `--window` tokens, the least of `--rounds`.
"""

import argparse
import json
import math
import time

import numpy as np

import fastdl
from fastdl.text import GPT2, generate
from fastdl.text.models import RecurrentLanguageModel


class Clock:
    """A model that notes the CPU time at each call."""

    def __init__(self, model):
        self.model, self.times = model, []

    def __call__(self, ids, cache=None):
        self.times.append(time.process_time())
        return self.model(ids, cache=cache)


def build(args):
    if args.model == "gpt":
        return GPT2(
            vocab_size=args.vocab,
            n_positions=max(args.lengths) + args.window + 1,
            n_embd=args.width,
            n_layer=args.layers,
            n_head=args.heads,
        )
    return RecurrentLanguageModel(args.vocab, args.width, args.width, args.layers, cell=args.model)


def written(model, start, count, args, use_cache):
    """The CPU time of each of `count` tokens after `start` ones, and of all of them together."""
    clock = Clock(model)
    ids = fastdl.randint(0, args.vocab, (args.batch, start))
    generate(clock, ids, count, num_beams=args.beams, use_cache=use_cache)
    times = np.array([*clock.times, time.process_time()])
    return np.diff(times), times[-1] - times[0]


def measure(args):
    fastdl.manual_seed(0)
    model = build(args).eval()
    longest = max(args.lengths)
    rounds = [
        written(model, 1, longest + args.window, args, use_cache=True)[0]
        for _ in range(args.rounds)
    ]
    rows = []
    for length in args.lengths:
        around = slice(length - args.window // 2, length + args.window // 2)
        without = [
            np.median(written(model, length, 3, args, use_cache=False)[0])
            for _ in range(args.rounds)
        ]
        rows.append(
            {
                "length": length,
                "cached": 1e3 * min(np.median(steps[around]) for steps in rounds),
                "uncached": 1e3 * min(without),
                "whole": 1e3 * min(steps[:length].sum() for steps in rounds),
            }
        )
    whole = np.min([steps.cumsum() for steps in rounds], 0)
    power = math.log2(whole[longest - 1] / whole[longest // 2 - 1])
    return {"rows": rows, "power": power}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", choices=("gpt", "gru", "lstm"), default="gpt")
    add("--lengths", type=lambda text: [int(n) for n in text.split(",")],
        default=[64, 128, 256, 512, 1024])  # fmt: skip
    for name, default in (("layers", 4), ("width", 256), ("heads", 4), ("vocab", 1024),
                          ("batch", 1), ("beams", 1), ("rounds", 3), ("window", 32),
                          ("threads", 1)):  # fmt: skip
        add(f"--{name}", type=int, default=default)
    add("--json", action="store_true")
    args = parser.parse_args()
    fastdl.set_num_threads(args.threads)
    found = measure(args)
    if args.json:
        print(json.dumps(vars(args) | found))
        return
    print(f"{args.model}, {args.layers} x {args.width}, batch {args.batch}, beams {args.beams}")
    print(f"{'length':>8}{'with cache':>14}{'without':>12}{'ratio':>8}{'whole text':>14}   ms")
    for row in found["rows"]:
        ratio = row["uncached"] / row["cached"]
        print(
            f"{row['length']:>8}{row['cached']:>14.3f}{row['uncached']:>12.3f}{ratio:>8.1f}"
            f"{row['whole']:>14.1f}"
        )
    print(f"time of the whole text ~ length^{found['power']:.2f}")


if __name__ == "__main__":
    main()
