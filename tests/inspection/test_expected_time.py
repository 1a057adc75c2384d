"""The passes that explanations and attacks are expected to take are those that they take."""

from pathlib import Path

import pytest

from headstart.datasets import open_dataset
from headstart.inspection import expected_time
from headstart.inspection.attacks import APGD
from headstart.inspection.expected_time import Passes, expected_seconds
from headstart.inspection.explanation import Explainer, predict_files
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.inspection.labeled_sample import draw_sample
from headstart.inspection.robustness import measure_robustness, most_passes

pytestmark = pytest.mark.slow


@pytest.fixture
def engine_images(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that the engine has run."""
    sizes: list[int] = []
    outputs = InspectedNetwork.engine_outputs

    def counted(network, batches, model):
        def passed():
            for one in batches:
                sizes.append(len(one))
                yield one

        return outputs(network, passed(), model)

    monkeypatch.setattr(InspectedNetwork, "engine_outputs", counted)
    return sizes


@pytest.mark.parametrize("method", ["occlusion", "grad-cam"])
def test_passes_of_an_explanation(
    method: str, centers: InspectedNetwork, new_photos: Path, engine_images: list[int]
):
    explainer = Explainer(centers, [method])
    (prediction,), _ = predict_files(centers, [new_photos / "checks" / "101.png"])
    explainer.explain(prediction)
    expected = explainer.passes(1)
    assert sum(engine_images) == pytest.approx(expected.forward, rel=0.2)
    assert explainer.passes(3) == Passes(3 * expected.forward, 3 * expected.gradients)


def test_passes_of_a_test_of_robustness(
    centers: InspectedNetwork, new_photos: Path, engine_images: list[int]
):
    sample = draw_sample(
        open_dataset(new_photos), centers.differentiable, model=centers.model, images=3, seed=0
    )
    attack = APGD(steps=2)
    expected = most_passes(sample, epsilons=[0.5], attack=attack)
    assert expected.gradients == len(sample) * 2 * (2 if sample.accepted.shape[1] > 2 else 1)
    measure_robustness(centers, sample, epsilons=[0.5], attack=attack)
    assert sum(engine_images) == expected.forward


def test_seconds_are_measured(centers: InspectedNetwork, monkeypatch: pytest.MonkeyPatch):
    seconds = iter([0.0, 2.0, 10.0, 18.0])
    monkeypatch.setattr(expected_time.time, "perf_counter", lambda: next(seconds))
    assert expected_seconds(centers, Passes(forward=20, gradients=3)) == 2 / 4 * 20 + 8 / 4 * 3
