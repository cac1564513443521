"""The opponents: what fastdl's kernels do, in plain NumPy, as well as it can be said there.

Two formulations stand side by side where the one that textbooks print is not the fastest:
`*_textbook`, and the fastest that was found. Figures are quoted against the fastest.

Shapes: x (N, C, H, W), w (K, C, R, S), y (N, K, OH, OW), all float32; stride and padding are one
int for both axes.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def windows(x, r, s, stride, padding):
    """x (N, C, H, W) -> a view (N, C, OH, OW, R, S) of its (padded) windows."""
    if padding:
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    return sliding_window_view(x, (r, s), axis=(2, 3))[:, :, ::stride, ::stride]


def columns(x, r, s, stride, padding):
    """im2col, tap by tap: (N, C * R * S, OH * OW), written along rows of the image."""
    view = windows(x, r, s, stride, padding)
    n, c, oh, ow = view.shape[:4]
    return view.transpose(0, 1, 4, 5, 2, 3).reshape(n, c * r * s, oh * ow)


def conv2d(x, w, bias=None, stride=1, padding=0, cols=None):
    """im2col and one matrix product per image: nothing is transposed."""
    k, _, r, s = w.shape
    n, _, h, width = x.shape
    oh = (h + 2 * padding - r) // stride + 1
    ow = (width + 2 * padding - s) // stride + 1
    cols = columns(x, r, s, stride, padding) if cols is None else cols
    y = w.reshape(k, -1) @ cols
    if bias is not None:
        y += bias[:, None]
    return y.reshape(n, k, oh, ow)


def conv2d_textbook(x, w, bias=None, stride=1, padding=0):
    """im2col with a row per output pixel, one large matrix product, a transpose back."""
    k, _, r, s = w.shape
    view = windows(x, r, s, stride, padding)
    n, _, oh, ow = view.shape[:4]
    y = view.transpose(0, 2, 3, 1, 4, 5).reshape(n * oh * ow, -1) @ w.reshape(k, -1).T
    if bias is not None:
        y += bias
    return np.ascontiguousarray(y.reshape(n, oh, ow, k).transpose(0, 3, 1, 2))


def conv2d_grad_input(dy, w, x_shape, stride=1, padding=0):
    """col2im: one matrix product per image, then one strided addition per tap."""
    n, c, h, width = x_shape
    k, _, r, s = w.shape
    oh, ow = dy.shape[2:]
    cols = (w.reshape(k, -1).T @ dy.reshape(n, k, oh * ow)).reshape(n, c, r, s, oh, ow)
    dx = np.zeros((n, c, h + 2 * padding, width + 2 * padding), dy.dtype)
    for i in range(r):
        for j in range(s):
            dx[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride] += cols[:, :, i, j]
    return dx[:, :, padding : padding + h, padding : padding + width]


def conv2d_grad_weight(x, dy, w_shape, stride=1, padding=0, cols=None):
    """A product per image with the columns (the forward pass's, if given), summed over images."""
    k, _, r, s = w_shape
    cols = columns(x, r, s, stride, padding) if cols is None else cols
    return (dy.reshape(len(dy), k, -1) @ cols.transpose(0, 2, 1)).sum(0).reshape(w_shape)


def conv2d_training(x, w, bias, dy, stride=1, padding=0):
    """y, dx, dw, db with the columns computed once, as a good NumPy program keeps them."""
    cols = columns(x, *w.shape[2:], stride, padding)
    y = conv2d(x, w, bias, stride, padding, cols)
    dx = conv2d_grad_input(dy, w, x.shape, stride, padding)
    return y, dx, conv2d_grad_weight(x, dy, w.shape, stride, padding, cols), dy.sum((0, 2, 3))


def depthwise(x, w, bias=None, stride=1, padding=0):
    """One filter a channel, w (C, 1, R, R): a multiply-add of the whole image for each tap."""
    size = w.shape[2]
    y = None
    for t, tap in enumerate(taps(x, size, stride, padding, 0)):
        weight = w[:, 0, t // size, t % size][:, None, None]
        if y is None:
            y = tap * weight
        else:
            y += tap * weight
    if bias is not None:
        y += bias[:, None, None]
    return y


def depthwise_training(x, w, bias, dy, stride=1, padding=0):
    """y, dx, dw, db."""
    n, c, h, width = x.shape
    size = w.shape[2]
    dw = np.empty_like(w)
    for t, tap in enumerate(taps(x, size, stride, padding, 0)):
        dw[:, 0, t // size, t % size] = np.einsum("nchw,nchw->c", tap, dy)
    dx = np.zeros((n, c, h + 2 * padding, width + 2 * padding), dy.dtype)
    for t, tap in enumerate(taps(dx, size, stride, 0, 0)):
        tap += dy * w[:, 0, t // size, t % size][:, None, None]
    dx = dx[:, :, padding : padding + h, padding : padding + width]
    return depthwise(x, w, bias, stride, padding), dx, dw, dy.sum((0, 2, 3))


def taps(x, size, stride, padding, fill):
    """The size * size strided views of x, one for each position in the window."""
    if padding:
        pad = ((0, 0), (0, 0), (padding, padding), (padding, padding))
        x = np.pad(x, pad, constant_values=fill)
    oh, ow = ((extent - size) // stride + 1 for extent in x.shape[2:])
    for i in range(size):
        for j in range(size):
            yield x[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]


def max_pool2d(x, size, stride, padding=0):
    """np.maximum of the window's taps: whole-image operations, nothing gathered."""
    first, *others = taps(x, size, stride, padding, -np.inf)
    y = first.copy()
    for tap in others:
        np.maximum(y, tap, out=y)
    return y


def max_pool2d_textbook(x, size, stride, padding=0):
    """A maximum over axes: of a reshape where windows tile x, else of sliding_window_view."""
    n, c, h, w = x.shape
    if size == stride and not padding and h % size == 0 and w % size == 0:
        return x.reshape(n, c, h // size, size, w // size, size).max(axis=(3, 5))
    if padding:
        pad = ((0, 0), (0, 0), (padding, padding), (padding, padding))
        x = np.pad(x, pad, constant_values=-np.inf)
    view = sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]
    return view.max(axis=(4, 5))


def max_pool2d_winners(x, size, stride, padding=0):
    """y, and which tap of each window won (uint8, the first of equals): what backward needs."""
    first, *others = taps(x, size, stride, padding, -np.inf)
    y = first.copy()
    winner = np.zeros(y.shape, np.uint8)
    for t, tap in enumerate(others, 1):
        # t grows, so the last tap that won is the largest. A masked copy takes four times as long.
        np.maximum(winner, (tap > y).view(np.uint8) * np.uint8(t), out=winner)
        np.maximum(y, tap, out=y)
    return y, winner


def max_pool2d_backward(dy, winner, x_shape, size, stride, padding=0):
    """dx: the gradient goes to each window's winner, added only where windows overlap."""
    n, c, h, w = x_shape
    dx = np.zeros((n, c, h + 2 * padding, w + 2 * padding), dy.dtype)
    share = np.empty_like(dy)
    for t, tap in enumerate(taps(dx, size, stride, 0, 0)):
        if stride >= size:
            np.multiply(dy, winner == t, out=tap)
        else:
            tap += np.multiply(dy, winner == t, out=share)
    return dx[:, :, padding : padding + h, padding : padding + w]


def max_pool2d_training(x, dy, size, stride, padding=0):
    """y and dx."""
    y, winner = max_pool2d_winners(x, size, stride, padding)
    return y, max_pool2d_backward(dy, winner, x.shape, size, stride, padding)


def avg_pool2d(x, size, stride, padding=0):
    """The sum of the window's taps, divided by its size; padding counts as zeros."""
    first, *others = taps(x, size, stride, padding, 0)
    y = first.copy()
    for tap in others:
        y += tap
    y *= np.float32(1 / size**2)
    return y


def avg_pool2d_training(x, dy, size, stride, padding=0):
    """y and dx: a share of the gradient is added to each tap."""
    n, c, h, w = x.shape
    dx = np.zeros((n, c, h + 2 * padding, w + 2 * padding), x.dtype)
    share = dy * np.float32(1 / size**2)
    for tap in taps(dx, size, stride, 0, 0):
        tap += share
    y = avg_pool2d(x, size, stride, padding)
    return y, dx[:, :, padding : padding + h, padding : padding + w]


def avg_pool2d_textbook(x, size, stride, padding=0):
    """A mean over the last two axes of sliding_window_view."""
    return windows(x, size, size, stride, padding).mean(axis=(4, 5), dtype=x.dtype)


def relu(x):
    """max(x, 0)."""
    return np.maximum(x, 0)


def softmax(x):
    """exp(x - max) / sum over rows of x (rows, cols), in place after the first subtraction."""
    y = x - x.max(axis=1, keepdims=True)
    np.exp(y, out=y)
    y /= y.sum(axis=1, keepdims=True)
    return y


def cross_entropy(x, target):
    """Per-row loss and gradient, softmax(x) - onehot(target), of logits x (rows, cols)."""
    rows = np.arange(len(x))
    grad = softmax(x)
    loss = -np.log(grad[rows, target])
    grad[rows, target] -= 1
    return loss, grad


def sgd_step(param, grad, momentum_buffer, lr, momentum):
    """SGD with momentum, in place."""
    momentum_buffer *= momentum
    momentum_buffer += grad
    param -= lr * momentum_buffer


def adam_step(param, grad, exp_avg, exp_avg_sq, step, lr, beta1, beta2, eps):
    """Adam, in place; the bias corrections are folded into scalars."""
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    root = np.sqrt(exp_avg_sq)
    root *= 1 / np.sqrt(1 - beta2**step)
    root += eps
    np.divide(exp_avg, root, out=root)
    root *= lr / (1 - beta1**step)
    param -= root


def gelu(x):
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))): NumPy has no erf."""
    inner = x * x
    inner *= np.float32(0.044715)
    inner += 1
    inner *= x
    inner *= np.float32(math.sqrt(2 / math.pi))
    np.tanh(inner, out=inner)
    inner += 1
    inner *= x
    inner *= np.float32(0.5)
    return inner


def layer_norm(x, weight, bias, eps=1e-5):
    """Rows of x (rows, cols), normalised; also what the gradient needs."""
    y = x - x.mean(axis=1, keepdims=True)
    scale = 1 / np.sqrt(np.einsum("ij,ij->i", y, y)[:, None] / np.float32(x.shape[1]) + eps)
    y *= scale
    return y * weight + bias, y, scale


def layer_norm_training(x, weight, bias, dy):
    """dx, dweight, dbias."""
    _, normed, scale = layer_norm(x, weight, bias)
    g = dy * weight
    dx = g - g.mean(axis=1, keepdims=True)
    dx -= normed * (np.einsum("ij,ij->i", g, normed)[:, None] / np.float32(x.shape[1]))
    dx *= scale
    return dx, np.einsum("ij,ij->j", dy, normed), dy.sum(axis=0)


def batch_norm(x, weight, bias, eps=1e-5):
    """x (n, c, h, w) normalised over all but its channels."""
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    y = x - mean
    scale = 1 / np.sqrt(np.einsum("nchw,nchw->c", y, y) / np.float32(x.size // x.shape[1]) + eps)
    y *= (scale * weight)[:, None, None]
    y += bias[:, None, None]
    return y


def attention(q, k, v):
    """softmax(q k^T / sqrt(width)) v for batches of heads, causal."""
    scores = q @ k.swapaxes(-1, -2)
    scores *= np.float32(1 / math.sqrt(q.shape[-1]))
    length = q.shape[-2]
    scores[..., np.triu(np.ones((length, length), bool), 1)] = -np.inf
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores @ v


def embedding_gradient(ids, dy, words):
    """Rows of dy (tokens, width) added up by id: sorted, then summed by runs."""
    order = np.argsort(ids, kind="stable")
    found, starts = np.unique(ids[order], return_index=True)
    grad = np.zeros((words, dy.shape[1]), dy.dtype)
    grad[found] = np.add.reduceat(dy[order], starts, axis=0)
    return grad
