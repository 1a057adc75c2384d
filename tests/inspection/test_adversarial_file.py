from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.backbones import Backbone
from headstart.errors import DataError, HeadstartError, UnreadableImageError, UserError
from headstart.images.decode import decode
from headstart.inspection.adversarial_file import attack_file, largest_epsilon
from headstart.inspection.attacks import APGD, FGSM, PGD, Attack, MinimumNorm, Norm, Threat
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.models.saved_model import load_model

pytestmark = pytest.mark.slow

FOUR, EIGHT = Threat(Norm.LINF, 4 / 255), Threat(Norm.LINF, 8 / 255)


@pytest.fixture(scope="session")
def lite_network(lite0: Backbone) -> InspectedNetwork:
    return InspectedNetwork(lite0)


@pytest.mark.parametrize("attack", [APGD(steps=40), PGD(steps=40)])
def test_a_cat_becomes_a_dog(
    lite_network: InspectedNetwork, cat: Path, tmp_path: Path, attack: Attack
):
    out = tmp_path / "adversarial.png"
    found = attack_file(lite_network, cat, out=out, to="dog", attack=attack, threat=FOUR)
    assert found.success
    again = lite_network.predict([out]).top(0, 1)[0]
    assert again == (found.after.label, found.after.probability)
    assert found.after.label in lite_network.differentiable.classes[151:269]
    original, saved = np.asarray(decode(cat)), np.asarray(decode(out))
    assert saved.shape == original.shape
    change = np.abs(saved.astype(int) - original)
    assert change.max() <= 4
    assert found.linf == pytest.approx(change.max() / 255)
    assert found.l2 == pytest.approx(np.sqrt(np.square(change / 255).sum()))
    assert np.array_equal(found.pixels, saved)
    assert np.array_equal(found.original, original)


def test_it_goes_on_until_the_winner_has_the_probability(
    lite_network: InspectedNetwork, cat: Path, tmp_path: Path
):
    out, attack = tmp_path / "a.png", APGD(steps=30)
    least = 0.97
    found = attack_file(
        lite_network, cat, out=out, to=None, attack=attack, threat=FOUR, confidence=least
    )
    again = lite_network.predict([out]).top(0, 1)[0]
    assert found.success
    assert again.label != found.before.label
    assert again.probability >= least
    short = attack_file(
        lite_network, cat, out=out, to="zebra", attack=APGD(steps=3), confidence=0.999,
        threat=Threat(Norm.LINF, 1 / 255),
    )  # fmt: skip
    assert not short.success
    with pytest.raises(UserError, match="give a probability below 1"):
        attack_file(lite_network, cat, out=out, to=None, attack=attack, threat=FOUR, confidence=1.0)


def test_untargeted_and_one_step(lite_network: InspectedNetwork, cat: Path, tmp_path: Path):
    out = tmp_path / "adversarial.png"
    found = attack_file(lite_network, cat, out=out, to=None, attack=FGSM(), threat=FOUR)
    assert found.success
    assert found.after.label != found.before.label
    assert found.steps == 2


def test_the_smallest_change(lite_network: InspectedNetwork, cat: Path, tmp_path: Path):
    threat = Threat(Norm.L2, largest_epsilon(Norm.L2, cat))
    found = attack_file(
        lite_network, cat, out=tmp_path / "a.png", to="zebra", attack=MinimumNorm(steps=40),
        threat=threat,
    )  # fmt: skip
    assert found.success
    assert found.after.label == "zebra"
    assert found.l2 < 3  # 4/255 everywhere would be 10


def test_a_picture_that_survives_jpeg(lite_network: InspectedNetwork, cat: Path, tmp_path: Path):
    jpeg = tmp_path / "a.jpg"
    found = attack_file(
        lite_network, cat, out=tmp_path / "a.png", to="dog", attack=APGD(steps=60), threat=FOUR,
        jpeg=(jpeg, 90),
    )  # fmt: skip
    assert found.success
    assert found.jpeg is not None
    assert lite_network.predict([jpeg]).top(0, 1)[0][0] == found.jpeg.label
    assert found.jpeg.label in lite_network.differentiable.classes[151:269]
    with Image.open(jpeg) as image:
        assert image.format == "JPEG"


def test_a_model_is_attacked_in_its_own_classes(
    lite0: Backbone, model: Path, new_photos: Path, tmp_path: Path
):
    network = InspectedNetwork(lite0, load_model(model))
    image = new_photos / "checks" / "100.jpg"
    found = attack_file(
        network, image, out=tmp_path / "a.png", to="stripes", attack=APGD(steps=30), threat=EIGHT
    )
    assert found.before.label == "checks"
    assert found.success
    assert found.after.label == "stripes"


def test_failure_is_said(lite_network: InspectedNetwork, cat: Path, tmp_path: Path):
    found = attack_file(
        lite_network, cat, out=tmp_path / "a.png", to="airliner", attack=FGSM(),
        threat=Threat(Norm.LINF, 1 / 255),
    )  # fmt: skip
    assert not found.success
    assert found.after.label != "airliner"


def test_the_same_seed_gives_the_same_file(
    lite_network: InspectedNetwork, cat: Path, tmp_path: Path
):
    files = []
    for name in ("a.png", "b.png"):
        attack_file(
            lite_network, cat, out=tmp_path / name, to="dog", attack=PGD(steps=5, restarts=2),
            threat=FOUR, seed=4,
        )  # fmt: skip
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_mistakes_are_named(lite_network: InspectedNetwork, cat: Path, tmp_path: Path):
    def attack(image: Path, to: str | None, out: Path) -> None:
        attack_file(lite_network, image, out=out, to=to, attack=FGSM(), threat=FOUR)

    out = tmp_path / "a.png"
    with pytest.raises(DataError, match=r"already predicts .* for this image.*'cat'"):
        attack(cat, "cat", out)
    with pytest.raises(DataError, match="did you mean 'zebra'"):
        attack(cat, "zebbra", out)
    with pytest.raises(UserError, match="is the input image"):
        attack(cat, "dog", cat)
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(UnreadableImageError):
        attack(text, "dog", out)
    assert not out.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadstartError, match="cannot write"):
        attack(cat, "dog", tmp_path / "file" / "a.png")


def test_the_largest_epsilon(cat: Path):
    assert largest_epsilon(Norm.LINF, cat) == 1
    width, height = decode(cat).size
    assert largest_epsilon(Norm.L2, cat) == pytest.approx(np.sqrt(3 * width * height))
