"""Small photo sets made on the fly, a tiny backbone, and a cache of its own for every test."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each process has a core; threads that wait for one another only take time from the others.
    # Before any library starts its threads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from headstart.backbones import Backbone, load_backbone
from headstart.backbones.backbone import Stage, Weights
from headstart.backbones.lite import LiteSource
from headstart.cli.app import run
from headstart.engines import EnginePlan, choose
from headstart.features import extractor, path_index
from headstart.features.extractor import Extractor
from headstart.images.preprocessing import Interpolation, Preprocessing
from headstart.models import model_backbone
from headstart.models.saved_model import save_model
from headstart.types import EngineName, Precision
from tests import shared_networks as shared
from tests.fake_backbone import FakeBackbone
from tests.models.trained_models import make_model

# `make test` says the same every time; the random search for counterexamples is `make fuzz`.
settings.register_profile("tests", derandomize=True, deadline=None)
settings.register_profile(
    "fuzz", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")

LITE = "efficientnet-lite0"
F32 = EnginePlan(EngineName.OPENVINO, Precision.FLOAT32)
KINDS = ("checks", "noise", "stripes")
_SIDE = 32


def picture(kind: str, seed: int) -> Image.Image:
    """A texture of 64 to 200 px; the kinds differ in pattern and color, the seeds in detail."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    height, width = rng.integers(64, 200, 2)
    y, x = np.mgrid[0:height, 0:width]
    period = int(rng.integers(6, 12))
    pattern = {
        "checks": ((x // period) + (y // period)) % 2,
        "noise": rng.random((height, width)),
        "stripes": (x // period) % 2,
    }[kind]
    color = {"checks": (220, 60, 60), "noise": (60, 200, 90), "stripes": (70, 90, 220)}[kind]
    pixels = pattern[..., None] * np.array(color) + rng.normal(20, 15, (height, width, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_photos(root: Path, count: int, *, kinds: tuple[str, ...] = KINDS, first: int = 0) -> Path:
    """A folder a class with `count` pictures each, PNG and JPEG by turns."""
    for kind in kinds:
        (root / kind).mkdir(parents=True, exist_ok=True)
        for seed in range(first, first + count):
            ending = "png" if seed % 2 else "jpg"
            picture(kind, seed).save(root / kind / f"{seed:03}.{ending}")
    return root


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def tiny_graph() -> Any:
    """Means over quarters and over the whole of a picture, as if they were a network's stages."""
    import openvino
    from openvino import opset13 as op

    pixels = op.parameter([-1, _SIDE, _SIDE, 3], np.uint8, "pixels")
    x = op.divide(op.convert(pixels, "f32"), op.constant(np.float32(255)))
    x = op.transpose(x, op.constant(np.array([0, 3, 1, 2])))
    half = _SIDE // 4
    x = op.avg_pool(x, [half, half], [0, 0], [0, 0], [half, half], False)
    fine = op.reshape(x, op.constant(np.array([0, 48])), True)
    coarse = op.reduce_mean(x, op.constant(np.array([2, 3])), False)
    mix = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    logits = op.matmul(coarse, op.constant(mix), False, False)
    return openvino.Model([op.result(y) for y in (fine, coarse, logits)], [pixels])


def tiny_backbone(*, digest: str = "0" * 32, size: int = _SIDE) -> FakeBackbone:
    """A backbone that takes no time, for tests of what is built on backbones."""

    return FakeBackbone(
        name="tiny",
        preprocessing=Preprocessing(
            size=size,
            crop=_SIDE,
            interpolation=Interpolation.BILINEAR,
            mean=(0, 0, 0),
            std=(1, 1, 1),
        ),
        stages=(Stage("fine", 48), Stage("coarse", 3)),
        labels=("a", "b", "c", "d", "e"),
        weights=Weights(source="PyPI: made-up", digest=digest, license="MIT"),
        graph=tiny_graph,
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the cache of whoever runs it."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files written just now count as old: no test waits for the clock of a file system."""
    monkeypatch.setattr(path_index, "_RACY", 0)


@pytest.fixture
def shared_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Embedded networks are read and compiled once; nothing changes them."""
    monkeypatch.setattr(LiteSource, "load", shared.load)
    monkeypatch.setattr(choose, "build_engine", shared.build_engine)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of eight pictures; not to be changed."""
    return write_photos(tmp_path_factory.mktemp("photos") / "photos", 8)


@pytest.fixture(scope="session")
def new_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four other pictures of each class; not to be changed."""
    return write_photos(tmp_path_factory.mktemp("new") / "new", 4, first=100)


@pytest.fixture
def own(photos: Path, tmp_path: Path) -> Path:
    """A copy of the photos that a test may change."""
    return Path(shutil.copytree(photos, tmp_path / "own"))


@pytest.fixture(scope="session")
def lite0() -> Backbone:
    return load_backbone(LITE)


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Extractor]:
    """Makes extractors of the tiny backbone that share the test's cache."""

    def make(
        *, cache: Path | None = tmp_path / "cache", plan: EnginePlan = F32, **more: Any
    ) -> Extractor:
        return Extractor(backbone=tiny_backbone(**more), plan=plan, cache=cache)

    return make


@pytest.fixture
def tiny_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name of a backbone stands for the tiny one."""
    for module in (extractor, model_backbone):
        monkeypatch.setattr(module, "load_backbone", lambda name, **options: tiny_backbone())


@pytest.fixture(scope="session")
def model(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of `photos`, on the last stage of the embedded backbone."""
    root = tmp_path_factory.mktemp("model")
    arguments = ["fit", str(photos), "--out", str(root / "model"), "--cache", str(root / "cache")]
    assert run(arguments) == 0
    return root / "model"


@pytest.fixture(scope="session")
def cat() -> Path:
    """A photo of a cat, 451 x 300 pixels, that scikit-image ships; not to be changed."""
    import skimage.data

    return Path(skimage.data.__file__).parent / "chelsea.png"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a made-up model."""
    save_model(make_model(), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A Chromium that is installed, driven by Playwright; skips the test if there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium is installed (Debian's package is chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
