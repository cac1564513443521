"""Recurrent layers, cells and packed sequences against PyTorch in float64."""

import copy
import pickle

import numpy as np
import pytest

import fastdl

torch = pytest.importorskip("torch")

LAYERS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("LSTM", {"proj_size": 3}),
    ("GRU", {}),
]
# A value passes 6 steps, 2 layers and sums of 16 terms, forward and back; gradients' gradients once
# more. Nothing exceeds 100.
BOUND = 4 * 6 * 2 * 16 * 100 * np.finfo(np.float64).eps


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pair(name, *args, **options):
    """PyTorch's layer and ours with the same parameters, float64."""
    theirs = getattr(torch.nn, name)(*args, **options).double()
    ours = getattr(fastdl.nn, name)(*args, **options).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    state = {k: fastdl.tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)
    return theirs, ours


def flat(results):
    """The tensors of nested tuples."""
    if type(results) is not tuple:
        return [results]
    return [x for part in results for x in flat(part)]


def compare(theirs, ours, bound=BOUND):
    assert len(theirs) == len(ours)
    for a, b in zip(theirs, ours):
        a, b = a.detach().numpy(), b.detach().numpy()
        assert a.shape == b.shape
        np.testing.assert_allclose(b, a, rtol=bound, atol=bound)


def derivatives(t, results, wanted):
    """First and second derivatives of an uneven sum of all results."""
    weights = lambda y: t.cos(t.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)
    total = sum((y * weights(y)).sum() for y in results)
    fused = t.autograd.grad(total, wanted, retain_graph=True)
    recorded = t.autograd.grad(total, wanted, create_graph=True)
    squares = sum((g**2).sum() for g in recorded)
    second = t.autograd.grad(squares, wanted, allow_unused=True, materialize_grads=True)
    return [*fused, *recorded, *second]


# (layers, bidirectional, bias, initial states): any two values of any two meet
COMBINATIONS = [
    (1, False, 1, 0), (2, True, 1, 1), (2, False, 0, 1),
    (1, True, 0, 0), (1, True, 1, 1), (2, False, 1, 0),
]  # fmt: skip


@pytest.mark.parametrize("packed", [None, "sorted", "unsorted"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("name", "options"), LAYERS)
def test_layer_matches_torch(name, options, batch_first, packed, rng):
    lengths = {None: None, "sorted": [6, 4, 1], "unsorted": [2, 6, 3]}[packed]
    x = rng.standard_normal((3, 6, 4) if batch_first else (6, 3, 4))
    for layers, both, bias, with_states in COMBINATIONS:
        theirs, ours = pair(
            name, 4, 5, num_layers=layers, bidirectional=both, bias=bool(bias),
            batch_first=batch_first, **options,
        )  # fmt: skip
        sizes = [options.get("proj_size", 5), 5][: 1 + (name == "LSTM")]
        states = [rng.standard_normal((layers * (1 + both), 3, n)) for n in sizes]
        found = []
        for t, layer in ((torch, theirs), (fastdl, ours)):
            given = [t.tensor(v, requires_grad=True) for v in (x, *states)]
            input, utils = given[0], t.nn.utils.rnn
            if packed:
                input = utils.pack_padded_sequence(
                    input, t.tensor(lengths), batch_first, enforce_sorted=packed == "sorted"
                )
            hx = tuple(given[1:]) if name == "LSTM" else given[1]
            output, last = layer(input, *[hx] * with_states)
            if packed:
                output, counts = utils.pad_packed_sequence(output, batch_first)
                assert counts.tolist() == lengths
            results = [output, *flat(last)]
            wanted = [*given[: None if with_states else 1], *layer.parameters()]
            found.append(results + derivatives(t, results, wanted))
        compare(*found)


@pytest.mark.parametrize(("name", "options"), LAYERS)
def test_unbatched_float32_and_empty_batch(name, options, rng):
    theirs, ours = pair(name, 4, 5, bidirectional=True, **options)
    x = rng.standard_normal((6, 4))
    results = [flat(layer(t.tensor(x))) for t, layer in ((torch, theirs), (fastdl, ours))]
    compare(*results)
    single = flat(ours.float()(fastdl.tensor(x, dtype=fastdl.float32)))
    assert all(y.dtype == fastdl.float32 for y in single)
    compare(results[0], single, 6 * 16 * np.finfo(np.float32).eps)
    assert ours(fastdl.zeros(6, 0, 4))[0].shape == (6, 0, 2 * options.get("proj_size", 5))


def test_half_precision():
    layer = fastdl.nn.LSTM(8, 8)
    x = fastdl.randn(5, 2, 8)
    exact = layer(x)[0]
    low = layer.bfloat16()(x.bfloat16())[0]
    assert low.dtype == fastdl.bfloat16
    assert float((low.float() - exact).abs().max()) < 8 * 2.0**-8


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("name", ["RNNCell", "RNNCell relu", "LSTMCell", "GRUCell"])
def test_cell_matches_torch(name, batched, bias, rng):
    name, *nonlinearity = name.split()
    theirs, ours = pair(name, 4, 5, bias, *nonlinearity)
    lead = (3,) if batched else ()
    x, h, c = (rng.standard_normal((*lead, n)) for n in (4, 5, 5))
    for with_states in (False, True):
        found = []
        for t, cell in ((torch, theirs), (fastdl, ours)):
            given = [t.tensor(v, requires_grad=True) for v in (x, h, c)]
            given = given[: 1 if not with_states else 3 if name == "LSTMCell" else 2]
            hx = tuple(given[1:]) if name == "LSTMCell" else given[-1]
            results = flat(cell(given[0], *[hx] * with_states))
            found.append(results + derivatives(t, results, [*given, *cell.parameters()]))
        compare(*found)


def test_dropout_between_layers():
    layer = fastdl.nn.GRU(4, 64, num_layers=2, dropout=0.5)
    x = fastdl.ones(3, 2, 4)
    fastdl.manual_seed(0)
    first = layer(x)[0]
    fastdl.manual_seed(0)
    assert fastdl.equal(layer(x)[0], first)
    assert not fastdl.equal(layer(x)[0], first)
    layer.eval()
    assert fastdl.equal(layer(x)[0], layer(x)[0])
    with pytest.warns(UserWarning, match="dropout option adds dropout after all but last"):
        fastdl.nn.GRU(4, 5, dropout=0.5)


def test_dropout_zeroes_what_goes_between_layers_and_scales_the_rest():
    """The second layer passes on what it gets: relu(1 x + 0 h), x >= 0."""
    layer = fastdl.nn.RNN(4, 64, num_layers=2, nonlinearity="relu", bias=False, dropout=0.3)
    with fastdl.no_grad():
        layer.weight_ih_l1.copy_(fastdl.eye(64))
        layer.weight_hh_l1.zero_()
        layer.weight_ih_l0.abs_()
        layer.weight_hh_l0.abs_().mul_(0.1)
    x = fastdl.rand(20, 16, 4)
    fastdl.manual_seed(0)
    given = layer(x)[0].detach().numpy()
    layer.eval()
    kept = layer(x)[0].detach().numpy()
    dropped = given == 0
    # a binomial share of 20 * 16 * 64 elements: 5 standard deviations
    assert abs(dropped.mean() - 0.3) < 5 * (0.3 * 0.7 / given.size) ** 0.5
    np.testing.assert_allclose(given[~dropped] * 0.7, kept[~dropped], rtol=1e-5)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"])
def test_initialisation(name):
    layer = getattr(fastdl.nn, name)(30, 100)
    for parameter in layer.parameters():
        assert float(parameter.abs().max()) <= 0.1
        assert float(parameter.abs().max()) > 0.09


def test_layers_are_copied_and_pickled():
    layer = fastdl.nn.LSTM(3, 4, 2, bidirectional=True)
    x = fastdl.randn(5, 2, 3)
    for again in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert fastdl.equal(layer(x)[0], again(x)[0])
        flat_weights = zip(again._flat_weights, again.parameters(), strict=True)
        assert all(w is p for w, p in flat_weights)
        assert again.weight_ih_l0 is not layer.weight_ih_l0
    assert layer.flatten_parameters() is None
    assert [len(weights) for weights in layer.all_weights] == [4] * 4


REFUSED = {
    "sizes": lambda t: t.nn.RNN(0, 5),
    "hidden": lambda t: t.nn.LSTM(4, 0),
    "type": lambda t: t.nn.GRU(4, 5.0),
    "layers": lambda t: t.nn.GRU(4, 5, 0),
    "bias": lambda t: t.nn.GRU(4, 5, bias=1),
    "dropout": lambda t: t.nn.RNN(4, 5, dropout=1.5),
    "nonlinearity": lambda t: t.nn.RNN(4, 5, nonlinearity="gelu"),
    "proj": lambda t: t.nn.GRU(4, 5, proj_size=2),
    "proj_size": lambda t: t.nn.LSTM(4, 5, proj_size=5),
    "mode": lambda t: t.nn.RNNBase("ELMAN", 4, 5),
    "input": lambda t: t.nn.LSTM(4, 5)(t.ones(3, 2, 5)),
    "dims": lambda t: t.nn.RNN(4, 5)(t.ones(4)),
    "dims_lstm": lambda t: t.nn.LSTM(4, 5)(t.ones(4)),
    "dtype": lambda t: t.nn.GRU(4, 5)(t.ones(3, 2, 4, dtype=t.float64)),
    "steps": lambda t: t.nn.GRU(4, 5)(t.ones(0, 2, 4)),
    "h": lambda t: t.nn.RNN(4, 5)(t.ones(3, 2, 4), t.ones(1, 3, 5)),
    "h_dims": lambda t: t.nn.RNN(4, 5)(t.ones(3, 2, 4), t.ones(2, 5)),
    "h_unbatched": lambda t: t.nn.GRU(4, 5)(t.ones(3, 4), t.ones(1, 1, 5)),
    "h_lstm": lambda t: t.nn.LSTM(4, 5)(t.ones(3, 2, 4), (t.ones(1, 2, 4), t.ones(1, 2, 5))),
    "c": lambda t: t.nn.LSTM(4, 5)(t.ones(3, 2, 4), (t.ones(1, 2, 5), t.ones(1, 2, 4))),
    "h_dtype": lambda t: t.nn.GRU(4, 5)(t.ones(3, 2, 4), t.ones(1, 2, 5, dtype=t.float64)),
    "h_alone": lambda t: t.nn.LSTM(4, 5)(t.ones(3, 2, 4), t.ones(1, 2, 5)),
    "cell_pair": lambda t: t.nn.LSTMCell(4, 5)(t.ones(2, 4), (t.ones(2, 5),)),
    "cell_input": lambda t: t.nn.GRUCell(4, 5)(t.ones(2, 3)),
    "cell_dims": lambda t: t.nn.LSTMCell(4, 5)(t.ones(2, 3, 4)),
    "cell_h": lambda t: t.nn.RNNCell(4, 5)(t.ones(2, 4), t.ones(3, 5)),
    "cell_h_size": lambda t: t.nn.RNNCell(4, 5)(t.ones(2, 4), t.ones(2, 4)),
    "count": lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(3, 2, 4), [3, 2, 1]),
    "order": lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(3, 2), [2, 3]),
    "zero": lambda t: t.nn.utils.rnn.pack_padded_sequence(t.ones(3, 2), [2, 0]),
    "total": lambda t: t.nn.utils.rnn.pad_packed_sequence(
        t.nn.utils.rnn.pack_sequence([t.ones(3), t.ones(2)]), total_length=2
    ),
    "shapes": lambda t: t.nn.utils.rnn.pad_sequence([t.ones(3, 2), t.ones(2, 3)]),
    "none": lambda t: t.nn.utils.rnn.pad_sequence([]),
    "side": lambda t: t.nn.utils.rnn.pad_sequence([t.ones(3)], padding_side="top"),
}
OTHER_WORDS = {"steps", "h_dims", "shapes", "zero", "h_dtype", "h_alone"}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_by_torch(name):
    with pytest.raises(Exception) as theirs:
        REFUSED[name](torch)
    with pytest.raises(type(theirs.value)) as ours:
        REFUSED[name](fastdl)
    if name not in OTHER_WORDS:
        assert str(ours.value).split(".")[0] == str(theirs.value).split(".")[0].replace(
            "torch", "fastdl"
        )


def test_lengths_beyond_the_padding_are_refused():
    with pytest.raises(RuntimeError, match="lengths of at most 3"):
        fastdl.nn.utils.rnn.pack_padded_sequence(fastdl.ones(3, 2), [4, 2])


@pytest.mark.parametrize("batch_first", [False, True])
def test_packing_and_padding_match_torch(batch_first, rng):
    lengths = [2, 5, 1, 5]
    arrays = [rng.standard_normal((n, 3)) for n in lengths]
    found = []
    for t in (torch, fastdl):
        utils = t.nn.utils.rnn
        given = [t.tensor(a, requires_grad=True) for a in arrays]
        padded = utils.pad_sequence(given, batch_first, -1.5)
        left = utils.pad_sequence(given, batch_first, padding_side="left")
        packed = utils.pack_padded_sequence(padded, lengths, batch_first, enforce_sorted=False)
        again, counts = utils.pad_packed_sequence(packed, batch_first, 2.5, 7)
        falling = utils.pack_sequence([given[1], given[0], given[2]])
        assert falling.sorted_indices is None
        pieces = utils.unpack_sequence(utils.pack_sequence(given, enforce_sorted=False))
        pieces += utils.unpad_sequence(padded.clone(), t.tensor(lengths), batch_first)
        results = [padded, left, packed.data, again, falling.data, *pieces]
        total = sum((y * t.cos(y)).sum() for y in results)
        assert packed.batch_sizes.tolist() == [4, 3, 2, 2, 2]
        order = packed.sorted_indices.tolist()
        assert [lengths[i] for i in order] == sorted(lengths, reverse=True)
        assert packed.unsorted_indices[packed.sorted_indices].tolist() == [0, 1, 2, 3]
        # which of two equally long sequences comes first is PyTorch's own affair
        results[2] = t.sort(packed.data.flatten())[0]
        found.append([*results, counts, *t.autograd.grad(total, given)])
    compare(*found)


def test_packed_sequence_is_a_tuple_and_converts():
    utils = fastdl.nn.utils.rnn
    packed = utils.pack_sequence([fastdl.ones(3), fastdl.ones(2)])
    data, sizes, order, inverse = packed
    assert data.dtype == fastdl.float32
    assert sizes.tolist() == [2, 2, 1]
    assert order is None
    assert inverse is None
    assert packed.to(fastdl.float32) is packed
    assert packed.double().data.dtype == fastdl.float64
    assert packed.cpu() is packed
    assert not packed.is_cuda
    assert utils.PackedSequence((data, sizes)).batch_sizes is sizes
    assert utils.invert_permutation(fastdl.tensor([2, 0, 1])).tolist() == [1, 2, 0]
    assert utils.invert_permutation(None) is None
