"""The networks that the command line trains, and how a checkpoint describes them."""

from itertools import pairwise

from fastdl import nn
from fastdl.nn import functional as F
from fastdl.text import GPT2
from fastdl.text.models import RecurrentLanguageModel


class LeNet(nn.Module):
    """Two convolutions with pooling, three linear layers; ReLU between them.

    After LeCun, Bottou, Bengio and Haffner (1998), with ReLU and max-pooling in place of tanh and
    sub-sampling, and every channel of the first stage feeding every one of the second.

    Args:
        channels: of the images, 1 or 3.
        size: (height, width) of the images; at least 12 each.
        classes: number of classes.
    """

    def __init__(self, channels: int, size: tuple[int, int], classes: int):
        super().__init__()
        height, width = ((side // 2 - 4) // 2 for side in size)
        self.conv1 = nn.Conv2d(channels, 6, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * height * width, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x):  # for images of 28x28:          (N, channels, 28, 28)
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  #      (N, 6, 14, 14)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  #      (N, 16, 5, 5)
        x = x.flatten(1)  #                                (N, 400)
        x = F.relu(self.fc1(x))  #                         (N, 120)
        x = F.relu(self.fc2(x))  #                         (N, 84)
        return self.fc3(x)  #                              (N, classes)


class MLP(nn.Module):
    """Linear layers with ReLU between them.

    Args:
        inputs: number of inputs; images are flattened.
        hidden: width of each hidden layer.
        classes: number of classes.
    """

    def __init__(self, inputs: int, hidden: list[int], classes: int):
        super().__init__()
        widths = [inputs, *hidden]
        layers = [nn.Flatten()]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], classes))

    def forward(self, x):
        return self.layers(x)


LANGUAGE_MODELS = ("gru", "lstm", "gpt")


def build(architecture: dict) -> nn.Module:
    """Return the network that `architecture` describes: its "model" and that class's arguments.

    Raises:
        KeyError, TypeError, ValueError: it describes no network.
    """
    arguments = dict(architecture)
    model = arguments.pop("model")
    if model in ("gru", "lstm"):
        return RecurrentLanguageModel(cell=model, **arguments)
    return {"lenet": LeNet, "mlp": MLP, "gpt": GPT2}[model](**arguments)


def describe(model: nn.Module) -> str:
    """Return the layers of a network in one line."""
    if isinstance(model, RecurrentLanguageModel):
        rnn, (tokens, width) = model.rnn, model.embedding.weight.shape
        layers = f"{rnn.num_layers} layers of {type(rnn).__name__}"
        if rnn.num_layers == 1:
            layers = type(rnn).__name__
        return f"{layers}: {tokens} tokens -> {width} -> {rnn.hidden_size} -> {tokens} logits"
    if isinstance(model, GPT2):
        c = model.config
        return (
            f"GPT-2's blocks: {c.vocab_size} tokens -> {c.n_layer} x {c.n_embd} with {c.n_head} "
            f"heads -> {c.vocab_size} logits, {c.n_positions} positions"
        )
    if isinstance(model, LeNet):
        c1, c2, linear = model.conv1, model.conv2, (model.fc1, model.fc2, model.fc3)
        layers = (
            f"LeNet: conv 5x5 {c1.in_channels} -> {c1.out_channels}, pool 2, "
            f"conv 5x5 {c2.in_channels} -> {c2.out_channels}, pool 2, linear "
        )
    else:
        layers = "MLP: linear "
        linear = [layer for layer in model.layers if isinstance(layer, nn.Linear)]
    widths = [linear[0].in_features, *(layer.out_features for layer in linear)]
    return layers + " -> ".join(str(width) for width in widths)


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
