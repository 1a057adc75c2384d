"""The page that runs an exported file in the browser, in a real Chromium."""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from PIL import Image

from headstart.exporting.check_images import of_every_shape
from headstart.exporting.export import ExportSettings, export_model
from headstart.exporting.file_format import Format
from headstart.images.decode import decode
from headstart.models.model_backbone import build_model_extractor
from headstart.models.online_prediction import OnlinePredictor
from headstart.models.saved_model import load_model
from headstart.types import Precision
from tests.conftest import files
from tests.images import icc

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "examples" / "browser"
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
_REGISTRY = "https://registry.npmjs.org/"


class Site(NamedTuple):
    """What the page is served with, and what `predict` says."""

    address: str
    classes: tuple[str, ...]
    predictor: OnlinePredictor


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Write nothing to the terminal."""


@pytest.fixture(scope="module")
def site(
    chromium: Any, model: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The page, an exported file, one that says it takes crops, and what the page needs."""
    modules = Path(os.environ.get("HEADSTART_NODE_MODULES", PAGE / "node_modules"))
    built = modules / "onnxruntime-web" / "dist"
    if not built.is_dir():
        pytest.skip("onnxruntime-web is not installed (npm ci --prefix examples/browser)")
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(PAGE / "index.html", folder)
    served = folder / "node_modules" / "onnxruntime-web" / "dist"
    served.mkdir(parents=True)
    for name in RUNTIME:
        shutil.copy(built / name, served)
    trained = load_model(model)
    extractor = build_model_extractor(trained, precision=Precision.FLOAT32)
    images = of_every_shape(files(photos), 2)
    settings = ExportSettings(format=Format.ONNX)
    export_model(trained, extractor, folder / "model.onnx", settings, images)
    other = onnx.load(folder / "model.onnx")
    next(one for one in other.metadata_props if one.key == "headstart.input").value = "crops"
    onnx.save(other, folder / "crops.onnx")
    handler = functools.partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/"
        yield Site(address, trained.classes, OnlinePredictor(trained, extractor))
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def page(chromium: Any, site: Site) -> Iterator[Any]:
    """The page, 360 pixels wide, on which nothing goes wrong unnoticed."""
    context = chromium.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(30_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda one: wrong.append(one.text) if one.type == "error" else None)
    asked: list[tuple[str, str]] = []
    page.on("request", lambda one: asked.append((one.method, one.url)))
    page.goto(site.address)
    page.get_by_text("The model is ready.").wait_for()
    assert len(page.workers) == 1  # computes, so that the page can be used meanwhile
    yield page
    assert wrong == []
    for method, address in asked:  # nothing is sent, and nothing comes from elsewhere
        assert method == "GET"
        assert address.startswith((site.address, "data:"))
    context.close()


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_orientation(image: Image.Image, orientation: int) -> bytes:
    """A JPEG of a camera that was turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, "JPEG", exif=exif, quality=90)


def with_alpha(image: Image.Image) -> bytes:
    """A PNG that gets more transparent from the left to the right."""
    ramp = np.tile(np.linspace(255, 0, image.width).astype(np.uint8), (image.height, 1))
    cut = image.copy()
    cut.putalpha(Image.fromarray(ramp))
    return encoded(cut, "PNG")


def white_on_nothing(image: Image.Image) -> bytes:
    """A white drawing that could not be seen on white."""
    drawing = Image.new("RGBA", image.size, (255, 255, 255, 0))
    drawing.putalpha(image.convert("L").point(lambda level: 255 * (level > 128)))
    return encoded(drawing, "PNG")


@pytest.fixture(scope="module")
def images(cat: Path, new_photos: Path) -> dict[str, bytes]:
    photo = Image.open(cat).convert("RGB")
    small = Image.open(files(new_photos)[-1]).convert("RGB")
    p3 = icc.profile("Display P3", gamma=0, primaries=icc.DISPLAY_P3)
    return {
        "landscape.png": cat.read_bytes(),
        "landscape.jpg": encoded(photo, "JPEG", quality=90),
        "portrait.jpg": with_orientation(photo, 6),
        "mirrored.jpg": with_orientation(photo, 5),
        "gray.jpg": encoded(photo.convert("L"), "JPEG"),
        "gray.png": encoded(small.convert("L"), "PNG"),
        "alpha.png": with_alpha(photo),
        "drawing.png": white_on_nothing(photo),
        "p3.png": encoded(photo, "PNG", icc_profile=p3),
        "large.jpg": encoded(photo.resize((2400, 1600)), "JPEG", quality=90),
        "one pixel high.png": encoded(photo.resize((300, 1)), "PNG"),
        "small.webp": encoded(small, "WEBP", lossless=True),
    }


def choose(page: Any, name: str, content: bytes) -> None:
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    page.get_by_label("Choose an image").set_input_files(file)


def answer_to(page: Any, name: str) -> dict[str, float]:
    """The classes and their probabilities, when the page has looked at an image."""
    page.get_by_role("status").get_by_text(f"{name}: ").wait_for()
    rows = page.locator("#top tr").all()
    cells = [(row.locator("th").inner_text(), row.locator("td").last.inner_text()) for row in rows]
    assert page.locator("#label").inner_text() == ", ".join(cells[0])
    return {label: float(percent.removesuffix("%")) / 100 for label, percent in cells}


def drawn(page: Any) -> np.ndarray:
    """The pixels of the image on the page."""
    url = page.locator("#image").evaluate("one => one.toDataURL('image/png')")
    image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert image.mode == "RGB" or image.getchannel("A").getextrema() == (255, 255)
    return np.asarray(image.convert("RGB")).astype(float)


def test_it_answers_as_predict_does(page: Any, site: Site, images: dict[str, bytes]) -> None:
    assert page.get_by_text("The model tells 3 classes apart: checks, noise, stripes.").count()
    for name, content in images.items():
        choose(page, name, content)
        probabilities = answer_to(page, name)
        different = np.abs(drawn(page) - np.asarray(decode(content)))
        assert different.mean() < 0.5, name
        assert different.max() <= (20 if name.endswith(".jpg") else 1), name  # other decoders round
        expected = site.predictor.predict([site.predictor.prepare(content)])
        p, novelty = expected.probabilities[0], expected.novelty[0]
        assert next(iter(probabilities)) == site.classes[p.argmax()], name
        for label, one in zip(site.classes, p, strict=True):
            assert probabilities[label] == pytest.approx(one, abs=0.02), name
        known = page.get_by_text("It looks like the images that the model").count()
        unknown = page.get_by_text("Unknown: it does not look like").count()
        assert known + unknown == 1
        if abs(novelty - 0.05) > 0.005:
            assert known == (novelty > 0.05), name


def chooser_by_keyboard(page: Any) -> Any:
    """Press Enter until the dialog opens: on a busy machine Chromium may drop a key."""
    from playwright.sync_api import TimeoutError as NoDialog

    for _ in range(6):
        with contextlib.suppress(NoDialog):
            with page.expect_file_chooser(timeout=5_000) as chooser:
                page.keyboard.press("Enter")
            return chooser.value
    raise AssertionError("Enter opens no dialog")


def test_it_is_used_by_keyboard_and_on_a_telephone(page: Any, images: dict[str, bytes]) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    file = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": images["large.jpg"]}
    chooser_by_keyboard(page).set_files(file)
    answer_to(page, "a.jpg")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    background, text = (
        page.evaluate(f"getComputedStyle(document.{where}).{what}")
        for where, what in (("documentElement", "colorScheme"), ("body", "color"))
    )
    assert (background, text) == ("light dark", "rgb(255, 255, 255)")


def test_images_are_dropped_one_after_the_other(page: Any, images: dict[str, bytes]) -> None:
    drop = """([name, bytes]) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
      document.body.dispatchEvent(
        new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
    }"""
    page.evaluate(drop, ["first.png", list(images["gray.png"])])
    page.evaluate(drop, ["no image.txt", list(b"no image")])
    page.get_by_text("no image.txt is no image that this browser can decode.").wait_for()
    assert page.locator("#result").is_hidden()
    page.evaluate(drop, ["second.webp", list(images["small.webp"])])
    assert next(iter(answer_to(page, "second.webp"))) == "stripes"
    assert page.locator("#result").is_visible()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("absent.onnx", "There is no absent.onnx here; write it with 'headstart export"),
        ("index.html", "index.html is not a file of 'headstart export'"),
        ("crops.onnx", "crops.onnx is not a file of 'headstart export' that takes whole"),
    ],
)
def test_a_file_that_it_cannot_use(chromium: Any, site: Site, file: str, words: str) -> None:
    page = chromium.new_page()
    page.goto(f"{site.address}?model={file}")
    page.get_by_role("status").get_by_text(words).wait_for(timeout=30_000)
    assert page.get_by_label("Choose an image").is_disabled()
    page.close()


def test_the_package_comes_from_the_public_registry() -> None:
    document = json.loads((PAGE / "package-lock.json").read_text(encoding="utf-8"))
    for name, package in document["packages"].items():
        assert package.get("resolved", _REGISTRY).startswith(_REGISTRY), name
        assert "integrity" in package or not name
