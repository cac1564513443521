"""``torch.backends.cuda``: flags that scripts set. There is no CUDA; the flags keep what is written
to them and change nothing.
"""


class _Matmul:
    """``torch.backends.cuda.matmul``."""

    allow_tf32 = False
    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True


matmul = _Matmul()


def is_built() -> bool:
    """Whether this build could use CUDA: False."""
    return False
