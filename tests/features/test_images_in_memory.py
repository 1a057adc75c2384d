"""Contents in memory give the features of their files, and need little memory at once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from headstart.features import extractor as module
from headstart.features.extraction import Features
from headstart.features.extractor import Extractor
from headstart.images.source import ImageContent
from headstart.system.digests import bytes_digest
from headstart.types import Skipped
from tests.conftest import files

Tiny = Callable[..., Extractor]


def contents(paths: list[Path]) -> list[ImageContent]:
    return [ImageContent(f"image {n}", path.read_bytes()) for n, path in enumerate(paths)]


def assert_same(one: Features, other: Features) -> None:
    assert one.digests == other.digests
    np.testing.assert_array_equal(one.rows, other.rows)
    for stage, values in one.values.items():
        np.testing.assert_array_equal(values, other.values[stage])


def test_features_are_those_of_the_files_and_found_for_both(photos: Path, tiny: Tiny):
    paths = files(photos)
    found = tiny().extract(contents(paths))
    assert found.computed == len(paths)
    assert found.digests[0] == bytes_digest(paths[0].read_bytes())
    of_files = tiny().extract(paths)
    assert of_files.computed == 0
    assert_same(found, of_files)
    mixed = tiny().extract([*paths[:3], *contents(paths)[3:]])
    assert_same(mixed, of_files)
    assert mixed.identities([*paths[:3], *contents(paths)[3:]]) == of_files.identities(paths)


def test_what_cannot_be_read_is_named(photos: Path, tiny: Tiny):
    given = contents(files(photos)[:3])
    given[1] = ImageContent("image 1", b"no image")
    given.append(ImageContent("image 3", b"", fault="damaged PNG"))
    found = tiny().extract(given)
    assert found.rows.tolist() == [0, 2]
    assert [one.path for one in found.skipped] == ["image 1", "image 3"]
    assert found.skipped[1] == Skipped("image 3", "damaged PNG")


@pytest.mark.parametrize("cache", [True, False])
def test_a_stream_is_extracted_in_parts(
    photos: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, cache: bool
):
    paths = files(photos)
    given = contents(paths)
    given[2] = ImageContent("image 2", b"no image")
    given[-1] = ImageContent("image 23", given[0].content)
    expected = tiny(cache=None).extract(given)
    monkeypatch.setattr(module, "_HELD", 3 * max(len(one.content) for one in given))
    taken, extracted = 0, []

    def stream() -> Iterator[ImageContent]:
        nonlocal taken
        for one in given:
            taken += 1
            yield one

    whole = Extractor.extract

    def extract(self: Extractor, sources: list[ImageContent], **options: object) -> Features:
        extracted.append((taken, len(sources)))
        return whole(self, sources, **options)

    monkeypatch.setattr(Extractor, "extract", extract)
    runner = tiny() if cache else tiny(cache=None)
    found = runner.extract_stream(stream())
    assert len(extracted) > 2
    assert all(len(given) == ahead or sum(n for _, n in extracted[:k + 1]) + 1 == ahead
               for k, (ahead, _) in enumerate(extracted))  # fmt: skip
    assert_same(found, expected)
    assert found.skipped == expected.skipped
    assert found.cached + found.computed == len(found)


def test_a_stream_of_files_or_of_nothing_is_one_part(photos: Path, tiny: Tiny):
    paths = files(photos)
    assert_same(tiny().extract_stream(iter(paths)), tiny().extract(paths))
    assert len(tiny().extract_stream(iter(()))) == 0
