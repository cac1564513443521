"""Networks for images under torchvision's names, with its ``state_dict`` keys.

Each function takes

* ``weights``: the path of a ``.pth`` or ``.safetensors`` file with a state_dict, such as PyTorch's
  ``torch.save(torchvision.models.resnet18(weights="DEFAULT").state_dict(), "resnet18.pth")``
  writes; None for fresh weights. No trained weights are shipped or downloaded;
* ``progress``: accepted for torchvision's programs;
* the arguments of the class, such as ``num_classes``.
"""

from fastdl.vision.models.alexnet import *
from fastdl.vision.models.densenet import *
from fastdl.vision.models.googlenet import *
from fastdl.vision.models.mobilenet import *
from fastdl.vision.models.resnet import *
from fastdl.vision.models.squeezenet import *
from fastdl.vision.models.vgg import *
