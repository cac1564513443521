"""Networks, transforms, data sets and files of images."""

import gzip
import hashlib
import importlib
import io
import itertools
import pickle
import re
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

import fastdl
from fastdl.datasets import DatasetError
from fastdl.vision import datasets, models, transforms, utils
from fastdl.vision import io as vision_io
from fastdl.vision.transforms import functional as F

Image = pytest.importorskip("PIL.Image")

# ---- networks -----------------------------------------------------------------------------------

# Numbers of parameters that torchvision's documentation states.
PARAMETERS = {
    "alexnet": 61100840, "densenet121": 7978856, "densenet161": 28681000, "densenet169": 14149480,
    "densenet201": 20013928, "mobilenet_v2": 3504872, "resnet18": 11689512, "resnet34": 21797672,
    "resnet50": 25557032, "resnet101": 44549160, "resnet152": 60192808,
    "resnext50_32x4d": 25028904, "resnext101_32x8d": 88791336, "squeezenet1_0": 1248424,
    "squeezenet1_1": 1235496, "vgg11": 132863336, "vgg11_bn": 132868840, "vgg13": 133047848,
    "vgg13_bn": 133053736, "vgg16": 138357544, "vgg16_bn": 138365992, "vgg19": 143667240,
    "vgg19_bn": 143678248, "wide_resnet50_2": 68883240, "wide_resnet101_2": 126886696,

    "efficientnet_b0": 5288548,
    "efficientnet_b1": 7794184,
    "efficientnet_b2": 9109994,
    "efficientnet_b3": 12233232,
    "efficientnet_b4": 19341616,
    "efficientnet_b5": 30389784,
    "efficientnet_b6": 43040704,
    "efficientnet_b7": 66347960,
    "vit_b_16": 86567656,
    "vit_b_32": 88224232,

    "vit_h_14": 632045800,
    "vit_l_16": 304326632,
    "vit_l_32": 306535400,
}  # fmt: skip


@pytest.fixture
def without_values(monkeypatch):
    """Parameters are zeros of no memory: only their shapes count."""
    from fastdl.nn import conv, init, linear, norm

    def shaped(*size, device=None, dtype=None):
        size = size[0] if isinstance(size[0], tuple) else size
        return fastdl.from_numpy(np.zeros(1, np.float32)).expand(size)

    for module in (conv, linear, norm):
        monkeypatch.setattr(module, "empty", shaped)
    for name in init.__all__:
        if name.endswith("_"):
            monkeypatch.setattr(init, name, lambda tensor, *args, **kwargs: tensor)
    monkeypatch.setattr(fastdl.nn.Parameter, "__init__", _as_it_is)


def _as_it_is(self, data=None, requires_grad=True):
    self.array = data.array


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts(name, without_values):
    model = getattr(models, name)()
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


def test_googlenet_parameter_counts():
    count = lambda model: sum(p.numel() for p in model.parameters())
    assert count(models.googlenet(init_weights=False)) == 13004888
    assert count(models.googlenet(init_weights=False, aux_logits=False)) == 6624904


def in_pytorch(module_name):
    """The functions and classes of a module of networks, built of PyTorch's layers."""
    torch = pytest.importorskip("torch")
    module = importlib.import_module(f"fastdl.vision.models.{module_name}")
    source = Path(module.__file__).read_text()
    space = {"__name__": f"pytorch_{module_name}"}
    exec(
        compile(source.replace("from fastdl import", "from torch import"), module_name, "exec"),
        space,
    )
    assert space["nn"] is torch.nn
    return space


SMALL = [
    ("alexnet", "alexnet", {}, 64),
    ("resnet", "resnet18", {}, 33),
    ("resnet", "resnet50", {"replace_stride_with_dilation": [False, True, False]}, 32),
    ("resnet", "resnext50_32x4d", {"zero_init_residual": True}, 32),
    ("densenet", "densenet121", {"memory_efficient": False}, 40),
    ("squeezenet", "squeezenet1_0", {}, 40),
    ("squeezenet", "squeezenet1_1", {}, 40),
    ("mobilenet", "mobilenet_v2", {"width_mult": 0.5}, 40),
    ("googlenet", "googlenet", {"init_weights": False, "transform_input": True}, 64),
    ("efficientnet", "efficientnet_b0", {"stochastic_depth_prob": 0.0}, 40),
    ("efficientnet", "efficientnet_b5", {"stochastic_depth_prob": 0.0}, 32),
    ("vision_transformer", "vit_b_32", {"image_size": 64, "representation_size": 20}, 64),
]


@pytest.mark.parametrize(("module", "name", "options", "size"), SMALL, ids=[c[1] for c in SMALL])
def test_files_written_by_pytorch_give_the_same_logits(module, name, options, size, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    options = {"num_classes": 7, **options}
    theirs = in_pytorch(module)[name](**options)
    x = np.random.default_rng(0).random((2, 3, size, size)).astype(np.float32)
    with torch.no_grad():
        theirs.train()(torch.from_numpy(x))  # moves the running statistics
        expected = theirs.eval()(torch.from_numpy(x)).numpy()
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "model.pth")
    state = {key: value.contiguous() for key, value in theirs.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    for file in ("model.pth", "model.safetensors"):
        ours = getattr(models, name)(weights=tmp_path / file, **options)
        assert list(ours.state_dict()) == list(state)
        with fastdl.no_grad():
            found = ours.eval()(fastdl.from_numpy(x)).numpy()
        # Each of up to 120 layers adds a few roundings of sums of a thousand terms.
        bound = 120 * 32 * np.finfo(np.float32).eps * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=bound)
    fastdl.save(ours.state_dict(), tmp_path / "back.safetensors")
    from safetensors.torch import load_file

    theirs.load_state_dict(load_file(tmp_path / "back.safetensors"))


def test_stochastic_depth():
    """Rows are kept whole with probability 1 - p, and divided by it."""
    from fastdl.vision.models.efficientnet import stochastic_depth

    fastdl.manual_seed(0)
    x = fastdl.ones(4000, 2, 3)
    y = stochastic_depth(x, 0.2, "row")
    kept = y[:, 0, 0] != 0
    assert (y[kept] == 1.25).all()
    assert (y[~kept] == 0).all()
    assert abs(kept.float().mean().item() - 0.8) < 5 * (0.16 / 4000) ** 0.5
    assert stochastic_depth(x, 0.5, "batch").std() == 0
    assert stochastic_depth(x, 0.5, "row", training=False) is x
    for p, mode in ((1.5, "row"), (0.5, "column")):
        with pytest.raises(ValueError, match=r"probability|mode"):
            stochastic_depth(x, p, mode)


def test_vgg_features_match_pytorch():
    torch = pytest.importorskip("torch")
    space = in_pytorch("vgg")
    for batch_norm in (False, True):
        theirs = space["_features"](space["STAGES"][11], batch_norm).eval()
        vgg = importlib.import_module("fastdl.vision.models.vgg")
        ours = vgg._features(vgg.STAGES[11], batch_norm).eval()
        ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
        x = np.random.default_rng(0).random((1, 3, 32, 32)).astype(np.float32)
        with torch.no_grad(), fastdl.no_grad():
            expected = theirs(torch.from_numpy(x)).numpy()
            found = ours(fastdl.from_numpy(x)).numpy()
        bound = 11 * 64 * np.finfo(np.float32).eps * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=bound)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Publishes a state dict as the weights of a network: in a folder, under its checksum."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))

    def publish(enumeration, state):
        torch = pytest.importorskip("torch")
        torch.save(state, tmp_path / "file", _use_new_zipfile_serialization=False)
        checksum = hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()[:8]
        file = tmp_path / f"network-{checksum}.pth"
        (tmp_path / "file").rename(file)
        members = {"IMAGENET1K_V1": models.Weights(file.as_uri(), None, {})}
        made = models.WeightsEnum(enumeration, members)
        monkeypatch.setitem(models.weights.ENUMERATIONS, enumeration, made)
        return file, made.IMAGENET1K_V1

    return publish


def test_trained_weights_are_fetched_once(published, tmp_path):
    theirs = in_pytorch("squeezenet")["squeezenet1_1"]()
    file, member = published("SqueezeNet1_1_Weights", theirs.state_dict())
    for weights in (member, "IMAGENET1K_V1", "SqueezeNet1_1_Weights.IMAGENET1K_V1"):
        ours = models.squeezenet1_1(weights=weights)
        for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy(), err_msg=name)
        file.unlink(missing_ok=True)  # the next time the copy is there
    assert models.get_model("squeezenet1_1", pretrained=True).num_classes == 1000
    copy = tmp_path / "home" / "hub" / "checkpoints" / file.name
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="not the file that was published"):
        models.squeezenet1_1(weights=member)
    copy.unlink()
    with pytest.raises(ValueError, match="cannot download"):
        models.squeezenet1_1(weights=member)
    with pytest.raises(ValueError, match="num_classes"):
        models.squeezenet1_1(weights=member, num_classes=10)
    with pytest.raises(TypeError, match="expected AlexNet_Weights"):
        models.alexnet(weights=member)


def test_published_densenet_and_googlenet(published):
    """The former has older names of its norms; the latter comes without its two classifiers."""
    torch = pytest.importorskip("torch")
    theirs = in_pytorch("densenet")["densenet121"]()
    old = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", k) if "denselayer" in k else k: v
           for k, v in theirs.state_dict().items()}  # fmt: skip
    assert old.keys() != theirs.state_dict().keys()
    _, member = published("DenseNet121_Weights", old)
    ours = models.densenet121(weights=member)
    np.testing.assert_array_equal(
        ours.features.conv0.weight.detach().numpy(), theirs.features.conv0.weight.detach().numpy()
    )
    state = in_pytorch("googlenet")["googlenet"](init_weights=False).state_dict()
    assert torch.is_tensor(state["aux1.fc1.weight"])
    _, member = published("GoogLeNet_Weights", state)
    net = models.googlenet(weights=member)
    assert (net.aux1, net.aux_logits, net.transform_input) == (None, False, True)
    assert models.googlenet(weights=member, aux_logits=True).aux2 is not None


def test_enumerations_of_weights():
    for name in models.list_models():
        kind = models.get_model_weights(name)
        assert getattr(models, kind.__name__) is kind
        assert pickle.loads(pickle.dumps(kind.DEFAULT)) is kind.DEFAULT
        counts = [weights.meta["num_params"] for weights in kind]
        assert PARAMETERS.get(name, 6624904) in counts  # else GoogLeNet
        assert models.get_weight(f"{kind.__name__}.DEFAULT") is kind.DEFAULT
    assert repr(models.ResNet50_Weights.DEFAULT) == "ResNet50_Weights.IMAGENET1K_V2"
    assert "resnet18" in models.list_models(include="res*", exclude=["*50*", "*101*"])
    for call in (models.get_model, models.get_model_weights, models.get_weight):
        with pytest.raises(ValueError, match=r"[Uu]nknown"):
            call("resnet19")
    with pytest.raises(ValueError, match="one of IMAGENET1K_V1, DEFAULT, but got 'no such file'"):
        models.resnet18(weights="no such file")


def test_preprocessing_of_trained_networks(picture):
    preset = models.ResNet18_Weights.DEFAULT.transforms()
    steps = transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])  # fmt: skip
    np.testing.assert_array_equal(preset(picture).numpy(), steps(picture).numpy())
    batch = preset(F.pil_to_tensor(picture)[None])
    assert tuple(batch.shape) == (1, 3, 224, 224)


def test_googlenet_trains_with_three_classifiers():
    model = models.googlenet(num_classes=5, init_weights=False)
    out = model(fastdl.rand(2, 3, 64, 64))
    assert [tuple(y.shape) for y in out] == [(2, 5)] * 3
    sum(y.sum() for y in out).backward()
    assert model.aux1.fc2.weight.grad is not None


# ---- transforms: tensors against Pillow's own implementations -----------------------------------


@pytest.fixture(scope="module")
def picture():
    """A smooth colour picture with some noise, 37 x 50."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:37, :50]
    planes = [np.sin(x / 9 + k) * 60 + np.cos(y / 7 - k) * 50 + 128 for k in range(3)]
    array = np.stack(planes, -1) + rng.integers(0, 9, (37, 50, 3))
    return Image.fromarray(np.clip(array, 0, 255).astype(np.uint8))


def as_array(image):
    """(C, H, W) of either kind."""
    return F.pil_to_tensor(image).numpy() if F.is_pil(image) else image.numpy()


BILINEAR = transforms.InterpolationMode.BILINEAR
BICUBIC = transforms.InterpolationMode.BICUBIC
CORNERS = [[0, 0], [49, 0], [49, 36], [0, 36]], [[3, 4], [45, 2], [40, 30], [6, 33]]
# name, function, largest difference in steps of a byte, share of pixels that may differ by more
# (where rounding decides which pixel is nearest, or what is half way)
AGREE = [
    ("hflip", lambda i: F.hflip(i), 0, 0),
    ("vflip", lambda i: F.vflip(i), 0, 0),
    ("pad", lambda i: F.pad(i, (1, 2, 3, 4), 7), 0, 0),
    ("pad_edge", lambda i: F.pad(i, (2, 3), padding_mode="edge"), 0, 0),
    ("pad_reflect", lambda i: F.pad(i, 3, padding_mode="reflect"), 0, 0),
    ("pad_symmetric", lambda i: F.pad(i, 3, padding_mode="symmetric"), 0, 0),
    ("crop", lambda i: F.crop(i, 3, 5, 20, 30), 0, 0),
    ("crop_beyond", lambda i: F.crop(i, -3, 40, 20, 30), 0, 0),
    ("center_crop", lambda i: F.center_crop(i, (20, 25)), 0, 0),
    ("center_crop_beyond", lambda i: F.center_crop(i, 45), 0, 0),
    ("resize_down", lambda i: F.resize(i, 17), 1, 0),
    ("resize_up", lambda i: F.resize(i, (70, 55)), 1, 0),
    ("resize_cubic", lambda i: F.resize(i, (20, 90), BICUBIC), 1, 0),
    ("resize_longest", lambda i: F.resize(i, 20, max_size=24), 1, 0),
    ("resized_crop", lambda i: F.resized_crop(i, 2, 3, 20, 21, (10, 12)), 1, 0),
    ("rotate", lambda i: F.rotate(i, 33), 0, 0.03),
    ("rotate_smooth", lambda i: F.rotate(i, -70, BILINEAR), 2, 0.09),
    ("rotate_expand", lambda i: F.rotate(i, 25, expand=True, fill=9), 0, 0.03),
    ("affine", lambda i: F.affine(i, 20, (3, 4), 1.2, (10, 5)), 0, 0.03),
    ("perspective", lambda i: F.perspective(i, *CORNERS), 2, 0.09),
    ("grayscale", lambda i: F.rgb_to_grayscale(i), 1, 0),
    ("grayscale_3", lambda i: F.rgb_to_grayscale(i, 3), 1, 0),
    ("brightness", lambda i: F.adjust_brightness(i, 1.4), 1, 0),
    ("contrast", lambda i: F.adjust_contrast(i, 0.6), 1, 0),
    ("saturation", lambda i: F.adjust_saturation(i, 1.7), 2, 0),
    ("sharpness", lambda i: F.adjust_sharpness(i, 2.0), 2, 0),
    ("gamma", lambda i: F.adjust_gamma(i, 2.2), 1, 0),
    ("invert", lambda i: F.invert(i), 0, 0),
    ("posterize", lambda i: F.posterize(i, 3), 0, 0),
    ("solarize", lambda i: F.solarize(i, 100), 0, 0),
    ("autocontrast", lambda i: F.autocontrast(i), 1, 0),
    ("equalize", lambda i: F.equalize(i), 0, 0),
]


@pytest.mark.parametrize(
    ("function", "steps", "share"), [c[1:] for c in AGREE], ids=[c[0] for c in AGREE]
)
def test_tensors_agree_with_pillow(function, steps, share, picture):
    expected = as_array(function(picture)).astype(int)
    tensor = F.pil_to_tensor(picture)
    found = function(tensor)
    assert found.dtype is fastdl.uint8
    off = np.abs(found.numpy().astype(int) - expected) > steps
    assert found.numpy().shape == expected.shape
    assert off.mean() <= share
    batch = function(fastdl.stack([tensor, tensor]))
    np.testing.assert_array_equal(batch.numpy()[1], found.numpy())


OF_BYTES = ("posterize", "equalize", "solarize", "pad")  # in steps of a byte, or filled with one
FLOATING = [c for c in AGREE if c[0] not in OF_BYTES]


@pytest.mark.parametrize("function", [c[1] for c in FLOATING], ids=[c[0] for c in FLOATING])
def test_floating_images_agree_with_bytes(function, picture):
    """Bytes are cut off at most twice: a grey picture on the way, and the result."""
    tensor = F.pil_to_tensor(picture)
    whole = function(tensor).numpy().astype(float)
    floating = function(tensor.float() / 255)
    assert floating.dtype is fastdl.float32
    if np.abs(floating.numpy() * 255 - whole).max() > 2:
        # A fill is in the units of the image.
        inside = whole != 9
        assert np.abs(floating.numpy() * 255 - whole)[inside].max() <= 2


def test_hue_turns_colours():
    red = fastdl.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    np.testing.assert_allclose(F.adjust_hue(red, 1 / 3).numpy().ravel(), [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(F.adjust_hue(red, -1 / 3).numpy().ravel(), [0, 0, 1], atol=1e-6)
    rgb = fastdl.rand(3, 5, 6)
    np.testing.assert_allclose(F.adjust_hue(rgb, 0.0).numpy(), rgb.numpy(), atol=1e-6)
    there_and_back = F.adjust_hue(F.adjust_hue(rgb, 0.3), -0.3)
    np.testing.assert_allclose(there_and_back.numpy(), rgb.numpy(), atol=1e-5)


def test_gaussian_blur_against_scipy(picture):
    ndimage = pytest.importorskip("scipy.ndimage")
    x = F.pil_to_tensor(picture).double()
    found = F.gaussian_blur(x, (7, 9), (1.0, 1.3)).numpy()
    for plane, ours in zip(x.numpy(), found):
        rows = ndimage.gaussian_filter1d(plane, 1.3, 0, mode="mirror", radius=4)
        expected = ndimage.gaussian_filter1d(rows, 1.0, 1, mode="mirror", radius=3)
        np.testing.assert_allclose(ours, expected, atol=64 * 2.3e-16 * 255)


def test_conversions(picture):
    array = np.asarray(picture)
    x = F.to_tensor(picture)
    np.testing.assert_array_equal(x.numpy(), array.transpose(2, 0, 1).astype(np.float32) / 255)
    np.testing.assert_array_equal(F.to_tensor(array).numpy(), x.numpy())
    np.testing.assert_array_equal(np.asarray(F.to_pil_image(x)), array)
    np.testing.assert_array_equal(np.asarray(F.to_pil_image(F.pil_to_tensor(picture))), array)
    grey = picture.convert("L")
    assert F.to_tensor(grey).shape == (1, 37, 50)
    assert F.to_pil_image(F.to_tensor(grey)).mode == "L"
    assert F.to_tensor(np.ones((4, 5))).dtype is fastdl.float64, "only bytes are scaled"
    np.testing.assert_array_equal(F.to_tensor(picture.convert("1")).numpy().max(), 1)
    normal = F.normalize(x, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    np.testing.assert_allclose(normal[2].numpy(), (x[2].numpy() - 0.3) / 0.3, rtol=1e-6)
    as_bytes = F.convert_image_dtype(x, fastdl.uint8)
    np.testing.assert_array_equal(as_bytes.numpy(), F.pil_to_tensor(picture).numpy())
    assert F.convert_image_dtype(as_bytes, fastdl.int16).max() == int(as_bytes.max()) * 128
    assert F.get_dimensions(picture) == F.get_dimensions(x) == [3, 37, 50]
    assert F.get_image_size(x) == [50, 37]


BAD = {
    "not an image": (lambda p: F.hflip([1]), TypeError),
    "to_tensor": (lambda p: F.to_tensor("x"), TypeError),
    "to_tensor dims": (lambda p: F.to_tensor(np.ones(3)), ValueError),
    "to_pil": (lambda p: F.to_pil_image(fastdl.ones(5, 2, 2)), ValueError),
    "normalize": (lambda p: F.normalize(fastdl.ones(3, 2, 2), [0], [0]), ValueError),
    "normalize bytes": (lambda p: F.normalize(F.pil_to_tensor(p), [0], [1]), TypeError),
    "resize": (lambda p: F.resize(p, "x"), TypeError),
    "max_size": (lambda p: F.resize(p, 20, max_size=19), ValueError),
    "pad": (lambda p: F.pad(p, (1, 2, 3)), ValueError),
    "pad mode": (lambda p: F.pad(p, 1, padding_mode="x"), ValueError),
    "hue": (lambda p: F.adjust_hue(p, 0.6), ValueError),
    "brightness": (lambda p: F.adjust_brightness(p, -1), ValueError),
    "blur": (lambda p: F.gaussian_blur(p, 4), ValueError),
    "five": (lambda p: F.five_crop(p, 60), ValueError),
    "crop": (lambda p: transforms.RandomCrop(60)(p), ValueError),
    "jitter": (lambda p: transforms.ColorJitter(hue=0.7), ValueError),
    "rotation": (lambda p: transforms.RandomRotation(-3), ValueError),
    "erasing": (lambda p: transforms.RandomErasing(2.0), ValueError),
    "whitening": (lambda p: transforms.LinearTransformation(fastdl.ones(2, 3), fastdl.ones(2)),
                  ValueError),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error"), BAD.values(), ids=BAD)
def test_bad_input(call, error, picture):
    with pytest.raises(error) as caught:
        call(picture)
    assert str(caught.value)


RANDOM = {
    "flip": transforms.RandomHorizontalFlip(),
    "vflip": transforms.RandomVerticalFlip(0.5),
    "crop": transforms.RandomCrop(20, padding=4),
    "padded": transforms.RandomCrop((60, 20), pad_if_needed=True),
    "resized": transforms.RandomResizedCrop(24),
    "rotation": transforms.RandomRotation(40),
    "affine": transforms.RandomAffine(20, (0.1, 0.2), (0.7, 1.2), (-5, 5, -3, 3)),
    "perspective": transforms.RandomPerspective(0.4, 1.0),
    "jitter": transforms.ColorJitter(0.3, (0.5, 1.2), 0.3, 0.2),
    "blur": transforms.GaussianBlur(5),
    "grey": transforms.RandomGrayscale(0.5),
    "apply": transforms.RandomApply([transforms.Grayscale(3)], 0.5),
    "order": transforms.RandomOrder([transforms.Pad(1), transforms.CenterCrop(30)]),
    "choice": transforms.RandomChoice([transforms.Pad(1), transforms.Pad(2)], [0.2, 0.8]),
    "invert": transforms.RandomInvert(),
    "posterize": transforms.RandomPosterize(2),
    "solarize": transforms.RandomSolarize(90),
    "sharpness": transforms.RandomAdjustSharpness(2),
    "autocontrast": transforms.RandomAutocontrast(),
    "equalize": transforms.RandomEqualize(),
    "trivial": transforms.TrivialAugmentWide(),
    "rand": transforms.RandAugment(),
    "auto": transforms.AutoAugment(),
    "auto_cifar": transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10),
    "auto_svhn": transforms.AutoAugment(transforms.AutoAugmentPolicy.SVHN),
    "augmix": transforms.AugMix(),
}


@pytest.mark.parametrize("transform", RANDOM.values(), ids=RANDOM)
def test_random_transforms_follow_the_seed(transform, picture):
    for image in (picture, F.pil_to_tensor(picture)):
        runs = []
        for seed in (1, 1, 2):
            fastdl.manual_seed(seed)
            runs.append([as_array(transform(image)).tolist() for _ in range(12)])
        assert runs[0] == runs[1]
        assert runs[0] != runs[2]
        kinds = {type(transform(image)) for _ in range(3)}
        assert all(F.is_pil(image) == kind.__module__.startswith("PIL") for kind in kinds)


def test_random_erasing_and_crops():
    fastdl.manual_seed(0)
    x = fastdl.ones(3, 40, 40)
    share = []
    for _ in range(50):
        y = transforms.RandomErasing(1.0, scale=(0.1, 0.2), value=0)(x)
        share.append(float((y == 0).float().mean()))
    assert min(share) > 0.05
    assert max(share) < 0.25
    assert (x == 1).all(), "not in place"
    noise = transforms.RandomErasing(1.0, value="random")(x)
    assert len(noise.unique()) > 20
    parts = transforms.FiveCrop(10)(fastdl.arange(400.0).reshape(1, 20, 20))
    assert [int(p[0, 0, 0]) for p in parts] == [0, 10, 200, 210, 105]
    assert len(transforms.TenCrop(10)(x)) == 10
    whiten = transforms.LinearTransformation(fastdl.eye(4) * 2, fastdl.ones(4))
    assert whiten(fastdl.ones(1, 2, 2) * 3).flatten().tolist() == [4.0] * 4


def test_composed_and_shown():
    prepare = transforms.Compose(
        [transforms.Resize(20), transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
    )
    assert repr(prepare) == (
        "Compose(\n    Resize(size=20, interpolation=bilinear, max_size=None, antialias=True)\n"
        "    ToTensor()\n    Normalize(mean=(0.5,), std=(0.5,))\n)"
    )
    assert repr(transforms.RandomHorizontalFlip()) == "RandomHorizontalFlip(p=0.5)"
    assert repr(transforms.ColorJitter(0.5)) == (
        "ColorJitter(brightness=(0.5, 1.5), contrast=None, saturation=None, hue=None)"
    )


# ---- data sets ----------------------------------------------------------------------------------


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes()))


def test_mnist(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 28, 28)).astype(np.uint8)
    labels = (np.arange(12) % 10).astype(np.uint8)
    for cls in (datasets.MNIST, datasets.FashionMNIST):
        raw = tmp_path / cls.__name__ / "raw"
        write_idx(raw / "t10k-images-idx3-ubyte.gz", images)
        write_idx(raw / "t10k-labels-idx1-ubyte.gz", labels)
        data = cls(tmp_path, train=False, transform=transforms.ToTensor())
        x, y = data[3]
        np.testing.assert_array_equal(x.numpy(), images[3][None].astype(np.float32) / 255)
        assert y == 3
        assert len(data) == 12
        assert data.data.shape == (12, 28, 28)
        assert data.targets.tolist() == labels.tolist()
        assert len(data.classes) == 10
        plain = cls(str(tmp_path), train=False, target_transform=lambda t: -t)[4]
        assert plain[0].size == (28, 28)
        assert plain[1] == -4
        assert repr(data).startswith(f"Dataset {cls.__name__}\n    Number of datapoints: 12\n")
        with pytest.raises(FileNotFoundError, match="download=True"):
            cls(tmp_path, train=True)


def write_cifar(root, folder, entries, meta):
    (root / folder).mkdir(parents=True)
    for name, value in {**entries, **meta}.items():
        (root / folder / name).write_bytes(pickle.dumps(value, 2))


def test_cifar(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (5, 4, 3072)).astype(np.uint8)
    names = [f"class {i}" for i in range(10)]
    entries = {
        f"data_batch_{i + 1}": {b"data": rows[i], b"labels": [i, 1, 2, 9]} for i in range(5)
    } | {"test_batch": {"data": rows[0, :2], "labels": [3, 4]}}
    write_cifar(tmp_path / "a", "cifar-10-batches-py", entries, {
        "batches.meta": {"label_names": names}})  # fmt: skip
    train = datasets.CIFAR10(tmp_path / "a", transform=transforms.PILToTensor())
    assert len(train) == 20
    assert train.data.shape == (20, 32, 32, 3)
    x, y = train[4]
    np.testing.assert_array_equal(x.numpy(), rows[1, 0].reshape(3, 32, 32))
    assert y == 1
    assert train.classes == names
    assert train.class_to_idx["class 3"] == 3
    test = datasets.CIFAR10(tmp_path / "a", train=False)
    assert [target for _, target in test] == [3, 4]
    write_cifar(tmp_path / "b", "cifar-100-python", {
        "train": {"data": rows[0], "fine_labels": [0, 1, 2, 1]},
        "test": {"data": rows[1], "fine_labels": [0, 0, 0, 0]},
    }, {"meta": {"fine_label_names": ["x", "y", "z"]}})  # fmt: skip
    assert len(datasets.CIFAR100(tmp_path / "b")) == 4
    # from the archive, as it is downloaded
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "a" / "cifar-10-batches-py", "cifar-10-batches-py")
    assert len(datasets.CIFAR10(tmp_path)) == 20
    with pytest.raises(FileNotFoundError, match="download=True"):
        datasets.CIFAR100(tmp_path / "nowhere")


class Evil:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", pickle.dumps({"data": Evil()}), pickle.dumps({"data": np.zeros((2, 9))}),
     pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}), pickle.dumps([1])],
)  # fmt: skip
def test_damaged_cifar(content, tmp_path, capsys):
    write_cifar(tmp_path, "cifar-10-batches-py", {}, {"batches.meta": {"label_names": ["x"]}})
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    with pytest.raises(DatasetError, match="test_batch"):
        datasets.CIFAR10(tmp_path, train=False)
    assert capsys.readouterr().out == ""


def test_download_checks_md5(tmp_path, monkeypatch):
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz"):
        pass
    monkeypatch.setattr(datasets.CIFAR10, "mirrors", (tmp_path.as_uri() + "/",))
    with pytest.raises(DatasetError, match="wrong MD5"):
        datasets.CIFAR10(tmp_path / "new", download=True)
    right = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(datasets.CIFAR10, "checksum", right)
    with pytest.raises(FileNotFoundError, match="data_batch_1"):
        datasets.CIFAR10(tmp_path / "new", download=True)


def test_svhn(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (32, 32, 3, 4)).astype(np.uint8)
    scipy_io.savemat(tmp_path / "test_32x32.mat", {"X": x, "y": np.array([[10], [1], [2], [9]])})
    data = datasets.SVHN(tmp_path, split="test", transform=transforms.PILToTensor())
    assert data.labels.tolist() == [0, 1, 2, 9]
    np.testing.assert_array_equal(data[2][0].numpy(), x[..., 2].transpose(2, 0, 1))
    with pytest.raises(ValueError, match="split"):
        datasets.SVHN(tmp_path, split="all")
    with pytest.raises(FileNotFoundError, match="download=True"):
        datasets.SVHN(tmp_path)
    (tmp_path / "train_32x32.mat").write_bytes(b"no matlab")
    with pytest.raises(DatasetError, match="train_32x32"):
        datasets.SVHN(tmp_path)


def test_image_folder(tmp_path, picture):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
    picture.save(tmp_path / "dog" / "b.png")
    picture.convert("L").save(tmp_path / "cat" / "a.png")
    (tmp_path / "dog" / "notes.txt").write_text("no picture")
    data = datasets.ImageFolder(tmp_path, transform=transforms.ToTensor())
    assert data.classes == ["cat", "dog"]
    assert data.targets == [0, 1]
    assert data[0][0].shape == (3, 37, 50), "grey pictures become coloured ones"
    only = datasets.DatasetFolder(tmp_path, loader=str, extensions=(".txt",), allow_empty=True)
    assert only.samples == [(str(tmp_path / "dog" / "notes.txt"), 1)]
    with pytest.raises(FileNotFoundError, match="no valid file"):
        datasets.DatasetFolder(tmp_path, loader=str, extensions=(".txt",))
    with pytest.raises(ValueError, match="same time"):
        datasets.DatasetFolder(tmp_path, loader=str)


def test_fake_data_in_a_loader():
    data = datasets.FakeData(10, (3, 8, 8), 4, transforms.ToTensor())
    one, again = data[3], datasets.FakeData(10, (3, 8, 8), 4, transforms.ToTensor())[3]
    np.testing.assert_array_equal(one[0].numpy(), again[0].numpy())
    augment = transforms.Compose([transforms.RandomCrop(6), transforms.ToTensor()])
    data = datasets.FakeData(10, (3, 8, 8), 4, augment)
    runs = []
    for workers in (0, 2, 3):
        fastdl.manual_seed(5)
        loader = fastdl.utils.data.DataLoader(data, 4, shuffle=True, num_workers=workers)
        runs.append([x.numpy().tolist() for x, _ in loader])
    assert runs[0] == runs[1] == runs[2]
    with pytest.raises(IndexError):
        data[10]


# ---- pictures of batches, and files -------------------------------------------------------------


def test_make_grid():
    x = fastdl.arange(5 * 3 * 4.0).reshape(5, 1, 3, 4)
    grid = utils.make_grid(x, nrow=3, padding=1, pad_value=-1.0)
    assert grid.shape == (3, 2 * 4 + 1, 3 * 5 + 1)
    for i, (row, column) in enumerate(itertools.product(range(2), range(3))):
        part = grid[0, 1 + 4 * row : 4 + 4 * row, 1 + 5 * column : 5 + 5 * column]
        expected = x[i, 0].numpy() if i < 5 else np.full((3, 4), -1.0)
        np.testing.assert_array_equal(part.numpy(), expected)
    assert (grid[:, 0] == -1).all()
    scaled = utils.make_grid(x, normalize=True, padding=0)
    assert float(scaled.max()) == 1
    each = utils.make_grid(x, normalize=True, scale_each=True, padding=0, nrow=5)
    np.testing.assert_allclose(each[0, :, :4].numpy(), each[0, :, 4:8].numpy(), atol=1e-6)
    halved = utils.make_grid(x, normalize=True, value_range=(0, 118), padding=0)
    np.testing.assert_allclose(halved.max().item(), 0.5)
    assert float(x.max()) == 59, "not in place"
    assert utils.make_grid(fastdl.ones(4, 4)).shape == (3, 4, 4)
    assert utils.make_grid([fastdl.ones(3, 2, 2)] * 2).shape == (3, 6, 10)
    with pytest.raises(TypeError, match="tensor or list"):
        utils.make_grid("x")
    with pytest.raises(TypeError, match="value_range"):
        utils.make_grid(x, normalize=True, value_range=3)


def test_save_and_read(tmp_path):
    x = fastdl.rand(3, 9, 7)
    utils.save_image(x, tmp_path / "x.png")
    found = vision_io.read_image(tmp_path / "x.png")
    np.testing.assert_array_equal(found.numpy(), (x.numpy() * 255 + 0.5).astype(np.uint8))
    grey = vision_io.read_image(tmp_path / "x.png", vision_io.ImageReadMode.GRAY)
    assert grey.shape == (1, 9, 7)
    assert vision_io.read_image(tmp_path / "x.png", "RGB_ALPHA").shape == (4, 9, 7)
    buffer = io.BytesIO()
    utils.save_image([x, x], buffer, format="png", nrow=1)
    assert Image.open(buffer).size == (11, 24)
    vision_io.write_png(found, tmp_path / "y.png", 9)
    np.testing.assert_array_equal(vision_io.read_image(tmp_path / "y.png").numpy(), found.numpy())
    vision_io.write_jpeg(found, tmp_path / "y.jpg", 95)
    assert vision_io.read_image(tmp_path / "y.jpg").shape == (3, 9, 7)
    for bad in (
        lambda: vision_io.decode_image(fastdl.zeros(5, dtype=fastdl.uint8)),
        lambda: vision_io.decode_image(fastdl.zeros(5)),
        lambda: vision_io.encode_png(x),
        lambda: vision_io.encode_png(found, 11),
    ):
        with pytest.raises(RuntimeError):
            bad()
