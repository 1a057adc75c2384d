import numpy as np
import pytest
import torch

from headstart.heads.differentiable import head_logits
from headstart.types import HeadKind
from tests.models.trained_models import features, make_model


@pytest.mark.parametrize("kind", list(HeadKind))
def test_gives_the_numbers_of_the_head(kind: HeadKind):
    head = make_model(kind).head
    X = np.concatenate(list(features().values()), axis=1).astype(np.float32)
    found = head_logits(head, torch.tensor(X)).numpy()
    np.testing.assert_allclose(found, head.logits(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", list(HeadKind))
def test_gradients_are_those_of_differences(kind: HeadKind):
    head = make_model(kind).head
    X = np.concatenate(list(features(2).values()), axis=1)
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: head_logits(head, x), (x,), eps=1e-6, atol=1e-4)


def test_of_another_head_there_is_no_formula():
    with pytest.raises(TypeError, match="no formula for object"):
        head_logits(object(), torch.zeros(1, 2))  # type: ignore[arg-type]
