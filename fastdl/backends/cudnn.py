"""``torch.backends.cudnn``: flags that scripts set. fastdl has no cuDNN.

The flags keep what is written to them and change nothing: fastdl's kernels are deterministic.
"""

enabled: bool = False
benchmark: bool = False
deterministic: bool = False
allow_tf32: bool = False


def is_available() -> bool:
    """Whether cuDNN is there: False."""
    return False


def version() -> None:
    """cuDNN's version number: None, there is none."""
