"""fastdl.text: vocabularies, tokenisers, batches, positions, generation, GPT-2, n-grams, scores."""

import doctest
import itertools
import json
import math
import pickle
import sys
import unicodedata
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdl
from fastdl import text

PARTS = [
    "batches", "bpe", "corpora", "generation", "glove", "gpt2", "ngrams", "positional", "scores",
    "tokenizers", "vectors", "vocabulary", "word2vec",
]  # fmt: skip
EPS = np.finfo(np.float64).eps


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("part", PARTS)
def test_examples_hold(part):
    found = doctest.testmod(import_module(f"fastdl.text.{part}"))
    assert found.failed == 0
    assert found.attempted or part in {"generation", "gpt2"}


# ---- vocabularies and tokenisers ---------------------------------------------------------------

SENTENCES = [["b", "a", "b"], ["c", "a", "b"], ["d"]]


def test_vocabulary_is_ordered_by_frequency():
    v = text.build_vocab_from_iterator(SENTENCES, specials=["<unk>", "<pad>"])
    assert v.get_itos() == ["<unk>", "<pad>", "b", "a", "c", "d"]
    assert v.get_stoi() == {token: i for i, token in enumerate(v)}
    v = text.build_vocab_from_iterator(SENTENCES, 2, ["<unk>"], special_first=False)
    assert v.get_itos() == ["b", "a", "<unk>"]
    v = text.build_vocab_from_iterator(iter(SENTENCES), specials=["a"], max_tokens=3)
    assert v.get_itos() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="entirely"):
        text.build_vocab_from_iterator(SENTENCES, specials=["a"], max_tokens=1)
    v = text.vocab({"x": 1, "y": 3, "z": 2}, min_freq=2, specials=["<unk>", "y"])
    assert v.get_itos() == ["<unk>", "y", "z"]


def test_vocabulary_looks_up_and_refuses():
    v = text.Vocab(["<unk>", "a", "b"])
    assert (v["a"], v(["b", "a"]), v.lookup_indices(["<unk>"]), len(v)) == (1, [2, 1], [0], 3)
    with pytest.raises(RuntimeError, match="set_default_index"):
        v["c"]
    v.set_default_index(0)
    assert v["c"] == 0
    assert v.get_default_index() == 0
    assert "c" not in v
    v.append_token("c")
    v.insert_token("d", 1)
    assert v.lookup_tokens(v(["d", "a", "c"])) == ["d", "a", "c"]
    assert pickle.loads(pickle.dumps(v)).get_itos() == v.get_itos()
    for call in (
        lambda: v.append_token("a"),
        lambda: v.insert_token("e", 9),
        lambda: v.lookup_token(-1),
        lambda: v.lookup_tokens([5]),
    ):
        with pytest.raises(RuntimeError):
            call()
    with pytest.raises(ValueError, match="'a'"):
        text.Vocab(["a", "b", "a"])


def test_tokenizers():
    basic = text.get_tokenizer("basic_english")
    assert basic('You can\'t "do" this; (now)! OK, fine.<br />') == (
        ["you", "can", "'", "t", "do", "this", "(", "now", ")", "!", "ok", ",", "fine", "."]
    )
    assert text.get_tokenizer(None)(" a  b ") == ["a", "b"]
    assert text.get_tokenizer(str.upper)("a") == "A"
    assert text.get_tokenizer("characters")("ab") == ["a", "b"]
    assert text.words("Élan, d'accord!", lower=False) == ["Élan", ",", "d'accord", "!"]
    with pytest.raises(ValueError, match="basic_english"):
        text.get_tokenizer("spacy")


LINES = [
    "It's the 2nd time: they'll say we're done, aren't we?  I'd   go.",
    "naïve café — 東京 ½ x² \t tabs\n\nand lines \U0001f600\U0001f600",
    "low lower lowest newer newest wide wider widest ''s 'S don't",
]
WORDS = [  # between the bars
    "It|'s| the| 2|nd| time|:| they|'ll| say| we|'re| done|,| aren|'t| we|?| | I|'d|  | go|.",
    "naïve| café| —| 東京| ½| x|²| \t| tabs|\n|\n|and| lines| 😀😀",
    "low| lower| lowest| newer| newest| wide| wider| widest| ''|s| '|S| don|'t",
]
MERGES = """\
w e
n e
Ġ t
d e
i de
l o
s t
w ide
Ġ wide
' t
d o
h e
n d
r e
ð Ł
Ġ '
Ġ we
Ġ ne
Ġ lo
Ġ do
ĺ Ģ
we r
we st
Ġt he
ðŁ ĺĢ"""
IDS = [
    [int(n) for n in numbers.split()]
    for numbers in (
        """
        41 84 7 83 280 221 18 269 259 73 77 69 26 280 89 7 76 76 221 83 65 89 273 7 270 276 258
        12 221 65 270 78 266 273 31 221 221 41 7 68 221 221 221 71 79 14
        """,
        """
        78 65 128 108 86 69 221 67 65 70 128 103 221 159 223 243 221 163 252 110 161 119 106 221
        127 122 221 88 127 111 221 198 259 65 66 83 199 199 65 269 221 76 73 258 83 221 281 281
        """,
        """
        262 87 275 278 275 279 274 278 274 279 265 265 82 265 263 272 7 83 272 51 276 78 266
        """,
    )
]


def test_byte_pairs_are_those_of_the_reference():
    """What the tokenizers package 0.23 learns of LINES (BpeTrainer with the alphabet of ByteLevel,
    min_frequency 2) and how it then reads them."""
    bpe = text.ByteLevelBPE.train(LINES, 320, 2, ["<|endoftext|>"])
    assert [" ".join(pair) for pair in bpe.merges] == MERGES.split("\n")
    assert [bpe.encode(line) for line in LINES] == IDS
    assert [bpe.decode(ids) for ids in IDS] == LINES


# the tables of Unicode that Python and others have differ in what was added later
OLD_CHARACTERS = [
    c for c in map(chr, range(0x20000)) if unicodedata.ucd_3_2_0.category(c) not in ("Cn", "Cs")
]


@settings(max_examples=30)
@given(
    st.lists(st.text(st.sampled_from(OLD_CHARACTERS) | st.characters(codec="ascii")), min_size=1)
)
def test_byte_pairs_by_the_tokenizers_package(texts):
    """The same merges learnt by it, and the same numbers, for fixed and random texts."""
    tokenizers = pytest.importorskip("tokenizers")
    special = ["<|endoftext|>", "<|end"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=340, min_frequency=2, special_tokens=special, show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    corpus = LINES + texts * 2
    theirs.train_from_iterator(corpus, trainer)
    learnt = json.loads(theirs.to_str())["model"]["merges"]
    slow = text.ByteLevelBPE.train(corpus, 340, 2, special)
    assert [list(pair) for pair in slow.merges] == learnt
    fast = text.ByteLevelBPE.train(corpus, 340, 2, special, backend="tokenizers")
    for line in [*LINES, *texts, "a<|endoftext|>b<|end|> <|endoftext", "".join(texts)]:
        assert fast.encode(line) == slow.encode(line)
        assert fast.tokenize(line) == slow.tokenize(line)
        assert fast.decode(fast.encode(line)) == line
    assert fast.encode_batch(texts) == slow.encode_batch(texts)
    assert pickle.loads(pickle.dumps(fast)).encode(LINES[0]) == slow.encode(LINES[0])


def test_backends_of_byte_pairs_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="backend"):
        text.ByteLevelBPE({"a": 0}, [], backend="rust")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match="pip install tokenizers"):
        text.ByteLevelBPE.train([], 256, backend="tokenizers")
    monkeypatch.undo()
    pytest.importorskip("tokenizers")
    with pytest.raises(ValueError, match="255"):
        text.ByteLevelBPE({"a": 0}, [], backend="tokenizers")


def test_words_are_cut_as_in_gpt2():
    from fastdl.text.bpe import _split

    assert ["|".join(_split(line)) for line in LINES] == WORDS


@given(st.text())
def test_byte_pairs_give_any_text_back(line):
    bpe = text.ByteLevelBPE.train([line], 300)
    assert bpe.decode(bpe.encode(line)) == line
    assert bpe.decode(text.ByteLevelBPE.train([], 256).encode(line)) == line


def test_byte_pairs_join_in_the_order_learnt():
    """Every token is what the definition, one merge after the other, gives."""
    bpe = text.ByteLevelBPE.train([" ".join(LINES)] * 2, 330)

    def defined(pieces):
        for pair in bpe.merges:
            i = 0
            while i + 1 < len(pieces):
                if (pieces[i], pieces[i + 1]) == pair:
                    pieces[i : i + 2] = ["".join(pair)]
                i += 1
        return pieces

    from fastdl.text.bpe import _split, _written

    for line in LINES:
        for word in _split(line):
            assert bpe.tokenize(word) == defined(list(_written(word)))


def test_byte_pairs_with_special_tokens_and_files(tmp_path):
    bpe = text.ByteLevelBPE.train(["a b<pad>c a b<end> a"], 262, 1, ["<end>", "<pad>"])
    assert bpe.tokenize("a<end><pad> b") == ["a", "<end>", "<pad>", "Ġb"]
    ids = bpe.encode("a<end><pad> b")
    assert ids[1:3] == [0, 1]
    assert bpe.decode(ids) == "a<end><pad> b"
    assert bpe.decode(ids, skip_special_tokens=True) == "a b"
    bpe.save(tmp_path)
    assert (tmp_path / "merges.txt").read_text().startswith("#version: 0.2\n")
    assert json.loads((tmp_path / "vocab.json").read_text()) == bpe.vocab
    files = tmp_path / "vocab.json", tmp_path / "merges.txt"
    again = text.ByteLevelBPE.from_files(*files, ["<end>", "<pad>"])
    assert (again.vocab, again.merges) == (bpe.vocab, bpe.merges)
    assert len(text.ByteLevelBPE.from_files(*files)) == len(bpe) + 1  # <|endoftext|>
    assert pickle.loads(pickle.dumps(bpe)).encode("a b") == bpe.encode("a b")
    assert bpe.decode([bpe.vocab["Ã"]]) == "\ufffd"  # half a character
    files[1].write_text("#version: 0.2\na b c\n")
    with pytest.raises(ValueError, match="line 2"):
        text.ByteLevelBPE.from_files(*files)
    with pytest.raises(ValueError, match="no room"):
        text.ByteLevelBPE.train([], 256, special_tokens=["<pad>"])
    with pytest.raises(ValueError, match="'ab'"):
        text.ByteLevelBPE({"a": 0, "b": 1}, [("a", "b")])


# ---- batches -----------------------------------------------------------------------------------


def test_batches_are_padded():
    collate = text.PadCollate(-1, with_lengths=True)
    x, lengths, y = collate([([1, 2], 5), ([], 6), ([3, 4, 5], 7)])
    assert x.tolist() == [[1, 2, -1], [-1, -1, -1], [3, 4, 5]]
    assert (lengths.tolist(), y.tolist()) == ([2, 0, 3], [5, 6, 7])
    x = text.PadCollate(batch_first=False)([fastdl.ones(2, 3), fastdl.ones(1, 3)])
    assert x.tolist() == [[[1] * 3] * 2, [[1] * 3, [0] * 3]]
    assert text.PadCollate()([([1.0], 2.0), ([2.0], 3.0)])[1].dtype is fastdl.float32
    loader = fastdl.utils.data.DataLoader(
        [[0] * n for n in (3, 1, 2, 5)], batch_size=2, collate_fn=text.PadCollate()
    )
    assert [tuple(b.shape) for b in loader] == [(2, 3), (2, 5)]
    with pytest.raises(ValueError, match="no samples"):
        collate([])
    with pytest.raises(ValueError, match="agree"):
        text.PadCollate()([fastdl.ones(2, 3), fastdl.ones(2, 4)])


def test_buckets_hold_similar_lengths(rng):
    lengths = rng.integers(1, 100, 1003)
    for drop_last, shuffle in itertools.product((False, True), repeat=2):
        sampler = text.BucketSampler(lengths, 8, shuffle, drop_last, pool=20)
        batches = list(sampler)
        assert len(batches) == len(sampler) == (125 if drop_last else 126)
        seen = sorted(i for b in batches for i in b)
        assert len(set(seen)) == len(seen) == (1000 if drop_last else 1003)
        padded = sum(len(b) * lengths[b].max() for b in batches)
        assert padded < 1.1 * lengths[seen].sum()  # of batches at random it is 1.8 times
    fastdl.manual_seed(0)
    first = list(text.BucketSampler(lengths, 8))
    assert list(text.BucketSampler(lengths, 8)) != first
    fastdl.manual_seed(0)
    assert list(text.BucketSampler(lengths, 8)) == first
    assert list(text.BucketSampler([], 4)) == []
    with pytest.raises(ValueError, match="positive"):
        text.BucketSampler([1], 0)


# ---- positions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [6, 7])
def test_sinusoidal_encoding(width, rng):
    table = text.sinusoidal_encoding(9, width, dtype=fastdl.float64).numpy()
    for p, c in itertools.product(range(9), range(width)):
        f = math.sin if c % 2 == 0 else math.cos
        assert abs(table[p, c] - f(p / 10000 ** ((c - c % 2) / width))) <= 16 * EPS
    layer = text.SinusoidalEncoding(width, max_len=9).double()
    x = rng.standard_normal((2, 5, width))
    wanted = x + table[2:7]
    close = lambda y, wanted: np.testing.assert_allclose(y.numpy(), wanted, rtol=0, atol=1e-7)
    close(layer(fastdl.tensor(x), offset=2), wanted)  # the table is a float32 one
    close(layer(fastdl.tensor(x[0]), offset=2), wanted[0])
    layer.batch_first = False
    close(layer(fastdl.tensor(x.swapaxes(0, 1)), offset=2), wanted.swapaxes(0, 1))
    assert not layer.state_dict()
    with pytest.raises(ValueError, match="beyond"):
        layer(fastdl.tensor(x.swapaxes(0, 1)), offset=5)
    fastdl.manual_seed(0)
    y = text.SinusoidalEncoding(width, dropout=0.5)(fastdl.ones(50, width))
    assert 0 < (y == 0).sum() < 50 * width


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_encoding(interleaved, rng):
    layer = text.RotaryEncoding(6, base=100.0, interleaved=interleaved)
    x = rng.standard_normal((2, 3, 5, 8))
    y = layer(fastdl.tensor(x), offset=4).numpy()
    order = [0, 1, 2, 3, 4, 5] if interleaved else [0, 3, 1, 4, 2, 5]  # pairs side by side
    pairs = x[..., order].reshape(2, 3, 5, 3, 2)
    angle = np.arange(4, 9)[:, None] / 100.0 ** (np.arange(3) / 3)
    turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angle)
    wanted = np.stack([turned.real, turned.imag], -1).reshape(2, 3, 5, 6)
    np.testing.assert_allclose(y[..., order], wanted, rtol=0, atol=64 * EPS * np.abs(x).max())
    np.testing.assert_array_equal(y[..., 6:], x[..., 6:])
    # products depend on the distance only
    q, k = (fastdl.tensor(rng.standard_normal((5, 6))) for _ in range(2))
    near, far = (layer(q, at) @ layer(k, at).T for at in (0, 31))
    assert (near - far).abs().max().item() < 512 * EPS * 6 * 9
    assert fastdl.autograd.gradcheck(layer, [q.requires_grad_()])
    with pytest.raises(ValueError, match="even"):
        text.RotaryEncoding(5)


# ---- generation --------------------------------------------------------------------------------


def small_gpt2(seed=0, **sizes):
    fastdl.manual_seed(seed)
    sizes = {"n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 4} | sizes
    return text.GPT2(vocab_size=11, initializer_range=0.5, **sizes)


PROMPTS = fastdl.tensor([[1, 2, 3], [7, 7, 0]])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_sample": True},
        {"do_sample": True, "temperature": 1.5, "top_k": 4, "top_p": 0.9},
        {"num_beams": 3},
        {"num_beams": 4, "eos_token_id": 5, "length_penalty": 0.6},
        {"eos_token_id": 4, "pad_token_id": 0},
    ],
)
def test_generation_with_and_without_cache_is_the_same(options):
    model = small_gpt2()
    found = []
    for use_cache in (True, False):
        fastdl.manual_seed(3)
        found.append(model.generate(PROMPTS, 20, use_cache=use_cache, **options).tolist())
    assert found[0] == found[1]
    assert [row[:3] for row in found[0]] == PROMPTS.tolist()
    assert model.training
    fastdl.manual_seed(3)
    if not options.get("do_sample"):
        assert model.generate(PROMPTS[1], 20, **options).tolist()[:5] == found[0][1][:5]


def test_cached_pieces_are_the_whole():
    """Logits of a sequence read in pieces of any lengths are those of the whole."""
    model = small_gpt2().double().eval()
    ids = fastdl.tensor(np.random.default_rng(0).integers(0, 11, (2, 20)))
    with fastdl.no_grad():
        whole = model(ids)
        for cuts in ([1, 2, 3], [7, 8, 16], [19], [5]):
            cache = text.KVCache()
            parts = [model(ids[:, a:b], cache=cache) for a, b in itertools.pairwise([0, *cuts, 20])]
            assert cache.length == 20
            error = (fastdl.cat(parts, 1) - whole).abs().max() / whole.abs().max()
            assert error.item() < 1000 * EPS
    with pytest.raises(ValueError, match="embeddings"):
        model(fastdl.zeros(1, 33, dtype=fastdl.int64))
    with pytest.raises(RuntimeError, match="no_grad"):
        model(ids, cache=text.KVCache())


def test_cache_reads_each_position_once():
    read = []

    def model(ids, cache):
        read.append(ids.shape[1])
        cache.append(0, *[fastdl.zeros(len(ids), 1, ids.shape[1], 2)] * 2)
        return fastdl.zeros(*ids.shape, 5)

    text.generate(model, PROMPTS, 6)
    assert read == [3, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}])
def test_a_bounded_context_starts_again_from_its_half(options):
    """With a cache: 8 tokens at most, 4 after each start. Without: the last 8."""
    seen = []

    class Watched(text.GPT2):
        def forward(self, ids, cache=None):
            seen.append((0 if cache is None else cache.length, ids.shape[1]))
            return super().forward(ids, cache)

    fastdl.manual_seed(0)
    model = Watched(vocab_size=11, n_positions=8, n_embd=16, n_layer=2, n_head=4)
    ids = model.generate(PROMPTS, 12, **options)
    starts = [(0, 3), (0, 4), (0, 4)]
    assert [call for call in seen if call[0] == 0] == starts
    assert max(before + new for before, new in seen) == 8
    assert ids.shape == (2, 15)
    if not options:  # what each start sees
        for end in range(3, 15):
            first = 0 if end <= 8 else 5 if end <= 13 else 10
            with fastdl.no_grad():
                wanted = model.eval()(ids[:, first:end])[:, -1].argmax(-1)
            assert wanted.tolist() == ids[:, end].tolist()
    assert model.generate(fastdl.tensor([list(range(10))]), 1).shape == (1, 11)
    seen.clear()
    model.generate(PROMPTS, 12, use_cache=False, **options)
    assert [new for _, new in seen] == [3, 4, 5, 6, 7, 8, 8, 8, 8, 8, 8, 8]


def chain(table):
    """A model: the logits of what follows token i are row i."""
    return lambda ids: fastdl.tensor(table)[ids]


def test_greedy_and_ends():
    table = np.full((4, 4), -9.0)
    table[[0, 1, 2, 3], [1, 2, 3, 0]] = 1
    go = lambda start, n, **how: text.generate(
        chain(table), fastdl.tensor(start), n, use_cache=False, **how
    ).tolist()
    assert go([0], 6) == [0, 1, 2, 3, 0, 1, 2]
    assert go([[0], [2]], 6, eos_token_id=3, pad_token_id=1) == [[0, 1, 2, 3], [2, 3, 1, 1]]
    assert go([[0], [2]], 6, eos_token_id=3) == [[0, 1, 2, 3], [2, 3, 3, 3]]
    assert go([0], 0) == [0]
    seen = []
    text.generate(
        lambda ids: (seen.append(ids.tolist()), fastdl.zeros(*ids.shape, 4))[1],
        fastdl.tensor([3, 2, 1]), 2, use_cache=False, context_length=2,
    )  # fmt: skip
    assert seen == [[[2, 1]], [[1, 0]]]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [0.5, 0.25, 0.15, 0.1]),
        ({"temperature": 0.5}, np.square([0.5, 0.25, 0.15, 0.1])),
        ({"top_k": 2}, [0.5, 0.25, 0, 0]),
        ({"top_k": 9}, [0.5, 0.25, 0.15, 0.1]),
        ({"top_p": 0.75}, [0.5, 0.25, 0, 0]),
        ({"top_p": 0.76}, [0.5, 0.25, 0.15, 0]),
        ({"top_p": 0.01}, [1, 0, 0, 0]),
        ({"top_p": 1.0}, [0.5, 0.25, 0.15, 0.1]),
        ({"top_k": 3, "top_p": 0.8}, [0.5, 0.25, 0, 0]),
    ],
)
def test_sampling(options, wanted):
    fastdl.manual_seed(0)
    n = 20000
    # in another order of tokens, for the sort to matter
    p = np.array([0.15, 0.5, 0.1, 0.25])
    table = np.tile(np.log(p), (4, 1)) + 3
    start = fastdl.zeros(n, 1, dtype=fastdl.int64)
    ids = text.generate(chain(table), start, 1, do_sample=True, use_cache=False, **options)
    shares = np.bincount(ids.numpy()[:, 1], minlength=4)[[1, 3, 0, 2]] / n
    wanted = np.array(wanted) / np.sum(wanted)
    assert (np.abs(shares - wanted) <= 6 * np.sqrt(wanted * (1 - wanted) / n)).all()


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0, -1.0])
@pytest.mark.parametrize("eos", [None, 2])
@pytest.mark.parametrize("seed", range(4))
def test_beams_enough_for_all_find_the_best(penalty, eos, seed):
    table = 2 * np.random.default_rng(seed).standard_normal((4, 4))
    logs = table - np.log(np.exp(table).sum(1, keepdims=True))
    best = {}
    for tokens in itertools.product(range(4), repeat=4):
        if eos in tokens:
            tokens = tokens[: tokens.index(eos) + 1]
        score = sum(logs[a, b] for a, b in itertools.pairwise((0, *tokens)))
        best[tokens] = score / len(tokens) ** penalty
    wanted = list(max(best, key=best.get))
    ids = text.generate(
        chain(table), fastdl.tensor([0]), 4, num_beams=256, length_penalty=penalty,
        eos_token_id=eos, use_cache=False,
    )  # fmt: skip
    assert ids.tolist()[1:] == wanted


def test_more_beams_find_what_is_likelier():
    def score(model, ids):
        with fastdl.no_grad():
            logs = fastdl.log_softmax(model(ids[None])[0], -1).numpy()
        return sum(logs[i, ids[i + 1].item()] for i in range(2, len(ids) - 1))

    gains = []
    for seed in range(6):
        model = small_gpt2(seed).double().eval()
        one, many = (score(model, model.generate(PROMPTS[0], 8, num_beams=b)) for b in (1, 64))
        gains.append(many - one)
    assert min(gains) > -1e-9
    assert max(gains) > 0.1


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.1}, {"num_beams": 0},
        {"num_beams": 2, "do_sample": True}, {"max_new_tokens": -1}, {"context_length": 0},
        {"input_ids": fastdl.zeros(2, 0, dtype=fastdl.int64)}, {"input_ids": fastdl.ones(2, 3)},
    ],
    ids=str,
)  # fmt: skip
def test_generation_refuses(options):
    options = {"input_ids": PROMPTS} | options
    with pytest.raises(ValueError, match="generate"):
        text.generate(small_gpt2(), **options)


# ---- GPT-2 -------------------------------------------------------------------------------------


def random_file(path, rng, layers=2, width=12, tokens=13, positions=10, prefix="transformer."):
    """A GPT-2 as the transformers package writes it: its names, projections (in, out)."""
    from safetensors.numpy import save_file

    shapes = {"wte.weight": (tokens, width), "wpe.weight": (positions, width)}
    for i in range(layers):
        for name, wide in (("attn.c_attn", 3), ("attn.c_proj", 1), ("mlp.c_fc", 4)):
            shapes[f"h.{i}.{name}.weight"] = (width, wide * width)
            shapes[f"h.{i}.{name}.bias"] = (wide * width,)
        shapes[f"h.{i}.mlp.c_proj.weight"] = (4 * width, width)
        shapes[f"h.{i}.mlp.c_proj.bias"] = (width,)
        for name in ("ln_1", "ln_2"):
            shapes |= {f"h.{i}.{name}.weight": (width,), f"h.{i}.{name}.bias": (width,)}
    shapes |= {"ln_f.weight": (width,), "ln_f.bias": (width,)}
    weights = {
        prefix + name: (0.4 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    mask = np.tril(np.ones((positions, positions), np.float32))[None, None]
    stored = {f"{prefix}h.{i}.attn.bias": mask for i in range(layers)} if not prefix else {}
    save_file(weights | stored, path / "model.safetensors", metadata={"format": "pt"})
    config = {
        "model_type": "gpt2", "activation_function": "gelu_new", "vocab_size": tokens,
        "n_positions": positions, "n_ctx": positions, "n_embd": width, "n_layer": layers,
        "n_head": 3, "layer_norm_epsilon": 1e-5, "n_inner": None,
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps(config))
    return {name.removeprefix(prefix): w for name, w in weights.items()}


def by_definition(torch, weights, ids, heads, layers):
    """GPT-2's logits from such weights."""
    norm = lambda x, name: torch.nn.functional.layer_norm(
        x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5
    )
    affine = lambda x, name: x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]
    n, length = ids.shape
    x = weights["wte.weight"][ids] + weights["wpe.weight"][:length]
    later = torch.ones(length, length).triu(1).bool()
    for i in range(layers):
        q, k, v = (
            part.view(n, length, heads, -1).transpose(1, 2)
            for part in affine(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn").split(x.shape[-1], 2)
        )
        scores = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).masked_fill(later, -math.inf)
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape)
        x = x + affine(y, f"h.{i}.attn.c_proj")
        h = affine(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        h = 0.5 * h * (1 + ((2 / math.pi) ** 0.5 * (h + 0.044715 * h**3)).tanh())
        x = x + affine(h, f"h.{i}.mlp.c_proj")
    return norm(x, "ln_f") @ weights["wte.weight"].T


@pytest.mark.parametrize("prefix", ["transformer.", ""])
def test_gpt2_from_a_file_is_pytorchs(tmp_path, prefix, rng):
    torch = pytest.importorskip("torch")
    weights = random_file(tmp_path, rng, prefix=prefix)
    model = text.GPT2.from_pretrained(tmp_path)
    assert not model.training
    assert model.config.n_head == 3
    model.double()
    theirs = {name: torch.tensor(w).double().requires_grad_() for name, w in weights.items()}
    ids = rng.integers(0, 13, (3, 7))
    y, wanted = model(fastdl.tensor(ids)), by_definition(torch, theirs, torch.tensor(ids), 3, 2)
    # some 2000 roundings in a row of sums, products and exponentials
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=4096 * EPS * np.abs(b).max())
    close(y.detach().numpy(), wanted.detach().numpy())
    y.logsumexp(-1).sum().backward(), wanted.logsumexp(-1).sum().backward()
    for name, p in model.named_parameters():
        slope = theirs[name].grad.numpy()
        close(p.grad.numpy(), slope.T if p.dim() > 1 and ".c_" in name else slope)
    assert len(theirs) == len(list(model.parameters()))
    greedy = torch.tensor(ids)
    for _ in range(3):
        last = by_definition(torch, theirs, greedy, 3, 2)[:, -1]
        greedy = torch.cat([greedy, last.argmax(-1, keepdim=True)], 1)
    assert model.generate(fastdl.tensor(ids), 3).tolist() == greedy.tolist()


def test_gpt2_refuses_other_files(tmp_path, rng):
    random_file(tmp_path, rng)
    with pytest.raises(RuntimeError, match="wpe"):
        text.GPT2.from_pretrained(tmp_path, n_positions=5)
    weights = fastdl.load(tmp_path / "model.safetensors")
    model = text.GPT2(text.GPT2Config.from_json(tmp_path / "config.json"))
    head = weights["transformer.wte.weight"]
    model.load_huggingface(weights | {"lm_head.weight": head})
    with pytest.raises(RuntimeError, match="lm_head"):
        model.load_huggingface(weights | {"lm_head.weight": head + 1})
    del weights["transformer.ln_f.bias"]
    with pytest.raises(RuntimeError, match=r"ln_f\.bias"):
        model.load_huggingface(weights)
    (tmp_path / "config.json").write_text('{"activation_function": "relu"}')
    with pytest.raises(ValueError, match="relu"):
        text.GPT2.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="divide"):
        text.GPT2(n_embd=10, n_head=3)


def test_gpt2_starts_as_described_and_learns():
    fastdl.manual_seed(0)
    model = text.GPT2(vocab_size=7, n_positions=16, n_embd=32, n_layer=2, n_head=2)
    for name, deviation in (("h.0.attn.c_attn", 0.02), ("h.1.mlp.c_proj", 0.01)):
        w = model.get_parameter(f"{name}.weight")
        assert abs(w.std().item() / deviation - 1) < 6 / (2 * w.numel()) ** 0.5
        assert not model.get_parameter(f"{name}.bias").any()
    ids = fastdl.tensor([[1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0]])
    optimizer = fastdl.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = fastdl.nn.functional.cross_entropy(model(ids)[0, :-1], ids[0, 1:])
        loss.backward()
        optimizer.step()
    assert text.perplexity(model.eval()(ids)[:, :-1], ids[:, 1:]) < 1.2
    assert model.generate(fastdl.tensor([2, 3]), 4).tolist() == [2, 3, 4, 5, 6, 0]


# ---- n-grams and scores ------------------------------------------------------------------------

TEXT = [
    line.split()
    for line in (
        "the cat sat on the mat", "the dog sat on the log", "a cat saw the dog", "the cat saw a log"
    )
]  # fmt: skip


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("discount", [None, 0.3])
@pytest.mark.parametrize("min_count", [1, 2])
def test_ngram_probabilities_add_up_to_one(order, discount, min_count):
    model = text.NGramModel(order, discount, min_count).fit(TEXT)
    for context in ([], ["the"], ["sat", "on"], ["no", "cat"], ["a", "cat", "saw"], ["zebra"] * 5):
        total = sum(model.probability(token, context) for token in model.vocabulary)
        assert abs(total - 1) < 64 * EPS
        assert all(model.probability(token, context) > 0 for token in model.vocabulary)
    assert model.perplexity(TEXT) < len(model.vocabulary)


def test_ngram_probability_by_hand():
    """Trigrams of "a b a", "a b b": count by count."""
    model = text.NGramModel(3, discount=0.5).fit([["a", "b", "a"], ["a", "b", "b"]])
    # tokens before: a (<s>, b), b (a, b), </s> (a, b): 2 + 2 + 2; V = a, b, </s>, <unk>
    unigram = {t: (n - 0.5) / 6 + 0.5 * 3 / 6 / 4 for t, n in (("a", 2), ("b", 2), ("</s>", 2))}
    # after b, by the tokens before "b x": b a (a), b b (a), b </s> (b): three, once each
    bigram = {t: 0.5 / 3 + 0.5 * 3 / 3 * p for t, p in unigram.items()}
    # after "a b": a and b, once each
    assert abs(model.probability("b", ["a", "b"]) - (0.5 / 2 + 0.5 * bigram["b"])) < 4 * EPS
    assert abs(model.probability("</s>", ["a", "b"]) - 0.5 * bigram["</s>"]) < 4 * EPS
    # the beginning: "<s> <s> a" twice, "<s> a" keeps its count
    begin = 1.5 / 2 + 0.5 / 2 * unigram["a"]
    assert abs(model.probability("a") - (1.5 / 2 + 0.5 / 2 * begin)) < 4 * EPS
    # n1 / (n1 + 2 n2): trigrams <s><s>a 2, <s>ab 2, aba 1, abb 1, ba</s> 1, bb</s> 1
    assert text.NGramModel(3).fit([["a", "b", "a"], ["a", "b", "b"]]).discounts[2] == 4 / 8


def test_longer_ngrams_know_more():
    corpus = [list("abcabcabdabc") for _ in range(5)] + [list("abdabcabcabd")] * 3
    found = [text.NGramModel(n).fit(corpus).perplexity(corpus) for n in (1, 2, 3, 5)]
    assert found == sorted(found, reverse=True)
    assert found[3] < 0.5 * found[0]
    model = text.NGramModel(5).fit(corpus)
    fastdl.manual_seed(0)
    drawn = model.generate(200)
    fastdl.manual_seed(0)
    assert model.generate(200) == drawn
    assert set(drawn) <= set(model.vocabulary)
    counts = np.zeros(2)
    for _ in range(300):
        (token,) = model.generate(1, list("abcab")) or ["</s>"]
        counts += [token == "c", 1]
    p = model.probability("c", list("abcab"))
    assert abs(counts[0] / counts[1] - p) < 6 * (p * (1 - p) / 300) ** 0.5


def test_ngrams_refuse():
    for call in (
        lambda: text.NGramModel(0),
        lambda: text.NGramModel(2, discount=1.0),
        lambda: text.NGramModel(2).fit([]),
        lambda: text.NGramModel(2).fit(TEXT).perplexity([]),
    ):
        with pytest.raises(ValueError, match="NGramModel"):
            call()


CANDIDATES = [
    ["the", "cat", "sat", "on", "a", "mat", "today"], ["there", "is", "a", "dog"], ["yes"],
]  # fmt: skip
REFERENCES = [
    [["the", "cat", "sat", "on", "the", "mat"], ["a", "cat", "was", "sitting", "on", "a", "mat"]],
    [["there", "is", "one", "dog", "here"], ["a", "dog", "is", "there"]],
    [["no"], ["not", "yes"]],
]
SACREBLEU = {
    ("none", None): (57.21248424548511, 49.616830003403614, 49.71987693433302),
    ("exp", None): (57.21248424548511, 49.616830003403614, 49.71987693433302),
    ("floor", None): (57.21248424548511, 49.616830003403614, 49.71987693433302),
    ("floor", 0.5): (57.21248424548511, 49.616830003403614, 49.71987693433302),
    ("add-k", None): (66.53019375727013, 59.00468726392806, 59.12723140736851),
    ("add-k", 0.3): (60.698138795151884, 53.036694290345146, 53.14684378141268),
}


@pytest.mark.parametrize("how", SACREBLEU, ids=str)
def test_bleu_is_sacrebleus(how):
    """What sacrebleu 2.6 gives for the first one, two and three candidates (tokenize="none")."""
    smoothing, value = how
    for count, wanted in enumerate(SACREBLEU[how], 1):
        found = text.bleu_score(
            CANDIDATES[:count], REFERENCES[:count], smoothing=smoothing, smoothing_value=value
        )
        assert abs(100 * found - wanted) < 1e-9


@pytest.mark.parametrize("seed", range(8))
def test_bleu_of_random_corpora_is_sacrebleus(seed):
    sacrebleu = pytest.importorskip("sacrebleu")
    rng = np.random.default_rng(seed)
    sentence = lambda low: ["abcde"[i] for i in rng.integers(0, 5, rng.integers(low, 14))]
    candidates = [sentence(0 if i else 5) for i in range(6)]
    references = [[sentence(1) for _ in range(2)] for _ in candidates]
    streams = [[" ".join(r[k]) for r in references] for k in range(2)]
    joined = [" ".join(c) for c in candidates]
    for (how, value), n in itertools.product(SACREBLEU, (1, 2, 4)):
        metric = sacrebleu.BLEU(
            tokenize="none", smooth_method=how, smooth_value=value, max_ngram_order=n,
            effective_order=False,
        )  # fmt: skip
        wanted = metric.corpus_score(joined, streams).score
        found = text.bleu_score(candidates, references, n, smoothing=how, smoothing_value=value)
        assert abs(100 * found - wanted) < 1e-9


def test_bleu_of_other_lengths_and_refusals():
    same = [list("abcde")]
    assert text.bleu_score(same, [same]) == 1.0
    assert text.bleu_score([list("xyz")], [same]) == 0.0
    assert text.bleu_score([[]], [same]) == 0.0
    # 3 of 3 tokens and 2 of 2 pairs, two tokens too short
    assert abs(text.bleu_score([list("abc")], [same], 2) - math.exp(1 - 5 / 3)) < 4 * EPS
    assert text.bleu_score([list("abc")], [same], 2, [1.0, 0.0]) == math.exp(1 - 5 / 3)
    with pytest.raises(ValueError, match="same"):
        text.bleu_score(same, [])
    with pytest.raises(ValueError, match="max_n"):
        text.bleu_score(same, [same], 2, [1.0])
    with pytest.raises(ValueError, match="smoothing"):
        text.bleu_score(same, [same], smoothing="chen")


def test_perplexity(rng):
    logits = rng.standard_normal((2, 3, 5))
    target = np.array([[0, 4, 9], [2, 9, 1]])
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    logs = [math.log(p[i, j, t]) for i in range(2) for j in range(3) if (t := target[i, j]) < 9]
    found = text.perplexity(fastdl.tensor(logits), fastdl.tensor(target), ignore_index=9)
    assert abs(found - math.exp(-np.mean(logs))) < 64 * EPS * found
