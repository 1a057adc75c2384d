import numpy as np
import pytest

from headstart.errors import BackboneError
from headstart.features.several_views import part_of
from headstart.features.views import Frame, View, qualified
from tests.conftest import files

WHOLE = View("tiny", 32, Frame.WHOLE)


@pytest.fixture
def both(tiny):
    extractor = tiny(size=48)
    return extractor.with_views({WHOLE: extractor.backbone})


def test_views_side_by_side(both, photos):
    paths = files(photos)
    found = both.extract(paths)
    names = ["fine", "coarse", qualified(WHOLE, "fine"), qualified(WHOLE, "coarse")]
    assert list(found.values) == names
    alone = both.only([WHOLE]).extract(paths)
    assert both.only([WHOLE]).engine() is both.others[WHOLE].engine()
    np.testing.assert_array_equal(found.values[names[2]], alone.values["fine"])
    assert list(found.own().values) == names[:2]
    assert np.abs(found.values["fine"] - alone.values["fine"]).max() > 0
    assert found.digests == alone.digests


def test_only_the_views_that_are_needed(both, photos):
    paths = files(photos)
    done = []
    name = qualified(WHOLE, "coarse")
    found = both.extract(paths, stages=[name], progress=lambda *one: done.append(one))
    assert list(found.values) == [name]
    assert done[-1] == (len(paths), len(paths))
    assert both.extract(paths).cached == 0
    assert both.extract(paths).cached == len(paths)
    with pytest.raises(BackboneError, match="there is no view 'other' among tiny@32-whole"):
        both.extract(paths, stages=[qualified("other", "fine")])


def test_progress_of_parts():
    done = []
    for number in range(2):
        part_of(lambda *one: done.append(one), number, 2)(5, 10)
    assert done == [(5, 20), (15, 20)]
