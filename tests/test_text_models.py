"""fastdl.text.models and what trains them: PyTorch's with the same weights, and decoding."""

import doctest
import itertools
import math
from importlib import import_module

import numpy as np
import pytest

import fastdl
from fastdl import text
from fastdl.nn import functional as F
from fastdl.text import models

PARTS = ["classifier", "gru_translator", "language", "transformer_translator"]
TOLERANCE = 1e-7  # of float64 results of a few thousand roundings


@pytest.mark.parametrize("part", ["sequences", *(f"models.{part}" for part in PARTS)])
def test_examples_hold(part):
    found = doctest.testmod(import_module(f"fastdl.text.{part}"))
    assert found.failed == 0
    assert found.attempted


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def close(ours, theirs):
    theirs = theirs.detach().numpy()
    scale = max(1.0, np.abs(theirs).max())
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=0, atol=TOLERANCE * scale)


def same_weights(ours, theirs):
    """Both in float64 with the weights of `theirs`, whose names are ours."""
    theirs.double(), ours.double()
    state = {name: fastdl.tensor(w.detach().numpy()) for name, w in theirs.state_dict().items()}
    ours.load_state_dict(state)


def same_gradients(ours, theirs):
    wanted = dict(theirs.named_parameters())
    assert {name for name, _ in ours.named_parameters()} == set(wanted)
    for name, p in ours.named_parameters():
        close(p.grad, wanted[name].grad)


SRC = np.array([[3, 4, 5, 6, 2], [7, 8, 2, 0, 0], [5, 2, 0, 0, 0], [9, 3, 4, 2, 0]])
TGT = np.array([[4, 5, 6, 2], [7, 2, 0, 0], [8, 9, 3, 2], [3, 4, 2, 0]])
LENGTHS = [5, 3, 2, 4]


def both(torch, array):
    return fastdl.tensor(array), torch.tensor(array)


# ---- recurrent translator ----------------------------------------------------------------------


def gru_translator(num_layers=1, **options):
    fastdl.manual_seed(1)
    return models.GRUTranslator(
        10, 11, embedding_size=6, hidden_size=8, num_layers=num_layers, attention_size=7, **options
    )


def gru_twin(torch, layers):
    """The same network as PyTorch's tutorials write it."""
    nn, rnn = torch.nn, torch.nn.utils.rnn

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(8, 7, bias=False)
            self.key = nn.Linear(16, 7)
            self.score = nn.Linear(7, 1, bias=False)

    class Twin(nn.Module):
        def __init__(self):
            super().__init__()
            self.src_embedding = nn.Embedding(10, 6, padding_idx=0)
            self.tgt_embedding = nn.Embedding(11, 6, padding_idx=0)
            self.encoder = nn.GRU(6, 8, layers, batch_first=True, bidirectional=True)
            self.bridge = nn.Linear(16, 8)
            self.attention = Attention()
            self.decoder = nn.GRU(6 + 16, 8, layers, batch_first=True)
            self.head = nn.Linear(8 + 16 + 6, 11)

        def forward(self, src, tgt, lengths):
            packed = rnn.pack_padded_sequence(
                self.src_embedding(src), lengths, batch_first=True, enforce_sorted=False
            )
            memory, last = self.encoder(packed)
            memory, _ = rnn.pad_packed_sequence(memory, batch_first=True)
            hidden = torch.stack(
                [torch.cat([last[2 * i], last[2 * i + 1]], -1) for i in range(layers)]
            )
            hidden = torch.tanh(self.bridge(hidden))
            padding = torch.arange(src.shape[1]) >= torch.tensor(lengths)[:, None]
            logits, weights = [], []
            for token in tgt.unbind(1):
                a = self.attention
                energy = torch.tanh(a.query(hidden[-1])[:, None] + a.key(memory))
                scores = a.score(energy)[..., 0].masked_fill(padding, -math.inf)
                weight = scores.softmax(-1)
                context = torch.einsum("ns,nsk->nk", weight, memory)
                embedded = self.tgt_embedding(token)
                given = torch.cat([embedded, context], -1)[:, None]
                output, hidden = self.decoder(given, hidden)
                logits.append(self.head(torch.cat([output[:, 0], context, embedded], -1)))
                weights.append(weight)
            return torch.stack(logits, 1), torch.stack(weights, 1)

    torch.manual_seed(0)
    return Twin()


@pytest.mark.parametrize("layers", [1, 2])
def test_gru_translator_is_pytorchs(layers):
    torch = pytest.importorskip("torch")
    ours, theirs = gru_translator(layers), gru_twin(torch, layers)
    same_weights(ours, theirs)
    (src, src_t), (tgt, tgt_t) = both(torch, SRC), both(torch, TGT)
    logits, weights = ours(src, text.shift_right(tgt, 1))
    start = torch.ones(4, 1, dtype=torch.int64)
    wanted, wanted_weights = theirs(src_t, torch.cat([start, tgt_t[:, :-1]], 1), LENGTHS)
    close(logits, wanted)
    close(weights, wanted_weights)
    assert not weights[1, :, 3:].any()
    text.sequence_loss(logits, tgt, ignore_index=0).backward()
    torch.nn.functional.cross_entropy(
        wanted.flatten(0, 1), tgt_t.flatten(), ignore_index=0
    ).backward()
    same_gradients(ours, theirs)
    given, _ = ours(src, text.shift_right(tgt, 1), src_lengths=fastdl.tensor(LENGTHS))
    assert fastdl.equal(given, logits)


def test_teacher_forcing_feeds_what_it_says():
    model = gru_translator().double()
    src = fastdl.tensor(SRC)
    given = text.shift_right(fastdl.tensor(TGT), 1)
    with fastdl.no_grad():
        free, _ = model(src, given, teacher_forcing_ratio=0.0)
        fed = text.shift_right(free.argmax(-1), 1)
        assert fastdl.allclose(model(src, fed)[0], free, rtol=0, atol=TOLERANCE)
        fastdl.manual_seed(0)
        some = model(src, given, teacher_forcing_ratio=0.5)[0]
        assert not fastdl.allclose(some, free)
        assert not fastdl.allclose(some, model(src, given)[0])
        fastdl.manual_seed(0)
        assert fastdl.equal(model(src, given, teacher_forcing_ratio=0.5)[0], some)
    logits, _ = model(src, given, teacher_forcing_ratio=0.5)
    logits.sum().backward()
    assert all(p.grad.abs().max() > 0 for p in model.parameters())
    with pytest.raises(ValueError, match="teacher_forcing_ratio"):
        model(src, given, teacher_forcing_ratio=1.5)


# ---- transformers ------------------------------------------------------------------------------


def transformer_translator(**options):
    fastdl.manual_seed(1)
    options = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0} | options
    return models.TransformerTranslator(
        10, 11, num_encoder_layers=2, num_decoder_layers=2, max_len=24, **options
    )


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_translator_is_pytorchs(norm_first):
    torch = pytest.importorskip("torch")
    ours = transformer_translator(norm_first=norm_first)
    positions = torch.tensor(ours.positions.pe.numpy().astype(np.float64))

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.src_embedding = torch.nn.Embedding(10, 8, padding_idx=0)
            self.tgt_embedding = torch.nn.Embedding(11, 8, padding_idx=0)
            self.transformer = torch.nn.Transformer(
                8, 2, 2, 2, 12, 0.0, batch_first=True, norm_first=norm_first
            )
            self.head = torch.nn.Linear(8, 11)

        def forward(self, src, tgt):
            s, t = (
                embedding(ids) * 8**0.5 + positions[: ids.shape[1]]
                for embedding, ids in ((self.src_embedding, src), (self.tgt_embedding, tgt))
            )
            later = torch.ones(tgt.shape[1], tgt.shape[1]).triu(1).bool()
            y = self.transformer(
                s, t, tgt_mask=later, src_key_padding_mask=src == 0,
                memory_key_padding_mask=src == 0, tgt_is_causal=True,
            )  # fmt: skip
            return self.head(y)

    torch.manual_seed(0)
    theirs = Twin()
    same_weights(ours, theirs)
    (src, src_t), (tgt, tgt_t) = both(torch, SRC), both(torch, TGT)
    logits, wanted = ours(src, tgt), theirs(src_t, tgt_t)
    close(logits, wanted)
    text.sequence_loss(logits, tgt, ignore_index=0, label_smoothing=0.1).backward()
    torch.nn.functional.cross_entropy(
        wanted.flatten(0, 1), tgt_t.flatten(), ignore_index=0, label_smoothing=0.1
    ).backward()
    same_gradients(ours, theirs)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_classifier_is_pytorchs(pooling, positions, norm_first):
    torch = pytest.importorskip("torch")
    fastdl.manual_seed(1)
    ours = models.TransformerClassifier(
        10, 3, 8, 2, 2, 12, 0.0, norm_first=norm_first, pooling=pooling, positions=positions,
        max_len=6,
    )  # fmt: skip
    table = None
    if positions == "sinusoidal":
        table = torch.tensor(ours.positions.pe.numpy().astype(np.float64))

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(10, 8, padding_idx=0)
            if pooling == "cls":
                self.cls = torch.nn.Parameter(torch.randn(8))
            if table is None:
                self.positions = torch.nn.Embedding(7 if pooling == "cls" else 6, 8)
            layer = torch.nn.TransformerEncoderLayer(
                8, 2, 12, 0.0, "gelu", batch_first=True, norm_first=norm_first
            )
            norm = torch.nn.LayerNorm(8) if norm_first else None
            self.encoder = torch.nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False)
            self.head = torch.nn.Linear(8, 3)

        def forward(self, ids):
            x, padding = self.embedding(ids) * 8**0.5, ids == 0
            if pooling == "cls":
                x = torch.cat([self.cls.expand(len(ids), 1, 8), x], 1)
                padding = torch.nn.functional.pad(padding, (1, 0))
            x = x + (self.positions.weight if table is None else table)[: x.shape[1]]
            x = self.encoder(x, src_key_padding_mask=padding)
            if pooling == "cls":
                return self.head(x[:, 0])
            kept = (~padding)[..., None].double()
            return self.head((x * kept).sum(1) / kept.sum(1))

    torch.manual_seed(0)
    theirs = Twin()
    same_weights(ours, theirs)
    ids, ids_t = both(torch, SRC)
    logits, wanted = ours(ids), theirs(ids_t)
    close(logits, wanted)
    labels, labels_t = both(torch, np.array([0, 2, 1, 2]))
    F.cross_entropy(logits, labels).backward()
    torch.nn.functional.cross_entropy(wanted, labels_t).backward()
    same_gradients(ours, theirs)
    close(ours(ids, fastdl.tensor(LENGTHS)), wanted)


def test_classifier_sees_no_padding_and_refuses():
    fastdl.manual_seed(0)
    ids = fastdl.tensor([[3, 4, 5]])
    padded = fastdl.tensor([[3, 4, 5, 0, 0], [0] * 5])
    for pooling in ("mean", "cls"):
        model = models.TransformerClassifier(10, 3, 8, 2, 1, 12, pooling=pooling, max_len=5)
        model.double().eval()
        assert fastdl.allclose(model(padded)[:1], model(ids), rtol=0, atol=TOLERANCE)
        assert model(padded).isfinite().all()  # of a text without a token too
    for wrong in ({"pooling": "max"}, {"positions": "none"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            models.TransformerClassifier(10, 3, **wrong)
    with pytest.raises(ValueError, match="max_len=5"):
        model(fastdl.ones(1, 6, dtype=fastdl.int64))


# ---- decoding ----------------------------------------------------------------------------------


def logits_of(model, src, given):
    found = model(src, given)
    return found[0] if isinstance(found, tuple) else found


MAKERS = [gru_translator, transformer_translator, lambda: transformer_translator(norm_first=True)]


@pytest.mark.parametrize("make", MAKERS)
def test_decoding_in_pieces_is_the_whole(make):
    model = make().double().eval()
    src = fastdl.tensor(SRC)
    given = fastdl.tensor(np.random.default_rng(0).integers(1, 11, (4, 9)))
    with fastdl.no_grad():
        wanted = logits_of(model, src, given)
        for cuts in ([0, 9], [0, 1, 2, 5, 9], [0, 4, 5, 9]):
            state = model.encode(src)
            parts = [model.decode(given[:, a:b], state) for a, b in itertools.pairwise(cuts)]
            assert state.length == 9
            assert fastdl.allclose(fastdl.cat(parts, 1), wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("make", MAKERS)
def test_greedy_translation_is_step_by_step(make):
    model = make().double()
    src = fastdl.tensor(SRC)
    found = model.translate(src, max_new_tokens=7)
    assert model.training
    model.eval()
    given = fastdl.full((4, 1), 1)
    ended = np.zeros(4, bool)
    while given.shape[1] <= 7 and not ended.all():
        with fastdl.no_grad():
            token = logits_of(model, src, given)[:, -1].argmax(-1).numpy()
        token = np.where(ended, 0, token)
        ended |= token == 2
        given = fastdl.cat([given, fastdl.tensor(token[:, None])], 1)
    assert found.tolist() == given[:, 1:].tolist()


@pytest.mark.parametrize("make", MAKERS)
def test_beams_enough_for_all_find_the_best_translation(make):
    """Three tokens of eleven, all continuations scored one by one."""
    model = make().double().eval()
    for p in model.parameters():
        p.requires_grad_(False).mul_(2.0)  # sharper, so that no two are nearly the same
    src = fastdl.tensor(SRC[:2])
    found = model.translate(src, max_new_tokens=3, num_beams=1331, length_penalty=0.7)
    every = np.array([*itertools.product(range(11), repeat=3)])
    for row in range(2):
        sources = src[row : row + 1].expand(len(every), 5)
        logits = logits_of(model, sources, text.shift_right(fastdl.tensor(every), 1))
        logs = F.log_softmax(logits, -1).numpy()
        best = {}
        for tokens, log in zip(every, logs, strict=True):
            n = min([*np.flatnonzero(tokens == 2), 2]) + 1
            score = log[np.arange(n), tokens[:n]].sum() / n**0.7
            best[tuple(tokens[:n].tolist())] = score
        wanted = [*max(best, key=best.get)]
        assert found[row].tolist() == wanted + [0] * (found.shape[1] - len(wanted))


def test_translation_takes_the_options_of_generate():
    model = transformer_translator()
    src = fastdl.tensor(SRC)
    fastdl.manual_seed(0)
    drawn = model.translate(src, max_new_tokens=6, do_sample=True, temperature=3.0)
    fastdl.manual_seed(0)
    again = model.translate(src, max_new_tokens=6, do_sample=True, temperature=3.0)
    assert drawn.tolist() == again.tolist()
    never = model.translate(src, max_new_tokens=6, eos_token_id=None)
    assert never.shape == (4, 6)
    with pytest.raises(ValueError, match="beyond"):
        model.translate(src, max_new_tokens=30, eos_token_id=None)
    tied = transformer_translator(tie_weights=True)
    assert tied.head.weight is tied.tgt_embedding.weight
    assert len([*tied.parameters()]) == len([*model.parameters()]) - 1
    with pytest.raises(NotImplementedError):
        models.EncoderDecoder().translate(src)


def test_generate_goes_on_from_a_cache():
    model = text.GPT2(vocab_size=11, n_positions=32, n_embd=16, n_layer=2, n_head=4)
    ids = fastdl.tensor([[1, 2, 3], [7, 7, 0]])
    model.eval()
    for options in ({}, {"num_beams": 3}):
        cache = text.KVCache()
        with fastdl.no_grad():
            model(ids[:, :2], cache=cache)
        found = text.generate(model, ids, 5, cache=cache, **options)
        assert found.tolist() == text.generate(model, ids, 5, **options).tolist()
        assert cache.length == 7
    with pytest.raises(ValueError, match="use_cache"):
        text.generate(model, ids, 5, cache=cache, use_cache=False)


# ---- recurrent language model ------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_language_model_is_pytorchs(cell, rng):
    torch = pytest.importorskip("torch")
    ours = models.RecurrentLanguageModel(9, 6, 8, 2, cell=cell)

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(9, 6)
            self.rnn = getattr(torch.nn, cell.upper())(6, 8, 2, batch_first=True)
            self.head = torch.nn.Linear(8, 9)

        def forward(self, ids, hx=None):
            y, hx = self.rnn(self.embedding(ids), hx)
            return self.head(y), hx

    torch.manual_seed(0)
    theirs = Twin()
    same_weights(ours, theirs)
    ids, ids_t = both(torch, rng.integers(0, 9, (3, 12)))
    state = text.DecoderState()
    loss, wanted_loss, hx = 0.0, 0.0, None
    for start in (0, 6):  # truncated backpropagation through time
        logits = ours(ids[:, start : start + 6], state)
        wanted, hx = theirs(ids_t[:, start : start + 6], hx)
        close(logits, wanted)
        loss = loss + (logits**2).mean()
        wanted_loss = wanted_loss + (wanted**2).mean()
        state.detach()
        hx = tuple(h.detach() for h in hx) if cell == "lstm" else hx.detach()
    loss.backward(), wanted_loss.backward()
    same_gradients(ours, theirs)
    assert state.length == 12


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"do_sample": True, "top_k": 4}])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_language_model_generates_the_same_with_states_kept(cell, options):
    fastdl.manual_seed(0)
    model = models.RecurrentLanguageModel(9, 6, 8, 2, cell=cell, dropout=0.1)
    for p in model.parameters():
        p.requires_grad_(False).mul_(4.0)
    ids = fastdl.tensor([[1, 2, 3], [7, 7, 0]])
    found = []
    for use_cache in (True, False):
        fastdl.manual_seed(3)
        found.append(model.generate(ids, 12, use_cache=use_cache, **options).tolist())
    assert found[0] == found[1]
    assert len({tuple(row[3:]) for row in found[0]}) == 2


def test_language_model_refuses_and_ties():
    tied = models.RecurrentLanguageModel(9, 8, 8, tie_weights=True)
    assert tied.head.weight is tied.embedding.weight
    with pytest.raises(ValueError, match="tie_weights"):
        models.RecurrentLanguageModel(9, 6, 8, tie_weights=True)
    with pytest.raises(ValueError, match="'sru'"):
        models.RecurrentLanguageModel(9, cell="sru")


# ---- masks, losses, teacher forcing ------------------------------------------------------------


def test_masks():
    ids = fastdl.tensor(SRC)
    assert text.padding_mask(ids, 0).tolist() == (SRC == 0).tolist()
    assert text.length_mask(fastdl.tensor(LENGTHS)).tolist() == (SRC == 0).tolist()
    assert text.length_mask(fastdl.tensor([1, 0]), 2).tolist() == [[False, True], [True, True]]
    assert text.length_mask(fastdl.zeros(0, dtype=fastdl.int64)).shape == (0, 0)
    later = ~np.tri(3, 5, 2, dtype=bool)
    assert text.causal_mask(3, before=2).tolist() == later.tolist()
    square = fastdl.nn.Transformer.generate_square_subsequent_mask(4)
    assert fastdl.equal(text.causal_mask(4), square == -math.inf)
    with pytest.raises(ValueError, match="length_mask"):
        text.length_mask(fastdl.ones(2, 2))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("by_mask", [False, True])
def test_sequence_loss_is_pytorchs(smoothing, by_mask, rng):
    torch = pytest.importorskip("torch")
    logits, logits_t = both(torch, rng.standard_normal((4, 4, 11)))
    logits.requires_grad_(), logits_t.requires_grad_()
    target = fastdl.tensor(TGT)
    how = {"mask": target != 0} if by_mask else {"ignore_index": 0}
    for reduction in ("mean", "sum", "none", "sequence"):
        loss = text.sequence_loss(
            logits, target, **how, label_smoothing=smoothing, reduction=reduction
        )
        wanted = torch.nn.functional.cross_entropy(
            logits_t.flatten(0, 1), torch.tensor(TGT).flatten(), ignore_index=0,
            label_smoothing=smoothing, reduction=reduction if len(reduction) < 5 else "none",
        )  # fmt: skip
        if reduction == "none":
            wanted = wanted.view(4, 4)
        elif reduction == "sequence":
            wanted = wanted.view(4, 4).sum(1).mean()
        close(loss, wanted)
        logits.grad = logits_t.grad = None
        (loss**2).sum().backward(), (wanted**2).sum().backward()
        close(logits.grad, logits_t.grad)
    assert not logits.grad[1, 2:].any()


def test_sequence_loss_refuses():
    logits, target = fastdl.zeros(2, 3, 4), fastdl.zeros(2, 3, dtype=fastdl.int64)
    for arguments in (
        {"target": target[:, :2]},
        {"mask": target[0] == 0},
        {"reduction": "batchmean"},
    ):
        with pytest.raises(ValueError, match="sequence_loss"):
            text.sequence_loss(**{"logits": logits, "target": target} | arguments)


def test_teacher_forcing_ratio():
    ratio = text.teacher_forcing_ratio
    for decay, k in (("linear", 50), ("exponential", 0.98), ("inverse_sigmoid", 20)):
        found = [ratio(step, decay, k, 0.1) for step in range(0, 400, 20)]
        assert found == sorted(found, reverse=True)
        assert found[0] > 0.95
        assert found[-1] == 0.1
    assert ratio(40, "inverse_sigmoid", 20) == 20 / (20 + math.exp(2))
    assert ratio(10**9, "inverse_sigmoid", 1) < 1e-300
    for wrong in ((0, "cosine", 1), (-1, "linear", 1), (0, "exponential", 1.5), (0, "linear", 0)):
        with pytest.raises(ValueError, match="teacher_forcing_ratio"):
            ratio(*wrong)


def test_mixed_tokens():
    fastdl.manual_seed(0)
    given, predicted = fastdl.full((200, 50), 3), fastdl.full((200, 50), 4)
    share = (text.mix_tokens(given, predicted, 0.3) == 3).double().mean().item()
    assert abs(share - 0.3) < 6 * (0.21 / 10**4) ** 0.5
    with pytest.raises(ValueError, match="ratio"):
        text.mix_tokens(given, predicted, 1.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("queries", [1, 4])
def test_attention_of_few_queries(queries, dtype, rng):
    """Without gradients: the definition's products in place of the tiled kernel, also on part of a
    cache; the same as with gradients."""
    q = fastdl.tensor(rng.standard_normal((2, 3, queries, 24)).astype(dtype))
    store = rng.standard_normal((2, 2, 3, 50, 24)).astype(dtype)
    k, v = (fastdl.from_numpy(s)[:, :, :37] for s in store)
    found = F.scaled_dot_product_attention(q, k, v, scale=0.7).numpy()
    scores = 0.7 * q.numpy().astype(np.float64) @ store[0][:, :, :37].swapaxes(2, 3)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    wanted = p / p.sum(-1, keepdims=True) @ store[1][:, :, :37]
    tolerance = 64 * np.finfo(dtype).eps * np.abs(store).max()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
    recorded = F.scaled_dot_product_attention(q.requires_grad_(), k, v, scale=0.7)
    assert "ScaledDotProductAttention" in recorded.grad_fn.name()
    np.testing.assert_allclose(recorded.detach().numpy(), found, rtol=0, atol=tolerance)
