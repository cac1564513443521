"""Automatic mixed precision: ``torch.amp``.

``autocast`` runs matrix products and convolutions in bfloat16 (or float16) and keeps the rest in
float32; ``GradScaler`` keeps small gradients of float16 from vanishing.
"""

from fastdl.amp.autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from fastdl.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
