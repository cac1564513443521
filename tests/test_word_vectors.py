"""fastdl.text: word2vec, GloVe, the tables they are trained in, neighbours, analogies and files."""

import itertools
import math
import pickle
import struct

import numpy as np
import pytest

import fastdl
from fastdl import text
from fastdl.text import glove
from fastdl.text.rows import TrainedRows

EPS = np.finfo(np.float64).eps


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def close(found, wanted, roundings):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=roundings * EPS * np.abs(wanted).max())


# ---- losses ------------------------------------------------------------------------------------

CONTEXTS = np.array([[1, 4, -1], [0, -1, 2], [3, 3, 1], [-1, -1, 5]])
TARGETS = np.array([[2, 5, 0, -1], [0, 1, 1, 3], [4, 2, -1, -1], [1, 0, 5, 2]])
LABELS = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 1.0]])


def by_definition(torch, inputs, outputs, how):
    """-log of each label's probability, one after the other."""
    total = 0
    for context, targets, labels in zip(CONTEXTS, TARGETS, LABELS):
        around = [inputs[i] for i in context if i >= 0]
        if how:
            around = [sum(around) / (len(around) if how == "mean" else 1)]
        for h, (t, label) in itertools.product(around, zip(targets, labels)):
            if t >= 0:
                p = torch.sigmoid(h @ outputs[t])
                total = total - torch.log(p if label else 1 - p)
    return total


@pytest.mark.parametrize("how", [False, "mean", "sum"])
def test_word_loss_is_its_definition(how, rng):
    torch = pytest.importorskip("torch")
    tables = [rng.standard_normal((6, 5)) for _ in range(2)]
    ours = [fastdl.tensor(t, requires_grad=True) for t in tables]
    theirs = [torch.tensor(t, requires_grad=True) for t in tables]
    index = [fastdl.tensor(a) for a in (CONTEXTS, TARGETS, LABELS)]
    loss = text.word_loss(*ours, *index, how)
    wanted = by_definition(torch, *theirs, how)
    close(loss.item(), wanted.item(), 256)
    loss.backward(), wanted.backward()
    for a, b in zip(ours, theirs):
        close(a.grad.numpy(), b.grad.numpy(), 256)
    assert fastdl.autograd.gradcheck(lambda v, w: text.word_loss(v, w, *index, how), ours)


def test_gradient_of_negative_sampling(rng):
    """d/dh = sum of (sigmoid(h v) - label) v, d/dv = (sigmoid(h v) - label) h."""
    h, v = (fastdl.tensor(rng.standard_normal(s), requires_grad=True) for s in ((1, 4), (6, 4)))
    targets, labels = np.array([[3, 0, 5, -1]]), np.array([[1, 0, 0, 0.0]])
    zero = fastdl.tensor([[0]])
    text.word_loss(h, v, zero, fastdl.tensor(targets), fastdl.tensor(labels)).backward()
    used = targets[0, :3]
    hs, vs = h.detach().numpy()[0], v.detach().numpy()
    error = 1 / (1 + np.exp(-vs[used] @ hs)) - labels[0, :3]
    close(h.grad.numpy()[0], error @ vs[used], 64)
    wanted = np.zeros((6, 4))
    wanted[used] = error[:, None] * hs
    close(v.grad.numpy(), wanted, 64)


@pytest.mark.parametrize("counts", [[5, 1, 1, 2, 9, 4, 4], [1, 1], [3], [7] * 8])
def test_probabilities_of_a_hierarchical_softmax_add_up_to_one(counts, rng):
    tree = text.HuffmanTree(counts)
    words = np.arange(len(counts))
    h, nodes = rng.standard_normal(6), rng.standard_normal((max(len(counts) - 1, 1), 6))
    at = lambda a: fastdl.tensor(a)
    zero = np.zeros((1, 1), np.int64)
    losses = [
        text.word_loss(at(h[None]), at(nodes), at(zero), *map(at, tree.targets(words[i : i + 1])))
        if len(counts) > 1
        else at(0.0)
        for i in words
    ]
    assert abs(sum(math.exp(-loss.item()) for loss in losses) - 1) < 64 * EPS


def test_frequent_words_have_the_shortest_paths(rng):
    counts = rng.integers(1, 1000, 50)
    tree = text.HuffmanTree(counts)
    lengths = (tree.paths >= 0).sum(1)
    assert lengths[np.argsort(-counts, kind="stable")][0] == lengths.min()
    p = counts / counts.sum()
    entropy = -(p * np.log2(p)).sum()
    assert entropy <= (p * lengths).sum() < entropy + 1
    # the sum over all words is that of all inner nodes: the cost of the best tree
    heap, cost = sorted(counts.tolist()), 0
    while len(heap) > 1:
        both = heap.pop(0) + heap.pop(0)
        cost += both
        heap = sorted([*heap, both])
    assert (counts * lengths).sum() == cost
    assert (tree.paths[:, 0] == 48).all()  # the root
    ways = [tuple(zip(p[p >= 0], turn[p >= 0])) for p, turn in zip(tree.paths, tree.labels)]
    assert len(set(ways)) == 50


def test_noise_is_drawn_by_count_to_the_three_quarters():
    counts = [1000, 200, 30, 4]
    noise = text.NoiseWords(counts)
    p = np.array(counts) ** 0.75
    p /= p.sum()
    close(noise.probabilities, p, 4)
    fastdl.manual_seed(0)
    n = 40000
    shares = np.bincount(noise.draw(n // 4, 4).ravel(), minlength=4) / n
    assert (np.abs(shares - p) < 6 * np.sqrt(p * (1 - p) / n)).all()
    targets, labels = noise.targets(np.array([0, 0, 3]), 9)
    assert targets[:, 0].tolist() == [0, 0, 3]
    assert not (targets[:, 1:] == targets[:, :1]).any()
    assert (targets[:2, 1:] == -1).any()
    assert labels.tolist() == [[1] + [0] * 9] * 3


def test_glove_loss_is_its_definition(rng):
    torch = pytest.importorskip("torch")
    w, c = rng.standard_normal((2, 5, 4))
    row, column = np.array([0, 2, 2, 4]), np.array([1, 2, 0, 1])
    x = np.array([0.5, 100.0, 250.0, 7.0])
    ours = [fastdl.tensor(t, requires_grad=True) for t in (w, c)]
    theirs = [torch.tensor(t, requires_grad=True) for t in (w, c)]
    loss = text.glove_loss(*ours, *[fastdl.tensor(a) for a in (row, column, x)])
    wanted = 0
    for i, j, n in zip(row, column, x):
        a, b = theirs[0][i], theirs[1][j]
        gap = a[:3] @ b[:3] + a[3] + b[3] - math.log(n)
        wanted = wanted + min(1.0, (n / 100) ** 0.75) * gap**2 / 2
    close(loss.item(), wanted.item(), 64)
    loss.backward(), wanted.backward()
    for a, b in zip(ours, theirs):
        close(a.grad.numpy(), b.grad.numpy(), 64)


# ---- what is counted and drawn -----------------------------------------------------------------


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("at_once", [2, 7, 1 << 22])
def test_cooccurrences_are_counted(symmetric, at_once, rng, monkeypatch):
    monkeypatch.setattr(glove, "_PAIRS", at_once)
    sentences = [rng.integers(0, 6, n).tolist() for n in (9, 0, 1, 2, 30)]
    wanted = {}
    for s in sentences:
        for i, j in itertools.combinations(range(len(s)), 2):
            if j - i <= 3:
                wanted[s[j], s[i]] = wanted.get((s[j], s[i]), 0) + 1 / (j - i)
                if symmetric:
                    wanted[s[i], s[j]] = wanted.get((s[i], s[j]), 0) + 1 / (j - i)
    rows, columns, counts = text.cooccurrences(sentences, 3, symmetric)
    assert list(zip(rows.tolist(), columns.tolist())) == sorted(wanted)
    close(counts, np.array([wanted[key] for key in sorted(wanted)]), 64)
    assert not len(text.cooccurrences([], 3)[2])
    for bad in (lambda: text.cooccurrences([[0]], 0), lambda: text.cooccurrences([[-1]])):
        with pytest.raises(ValueError, match="cooccurrences"):
            bad()


def test_windows_stay_in_the_sentence_and_shrink():
    sentences = [[f"w{i}" for i in range(k, k + 7)] for k in range(0, 70, 7)] * 60
    model = text.Word2Vec(window=3, min_count=1, sample=0, vector_size=2)
    model.build_vocab(sentences)
    number = np.array([int(w[1:]) for w in model.wv.index_to_key])
    fastdl.manual_seed(1)
    seen, together = 0, np.zeros(4)
    for _, centres, contexts in model._batches(*model._numbered(sentences)):
        seen += len(centres)
        here, there = np.broadcast_to(number[centres][:, None], contexts.shape), number[contexts]
        near = contexts >= 0
        assert (here // 7 == there // 7)[near].all()
        middle = near & (here % 7 == 3)
        together += np.bincount(abs(here - there)[middle], minlength=4)
    assert seen == 4200
    # a word at distance d is seen if the number drawn from 1, 2, 3 is d or more: of 1200
    for d, p in ((1, 1.0), (2, 2 / 3), (3, 1 / 3)):
        assert abs(together[d] / 1200 - p) <= 6 * (2 * p * (1 - p) / 1200) ** 0.5
    assert together[0] == 0


def test_frequent_words_are_left_out_at_random():
    sentences = [["a"] * 90 + ["b"] * 10] * 100
    model = text.Word2Vec(min_count=1, sample=0.05, vector_size=2)
    model.build_vocab(sentences)
    fastdl.manual_seed(0)
    centres = np.concatenate([c for _, c, _ in model._batches(*model._numbered(sentences))])
    kept = np.bincount(centres)
    for n, word, f in ((9000, 0, 0.9), (1000, 1, 0.1)):
        p = min(1, (0.05 / f) ** 0.5 + 0.05 / f)
        assert abs(kept[word] / n - p) <= 6 * (p * (1 - p) / n) ** 0.5


def test_rows_are_trained_as_by_adagrad(rng):
    torch = pytest.importorskip("torch")
    start = rng.standard_normal((7, 3))
    table = TrainedRows(start.copy(), 0.25)
    weight = torch.tensor(start, requires_grad=True)
    theirs = torch.optim.Adagrad([weight], 0.1, initial_accumulator_value=0.25)
    for index in ([[1, 5, 1], [-1, 0, 5]], [[6, 6, 6], [2, -1, 5]], [[-1, -1, 3], [3, 0, 0]]):
        index = np.array(index)
        rows, local = table.take(index)
        assert len(rows) == len(set(index.ravel().tolist()) - {-1})
        assert ((local.numpy() < 0) == (index < 0)).all()
        there = local.numpy() >= 0
        (rows[local.numpy()[there]] ** 3).sum().backward()
        table.step(0.1)
        theirs.zero_grad()
        (weight[index[there]] ** 3).sum().backward()
        theirs.step()
        close(table.values, weight.detach().numpy(), 64)


# ---- learning ----------------------------------------------------------------------------------


def themes():
    """Sentences about one of eight themes in one of two styles; each word's neighbours are known,
    and so are the analogies A0 : B0 = A1 : B1."""
    rng = np.random.default_rng(1)
    sentences = []
    for _ in range(1500):
        theme, style = rng.integers(8), rng.integers(2)
        near = [f"theme{theme}_{k}" for k in rng.integers(0, 4, 3)]
        near += [f"style{style}_{k}" for k in rng.integers(0, 4, 3)]
        near += [f"theme{rng.integers(8)}_{rng.integers(4)}"]  # nearly all words meet at times
        rng.shuffle(near)
        sentences.append([*near[:3], f"{'AB'[style]}{theme}", *near[3:]])
    return sentences


@pytest.mark.parametrize(
    "make",
    [
        lambda s: text.Word2Vec(s, 24, sg=1, epochs=8, min_count=1, sample=0),
        lambda s: text.Word2Vec(s, 24, sg=0, epochs=8, min_count=1, sample=0),
        lambda s: text.Word2Vec(s, 24, sg=1, hs=1, negative=0, epochs=8, min_count=1, sample=0),
        lambda s: text.Word2Vec(s, 24, hs=1, cbow_mean=0, epochs=8, min_count=1, sample=0),
        lambda s: text.GloVe(s, 16, min_count=1, x_max=20, epochs=25),
    ],
    ids=["skip-gram", "cbow", "skip-gram hs", "cbow hs and negative", "glove"],
)
def test_known_neighbours_and_analogies_are_found(make):
    fastdl.manual_seed(0)
    model = make(themes())
    wv = model.wv
    assert model.losses[-1] < 0.95 * model.losses[0]
    right = 0
    for theme in range(8):
        found = wv.most_similar(f"theme{theme}_0", topn=5)
        right += sum(w.startswith(f"theme{theme}_") or w[1:] == str(theme) for w, _ in found)
    assert right >= 0.9 * 40
    questions = [
        (f"A{i}", f"B{i}", f"A{j}", f"B{j}") for i, j in itertools.permutations(range(8), 2)
    ]
    # GloVe learns nothing from words that never meet, as A1 and B0 here; by chance it is 1 / 86
    assert wv.evaluate_analogies(questions) >= (0.1 if isinstance(model, text.GloVe) else 0.8)


def test_training_is_repeatable_and_goes_on():
    sentences = [["a", "b", "c", "rare"], ["b", "a", "c"]] * 20
    runs = []
    for _ in range(2):
        fastdl.manual_seed(3)
        model = text.Word2Vec(min_count=21, vector_size=4, sg=1, sample=0)
        model.build_vocab(iter(sentences))
        assert model.train(s for s in sentences) is model
        runs.append(model.wv.vectors.numpy().copy())
    assert (runs[0] == runs[1]).all()
    assert "rare" not in model.wv
    before = len(model.losses)
    pickle.loads(pickle.dumps(model.wv))
    model.train([["a", "unknown", "b"]], epochs=2)
    assert len(model.losses) == before + 2
    assert (model.wv.vectors.numpy() != runs[0]).any()
    model.train([])


def test_lonely_words_teach_nothing():
    model = text.Word2Vec(vector_size=3, min_count=1, sample=0)
    model.build_vocab([["a"], ["b"]])
    before = model.wv.vectors.numpy().copy()
    model.train([["a"], ["b"]] * 40)
    assert (model.wv.vectors.numpy() == before).all()
    assert model.losses == [0.0] * 5


@pytest.mark.parametrize(
    "call",
    [
        lambda: text.Word2Vec(negative=0),
        lambda: text.Word2Vec(negative=-1),
        lambda: text.Word2Vec(vector_size=0),
        lambda: text.Word2Vec(window=0),
        lambda: text.Word2Vec(batch_words=0),
        lambda: text.Word2Vec(sample=-1.0),
        lambda: text.Word2Vec([["a"]]),
        lambda: text.Word2Vec().train([["a"]]),
        lambda: text.GloVe([]),
        lambda: text.GloVe([["a"]], min_count=1),
        lambda: text.GloVe(window=0),
        lambda: text.GloVe(x_max=0),
    ],
)
def test_what_cannot_be_trained_is_refused(call):
    with pytest.raises(ValueError, match=r"Word2Vec|GloVe"):
        call()


# ---- vectors -----------------------------------------------------------------------------------


@pytest.fixture
def vectors(rng):
    return text.WordVectors([f"w{i}" for i in range(40)], rng.standard_normal((40, 6)))


def test_vectors_are_looked_up(vectors):
    assert len(vectors) == 40
    assert vectors.vector_size == 6
    assert "w3" in vectors
    assert "x" not in vectors
    assert (vectors["w3"] == vectors.vectors[3]).all()
    assert (vectors[["w3", "w0"]] == vectors.vectors[[3, 0]]).all()
    with pytest.raises(KeyError, match="'x'"):
        vectors["x"]
    with pytest.raises(KeyError, match="'x'"):
        vectors.most_similar("x")


def test_neighbours_and_analogies_are_those_of_all_pairs(vectors):
    v = vectors.vectors.numpy()
    u = v / np.linalg.norm(v, axis=1, keepdims=True)
    near = sorted(range(1, 40), key=lambda i: -(u[0] @ u[i]))
    found = vectors.most_similar("w0", topn=7)
    assert [word for word, _ in found] == [f"w{i}" for i in near[:7]]
    close(np.array([s for _, s in found]), np.array([u[0] @ u[i] for i in near[:7]]), 16)
    assert vectors.most_similar(vectors["w0"], topn=1)[0][0] == "w0"  # a vector is no word
    assert len(vectors.most_similar("w0", topn=100)) == 39
    assert vectors.most_similar("w0", topn=0) == []
    assert abs(vectors.similarity("w0", "w5") - u[0] @ u[5]) < 16 * EPS
    a, b, c = u[:3]
    others = range(3, 40)
    add = max(others, key=lambda i: u[i] @ (b - a + c))
    assert vectors.most_similar(["w1", "w2"], "w0", 1)[0][0] == f"w{add}"
    half = lambda x, y: (1 + x @ y) / 2
    score = lambda i: half(u[i], b) * half(u[i], c) / (half(u[i], a) + 1e-6)
    word, value = vectors.most_similar_cosmul(["w1", "w2"], ["w0"], 1)[0]
    assert word == f"w{max(others, key=score)}"
    assert abs(value - max(map(score, others))) < 64 * EPS * value
    questions = [("w0", "w1", "w2", f"w{add}"), ("w0", "w1", "w2", "w0"), ("w0", "x", "w1", "w2")]
    assert vectors.evaluate_analogies(questions) == 0.5
    for bad in (
        lambda: vectors.most_similar(),
        lambda: vectors.most_similar(np.zeros(3)),
        lambda: vectors.evaluate_analogies([("w0", "w1", "w2", "x")]),
    ):
        with pytest.raises(ValueError):
            bad()


def test_vectors_of_bad_form_are_refused():
    for words, rows in (
        (["a"], np.zeros((2, 3))), (["a"], np.zeros(3)), (["a"], [[1]]), (["a", "a"], np.eye(2)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="WordVectors"):
            text.WordVectors(words, rows)


WORDS = ["the", "naïve", "東京", "don't"]


@pytest.mark.parametrize("form", ["text", "binary", "glove"])
def test_files_give_vectors_back(form, tmp_path, rng):
    rows = rng.standard_normal((4, 30_000 if form == "binary" else 3)).astype(np.float32)
    rows[0, :2] = 1e-30, 10
    path = tmp_path / "vectors"
    ours = text.WordVectors(WORDS, rows)
    load = text.WordVectors.load_word2vec_format
    if form == "glove":
        ours.save_glove_format(path)
        load = text.WordVectors.load_glove_format
        again, first = load(path), load(path, limit=2)
    else:
        ours.save_word2vec_format(path, binary=form == "binary")
        again, first = (load(path, form == "binary", limit=n) for n in (None, 2))
    assert again.index_to_key == WORDS
    assert again.vectors.dtype is fastdl.float32
    assert (again.vectors.numpy() == rows).all()
    assert first.index_to_key == WORDS[:2]
    with pytest.raises(ValueError, match="separated"):
        text.WordVectors(["a b"], rows[:1]).save_glove_format(path)


def test_files_of_the_original_programs(tmp_path):
    """word2vec's own writer ends a text line with a blank, and a binary one may lack its end."""
    path = tmp_path / "file"
    path.write_bytes(b"2 3\n</s> 0.5 -1.25 2e-3 \nword 1 2 3 \n")
    found = text.WordVectors.load_word2vec_format(path)
    assert found.vectors.tolist() == np.float32([[0.5, -1.25, 2e-3], [1, 2, 3]]).tolist()
    numbers = struct.pack("<3f", 1, 2, 3), struct.pack("<3f", *[8.4e-32] * 3)  # holds blanks, \n
    for end in (b"\n", b""):
        path.write_bytes(b"2 3\na " + numbers[0] + end + b"b " + numbers[1] + end)
        found = text.WordVectors.load_word2vec_format(path, binary=True)
        assert found.index_to_key == ["a", "b"]
        assert found.vectors.numpy().astype("<f4").tobytes() == b"".join(numbers)
    path.write_bytes(b". . . 1 2\nat name@domain.com 3 4\n")
    found = text.WordVectors.load_glove_format(path, size=2)
    assert found.index_to_key == [". . .", "at name@domain.com"]


@pytest.mark.parametrize(
    ("data", "binary"),
    [
        (b"", False), (b"two 3\na 1 2 3\n", False), (b"2\na 1 2\n", False), (b"2 0\na\nb\n", False),
        (b"2 2\na 1 2\n", False), (b"1 2\na 1\n", False), (b"1 2\na 1 x\n", False),
        (b"2 2\na " + bytes(8) + b"b " + bytes(7), True), (b"1 2\nabcdefghijkl", True),
        (b"9999999999999 9999999999\na 1\n", False), (b"2 1\na 1\na 2\n", False),
    ],
    ids=str,
)  # fmt: skip
def test_files_of_bad_form_are_refused(data, binary, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"file|twice|more than once"):
        text.WordVectors.load_word2vec_format(path, binary)


@pytest.mark.parametrize("data", [b"", b"word\n", b"a 1 2\nb 1\n", b"a 1 2\nb 1 x\n"])
def test_glove_files_of_bad_form_are_refused(data, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="file"):
        text.WordVectors.load_glove_format(path)
