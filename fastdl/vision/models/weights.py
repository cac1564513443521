"""What `weights=` of the model functions takes: the path of a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from fastdl.io import load

__all__ = ["configured"]


def configured(build: Callable, weights, options: dict[str, Any]):
    """build(**options), with the weights of the file `weights` if one is named.

    Raises:
        ValueError: weights are asked for by name or with ``pretrained=True``: none are shipped and
            none are downloaded.
        RuntimeError: the file's weights do not fit the model.
    """
    if options.pop("pretrained", False):
        weights = weights or "pretrained"
    name = getattr(build, "__name__", "model")
    if weights is not None and not os.path.exists(os.fspath(weights)):
        raise ValueError(
            f"{name}: expected weights to be the path of a .pth or .safetensors file, but got "
            f"{str(weights)!r}; fastdl ships no trained weights. Save them where PyTorch is: "
            f"torch.save(torchvision.models.{name.lower()}(weights=...).state_dict(), 'file.pth')"
        )
    if weights is None:
        return build(**options)
    model = build(**options)
    state = load(weights)
    model.load_state_dict(state.get("state_dict", state) if isinstance(state, dict) else state)
    return model
