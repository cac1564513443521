"""Sound under torchaudio's names: ``import fastdl.audio as torchaudio`` runs a course's code.

======================  ==================================================================
:func:`load`            samples of a WAV file as a tensor (channels, time); of FLAC, OGG and
                        MP3 with the package soundfile
:func:`save`            the way back; :func:`info`: what a file holds, without its samples
:mod:`functional`       spectrograms, filter banks, decibels, masks, sample rates, filters
:mod:`transforms`       the same as modules, for `nn.Sequential`
:mod:`datasets`         SpeechCommands and YesNo from their folders
======================  ==================================================================

Beyond torchaudio's namespace: the CTC loss is `nn.CTCLoss`, its decoders are
`text.ctc_greedy_decode` and `text.ctc_beam_search`, word error rates stand in `metrics`.
"""

from fastdl._version import __version__
from fastdl.audio import datasets, functional, transforms
from fastdl.audio.files import AudioMetaData, info, load, save
from fastdl.audio.wav import AudioFileError

__all__ = [
    "AudioFileError",
    "AudioMetaData",
    "__version__",
    "datasets",
    "functional",
    "info",
    "load",
    "save",
    "transforms",
]
