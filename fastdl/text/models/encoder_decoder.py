"""What models that read one sequence and write another have in common."""

from __future__ import annotations

from fastdl.autograd import no_grad
from fastdl.nn.module import Module
from fastdl.ops.creation import full
from fastdl.tensor import Tensor
from fastdl.text.generation import DecoderState, generate

__all__ = ["EncoderDecoder"]


class EncoderDecoder(Module):
    """The base of models that translate: a subclass has `encode` and `decode`.

    Args:
        padding_idx: the token after the ends of sequences.
        bos_idx: the token that the decoder reads first.
        eos_idx: the token that ends a translation.
    """

    def __init__(self, padding_idx: int = 0, bos_idx: int = 1, eos_idx: int = 2) -> None:
        super().__init__()
        self.padding_idx = padding_idx
        self.bos_idx = bos_idx
        self.eos_idx = eos_idx

    def encode(self, src: Tensor, src_lengths: Tensor | None = None) -> DecoderState:
        """Reads sources (N, S), int64, of these lengths (N,), by default up to their padding;
        returns what `decode` starts from."""
        raise NotImplementedError

    def decode(self, ids: Tensor, cache: DecoderState) -> Tensor:
        """Logits (N, L, V) of what follows each of the next tokens (N, L); changes `cache`."""
        raise NotImplementedError

    def translate(
        self,
        src: Tensor,
        src_lengths: Tensor | None = None,
        max_new_tokens: int = 50,
        **options,
    ) -> Tensor:
        """Translations of a batch of sources, in evaluation mode and without gradients.

        Args:
            src: (N, S), int64.
            src_lengths: (N,), by default up to the padding.
            max_new_tokens: how many tokens a translation has at most.
            options: of :func:`fastdl.text.generate`: greedy unless ``num_beams`` or ``do_sample``
                is given.

        Returns:
            (N, L), int64, without the first token, with `eos_idx` at the ends and `padding_idx`
            after them. For attention weights, call the model with these as its targets.
        """
        training = self.training
        self.eval()
        try:
            with no_grad():
                state = self.encode(src, src_lengths)
            start = full((len(src), 1), self.bos_idx)
            options = {"eos_token_id": self.eos_idx, "pad_token_id": self.padding_idx} | options
            return generate(self.decode, start, max_new_tokens, cache=state, **options)[:, 1:]
        finally:
            self.train(training)
