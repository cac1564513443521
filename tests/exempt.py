"""Public names that have no row in the table of ops, and where they are tested instead."""

SAMPLERS = """
    Tensor.bernoulli Tensor.bernoulli_ Tensor.cauchy_ Tensor.exponential_ Tensor.geometric_
    Tensor.log_normal_ Tensor.multinomial Tensor.random_ Tensor.uniform_ Tensor.normal_ bernoulli
    binomial multinomial normal poisson rand rand_like randint randint_like randn randn_like
    randperm nn.functional.gumbel_softmax
"""
DROPOUTS = """
    alpha_dropout dropout feature_alpha_dropout rrelu
    nn.functional.alpha_dropout nn.functional.dropout nn.functional.dropout1d
    nn.functional.dropout2d nn.functional.dropout3d nn.functional.feature_alpha_dropout
"""
STATES = """
    get_rng_state set_rng_state initial_seed seed get_default_device set_default_device
    Tensor.cuda Tensor.pin_memory Tensor.new Tensor.view_dtype
"""

EXEMPT = {
    **dict.fromkeys(
        SAMPLERS.split(),
        "random numbers are not PyTorch's: distributions are tested in `test_random.py`",
    ),
    **dict.fromkeys(DROPOUTS.split(), "random: `test_kernels_random.py`"),
    **dict.fromkeys(STATES.split(), "a state, a device or a legacy name: `test_random.py`"),
    "Tensor.storage": "gives a storage: `test_exchange.py`",
    "Tensor.to_dense": "of a sparse tensor: `test_sparse.py`",
    "to_dlpack": "gives a capsule: `test_exchange.py`",
    "pca_lowrank": "random projections: `test_linalg.py`",
    "svd_lowrank": "random projections: `test_linalg.py`",
}
