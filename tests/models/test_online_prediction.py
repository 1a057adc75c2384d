"""Predictions for images in memory are those of `predict`, to the last bit."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart import Classifier
from headstart.errors import UnreadableImageError
from headstart.models.model_backbone import build_model_extractor
from headstart.models.online_prediction import OnlinePredictor
from headstart.models.prediction import predict
from headstart.models.trained_model import Model
from tests.conftest import files

VIEWS = ("tiny", "tiny@32-whole", "tiny@32-mirrored")


pytestmark = pytest.mark.usefixtures("tiny_everywhere")


@pytest.fixture(params=[VIEWS[:1], VIEWS], ids=["one view", "three views"])
def model(request: pytest.FixtureRequest, photos: Path) -> Model:
    paths = files(photos)
    labels = [path.parent.name for path in paths]
    return Classifier(views=request.param).fit(paths, labels).model_


class TestOnlinePredictor:
    def test_it_answers_as_predict_does(self, model: Model, new_photos: Path):
        paths = files(new_photos)  # more than a batch
        runner = replace(build_model_extractor(model), cache=None)
        expected = predict(model, runner, paths)
        predictor = OnlinePredictor(model, runner)
        with ThreadPoolExecutor(2) as pool:
            prepared = list(pool.map(lambda path: predictor.prepare(path.read_bytes()), paths))
        for _ in range(2):  # nothing is left behind in the engine
            found = predictor.predict(prepared)
            np.testing.assert_array_equal(found.probabilities, expected.probabilities)
            np.testing.assert_array_equal(found.novelty, expected.novelty)
        alone = predictor.predict(prepared[3:4])
        np.testing.assert_array_equal(alone.probabilities, expected.probabilities[3:4])

    def test_several_threads_predict_in_batches_of_other_sizes(
        self, model: Model, new_photos: Path
    ):
        runner = replace(build_model_extractor(model), cache=None)
        expected = OnlinePredictor(model, runner)
        predictor = OnlinePredictor(model, runner.with_batches(1, 4))
        predictor.compile()
        assert predictor.lanes >= 1
        assert [predictor.next_batch(waiting) for waiting in (1, 3, 4, 7)] == [1, 1, 4, 4]
        prepared = [predictor.prepare(path.read_bytes()) for path in files(new_photos)]
        whole = expected.predict(prepared)

        def check(start: int) -> None:
            found = predictor.predict(prepared[start : start + 5])
            rows = slice(start, start + 5)
            np.testing.assert_allclose(found.probabilities, whole.probabilities[rows], rtol=1e-4)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(check, range(7)))

    def test_its_images_are_as_large_as_their_crops(self, model: Model, new_photos: Path):
        predictor = OnlinePredictor(model, build_model_extractor(model))
        prepared = predictor.prepare(files(new_photos)[0].read_bytes())
        crops = 4 if len(model.all_members) > 1 else 1  # the mirrored view shows two
        assert prepared.nbytes <= crops * 32 * 32 * 3

    def test_it_refuses_what_is_no_image(self, model: Model):
        predictor = OnlinePredictor(model, build_model_extractor(model))
        with pytest.raises(UnreadableImageError):
            predictor.prepare(b"no image")
