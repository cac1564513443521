"""The demo's network in plain NumPy: what `python -m fastdl demo` compares with.

Written as a good NumPy user would write it: no loop over images or pixels, one dtype throughout.
Convolution and pooling are `fastdl._baselines`, the NumPy of every comparison; nothing here calls a
kernel of fastdl. g is the gradient of the loss with respect to a layer's output.
"""

import numpy as np

from fastdl._baselines import (
    columns,
    conv2d,
    conv2d_grad_input,
    conv2d_grad_weight,
    max_pool2d_backward,
    max_pool2d_winners,
)


def cross_entropy(logits, targets):
    """logits (N, K), targets (N,) -> mean loss (a float), gradient (N, K) of the logits."""
    rows = np.arange(len(targets))
    shifted = logits - logits.max(1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    g = np.exp(log_softmax)
    g[rows, targets] -= 1
    return float(-log_softmax[rows, targets].mean()), g / len(targets)


class NumpyLeNet:
    """LeNet: two convolutions with pooling, three linear layers, ReLU between them.

    Args:
        weights: arrays by the names of the fastdl network's ``state_dict``; copied.
    """

    def __init__(self, weights):
        self.weights = {name: np.array(value) for name, value in weights.items()}

    def forward(self, x):
        """x (N, 1, 28, 28) -> logits (N, 10), and what `backward` needs."""
        w = self.weights
        columns1 = columns(x, 5, 5, stride=1, padding=2)
        c1 = conv2d(x, w["conv1.weight"], w["conv1.bias"], padding=2, cols=columns1)
        np.maximum(c1, 0, out=c1)
        p1, winner1 = max_pool2d_winners(c1, 2, 2)
        columns2 = columns(p1, 5, 5, stride=1, padding=0)
        c2 = conv2d(p1, w["conv2.weight"], w["conv2.bias"], cols=columns2)
        np.maximum(c2, 0, out=c2)
        p2, winner2 = max_pool2d_winners(c2, 2, 2)
        flat = p2.reshape(len(x), -1)
        h1 = np.maximum(flat @ w["fc1.weight"].T + w["fc1.bias"], 0)
        h2 = np.maximum(h1 @ w["fc2.weight"].T + w["fc2.bias"], 0)
        logits = h2 @ w["fc3.weight"].T + w["fc3.bias"]
        return logits, (x, columns1, c1, winner1, p1, columns2, c2, winner2, p2, flat, h1, h2)

    def backward(self, g, saved):
        """g (N, 10): gradient of the logits -> gradients by name."""
        w, grads = self.weights, {}
        x, columns1, c1, winner1, p1, columns2, c2, winner2, p2, flat, h1, h2 = saved
        grads["fc3.weight"], grads["fc3.bias"] = g.T @ h2, g.sum(0)
        g = (g @ w["fc3.weight"]) * (h2 > 0)
        grads["fc2.weight"], grads["fc2.bias"] = g.T @ h1, g.sum(0)
        g = (g @ w["fc2.weight"]) * (h1 > 0)
        grads["fc1.weight"], grads["fc1.bias"] = g.T @ flat, g.sum(0)
        g = (g @ w["fc1.weight"]).reshape(p2.shape)
        g = max_pool2d_backward(g, winner2, c2.shape, 2, 2) * (c2 > 0)
        grads["conv2.weight"] = conv2d_grad_weight(p1, g, w["conv2.weight"].shape, cols=columns2)
        grads["conv2.bias"] = g.sum((0, 2, 3))
        g = conv2d_grad_input(g, w["conv2.weight"], p1.shape)
        g = max_pool2d_backward(g, winner1, c1.shape, 2, 2) * (c1 > 0)
        grads["conv1.weight"] = conv2d_grad_weight(
            x, g, w["conv1.weight"].shape, padding=2, cols=columns1
        )
        grads["conv1.bias"] = g.sum((0, 2, 3))
        return grads


class NumpyAdam:
    """Adam (Kingma and Ba 2015), on a dict of arrays, in place."""

    def __init__(self, weights, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        self.weights, self.lr, self.beta1, self.beta2, self.eps = weights, lr, beta1, beta2, eps
        self.steps = 0
        self.mean = {name: np.zeros_like(value) for name, value in weights.items()}
        self.square = {name: np.zeros_like(value) for name, value in weights.items()}

    def step(self, grads):
        self.steps += 1
        step_size = self.lr / (1 - self.beta1**self.steps)
        correction = (1 - self.beta2**self.steps) ** 0.5
        for name, g in grads.items():
            mean, square = self.mean[name], self.square[name]
            mean *= self.beta1
            mean += (1 - self.beta1) * g
            square *= self.beta2
            square += (1 - self.beta2) * (g * g)
            self.weights[name] -= step_size * mean / (np.sqrt(square) / correction + self.eps)
