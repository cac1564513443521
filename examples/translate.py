"""Dates as people write them into dates as computers do: sequence to sequence, with attention.

python examples/translate.py                a GRU with Bahdanau's attention
python examples/translate.py transformer    a small transformer
"""

import datetime
import random
import sys

import fastdl as torch
from fastdl import nn, optim
from fastdl.text import PadCollate, sequence_loss, shift_right, teacher_forcing_ratio
from fastdl.text.models import GRUTranslator, TransformerTranslator
from fastdl.utils.data import DataLoader

PAD, BEGIN, END = 0, 1, 2
CHARACTERS = "0123456789-/., abcdefghijklmnopqrstuvwxyz"
NUMBER = {c: i for i, c in enumerate(CHARACTERS, 3)}
FORMATS = ["%d %B %Y", "%B %d, %Y", "%a, %d %b %Y", "%d/%m/%Y", "%d.%m.%Y"]


def encode(text):
    return [*(NUMBER[c] for c in text.lower()), END]


def decode(tokens):
    return "".join(CHARACTERS[i - 3] for i in tokens if i > END)


def samples(count, seed):
    """Pairs ("tue, 03 mar 1998", "1998-03-03") as tokens."""
    draw = random.Random(seed)
    first, last = datetime.date(1950, 1, 1).toordinal(), datetime.date(2049, 12, 31).toordinal()
    days = [datetime.date.fromordinal(draw.randint(first, last)) for _ in range(count)]
    return [(encode(d.strftime(draw.choice(FORMATS))), encode(d.isoformat())) for d in days]


def build(name):
    tokens = len(CHARACTERS) + 3
    if name == "gru":
        return GRUTranslator(tokens, tokens, embedding_size=32, hidden_size=64)
    return TransformerTranslator(
        tokens, tokens, d_model=64, nhead=4, num_encoder_layers=2, num_decoder_layers=2,
        dim_feedforward=128, dropout=0.0, norm_first=True,
    )  # fmt: skip


def train(model, loader, optimizer, ratio):
    model.train()
    total, count = 0.0, 0
    for src, tgt in loader:
        optimizer.zero_grad()
        given = shift_right(tgt, BEGIN)
        if isinstance(model, GRUTranslator):
            logits, _ = model(src, given, teacher_forcing_ratio=ratio)
        else:
            logits = model(src, given)
        loss = sequence_loss(logits, tgt, ignore_index=PAD)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total, count = total + loss.item(), count + 1
    return total / count


def main():
    torch.manual_seed(0)
    name = sys.argv[1] if len(sys.argv) > 1 else "gru"
    model = build(name)
    train_set, test_set = samples(4000, seed=0), samples(200, seed=1)
    loader = DataLoader(train_set, batch_size=64, shuffle=True, collate_fn=PadCollate(PAD))
    epochs = 4
    optimizer = optim.Adam(model.parameters(), lr=4e-3 if name == "gru" else 2e-3)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        # a transformer learns all positions at once, from the true tokens before each
        ratio = teacher_forcing_ratio(epoch, "linear", k=4 * epochs) if name == "gru" else 1.0
        loss = train(model, loader, optimizer, ratio)
        scheduler.step()
        print(f"epoch {epoch + 1}  loss {loss:.4f}  teacher forcing {ratio:.2f}")
    src, tgt = PadCollate(PAD)(test_set)
    found = model.translate(src, max_new_tokens=12, num_beams=3)
    pairs = [(decode(a), decode(b), decode(s)) for a, b, s in zip(found, tgt, src)]
    for translation, _, source in pairs[:4]:
        print(f"{source:>24} -> {translation}")
    right = sum(translation == wanted for translation, wanted, _ in pairs)
    print(f"test accuracy {right / len(pairs):.4f}")


if __name__ == "__main__":
    main()
