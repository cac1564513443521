"""`python -m fastdl generate`: what a language model trained with `train` writes."""

import json
import time
from pathlib import Path

import fastdl
from fastdl import runtime
from fastdl.cli.console import Parser, UsageError, add_common_options, complain, dim, number
from fastdl.cli.language import load_language_model
from fastdl.text import GPT2


def parser() -> Parser:
    parser = Parser(
        "generate",
        "Continue a text, by a language model trained with `train` on text.\n"
        "The file of the model holds all that is needed: kind, sizes, tokens.",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="file written by train")
    add("--prompt", default="", metavar="TEXT", help="the beginning; default: of a new document")
    add(
        "--length",
        type=number(int, 1, 1 << 20),
        default=500,
        metavar="N",
        help="tokens to write at most; default 500",
    )
    add(
        "--temperature",
        type=number(float, 0),
        metavar="T",
        help="below 1 the likely becomes likelier; 0: always the likeliest; default 0.8",
    )
    add("--top-k", type=number(int, 1), metavar="K", help="draw from the K likeliest tokens only")
    add(
        "--top-p",
        type=number(float, 0, 1, open_below=True),
        metavar="P",
        help="draw from the likeliest tokens that together have probability P only",
    )
    add(
        "--beams",
        type=number(int, 1, 1000),
        default=1,
        metavar="N",
        help="above 1: search the likeliest text, with N beginnings at a time",
    )
    add("--count", type=number(int, 1, 1000), default=1, metavar="N", help="how many texts to draw")
    add(
        "--seed",
        type=number(int, 0, 2**32 - 1),
        metavar="N",
        help="start of the random numbers; default: another one each time",
    )
    add(
        "--no-end",
        action="store_true",
        help="go on with another document where one ends, up to --length",
    )
    add_common_options(parser)
    return parser


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    drawn = {
        "--temperature": args.temperature,
        "--top-k": args.top_k,
        "--top-p": args.top_p,
        "--seed": args.seed,
        "--count": args.count if args.count > 1 else None,
    }
    sampled = args.beams == 1 and args.temperature != 0
    for option, value in drawn.items():
        if value is not None and not sampled and not (option == "--temperature" and value == 0):
            because = "--beams draws" if args.beams > 1 else "--temperature 0 draws"
            raise UsageError(f"{option} is for drawing, and {because} nothing")
    if args.threads:
        runtime.set_num_threads(args.threads)
    model, tokens = load_language_model(args.model)
    unknown = tokens.unknown(args.prompt)
    if unknown:
        complain("generate", f"the model never met {unknown!r}, which are in the prompt")
    if args.seed is None:
        fastdl.seed()
    else:
        fastdl.manual_seed(args.seed)
    start = fastdl.tensor([[tokens.end, *tokens.encode(args.prompt)]])
    began = time.perf_counter()
    ids = fastdl.text.generate(
        model,
        start.repeat(args.count, 1),
        args.length,
        do_sample=sampled,
        temperature=(args.temperature or 0.8) if sampled else 1.0,
        top_k=args.top_k,
        top_p=args.top_p,
        num_beams=args.beams,
        eos_token_id=None if args.no_end else tokens.end,
        context_length=model.config.n_positions if isinstance(model, GPT2) else None,
    )
    seconds = time.perf_counter() - began
    texts = [written(row, start.shape[1], tokens, args) for row in ids.tolist()]
    if args.json:
        result = {
            "model": str(args.model),
            "prompt": args.prompt,
            "texts": texts,
            "tokens_per_second": (ids.shape[1] - start.shape[1]) * args.count / seconds,
        }
        print(json.dumps(result, indent=2))
        return 0
    for index, text in enumerate(texts, 1):
        if args.count > 1:
            print(dim(f"---- {index}"))
        print(args.prompt + text)
    return 0


def written(ids: list[int], start: int, tokens, args) -> str:
    """The text after the prompt, up to the document's end, or with a blank line in its place."""
    documents = [[]]
    for token in ids[start:]:
        if token != tokens.end:
            documents[-1].append(token)
        elif args.no_end:
            documents.append([])
        else:
            break
    return "\n\n".join(tokens.decode(part) for part in documents)
