"""The shapes that are measured: layers of well-known networks, small enough for two cores.

Facts of ResNet-50, MobileNet-V2, LeNet and CIFAR nets, BERT's feed-forward layer; nothing is tuned
to them. `SMOKE` is what a machine that only checks that the benchmarks run needs.
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
    "ResNet, 64 -> 256 at 56, 1x1": (8, 64, 56, 56, 256, 1, 1, 1, 1, 0, 0, 1),
    "MobileNet, depthwise 144 at 56": (8, 144, 56, 56, 144, 3, 3, 1, 1, 1, 1, 144),
}

# (n, c, h, w, window, stride, padding, kind)
POOL = {
    "max pool 2x2, 16x64x56x56": (16, 64, 56, 56, 2, 2, 0, "max"),
    "max pool 3x3/2, 8x64x112x112": (8, 64, 112, 112, 3, 2, 1, "max"),
    "avg pool 2x2, 16x64x56x56": (16, 64, 56, 56, 2, 2, 0, "avg"),
    "avg pool 7x7, 8x2048x7x7": (8, 2048, 7, 7, 7, 7, 0, "avg"),
}

SOFTMAX = (4096, 1000)
