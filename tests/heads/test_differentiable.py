import numpy as np
import pytest
import torch

from headstart.heads.families import FAMILIES
from tests.models.trained_models import features, make_model


@pytest.mark.parametrize("kind", list(FAMILIES))
def test_gives_the_numbers_of_the_head(kind: str):
    head = make_model(kind).head
    X = np.concatenate(list(features().values()), axis=1).astype(np.float32)
    found = head.torch_logits(torch.tensor(X)).numpy()
    np.testing.assert_allclose(found, head.logits(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", list(FAMILIES))
def test_gradients_are_those_of_differences(kind: str):
    head = make_model(kind).head
    X = np.concatenate(list(features(2).values()), axis=1)
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(head.torch_logits, (x,), eps=1e-6, atol=1e-4)
