"""Adaptive softmax: log-probabilities of many classes, of which few are frequent."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from itertools import pairwise

from fastdl.nn.container import ModuleList, Sequential
from fastdl.nn.functional import log_softmax
from fastdl.nn.linear import Linear
from fastdl.nn.module import Module
from fastdl.ops.join import cat
from fastdl.tensor import Tensor

__all__ = ["AdaptiveLogSoftmaxWithLoss"]

# what a call returns: the log-probability of each target, minus their mean
_ASMoutput = namedtuple("_ASMoutput", ["output", "loss"])


class AdaptiveLogSoftmaxWithLoss(Module):
    """Softmax over classes ordered from frequent to rare. Grave et al. 2017.

    The head scores the classes below the first cutoff and the clusters between cutoffs; the classes
    of a cluster are scored, from inputs made smaller, where a target lies in it.

    Args:
        in_features: size of the inputs.
        n_classes: number of classes.
        cutoffs: where clusters begin: increasing, in [1, n_classes - 1].
        div_value: cluster i works on in_features / div_value^i features.
        head_bias: whether the head adds a bias.
        device, dtype: of the parameters.

    Called with inputs (N, in_features) and classes (N,), or (in_features,) and (), returns
    ``output``, the log-probability of each class given, and ``loss``, minus their mean.

    Raises:
        ValueError: cutoffs that are not as said.
        RuntimeError: sizes do not fit, or a target is no class.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if len(cutoffs) == 0:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            cutoffs != sorted(set(cutoffs))
            or not 0 < cutoffs[0] <= cutoffs[-1] < n_classes
            or any(int(c) != c for c in cutoffs)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing "
                "order, where each value is between 1 and n_classes-1"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = cutoffs[0]
        self.n_clusters = len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        like = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **like)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(pairwise(self.cutoffs), 1):
            hidden = int(in_features // div_value**i)
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, **like),
                    Linear(hidden, high - low, bias=False, **like),
                )
            )

    def reset_parameters(self) -> None:
        """Draws fresh initial values."""
        self.head.reset_parameters()
        for projection in self.tail:
            for layer in projection:
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        if target_.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if input_.ndim != target_.ndim + 1:
            raise RuntimeError(
                f"{target_.ndim}D target tensor expects {target_.ndim + 1}D input tensors, "
                f"but found inputs with size {input_.shape}"
            )
        if target_.ndim == 1 and input_.shape[0] != target_.shape[0]:
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        input, target = input_.reshape(-1, input_.shape[-1]), target_.reshape(-1)
        if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < self.n_classes:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{target.min().item()}, {target.max().item()}] were found. "
            )
        head = log_softmax(self.head(input), dim=1)
        places, parts = [], []  # the rows of the shortlist and of each cluster, their results
        for i, (low, high) in enumerate(pairwise([0, *self.cutoffs])):
            rows = ((target >= low) & (target < high)).nonzero().reshape(-1)
            if rows.numel() == 0:
                continue
            place = target[rows] - low
            if i == 0:
                part = head[rows, place]
            else:
                inside = log_softmax(self.tail[i - 1](input[rows]), dim=1)
                each = inside.gather(1, place.unsqueeze(1)).squeeze(1)
                part = head[rows, self.shortlist_size + i - 1] + each
            places.append(rows)
            parts.append(part)
        output = cat(parts)[cat(places).argsort()] if parts else head.sum(1)
        return _ASMoutput(output.reshape(target_.shape), (-output).mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """(N, in_features) -> the log-probabilities of all classes (N, n_classes)."""
        head = log_softmax(self.head(input), dim=1)
        size = self.shortlist_size
        clusters = [
            log_softmax(projection(input), dim=1) + head[:, size + i].unsqueeze(1)
            for i, projection in enumerate(self.tail)
        ]
        return cat([head[:, :size], *clusters], dim=1)

    def predict(self, input: Tensor) -> Tensor:
        """(N, in_features) -> the most probable class of each (N,); clusters are looked into for
        inputs whose head prefers one."""
        best = self.head(input).argmax(1)
        rare = best >= self.shortlist_size
        if bool(rare.any()):
            best[rare] = self.log_prob(input[rare]).argmax(1)
        return best
