"""``torch.backends.mps``: what scripts ask before they choose Apple's GPU."""


def is_available() -> bool:
    """Whether tensors can live on an Apple GPU: False."""
    return False


def is_built() -> bool:
    """Whether this build could use one: False."""
    return False
