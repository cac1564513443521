"""Attention in several heads and transformers against PyTorch; dropout by its statistics."""

import contextlib
import itertools

import numpy as np
import pytest

import fastdl
from fastdl import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")

EPS = np.finfo(np.float64).eps


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def same_weights(ours, theirs):
    """Both in float64 with the weights of `ours`, which are first moved away from 0 and 1."""
    ours.double(), theirs.double()
    assert repr(ours) == repr(theirs)
    rng = np.random.default_rng(3)
    with fastdl.no_grad():
        for p in ours.parameters():
            p += fastdl.tensor(0.1 * rng.standard_normal(tuple(p.shape)))
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in state.items()})


def both(ours, theirs, call, arrays, terms):
    """`call(layer, lib, *tensors)` gives a tensor or several: they, the gradients of the floating
    `arrays` and those of the parameters agree to `terms` roundings of the largest value."""
    found = []
    for lib, layer in ((fastdl, ours), (torch, theirs)):
        xs = [lib.tensor(a) for a in arrays]
        wanted = [x.requires_grad_() for x in xs if x.is_floating_point()]
        y = call(layer, lib, *xs)
        ys = [z for z in (y if isinstance(y, tuple) else (y,)) if z is not None]
        weight = sum((z * (z.detach() + 1).cos()).sum() for z in ys)
        slopes = lib.autograd.grad(weight, [*wanted, *layer.parameters()], allow_unused=True)
        found.append([*ys, *slopes])
    assert len(found[0]) == len(found[1])
    for a, b in zip(*found, strict=True):
        a, b = (0 * np.ones(1) if x is None else x.detach().numpy() for x in (a, b))
        assert a.shape == b.shape or not (a.any() or b.any())
        scale = max(1.0, np.abs(b).max(initial=0))
        np.testing.assert_allclose(a, b, rtol=0, atol=terms * EPS * scale)


LAYERS = {
    "plain": {},
    "batch_first": {"batch_first": True},
    "no_bias": {"bias": False},
    "other_widths": {"kdim": 6, "vdim": 10, "batch_first": True},
    "other_keys": {"kdim": 6},
    "keys_added": {"add_bias_kv": True, "add_zero_attn": True},
    "keys_added_of_other_widths": {"add_bias_kv": True, "vdim": 10, "batch_first": True},
    "zero_key": {"add_zero_attn": True, "batch_first": True},
}


# of keys and of pairs: none, bool or floating; 2-D or 3-D
MASKS = list(itertools.product("-bf", ["-", "2b", "3b", "2f", "3f"]))


@pytest.mark.parametrize("weights", ["none", "mean", "each"])
@pytest.mark.parametrize("masks", MASKS, ids="".join)
@pytest.mark.parametrize("layer", LAYERS)
def test_multihead_attention(layer, masks, weights, rng):
    options, (n, length, keys) = LAYERS[layer], (2, 3, 5)
    build = lambda lib: lib.nn.MultiheadAttention(8, 4, **options)
    ours, theirs = build(fastdl), build(torch)
    same_weights(ours, theirs)
    order = (lambda a: a) if options.get("batch_first") else (lambda a: a.swapaxes(0, 1))
    arrays = [
        order(rng.standard_normal((n, at, width)))
        for at, width in ((length, 8), (keys, ours.kdim), (keys, ours.vdim))
    ]
    padding = rng.random((n, keys)) < 0.4 if masks[0] == "b" else rng.standard_normal((n, keys))
    shape = (length, keys) if masks[1][0] == "2" else (n * 4, length, keys)
    pairs = rng.random(shape) < 0.3 if masks[1][-1] == "b" else rng.standard_normal(shape)
    if padding.dtype == bool:
        padding[:, 0] = False  # a row where nothing takes part has weights NaN
    if pairs.dtype == bool:
        pairs[..., 0] = False
    given = {}
    if masks[0] != "-":
        given["key_padding_mask"] = padding
    if masks[1] != "-":
        given["attn_mask"] = pairs

    def call(layer, lib, query, key, value, *more):
        named = dict(zip(given, more, strict=True))
        if weights == "none":
            named["need_weights"] = False
        return layer(query, key, value, average_attn_weights=weights != "each", **named)

    mismatched = masks[0] != "-" and masks[1] != "-" and masks[0] != masks[1][-1]
    with pytest.warns(UserWarning, match="mismatched") if mismatched else contextlib.nullcontext():
        both(ours, theirs, call, [*arrays, *given.values()], 512)


@pytest.mark.parametrize("weights", [True, False])
def test_multihead_attention_without_batch(weights, rng):
    ours, theirs = (lib.nn.MultiheadAttention(8, 2, batch_first=True) for lib in (fastdl, torch))
    same_weights(ours, theirs)
    arrays = [rng.standard_normal((3, 8)), rng.standard_normal((5, 8))]
    padding = np.array([False, False, True, False, True])

    def call(layer, lib, x, y, mask):
        return layer(x, y, y, mask, weights)

    both(ours, theirs, call, [*arrays, padding], 256)


def test_multihead_attention_hint(rng):
    """The mask that the hint describes need not be read; where weights are asked it is."""
    ours, theirs = (lib.nn.MultiheadAttention(8, 2) for lib in (fastdl, torch))
    same_weights(ours, theirs)
    x = rng.standard_normal((6, 2, 8))
    later = np.triu(np.ones((6, 6), bool), 1)
    for weights in (True, False):

        def call(layer, lib, x, mask, weights=weights):
            return layer(x, x, x, None, weights, mask, is_causal=True)

        both(ours, theirs, call, [x, later], 256)
    with pytest.raises(RuntimeError, match="Need attn_mask"):
        ours(*[fastdl.tensor(x)] * 3, is_causal=True)


def test_multihead_attention_refuses():
    for lib in (fastdl, torch):
        for error, arguments in (
            (ValueError, (0, 1)),
            (ValueError, (4, 0)),
            (AssertionError, (5, 2)),
        ):
            with pytest.raises(error):
                lib.nn.MultiheadAttention(*arguments)


def test_multihead_attention_starts_as_described():
    fastdl.manual_seed(0)
    layer = nn.MultiheadAttention(256, 4, add_bias_kv=True)
    bound = (6 / (4 * 256)) ** 0.5
    w = layer.in_proj_weight.detach().numpy()
    assert bound * 0.99 < np.abs(w).max() <= bound
    assert not layer.in_proj_bias.any()
    assert not layer.out_proj.bias.any()
    bound = (1 / 256) ** 0.5
    assert bound * 0.99 < np.abs(layer.out_proj.weight.detach().numpy()).max() <= bound
    # the normal rule reads (1, 1, 256) as fans of 256 and 256; 6 deviations of its estimate
    assert abs(layer.bias_k.std().item() * 16 - 1) < 6 / 512**0.5
    apart = nn.MultiheadAttention(8, 2, kdim=100)
    assert (6 / 108) ** 0.5 * 0.9 < apart.k_proj_weight.abs().max().item() <= (6 / 108) ** 0.5


def test_multihead_attention_drops_weights():
    """In training a share p of the weights is 0 and the others 1 / (1 - p) times what they were."""
    fastdl.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, dropout=0.25)
    x = fastdl.randn(40, 3, 8)
    _, dropped = layer(x, x, x, average_attn_weights=False)
    _, whole = layer.eval()(x, x, x, average_attn_weights=False)
    ratio = (dropped / whole).detach().numpy()
    zero = ratio == 0
    assert abs(zero.mean() - 0.25) < 6 * (0.25 * 0.75 / ratio.size) ** 0.5
    np.testing.assert_allclose(ratio[~zero], 1 / 0.75, rtol=1e-5)
    layer.train()
    fastdl.manual_seed(1)
    ys = fastdl.stack([layer(x, x, x, need_weights=False)[0] for _ in range(200)])
    mean = layer.eval()(x, x, x, need_weights=False)[0]
    error = (ys.mean(0) - mean) / (ys.std(0) / 200**0.5)
    assert error.abs().max().item() < 6


CAUSAL = np.where(np.tri(5) == 0, -np.inf, 0)
STYLES = [
    {},
    {"batch_first": True, "activation": "gelu"},
    {"norm_first": True, "layer_norm_eps": 1e-3},
    {"norm_first": True, "batch_first": True, "bias": False},
]


@pytest.mark.parametrize("style", range(len(STYLES)))
@pytest.mark.parametrize("causal", [None, True, False])
@pytest.mark.parametrize("padded", [False, True])
def test_encoder(style, causal, padded, rng):
    def build(lib):
        layer = lib.nn.TransformerEncoderLayer(8, 2, 16, 0.0, **STYLES[style])
        return lib.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    ours, theirs = build(fastdl), build(torch)
    same_weights(ours, theirs)
    batch_first = STYLES[style].get("batch_first", False)
    x = rng.standard_normal((2, 5, 8) if batch_first else (5, 2, 8))
    padding = np.where([[0, 0, 0, 0, 1], [0, 0, 0, 1, 1]], -np.inf, 0)

    def call(model, lib, x):
        return model(
            x,
            mask=lib.tensor(CAUSAL),
            is_causal=causal,
            src_key_padding_mask=lib.tensor(padding) if padded else None,
        )

    both(ours, theirs, call, [x], 2048)


@pytest.mark.parametrize("style", range(len(STYLES)))
@pytest.mark.parametrize("masked", [False, True])
def test_transformer(style, masked, rng):
    build = lambda lib: lib.nn.Transformer(8, 2, 2, 2, 16, 0.0, **STYLES[style])
    ours, theirs = build(fastdl), build(torch)
    same_weights(ours, theirs)
    batch_first = STYLES[style].get("batch_first", False)
    order = (lambda a: a) if batch_first else (lambda a: a.swapaxes(0, 1))
    src, tgt = (order(rng.standard_normal((2, n, 8))) for n in (4, 5))
    padding = [np.arange(n) >= np.array([[n], [n - 2]]) for n in (4, 5)]
    pairs = rng.random((5, 4)) < 0.3
    pairs[:, 0] = False
    own = rng.random((4, 4)) < 0.3
    own[:, 0] = False

    def call(model, lib, src, tgt):
        options = {"tgt_mask": lib.tensor(np.isinf(CAUSAL))}
        if masked:
            options |= {
                "src_mask": lib.tensor(own),
                "memory_mask": lib.tensor(pairs),
                "src_key_padding_mask": lib.tensor(padding[0]),
                "tgt_key_padding_mask": lib.tensor(padding[1]),
                "memory_key_padding_mask": lib.tensor(padding[0]),
            }
        return model(src, tgt, **options)

    both(ours, theirs, call, [src, tgt], 8192)


def test_transformer_without_batch_or_of_own_parts(rng):
    def build(lib):
        decoder = lib.nn.TransformerDecoder(
            lib.nn.TransformerDecoderLayer(8, 4, 16, 0.0, lib.nn.functional.gelu), 1
        )
        return lib.nn.Transformer(8, 2, 1, 1, 16, 0.0, custom_decoder=decoder)

    ours, theirs = build(fastdl), build(torch)
    same_weights(ours, theirs)
    call = lambda model, lib, src, tgt: model(src, tgt, tgt_is_causal=False)
    both(ours, theirs, call, [rng.standard_normal((4, 8)), rng.standard_normal((3, 8))], 4096)


def test_transformer_refuses_and_describes():
    for lib in (fastdl, torch):
        with pytest.raises(RuntimeError, match="relu/gelu"):
            lib.nn.TransformerEncoderLayer(8, 2, activation="tanh")
        model = lib.nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
        with pytest.raises(RuntimeError, match="batch number"):
            model(lib.ones(2, 3, 8), lib.ones(3, 3, 8))
        with pytest.raises(RuntimeError, match="feature number"):
            model(lib.ones(2, 3, 8), lib.ones(2, 3, 6))
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    expected = torch.nn.Transformer.generate_square_subsequent_mask(3)
    np.testing.assert_array_equal(mask.numpy(), expected.numpy())
    assert str(mask.dtype) == str(expected.dtype).replace("torch", "fastdl")


def test_copies_of_a_layer_do_not_share_weights():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 1, 8), 2)
    first, second = (layer.linear1.weight for layer in model.layers)
    assert first is not second
    assert (first == second).all()


def test_choice_of_a_kernel_is_accepted():
    q = fastdl.randn(1, 2, 3, 4)
    attend = nn.functional.scaled_dot_product_attention
    for lib in (fastdl, torch):
        attention = pytest.importorskip(f"{lib.__name__}.nn.attention")
        kinds = attention.SDPBackend
        for chosen in (kinds.MATH, [kinds.FLASH_ATTENTION, kinds.EFFICIENT_ATTENTION]):
            with attention.sdpa_kernel(chosen):
                assert (attend(q, q, q) == attend(q, q, q)).all()
        with pytest.raises(AssertionError, match="SDPBackend"), attention.sdpa_kernel("math"):
            pass


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("mask", [None, "float32", "bool"])
def test_multihead_attention_under_autocast(weights, mask):
    found = []
    for lib in (fastdl, torch):
        layer = lib.nn.MultiheadAttention(8, 2)
        x = lib.ones(3, 2, 8)
        given = None if mask is None else lib.zeros(3, 3, dtype=getattr(lib, mask))
        with lib.autocast("cpu", dtype=lib.bfloat16):
            results = layer(x, x, x, attn_mask=given, need_weights=weights)
        found.append([None if y is None else str(y.dtype).split(".")[1] for y in results])
    assert found[0] == found[1]
