import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.inspection.attacks import AttackGoal
from tests.properties import examples


@examples(100)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_margin_and_objective_against_numpy(seed: int, classes: int):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(3, classes)) * 5
    targets = rng.choice(classes, size=rng.integers(1, classes), replace=False)
    others = np.setdiff1d(np.arange(classes), targets)
    goal = AttackGoal.targeted(targets.tolist(), classes=classes, images=3)
    x = torch.tensor(logits)
    margin = logits[:, targets].max(1) - logits[:, others].max(1)
    np.testing.assert_allclose(goal.margin(x).numpy(), margin)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    share = p[:, targets].sum(1)
    np.testing.assert_allclose(goal.objective(x).numpy(), np.log(share / p[:, others].sum(1)))
    assert ((goal.margin(x) > 0).numpy() == np.isin(logits.argmax(1), targets)).all()


def test_untargeted_wants_all_others():
    labels = torch.tensor([2, 0])
    goal = AttackGoal.untargeted(labels, classes=3)
    assert goal.wanted.tolist() == [[True, True, False], [False, True, True]]
    assert goal[torch.tensor([1])].wanted.tolist() == [[False, True, True]]
    assert goal[torch.tensor([True, False])].wanted.tolist() == [[True, True, False]]


def test_the_gradient_survives_certainty():
    """Cross-entropy's is 0 in float32 here."""
    logits = torch.tensor([[200.0, 0.0, 1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(
        AttackGoal.targeted([1], classes=3).objective(logits).sum(), logits
    )
    assert gradient[0, 0] == -1
    assert gradient[0, 1] == 1
