"""The states of all random numbers that a training may draw, as a checkpoint can hold them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastdl.ops.random import Generator, get_rng_state, set_rng_state

__all__ = ["generators_of", "get_states", "set_states"]


def generators_of(loaders: Iterable) -> list[Generator]:
    """The generators of DataLoaders and their samplers, each once."""
    found: list[Generator] = []
    for loader in loaders:
        batches = getattr(loader, "batch_sampler", None)
        owners = (loader, getattr(loader, "sampler", None), batches)
        for owner in (*owners, getattr(batches, "sampler", None)):
            generator = getattr(owner, "generator", None)
            if generator is not None and all(generator is not other for other in found):
                found.append(generator)
    return found


def get_states(generators: list[Generator]) -> dict[str, Any]:
    """The states of fastdl's default generator, of the given ones, of Python's and of NumPy's."""
    return {
        "fastdl": get_rng_state(),
        "generators": [generator.get_state() for generator in generators],
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002 (what transforms of courses draw from)
    }


def set_states(states: dict[str, Any], generators: list[Generator]) -> None:
    """Go back to what :func:`get_states` found."""
    if len(states["generators"]) != len(generators):
        raise RuntimeError(
            f"fit: the checkpoint knows {len(states['generators'])} generators of data loaders, "
            f"but there are {len(generators)}"
        )
    set_rng_state(states["fastdl"])
    for generator, state in zip(generators, states["generators"]):
        generator.set_state(state)
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
