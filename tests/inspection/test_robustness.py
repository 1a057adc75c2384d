import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from openvino import opset13 as op
from PIL import Image, ImageOps
from torch import nn

from headstart.backbones import Backbone
from headstart.backbones.backbone import Stage
from headstart.backbones.staged import StagedNetwork
from headstart.datasets import open_dataset
from headstart.engines import make_plan
from headstart.errors import DataError
from headstart.evaluation.metrics import Accuracy, wilson
from headstart.features.extractor import Extractor
from headstart.images.corruptions import STRENGTHS, Corruption
from headstart.images.decode import decode
from headstart.inspection.attacks import APGD
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.inspection.labeled_sample import LabeledSample, draw_sample
from headstart.inspection.robustness import EPSILONS, measure_robustness
from headstart.inspection.robustness_result import Robustness
from headstart.models.prediction import evaluate
from headstart.models.saved_model import load_model
from headstart.system.serialization import to_json
from headstart.types import Norm
from tests.conftest import tiny_backbone

pytestmark = pytest.mark.slow

LINF = [level / 255 for level in (0, 2, 4, 8, 16, 24)]


def brightest_channel() -> InspectedNetwork:
    """A backbone whose logits are the means of red, green and blue: soft, and linear."""

    def network() -> StagedNetwork:
        model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
        model[2].weight.data, model[2].bias.data = torch.eye(3), torch.zeros(3)
        return StagedNetwork(model, tiny.preprocessing, ("1",), head="2")

    def graph() -> Any:
        pixels = op.parameter([-1, 32, 32, 3], np.uint8, "pixels")
        x = op.divide(op.convert(pixels, "f32"), op.constant(np.float32(255)))
        mean = op.reduce_mean(x, op.constant(np.array([1, 2])), False)
        return openvino.Model([op.result(mean), op.result(mean)], [pixels])

    tiny = tiny_backbone()
    stages, labels = (Stage("1", 3),), ("red", "green", "blue")
    return InspectedNetwork(
        replace(tiny, network=network, graph=graph, stages=stages, labels=labels)
    )


@pytest.fixture(scope="module")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain colors with grain, far from black and white; most are in the folder of their class."""
    root, rng = tmp_path_factory.mktemp("colors"), np.random.default_rng(1)
    for place in range(40):
        color = rng.uniform(60, 195, 3)
        pixels = np.clip(color + rng.normal(0, 5, (32, 32, 3)), 40, 215).astype(np.uint8)
        label = int(pixels.mean((0, 1)).argmax()) + (place % 10 == 0)
        folder = root / ("red", "green", "blue", "red")[label]
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{place:02}.png")
    return root


def drawn(folder: Path, network: InspectedNetwork, *, images: int = 100) -> LabeledSample:
    dataset = open_dataset(folder, require_classes=1)
    return draw_sample(dataset, network.differentiable, model=network.model, images=images, seed=0)


def measured(folder: Path, *, seed: int = 0, steps: int = 10, **options) -> Robustness:
    network = brightest_channel()
    sample = drawn(folder, network)
    return measure_robustness(network, sample, attack=APGD(steps=steps), seed=seed, **options)


@pytest.fixture(scope="module")
def found(colors: Path) -> Robustness:
    return measured(colors, epsilons=LINF)


def distances(sample: LabeledSample, norm: Norm) -> np.ndarray:
    """(N,) how far each picture is from a wrong answer, in closed form; negative if it is one."""
    mean = sample.pixels.mean((1, 2)) / 255
    own = mean[sample.accepted]
    behind = own - np.where(sample.accepted, -np.inf, mean).max(1)
    # Two channels move by epsilon each, or in l2 by as much as 1,024 pixels of two channels can.
    result: np.ndarray = behind / 2 if norm is Norm.LINF else behind * 32 / 2**0.5
    return result


@pytest.mark.parametrize("norm", Norm)
def test_the_worst_case_is_the_closed_form_of_a_linear_network(norm: Norm, colors: Path):
    epsilons = LINF if norm is Norm.LINF else [40 * epsilon for epsilon in LINF]
    found = measured(colors, norm=norm, epsilons=epsilons)
    exact = distances(found.sample, norm)
    # An attack comes close to the border. Whether a picture is right at all, bf16 may decide.
    near = np.abs(exact[:, None] / np.array(epsilons[1:]) - 1).min(1) < 0.02
    clear = ~near & (np.abs(exact) > epsilons[1] / 2)
    assert clear.sum() >= 30
    expected = np.where(exact < 0, 0, np.searchsorted(epsilons, exact))  # the first that is larger
    assert np.array_equal(found.wrong_at[clear], expected[clear])
    assert len(set(expected[clear].tolist())) >= 4


def test_accuracies_count_what_is_not_broken(found: Robustness):
    n = len(found.sample)
    for place, share in enumerate(found.attacked):
        correct = int((found.wrong_at > place).sum())
        assert (share.correct, share.images) == (correct, n)
        assert share.value == correct / n
        assert share.interval == wilson(correct, n)
    counts = [share.correct for share in found.attacked]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 36  # four lie in a wrong folder
    assert counts[0] > counts[3] > counts[-1]


def test_every_corruption_has_five_strengths(found: Robustness):
    assert found.corrupted.keys() == set(Corruption)
    shares = [share for row in found.corrupted.values() for share in row]
    assert all(len(row) == len(STRENGTHS) for row in found.corrupted.values())
    assert {share.images for share in shares} == {40}
    assert found.corruption_accuracy == pytest.approx(np.mean([one.value for one in shares]))


def test_each_share_is_that_of_its_corruption(colors: Path, monkeypatch: pytest.MonkeyPatch):
    def turned(pixels, kind, strength, rng):
        return np.roll(pixels, 1, axis=2) if (kind, strength) == (Corruption.JPEG, 4) else pixels

    monkeypatch.setattr("headstart.inspection.robustness.corrupt", turned)
    found = measured(colors, epsilons=[])
    changed = [
        (kind, strength)
        for kind, row in found.corrupted.items()
        for strength, share in zip(STRENGTHS, row, strict=True)
        if share.correct != 36
    ]
    assert changed == [(Corruption.JPEG, 4)]
    assert found.corrupted[Corruption.JPEG][3].correct <= 4


def test_the_document_says_it_all(found: Robustness):
    document = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert document["images"] == 40
    assert [one["epsilon"] for one in document["attack"]] == LINF
    assert document["clean"] == {
        key: document["attack"][0][key] for key in ("accuracy", "interval", "correct", "images")
    }
    assert [one["strength"] for one in document["corruptions"]["fog"]] == list(STRENGTHS)
    wrong = {one["image"]: one["wrong_at"] for one in document["by_image"]}
    for path, place in zip(found.sample.paths, found.wrong_at.tolist(), strict=True):
        assert wrong[str(path)] == ([*LINF, None][place])


def test_the_same_seed_gives_the_same(colors: Path):
    first, again = (to_json(measured(colors, steps=2, epsilons=[1 / 255])) for _ in range(2))
    assert first == again
    assert [one["epsilon"] for one in first["attack"]] == [0, 1 / 255]


def test_progress_ends_at_the_end(colors: Path):
    steps: list[tuple[int, int]] = []
    pictures: list[tuple[int, int]] = []
    measured(
        colors, epsilons=[1 / 255, 4 / 255], steps=3,
        on_steps=lambda *news: steps.append(news),
        on_images=lambda *news: pictures.append(news),
    )  # fmt: skip
    assert steps[-1] == (36 * 2 * 2 * 3, 36 * 2 * 2 * 3)
    assert steps == sorted(steps)
    assert pictures[-1] == (40 * 30, 40 * 30)


@pytest.mark.parametrize("epsilon", [-1.0, float("nan"), float("inf")])
def test_an_epsilon_is_a_size(epsilon: float, colors: Path):
    with pytest.raises(DataError, match="give finite numbers, 0 or more"):
        measured(colors, epsilons=[epsilon])


def test_survivors_of_four_levels_are_doubted(found: Robustness):
    def at(correct: int, epsilon: float, norm: Norm = Norm.LINF) -> bool:
        shares = (Accuracy(100, 100), Accuracy(correct, 100))
        return replace(found, norm=norm, epsilons=(0, epsilon), attacked=shares).doubtful

    assert at(2, 4 / 255)
    assert not at(1, 4 / 255)
    assert not at(2, 2 / 255)
    assert not at(50, 1.0, Norm.L2)
    assert all(sizes[0] == 0 and list(sizes) == sorted(sizes) for sizes in EPSILONS.values())


def test_an_ordinary_backbone_resists_nothing(lite0: Backbone, cat: Path, tmp_path: Path):
    (tmp_path / "cat").mkdir()
    photo = decode(cat)
    photo.save(tmp_path / "cat" / "plain.png")
    ImageOps.mirror(photo).save(tmp_path / "cat" / "mirrored.png")
    network = InspectedNetwork(lite0)
    sample = drawn(tmp_path, network)
    found = measure_robustness(network, sample, epsilons=[1 / 255, 4 / 255], attack=APGD(steps=10))
    assert [share.correct for share in found.attacked] == [2, 0, 0]
    assert not found.doubtful


def test_what_is_right_untouched_is_what_evaluate_says(
    lite0: Backbone, model: Path, new_photos: Path
):
    network = InspectedNetwork(lite0, load_model(model))
    assert network.model is not None
    sample = drawn(new_photos, network)
    found = measure_robustness(network, sample, epsilons=[], attack=APGD(steps=1))
    dataset = open_dataset(new_photos)
    plain = evaluate(
        network.model, Extractor(backbone=lite0, plan=make_plan(), cache=None), dataset
    )
    assert sample.paths == plain.paths
    right = plain.probabilities.argmax(1) == plain.labels
    assert np.array_equal(found.wrong_at > 0, right)
