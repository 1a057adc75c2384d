"""Files of weights: of a small network, damaged at random or with code inside."""

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import safetensors.numpy

from headstart.backbones import load_backbone
from headstart.backbones.vision_ops import import_timm
from headstart.errors import HeadstartError
from tests.campaign.campaign import Campaign
from tests.campaign.isolation import Bounds, Task, isolated, refusal_fault
from tests.campaign.mutations import mutated, mutated_document

_BOUNDS: Final = Bounds(seconds=60, megabytes=1_000)
_BACKBONE: Final = "timm:test_convnext.r160_in1k"
"""A network of 0.3 million weights."""


@cache
def _state() -> dict[str, Any]:
    """Return the network's weights, PyTorch tensors by name."""
    import_timm("the campaign")
    import timm
    import torch

    torch.manual_seed(0)
    return dict(timm.create_model(_BACKBONE.removeprefix("timm:").split(".")[0]).state_dict())


def _saved(content: object, **options: Any) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


class _Planted:
    """An object that creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def _pth(folder: Path, chance: Random) -> bytes:
    return mutated(_saved(_state()), chance)


def _legacy_pth(folder: Path, chance: Random) -> bytes:
    return mutated(_saved(_state(), _use_new_zipfile_serialization=False), chance)


def _pth_pickle(folder: Path, chance: Random) -> bytes:
    """Damage the pickle inside, behind a checksum that is right."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_saved(_state()))) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, mutated(content, chance) if name.endswith(".pkl") else content)
    return file.getvalue()


def _planted(folder: Path, chance: Random) -> bytes:
    """Put code where tensors are expected, in each format that is a pickle."""
    planted = _Planted(folder / "planted")
    content = chance.choice((planted, {**_state(), "x": planted}, {"model": planted}, [planted]))
    if chance.random() < 0.3:
        return pickle.dumps(content)
    return _saved(content, _use_new_zipfile_serialization=chance.random() < 0.5)


def _odd_tensors(folder: Path, chance: Random) -> bytes:
    """Replace one tensor by one of another kind or shape."""
    import torch

    state, name = _state(), chance.choice(sorted(_state()))
    tensor = state[name]
    odd: tuple[Callable[[], Any], ...] = (
        lambda: tensor.to(torch.float8_e4m3fn),
        lambda: tensor.bfloat16(),
        lambda: tensor.to(torch.complex64),
        lambda: tensor.to_sparse(),
        lambda: tensor.to("meta"),
        lambda: torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8),
        lambda: tensor[None].expand(10**9, *tensor.shape),
        lambda: torch.nn.Parameter(tensor * float("nan")),
        lambda: tensor.flatten()[:0],
        lambda: tensor.numpy(),
        lambda: None,
        lambda: {"a": tensor},
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.quantize")
        return _saved({**state, name: chance.choice(odd)()})


def _safetensors(folder: Path, chance: Random) -> bytes:
    return mutated(_plain(), chance)


def _safetensors_header(folder: Path, chance: Random) -> bytes:
    content = _plain()
    end = 8 + int.from_bytes(content[:8], "little")
    header = mutated_document(json.loads(content[8:end]), chance).encode()
    return len(header).to_bytes(8, "little") + header + content[end:]


@cache
def _plain() -> bytes:
    arrays = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in _state().items()}
    return safetensors.numpy.save(arrays)


_MAKERS: Final[tuple[tuple[str, Callable[[Path, Random], bytes]], ...]] = (
    (".pth", _pth),
    (".pth", _legacy_pth),
    (".pth", _pth_pickle),
    (".pt", _planted),
    (".bin", _odd_tensors),
    (".safetensors", _safetensors),
    (".safetensors", _safetensors_header),
    (".safetensors", _pth),
)
"""The endings of the files, and what makes their content."""


def load_damaged_weights(folder: Path, seed: Task) -> str | None:
    """Load a backbone with the file of weights of a seed."""
    chance = Random(int(seed))
    ending, make = chance.choice(_MAKERS)
    path = folder / f"weights{ending}"
    path.write_bytes(make(folder, chance))
    fault = None
    try:
        load_backbone(_BACKBONE, weights=path, allow_download=False)
    except HeadstartError as error:
        fault = refusal_fault(error)
    if {one.name for one in folder.iterdir()} != {path.name}:
        return f"ran code from {path.name}"
    return fault


def _tries(folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    seeds = [chance.getrandbits(32) for _ in range(count)]
    return isolated(load_damaged_weights, seeds, folder, _BOUNDS)


DAMAGED_WEIGHTS: Final = Campaign(
    kind="files of weights",
    failure="a crash, a hang, over 1 GB, code that ran, or no reason in one line",
    tries=_tries,
    full=1_000,
    short=12,
    slow=True,
)
