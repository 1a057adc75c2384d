"""With the embedded network; what is reported is what the prediction path says of the file."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.backbones import Backbone
from headstart.backbones.staged import on_grid
from headstart.errors import BackboneError, DataError, UnreadableImageError, UserError
from headstart.inspection.ideal_image import _numbered, synthesize
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.inspection.synthesis.recipe import BEST, LESSON
from headstart.inspection.synthesis_target import ClassTarget, class_target, unit_target
from headstart.models.saved_model import load_model
from tests.conftest import picture

pytestmark = pytest.mark.slow

STAGE = "blocks.3"


@pytest.fixture(scope="module")
def network(lite0: Backbone) -> InspectedNetwork:
    return InspectedNetwork(lite0)


def short(recipe=BEST, steps: int = 4):
    changed = recipe.with_settings(steps=steps, tv=None)
    return dataclasses.replace(changed, settings=dataclasses.replace(changed.settings, further=0))


def test_the_lessons_picture_is_read_back_with_certainty(network: InspectedNetwork, tmp_path: Path):
    out = tmp_path / "new" / "zebra.png"
    recipe = LESSON.with_settings(steps=30, tv=None)
    (found,) = synthesize(network, [class_target(network, "Zebra")], recipe, out=out)
    assert found.label == "zebra"
    assert found.probability > 0.95
    read = network.predict([out])
    assert read.top(0, 1) == [("zebra", found.probability)]
    assert np.array_equal(np.asarray(Image.open(out)), found.pixels)
    assert found.pixels.shape == (224, 224, 3)


def test_best_makes_progress_and_a_larger_picture(network: InspectedNetwork, tmp_path: Path):
    target = class_target(network, "cat")
    before, after = (
        synthesize(network, [target], short(steps=steps), out=tmp_path / "a.png", size=256)[0]
        for steps in (1, 25)
    )
    assert after.pixels.shape == (256, 256, 3)
    assert after.probability > max(0.01, 10 * before.probability)


def test_several_pictures_get_files_of_their_own(network: InspectedNetwork, tmp_path: Path):
    targets = [class_target(network, name) for name in ("goldfish", "Siamese cat")]
    told: list[tuple[int, int]] = []
    found = synthesize(
        network,
        targets,
        short(steps=2),
        out=tmp_path / "all.png",
        seeds=[3, 4],
        progress=lambda *both: told.append(both),
    )
    assert [(one.target.name, one.seed) for one in found] == [
        *(("goldfish", 3), ("goldfish", 4), ("Siamese cat", 3), ("Siamese cat", 4))
    ]
    names = ["all-1-goldfish", "all-2-goldfish", "all-3-Siamese-cat", "all-4-Siamese-cat"]
    assert [one.path.stem for one in found] == names
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == names
    assert told == [(done, 8) for done in range(1, 9)]
    assert not np.array_equal(found[0].pixels, found[1].pixels)


def test_a_picture_does_not_depend_on_its_neighbors(network: InspectedNetwork, tmp_path: Path):
    target = class_target(network, "teapot")
    pair = synthesize(network, [target], short(), out=tmp_path / "pair.png", seeds=[0, 1])
    alone = synthesize(network, [target], short(), out=tmp_path / "alone.png", seeds=[1])
    assert pair[1].path.read_bytes() == alone[0].path.read_bytes()


@pytest.mark.parametrize("recipe", [BEST, LESSON])
def test_it_starts_at_a_picture(recipe, network: InspectedNetwork, tmp_path: Path):
    start = tmp_path / "start.jpg"
    picture("checks", 0).resize((300, 224)).save(start)
    target = class_target(network, "teapot")
    (found,) = synthesize(
        network, [target], short(recipe, 5), out=tmp_path / "a.png", start=start, frames=2, size=224
    )
    middle = np.asarray(Image.open(start).crop((38, 0, 262, 224)))
    difference = np.abs(found.pixels.astype(int) - middle)
    assert difference.mean() < 20
    assert difference.max() > 0
    assert found.animation == tmp_path / "a.webp"
    with Image.open(found.animation) as animation:
        assert animation.format == "WEBP"
        assert animation.size == (224, 224)


@pytest.mark.parametrize("at", [None, (3, 5)])
def test_a_channel_is_raised(at, network: InspectedNetwork, tmp_path: Path):
    target = unit_target(network, STAGE, 7, at)

    def strength(pixels: np.ndarray) -> float:
        batch = torch.tensor(pixels).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            maps = on_grid(network.differentiable.views[0].network.activations(batch)[STAGE])[0, 7]
        return float(maps.mean() if at is None else maps[at])

    recipe = short(LESSON.with_settings(steps=None, tv=0), 12)
    (found,) = synthesize(network, [target], recipe, out=tmp_path / "a.png", frames=2, size=224)
    with Image.open(tmp_path / "a.webp") as way:
        assert way.n_frames == 2  # type: ignore[attr-defined]
        first = np.asarray(way.convert("RGB"))
    assert strength(found.pixels) > strength(first) + 0.5
    # The most probable class is told, whatever it is.
    assert (found.label, found.probability) == network.predict([found.path]).top(0, 1)[0]


def test_names_of_channels(network: InspectedNetwork):
    assert unit_target(network, STAGE, 7).name == "blocks.3 channel 7"
    assert unit_target(network, STAGE, 7, (1, 2)).name == "blocks.3 channel 7 at 1,2"
    assert class_target(network, "SIAMESE cat") == ClassTarget("Siamese cat", (284,))
    assert class_target(network, "284") == ClassTarget("Siamese cat", (284,))
    assert class_target(network, "Cat") == ClassTarget("cat", tuple(range(281, 288)))


def test_what_the_network_does_not_have_is_refused(network: InspectedNetwork):
    with pytest.raises(DataError, match="did you mean 'zebra'"):
        class_target(network, "zebrra")
    with pytest.raises(BackboneError, match=r"no stage 'block\.3'; .*; did you mean blocks\.3\?"):
        unit_target(network, "block.3", 0)
    with pytest.raises(UserError, match="no channel 80; its channels are 0 to 79"):
        unit_target(network, STAGE, 80)
    with pytest.raises(UserError, match="no channel -1"):
        unit_target(network, STAGE, -1)
    with pytest.raises(UserError, match=r"no unit at 3,14; its rows are 0 to 13"):
        unit_target(network, STAGE, 0, (3, 14))


def test_the_start_is_a_picture_and_is_kept(network: InspectedNetwork, tmp_path: Path):
    target = class_target(network, "teapot")
    text = tmp_path / "a.jpg"
    text.write_text("words")
    with pytest.raises(UnreadableImageError, match=r"cannot use .*a\.jpg: not an image"):
        synthesize(network, [target], short(), out=tmp_path / "b.png", start=text)
    own = tmp_path / "own.png"
    picture("noise", 0).save(own)
    content = own.read_bytes()
    with pytest.raises(UserError, match="is the input image"):
        synthesize(network, [target], short(), out=own, start=own)
    assert own.read_bytes() == content


def test_a_models_class(lite0: Backbone, model: Path, tmp_path: Path):
    network = InspectedNetwork(lite0, load_model(model))
    target = class_target(network, "stripes")
    recipe = LESSON.with_settings(steps=25, tv=None)
    (found,) = synthesize(network, [target], recipe, out=tmp_path / "a.png")
    assert found.label == "stripes"
    assert found.probability > 0.9


def test_the_longest_names_are_written(tmp_path: Path):
    out = tmp_path / f"{'o' * 251}.png"
    targets = [ClassTarget(name="n" * 248, indices=(0,)), ClassTarget(name="cat", indices=(1,))]
    found = [_numbered(path, 1, one) for path in (out, tmp_path / "a.png") for one in targets]
    found += [_numbered(out, 2, targets[0])]
    for path in found:
        path.with_suffix(".webp").touch()
    assert found[3].name == "a-1-cat.png"
    assert len({path.name for path in found}) == 4  # only the number tells apart what is cut
