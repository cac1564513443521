"""Datasets, samplers and the DataLoader."""

from collections import namedtuple

import numpy as np
import pytest

import fastdl
from fastdl.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)


class Squares(Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if not 0 <= i < self.n:
            raise IndexError(i)
        return i, float(i) ** 2


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(7))


def generator(seed=0):
    return fastdl.Generator().manual_seed(seed)


def test_tensor_dataset():
    x, y = fastdl.arange(6).reshape(3, 2), fastdl.tensor([5, 6, 7])
    data = TensorDataset(x, y)
    assert len(data) == 3
    a, b = data[1]
    assert a.tolist() == [2, 3]
    assert b.item() == 6
    with pytest.raises(AssertionError, match="Size mismatch"):
        TensorDataset(x, fastdl.zeros(2))


def test_subset_concat_and_split():
    data = Squares(10)
    part = Subset(data, [3, 1])
    assert len(part) == 2
    assert part[0] == (3, 9.0)
    joined = data + part
    assert isinstance(joined, ConcatDataset)
    assert len(joined) == 12
    assert [joined[i][0] for i in (0, 9, 10, 11, -1)] == [0, 9, 3, 1, 1]
    with pytest.raises(IndexError):
        joined[12]
    with pytest.raises(ValueError, match="empty"):
        ConcatDataset([])

    parts = random_split(data, [7, 3], generator=generator())
    again = random_split(data, [7, 3], generator=generator())
    assert [p.indices for p in parts] == [p.indices for p in again]
    assert sorted(i for p in parts for i in p.indices) == list(range(10))
    assert [len(p) for p in random_split(data, [0.5, 0.25, 0.25])] == [6, 2, 2]
    for lengths in ([7, 4], [0.5, 0.2]):
        with pytest.raises(ValueError, match="Sum of input lengths"):
            random_split(data, lengths)
    with pytest.raises(ValueError, match="not between 0 and 1"):
        random_split(data, [1.5, -0.5])


def test_samplers():
    data = Squares(10)
    assert list(SequentialSampler(data)) == list(range(10))
    shuffled = list(RandomSampler(data, generator=generator()))
    assert sorted(shuffled) == list(range(10))
    assert shuffled != list(range(10))
    assert shuffled == list(RandomSampler(data, generator=generator()))
    more = RandomSampler(data, num_samples=25)
    assert len(more) == len(list(more)) == 25
    assert sorted(list(more)[:10]) == list(range(10)), "whole permutations first"
    drawn = list(RandomSampler(data, replacement=True, num_samples=1000, generator=generator()))
    assert set(drawn) == set(range(10))
    assert sorted(SubsetRandomSampler([4, 7, 9])) == [4, 7, 9]
    weighted = list(WeightedRandomSampler([0, 1, 3], 4000, generator=generator()))
    assert set(weighted) == {1, 2}
    # a share of 3/4 of 4000 draws, five standard deviations
    assert abs(weighted.count(2) / 4000 - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 4000)
    assert sorted(WeightedRandomSampler([1, 1, 1], 3, replacement=False)) == [0, 1, 2]
    batches = BatchSampler(SequentialSampler(data), 4, drop_last=False)
    assert list(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(batches) == 3
    assert len(list(BatchSampler(range(10), 4, True))) == len(BatchSampler(range(10), 4, True)) == 2
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="batch_size"):
            BatchSampler(range(10), wrong, False)
        with pytest.raises(ValueError, match="num_samples"):
            RandomSampler(data, num_samples=wrong)
    with pytest.raises(ValueError, match="num_samples"):
        RandomSampler(Squares(0))


def test_default_collate():
    Point = namedtuple("Point", "x y")
    sample = {
        "tensor": fastdl.ones(2),
        "array": np.zeros((2, 2), np.float32),
        "float": 0.5,
        "int": 3,
        "bool": True,
        "text": "a",
        "pair": (1, fastdl.zeros(1)),
        "point": Point(1.0, 2),
        "scalar": np.float32(2),
    }
    batch = default_collate([sample, sample, sample])
    shapes = {k: tuple(batch[k].shape) for k in ("tensor", "array", "float", "int", "bool")}
    assert shapes == {
        "tensor": (3, 2),
        "array": (3, 2, 2),
        "float": (3,),
        "int": (3,),
        "bool": (3,),
    }
    kinds = {k: batch[k].dtype for k in ("tensor", "array", "float", "int", "bool", "scalar")}
    assert kinds == {
        "tensor": fastdl.float32,
        "array": fastdl.float32,
        "float": fastdl.float64,
        "int": fastdl.int64,
        "bool": fastdl.bool,
        "scalar": fastdl.float32,
    }
    assert batch["text"] == ["a", "a", "a"]
    assert isinstance(batch["pair"], list)
    assert batch["pair"][1].shape == (3, 1)
    assert type(batch["point"]) is Point
    assert batch["point"].y.tolist() == [2, 2, 2]
    with pytest.raises(TypeError, match="found object"):
        default_collate([object()])
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([[1, 2], [1]])


@pytest.mark.parametrize("batch_size", [1, 3, 10, 11])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_loader_over_tensors_equals_the_general_way(batch_size, drop_last, shuffle):
    """A TensorDataset is read batch by batch; taken sample by sample it must give the same."""

    class Plain(TensorDataset):
        """The same data, of a type the loader knows nothing about."""

    x, y = fastdl.arange(20.0).reshape(10, 2), fastdl.arange(10)
    part = list(range(10, 20))
    loaders = [
        DataLoader(data, batch_size, shuffle, drop_last=drop_last, generator=generator())
        for data in (
            TensorDataset(x, y),
            Plain(x, y),
            Subset(Subset(TensorDataset(*(fastdl.cat([t, t]) for t in (x, y))), range(20)), part),
        )
    ]
    for _ in range(2):  # epochs differ from each other, but not between the two
        epochs = [[[t.tolist() for t in batch] for batch in loader] for loader in loaders]
        assert epochs[0] == epochs[1] == epochs[2]
        assert len(epochs[0]) == len(loaders[0])
        rows = [row for batch in epochs[0] for row in batch[1]]
        assert len(rows) == (10 // batch_size * batch_size if drop_last else 10)
        assert len(set(rows)) == len(rows)
        assert shuffle or rows == sorted(rows)


def test_loader_orders():
    data = Squares(10)
    seeded = [
        [b[0].tolist() for b in DataLoader(data, 4, True, generator=generator())] for _ in range(2)
    ]
    assert seeded[0] == seeded[1]
    fastdl.manual_seed(3)
    first = [b[0].tolist() for b in DataLoader(data, 4, shuffle=True)]
    fastdl.manual_seed(3)
    loader = DataLoader(data, 4, shuffle=True)
    assert [b[0].tolist() for b in loader] == first
    assert [b[0].tolist() for b in loader] != first, "a new order each epoch"
    own = DataLoader(data, 2, sampler=[5, 3, 1])
    assert [b[0].tolist() for b in own] == [[5, 3], [1]]
    own = DataLoader(data, batch_sampler=[[1, 2], [7]])
    assert [b[0].tolist() for b in own] == [[1, 2], [7]]
    assert len(own) == 2
    single = DataLoader(data, batch_size=None)
    assert next(iter(single)) == [0, 0.0]  # as in PyTorch: tuples become lists
    assert len(single) == 10
    listed = DataLoader(data, 5, collate_fn=lambda samples: [i for i, _ in samples])
    assert list(listed) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    workers = DataLoader(
        data, 5, num_workers=2, pin_memory=True, persistent_workers=True, worker_init_fn=print
    )
    assert len(list(workers)) == 2


def test_loader_over_other_collections():
    assert [b.tolist() for b in DataLoader(fastdl.arange(5), 2)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in DataLoader(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in DataLoader([1.5, 2.5], 2)] == [[1.5, 2.5]]
    assert [b.tolist() for b in DataLoader(Stream(), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [b.tolist() for b in DataLoader(Stream(), 3, drop_last=True)] == [[0, 1, 2], [3, 4, 5]]
    assert list(DataLoader(Stream(), batch_size=None)) == list(range(7))


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"num_workers": -1},
        {"timeout": -1},
        {"sampler": [1], "shuffle": True},
        {"batch_sampler": [[1]], "batch_size": 2},
        {"batch_sampler": [[1]], "drop_last": True},
        {"batch_size": None, "drop_last": True},
    ],
    ids=str,
)
def test_loader_refuses(options):
    with pytest.raises(ValueError, match="DataLoader"):
        DataLoader(Squares(3), **options)


def test_loader_refuses_to_order_a_stream():
    with pytest.raises(ValueError, match="IterableDataset"):
        DataLoader(Stream(), shuffle=True)
