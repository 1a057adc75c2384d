"""Images as programs have them."""

import io
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from headstart.datasets import ImageDataset
from headstart.errors import DataError
from headstart.images.decode import decode, read_bytes
from headstart.images.source import ImageContent, ImageSource
from headstart.models.image_sources import image_sources

PATHS = [Path("a.png"), Path("b.png")]
DATASET = ImageDataset(
    name="two", paths=tuple(PATHS), labels=np.array([0, 1]), classes=("x", "y"), splits=()
)
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 3), dtype=np.uint8)


def image_paths(X: Any) -> list[ImageSource]:
    return list(image_sources(X))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "X",
    [
        ["a.png", "b.png"],
        ("a.png", "b.png"),
        (name for name in ["a.png", "b.png"]),
        [PurePosixPath("a.png"), Path("b.png")],
        [b"a.png", np.bytes_(b"b.png")],
        np.array(["a.png", "b.png"]),
        np.array([b"a.png", b"b.png"]),
        np.array(["a.png", "b.png"], dtype=object),
        np.array([["a.png"], ["b.png"]]),
        [["a.png"], ["b.png"]],
        pd.Series(["a.png", "b.png"], index=[5, 2]),
        pd.Series(["a.png", "b.png"], dtype="string"),
        pd.Series(["a.png", "b.png"], dtype="category"),
        pd.Index(["a.png", "b.png"]),
        pd.DataFrame({"path": ["a.png", "b.png"]}),
        DATASET,
    ],
)
def test_paths_in_any_form(X: Any):
    assert image_paths(X) == PATHS


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (
            pd.DataFrame({"path": ["a"], "label": ["x"]}),
            r"columns 'path', 'label'.*table\['path'\]",
        ),
        (pd.DataFrame(index=[0, 1]), r"columns \(none\)"),
        (pd.DataFrame({0: ["a"], 1: ["x"]}), "columns 0, 1"),
        ({"a.png": "x"}, "give a list of images, not {'a.png': 'x'}"),
        ({"a.png"}, "give a list of images, not {'a.png'}"),
        ("a.png", r"open_dataset\('a.png'\)"),
        (Path("a.png"), r"open_dataset\('a.png'\)"),
        (3, "give a list of images, not 3"),
        (
            ["a.png", None],
            r"1 of 2 images is missing \(None, NaN or empty\), the first at position 1",
        ),
        (pd.Series([None, float("nan"), "a"]), "2 of 3 images are missing"),
        (["a.png", ""], "1 of 2 images is missing"),
        ((one for one in ["a.png", None]), r"image 1 is missing \(None\)"),
        (np.array([["a", "b"]]), r"have the shape \(1, 2\)"),
        ([1, 2], "image 0 is of the type int; give a path, a Pillow image"),
        ([[["a.png"]]], "image 0 is of the type list"),
        ([[[1, 2], [3, 4]]], "image 0 is of the type list"),
        (b"\x89PNG\0", r"not bytes; of a single one: \[image\]"),
        (Image.new("RGB", (2, 2)), "not Image; of a single one"),
        (io.BytesIO(b"x"), "not BytesIO; of a single one"),
        ([io.StringIO("x")], "image 0 is a file that gives str; open it in binary mode, 'rb'"),
        (PIXELS[0], r"the shape \(6, 8, 3\) is that of a single image"),
        (PIXELS[0, :, :, :1], r"the shape \(6, 8, 1\) is that of a single image"),
        (np.zeros((5, 64)), r"the shape \(5, 64\) is that of a table of numbers; give an array"),
        (pd.DataFrame(np.zeros((5, 64))), "is that of a table of numbers"),
        ("https://example.org/a.jpg", "the image is a URL"),
        (np.zeros((2, 3, 6, 8)), r"image 0 has the shape \(3, 6, 8\); channels come last"),
        ([PIXELS[0] * 1.0], "image 0 has values from .*divide it by the value"),
        ([np.array([PIXELS[0], None], object)], r"image 0 has the shape \(2,\)"),
        (["https://example.org/a.jpg"], "image 0 is a URL, 'https://example.org/a.jpg'.*download"),
        ([Path("https://example.org/a.jpg")], "image 0 is a URL"),
        (["s3://bucket/a.jpg"], "image 0 is a URL"),
        (["data:image/png;base64,AAAA"], "image 0 is a URL"),
    ],
)
def test_what_is_no_image_is_refused(X: Any, message: str):
    with pytest.raises(DataError, match=message):
        image_paths(X)


def shown(X: Any) -> list[np.ndarray]:
    return [np.asarray(decode(read_bytes(source))) for source in image_sources(X)]


@pytest.mark.parametrize(
    "X",
    [
        list(PIXELS),
        tuple(PIXELS),
        PIXELS,
        iter(PIXELS),
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
        [Image.fromarray(one) for one in PIXELS],
        [png(one) for one in PIXELS],
        [bytearray(png(PIXELS[0])), memoryview(png(PIXELS[1]))],
        [io.BytesIO(png(one)) for one in PIXELS],
        [[PIXELS[0]], (Image.fromarray(PIXELS[1]),)],
        pd.Series([png(one) for one in PIXELS], index=[4, 2]),
        pd.Series([Image.fromarray(one) for one in PIXELS]),
        pd.DataFrame({"image": [png(one) for one in PIXELS]}),
        {"image": list(PIXELS)}["image"],
        {"a": PIXELS[0], "b": PIXELS[1]}.values(),
    ],
)
def test_images_in_memory_in_any_form(X: Any):
    np.testing.assert_array_equal(shown(X), PIXELS)


@pytest.mark.parametrize("shape", [(2, 6, 8), (1, 6, 8), (3, 6, 8), (2, 6, 8, 1), (7, 5, 5)])
def test_a_batch_of_gray_images(shape: tuple[int, ...]):
    gray = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    expected = np.broadcast_to(gray.reshape(*shape[:3], 1), (*shape[:3], 3))
    np.testing.assert_array_equal(shown(gray), expected)


def test_tensors_are_arrays():
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(shown(torch.from_numpy(PIXELS)), PIXELS)
    np.testing.assert_array_equal(shown(list(torch.from_numpy(PIXELS))), PIXELS)
    with pytest.raises(DataError, match="cannot be converted to a NumPy array"):
        image_paths([torch.zeros(6, 8, 3, requires_grad=True)])


def test_files_and_memory_may_be_mixed_and_have_names():
    found = image_paths([Path("a.png"), PIXELS[0], b"b.png", png(PIXELS[1])])
    assert [str(source) for source in found] == ["a.png", "image 1", "b.png", "image 3"]
    assert isinstance(found[3], ImageContent)
    assert found[3].content == png(PIXELS[1])


def test_a_stream_is_taken_one_by_one():
    taken = []

    def stream() -> Any:
        for place in range(3):
            taken.append(place)
            yield PIXELS[0]

    sources = image_sources(stream())
    assert taken == []
    next(sources)
    assert taken == [0]


def test_an_array_on_disk_is_not_read_at_once(tmp_path: Path):
    class OnDisk:
        shape = (2, 6, 8, 3)

        def __getitem__(self, row: int) -> np.ndarray:
            return PIXELS[row]

        def __array__(self) -> np.ndarray:
            raise AssertionError("all of it was read")

    np.testing.assert_array_equal(shown(OnDisk()), PIXELS)


def test_what_cannot_be_read_has_a_reason(tmp_path: Path):
    truncated = png(PIXELS[0])[:-40]
    (tmp_path / "cut.png").write_bytes(truncated)
    closed = io.BytesIO(png(PIXELS[0]))
    closed.close()
    at_the_end = io.BytesIO(png(PIXELS[0]))
    at_the_end.read()
    with Image.open(tmp_path / "cut.png") as cut:
        found = image_paths([cut, closed, at_the_end, b""])
    reasons = [one.fault for one in found if isinstance(one, ImageContent)]
    assert reasons == [
        "truncated",
        "cannot be read: I/O operation on closed file.",
        "nothing left to read in the file; call seek(0) first",
        None,
    ]


@pytest.mark.parametrize("content", [b"hello", b"\xff\xd8\xff\xe0", b"a\tb.png", b"\xff.png", b"P"])
def test_short_contents_are_no_paths(content: bytes):
    (source,) = image_sources([content])
    assert source == ImageContent("image 0", content)


def test_bytes_that_name_a_file_are_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("photo").write_bytes(png(PIXELS[0]))
    assert image_paths([b"photo"]) == [Path("photo")]
