"""flex_attention and block masks against PyTorch in float64."""

import warnings

import numpy as np
import pytest

import fastdl
from fastdl.nn.attention import flex_attention as ours

LENGTHS = 10, 12
# names in the functions: t the library, B a bias per head, T a table, D documents of the keys
SCORES = {
    "none": lambda t, B, T: None,
    "bias": lambda t, B, T: lambda s, b, h, i, j: s + B[h],
    "table": lambda t, B, T: lambda s, b, h, i, j: s * 2 + T[b, h, i, j],
    "distance": lambda t, B, T: lambda s, b, h, i, j: s + (i - j) * 0.1,
    "capped": lambda t, B, T: lambda s, b, h, i, j: 3 * t.tanh(s / 3),
    "causal": lambda t, B, T: lambda s, b, h, i, j: t.where(i >= j, s, -float("inf")),
}
MASKS = {
    "none": lambda f, D: None,
    "causal": lambda f, D: lambda b, h, i, j: i >= j,
    "window": lambda f, D: f.and_masks(lambda b, h, i, j: i >= j, lambda b, h, i, j: i - j < 3),
    "documents": lambda f, D: lambda b, h, i, j: D[b, i] == D[b, j],
    "rows of nothing": lambda f, D: lambda b, h, i, j: (i > 3) & (j < h + 2),
    "either": lambda f, D: f.or_masks(lambda b, h, i, j: i < j, lambda b, h, i, j: b == h),
}


@pytest.fixture
def theirs(monkeypatch):
    """PyTorch's module, run as it is: by default it compiles, which takes seconds."""
    pytest.importorskip("torch")
    module = pytest.importorskip("torch.nn.attention.flex_attention")
    monkeypatch.setattr(module, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    return module


def arrays():
    rng = np.random.default_rng(0)
    shapes = (2, 4, 10, 8), (2, 2, 12, 8), (2, 2, 12, 5), (4,), (2, 4, *LENGTHS)
    return [rng.standard_normal(shape) for shape in shapes], rng.integers(0, 2, (2, 12))


def masked(t, flex, name):
    """The block mask, and its function."""
    mod = MASKS[name](flex, t.tensor(arrays()[1]))
    if mod is None:
        return None, None
    sizes = {"documents": (2, None), "rows of nothing": (None, 4), "either": (2, 4)}
    outer = sizes.get(name, (None, None))
    return flex.create_block_mask(mod, *outer, *LENGTHS, device="cpu", BLOCK_SIZE=4), mod


def close(a, b):
    a, b = (np.asarray(x.detach().numpy()) for x in (a, b))
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-12)  # sums of 12 terms of order 1


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("score", SCORES)
def test_attention_matches_torch(score, mask, theirs):
    import torch

    results = []
    for t, flex in ((torch, theirs), (fastdl, ours)):
        q, k, v, bias, table = map(t.tensor, arrays()[0])
        mod, (blocks, _) = SCORES[score](t, bias, table), masked(t, flex, mask)
        y = flex.flex_attention(q, k, v, mod, blocks, enable_gqa=True)
        aux = flex.AuxRequest(lse=True)
        again, aux = flex.flex_attention(
            q, k, v, mod, blocks, scale=0.5, enable_gqa=True, return_aux=aux
        )
        assert aux.max_scores is None
        results.append([y, again, aux.lse])
    for a, b in zip(*results):
        close(a, b)


@pytest.mark.parametrize("mask", [name for name in MASKS if name != "none"])
def test_block_masks_match_torch(mask, theirs):
    import torch

    found, words = [], []
    for t, flex in ((torch, theirs), (fastdl, ours)):
        blocks, mod = masked(t, flex, mask)
        parts = [blocks, blocks[0], blocks[:, -1]]
        if mask == "causal":  # PyTorch's crop is right where each row begins with its blocks
            parts.append(blocks._adjust(7, 5))
        whole = flex.create_block_mask(mod, 2, 4, *LENGTHS, "cpu", (4, 8), False, False)
        assert whole.full_kv_indices is None
        found.append([flex.create_mask(mod, 2, 4, *LENGTHS, "cpu"), whole.kv_indices])
        for part in parts:
            counts = [part.kv_num_blocks, part.full_kv_num_blocks, part.q_num_blocks]
            found[-1] += [*counts, part.full_q_num_blocks, part.to_dense()]
            assert part.to("cpu").shape == part.shape
        lists = [blocks.kv_indices, blocks.full_kv_indices, blocks.q_indices, blocks.full_q_indices]
        found[-1] += lists
        text = [str(blocks), repr(blocks), repr(blocks.shape), blocks.numel(), blocks.sparsity()]
        words.append([str(x).replace(t.__name__, "").split("...")[0] for x in text])
        assert len(blocks.as_tuple()) == 17
        assert blocks.as_tuple(flatten=False)[0] == LENGTHS
    for a, b in zip(*found):
        close(a, b)
    assert words[0] == words[1]


def test_masks_of_scores_match_torch(theirs):
    import torch

    causal = [
        flex.create_mask(SCORES["causal"](t, None, None), None, 2, 3, 5, "cpu")
        for t, flex in ((torch, theirs), (fastdl, ours))
    ]
    close(*causal)


@pytest.mark.parametrize("mask", ["none", "rows of nothing"])
def test_gradients_reach_captured_tensors(mask):
    """PyTorch has none on a CPU: finite differences."""
    q, k, v, bias, _ = (fastdl.tensor(x[..., :5], requires_grad=True) for x in arrays()[0])
    blocks, _ = masked(fastdl, ours, mask)

    def f(q, k, v, bias):
        score = lambda s, b, h, i, j: s * bias[h] + i * bias[0]
        aux = ours.AuxRequest(lse=True, max_scores=True)
        y, aux = ours.flex_attention(q, k, v, score, blocks, enable_gqa=True, return_aux=aux)
        return y, fastdl.exp(aux.lse), fastdl.exp(aux.max_scores)

    inputs = [q[:1], k[:1, :, :], v[:1], bias[:4]] if mask == "none" else [q, k, v, bias]
    assert fastdl.autograd.gradcheck(f, inputs, fast_mode=True)


REFUSED = {
    "heads": lambda t, f, x: f.flex_attention(x, x[:, :1], x[:, :1]),
    "groups": lambda t, f, x: f.flex_attention(x[:, :3], x[:, :2], x[:, :2], enable_gqa=True),
    "batch": lambda t, f, x: f.flex_attention(x, x[:1], x[:1]),
    "dimensions": lambda t, f, x: f.flex_attention(x[0], x[0], x[0]),
    "width": lambda t, f, x: f.flex_attention(x, x[..., :2], x),
    "lengths": lambda t, f, x: f.flex_attention(
        x, x, x, block_mask=f.create_block_mask(f.noop_mask, 1, 1, 4, 9, "cpu")
    ),
    "sliced": lambda t, f, x: f.flex_attention(
        x, x, x, block_mask=f.create_block_mask(f.noop_mask, 1, 1, 5, 5, "cpu")[0]
    ),
    "both": lambda t, f, x: f.flex_attention(
        x, x, x, return_lse=True, return_aux=f.AuxRequest(lse=True)
    ),
    "arguments": lambda t, f, x: f.create_mask(lambda a, b: a, 1, 1, 2, 2, "cpu"),
    "score": lambda t, f, x: f.create_block_mask(lambda a, b, c, d, e: a, 1, 1, 2, 2, "cpu"),
    "joined": lambda t, f, x: f.and_masks(1),
    "rank": lambda t, f, x: f.BlockMask.from_kv_blocks(t.ones(2), t.ones(2)),
    "half": lambda t, f, x: f.BlockMask.from_kv_blocks(t.ones(2), t.ones(2, 2), t.ones(2)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_by_torch(name, theirs):
    import torch

    with pytest.raises(Exception) as expected:
        REFUSED[name](torch, theirs, torch.ones(2, 4, 5, 3))
    with pytest.raises(type(expected.value)):
        REFUSED[name](fastdl, ours, fastdl.ones(2, 4, 5, 3))


def test_old_form_and_keys_of_all_batches(theirs):
    import torch

    results = []
    for t, flex in ((torch, theirs), (fastdl, ours)):
        q, k, v = (t.tensor(x[:, :2]) for x in arrays()[0][:3])
        blocks = flex.create_block_mask(lambda b, h, i, j: i + b >= j, 2, None, *LENGTHS, "cpu")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results.append(flex.flex_attention(q, k[:1], v[:1], None, blocks, return_lse=True))
    for a, b in zip(*results):
        close(a, b)
