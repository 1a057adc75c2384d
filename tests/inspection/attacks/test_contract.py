"""What holds for every attack."""

import pytest
import torch

from headstart.inspection.attacks import (
    APGD,
    FGSM,
    PGD,
    Attack,
    AttackGoal,
    MinimumNorm,
    Norm,
    Threat,
)
from headstart.inspection.attacks.threat import l2
from tests.inspection.attacks.networks import convolutional, linear, pictures

pytestmark = pytest.mark.slow

ATTACKS: dict[str, Attack] = {
    "fgsm": FGSM(),
    "pgd": PGD(steps=12, restarts=2),
    "apgd": APGD(steps=12, restarts=2),
    "minimum-norm": MinimumNorm(steps=30),
}
THREATS = [
    Threat(Norm.LINF, 6 / 255),
    Threat(Norm.LINF, 2.5 / 255),
    Threat(Norm.L2, 1.0),
    Threat(Norm.LINF, 0.01, levels=None),
    Threat(Norm.L2, 0.5, levels=None),
]
combinations = pytest.mark.parametrize(
    ("name", "threat"),
    [
        (name, threat)
        for name in ATTACKS
        for threat in THREATS
        if name != "minimum-norm" or threat.norm is Norm.L2
    ],
    ids=str,
)


def goals(logits, x: torch.Tensor) -> list[AttackGoal]:
    out = logits(x)
    untargeted = AttackGoal.away(out.argmax(1), classes=out.shape[1])
    targeted = AttackGoal(torch.nn.functional.one_hot(out.argmin(1), out.shape[1]).bool())
    return [untargeted, targeted]


@combinations
def test_pictures_are_allowed_and_margins_are_true(name: str, threat: Threat):
    logits, x = convolutional(), pictures()
    for goal in goals(logits, x):
        before = x.clone()
        found = ATTACKS[name].run(logits, x, goal, threat)
        assert torch.equal(x, before)
        change = (found.pixels - x).double()
        length = change.abs().flatten(1).amax(1) if threat.norm is Norm.LINF else l2(change)
        assert (length <= threat.epsilon + 1e-6).all()
        assert found.pixels.min() >= 0
        assert found.pixels.max() <= 1
        if threat.levels:
            assert torch.equal(found.pixels, (found.pixels * 255).round() / 255)
        margins = goal.margin(logits(found.pixels))
        assert torch.allclose(found.margins, margins, atol=1e-4)
        assert (found.steps >= 1).all()
        if name != "minimum-norm":
            assert (margins >= goal.margin(logits(x)) - 1e-4).all()


@combinations
def test_the_same_seed_gives_the_same_picture(name: str, threat: Threat):
    logits, x = convolutional(), pictures()
    goal = goals(logits, x)[1]
    once, again = (ATTACKS[name].run(logits, x, goal, threat, seed=3) for _ in range(2))
    assert torch.equal(once.pixels, again.pixels)
    assert torch.equal(once.margins, again.margins)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_picture_is_attacked_on_its_own(name: str):
    logits, x = convolutional(), pictures()
    threat = Threat(Norm.L2, 0.6)
    goal = goals(logits, x)[0]
    together = ATTACKS[name].run(logits, x, goal, threat)
    # The first start is the picture itself; only the random ones depend on the batch.
    alone = ATTACKS[name].run(logits, x[:1], goal[torch.tensor([0])], threat)
    if together.margins[0] > 0 and together.steps[0] <= 12:
        assert torch.allclose(alone.pixels, together.pixels[:1], atol=1 / 255 + 1e-6)


@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_what_has_reached_the_goal_is_left_alone(name: str):
    logits, x = linear(), pictures(4, 6)
    goal = AttackGoal.away(logits(x).argmax(1), classes=4)
    reached = AttackGoal(~goal.wanted)  # their present class: nothing to do
    found = ATTACKS[name].run(logits, x, reached, Threat(Norm.LINF, 4 / 255))
    assert torch.equal(found.pixels, x)
    assert found.steps.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_confidence_asks_for_more(name: str):
    logits, x = linear(), pictures(3, 6)
    goal, threat = goals(logits, x)[0], Threat(Norm.LINF, 0.2, levels=None)
    weak = ATTACKS[name].run(logits, x, goal, threat)
    strong = ATTACKS[name].run(logits, x, goal, threat, confidence=2.0)
    assert (weak.margins > 0).all()
    assert (strong.margins >= 2).all()
    assert (strong.steps >= weak.steps).all()


@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd"])
def test_starts_where_it_is_told(name: str):
    logits, x = linear(), pictures(1, 6)
    goal, threat = goals(logits, x)[0], Threat(Norm.LINF, 0.2, levels=None)
    there = ATTACKS[name].run(logits, x, goal, threat).pixels
    found = ATTACKS[name].run(logits, x, goal, threat, start=there)
    assert torch.equal(found.pixels, there)
    assert found.steps.tolist() == [1]
