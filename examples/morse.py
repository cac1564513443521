"""Morse code by ear: a network learns to read tones, told only what they say, not when.

The sounds are made here: words of random letters, keyed at a random pitch, with noise.
A mel spectrogram is read by a bidirectional GRU; the CTC loss sums over all ways in which the
letters may lie in time.

python examples/morse.py
"""

import numpy as np

import fastdl as torch
from fastdl import audio, metrics, nn, optim
from fastdl.text import ctc_beam_search

CODES = {
    "A": ".-", "D": "-..", "E": ".", "I": "..", "K": "-.-", "M": "--", "N": "-.", "O": "---",
    "R": ".-.", "S": "...", "T": "-", "U": "..-",
}  # fmt: skip
LETTERS = "".join(CODES)  # class 0 is the blank
RATE = 4000


def sound(word, rng):
    """The word as a tone, (time,)."""
    keys = []
    for letter in word:
        for sign in CODES[letter]:
            keys += [1] * (3 if sign == "-" else 1) + [0]
        keys += [0] * 2
    key = np.repeat([0, 0, *keys], RATE // 20)
    tone = key * np.sin(2 * np.pi * rng.uniform(500, 900) / RATE * np.arange(len(key)))
    return torch.tensor((tone + 0.1 * rng.standard_normal(len(key))).astype(np.float32))


def batch(count, rng):
    """Waveforms (N, time), their lengths, and the words."""
    words = ["".join(rng.choice([*LETTERS], rng.integers(2, 5))) for _ in range(count)]
    sounds = [sound(word, rng) for word in words]
    lengths = torch.tensor([len(s) for s in sounds])
    return nn.utils.rnn.pad_sequence(sounds, batch_first=True), lengths, words


class Listener(nn.Module):
    def __init__(self, mels=16, size=48):
        super().__init__()
        self.features = nn.Sequential(
            audio.transforms.MelSpectrogram(RATE, n_fft=128, hop_length=200, n_mels=mels),
            audio.transforms.AmplitudeToDB(top_db=40),
        )
        self.norm = nn.BatchNorm1d(mels)
        self.gru = nn.GRU(mels, size, bidirectional=True)
        self.out = nn.Linear(2 * size, 1 + len(LETTERS))

    def forward(self, waveforms, lengths):
        """Log probabilities (steps, N, classes), and the steps of each."""
        x = self.norm(self.features(waveforms))  # (N, mels, steps)
        steps = 1 + lengths // 200
        packed = nn.utils.rnn.pack_padded_sequence(x.permute(2, 0, 1), steps, enforce_sorted=False)
        x, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0])
        return self.out(x).log_softmax(-1), steps


def main():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = Listener()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    criterion = nn.CTCLoss()
    for step in range(1, 241):
        waveforms, lengths, words = batch(32, rng)
        labels = torch.tensor([1 + LETTERS.index(letter) for word in words for letter in word])
        log_probs, steps = model(waveforms, lengths)
        loss = criterion(log_probs, labels, steps, torch.tensor([len(word) for word in words]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 40 == 0:
            print(f"step {step:3d}: loss {loss.item():.3f}")

    model.eval()
    with torch.no_grad():
        waveforms, lengths, words = batch(100, rng)
        log_probs, steps = model(waveforms, lengths)
    hypotheses = ctc_beam_search(log_probs, steps)
    found = ["".join(LETTERS[c - 1] for c in best.tokens) for (best,) in hypotheses]
    for word, read in list(zip(words, found))[:5]:
        print(f"{word:5s} read as {read}")
    print(f"character error rate {metrics.char_error_rate(found, words):.4f}")


if __name__ == "__main__":
    main()
