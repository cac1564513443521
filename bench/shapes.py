"""The shapes that are measured: layers of well-known networks, small enough for two cores.

Facts of ResNet, ResNeXt, MobileNet, LeNet and CIFAR nets, keyword spotting, BERT and GPT; nothing
is tuned to them. shapes.json holds many more of each family.
"""

# C (m, n) = A (m, k) B (k, n): (m, n, k)
GEMM = [
    (64, 64, 64),
    (255, 255, 255),
    (256, 256, 256),
    (512, 512, 512),
    (1024, 1024, 1024),
    (1, 1024, 1024),
    (64, 10, 784),
    (128, 3072, 768),
    (2048, 16, 2048),
]

# the same for a batch of products: (batch, m, n, k)
BATCHED = [(12, 128, 128, 64), (12, 128, 64, 128), (16, 40, 40, 64), (4096, 8, 8, 8)]

# (n, c, h, w, k, r, s, stride_h, stride_w, pad_h, pad_w, groups)
CONV = {
    "LeNet 1, 1 -> 6, 5x5": (64, 1, 28, 28, 6, 5, 5, 1, 1, 2, 2, 1),
    "LeNet 2, 6 -> 16, 5x5": (64, 6, 14, 14, 16, 5, 5, 1, 1, 0, 0, 1),
    "MNIST, 1 -> 32, 3x3": (64, 1, 28, 28, 32, 3, 3, 1, 1, 0, 0, 1),
    "CIFAR, 3 -> 32, 3x3": (64, 3, 32, 32, 32, 3, 3, 1, 1, 1, 1, 1),
    "stem, 3 -> 64, 7x7/2": (8, 3, 224, 224, 64, 7, 7, 2, 2, 3, 3, 1),
    "ResNet, 64 at 56, 3x3": (8, 64, 56, 56, 64, 3, 3, 1, 1, 1, 1, 1),
    "ResNet, 128 at 28, 3x3": (8, 128, 28, 28, 128, 3, 3, 1, 1, 1, 1, 1),
    "ResNet, 256 at 14, 3x3": (8, 256, 14, 14, 256, 3, 3, 1, 1, 1, 1, 1),
    "ResNet, 512 at 7, 3x3": (8, 512, 7, 7, 512, 3, 3, 1, 1, 1, 1, 1),
    "ResNet, 512 at 14, 3x3": (8, 512, 14, 14, 512, 3, 3, 1, 1, 1, 1, 1),
    "ResNet, 128 at 56, 3x3/2": (8, 128, 56, 56, 128, 3, 3, 2, 2, 1, 1, 1),
    "ResNet, 64 -> 256 at 56, 1x1": (8, 64, 56, 56, 256, 1, 1, 1, 1, 0, 0, 1),
    "ResNet, 1024 -> 256 at 14, 1x1": (8, 1024, 14, 14, 256, 1, 1, 1, 1, 0, 0, 1),
    "AlexNet, 3 -> 64, 11x11/4": (8, 3, 224, 224, 64, 11, 11, 4, 4, 2, 2, 1),
    "MobileNet, depthwise 144 at 56": (8, 144, 56, 56, 144, 3, 3, 1, 1, 1, 1, 144),
    "MobileNet, depthwise 96 at 112, 3x3/2": (8, 96, 112, 112, 96, 3, 3, 2, 2, 1, 1, 96),
}

# where NumPy's formulations, square and with one group or as many as channels, do not go
CONV_BEYOND_NUMPY = {
    "ResNeXt, 128 at 56, 3x3, 32 groups": (8, 128, 56, 56, 128, 3, 3, 1, 1, 1, 1, 32),
    "keywords, 1 -> 64, 10x4/2": (32, 1, 49, 10, 64, 10, 4, 2, 2, 4, 1, 1),
}

# (n, c, h, w, window, stride, padding, kind)
POOL = {
    "max pool 2x2, 16x64x56x56": (16, 64, 56, 56, 2, 2, 0, "max"),
    "max pool 3x3/2, 8x64x112x112": (8, 64, 112, 112, 3, 2, 1, "max"),
    "avg pool 2x2, 16x64x56x56": (16, 64, 56, 56, 2, 2, 0, "avg"),
    "avg pool 7x7, 8x2048x7x7": (8, 2048, 7, 7, 7, 7, 0, "avg"),
}

# (rows, columns)
SOFTMAX = [(4096, 1000), (64, 10), (1536, 128), (1, 50257)]
LAYER_NORM = [(4096, 768), (128, 1024)]

# (function, shape, other shape): one element at a time, the second broadcast to the first
ELEMENTWISE = [
    ("add", (4096, 4096), (4096, 4096)),
    ("mul", (16, 64, 56, 56), (16, 64, 56, 56)),
    ("add", (16, 64, 56, 56), (1, 64, 1, 1)),
    ("mul", (4096, 1024), (1024,)),
    ("sub", (4096, 1024), (4096, 1)),
    ("div", (4096, 1024), (4096, 1024)),
    ("maximum", (4096, 1024), (4096, 1024)),
]

# (batch, heads, tokens, width of a head, causal)
ATTENTION = {
    "attention 8x8x256x64, causal": (8, 8, 256, 64, True),
    "attention 8x8x256x64": (8, 8, 256, 64, False),
    "attention 1x8x2048x64, causal": (1, 8, 2048, 64, True),
}
