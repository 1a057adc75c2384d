"""Mutated models: the files of a saved model, damaged at random or made by an attacker."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias

import numpy as np
import safetensors.numpy

from headstart import open_dataset
from headstart.backbones import SOURCES, BackboneSource
from headstart.errors import HeadstartError
from headstart.features.extractor import Extractor
from headstart.models.estimator import Classifier
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.model_card import model_card
from headstart.models.model_folder import CARD, MANIFEST, arrays_name
from headstart.models.saved_model import describe, save_model
from tests.campaign.campaign import Campaign
from tests.campaign.isolation import Bounds, Task, isolated, refusal_fault
from tests.campaign.mutations import mutated, mutated_document
from tests.conftest import F32, picture, tiny_backbone, write_photos

_BOUNDS: Final = Bounds(seconds=30, megabytes=1_000)

Files: TypeAlias = dict[str, bytes]
Damage: TypeAlias = Callable[[Path, Files, Random], bool]
"""Changes the folder of a model with these files. Returns whether its answers must not change: an
attacker may well write another model, but a damaged one must not pass for the original."""


class TinySource(BackboneSource):
    """The backbone of the model, which is found by its name like any other."""

    def infos(self):
        return ()

    def check_name(self, name):
        """All names are fine."""

    def load(self, name, *, weights, allow_download):
        return tiny_backbone()


@cache
def model_files() -> Files:
    """Return the files of an undamaged model."""
    with tempfile.TemporaryDirectory() as name:
        photos, folder = write_photos(Path(name, "photos"), 8), Path(name, "model")
        extractor = Extractor(backbone=tiny_backbone(), plan=F32, cache=None)
        save_model(fit(open_dataset(photos), extractor, FitSettings()).model, folder)
        return {path.name: path.read_bytes() for path in folder.iterdir()}


@cache
def _undamaged_answer() -> np.ndarray:
    with tempfile.TemporaryDirectory() as name:
        for file, content in model_files().items():
            Path(name, file).write_bytes(content)
        return _answer(Path(name))


def _answer(folder: Path) -> np.ndarray:
    """Load a model, use all of it, and return its class probabilities of a picture."""
    SOURCES.setdefault("tiny", TinySource())
    photo = folder.parent / "photo.png"
    picture("checks", 99).save(photo)
    classifier = Classifier.load(folder, engine="openvino", precision="f32")
    describe(classifier.model_)
    model_card(classifier.model_)
    found = classifier.predictions([photo])
    if classifier.model_.calibration is not None:
        classifier.predict_set([photo])
    if found.probabilities.shape != (1, len(classifier.classes_)):
        raise AssertionError(f"{found.probabilities.shape}, {len(classifier.classes_)} classes")
    return found.probabilities


def _arrays(files: Files) -> str:
    return next(name for name in files if name.endswith(".safetensors"))


def _replace_arrays(folder: Path, files: Files, content: bytes) -> bool:
    """Write other arrays under the name that belongs to them, as only an attacker does."""
    (folder / _arrays(files)).unlink()
    (folder / arrays_name(content)).write_bytes(content)
    manifest = files[MANIFEST].decode().replace(_arrays(files), arrays_name(content))
    (folder / MANIFEST).write_text(manifest)
    return False


def _manifest_bytes(folder: Path, files: Files, chance: Random) -> bool:
    (folder / MANIFEST).write_bytes(mutated(files[MANIFEST], chance, other=files[CARD]))
    return False


def _manifest_entries(folder: Path, files: Files, chance: Random) -> bool:
    (folder / MANIFEST).write_text(mutated_document(json.loads(files[MANIFEST]), chance))
    return False


def _arrays_bytes(folder: Path, files: Files, chance: Random) -> bool:
    (folder / _arrays(files)).write_bytes(mutated(files[_arrays(files)], chance))
    return True


def _forged_bytes(folder: Path, files: Files, chance: Random) -> bool:
    return _replace_arrays(folder, files, mutated(files[_arrays(files)], chance))


def _forged_header(folder: Path, files: Files, chance: Random) -> bool:
    content = files[_arrays(files)]
    end = 8 + int.from_bytes(content[:8], "little")
    header = mutated_document(json.loads(content[8:end]), chance).encode()
    return _replace_arrays(
        folder, files, len(header).to_bytes(8, "little") + header + content[end:]
    )


def _forged_arrays(folder: Path, files: Files, chance: Random) -> bool:
    arrays = safetensors.numpy.load(files[_arrays(files)])
    name = chance.choice(sorted(arrays))
    array = arrays.pop(name)
    extremes: tuple[Any, ...] = (0, -1, 1e38, -1e38, np.nan, np.inf, 1e-45, 255)
    match chance.randrange(6):
        case 0:
            pass  # it is missing
        case 1:
            arrays[name[: chance.randrange(len(name))] + "x"] = array
        case 2:
            arrays[name] = array.astype(chance.choice(("f8", "f2", "i8", "u1", "?")))
        case 3:
            arrays[name] = np.ascontiguousarray(array[..., None] if array.ndim else array[None])
        case 4:
            arrays[name] = np.ascontiguousarray(array.ravel()[: chance.randrange(array.size)])
        case _:
            changed = array.copy()
            with np.errstate(all="ignore"):
                value = np.asarray(chance.choice(extremes)).astype(array.dtype)
            changed.ravel()[chance.randrange(array.size) :: chance.choice((1, 10**6))] = value
            arrays[name] = changed
    return _replace_arrays(folder, files, safetensors.numpy.save(arrays))


def _missing(folder: Path, files: Files, chance: Random) -> bool:
    (folder / chance.choice(sorted(files))).unlink()
    return True


def _special(folder: Path, files: Files, chance: Random) -> bool:
    """Put something that is not an ordinary file in the place of one, or beside them."""
    path = folder / chance.choice((*files, "model-0123456789abcdef.safetensors", ".tmp", "x"))
    path.unlink(missing_ok=True)
    match chance.randrange(6):
        case 0:
            os.mkfifo(path)
        case 1:
            path.mkdir()
        case 2:
            path.symlink_to(chance.choice(("/dev/zero", "/etc/passwd", "nowhere", path, "..")))
        case 3:
            path.touch()
        case 4:
            path.write_bytes(files.get(path.name, b""))
            os.truncate(path, chance.choice((2**30, 3 * 2**30)))  # sparse
        case _:
            path.write_bytes(chance.randbytes(chance.randrange(100_000)))
    return True


def _card(folder: Path, files: Files, chance: Random) -> bool:
    (folder / CARD).write_bytes(mutated(files[CARD], chance))
    return True


DAMAGES: Final[tuple[Damage, ...]] = (
    _manifest_bytes,
    _manifest_entries,
    _manifest_entries,
    _manifest_entries,
    _arrays_bytes,
    _forged_bytes,
    _forged_header,
    _forged_arrays,
    _forged_arrays,
    _missing,
    _special,
    _card,
)


def damage(folder: Path, seed: int) -> bool:
    """Write the damaged model of a seed; return whether its answers must not change."""
    chance, files = Random(seed), model_files()
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return chance.choice(DAMAGES)(folder, files, chance)


def use_damaged_model(folder: Path, seed: Task) -> str | None:
    """Load a damaged model and classify a picture with it."""
    expected = _undamaged_answer()
    unchanged = damage(folder / "model", int(seed))
    try:
        found = _answer(folder / "model")
    except HeadstartError as error:
        return refusal_fault(error)
    if unchanged and not np.array_equal(found, expected):
        return f"answers {found.tolist()} instead of {expected.tolist()}"
    if not np.isfinite(found).all() or abs(found.sum() - 1) > 1e-3:
        return f"answers {found.tolist()}"
    return None


def _tries(folder: Path, count: int, chance: Random) -> Iterator[str | None]:
    seeds = [chance.getrandbits(32) for _ in range(count)]
    return isolated(use_damaged_model, seeds, folder, _BOUNDS)


MUTATED_MODELS: Final = Campaign(
    kind="mutated models",
    failure="a crash, a hang, over 1 GB, wrong answers, or no reason in one line",
    tries=_tries,
    full=2_000,
    short=24,
    slow=True,
)
