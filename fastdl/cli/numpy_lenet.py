"""The demo's network in plain NumPy: what `python -m fastdl demo` compares with.

Written as a good NumPy user would write it: float32 throughout, convolution as one matrix product
over columns cut with `sliding_window_view`, pooling over four strided views, no loop over images or
pixels. It imports nothing of fastdl. Layers are pairs of functions: forward returns what backward
needs; g is the gradient of the loss with respect to the layer's output.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def conv2d(x, weight, bias, padding):
    """x (N, C, H, W), weight (O, C, K, K), bias (O,) -> out (N, O, OH, OW), columns."""
    n, (o, c, k, _) = len(x), weight.shape
    if padding:
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(x, (k, k), axis=(2, 3))  # (N, C, OH, OW, K, K), no copy
    oh, ow = windows.shape[2:4]
    columns = windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * k * k, oh * ow)
    out = weight.reshape(o, -1) @ columns
    out += bias[:, None]
    return out.reshape(n, o, oh, ow), columns


def conv2d_backward(g, columns, weight, shape=None, padding=0):
    """g (N, O, OH, OW) -> gradients of x, weight, bias; of x only if its `shape` is given."""
    n, o, oh, ow = g.shape
    _, c, k, _ = weight.shape
    g = g.reshape(n, o, oh * ow)
    g_weight = (g @ columns.transpose(0, 2, 1)).sum(0).reshape(weight.shape)
    g_bias = g.sum((0, 2))
    if shape is None:
        return None, g_weight, g_bias
    g_columns = (weight.reshape(o, -1).T @ g).reshape(n, c, k, k, oh, ow)
    g_x = np.zeros((n, c, shape[2] + 2 * padding, shape[3] + 2 * padding), g.dtype)
    for i in range(k):
        for j in range(k):
            g_x[:, :, i : i + oh, j : j + ow] += g_columns[:, :, i, j]
    return g_x[:, :, padding : padding + shape[2], padding : padding + shape[3]], g_weight, g_bias


def max_pool2d(x):
    """x (N, C, H, W), H and W even -> out (N, C, H/2, W/2), and which of the 4 taps won."""
    out = x[:, :, ::2, ::2].copy()
    winner = np.zeros(out.shape, np.uint8)
    for tap in (1, 2, 3):
        rival = x[:, :, tap // 2 :: 2, tap % 2 :: 2]
        np.copyto(winner, tap, where=rival > out)
        np.maximum(out, rival, out=out)
    return out, winner


def max_pool2d_backward(g, winner):
    n, c, h, w = g.shape
    g_x = np.empty((n, c, 2 * h, 2 * w), g.dtype)
    for tap in range(4):
        g_x[:, :, tap // 2 :: 2, tap % 2 :: 2] = g * (winner == tap)
    return g_x


def cross_entropy(logits, targets):
    """logits (N, K), targets (N,) -> mean loss (a float), gradient (N, K) of the logits."""
    rows = np.arange(len(targets))
    shifted = logits - logits.max(1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    g = np.exp(log_softmax)
    g[rows, targets] -= 1
    return float(-log_softmax[rows, targets].mean()), g / np.float32(len(targets))


class NumpyLeNet:
    """LeNet: two convolutions with pooling, three linear layers, ReLU between them.

    Args:
        weights: arrays by the names of the fastdl network's ``state_dict``; copied.
    """

    def __init__(self, weights):
        self.weights = {name: np.array(value, np.float32) for name, value in weights.items()}

    def forward(self, x):
        """x (N, 1, 28, 28) -> logits (N, 10), and what `backward` needs."""
        w = self.weights
        c1, columns1 = conv2d(x, w["conv1.weight"], w["conv1.bias"], padding=2)
        np.maximum(c1, 0, out=c1)
        p1, winner1 = max_pool2d(c1)
        c2, columns2 = conv2d(p1, w["conv2.weight"], w["conv2.bias"], padding=0)
        np.maximum(c2, 0, out=c2)
        p2, winner2 = max_pool2d(c2)
        flat = p2.reshape(len(x), -1)
        h1 = np.maximum(flat @ w["fc1.weight"].T + w["fc1.bias"], 0)
        h2 = np.maximum(h1 @ w["fc2.weight"].T + w["fc2.bias"], 0)
        logits = h2 @ w["fc3.weight"].T + w["fc3.bias"]
        return logits, (columns1, c1, winner1, p1, columns2, c2, winner2, p2, flat, h1, h2)

    def backward(self, g, saved):
        """g (N, 10): gradient of the logits -> gradients by name."""
        w, grads = self.weights, {}
        columns1, c1, winner1, p1, columns2, c2, winner2, p2, flat, h1, h2 = saved
        grads["fc3.weight"], grads["fc3.bias"] = g.T @ h2, g.sum(0)
        g = (g @ w["fc3.weight"]) * (h2 > 0)
        grads["fc2.weight"], grads["fc2.bias"] = g.T @ h1, g.sum(0)
        g = (g @ w["fc2.weight"]) * (h1 > 0)
        grads["fc1.weight"], grads["fc1.bias"] = g.T @ flat, g.sum(0)
        g = (g @ w["fc1.weight"]).reshape(p2.shape)
        g = max_pool2d_backward(g, winner2) * (c2 > 0)
        g, grads["conv2.weight"], grads["conv2.bias"] = conv2d_backward(
            g, columns2, w["conv2.weight"], p1.shape
        )
        g = max_pool2d_backward(g, winner1) * (c1 > 0)
        _, grads["conv1.weight"], grads["conv1.bias"] = conv2d_backward(
            g, columns1, w["conv1.weight"]
        )
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
