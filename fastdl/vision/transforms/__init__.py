"""Transforms of images, Pillow's or tensors, under torchvision's names."""

from fastdl.vision.transforms import autoaugment, functional
from fastdl.vision.transforms.autoaugment import *
from fastdl.vision.transforms.functional import InterpolationMode
from fastdl.vision.transforms.transforms import *
