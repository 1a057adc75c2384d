import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.inspection.attacks import Norm, Threat
from headstart.inspection.attacks.threat import l2
from tests.inspection.attacks.networks import pictures
from tests.properties import examples

threats = st.builds(
    Threat, st.sampled_from(list(Norm)), st.floats(1 / 255, 3.0), st.sampled_from([255, None])
)


def inside(pixels: torch.Tensor, originals: torch.Tensor, threat: Threat) -> bool:
    change = (pixels - originals).double()
    length = change.abs().flatten(1).amax(1) if threat.norm is Norm.LINF else l2(change)
    in_range = bool((pixels >= 0).all() and (pixels <= 1).all())
    return in_range and bool((length <= threat.epsilon * (1 + 1e-5) + 1e-6).all())


@examples(100)
@given(threats, st.integers(0, 1000), st.floats(0.01, 10))
def test_what_comes_out_is_allowed(threat: Threat, seed: int, size: float):
    originals = pictures(2, 4, seed)
    noise = torch.randn(originals.shape, generator=torch.Generator().manual_seed(seed))
    projected = threat.project(originals + size * noise, originals)
    assert inside(projected, originals, threat)
    rounded = threat.quantize(projected, originals)
    assert inside(rounded, originals, threat)
    if threat.levels:
        assert torch.equal(rounded, (rounded * 255).round() / 255)
    drawn = threat.sample(originals, torch.Generator().manual_seed(seed))
    assert inside(drawn, originals, threat)
    assert not torch.equal(drawn, originals)


@examples(100)
@given(threats, st.integers(0, 1000))
def test_what_is_allowed_stays(threat: Threat, seed: int):
    originals = pictures(2, 4, seed)
    assert torch.equal(threat.project(originals, originals), originals)
    assert torch.equal(threat.quantize(originals, originals), originals)


@pytest.mark.parametrize("epsilon", [k / 255 for k in (1, 2, 3, 4, 7, 8, 16, 254)])
def test_whole_levels_are_used_to_the_full(epsilon: float):
    """4/255 is less than four levels in binary; an attack must get all four."""
    originals = torch.full((1, 3, 2, 2), 0.0)
    threat = Threat(Norm.LINF, epsilon)
    rounded = threat.quantize(threat.project(originals + 1, originals), originals)
    assert (rounded * 255).round().unique().tolist() == [round(epsilon * 255)]


def test_between_two_levels_the_smaller_counts():
    originals = torch.full((1, 3, 2, 2), 0.2)
    rounded = Threat(Norm.LINF, 1.9 / 255).quantize(originals + 1.9 / 255, originals)
    assert ((rounded - originals) * 255).round().unique().tolist() == [1]


@pytest.mark.parametrize("norm", list(Norm))
def test_the_steepest_change_beats_any_other_of_its_length(norm: Norm):
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(1, 3, 4, 4, generator=generator)
    best = (Threat(norm, 1.0).steepest(gradient) * gradient).sum()
    for _ in range(50):
        other = torch.randn(1, 3, 4, 4, generator=generator)
        other = other / (other.abs().max() if norm is Norm.LINF else l2(other))
        assert (other * gradient).sum() <= best + 1e-5
    assert not Threat(norm, 1.0).steepest(torch.zeros(1, 3, 2, 2)).any()
