"""Heads and novelty in a graph, against the model's own arithmetic."""

from dataclasses import replace

import numpy as np
import pytest

from headstart.errors import UserError
from headstart.exporting.answers import check_head, write_answers
from headstart.heads.blend import BlendedHead
from headstart.heads.families import FAMILIES
from headstart.heads.logistic import LinearHead
from headstart.models.trained_model import Member
from tests.exporting.graphs import RUNTIMES, model_of, runner
from tests.heads.samples import blobs
from tests.models.trained_models import UNKNOWN, features, make_model, make_novelty

STAGES = {"fine": (np.float32, ["N", 3]), "coarse": (np.float32, ["N", 5])}


def blended():
    """Two heads side by side, on the same stages."""
    first, second = make_model("logistic"), make_model("knn", seed=3)
    head = BlendedHead.of([first.head, second.head], [0.8, 1.3], [0.7, 0.3])
    members = tuple(
        Member(origin=first.origin, head=one.head.kind, weight=weight, accuracy=UNKNOWN)
        for one, weight in ((first, 0.7), (second, 0.3))
    )
    return replace(first, head=head, members=members)


def answers(model, values, runtime):
    def write(fine, coarse):
        found = write_answers(model, {"fine": fine, "coarse": coarse})
        return [one for one in found if one is not None]

    return runner(model_of(STAGES, write), runtime)(values["fine"], values["coarse"])


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("kind", [*FAMILIES, "blended"])
def test_probabilities_and_labels(kind, runtime):
    model = blended() if kind == "blended" else make_model(kind)
    values = features()
    expected = model.probabilities(values)
    probabilities, labels = answers(model, values, runtime)
    np.testing.assert_allclose(probabilities, expected, atol=2e-5)
    assert labels.tolist() == expected.argmax(1).tolist()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("absent", [False, True])
def test_novelty(absent, runtime):
    novelty = make_novelty()
    if absent:
        gaussians = replace(novelty.detector.gaussians, present=np.array([True, False, True]))
        novelty = replace(novelty, detector=replace(novelty.detector, gaussians=gaussians))
    model = make_model(novelty=novelty)
    like, unlike = blobs(60, 8, 3, apart=3)[0], np.concatenate([*features(20).values()], axis=1)
    X = np.concatenate([like, unlike])
    values = {"fine": X[:, :3], "coarse": X[:, 3:]}
    expected = model.p_values(values)
    _, _, found, known = answers(model, values, runtime)
    # Rounding may exchange an image with one of the 60 that it is compared with.
    assert np.abs(found - expected).max() <= 1 / 61 + 1e-6
    assert np.abs(found - expected).mean() < 1e-3
    assert known.tolist() == (found > 0.05).tolist()
    assert 0 < known.sum() < len(known)


def test_a_head_of_the_users_own_cannot_be_written():
    class Own(LinearHead):
        kind = "own"

    own = Own(np.zeros((3, 8), np.float32), np.zeros(3, np.float32))

    with pytest.raises(UserError, match="'own' is not one of headstart's own"):
        check_head(own)
    with pytest.raises(UserError, match="with one of these heads"):
        check_head(BlendedHead.of([make_model().head, own], [1, 1], [0.5, 0.5]))
