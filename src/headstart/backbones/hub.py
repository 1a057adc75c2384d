"""Configs from the Hugging Face Hub in timm's format, which are not trusted.

Only entries that describe a network are used: no file names, and no arguments that could make timm
read or run anything.
"""

import json
import reprlib
from typing import Any

from headstart.backbones.download import fetch_from_hub
from headstart.backbones.timm_metadata import Pretrained
from headstart.backbones.vision_ops import import_timm
from headstart.errors import BackboneError
from headstart.system.files import read_regular

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of the weights in a repository, the preferred one first."""

LOCATIONS = frozenset(
    {"url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "custom_load"}
)
"""Entries by which timm would load weights itself, with readers that can run code."""

_MAX_CONFIG = 64 * 2**20
_LARGEST = 100_000
"""The largest number in model_args, and the longest list or text."""

# Arguments of timm's factory that are not properties of a network: they name files to read, or how
# to read them.
_FACTORY_ARGUMENTS = frozenset(
    {"cache_dir", "checkpoint_path", "exportable", "feature_cfg", "features_only", "kwargs_filter"}
    | {"model_cfg", "model_name", "no_jit", "pretrained", "pretrained_cfg"}
    | {"pretrained_cfg_overlay", "pretrained_custom_load", "pretrained_filter_fn"}
    | {"pretrained_model_args", "pretrained_strict", "scriptable", "variant"}
)


def read_hub_config(name: str, repository: str, *, allow_download: bool) -> Pretrained:
    """Read the config.json of a repository; see `fetch_from_hub`.

    Raises:
        BackboneError: there is no such repository, it is not in timm's format, or it sets what
            headstart does not take from the Hub.
    """
    timm = import_timm(name)
    file = fetch_from_hub(
        name, repository, ("config.json",), allow_download=allow_download, then=WEIGHT_FILES
    )
    try:
        stated = json.loads(read_regular(file, limit=_MAX_CONFIG).decode())
        architecture = stated["architecture"]
        published = stated["pretrained_cfg"]
        recognized = isinstance(published, dict) and timm.is_model(architecture)
    except OSError as error:
        raise BackboneError(
            f"cannot read {file} of {name} ({error.strerror or error}); download it again"
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        recognized = False
    if not recognized:
        raise BackboneError(
            f"{name} is not in timm's format; choose a repository whose config.json names a "
            f"network of timm and its pretrained_cfg"
        )
    known = timm.models.PretrainedCfg.__dataclass_fields__.keys() - LOCATIONS
    config = {key: value for key, value in published.items() if key in known}
    for key in ("num_classes", "label_names", "label_descriptions"):
        if stated.get(key) is not None:
            config[key] = stated[key]
    config["hf_hub_id"] = repository
    if isinstance(filename := published.get("hf_hub_filename"), str):
        config["hf_hub_filename"] = filename
    options = stated.get("model_args") or {}
    _check_options(options, name)
    return Pretrained(architecture=architecture, config=config, options=options)


def _check_options(options: Any, name: str) -> None:
    """Refuse arguments that could do more than describe a network."""
    if not isinstance(options, dict):
        raise BackboneError(
            f"{name} has model_args of type {type(options).__name__} where timm has a dictionary; "
            f"choose another repository"
        )
    for key, value in options.items():
        values = value if isinstance(value, list) else [value]
        plain = all(one is None or isinstance(one, (bool, int, float, str)) for one in values)
        if len(repr(value)) > _LARGEST or any(
            isinstance(one, (int, float)) and not abs(one) <= _LARGEST for one in values
        ):
            raise BackboneError(
                f"{name} sets {key!r} in model_args to {reprlib.repr(value)}, which no network of "
                f"timm has; choose another repository"
            )
        if key in _FACTORY_ARGUMENTS or not plain:
            raise BackboneError(
                f"{name} sets {key!r} in model_args, which headstart does not accept from the Hub, "
                f"because it may do more than describe a network; choose another repository"
            )
