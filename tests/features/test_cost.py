from dataclasses import replace

import pytest
from PIL import Image

from headstart.features import cost
from headstart.features.cost import costs_of, forecast, known_costs, measure_costs
from headstart.features.cost_index import Cost
from headstart.features.views import Frame, View
from headstart.images.tiles import TileGrid
from headstart.system.machine import cores
from tests.conftest import files

WHOLE = View("tiny", 32, Frame.WHOLE)
NAMES = ["tiny", str(WHOLE)]


@pytest.fixture
def both(tiny):
    extractor = tiny(size=48)
    return extractor.with_views({WHOLE: extractor.backbone})


def test_networks_are_measured_once_and_decoding_on_each_data_set(both, photos, monkeypatch):
    paths = files(photos)
    assert known_costs(both) == {}
    first = measure_costs(both, paths)
    assert list(first) == NAMES
    assert all(0 < one.network < 60_000 for one in first.values())
    assert all(0 < one.decoding < 60_000 for one in first.values())
    assert known_costs(both) == first
    monkeypatch.setattr(cost, "_network_seconds", lambda *_: pytest.fail("measured again"))
    again = measure_costs(both, paths[:1])
    assert [one.network for one in again.values()] == [one.network for one in first.values()]
    assert known_costs(both) == again
    assert costs_of(both, paths) == {name: one.total for name, one in again.items()}
    assert both.extract(paths).cached == 0


def test_what_is_not_known_is_measured_if_there_are_images(both, photos):
    assert costs_of(both) == dict.fromkeys(NAMES)
    one = costs_of(both.only([WHOLE]), files(photos)[:2])
    assert one[str(WHOLE)] > 0
    assert costs_of(both) == {"tiny": None} | one
    assert None not in costs_of(both, files(photos)[:2]).values()


def test_unreadable_images_cost_nothing(both, photos, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    bad = [tmp_path / "absent.png", tmp_path / "text.png"]
    assert measure_costs(both, bad) == {}
    assert list(measure_costs(both, [*bad, files(photos)[0]])) == NAMES


@pytest.mark.usefixtures("settled")
def test_the_forecast_counts_what_the_cache_lacks(both, photos, monkeypatch):
    paths = files(photos)
    second = 1000 * cores() / len(paths)
    costs = {NAMES[0]: Cost(2 * second, 8 * second), NAMES[1]: Cost(10 * second, 20 * second)}
    monkeypatch.setattr(cost, "_HEADS", 3.0)
    monkeypatch.setattr(cost, "_COMPILING", 2.0)
    monkeypatch.setattr(cost, "slowdown", lambda: 2.0)

    def said(classes=2, **options):
        return forecast(costs, both, paths, classes=classes, **options)

    assert said() == "2 views, about 50 s for 24 images"
    assert said(tried=True).startswith(
        "2 views, at most about 50 s for 24 images; a sample decides"
    )
    both.only([WHOLE]).extract(paths)
    assert "2 views, about 18 s" in said()
    both.extract(paths)
    cached = "2 views, at most about 6 s for 24 images, whose features are in the cache"
    assert said() == cached
    monkeypatch.setattr(cost, "_PER_SCORE", 0.01 * min(2, cores()))
    assert "at most about 486 s" in said(classes=1_000)
    monkeypatch.setattr(cost, "slowdown", lambda: 9.6)
    assert said().endswith("; other programs keep this machine busy: it may take 10 times as long")
    none = both.with_backbone(both.backbone)
    assert forecast({}, none, [], classes=2).startswith("1 view, about 5 s for 0 images")


def test_what_was_just_measured_is_not_measured_again(both, photos, monkeypatch):
    paths = files(photos)
    measure_costs(both, paths)
    monkeypatch.setattr(cost, "_network_seconds", lambda *_: pytest.fail("measured again"))
    found = measure_costs(both, paths, networks={"tiny": 70.0})
    assert found["tiny"].network == 70
    assert found == known_costs(both)


def test_the_cost_of_tiles_is_that_of_these_images(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "_network_seconds", lambda *_: 0.01)
    view = View("tiny", 32, Frame.TILES)
    extractor = tiny(size=48).as_view(view)
    Image.new("RGB", (32, 32)).save(small := tmp_path / "small.png")
    Image.new("RGB", (320, 320)).save(large := tmp_path / "large.png")
    tiles = len(TileGrid.of(320, 320, 32).boxes())
    assert tiles > 100
    for path, crops in ((small, 1), (large, tiles), (small, 1)):
        (found,) = measure_costs(extractor, [path]).values()
        assert found.total == pytest.approx(found.decoding + 10 * crops)


def test_another_device_is_measured_for_itself(both, photos):
    paths = files(photos)[:1]
    measure_costs(both, paths)
    elsewhere = replace(both.only([None]), plan=replace(both.plan, device="mps"))
    assert known_costs(both.only([None]))
    assert known_costs(elsewhere) == {}
