"""Text: vocabularies, tokenisers, batches, language models, generation and scores.

=============================  ===========================================================
:class:`Vocab`                 tokens and their numbers, as in torchtext
:func:`get_tokenizer`          words, characters, "basic_english"
:class:`ByteLevelBPE`          byte pair encoding with GPT-2's rules and files
:class:`PadCollate`            batches of sequences of different lengths
:class:`BucketSampler`         batches of sequences of similar lengths
:class:`SinusoidalEncoding`    positions for attention, added
:class:`RotaryEncoding`        positions for attention, turned
:func:`generate`               greedy, sampled or by beam search, with a :class:`KVCache`
:func:`sequence_loss`          cross-entropy without padding; masks and teacher forcing
:mod:`~fastdl.text.models`     language models, translation, classification
:class:`GPT2`                  the network, with weights of the transformers package
:class:`NGramModel`            n-grams with Kneser-Ney smoothing
:class:`Word2Vec`              vectors of words: skip-gram and CBOW
:class:`GloVe`                 vectors of words from counts
:class:`WordVectors`           neighbours, analogies, files of such vectors
:func:`ctc_beam_search`        what networks trained with the CTC loss have read
:func:`bleu_score`             of translations; :func:`perplexity` of language models
:func:`split_documents`        what to learn from and what to test with, of any texts
=============================  ===========================================================
"""

from fastdl.text import models
from fastdl.text.batches import BucketSampler, PadCollate
from fastdl.text.bpe import ByteLevelBPE
from fastdl.text.corpora import split_documents, standard_library_docstrings
from fastdl.text.ctc import CTCHypothesis, ctc_beam_search, ctc_greedy_decode
from fastdl.text.generation import DecoderState, KVCache, generate
from fastdl.text.glove import GloVe, cooccurrences, glove_loss
from fastdl.text.gpt2 import GPT2, GPT2Config
from fastdl.text.ngrams import NGramModel
from fastdl.text.positional import RotaryEncoding, SinusoidalEncoding, sinusoidal_encoding
from fastdl.text.scores import bleu_score, perplexity
from fastdl.text.sequences import (
    causal_mask,
    length_mask,
    mix_tokens,
    padding_mask,
    sequence_loss,
    shift_right,
    teacher_forcing_ratio,
)
from fastdl.text.tokenizers import characters, get_tokenizer, ngrams_iterator, words
from fastdl.text.vectors import WordVectors
from fastdl.text.vocabulary import Vocab, build_vocab_from_iterator, vocab
from fastdl.text.word2vec import HuffmanTree, NoiseWords, Word2Vec, word_loss

__all__ = [
    "GPT2",
    "BucketSampler",
    "ByteLevelBPE",
    "CTCHypothesis",
    "DecoderState",
    "GPT2Config",
    "GloVe",
    "HuffmanTree",
    "KVCache",
    "NGramModel",
    "NoiseWords",
    "PadCollate",
    "RotaryEncoding",
    "SinusoidalEncoding",
    "Vocab",
    "Word2Vec",
    "WordVectors",
    "bleu_score",
    "build_vocab_from_iterator",
    "causal_mask",
    "characters",
    "cooccurrences",
    "ctc_beam_search",
    "ctc_greedy_decode",
    "generate",
    "get_tokenizer",
    "glove_loss",
    "length_mask",
    "mix_tokens",
    "models",
    "ngrams_iterator",
    "padding_mask",
    "perplexity",
    "sequence_loss",
    "shift_right",
    "sinusoidal_encoding",
    "split_documents",
    "standard_library_docstrings",
    "teacher_forcing_ratio",
    "vocab",
    "word_loss",
    "words",
]
