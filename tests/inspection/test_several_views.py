"""Models of several views: what they say, what fools them, and which pixels matter to them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from headstart.backbones import Backbone
from headstart.backbones.staged import StagedNetwork
from headstart.datasets import open_dataset
from headstart.errors import BackboneError, UserError
from headstart.features.extractor import Extractor
from headstart.heads.blend import BlendedHead
from headstart.heads.discriminant import DiscriminantHead
from headstart.images.corruptions import Corruption
from headstart.images.decode import decode
from headstart.images.preprocessing import Interpolation, Preprocessing, Resize, prepare
from headstart.inspection.adversarial_file import attack_file
from headstart.inspection.attacks import APGD, ATTACKS, Norm, Threat
from headstart.inspection.attribution import ATTRIBUTION_METHODS, GradCAM
from headstart.inspection.attribution_by_view import attribute_by_view
from headstart.inspection.differentiable_model import DifferentiableModel, DifferentiableView
from headstart.inspection.explanation import Explainer, predict_files
from headstart.inspection.ideal_image import synthesize
from headstart.inspection.image_tensor import to_tensor
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.inspection.labeled_sample import draw_sample
from headstart.inspection.robustness import measure_robustness
from headstart.inspection.synthesis.recipe import LESSON
from headstart.inspection.synthesis_target import class_target, unit_target
from headstart.models.prediction import Predictions, predict
from tests.conftest import F32

pytestmark = pytest.mark.slow

OPTIONS = {"pgd": {"steps": 15}, "apgd": {"steps": 15}, "minimum-norm": {"steps": 20}}
KINDS = ("centers", "whole")


@pytest.fixture
def network(request) -> InspectedNetwork:
    found: InspectedNetwork = request.getfixturevalue(request.param)
    return found


both = pytest.mark.parametrize("network", KINDS, indirect=True)


@pytest.fixture(scope="module")
def image(new_photos: Path) -> Path:
    return new_photos / "checks" / "101.png"


def predicted(network: InspectedNetwork, paths: list[Path]) -> Predictions:
    extractor = Extractor(backbone=network.backbone, plan=F32, cache=None)
    assert network.model is not None
    return predict(network.model, extractor.with_views(network.others), paths)


@both
def test_they_say_what_predict_says(network: InspectedNetwork, new_photos: Path):
    """Against the features of the engine and the head in NumPy."""
    paths = sorted(new_photos.rglob("101.png"))
    extractor = Extractor(backbone=network.backbone, plan=F32, cache=None).with_views(
        network.others
    )
    assert network.model is not None
    expected = predict(network.model, extractor, paths).probabilities
    for path, row in zip(paths, expected, strict=True):
        photo = decode(path)
        model = network.differentiable.for_images(*photo.size)
        x = to_tensor(np.asarray(photo)).requires_grad_()
        logits = model.whole_images(*photo.size)(x)
        np.testing.assert_allclose(logits.detach().softmax(1).numpy()[0], row, atol=2e-3)
        (gradient,) = torch.autograd.grad(logits[0, 0], x)
        assert gradient.any()
        # The canvas is the same image, resized once more.
        canvas = to_tensor(prepare(photo, model.preprocessing))
        found = model.logits(canvas).softmax(1).numpy()[0]
        np.testing.assert_allclose(found, row, atol=0.15)
        assert torch.equal(model.forward_pass(canvas).logits, model.logits(canvas))


@both
def test_the_engine_sees_the_canvas_alike(network: InspectedNetwork, image: Path):
    photo = decode(image)
    model = network.differentiable.for_images(*photo.size)
    pixels = np.repeat(prepare(photo, model.preprocessing)[None], 2, axis=0)
    (outputs,) = network.engine_outputs([pixels], model)
    assert network.model is not None
    assert outputs.keys() >= set(network.model.stages)
    expected = model.logits(to_tensor(pixels)).softmax(1).numpy()
    np.testing.assert_allclose(network.model.probabilities(outputs), expected, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "name"),
    [*(("centers", name) for name in ATTACKS), ("whole", "apgd")],
    indirect=["network"],
)
def test_the_saved_image_fools_the_whole_model(
    network: InspectedNetwork, name: str, image: Path, tmp_path: Path
):
    norm = Norm.L2 if name == "minimum-norm" else Norm.LINF
    threat = Threat(norm, 16 / 255 if norm is Norm.LINF else 100)
    attack = ATTACKS[name](**OPTIONS.get(name, {}))
    out = tmp_path / "a.png"
    to = None if name == "fgsm" else "noise"
    found = attack_file(network, image, out=out, to=to, attack=attack, threat=threat)
    assert network.model is not None
    extractor = Extractor(backbone=network.backbone, plan=F32, cache=None).with_views(
        network.others
    )
    ((label, _),) = predict(network.model, extractor, [out]).top(0, 1)
    assert found.before.label == "checks"
    assert found.success == (label != "checks" if to is None else label == to)
    assert found.success or name == "fgsm"
    change = np.asarray(decode(out)).astype(int) - np.asarray(decode(image))
    assert change.any()
    assert norm is Norm.L2 or np.abs(change).max() <= 16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "methods"),
    [("whole", list(ATTRIBUTION_METHODS)), ("centers", ["grad-cam"])],
    indirect=["network"],
)
def test_maps_are_on_the_whole_image(network: InspectedNetwork, methods: list[str], image: Path):
    pytest.importorskip("captum")
    ((prediction,), _) = predict_files(network, [image])
    found = Explainer(network, methods).explain(prediction)
    height, width = found.pixels.shape[:2]
    assert [one.method for one in found.maps] == methods
    for one in found.maps:
        side = network.differentiable.preprocessing.crop
        assert one.relevance.shape == (side, side)
        assert one.relevance.any()
        assert one.full_size.values.shape == one.full_size.seen.shape == (height, width)
        assert one.full_size.seen.all() == network.differentiable.canvas.shows_whole_images
        assert not one.full_size.values[~one.full_size.seen].any()
        assert 0 <= one.faithfulness.deletion <= 1
    assert [one.stage for one in found.maps] == ["head", None, None][: len(methods)]


@pytest.mark.slow
def test_stages_of_some_views(centers: InspectedNetwork, image: Path):
    ((prediction,), _) = predict_files(centers, [image])
    (found,) = Explainer(centers, ["grad-cam"], stage="blocks.4").explain(prediction).maps
    assert found.stage == "blocks.4"
    with pytest.raises(BackboneError, match=r"no stage 'blocks.9'"):
        Explainer(centers, stage="blocks.9")


@pytest.mark.slow
@both
def test_robustness_counts_what_the_whole_model_says(network: InspectedNetwork, new_photos: Path):
    """The images have different shapes, so that the whole ones are attacked one by one."""
    data = open_dataset(new_photos)
    sample = draw_sample(data, network.differentiable, model=network.model, images=4, seed=0)
    assert len(set(sample.sizes)) == 4
    found = measure_robustness(network, sample, epsilons=[32 / 255], attack=APGD(steps=8))
    predictions = predicted(network, list(sample.paths))
    right = sample.accepted[np.arange(4), predictions.probabilities.argmax(1)]
    assert np.array_equal(found.wrong_at > 0, right)
    assert right.sum() >= 3
    assert found.attacked[1].correct < found.attacked[0].correct
    assert {one.images for row in found.corrupted.values() for one in row} == {4}
    assert found.corrupted[Corruption.BRIGHTNESS][0].correct >= 2


class Corner(nn.Module):
    """Sees how bright a part of its input is, at a stage with a map of half its size."""

    def __init__(self, stage: str, rows: slice, columns: slice, side: int) -> None:
        super().__init__()
        self.add_module(stage, nn.AvgPool2d(2))
        self.pool, self.out = self.get_submodule(stage), nn.Linear(3, 2)
        self.mask = torch.zeros(side, side)
        self.mask[rows, columns] = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.pool(x * self.mask).mean((2, 3)))


def corner_view(side: int, stage: str, rows: slice, columns: slice) -> DifferentiableView:
    preprocessing = Preprocessing(
        size=side, crop=side, interpolation=Interpolation.BILINEAR, resize=Resize.STRETCH,
        mean=(0, 0, 0), std=(1, 1, 1),
    )  # fmt: skip
    corner = Corner(stage, rows, columns, side)
    network = StagedNetwork(corner, preprocessing, [stage], head="out")
    return DifferentiableView(
        name=str(side),
        backbone="corner",
        preprocessing=preprocessing,
        network=network,
        head_stages=(stage,),
    )


@pytest.mark.parametrize("name", ["grad-cam", "integrated-gradients"])
def test_the_maps_of_all_views_meet_where_the_evidence_is(name: str):
    """One view sees the upper left quarter of a wide image, the other the upper right one."""
    if name != "grad-cam":
        pytest.importorskip("captum")
    views = (
        corner_view(16, "first", slice(0, 8), slice(0, 8)),
        corner_view(24, "second", slice(0, 12), slice(12, 24)),
    )
    model = DifferentiableModel(
        name="two",
        classes=("a", "b"),
        views=views,
        head=lambda X: torch.stack([X.sum(1), -X.sum(1)], dim=1),
    ).for_images(60, 30)
    side = model.preprocessing.crop
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0])
    if name == "grad-cam":
        found = attribute_by_view(GradCAM(), model, pixels, target, [("first",), ("second",)])
        assert found.stage == "16 > first, 24 > second"
        alone = attribute_by_view(GradCAM(), model, pixels, target, [(), ("second",)])
        assert alone.stage == "second"
        assert alone.values[0, :, : side // 2 - 1].abs().sum() < 0.05 * alone.values.abs().sum()
        # What one value of a map stands for does not depend on the grid.
        logit = float(model.logits(pixels)[0, 0])
        assert float(found.values.sum()) == pytest.approx(logit, rel=0.1)
    else:
        functions = _functions(model)
        found = ATTRIBUTION_METHODS[name]().attribute(functions, pixels, target)
    half = side // 2
    values = found.values[0]
    above, below = values[:half].abs().sum(), values[half:].abs().sum()
    assert below < 0.1 * above
    for quarter in (values[:half, :half], values[:half, half:]):
        assert quarter.abs().sum() > 0.2 * above


def _functions(model: DifferentiableModel):
    from headstart.inspection.attribution import NetworkFunctions

    return NetworkFunctions(
        logits=model.logits,
        fast_logits=model.logits,
        forward_pass=model.forward_pass,
        stages=("first",),
        batch=model.batch(16),
    )


@pytest.mark.slow
def test_images_are_imagined_for_all_views_together(centers: InspectedNetwork, tmp_path: Path):
    recipe = LESSON.with_settings(steps=8, tv=0)
    (found,) = synthesize(centers, [class_target(centers, "noise")], recipe, out=tmp_path / "a.png")
    assert found.pixels.shape == (96, 96, 3)
    assert found.label == "noise"
    assert found.probability == pytest.approx(centers.predict([found.path]).probabilities[0, 1])
    target = unit_target(centers, "blocks.2", 3, view="efficientnet-lite0@64")
    (found,) = synthesize(centers, [target], recipe, out=tmp_path / "b.png")
    assert found.pixels.shape == (64, 64, 3)
    with pytest.raises(UserError, match=r"no view 'lite'; choose from efficientnet-lite0@64, "):
        unit_target(centers, "blocks.2", 3, view="lite")


def test_a_network_for_each_view(centers: InspectedNetwork, lite0: Backbone):
    one, other = centers.differentiable.views
    assert one.network is other.network  # the same weights
    with pytest.raises(UserError, match="has 2 views, but 1"):
        _ = replace(centers, others={}).differentiable
    assert centers.differentiable.batch(16) > 16  # small inputs
    large = [replace(view, preprocessing=lite0.preprocessing) for view in (one, other)]
    assert replace(centers.differentiable, views=tuple(large)).batch(16) == 8


def test_two_heads_on_one_view_share_its_network(centers: InspectedNetwork):
    model = centers.model
    assert model is not None
    assert isinstance(model.head, BlendedHead)
    (first, other), (one, further) = model.members, model.head.members
    heads = [one, DiscriminantHead(*one.tensors().values()), further]
    twice = replace(
        model,
        members=(first, replace(first, head="discriminant"), other),
        head=BlendedHead.of(heads, (1.5, 1.5, 0.8), (0.2, 0.2, 0.6)),
    )
    network = replace(centers, model=twice)
    assert network.views == centers.views
    side = centers.differentiable.preprocessing.crop
    canvases = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = centers.differentiable.logits(canvases)
        torch.testing.assert_close(network.differentiable.logits(canvases), expected)


def test_views_without_gradients_are_refused(whole: InspectedNetwork, monkeypatch):
    monkeypatch.setattr("headstart.features.views._SINGLE_INPUTS", frozenset({"center"}))
    with pytest.raises(UserError, match=r"none lead through the view efficientnet-lite0@96-whole"):
        _ = replace(whole).differentiable
