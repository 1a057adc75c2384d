"""All backbones by name: one function loads them, one lists the well-known ones."""

from difflib import get_close_matches
from pathlib import Path

from headstart.backbones.backbone import MODULE, Backbone
from headstart.backbones.keras import KerasSource
from headstart.backbones.lite import LiteSource
from headstart.backbones.own_code import ALLOW_CODE, check_allowed, is_attribute, load_own_code
from headstart.backbones.own_network import is_own_network, load_own_network
from headstart.backbones.source import BackboneInfo, BackboneSource
from headstart.backbones.timm import HubSource, TimmSource
from headstart.backbones.torchvision import TorchvisionSource
from headstart.errors import BackboneError, UnknownBackboneError
from headstart.images.preprocessing import Preprocessing
from headstart.types import DEFAULT_BACKBONE

SOURCES: dict[str, BackboneSource] = {
    "efficientnet-lite": LiteSource(),
    "torchvision:": TorchvisionSource(),
    "timm:": TimmSource(),
    "hf-hub:": HubSource(),
    "keras:": KerasSource(),
}
"""Sources by the prefix of their names. Other packages may register sources here."""
_DEFAULT_PREFIX = "torchvision:"
"""Prefix that is optional for well-known backbones."""


def load_backbone(
    name: str = DEFAULT_BACKBONE,
    *,
    weights: Path | None = None,
    allow_download: bool = True,
    preprocessing: Preprocessing | None = None,
    allow_code: bool = False,
) -> Backbone:
    """Load a frozen network with its preprocessing.

    Args:
        name: a name from `list_backbones`, where "torchvision:" is optional; any other classifier
            as "torchvision:NAME", "timm:NAME" or "keras:NAME"; "hf-hub:OWNER/NAME"; the path of an
            ONNX file; or, if code is allowed, of a program that `torch.export.save` wrote, or
            MODULE:ATTRIBUTE, a `torch.nn.Module` or a function that returns one.
        weights: a file of weights for this network, instead of the published ones.
        allow_download: whether published weights may be fetched that are not on this machine.
        preprocessing: how images are prepared for a network of your own, instead of what the file
            beside it says.
        allow_code: whether a network of your own may run code when it is opened; say so only for
            networks that you trust.

    Returns:
        The network, with its stages, its own classes and its license.

    Raises:
        BackboneError: no such backbone, or weights that do not fit it.
        DownloadError: the weights are not on this machine and cannot be downloaded; a
            NotCachedError if that was not tried.
        MissingExtraError: the backbone needs a package that is not installed.

    Example:
        >>> import headstart
        >>> headstart.load_backbone("efficientnet-lite0").preprocessing.crop
        224
    """
    if is_own_network(name):
        return load_own_network(
            name, weights=weights, preprocessing=preprocessing, allow_code=allow_code
        )
    if allow_code and _is_code(name):
        return load_own_code(name, weights=weights, preprocessing=preprocessing)
    name, source = _resolve(name)
    if preprocessing is not None:
        raise BackboneError(f"{name} comes with its preprocessing; do not give another")
    return source.load(name, weights=weights, allow_download=allow_download)


def check_name(name: str, *, allow_code: bool = False) -> None:
    """Check the name of a backbone without loading it.

    Names of repositories, "hf-hub:OWNER/NAME", are not checked, because that needs a network, and
    those of code, because that would run it.

    Raises:
        BackboneError: no such backbone; the message suggests similar names.
        MissingExtraError: the package that lists the names is not installed.
    """
    if is_own_network(name):
        if not Path(name).is_file():
            raise BackboneError(f"there is no network at {name}; check the path")
        check_allowed(name, allow_code=allow_code)
        return
    if allow_code and _is_code(name):
        return
    name, source = _resolve(name)
    source.check_name(name)


def list_backbones() -> tuple[BackboneInfo, ...]:
    """List the well-known backbones: the embedded ones, then those of the other sources.

    Returns:
        What is known of each without loading it, such as whether it is on this machine.

    Example:
        >>> import headstart
        >>> headstart.list_backbones()[0].name
        'efficientnet-lite0'
    """
    return tuple(info for source in SOURCES.values() for info in source.infos())


def _is_code(name: str) -> bool:
    return is_attribute(name) and not name.startswith((MODULE, *SOURCES))


def _resolve(name: str) -> tuple[str, BackboneSource]:
    if name.startswith(MODULE):
        raise BackboneError(
            f"{name} is a PyTorch module that was given in Python; load the model there, with "
            "headstart.Classifier.load(FOLDER, backbone=MODULE), and give other functions the "
            "classifier instead of the folder"
        )
    for prefix, source in SOURCES.items():
        if name.startswith(prefix):
            return name, source
    known = {info.name.removeprefix(_DEFAULT_PREFIX): info.name for info in list_backbones()}
    if name in known:
        return known[name], SOURCES[_DEFAULT_PREFIX]
    known |= {full: full for full in known.values()}
    close = [known[match] for match in get_close_matches(name.lower(), known, n=3)]
    hint = "`headstart backbones` lists the well-known ones"
    if close:
        hint = f"did you mean {' or '.join(dict.fromkeys(close))}?"
    elif _is_code(name):
        hint = f"if it is Python code, which runs when it is opened, and you trust it, {ALLOW_CODE}"
    others = [f"{prefix}NAME" for prefix in SOURCES if prefix.endswith(":")]
    raise UnknownBackboneError(
        f"there is no backbone {name!r}; {hint} (other names begin with their source: "
        f"{', '.join(others)})"
    )
