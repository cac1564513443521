"""Images: transforms, datasets and networks under torchvision's names.

``import fastdl.vision as torchvision`` runs a course's code.
"""

from fastdl.vision import models, transforms

__all__ = ["models", "transforms"]
