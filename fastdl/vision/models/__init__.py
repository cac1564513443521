"""Networks for images under torchvision's names, with its ``state_dict`` keys.

Each function takes

* ``weights``: the path of a ``.pth`` or ``.safetensors`` file with a state_dict, such as PyTorch's
  ``torch.save(torchvision.models.resnet18(weights="DEFAULT").state_dict(), "resnet18.pth")``
  writes; None for fresh weights. No trained weights are shipped or downloaded;
* ``progress``: accepted for torchvision's programs;
* the arguments of the class, such as ``num_classes``.
"""

from fastdl.vision.models.alexnet import (
    AlexNet,
    alexnet,
)
from fastdl.vision.models.densenet import (
    DenseNet,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
)
from fastdl.vision.models.googlenet import (
    GoogLeNet,
    GoogLeNetOutputs,
    googlenet,
)
from fastdl.vision.models.mobilenet import (
    MobileNetV2,
    mobilenet_v2,
)
from fastdl.vision.models.resnet import (
    BasicBlock,
    Bottleneck,
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from fastdl.vision.models.squeezenet import (
    SqueezeNet,
    squeezenet1_0,
    squeezenet1_1,
)
from fastdl.vision.models.vgg import (
    VGG,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)

__all__ = [
    "VGG",
    "AlexNet",
    "BasicBlock",
    "Bottleneck",
    "DenseNet",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "MobileNetV2",
    "ResNet",
    "SqueezeNet",
    "alexnet",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "googlenet",
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "squeezenet1_0",
    "squeezenet1_1",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
