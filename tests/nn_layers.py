"""More rows of test_nn.LAYERS: name, constructor given either nn, input shape, terms of the
longest sum. test_nn.py fails if a layer of one input stands in no row.
"""

# Layers that are tested elsewhere: test_nn.py says of each why it cannot be a row.
ELSEWHERE = {
    "Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict",
    "AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout",
    "Embedding", "EmbeddingBag", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "Bilinear",
    "CosineSimilarity", "PairwiseDistance", "Fold", "RReLU", "Unflatten", "MultiheadAttention",
    "Transformer", "TransformerDecoder", "TransformerDecoderLayer",
    "RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell",
    "AdaptiveLogSoftmaxWithLoss", "DataParallel", "FractionalMaxPool2d", "FractionalMaxPool3d",
    "LinearCrossEntropyLoss", "LinearCrossEntropyOptions",
}  # fmt: skip

X, IMAGES = (3, 8), (2, 4, 5, 6)

ROWS = [
    ("sync_batch_norm", lambda nn: nn.SyncBatchNorm(4), IMAGES, 1 << 10),
    ("threshold", lambda nn: nn.Threshold(0.2, -3.0), X, 4),
    ("celu", lambda nn: nn.CELU(1.5), X, 16),
    ("elu_", lambda nn: nn.ELU(0.7, inplace=False), X, 16),
    ("selu", lambda nn: nn.SELU(), X, 16),
    ("mish", lambda nn: nn.Mish(), X, 32),
    ("hardtanh", lambda nn: nn.Hardtanh(-0.5, 0.8), X, 4),
    ("relu6", lambda nn: nn.ReLU6(), X, 4),
    ("hardsigmoid", lambda nn: nn.Hardsigmoid(), X, 1 << 30),  # PyTorch's 1/6 is a float32
    ("hardswish", lambda nn: nn.Hardswish(), X, 8),
    ("hardshrink", lambda nn: nn.Hardshrink(0.3), X, 4),
    ("softshrink", lambda nn: nn.Softshrink(0.3), X, 4),
    ("softsign", lambda nn: nn.Softsign(), X, 8),
    ("tanhshrink", lambda nn: nn.Tanhshrink(), X, 8),
    ("log_sigmoid", lambda nn: nn.LogSigmoid(), X, 16),
    ("glu", lambda nn: nn.GLU(), X, 16),
    ("glu_first", lambda nn: nn.GLU(0), (4, 3), 16),
    ("prelu", lambda nn: nn.PReLU(), X, 64),
    ("prelu_channels", lambda nn: nn.PReLU(4, 0.1), IMAGES, 128),
    ("softmin", lambda nn: nn.Softmin(1), X, 16),
    ("softmax2d", lambda nn: nn.Softmax2d(), IMAGES, 16),
    *[
        (
            f"{kind}_pad{d}d",
            lambda nn, kind=kind, d=d, padding=padding: getattr(nn, f"{kind}Pad{d}d")(
                padding, *([1.5] if kind == "Constant" else [])
            ),
            (2, 3, 5, 4, 6)[: d + 2],
            32,
        )
        for kind in ("Constant", "Zero", "Reflection", "Replication", "Circular")
        for d, padding in ((1, 2), (1, (1, 2)), (2, (2, 1, 0, 3)), (3, (1, 2, 2, 0, 1, 1)))
    ],
    ("pad_unbatched", lambda nn: nn.ReflectionPad2d(1), (3, 4, 5), 8),
    ("upsample", lambda nn: nn.Upsample(scale_factor=2), IMAGES, 8),
    ("upsample_size", lambda nn: nn.Upsample(size=(7, 9)), IMAGES, 8),
    ("upsample_linear", lambda nn: nn.Upsample(scale_factor=1.7, mode="linear"), (2, 3, 7), 16),
    (
        "upsample_bilinear",
        lambda nn: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        IMAGES,
        32,
    ),
    ("upsample_bicubic", lambda nn: nn.Upsample(size=9, mode="bicubic"), IMAGES, 64),
    (
        "upsample_trilinear",
        lambda nn: nn.Upsample(scale_factor=(2.0, 1.0, 3.0), mode="trilinear"),
        (1, 2, 3, 4, 5),
        64,
    ),
    ("upsampling_nearest", lambda nn: nn.UpsamplingNearest2d(scale_factor=3), IMAGES, 16),
    ("upsampling_bilinear", lambda nn: nn.UpsamplingBilinear2d(size=(8, 3)), IMAGES, 32),
    ("pixel_shuffle", lambda nn: nn.PixelShuffle(2), IMAGES, 1),
    ("pixel_unshuffle", lambda nn: nn.PixelUnshuffle(2), (2, 3, 4, 6), 1),
    *[
        (
            f"transformer_encoder_layer{i}",
            lambda nn, options=options: nn.TransformerEncoderLayer(8, 2, 12, 0.0, **options),
            (3, 2, 8),
            512,
        )
        for i, options in enumerate(
            [
                {},
                {"batch_first": True, "activation": "gelu"},
                {"norm_first": True, "bias": False, "layer_norm_eps": 1e-3},
            ]
        )
    ],
    (
        "transformer_encoder",
        lambda nn: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 4, 12, 0.0, nn.SiLU(), batch_first=True),
            2,
            nn.LayerNorm(8),
            enable_nested_tensor=False,
        ),
        (3, 5, 8),
        2048,
    ),
    ("channel_shuffle", lambda nn: nn.ChannelShuffle(2), IMAGES, 1),
]
