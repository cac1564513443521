"""Networks for sequences of tokens: language models, translation, classification.

================================  ==========================================================
:class:`RecurrentLanguageModel`    an RNN, GRU or LSTM that predicts the next token
:class:`GRUTranslator`             encoder and decoder with Bahdanau's attention
:class:`TransformerTranslator`     `nn.Transformer` with embeddings, positions and a head
:class:`TransformerClassifier`     an encoder with a class token or a mean over positions
================================  ==========================================================

The translators share :class:`EncoderDecoder`, whose ``translate`` decodes greedily, by drawing or
by beam search. Tokens are int64, the batch comes first, padding is recognised by its number.
"""

from fastdl.text.models.classifier import TransformerClassifier
from fastdl.text.models.encoder_decoder import EncoderDecoder
from fastdl.text.models.gru_translator import AdditiveAttention, GRUTranslator
from fastdl.text.models.language import RecurrentLanguageModel
from fastdl.text.models.transformer_translator import TransformerTranslator

__all__ = [
    "AdditiveAttention",
    "EncoderDecoder",
    "GRUTranslator",
    "RecurrentLanguageModel",
    "TransformerClassifier",
    "TransformerTranslator",
]
