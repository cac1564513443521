"""Networks for images under torchvision's names, with its ``state_dict`` keys.

Each function takes

* ``weights``: the path of a ``.pth`` or ``.safetensors`` file with a state_dict; torchvision's
  trained weights by name, such as ``ResNet18_Weights.DEFAULT`` or ``"DEFAULT"``, which are fetched
  on first use (see :mod:`fastdl.vision.models.weights`); None for fresh ones;
* ``progress``: accepted for torchvision's programs;
* the arguments of the class, such as ``num_classes``.
"""

from fnmatch import fnmatch

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
from fastdl.vision.models.efficientnet import (
    EfficientNet,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
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
from fastdl.vision.models.vision_transformer import (
    VisionTransformer,
    vit_b_16,
    vit_b_32,
    vit_h_14,
    vit_l_16,
    vit_l_32,
)
from fastdl.vision.models.weights import (
    AlexNet_Weights,
    DenseNet121_Weights,
    DenseNet161_Weights,
    DenseNet169_Weights,
    DenseNet201_Weights,
    EfficientNet_B0_Weights,
    EfficientNet_B1_Weights,
    EfficientNet_B2_Weights,
    EfficientNet_B3_Weights,
    EfficientNet_B4_Weights,
    EfficientNet_B5_Weights,
    EfficientNet_B6_Weights,
    EfficientNet_B7_Weights,
    GoogLeNet_Weights,
    ImageClassification,
    MobileNet_V2_Weights,
    ResNet18_Weights,
    ResNet34_Weights,
    ResNet50_Weights,
    ResNet101_Weights,
    ResNet152_Weights,
    ResNeXt50_32X4D_Weights,
    ResNeXt101_32X8D_Weights,
    SqueezeNet1_0_Weights,
    SqueezeNet1_1_Weights,
    VGG11_BN_Weights,
    VGG11_Weights,
    VGG13_BN_Weights,
    VGG13_Weights,
    VGG16_BN_Weights,
    VGG16_Weights,
    VGG19_BN_Weights,
    VGG19_Weights,
    ViT_B_16_Weights,
    ViT_B_32_Weights,
    ViT_H_14_Weights,
    ViT_L_16_Weights,
    ViT_L_32_Weights,
    Weights,
    WeightsEnum,
    Wide_ResNet50_2_Weights,
    Wide_ResNet101_2_Weights,
    get_weight,
    weights_of,
)

__all__ = [
    "VGG",
    "AlexNet",
    "AlexNet_Weights",
    "BasicBlock",
    "Bottleneck",
    "DenseNet",
    "DenseNet121_Weights",
    "DenseNet161_Weights",
    "DenseNet169_Weights",
    "DenseNet201_Weights",
    "EfficientNet",
    "EfficientNet_B0_Weights",
    "EfficientNet_B1_Weights",
    "EfficientNet_B2_Weights",
    "EfficientNet_B3_Weights",
    "EfficientNet_B4_Weights",
    "EfficientNet_B5_Weights",
    "EfficientNet_B6_Weights",
    "EfficientNet_B7_Weights",
    "GoogLeNet",
    "GoogLeNetOutputs",
    "GoogLeNet_Weights",
    "ImageClassification",
    "MobileNetV2",
    "MobileNet_V2_Weights",
    "ResNeXt50_32X4D_Weights",
    "ResNeXt101_32X8D_Weights",
    "ResNet",
    "ResNet18_Weights",
    "ResNet34_Weights",
    "ResNet50_Weights",
    "ResNet101_Weights",
    "ResNet152_Weights",
    "SqueezeNet",
    "SqueezeNet1_0_Weights",
    "SqueezeNet1_1_Weights",
    "VGG11_BN_Weights",
    "VGG11_Weights",
    "VGG13_BN_Weights",
    "VGG13_Weights",
    "VGG16_BN_Weights",
    "VGG16_Weights",
    "VGG19_BN_Weights",
    "VGG19_Weights",
    "ViT_B_16_Weights",
    "ViT_B_32_Weights",
    "ViT_H_14_Weights",
    "ViT_L_16_Weights",
    "ViT_L_32_Weights",
    "VisionTransformer",
    "Weights",
    "WeightsEnum",
    "Wide_ResNet50_2_Weights",
    "Wide_ResNet101_2_Weights",
    "alexnet",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "get_model",
    "get_model_weights",
    "get_weight",
    "googlenet",
    "list_models",
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
    "vit_b_16",
    "vit_b_32",
    "vit_h_14",
    "vit_l_16",
    "vit_l_32",
    "wide_resnet50_2",
    "wide_resnet101_2",
]


def list_models(module=None, include=None, exclude=None) -> list[str]:
    """Names of the networks' functions, sorted.

    Args:
        module: accepted for torchvision's programs.
        include, exclude: patterns such as ``"resnet*"``, one or several, of the names wanted and
            not wanted.
    """
    of = lambda patterns: [patterns] if isinstance(patterns, str) else list(patterns or ())
    names = [name for name in __all__ if name.islower() and not name.startswith(("get_", "list_"))]
    if include is not None:
        names = [n for n in names if any(fnmatch(n, pattern) for pattern in of(include))]
    return sorted(n for n in names if not any(fnmatch(n, pattern) for pattern in of(exclude)))


def get_model(name: str, **config):
    """The network that the function `name` builds with the arguments `config`.

    Raises:
        ValueError: there is no such function.
    """
    if name.lower() not in list_models():
        raise ValueError(f"Unknown model {name}")
    return globals()[name.lower()](**config)


def get_model_weights(name) -> type[WeightsEnum]:
    """The trained weights for a network, named by its function or the function's name.

    Raises:
        ValueError: there is no such function.
    """
    name = (name if isinstance(name, str) else name.__name__).lower()
    if name not in list_models():
        raise ValueError(f"Unknown model {name}")
    return weights_of(name)
