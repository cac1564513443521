"""Memory around a kernel's output, to see that nothing else is written."""

import numpy as np


def fenced(shape, dtype, fill=np.nan):
    """An uninitialised output between canaries, and a check that they live."""
    n = int(np.prod(shape))
    memory = np.full(n + 256, fill, dtype)
    memory[:128] = memory[128 + n :] = 77

    def check():
        assert (memory[:128] == 77).all(), "wrote before the output"
        assert (memory[128 + n :] == 77).all(), "wrote past the output"

    return memory[128 : 128 + n].reshape(shape), check
