"""`vmap`: a function of one example becomes a function of a batch."""

import numpy as np

import fastdl.func.rules  # noqa: F401  (fills the table that Batched asks)
from fastdl._engine import TensorBase
from fastdl.func.batching import Batched, NoRule, entered, repeated
from fastdl.func.pytree import broadcast, flatten, is_node, unflatten
from fastdl.ops.elementwise import clone
from fastdl.ops.join import cat, stack, unbind
from fastdl.ops.random import default_generator
from fastdl.ops.shape import movedim, slice_of

__all__ = ["vmap"]


def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """A function that maps `func` over a dimension of its arguments and stacks the results.

    in_dims: the dimension of each argument that is mapped over, None for none: one value for all,
    or a tuple with one per argument, which follows the form of arguments that are dicts, lists or
    tuples. out_dims: where the new dimension of the results goes, in the same way. randomness:
    'error' forbids random numbers in func, 'different' draws others for each example, 'same' the
    same for all. chunk_size: so many examples at a time. Keyword arguments go to func unchanged.

    func runs once, on stand-ins for all examples of a chunk, if all it is made of has a batched
    form: see `fastdl.func.rules`. Otherwise - it branches on values, draws different random
    numbers, changes a tensor in place, sorts - it runs once per example, on views of the arguments,
    begun anew, so that what else it does it may do once more. Both ways gradients of any order,
    other transforms and `vmap` itself go through, and the results are the same.

    ValueError where in_dims or out_dims do not fit, or sizes differ; RuntimeError for random
    numbers under 'error'.

    >>> import fastdl as torch
    >>> torch.vmap(torch.dot)(torch.ones(3, 2), torch.ones(3, 2))
    tensor([2., 2., 2.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            "Only allowed values for randomness are 'error', 'different', or 'same'. Got "
            f"{randomness}"
        )
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    name = getattr(func, "__name__", repr(func))

    def mapped(*args, **kwargs):
        leaves, dims, spec, size = _batched_inputs(name, in_dims, args)

        def call(row):
            found = func(*unflatten(row, spec), **kwargs)
            outs = flatten(found)[0]
            for y in outs:
                if not isinstance(y, TensorBase):
                    raise ValueError(
                        f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(y)}."
                    )
            return found, outs

        results = _at_once(call, leaves, dims, size, randomness, chunk_size) if size else None
        if results is None:
            results = _one_by_one(call, leaves, dims, size, randomness)
        out, columns = results
        where = _output_dims(name, out_dims, out, len(columns))
        done = [_placed(name, column, d) for column, d in zip(columns, where)]
        return unflatten(done, flatten(out)[1])

    mapped.__name__ = name
    mapped.__wrapped__ = func
    return mapped


def _at_once(call, leaves, dims, size, randomness, chunk_size):
    """(func's result for stand-ins, for each Tensor in it the pair of a Tensor whose dimension 0 is
    the batch and whether the examples differ); None if they have to be gone through one by one."""
    start = default_generator.get_state()
    whole = [x if d is None else movedim(x, d, 0) for x, d in zip(leaves, dims)]
    step = size if chunk_size is None else chunk_size
    chunks = []
    try:
        for begin in range(0, size, step):
            count = min(step, size - begin)
            part = slice(begin, begin + count)
            if randomness == "same":
                default_generator.set_state(start)
            with entered(count) as level:
                row = [
                    x if d is None else Batched(slice_of(x, index=(part, ...)), level)
                    for x, d in zip(whole, dims)
                ]
                out, outs = call(row)
            chunks.append([_values(y, level, count) for y in outs])
    except Exception:  # something has no batched form, or fails as it will for an example
        default_generator.set_state(start)
        return None
    if _drawn_since(start):
        if randomness == "error":
            raise RuntimeError(RANDOM)
        if randomness == "different":
            default_generator.set_state(start)
            return None
    columns = [
        (parts[0][0] if len(parts) == 1 else cat([y for y, _ in parts], 0), parts[0][1])
        for parts in zip(*chunks)
    ]
    return out, columns


def _values(y, level, count):
    """(a result for all examples, whether they differ)."""
    if type(y) is Batched and y.level == level:
        return y.value, True
    if isinstance(y.array, np.ndarray) or (type(y) is Batched and y.level < level):
        return clone(repeated(y, count)), False
    raise NoRule("a result of another vmap")


def _one_by_one(call, leaves, dims, size, randomness):
    """The same, from a call for each example."""
    columns = [unbind(x, d) if d is not None and size else x for x, d in zip(leaves, dims)]
    random = _Randomness(randomness)
    rows = []
    for i in range(max(size, 1)):
        if size:
            row = [c if d is None else c[i] for c, d in zip(columns, dims)]
        else:  # no example: a made-up one tells the form of the results
            row = [x if d is None else _example(x, d) for x, d in zip(leaves, dims)]
        with random:
            out, outs = call(row)
        rows.append(outs)
    if size:
        return out, [(stack(column), None) for column in zip(*rows)]
    return out, [(y.new_zeros((0, *y.array.shape)), None) for y in rows[0]]


def _example(x, dim):
    shape = x.array.shape[:dim] + x.array.shape[dim + 1 :]
    return x.new_zeros(shape)


def _batched_inputs(name, in_dims, args):
    """(leaves of args, their dimensions, spec, size of the batch)."""
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a "
            "(potentially nested) tuple matching the structure of inputs, got: "
            f"{type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are "
            "trying to vmap over a function with no inputs. The latter is unsupported."
        )
    leaves, spec = flatten(args)
    dims = broadcast(in_dims, args)
    if dims is None:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the "
            f"structure of `inputs`: {len(args)} arguments."
        )
    head = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): Got in_dim="
    sizes = set()
    for i, (x, d) in enumerate(zip(leaves, dims)):
        if d is None:
            continue
        if not isinstance(d, int):
            raise ValueError(
                f"{head}{d} for an input but in_dim must be either an integer dimension or None."
            )
        if not isinstance(x, TensorBase):
            raise ValueError(
                f"{head}{d} for an input but the input is of type {type(x)}. We cannot vmap over "
                "non-Tensor arguments, please set in_dims=None for the respective argument"
            )
        ndim = x.array.ndim
        if not -ndim <= d < ndim:
            raise ValueError(
                f"{head}{d} for some input, but that input is a Tensor of dimensionality {ndim} so "
                f"expected in_dim to satisfy -{ndim} <= in_dim < {ndim}."
            )
        dims[i] = d % ndim
        sizes.add(x.array.shape[d])
    if not sizes:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected at least one Tensor to vmap "
            "over"
        )
    if len(sizes) > 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sorted(sizes)} for the mapped dimension"
        )
    return leaves, dims, spec, sizes.pop()


def _output_dims(name, out_dims, out, count):
    dims = [out_dims] * count if isinstance(out_dims, int) else broadcast(out_dims, out)
    if dims is None and isinstance(out_dims, tuple) and len(out_dims) == 1 and not is_node(out):
        dims = list(out_dims)
    if dims is None or any(not (d is None or isinstance(d, int)) for d in dims):
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with "
            "the structure of `outputs`."
        )
    return dims


def _placed(name, column, dim):
    """A result with its dimension 0, the batch, at `dim`; for None that of any example."""
    y, differs = column
    if dim is None:
        if differs:
            raise ValueError(
                f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None"
            )
        return y[0]
    ndim = y.array.ndim
    if not -ndim <= dim < ndim:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got "
            f"{dim})"
        )
    return y if dim == 0 else movedim(y, 0, dim)


RANDOM = (
    "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
    "'different' randomness flags on vmap or perform the randomness operation out of vmap"
)


def _drawn_since(state):
    return (default_generator.get_state().array != state.array).any()


class _Randomness:
    """Each example runs in it: looks after the default generator."""

    def __init__(self, how):
        self.how = how
        self.start = default_generator.get_state()

    def __enter__(self):
        if self.how == "same":
            default_generator.set_state(self.start)

    def __exit__(self, kind, error, trace):
        if self.how == "error" and kind is None and _drawn_since(self.start):
            raise RuntimeError(RANDOM)
