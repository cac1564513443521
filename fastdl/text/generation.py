"""Text from a language model: greedy, sampled or by beam search, with keys and values kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from fastdl._engine import tensor_of
from fastdl.autograd import no_grad
from fastdl.ops.core import tensor_argument
from fastdl.ops.random import multinomial
from fastdl.tensor import Tensor

__all__ = ["DecoderState", "KVCache", "generate"]


class DecoderState:
    """What a model carries from one token to the next, for a batch of sequences.

    Recurrent models keep their hidden states in one, decoders the output of their encoder.

    Args:
        fixed: becomes the attribute of that name.

    Attributes:
        length: how many positions the model has read.
        tensors: Tensors by name, the batch first, which the model replaces as it reads.
        fixed: Tensors by name, the batch first, which stay: all beams of a row have the same.
    """

    def __init__(self, fixed: Mapping[str, Tensor] | None = None) -> None:
        self.length = 0
        self.tensors: dict[str, Tensor] = {}
        self.fixed = dict(fixed or {})

    def repeat(self, n: int) -> None:
        """Makes n sequences, side by side, of each one."""
        for tensors in (self.fixed, self.tensors):
            tensors.update({name: t.repeat_interleave(n, 0) for name, t in tensors.items()})

    def reorder(self, index: np.ndarray) -> None:
        """Makes the sequences those at `index` of the present ones, as beam search needs: each in
        the place of one with the same `fixed`."""
        rows = tensor_of(index)
        self.tensors = {name: t.index_select(0, rows) for name, t in self.tensors.items()}

    def clear(self) -> None:
        """Forgets what was read; `fixed` stays."""
        self.length = 0
        self.tensors = {}

    def detach(self) -> None:
        """Cuts the state off what it was computed from: backpropagation through time ends here."""
        self.tensors = {name: t.detach() for name, t in self.tensors.items()}


class KVCache(DecoderState):
    """The keys and values of what a model has read, layer by layer.

    A model that takes one computes keys and values of new positions only and lets
    :meth:`append` put the earlier ones before them; the work of a new position then grows with the
    length, instead of the work of all positions again. Room is doubled when it runs out.
    """

    def __init__(self, fixed: Mapping[str, Tensor] | None = None) -> None:
        super().__init__(fixed)
        self._stores: dict[int, list[np.ndarray]] = {}
        self._lengths: dict[int, int] = {}

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Adds key (N, H, L, E) and value (N, H, L, Ev) of new positions and returns those of all:
        (N, H, length + L, E) and (N, H, length + L, Ev), valid until the next call. `length` is
        what every layer holds that holds something.

        Raises:
            RuntimeError: they require gradients, which a cache does not keep.
        """
        if key.requires_grad or value.requires_grad:
            raise RuntimeError("KVCache keeps no gradients: call the model under no_grad()")
        start = self._lengths.get(layer, 0)
        end = start + key.shape[2]
        stores = self._stores.setdefault(layer, [])
        for i, new in enumerate((key.array, value.array)):
            if i == len(stores):
                stores.append(_roomy(new, end))
            elif end > stores[i].shape[2]:
                roomy = _roomy(new, 2 * end)
                roomy[:, :, :start] = stores[i][:, :, :start]
                stores[i] = roomy
            stores[i][:, :, start:end] = new
        self._lengths[layer] = end
        self.length = min(self._lengths.values())
        key, value = (tensor_of(store[:, :, :end]) for store in stores)
        return key, value

    def clear(self) -> None:
        super().clear()
        self._lengths = {}

    def repeat(self, n: int) -> None:
        super().repeat(n)
        for stores in self._stores.values():
            stores[:] = [store.repeat(n, 0) for store in stores]

    def reorder(self, index: np.ndarray) -> None:
        super().reorder(index)
        if (index == np.arange(len(index))).all():
            return
        for layer, stores in self._stores.items():
            for store in stores:
                read = store[:, :, : self._lengths[layer]]
                read[:] = read[index]


def _roomy(like, length):
    return np.empty((*like.shape[:2], length, like.shape[3]), like.dtype)


def generate(
    model: Callable,
    input_ids: Tensor,
    max_new_tokens: int = 20,
    *,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    num_beams: int = 1,
    length_penalty: float = 1.0,
    eos_token_id: int | None = None,
    pad_token_id: int | None = None,
    use_cache: bool = True,
    context_length: int | None = None,
    generator=None,
    cache: DecoderState | None = None,
) -> Tensor:
    """Continues token sequences.

    Args:
        model: called with ids (N, L), int64, gives logits (N, L, V). With `use_cache` it is called
            with ids of new positions and ``cache=`` a :class:`KVCache`.
        input_ids: the beginnings (N, L) or (L,), int64, L > 0.
        max_new_tokens: how many tokens to add at most.
        do_sample: whether to draw the next token rather than to take the likeliest.
        temperature: logits are divided by it before drawing; below 1 the likely become likelier.
        top_k: only the k likeliest tokens are drawn.
        top_p: only the likeliest tokens whose probabilities first add up to p are drawn: Holtzman
            et al. 2020.
        num_beams: above 1, the likeliest continuation is searched with that many at a time.
        length_penalty: beams are ranked by log probability / (new tokens)^length_penalty.
        eos_token_id: ends a sequence.
        pad_token_id: fills ended sequences up, `eos_token_id` unless given.
        use_cache: whether the model takes a cache.
        context_length: how many tokens the model sees at most; None: all. Without a cache these are
            the last ones. With one, when it holds that many, the model starts again from the last
            half of them: a token's cost stays bounded either way.
        generator: random numbers for drawing, the default generator if None.
        cache: what the model is called with at first, for instance with an encoder's output in it;
            changed by the call. If it has read positions, `input_ids` begins with them. A fresh
            :class:`KVCache` if None.

    Returns:
        (N, L + new) or (L + new,): the beginnings and what follows.

    Raises:
        ValueError: an argument lies outside its range.
    """
    ids = tensor_argument("generate", "input_ids", input_ids).array
    if ids.ndim not in (1, 2) or ids.shape[-1] == 0 or ids.dtype != np.int64:
        raise ValueError(
            "generate: expected input_ids (N, L) or (L,) of int64 with L > 0, but got "
            f"{list(ids.shape)} of {ids.dtype}"
        )
    for name, value, fits in (
        ("max_new_tokens", max_new_tokens, max_new_tokens >= 0),
        ("temperature", temperature, temperature > 0),
        ("top_k", top_k, top_k is None or top_k > 0),
        ("top_p", top_p, top_p is None or 0 < top_p <= 1),
        ("num_beams", num_beams, num_beams > 0 and not (do_sample and num_beams > 1)),
        ("context_length", context_length, context_length is None or context_length > 0),
        ("use_cache", use_cache, use_cache or cache is None),
    ):
        if not fits:
            raise ValueError(f"generate: {name}={value} is out of range or does not go together")
    if use_cache and cache is None:
        cache = KVCache()

    first = 0  # the position that the cache begins with

    def scores(ids):
        """Logits (N, V) of what follows ids, in float64."""
        nonlocal first
        if cache is not None:
            length = ids.shape[1]
            if context_length is not None and length - first > context_length:
                keep = context_length // 2 if cache.length else context_length
                first = length - max(keep, 1)
                cache.clear()
            logits = model(tensor_of(ids[:, first + cache.length :]), cache=cache)
        else:
            seen = ids if context_length is None else ids[:, -context_length:]
            logits = model(tensor_of(np.ascontiguousarray(seen)))
        return logits.array[:, -1].astype(np.float64)

    pad = eos_token_id if pad_token_id is None else pad_token_id
    rows = ids.reshape(-1, ids.shape[-1])
    with no_grad(), _evaluating(model):
        if num_beams > 1:
            reorder = lambda index: None
            if cache is not None:
                cache.repeat(num_beams)
                reorder = cache.reorder
            ends = (eos_token_id, pad)
            found = _beam_search(
                scores, reorder, rows, max_new_tokens, num_beams, length_penalty, *ends
            )
        else:

            def pick(scores):
                if not do_sample:
                    return scores.argmax(-1)
                p = tensor_of(_probabilities(scores / temperature, top_k, top_p))
                return multinomial(p, 1, generator=generator).array[:, 0]

            found = _one_by_one(scores, pick, rows, max_new_tokens, eos_token_id, pad)
    return tensor_of(found if ids.ndim == 2 else found[0])


@contextlib.contextmanager
def _evaluating(model) -> Iterator[None]:
    """A module's evaluation mode; other callables have no modes."""
    training = getattr(model, "training", False)
    if training:
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()


def _log_softmax(scores):
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _probabilities(scores, top_k, top_p):
    """softmax(scores) (N, V) of what `top_k` and `top_p` leave, 0 elsewhere."""
    if top_k is not None and top_k < scores.shape[-1]:
        least = np.partition(scores, -top_k, -1)[:, -top_k, None]
        scores = np.where(scores < least, -np.inf, scores)
    p = np.exp(_log_softmax(scores))
    if top_p is not None:
        order = np.argsort(-p, -1, kind="stable")
        likely = np.take_along_axis(p, order, -1)
        before = likely.cumsum(-1) - likely  # what is likelier: the first token always stays
        kept = np.empty(p.shape, bool)
        np.put_along_axis(kept, order, before < top_p, -1)
        p = np.where(kept, p, 0)
        p /= p.sum(-1, keepdims=True)
    return p


def _one_by_one(scores, pick, ids, new, eos, pad):
    start = ids.shape[1]
    ids = np.concatenate([ids, np.empty((len(ids), new), np.int64)], 1)
    ended = np.zeros(len(ids), bool)
    for at in range(start, start + new):
        token = pick(scores(ids[:, :at]))
        if eos is not None:
            token = np.where(ended, pad, token)
            ended |= token == eos
        ids[:, at] = token
        if ended.all():
            return ids[:, : at + 1].copy()
    return ids


def _beam_search(scores, reorder, ids, new, beams, penalty, eos, pad):
    """The best continuation of each row, filled up with `pad`."""
    n, start = ids.shape
    ids = np.repeat(ids, beams, 0)
    total = np.full((n, beams), -np.inf)
    total[:, 0] = 0.0  # all beams of a row are the same at first: one counts
    ended: list[list] = [[] for _ in range(n)]
    open_rows = np.ones(n, bool)
    for length in range(1, new + 1):
        step = _log_softmax(scores(ids)).reshape(n, beams, -1)
        tokens = step.shape[-1]
        sums = (total[:, :, None] + step).reshape(n, -1)
        best = np.argsort(-sums, -1, kind="stable")[:, : 2 * beams]
        chosen = np.zeros((n, beams), np.int64)
        total = np.full((n, beams), -np.inf)
        for row in range(n):
            live = 0
            for rank, candidate in enumerate(best[row]):
                score = sums[row, candidate]
                if candidate % tokens == eos:
                    if rank < beams and open_rows[row] and score > -np.inf:
                        sequence = [*ids[row * beams + candidate // tokens], eos]
                        ended[row].append((score / length**penalty, sequence))
                elif live < beams:
                    chosen[row, live], total[row, live] = candidate, score
                    live += 1
            ended[row] = sorted(ended[row], key=lambda e: -e[0])[:beams]
            # what a live beam can still reach, as it can only lose probability
            reach = total[row].max() / (new if penalty > 0 else length) ** penalty
            open_rows[row] &= len(ended[row]) < beams or ended[row][-1][0] < reach
        source = (np.arange(n)[:, None] * beams + chosen // tokens).reshape(-1)
        ids = np.concatenate([ids[source], (chosen % tokens).reshape(-1, 1)], 1)
        reorder(source)
        if not open_rows.any():
            break
    results = []
    for row in range(n):
        live = zip(total[row], ids[row * beams : (row + 1) * beams], strict=True)
        length = max(ids.shape[1] - start, 1)
        candidates = [*ended[row], *((t / length**penalty, s) for t, s in live if open_rows[row])]
        results.append(list(max(candidates, key=lambda c: c[0])[1]))
    longest = max(map(len, results))
    return np.array([r + [pad] * (longest - len(r)) for r in results], np.int64)
