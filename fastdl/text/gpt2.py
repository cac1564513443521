"""GPT-2: the network, and its weights from files of the transformers package."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping

import numpy as np

import fastdl.nn.functional as F
from fastdl._engine import tensor_of
from fastdl.io import load
from fastdl.nn import init
from fastdl.nn.container import ModuleList
from fastdl.nn.dropout import Dropout
from fastdl.nn.linear import Linear
from fastdl.nn.module import Module
from fastdl.nn.norm import LayerNorm
from fastdl.nn.sparse import Embedding
from fastdl.ops.creation import arange
from fastdl.ops.elementwise import equal
from fastdl.tensor import Tensor
from fastdl.text.generation import KVCache, generate

__all__ = ["GPT2", "GPT2Config"]


@dataclasses.dataclass(frozen=True)
class GPT2Config:
    """The sizes of a GPT-2, under the names of its ``config.json``; by default the smallest, of
    124 million parameters."""

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02

    @classmethod
    def from_json(cls, path: str | os.PathLike) -> GPT2Config:
        """What a ``config.json`` says; entries without a meaning here are passed over.

        Raises:
            ValueError: it asks for another activation than GPT-2's.
        """
        with open(path, encoding="utf-8") as file:
            given = json.load(file)
        if given.get("activation_function", "gelu_new") != "gelu_new":
            raise ValueError(
                "GPT2Config: activation_function must be 'gelu_new', but got "
                f"{given['activation_function']!r}"
            )
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in given.items() if name in names})


class _Attention(Module):
    """Causal attention to itself."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads = config.n_head
        self.attn_pdrop = config.attn_pdrop
        self.c_attn = Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = Linear(config.n_embd, config.n_embd)
        self.resid_dropout = Dropout(config.resid_pdrop)

    def forward(self, x: Tensor, cache: KVCache | None) -> Tensor:
        n, length, width = x.shape
        q, k, v = (
            part.reshape(n, length, self.heads, width // self.heads).permute(0, 2, 1, 3)
            for part in self.c_attn(x).chunk(3, -1)
        )
        if cache is not None:
            k, v = cache.append(self.layer, k, v)
        before = k.shape[2] - length
        mask = None  # one new position sees all, and without earlier ones the kernel's mask serves
        if before and length > 1:
            mask = tensor_of(np.tri(length, before + length, before, dtype=bool))
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            dropout_p=self.attn_pdrop if self.training else 0.0,
            is_causal=not before,
        )
        return self.resid_dropout(self.c_proj(y.permute(0, 2, 1, 3).reshape(n, length, width)))


class _Feedforward(Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        inner = config.n_inner or 4 * config.n_embd
        self.c_fc = Linear(config.n_embd, inner)
        self.c_proj = Linear(inner, config.n_embd)
        self.dropout = Dropout(config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))


class _Block(Module):
    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = _Attention(config, layer)
        self.ln_2 = LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = _Feedforward(config)

    def forward(self, x: Tensor, cache: KVCache | None) -> Tensor:
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.mlp(self.ln_2(x))


class GPT2(Module):
    """Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".

    Token and position embeddings, blocks with norms first, a last norm, and the token embeddings
    again as the weights of the output. Parameters have the names of the transformers package;
    weights of projections are (out, in), as `Linear` has them, and transposed on reading.

    Args:
        config: the sizes; further keyword arguments replace entries of it.

    Weights start from N(0, initializer_range), those into the residual stream from a deviation
    smaller by sqrt(2 n_layer); biases from 0.
    """

    def __init__(self, config: GPT2Config | None = None, **sizes) -> None:
        super().__init__()
        self.config = config = dataclasses.replace(config or GPT2Config(), **sizes)
        if config.n_embd % config.n_head:
            raise ValueError(f"GPT2: n_head={config.n_head} does not divide n_embd={config.n_embd}")
        self.wte = Embedding(config.vocab_size, config.n_embd)
        self.wpe = Embedding(config.n_positions, config.n_embd)
        self.drop = Dropout(config.embd_pdrop)
        self.h = ModuleList([_Block(config, i) for i in range(config.n_layer)])
        self.ln_f = LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws fresh initial values."""
        deviation = self.config.initializer_range
        for name, p in self.named_parameters():
            if p.dim() > 1:
                into_stream = name.endswith("c_proj.weight")
                scale = (2 * self.config.n_layer) ** -0.5 if into_stream else 1.0
                init.normal_(p, std=deviation * scale)
            elif name.endswith("bias"):
                init.zeros_(p)
            else:
                init.ones_(p)

    def forward(self, input_ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """Logits (N, L, vocab_size) of the next token at each position of ids (N, L), int64.

        Args:
            cache: keys and values of earlier positions, to which these are added.

        Raises:
            ValueError: more than `n_positions` positions.
        """
        start = 0 if cache is None else cache.length
        end = start + input_ids.shape[-1]
        if end > self.config.n_positions:
            raise ValueError(
                f"GPT2: {end} positions, but there are embeddings of {self.config.n_positions}"
            )
        x = self.drop(self.wte(input_ids) + self.wpe(arange(start, end)))
        for block in self.h:
            x = block(x, cache)
        return F.linear(self.ln_f(x), self.wte.weight)

    def generate(self, input_ids: Tensor, max_new_tokens: int = 20, **options) -> Tensor:
        """:func:`fastdl.text.generate` with this model, which sees its last `n_positions` tokens at
        most."""
        options.setdefault("context_length", self.config.n_positions)
        return generate(self, input_ids, max_new_tokens, **options)

    def load_huggingface(self, weights: Mapping[str, Tensor]) -> None:
        """Takes the weights of a GPT-2 of the transformers package, with or without a head.

        Args:
            weights: by their names there, with or without ``transformer.`` before them;
                projections (in, out) are transposed, stored causal masks and the head, which is
                ``wte``, are passed over.

        Raises:
            RuntimeError: weights are missing, unknown or of another shape, or the head is not
                ``wte``.
        """
        state, head = {}, None
        for name, value in weights.items():
            name = name.removeprefix("transformer.")
            if name.endswith((".attn.bias", ".attn.masked_bias")):
                continue
            if name == "lm_head.weight":
                head = value
                continue
            projection = name.endswith(".weight") and ".c_" in name
            state[name] = value.t().contiguous() if projection else value
        if head is not None and not equal(head, state.get("wte.weight", head)):
            raise RuntimeError("GPT2: lm_head.weight must be wte.weight, which it is not")
        self.load_state_dict(state)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike, **sizes) -> GPT2:
        """The model in a folder with ``config.json`` and ``model.safetensors``.

        Args:
            folder: what ``save_pretrained`` of the transformers package wrote.
            sizes: replace entries of the configuration (``resid_pdrop=0.0``).

        Raises:
            FileNotFoundError, CheckpointError: a file is missing or damaged.
            RuntimeError: the weights do not fit.
        """
        config = GPT2Config.from_json(os.path.join(folder, "config.json"))
        model = cls(config, **sizes)
        model.load_huggingface(load(os.path.join(folder, "model.safetensors")))
        return model.eval()
