"""Rows for test_nn.py: loss layers against PyTorch: constructor given either nn, input arrays."""

import numpy as np

X = (4, 3)
SIGNS = np.array([1.0, -1.0, 1.0, -1.0])
LABELS = np.array([[0, 2, -1], [-1, 0, 1], [2, 1, 0], [1, -1, -1]])
CLASSES = np.array([0, 2, 1, 2])
WEIGHT = np.array([0.5, 2.0, 1.5])

# constructor, given (nn, tensor); what it is called with: a shape (normal numbers) or an array
ROWS = [
    ("soft_margin", lambda nn, t: nn.SoftMarginLoss(), [(4,), SIGNS]),
    ("hinge", lambda nn, t: nn.HingeEmbeddingLoss(0.7, reduction="sum"), [(4,), SIGNS]),
    ("ranking", lambda nn, t: nn.MarginRankingLoss(0.3), [(4,), (4,), SIGNS]),
    ("cosine", lambda nn, t: nn.CosineEmbeddingLoss(0.2), [X, X, SIGNS]),
    ("triplet", lambda nn, t: nn.TripletMarginLoss(0.8, 3, 1e-3, True), [X, X, X]),
    ("triplet_distance", lambda nn, t: nn.TripletMarginWithDistanceLoss(margin=2.0), [X, X, X]),
    (
        "triplet_cosine",
        lambda nn, t: nn.TripletMarginWithDistanceLoss(
            distance_function=nn.CosineSimilarity(), swap=True, reduction="none"
        ),
        [X, X, X],
    ),
    ("multi_margin", lambda nn, t: nn.MultiMarginLoss(2, 0.5, t(WEIGHT)), [X, CLASSES]),
    ("multilabel", lambda nn, t: nn.MultiLabelMarginLoss(reduction="none"), [X, LABELS]),
    (
        "multilabel_soft",
        lambda nn, t: nn.MultiLabelSoftMarginLoss(t(WEIGHT)),
        [X, np.eye(4)[:, :3]],
    ),
    ("poisson", lambda nn, t: nn.PoissonNLLLoss(False, True, eps=20.0), [X, np.eye(4)[:, :3] * 3]),
    (
        "gaussian",
        lambda nn, t: nn.GaussianNLLLoss(full=True, eps=0.2),
        [X, X, np.array([0.1, 0.5, 1.0, 2.0])],
    ),
    ("nll_2d", lambda nn, t: nn.NLLLoss2d(t(WEIGHT)), [(2, 3, 4, 5), np.ones((2, 4, 5), int)]),
]
