import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD, AdamW

from headstart.finetuning.optimization import (
    build_optimizer,
    build_schedule,
    current_rate,
    rate_factor,
)
from headstart.finetuning.settings import Optimizer, Schedule, TuningSettings
from tests.finetuning.networks import STAGES, tuned_network
from tests.properties import examples

STEPS = st.integers(1, 400)
SHARE = st.floats(0, 0.9)
SCHEDULES = st.sampled_from(list(Schedule))


@examples(100)
@given(steps=STEPS, share=SHARE, schedule=SCHEDULES)
def test_the_rate_rises_and_then_falls_between_0_and_1(
    steps: int, share: float, schedule: Schedule
):
    rising = share * steps
    rates = [rate_factor(step, steps, rising, schedule) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    top = min(math.ceil(rising), steps)
    up, down = rates[:top], rates[top:]
    assert all(a < b for a, b in itertools.pairwise(up))
    assert all(a >= b for a, b in itertools.pairwise(down))


@examples(100)
@given(steps=st.integers(20, 400))
def test_a_cosine_ends_near_nothing_and_halves_in_the_middle(steps: int):
    assert rate_factor(0, steps, 0, Schedule.COSINE) == 1
    assert rate_factor(steps - 1, steps, 0, Schedule.COSINE) < 0.01
    assert rate_factor(steps, steps, 0, Schedule.COSINE) == pytest.approx(0, abs=1e-12)
    assert rate_factor(steps, 2 * steps, 0, Schedule.COSINE) == pytest.approx(0.5)


def test_steps_are_at_a_half_and_at_three_quarters():
    rates = [rate_factor(step, 100, 0, Schedule.STEP) for step in range(100)]
    assert rates == [1.0] * 50 + [0.1] * 25 + [0.01] * 25
    after = [rate_factor(step, 120, 20, Schedule.STEP) for step in range(20, 120)]
    assert after == rates


def test_constant_is_constant_after_the_warm_up():
    rates = [rate_factor(step, 10, 4, Schedule.CONSTANT) for step in range(10)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1, 1])


def groups(settings: TuningSettings, rate: float = 0.1) -> dict[str, dict]:
    network = tuned_network("stem")
    optimizer = build_optimizer(network, STAGES, settings, rate=rate)
    names = {id(one): name for name, one in network.named_parameters()}
    found = {names[id(one)]: g for g in optimizer.param_groups for one in g["params"]}
    assert found.keys() == set(names.values())
    return found


def test_each_stage_learns_at_a_share_of_the_next_ones_rate():
    found = groups(TuningSettings(rate_decay=0.5, head_rate=3.0))
    assert found["tail.graph.top.0.weight"]["lr"] == pytest.approx(0.1)
    assert found["tail.graph.top.1.bias"]["lr"] == pytest.approx(0.1)
    assert found["tail.graph.middle.0.weight"]["lr"] == pytest.approx(0.05)
    assert found["head.weight"]["lr"] == found["head.bias"]["lr"] == pytest.approx(0.3)


def test_the_rate_is_that_of_the_last_stage():
    settings = TuningSettings(rate_decay=0.5, head_rate=3.0)
    optimizer = build_optimizer(tuned_network("stem"), STAGES, settings, rate=0.1)
    assert current_rate(optimizer) == pytest.approx(0.1)


def test_only_filters_decay():
    found = groups(TuningSettings(weight_decay=0.03))
    assert {name for name, group in found.items() if group["weight_decay"]} == {
        "tail.graph.middle.0.weight",
        "tail.graph.top.0.weight",
    }
    assert found["tail.graph.top.0.weight"]["weight_decay"] == 0.03


def test_sgd_has_momentum_and_ten_times_the_rate():
    network = tuned_network("stem")
    adam = build_optimizer(network, STAGES, TuningSettings(), rate=0.1)
    sgd = build_optimizer(network, STAGES, TuningSettings(optimizer=Optimizer.SGD), rate=0.1)
    assert isinstance(adam, AdamW)
    assert isinstance(sgd, SGD)
    for one, other in zip(adam.param_groups, sgd.param_groups, strict=True):
        assert other["lr"] == pytest.approx(10 * one["lr"])
        assert other["momentum"] == 0.9
        assert other["nesterov"]


def test_the_schedule_moves_every_groups_own_rate():
    settings = TuningSettings(
        rate_decay=0.5, head_rate=1.0, warm_up=0.5, schedule=Schedule.CONSTANT
    )
    optimizer = build_optimizer(tuned_network("stem"), STAGES, settings, rate=0.1)
    whole = [group["lr"] for group in optimizer.param_groups]
    build_schedule(optimizer, settings, steps=6)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [one / 4 for one in whole]
    )
    again = build_optimizer(tuned_network("stem"), STAGES, settings, rate=0.1)
    build_schedule(again, settings, steps=6, done=3)
    assert [group["lr"] for group in again.param_groups] == pytest.approx(whole)


def test_parameters_between_stages_count_with_the_next_one():
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = torch.nn.ModuleList([torch.nn.Linear(1, 1) for _ in range(4)])
            self.norm = torch.nn.LayerNorm(1)

    network = torch.nn.Module()
    network.tail = torch.nn.Module()
    network.tail.graph = Odd()
    stages = ("features.0", "features.2", "features.3")
    optimizer = build_optimizer(network, stages, TuningSettings(rate_decay=0.1), rate=1.0)  # type: ignore[arg-type]
    names = {id(one): name for name, one in network.named_parameters()}
    rates = {names[id(g["params"][0])]: g["lr"] for g in optimizer.param_groups}
    assert [rates[f"tail.graph.features.{n}.weight"] for n in range(4)] == pytest.approx(
        [0.01, 0.1, 0.1, 1.0]
    )
    assert rates["tail.graph.norm.weight"] == 1.0
