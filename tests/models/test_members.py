"""Models that average heads on several views."""

import json
from dataclasses import replace

import numpy as np
import pytest

from headstart.backbones import ladder
from headstart.datasets import open_dataset
from headstart.errors import BackboneError, DownloadError, SavedModelError, UserError
from headstart.features.extractor import build_extractor
from headstart.features.views import Frame, View
from headstart.heads.blend import BlendedHead
from headstart.heads.candidates import Candidate
from headstart.heads.discriminant import DiscriminantHead
from headstart.heads.logistic import LinearHead
from headstart.heads.selection import Selection
from headstart.models import fit as fitting
from headstart.models import members as blended
from headstart.models import quality
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.members import choose_members
from headstart.models.model_backbone import build_model_extractor, check_differentiable
from headstart.models.model_card import model_card
from headstart.models.model_folder import MANIFEST
from headstart.models.prediction import evaluate, predict
from headstart.models.quality import planned_views, with_quality
from headstart.models.saved_model import load_model, save_model
from headstart.types import Quality
from tests.backbones.onnx_file import write_tiny
from tests.conftest import files, write_photos

pytestmark = pytest.mark.slow

WHOLE, LARGE = View("tiny", 32, Frame.WHOLE), View("tiny", 32)


@pytest.fixture
def several(tiny):
    extractor = tiny(size=48)
    return extractor.with_views(dict.fromkeys((WHOLE, LARGE), extractor.backbone))


@pytest.fixture
def trained(several, tmp_path):
    folder = write_photos(tmp_path / "more", 20)
    return fit(open_dataset(folder), several, FitSettings())


def test_a_model_of_several_views(trained, several, new_photos, tmp_path):
    model = trained.model
    assert isinstance(model.head, BlendedHead)
    assert len(model.members) == len(trained.views) > 1
    assert sum(one.weight for one in model.members) == pytest.approx(1)
    assert model.members[0].origin == model.origin
    assert trained.held_out.probabilities.sum(1) == pytest.approx(1)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.members == model.members
    paths = files(new_photos)
    chosen = several.only(trained.views)
    one, other = predict(model, chosen, paths), predict(loaded, chosen, paths)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    np.testing.assert_array_equal(one.novelty, other.novelty)
    np.testing.assert_allclose(one.probabilities.sum(1), 1, rtol=1e-5)
    found = evaluate(loaded, chosen, open_dataset(new_photos))
    assert found.correct.mean() > 0.8
    card = model_card(loaded)
    assert "## Views" in card
    assert all(member.origin.name in card for member in model.members)


def test_members_answer_together(trained, several, new_photos):
    model, paths = trained.model, files(new_photos)
    features = several.only(trained.views).extract(paths)
    logs, start = [], 0
    for member, head in zip(model.members, model.head.members, strict=True):
        stages = model.stages[start : start + len(member.origin.stages)]
        start += len(stages)
        X = np.concatenate([features.values[stage] for stage in stages], axis=1)
        place = len(logs)
        logits = head.logits(X) / model.head.temperatures[place]
        logs.append(member.weight * np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True)))
    expected = sum(logs).argmax(1)
    assert (model.probabilities(features.values).argmax(1) == expected).mean() > 0.95


def test_the_same_bytes(several, tmp_path):
    dataset = open_dataset(write_photos(tmp_path / "more", 12))
    for folder in ("a", "b"):
        save_model(fit(dataset, several, FitSettings()).model, tmp_path / folder)
    assert [path.read_bytes() for path in files(tmp_path / "a")] == [
        path.read_bytes() for path in files(tmp_path / "b")
    ]


def test_one_image_a_class_gives_all_views_the_same_weight(several, new_photos, tmp_path):
    dataset = open_dataset(write_photos(tmp_path / "few", 1))
    trained = fit(dataset, several, FitSettings())
    assert trained.views == (None, WHOLE, LARGE)
    assert [one.weight for one in trained.model.members] == pytest.approx([1 / 3] * 3)
    assert {one.head for one in trained.model.members} == {"logistic"}
    assert trained.model.accuracy.value is None
    found = evaluate(trained.model, several, open_dataset(new_photos))
    assert found.correct.mean() > 0.8


@pytest.mark.parametrize(
    ("images", "head", "second"), [(2, "logistic", 0), (8, "logistic", 3), (8, "centroid", 0)]
)
def test_a_second_head_on_each_view(images, head, second, several, tmp_path, monkeypatch):
    tried = []

    def spy(found, *rest):
        tried.extend(found)
        return choose_members(found, *rest)

    monkeypatch.setattr(fitting, "choose_members", spy)
    dataset = open_dataset(write_photos(tmp_path / "photos", images))
    fit(dataset, several, FitSettings(head=head))
    views = [None, WHOLE, LARGE]
    assert [view for view, _ in tried] == views + views[:second]
    assert [one.head for _, one in tried] == [head] * 3 + ["discriminant"] * second


def test_members_of_the_first_view_come_first(monkeypatch):
    rng = np.random.default_rng(0)
    y, folds = np.arange(60) % 3, np.arange(60) // 3 % 3
    found = []
    for view in (None, WHOLE, None, WHOLE):
        shares = rng.random((60, 3)) + 0.5 * np.eye(3)[y]
        shares = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
        one = Selection(Candidate(("fine",), 0), 1.0, 1.0, 3, shares, fold_by_image=folds)
        found.append((view, one))
    monkeypatch.setattr(blended, "select_weights", lambda *_: np.array([0.0, 0.5, 0.2, 0.3]))
    monkeypatch.setattr(blended, "nested_weights", lambda logs, *_: logs[0])
    chosen = choose_members(found, y, np.ones(60, np.float32), None)
    assert [one.view for one in chosen.members] == [None, WHOLE, WHOLE]
    assert [one.weight for one in chosen.members] == [0.2, 0.5, 0.3]


def test_two_heads_on_one_view_share_its_features(trained, several, new_photos, tmp_path):
    model, (first, *_) = trained.model, trained.model.members
    arrays = model.head.members[0].tensors().values()
    logistic, discriminant = LinearHead(*arrays), DiscriminantHead(*arrays)
    twice = replace(
        model,
        members=tuple(
            replace(first, head=head, weight=0.5) for head in ("logistic", "discriminant")
        ),
        head=BlendedHead.of([logistic, discriminant], [1.0, 1.0], [0.5, 0.5]),
        novelty=None,
    )
    assert twice.stages == first.origin.stages * 2
    save_model(twice, tmp_path / "twice")
    loaded = load_model(tmp_path / "twice")
    assert isinstance(loaded.head, BlendedHead)
    assert list(map(type, loaded.head.members)) == [LinearHead, DiscriminantHead]
    own = several.only([trained.views[0], trained.views[0]])
    assert own.others == {}
    found = predict(loaded, own, files(new_photos)).probabilities
    alone = predict(replace(model, members=(), head=logistic), own, files(new_photos))
    np.testing.assert_array_equal(found.argmax(1), alone.probabilities.argmax(1))


def test_damaged_members(trained, tmp_path):
    for members in (trained.model.members[:1], (*trained.model.members, trained.model.members[0])):
        changed = tuple(replace(one, weight=1 / len(members)) for one in members)
        save_model(replace(trained.model, members=changed), tmp_path / "model")
        with pytest.raises(SavedModelError, match="does not fit"):
            load_model(tmp_path / "model")


def test_members_whose_weights_are_wrong(trained, tmp_path):
    folder, members = tmp_path / "model", trained.model.members
    save_model(trained.model, folder)
    manifest = (folder / MANIFEST).read_text()
    written = f'"weight": {json.loads(manifest)["members"][0]["weight"]}'
    assert written in manifest
    for weight, words in (
        ("0.001", "the weights of its members sum to 0"),
        ("-0.5", "'members.0.weight' is -0.5"),
        ("NaN", "'members.0.weight' is nan"),
        ("1.5", "'members.0.weight' is 1.5"),
    ):
        (folder / MANIFEST).write_text(manifest.replace(written, f'"weight": {weight}', 1))
        with pytest.raises(SavedModelError, match=f"damaged: {words}.*copy or fit"):
            load_model(folder)
    swapped = [replace(one, weight=share) for one, share in zip(members, (0.7, 0.3), strict=False)]
    rest = [replace(one, weight=1e-9) for one in members[2:]]
    save_model(replace(trained.model, members=(*swapped, *rest)), folder)
    with pytest.raises(SavedModelError, match="the members have other weights"):
        load_model(folder)


def test_a_further_member_whose_stages_do_not_fit_its_head(trained, tiny):
    model, backbone = trained.model, tiny(size=48).backbone
    first, second, *others = model.members
    build_model_extractor(model, backbone=backbone)
    for stages in ((*second.origin.stages, "logits"), ("logits",), ("x",)):
        changed = replace(second, origin=replace(second.origin, stages=stages))
        damaged = replace(model, members=(first, changed, *others))
        with pytest.raises(SavedModelError, match="do not fit its head and tiny"):
            build_model_extractor(damaged, backbone=backbone)


def test_members_of_a_view_are_side_by_side(trained, tmp_path):
    model = trained.model
    parts = list(zip(model.members, model.head.members, strict=True))
    mixed = [*parts[:2], parts[0]]

    def of(members):
        heads = [head for _, head in members]
        return replace(
            model,
            members=tuple(replace(one, weight=1 / len(heads)) for one, _ in members),
            head=BlendedHead.of(heads, [1.0] * len(heads), [1 / len(heads)] * len(heads)),
        )

    save_model(of([parts[0], *parts[:2]]), tmp_path / "model")
    load_model(tmp_path / "model")
    for damaged in (of(mixed), of(parts[::-1])):
        save_model(damaged, tmp_path / "model")
        with pytest.raises(SavedModelError, match="does not fit"):
            load_model(tmp_path / "model")


def test_stages_of_one_view_only(several, tmp_path):
    dataset = open_dataset(write_photos(tmp_path / "more", 4))
    with pytest.raises(UserError, match="stages fine are of one view"):
        fit(dataset, several, FitSettings(stages=("fine",)))


def test_commands_that_need_gradients(trained, monkeypatch):
    check_differentiable(trained.model)
    monkeypatch.setattr(Frame, "differentiable", False)
    with pytest.raises(UserError, match=r"none lead through the view tiny@.*--quality fast"):
        check_differentiable(trained.model)


def test_plans(lite0, tiny):
    def names(quality, backbone):
        return [str(view) for view in planned_views(backbone, quality)]

    assert names(Quality.FAST, lite0) == []
    assert names(Quality.BALANCED, lite0) == ["efficientnet-lite0@352"]
    best = ["efficientnet-lite0@352", "efficientnet-lite2", "efficientnet-lite2@384"]
    assert names(Quality.BEST, lite0) == best
    large = [str(view) for view in planned_views(lite0, Quality.BEST, (1600, 1200))]
    assert large == [*best, "efficientnet-lite0@448-tiles", "efficientnet-lite2@512-tiles"]
    assert [str(view) for view in planned_views(lite0, Quality.BEST, (500, 375))] == best
    assert len(planned_views(lite0, Quality.BALANCED, (1600, 1200))) == 1
    assert names(Quality.BALANCED, replace(tiny().backbone, any_size=False)) == []
    assert names(Quality.BALANCED, tiny().backbone) == ["tiny@64"]
    fixed = replace(tiny().backbone, any_size=False)
    assert names(Quality.BEST, fixed) == best[1:]


def test_best_climbs_the_ladder_only_with_downloads(tiny, monkeypatch):
    loaded = []

    def load(name, *, allow_download):
        loaded.append((name, allow_download))
        if "11m" in name or not allow_download:
            raise DownloadError("the Hub did not answer")
        return replace(tiny().backbone, name=name)

    monkeypatch.setattr(quality, "load_backbone", load)
    monkeypatch.setattr(quality, "weights_file", lambda name: None)
    with_quality(tiny(), Quality.BEST)
    with pytest.raises(UserError, match="add --quality best"):
        with_quality(tiny(), Quality.BALANCED, allow_download=True)
    assert loaded == []
    found = with_quality(tiny(), Quality.BEST, allow_download=True)
    wanted = [View.parse(rung.name) for rung in ladder() if rung.climbed]
    # After the first failure, the others are only looked for on this machine.
    names = [view.backbone for view in wanted]
    assert loaded == [(name, place < 2) for place, name in enumerate(names)]
    assert list(found.others)[1:] == wanted[:1]
    (warning,) = found.warnings
    assert warning.startswith(f"not tried: {wanted[1]}, {wanted[2]}, ")
    assert "the Hub did not answer" in warning


def test_named_views(tiny):
    plain = tiny(size=48)
    found = with_quality(plain, Quality.FAST, ["tiny@32-whole", "tiny"])
    assert (found.view, list(found.others)) == (WHOLE, [View("tiny")])
    assert found.others[View("tiny")].backbone.preprocessing == plain.backbone.preprocessing
    assert with_quality(plain, Quality.FAST, ["tiny"]).view is None
    with pytest.raises(UserError, match="remove one of them"):
        with_quality(plain, Quality.BEST, ["tiny"])
    with pytest.raises(UserError, match="has a view twice"):
        with_quality(plain, Quality.FAST, ["tiny", "tiny"])
    with pytest.raises(BackboneError):
        with_quality(plain, Quality.FAST, ["tiny", "no-such-network"])


def test_named_views_have_the_names_of_the_networks_that_are_loaded(tiny, monkeypatch, tmp_path):
    def load(name, *, allow_code):
        return replace(tiny(digest="1" * 32).backbone, name=f"torchvision:{name}")

    with monkeypatch.context() as patched:
        patched.setattr(quality, "load_backbone", load)
        found = with_quality(tiny(), Quality.FAST, ["resnet18@64", "torchvision:resnet18", "tiny"])
        assert found.name == "torchvision:resnet18@64"
        assert list(map(str, found.others)) == ["torchvision:resnet18", "tiny"]
        with pytest.raises(UserError, match="has a view twice"):
            with_quality(tiny(), Quality.FAST, ["resnet18@64", "torchvision:resnet18@64"])
    file = write_tiny(tmp_path)
    own = build_extractor(str(file))
    monkeypatch.chdir(tmp_path)
    for name in (file, "net.onnx"):
        found = with_quality(own, Quality.FAST, [f"{name}@48", str(name)])
        assert (found.name, list(found.others)) == ("net.onnx@48", [View("net.onnx")])
        assert found.backbone.weights == own.backbone.weights
    (tmp_path / "other").mkdir()
    other = write_tiny(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match=r"two networks named net\.onnx"):
        with_quality(own, Quality.FAST, ["net.onnx", str(other)])
