"""Attention with scores that a function changes and another hides: PyTorch's flex_attention.

Dong et al. 2024, https://arxiv.org/abs/2412.05496. A `score_mod` (score, batch, head, q_idx,
kv_idx) gives the score that takes the place of one pair's, a `mask_mod` (batch, head, q_idx,
kv_idx) says whether a pair takes part. PyTorch calls them with numbers, under vmap; here they are
called once, with tensors whose dimensions are those four: what is written for one pair works
elementwise, and so do tables indexed by such tensors.

>>> import fastdl as torch
>>> from fastdl.nn.attention.flex_attention import create_block_mask, flex_attention
>>> near = create_block_mask(lambda b, h, q, kv: (q - kv).abs() < 2, None, None, 4, 4)
>>> x = torch.ones(1, 2, 4, 8)
>>> tuple(flex_attention(x, x, x, block_mask=near).shape)
(1, 2, 4, 8)
"""

from __future__ import annotations

import inspect
import itertools
import math
import warnings
from typing import NamedTuple, TypedDict

from fastdl._dtype import bool_, float32, float64, int32
from fastdl.ops.attention import scaled_dot_product_attention
from fastdl.ops.creation import arange, ones, zeros
from fastdl.tensor import Tensor

__all__ = [
    "AuxOutput",
    "AuxRequest",
    "BlockMask",
    "FlexKernelOptions",
    "and_masks",
    "create_block_mask",
    "create_mask",
    "flex_attention",
    "noop_mask",
    "or_masks",
]


class AuxRequest(NamedTuple):
    """What `flex_attention` is to return beside its result."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """log sum exp and maximum of each query's scores (B, H, L), or None."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


class FlexKernelOptions(TypedDict, total=False):
    """Options of PyTorch's GPU kernels: accepted without effect."""


# ---- functions of a pair -------------------------------------------------------------------------


def noop_mask(batch, head, token_q, token_kv):
    """Every pair takes part."""
    return ones((), dtype=bool_)


def and_masks(*mask_mods):
    """The mask_mod of the pairs that take part by all of these."""
    return _joined("and_mask", mask_mods, lambda a, b: a & b, True)


def or_masks(*mask_mods):
    """The mask_mod of the pairs that take part by one of these."""
    return _joined("or_mask", mask_mods, lambda a, b: a | b, False)


def _joined(name, mask_mods, join, start):
    if not all(callable(mod) for mod in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def joined(b, h, q_idx, kv_idx):
        result = b.new_full((), start, dtype=bool_)
        for mod in mask_mods:
            result = join(result, mod(b, h, q_idx, kv_idx))
        return result

    joined.__name__ = name  # a block mask shows it
    return joined


def _indices(*sizes):
    """An index for each dimension, that broadcast to all of them."""
    for i, n in enumerate(sizes):
        yield arange(n, dtype=int32).reshape([-1 if i == j else 1 for j in range(len(sizes))])


def _arguments(mod):
    """How many arguments without default a function takes; AssertionError unless 4 or 5."""
    parameters = inspect.signature(mod).parameters.values()
    count = sum(p.default is p.empty for p in parameters)
    if count not in (4, 5):
        raise AssertionError(f"Expected 4 or 5 positional args, got {count}")
    return count


def create_mask(mod_fn, B, H, Q_LEN, KV_LEN, device=None):
    """The bool mask (B, H, Q_LEN, KV_LEN) of a mask_mod, or of a score_mod: False where it gives
    -inf.

    Args:
        mod_fn: see the head of this module.
        B, H: None stands for 1.
        Q_LEN, KV_LEN: how many queries and keys.
        device: the CPU, if given.

    Raises:
        AssertionError: `mod_fn` takes other than 4 or 5 arguments.
    """
    sizes = (1 if B is None else B, 1 if H is None else H, Q_LEN, KV_LEN)
    if _arguments(mod_fn) == 5:
        mask = mod_fn(zeros(sizes, device=device), *_indices(*sizes)) != -math.inf
    else:
        mask = mod_fn(*_indices(*sizes))
    return mask.expand(sizes).clone()


# ---- block masks ---------------------------------------------------------------------------------


def _in_order(blocks):
    """How many blocks each row of (..., rows, columns) has, and their columns before the others."""
    order = blocks.to(int32).argsort(dim=-1, descending=True, stable=True)
    return blocks.sum(-1).to(int32), order.to(int32)


def _blocks(counts, indices):
    """The inverse of `_in_order`: bool (..., rows, columns)."""
    listed = arange(indices.shape[-1]) < counts.unsqueeze(-1)
    return zeros(indices.shape, dtype=bool_).scatter(-1, indices.long(), listed)


def _turned(counts, indices):
    """The same blocks, listed by column."""
    if counts is None:
        return None, None
    return _in_order(_blocks(counts, indices).transpose(-2, -1))


def _reset_by_slicing(batch, head, token_q, token_kv):
    raise RuntimeError(
        "Cannot use mask_mod from a sliced BlockMask. Slicing resets it, as positions may have "
        "changed: set mask_mod from that of the whole BlockMask"
    )


class BlockMask:
    """Which blocks of a mask hide everything, hide some pairs, or (full) hide nothing.

    Attributes:
        seq_lengths: (queries, keys).
        kv_num_blocks, kv_indices: for each row of blocks (..., rows), how many columns hide some
            pairs, and which (..., rows, columns): these first, then the others. int32.
        full_kv_num_blocks, full_kv_indices: the same for blocks that hide nothing, or None.
        q_num_blocks, q_indices, full_q_num_blocks, full_q_indices: by column, or None.
        BLOCK_SIZE: (queries, keys) of a block.
        mask_mod: the function of a pair.

    The other attributes order the work of PyTorch's GPU kernels and have no effect.

    Raises:
        RuntimeError: `kv_indices` has fewer than 2 dimensions.
        AssertionError: of two attributes that belong together one is None.
    """

    def __init__(
        self,
        seq_lengths,
        kv_num_blocks,
        kv_indices,
        full_kv_num_blocks,
        full_kv_indices,
        q_num_blocks,
        q_indices,
        full_q_num_blocks,
        full_q_indices,
        BLOCK_SIZE=(128, 128),
        mask_mod=noop_mask,
        *,
        dq_write_order=None,
        dq_write_order_full=None,
        dq_kv_order=None,
        dq_kv_order_spt=None,
    ) -> None:
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        for name, pair in (
            ("full_kv", (full_kv_num_blocks, full_kv_indices)),
            ("full_q", (full_q_num_blocks, full_q_indices)),
        ):
            if (pair[0] is None) != (pair[1] is None):
                raise AssertionError(
                    f"{name}_num_blocks and {name}_indices must be both provided or omitted"
                )
        self.seq_lengths = tuple(seq_lengths)
        self.kv_num_blocks = kv_num_blocks
        self.kv_indices = kv_indices
        self.full_kv_num_blocks = full_kv_num_blocks
        self.full_kv_indices = full_kv_indices
        self.q_num_blocks = q_num_blocks
        self.q_indices = q_indices
        self.full_q_num_blocks = full_q_num_blocks
        self.full_q_indices = full_q_indices
        self.BLOCK_SIZE = BLOCK_SIZE
        self.mask_mod = mask_mod
        self.dq_write_order = dq_write_order
        self.dq_write_order_full = dq_write_order_full
        self.dq_kv_order = dq_kv_order
        self.dq_kv_order_spt = dq_kv_order_spt

    @classmethod
    def from_kv_blocks(
        cls,
        kv_num_blocks,
        kv_indices,
        full_kv_num_blocks=None,
        full_kv_indices=None,
        BLOCK_SIZE=128,
        mask_mod=None,
        seq_lengths=None,
        compute_q_blocks=True,
        *,
        dq_write_order=None,
        dq_write_order_full=None,
        dq_kv_order=None,
    ):
        """From the blocks of each row; those of each column are found if `compute_q_blocks`."""
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        if (full_kv_num_blocks is None) != (full_kv_indices is None):
            raise AssertionError(
                "full_kv_num_blocks and full_kv_indices must be both provided or omitted"
            )
        size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
        if seq_lengths is None:
            seq_lengths = tuple(n * s for n, s in zip(kv_indices.shape[-2:], size))
        by_column = (None,) * 4
        if compute_q_blocks:
            by_column = (
                *_turned(kv_num_blocks, kv_indices),
                *_turned(full_kv_num_blocks, full_kv_indices),
            )
        return cls(
            seq_lengths,
            kv_num_blocks,
            kv_indices,
            full_kv_num_blocks,
            full_kv_indices,
            *by_column,
            size,
            noop_mask if mask_mod is None else mask_mod,
            dq_write_order=dq_write_order,
            dq_write_order_full=dq_write_order_full,
            dq_kv_order=None if isinstance(dq_kv_order, bool) else dq_kv_order,
            dq_kv_order_spt=dq_kv_order if isinstance(dq_kv_order, bool) else None,
        )

    def as_tuple(self, flatten=True):
        """The attributes; lengths and sizes of blocks as numbers of their own if `flatten`."""
        lengths, size = self.seq_lengths, self.BLOCK_SIZE
        return (
            *(lengths if flatten else (lengths,)),
            self.kv_num_blocks,
            self.kv_indices,
            self.full_kv_num_blocks,
            self.full_kv_indices,
            self.q_num_blocks,
            self.q_indices,
            self.full_q_num_blocks,
            self.full_q_indices,
            self.dq_write_order,
            self.dq_write_order_full,
            self.dq_kv_order,
            self.dq_kv_order_spt,
            *(size if flatten else (size,)),
            self.mask_mod,
        )

    @property
    def shape(self):
        """(..., queries, keys) of the mask."""
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self):
        """How many pairs there are."""
        return math.prod(self.shape)

    def sparsity(self):
        """The percentage of pairs in blocks that hide everything."""
        blocks = self.kv_num_blocks.sum().item()
        if self.full_kv_num_blocks is not None:
            blocks += self.full_kv_num_blocks.sum().item()
        return 100 * (1 - blocks * math.prod(self.BLOCK_SIZE) / self.numel())

    def to_dense(self):
        """int32 (..., rows, columns): 1 for blocks that do not hide everything."""
        found = _blocks(self.kv_num_blocks, self.kv_indices)
        if self.full_kv_num_blocks is not None:
            found = found | _blocks(self.full_kv_num_blocks, self.full_kv_indices)
        return found.to(int32)

    def __getitem__(self, index):
        """The mask of some batches, heads or rows of blocks; an int leaves a dimension of 1."""
        index = index if isinstance(index, tuple) else (index,)
        index = (*index, *[slice(None)] * 3)[:3]
        keep = lambda i: slice(i, i + 1 or None) if isinstance(i, int) else i
        part = lambda x: None if x is None else x[tuple([keep(i) for i in index])]
        return BlockMask.from_kv_blocks(
            part(self.kv_num_blocks),
            part(self.kv_indices),
            part(self.full_kv_num_blocks),
            part(self.full_kv_indices),
            self.BLOCK_SIZE,
            _reset_by_slicing,
            self.seq_lengths,
            self.q_indices is not None,
        )

    def _adjust(self, new_q_len, new_kv_len):
        """The upper left corner, for other lengths."""
        blocks = [-(-n // s) for n, s in zip((new_q_len, new_kv_len), self.BLOCK_SIZE)]
        corner = (..., slice(blocks[0]), slice(blocks[1]))
        cropped = lambda n, i: (None,) * 2 if n is None else _in_order(_blocks(n, i)[corner])
        return BlockMask.from_kv_blocks(
            *cropped(self.kv_num_blocks, self.kv_indices),
            *cropped(self.full_kv_num_blocks, self.full_kv_indices),
            self.BLOCK_SIZE,
            self.mask_mod,
            (new_q_len, new_kv_len),
            self.q_indices is not None,
        )

    def to(self, device):
        """The same: there is the CPU only."""
        return self

    def to_string(self, grid_size=(20, 20), limit=4):
        """The first `limit` masks drawn, at most `grid_size` characters: full, empty, between."""
        size = (grid_size, grid_size) if isinstance(grid_size, int) else grid_size
        dense, drawn = self.to_dense().float(), []
        for batch in itertools.product(*map(range, dense.shape[:-2])):
            if len(drawn) == limit:
                drawn.append("... to_string(limit=N) draws more")
                break
            rows, columns = (
                range(0, n, max(1, -(-n // most if most > 0 else 1)))
                for n, most in zip(dense.shape[-2:], size)
            )
            lines = [str(batch)]
            for r in rows:
                line = ""
                for c in columns:
                    share = dense[batch][r : r + rows.step, c : c + columns.step].mean().item()
                    line += 2 * ("█" if share == 1 else "░" if share else " ")
                lines.append(line)
            drawn.append("\n".join(lines) + "\n")
        return "\n".join(drawn)

    def __str__(self) -> str:
        head = f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, \n"
        return f"{head}{self.to_string().strip()}\n)"

    def __repr__(self) -> str:
        names = [
            f"{full}{side}_{kind}"
            for side in ("kv", "q")
            for full in ("", "full_")
            for kind in ("num_blocks", "indices")
        ]
        shapes = {name: getattr(getattr(self, name), "shape", None) for name in names}
        shown = {
            **shapes,
            "BLOCK_SIZE": self.BLOCK_SIZE,
            "shape": self.shape,
            "sparsity": f"{self.sparsity():.2f}%",
            "mask_mod": getattr(self.mask_mod, "__name__", self.mask_mod),
        }
        return "BlockMask(\n" + ",\n".join(f"    {k}={v}" for k, v in shown.items()) + "\n)"


def create_block_mask(
    mask_mod,
    B,
    H,
    Q_LEN,
    KV_LEN,
    device=None,
    BLOCK_SIZE=128,
    _compile=False,
    separate_full_blocks=True,
    compute_dq_write_order=False,
    dq_kv_order=True,
):
    """The :class:`BlockMask` of a function of a pair.

    Args:
        mask_mod: see the head of this module.
        B, H: batches and heads; None: the mask is the same for all.
        Q_LEN, KV_LEN: how many queries and keys.
        device: the CPU, if given.
        BLOCK_SIZE: queries and keys of a block, or both as a pair.
        _compile: accepted without effect.
        separate_full_blocks: list blocks that hide nothing apart from those that hide some pairs.
        compute_dq_write_order, dq_kv_order: for PyTorch's GPU kernels, without effect.

    Raises:
        AssertionError: `mask_mod` does not take 4 arguments.
    """
    if _arguments(mask_mod) != 4:
        raise AssertionError(f"create-block_mask requires a mask_mod function! Got {mask_mod}")
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    rows, columns = (-(-n // s) for n, s in zip((Q_LEN, KV_LEN), size))
    whole = zeros((*mask.shape[:2], rows * size[0], columns * size[1]), dtype=bool_)
    whole[..., :Q_LEN, :KV_LEN] = mask
    blocks = whole.reshape(*mask.shape[:2], rows, size[0], columns, size[1])
    some, full = blocks.any(5).any(3), blocks.all(5).all(3)
    if separate_full_blocks:
        listed = (*_in_order(some & ~full), *_in_order(full))
    else:
        listed = (*_in_order(some), None, None)
    return BlockMask.from_kv_blocks(*listed, size, mask_mod, (Q_LEN, KV_LEN))


# ---- attention -----------------------------------------------------------------------------------


def _check(query, key, value, block_mask, enable_gqa):
    """Raises what PyTorch raises where shapes do not fit."""
    if query.dim() != 4 or key.dim() != 4 or value.dim() != 4:
        raise NotImplementedError("NYI: query, key, and value must be 4D tensors")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            "flex_attention: expected query (B, Hq, L, E), key (B, Hkv, S, E) and value "
            f"(B, Hkv, S, Ev), but got {list(query.shape)}, {list(key.shape)} and "
            f"{list(value.shape)}"
        )
    heads, of_key = query.shape[1], key.shape[1]
    if not enable_gqa and heads != of_key:
        raise ValueError(
            "Expect query and key/value to have the same number of heads but got "
            f"Hq={heads} and Hkv={of_key}. Try setting enable_gqa=True for GQA."
        )
    if enable_gqa and (of_key == 0 or heads % of_key):
        raise ValueError(
            "Expect number of query heads to be a multiple of kv heads for GQA but got "
            f"Hq={heads} and Hkv={of_key}."
        )
    if query.shape[0] != key.shape[0] and (
        block_mask is None or block_mask.kv_num_blocks.shape[0] != query.shape[0]
    ):
        raise ValueError(
            "Expect query and key/value to have the same batch size, or block_mask and query to "
            f"have the same batch size, but got Bq={query.shape[0]} and Bkv={key.shape[0]}."
        )
    if block_mask is None:
        return
    if block_mask.mask_mod is _reset_by_slicing:
        raise RuntimeError("Cannot use mask_mod from a sliced BlockMask")
    lengths = query.shape[-2], key.shape[-2]
    if lengths != block_mask.shape[-2:]:
        raise ValueError(
            f"block_mask was created for block_mask.shape={block_mask.shape} but got "
            f"q_len={lengths[0]} and kv_len={lengths[1]}: create a block mask with these lengths"
        )


def flex_attention(
    query,
    key,
    value,
    score_mod=None,
    block_mask=None,
    scale=None,
    enable_gqa=False,
    return_lse=False,
    kernel_options=None,
    *,
    return_aux=None,
):
    """softmax(score_mod(scale query key^T)) value, over the pairs that `block_mask` lets take part.

    Without `score_mod` this is :func:`F.scaled_dot_product_attention` with a mask, tile by tile;
    with one, or where lse or maxima are wanted, the scores (B, Hq, L, S) are kept.

    Args:
        query: (B, Hq, L, E), floating.
        key: (B, Hkv, S, E).
        value: (B, Hkv, S, Ev).
        score_mod: see the head of this module; may use tensors that require gradients.
        block_mask: of `create_block_mask`, for these lengths.
        scale: factor of the scores, 1 / sqrt(E) by default.
        enable_gqa: Hkv may be a divisor of Hq.
        return_lse: also return log sum exp of the scores (B, Hq, L); deprecated.
        kernel_options: accepted without effect.
        return_aux: an :class:`AuxRequest`, what to return beside the result.

    Returns:
        (B, Hq, L, Ev), 0 where nothing takes part; with `return_aux` also an :class:`AuxOutput`.

    Raises:
        NotImplementedError: tensors of other than 4 dimensions.
        ValueError: shapes do not fit.
        RuntimeError: a `block_mask` that was sliced and has no mask_mod of its own.
    """
    _check(query, key, value, block_mask, enable_gqa)
    if return_lse and return_aux is not None:
        raise ValueError(
            "Cannot specify both return_lse and return_aux. return_lse is deprecated, please use "
            "return_aux=AuxRequest(lse=True) instead."
        )
    if return_lse:
        warnings.warn(
            "return_lse is deprecated: use return_aux=AuxRequest(lse=True)",
            FutureWarning,
            stacklevel=2,
        )
    sizes = (*query.shape[:3], key.shape[2])
    mask = None if block_mask is None else block_mask.mask_mod(*_indices(*sizes))
    if query.shape[0] != key.shape[0]:
        key, value = (x.expand(query.shape[0], *x.shape[1:]) for x in (key, value))
    if score_mod is None and return_aux is None and not return_lse:
        if mask is not None:
            mask = mask.expand(sizes)
        return scaled_dot_product_attention(
            query, key, value, mask, scale=scale, enable_gqa=enable_gqa
        )
    if key.shape[1] != sizes[1]:
        key, value = (x.repeat_interleave(sizes[1] // x.shape[1], 1) for x in (key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query @ key.transpose(-2, -1)).to(float64 if query.dtype == float64 else float32)
    scores = scores * scale
    if score_mod is not None:
        scores = score_mod(scores, *_indices(*sizes)).expand(sizes)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    hidden = (scores == -math.inf).all(-1, keepdim=True)
    weights = scores.masked_fill(hidden, 0.0).softmax(-1).masked_fill(hidden, 0.0)
    y = weights.to(query.dtype) @ value.to(query.dtype)
    if return_lse:
        return y, _log_sum_exp(scores, hidden)
    if return_aux is None:
        return y
    return y, AuxOutput(
        _log_sum_exp(scores, hidden) if return_aux.lse else None,
        scores.amax(-1) if return_aux.max_scores else None,
    )


def _log_sum_exp(scores, hidden):
    """log sum exp of the rows; -inf, with a gradient of 0, where everything is hidden."""
    return scores.masked_fill(hidden, 0.0).logsumexp(-1).masked_fill(hidden.squeeze(-1), -math.inf)
