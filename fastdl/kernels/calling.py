"""Any rung of convolution and pooling, called with a layer's arguments instead of a geometry."""

import numpy as np

from fastdl import _kernels


def pair(value, function, argument):
    """An int, or two, as two ints; TypeError otherwise."""
    both = (value, value) if isinstance(value, int | np.integer) else value
    try:
        first, second = (int(v) for v in both)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {argument} must be an int or two, got {value!r}") from None
    return first, second


def conv2d_geometry(function, x_shape, w_shape, stride, padding, dilation, groups):
    """The 16 numbers of the contract's `fdl_conv`; ValueError if the shapes do not fit."""
    sh, sw = pair(stride, function, "stride")
    ph, pw = pair(padding, function, "padding")
    dh, dw = pair(dilation, function, "dilation")
    if len(x_shape) != 4 or len(w_shape) != 4:
        raise ValueError(f"{function}: x and w must have 4 dimensions, got {x_shape} and {w_shape}")
    (n, c, h, w), (k, _, r, s) = x_shape, w_shape
    if min(sh, sw, dh, dw, groups) < 1 or min(ph, pw) < 0:
        raise ValueError(
            f"{function}: stride, dilation and groups must be positive and padding not negative, "
            f"got stride={stride}, padding={padding}, dilation={dilation}, groups={groups}"
        )
    if c != w_shape[1] * groups or k % groups:
        raise ValueError(
            f"{function}: w must be (k, {c} / groups, r, s) for x of {c} channels and "
            f"groups={groups}, got {tuple(w_shape)}"
        )
    oh, ow = (h + 2 * ph - dh * (r - 1) - 1) // sh + 1, (w + 2 * pw - dw * (s - 1) - 1) // sw + 1
    if min(oh, ow) < 1:
        raise ValueError(f"{function}: the {r} x {s} filter is larger than the padded {h} x {w} x")
    return n, c, h, w, k, r, s, oh, ow, sh, sw, ph, pw, dh, dw, groups


def conv2d(
    x, w, bias=None, stride=1, padding=0, dilation=1, groups=1,
    *, variant=None, isa=None, threads=0,
):  # fmt: skip
    """Convolves (cross-correlates) x (n, c, h, w) with w (k, c / groups, r, s): (n, k, oh, ow).

    `stride`, `padding`, `dilation`: an int or a pair; `bias`: (k,) or None. All C-contiguous and of
    one dtype. Raises TypeError or ValueError naming the argument.
    """
    geometry = conv2d_geometry("conv2d", x.shape, w.shape, stride, padding, dilation, groups)
    return _kernels.conv2d(x, w, bias, geometry, isa=isa, threads=threads, **chosen(variant))


def conv2d_grad_input(
    dy, w, x_shape, stride=1, padding=0, dilation=1, groups=1,
    *, variant=None, isa=None, threads=0,
):  # fmt: skip
    """The gradient of sum(conv2d(x, w) * dy) in x, of shape `x_shape`; the rest as `conv2d`."""
    args = ("conv2d_grad_input", x_shape, w.shape, stride, padding, dilation, groups)
    geometry = conv2d_geometry(*args)
    return _kernels.conv2d_grad_input(dy, w, geometry, isa=isa, threads=threads, **chosen(variant))


def conv2d_grad_weight(
    x, dy, w_shape, stride=1, padding=0, dilation=1, groups=1,
    *, variant=None, isa=None, threads=0,
):  # fmt: skip
    """The gradient of sum(conv2d(x, w) * dy) in w, of shape `w_shape`; the rest as `conv2d`."""
    args = ("conv2d_grad_weight", x.shape, w_shape, stride, padding, dilation, groups)
    geometry = conv2d_geometry(*args)
    return _kernels.conv2d_grad_weight(x, dy, geometry, isa=isa, threads=threads, **chosen(variant))


def pool2d_geometry(function, x, kernel_size, stride, padding, dilation):
    """The 17 numbers of the contract's `fdl_pool`; ValueError if the shapes do not fit."""
    kh, kw = pair(kernel_size, function, "kernel_size")
    sh, sw = (kh, kw) if stride is None else pair(stride, function, "stride")
    ph, pw = pair(padding, function, "padding")
    dh, dw = pair(dilation, function, "dilation")
    if x.ndim < 2:
        raise ValueError(f"{function}: x must have at least 2 dimensions, got shape {x.shape}")
    if min(kh, kw, sh, sw, dh, dw) < 1:
        raise ValueError(f"{function}: kernel_size, stride and dilation must be positive")
    if not 0 <= ph <= kh // 2 or not 0 <= pw <= kw // 2:
        raise ValueError(
            f"{function}: padding must be at most half of kernel_size {(kh, kw)}, got {(ph, pw)}"
        )
    h, w = x.shape[-2:]
    oh, ow = (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1, (w + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    if min(oh, ow) < 1:
        raise ValueError(f"{function}: the window {(kh, kw)} is larger than the padded x {(h, w)}")
    planes = int(np.prod(x.shape[:-2]))
    return planes, h, w, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw, ph, pw, 1, 0


def max_pool2d(
    x, kernel_size, stride=None, padding=0, dilation=1, *, variant=None, isa=None, threads=0
):
    """Maxima of windows of x (..., h, w): y (..., oh, ow), and taps: the winner's r * kw + s.

    `stride` None: `kernel_size`; each of these an int or a pair. x C-contiguous.
    Raises TypeError or ValueError naming the argument.
    """
    geometry = pool2d_geometry("max_pool2d", x, kernel_size, stride, padding, dilation)
    return _kernels.max_pool2d(x, geometry, isa=isa, threads=threads, **chosen(variant))


def avg_pool2d(x, kernel_size, stride=None, padding=0, *, variant=None, isa=None, threads=0):
    """Means of windows of x (..., h, w), padding counted as zeros; else as `max_pool2d`."""
    geometry = pool2d_geometry("avg_pool2d", x, kernel_size, stride, padding, 1)
    return _kernels.avg_pool2d(x, geometry, isa=isa, threads=threads, **chosen(variant))


def chosen(variant):
    """The keyword for a variant; none for None, which leaves the choice to the kernel."""
    return {} if variant is None else {"variant": variant}
