import re

import pytest

from headstart.features.cost import forecast, measure_costs
from headstart.features.views import Frame, View
from headstart.system.machine import cores
from tests.conftest import files, write_photos

WHOLE = View("tiny", 32, Frame.WHOLE)


@pytest.fixture
def both(tiny):
    extractor = tiny(size=48)
    return extractor.with_views({WHOLE: extractor.backbone})


def test_costs_are_measured_once(both, tmp_path):
    paths = files(write_photos(tmp_path / "photos", 20))
    costs = measure_costs(both, paths)
    assert list(costs) == [None, WHOLE]
    assert all(0 < cost < 60_000 for cost in costs.values())
    assert both.extract(paths).cached == 32
    both.extract(paths)
    assert measure_costs(both, paths) == {None: None, WHOLE: None}


def test_a_single_image_is_too_few(both, photos):
    assert measure_costs(both, files(photos)[:1]) == {None: None, WHOLE: None}


def test_the_forecast():
    text = forecast({None: 20.0 * cores(), WHOLE: 30.0 * cores()}, 1000)
    assert text == "2 views, about 50 s for 1,000 images, besides choosing their stages"
    assert "in the cache" in forecast({None: None, WHOLE: None}, 1000)
    assert re.search("about 1 s", forecast({None: 1e-3}, 1))
