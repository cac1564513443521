"""python -m fastdl train and generate on text: language models from the command line."""

import json
import math
import os
import re

import numpy as np
import pytest
from test_cli import here, one_line  # noqa: F401  (here is a fixture)

import fastdl
from fastdl import text
from fastdl.cli import language, train_text
from fastdl.cli.models import build

pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def prose(tmp_path_factory):
    """What three packages of the standard library say of themselves: 150,000 characters."""
    library = os.path.dirname(os.__file__)
    documents = [
        document
        for package in ("asyncio", "concurrent", "email", "unittest")
        for document in text.standard_library_docstrings(os.path.join(library, package))
    ]
    path = tmp_path_factory.mktemp("prose") / "prose.txt"
    path.write_text("\n\n".join(documents)[:150_000], encoding="utf-8")
    return path


def train(here, data, out, *options):  # noqa: F811
    return json.loads(here("train", "--data", data, "--out", out, "--json", *options).out)


def test_a_gru_of_characters_is_ahead_of_trigrams(here, prose, tmp_path):  # noqa: F811
    """The small version of `train --data docstrings`; then the file alone is enough to write."""
    out = tmp_path / "gru.safetensors"
    options = ("--width", 128, "--batch-size", 16, "--context", 32, "--epochs", 2, "--lr", 0.005)
    result = train(here, prose, out, *options, "--ngrams", 3)
    assert result["perplexity"] < 0.85 * result["ngrams"]["3"]
    # both counts are of the same tokens; the n-grams' figure by its definition
    whole = prose.read_text(encoding="utf-8")
    cut = train_text._cut(whole)
    assert result["tokens"]["test"] == len(whole) - cut + 1
    tokens = language.load_language_model(out).tokens
    model = text.NGramModel(3).fit([tokens.encode(whole[:cut])])
    assert model.perplexity([tokens.encode(whole[cut:])]) == result["ngrams"]["3"]
    written = here("generate", out, "--prompt", "Return the ", "--seed", 1, "--length", 80).out
    assert written.startswith("Return the ")
    assert 11 < len(written) <= 11 + 80 + 1
    assert here("generate", out, "--prompt", "Return the ", "--seed", 1, "--length", 80).out == (
        written
    )
    words = re.findall(r"[a-z]{3,}", written)
    assert sum(word in whole for word in words) > len(words) / 2


@pytest.fixture(scope="module")
def models(prose, tmp_path_factory):
    """A file of each kind, hardly trained."""
    from fastdl.__main__ import main

    folder = tmp_path_factory.mktemp("models")
    small = folder / "small.txt"
    small.write_text(prose.read_text(encoding="utf-8")[:8000], encoding="utf-8")
    files = {}
    for name, options in {
        "gru": ["--width", "16", "--layers", "2", "--dropout", "0.1"],
        "lstm": ["--width", "16", "--tokens", "bpe", "--vocab-size", "300"],
        "gpt": ["--width", "12", "--layers", "2", "--context", "16", "--heads", "2"],
    }.items():
        files[name] = folder / f"{name}.safetensors"
        command = ["train", "--data", str(small), "--out", str(files[name]), "--model", name]
        assert main([*command, *options, "--epochs", "1", "--json"]) == 0
    return files


@pytest.mark.parametrize("kind", ["gru", "lstm", "gpt"])
def test_every_kind_writes(here, models, kind):  # noqa: F811
    how = ("--prompt", "Return", "--length", 60, "--json")
    report = lambda *options: json.loads(here("generate", models[kind], *how, *options).out)
    first = report("--seed", 3)["texts"]
    assert report("--seed", 3)["texts"] == first
    assert report("--seed", 4)["texts"] != first
    three = report("--seed", 3, "--count", 3, "--top-k", 9, "--top-p", 0.9)["texts"]
    assert len(set(three)) == 3
    greedy = report("--temperature", 0, "--no-end")["texts"]
    assert report("--temperature", 0, "--no-end")["texts"] == greedy
    assert report("--top-k", 1, "--no-end")["texts"] == greedy
    assert len(report("--beams", 4)["texts"]) == 1
    plain = here("generate", models[kind], "--prompt", "Return", "--length", 60, "--seed", 3).out
    assert plain == f"Return{first[0]}\n"
    assert here("generate", models[kind], "--length", 5).out != ""


def test_a_file_holds_all_that_is_needed(models):
    """Sizes and tokens come back; the weights have the names of the library's classes."""
    for kind, cls in (
        ("gru", text.models.RecurrentLanguageModel), ("lstm", text.models.RecurrentLanguageModel),
        ("gpt", text.GPT2),
    ):  # fmt: skip
        model, tokens = language.load_language_model(models[kind])
        assert isinstance(model, cls)
        assert not model.training
        line = "Return the value, or None.\n"
        assert tokens.decode(tokens.encode(line)) == line
        assert tokens.decode([tokens.end]) == ""
    assert tokens.decode(tokens.encode("a\u2603b")) == "a\ufffdb"
    assert tokens.unknown("b\u2603a\u2603") == "\u2603"


def test_the_end_of_a_document_ends_a_text(here, tmp_path):  # noqa: F811
    """A model that writes "a", "b", the end, and again."""
    tokens = language.Characters("ab")
    architecture = {
        "model": "gru", "vocab_size": 4, "embedding_size": 4, "hidden_size": 4,
    }  # fmt: skip
    model = build(architecture)
    with fastdl.no_grad():
        for p in model.parameters():
            p.zero_()
        model.embedding.weight.copy_(fastdl.eye(4))
        # the state is the token read: n = tanh(9 x), z = 0
        model.rnn.weight_ih_l0[8:].copy_(9 * fastdl.eye(4))
        model.rnn.bias_ih_l0[4:8].fill_(-99.0)
        for token, following in ((0, 2), (2, 3), (3, 0)):
            model.head.weight[following, token] = 99.0
    out = tmp_path / "cycle.safetensors"
    language.save_language_model(out, model, architecture, tokens, {})
    assert here("generate", out, "--length", 9).out == "ab\n"
    assert here("generate", out, "--prompt", "a", "--beams", 2).out == "ab\n"
    assert here("generate", out, "--length", 7, "--no-end").out == "ab\n\nab\n\na\n"
    out_, err = here("generate", out, "--prompt", "a!", "--length", 1)
    assert "'!'" in one_line(err)
    assert out_.startswith("a!")


@pytest.mark.parametrize("kind", ["gru", "gpt"])
def test_perplexity_is_that_of_documents_one_by_one(kind):
    fastdl.manual_seed(0)
    rng = np.random.default_rng(0)
    documents = [rng.integers(2, 9, n).tolist() for n in (3, 700, 0, 9, 300, 16, 17)]
    if kind == "gru":
        sizes = {"embedding_size": 5, "hidden_size": 6, "num_layers": 2}
    else:
        sizes = {"n_positions": 1024, "n_embd": 8, "n_layer": 1, "n_head": 2}
    model = build({"model": kind, "vocab_size": 9, **sizes}).double()
    found = train_text.perplexity(model, documents)
    logs, count = 0.0, 0
    for ids in documents:
        ids = fastdl.tensor([0, *ids, 0])
        with fastdl.no_grad():
            loss = fastdl.nn.functional.cross_entropy(model(ids[None, :-1])[0], ids[1:])
        logs += loss.item() * (len(ids) - 1)
        count += len(ids) - 1
    assert found == pytest.approx(math.exp(logs / count), rel=1e-9)


def test_windows_count_each_token_once():
    model = build({"model": "gpt", "vocab_size": 9, "n_positions": 6, "n_embd": 4, "n_layer": 1,
                   "n_head": 1})  # fmt: skip
    documents = [[*range(2, 2 + n)] for n in (30, 6, 5, 4, 0, 13)]
    seen = []
    for x, y, _ in train_text._windows(model, documents):
        assert x.shape[1] <= 6
        for inputs, targets in zip(x, y):
            counted = targets != train_text.NOT_COUNTED
            seen += targets[counted].tolist()
            full = len(inputs) == 6 and inputs[0] != 0
            assert not full or counted.argmax() >= 3  # half a window of context at least
    assert sorted(seen) == sorted(i for ids in documents for i in [*ids, 0])


def test_batches_go_on_row_by_row():
    settings = train_text.Settings(1, 4, 0.1, 0, 5)
    documents = [[*range(2, 60)], [*range(60, 90)], [7]]
    pieces = list(train_text.batches(documents, settings, np.random.default_rng(0)))
    x, y = (np.concatenate(part, 1) for part in zip(*pieces))
    length = sum(len(ids) + 1 for ids in documents)
    assert x.shape == (4, length // 4)
    assert (x[:, 1:] == y[:, :-1]).all()
    assert (x[1:, 0] == y[:-1, -1]).all()
    assert len(pieces) == math.ceil(length // 4 / 5)


def test_a_folder_of_texts(here, prose, tmp_path):  # noqa: F811
    folder = tmp_path / "texts"
    (folder / "inner").mkdir(parents=True)
    whole = prose.read_text(encoding="utf-8")
    (folder / "a.txt").write_text(whole[:3000], encoding="utf-8")
    (folder / "inner" / "b.md").write_text(whole[3000:6000], encoding="utf-8")
    (folder / "c.bin").write_bytes(b"\xff\xfe\x00")
    out = tmp_path / "x.safetensors"
    args = ("train", "--data", folder, "--out", out, "--model", "gru", "--width", 8)
    printed, err = here(*args, "--epochs", 1, "--ngrams", "0")
    assert one_line(err).endswith("left out as not UTF-8 text: " + str(folder / "c.bin"))
    last = printed.splitlines()[-1]
    assert re.fullmatch(r"test perplexity [\d.]+, \d+ characters/s", last)
    assert "python -m fastdl generate" in printed


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--data", "{text}", "--shift", "1"], "--shift is not for text"),
        (["--data", "{text}", "--model", "gru", "--heads", "2"], "--heads is for --model gpt"),
        (["--data", "{text}", "--model", "gpt", "--heads", "5"], "--heads 5 does not divide"),
        (["--data", "{text}", "--vocab-size", "300"], "--vocab-size is for --tokens bpe"),
        (["--data", "{text}", "--model", "lenet"], "is for images and tables"),
        (["--data", "{text}", "--ngrams", "3,x"], "not 'x'"),
        (["--data", "digits", "--layers", "2"], "--layers is for text"),
        (["--data", "{bytes}"], "neither UTF-8 text"),
        (["--data", "nothing", "--model", "gru"], "neither 'docstrings' nor a text file"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_train_refuses(here, prose, tmp_path, args, message):  # noqa: F811
    binary = tmp_path / "bytes.bin"
    binary.write_bytes(b"\xff\x00")
    args = [arg.format(text=prose, bytes=binary) for arg in args]
    out = tmp_path / "x.safetensors"
    printed, err = here("train", "--out", out, *args, status=2)
    assert message in one_line(err)
    assert printed == ""
    assert not out.exists()


def test_too_little_text(here, tmp_path):  # noqa: F811
    (tmp_path / "a.txt").write_text("hardly anything")
    args = ("train", "--data", tmp_path / "a.txt", "--out", tmp_path / "x.safetensors")
    assert "too little text" in one_line(here(*args, status=1)[1])


def test_generate_refuses(here, models, tmp_path):  # noqa: F811
    gru = models["gru"]
    for options, message in (
        (["--beams", 3, "--top-k", 5], "--top-k is for drawing"),
        (["--beams", 3, "--count", 5], "--count is for drawing"),
        (["--temperature", 0, "--seed", 5], "--seed is for drawing"),
        (["--top-p", 1.5], "--top-p: expected a number above 0 to 1"),
    ):
        assert message in one_line(here("generate", gru, *options, status=2)[1])
    assert "no such file" in one_line(here("generate", tmp_path / "no.safetensors", status=2)[1])
    assert "language model: that is for python -m fastdl generate" in one_line(
        here("predict", gru, "a.png", status=1)[1]
    )
    state = fastdl.load(gru)
    damaged = tmp_path / "damaged.safetensors"
    for change in ({"architecture": {"model": "gru"}}, {"tokens": {"kind": "runes"}}):
        entry = state["fastdl.network"] | change
        fastdl.save(state | {"fastdl.network": entry}, damaged)
        assert "does not fit its tensors" in one_line(here("generate", damaged, status=1)[1])
    fastdl.save({"w": fastdl.ones(2)}, damaged)
    assert "does not say of what network" in one_line(here("generate", damaged, status=1)[1])


def test_documentation_strings_and_their_parts(tmp_path):
    (tmp_path / "b.py").write_text('"""Of b."""\nclass C:\n    """Of C."""\n    def f(self):\n'
                                   '        """Of C."""\n')  # fmt: skip
    (tmp_path / "a.py").write_text('def g():\n    """Of g.\n\n      More.\n    """\n')
    (tmp_path / "bad.py").write_text("print 'two'\n")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "t.py").write_text('"""Of a test."""')
    found = text.standard_library_docstrings(tmp_path)
    assert found == ["Of g.\n\nMore.", "Of b.", "Of C."]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="documented"):
        text.standard_library_docstrings(tmp_path / "empty")
    documents = [f"document {i}" for i in range(4000)]
    train, test = text.split_documents(documents, 0.1)
    assert abs(len(test) / 4000 - 0.1) < 6 * (0.09 / 4000) ** 0.5
    assert set(train) | set(test) == set(documents)
    assert text.split_documents(documents[::-1], 0.1) == (train[::-1], test[::-1])
    with pytest.raises(ValueError, match="share"):
        text.split_documents(documents, 1.0)
