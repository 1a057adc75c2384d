"""Training learns, stops, and goes on after any interruption as if there had been none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.backbones.cut import PIXELS
from headstart.finetuning.checkpoint import (
    Epoch,
    EpochCallback,
    Phase,
    TrainingState,
    read_checkpoint,
    write_checkpoint,
)
from headstart.finetuning.loop import TrainingLoop
from headstart.finetuning.settings import BatchNorm, Optimizer, Schedule, TuningSettings
from tests.finetuning.networks import STAGES, small_examples, tuned_network

pytestmark = pytest.mark.slow

QUICK = TuningSettings(
    epochs=4,
    views=2,
    batch=8,
    rate=0.01,
    warm_up=0.1,
    batch_norm=BatchNorm.FROZEN,
    averaging=0.5,
    patience=100,
    mixed_precision=False,
)
EXAMPLES = small_examples()
ROWS, VALIDATION = np.arange(18), np.arange(18, 24)


def loop(
    settings: TuningSettings = QUICK, *, checkpoint: Path | None = None, stage: str = "stem", **told
) -> TrainingLoop:
    examples = EXAMPLES if stage == "stem" else small_examples(stage=stage)
    network = tuned_network(stage, dropout=settings.dropout)
    return TrainingLoop(network, examples, STAGES, settings, checkpoint=checkpoint, **told)


def run(
    one: TrainingLoop,
    settings: TuningSettings = QUICK,
    *,
    phase: Phase = Phase.SEARCH,
    weights: dict[str, torch.Tensor] | None = None,
    **changed,
) -> TrainingState:
    closing = phase is Phase.CLOSING
    base = {
        "rows": np.arange(24) if closing else ROWS,
        "validation": VALIDATION[:0] if closing else VALIDATION,
        "epochs": settings.epochs,
        "rate": settings.rate,
    }
    return one.run(phase, weights or one.weights(), **{**base, **changed})


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def timeless(history: list[Epoch]) -> list[Epoch]:
    return [replace(row, seconds=0.0) for row in history]


def assert_equal(found: TrainingState, expected: TrainingState) -> None:
    assert same(found.best, expected.best)
    assert same(found.average, expected.average)
    assert timeless(found.history) == timeless(expected.history)


def into(told: list[Epoch]) -> EpochCallback:
    """A callback that keeps the epochs."""
    return lambda row, last: told.append(row)


def test_the_loss_falls_and_the_history_says_so():
    settings = replace(QUICK, epochs=25, rate=0.03)
    told: list[Epoch] = []
    steps: list[tuple[int, ...]] = []
    one = loop(
        settings,
        on_epoch=into(told),
        on_steps=lambda *now: steps.append(now),
    )
    found = run(one, settings)
    assert told == found.history
    assert [row.epoch for row in told] == list(range(1, 26))
    assert steps == [(epoch, 25, done, 3) for epoch in range(1, 26) for done in range(4)]
    assert told[-1].loss < 0.5 * told[0].loss
    assert all(0 <= row.accuracy <= 1 and row.seconds > 0 for row in told)
    assert all(row.phase is Phase.SEARCH for row in told)
    assert found.lowest_loss == min(row.validation_loss for row in told)
    result = one.evaluate(found.best, VALIDATION)
    best = min(told, key=lambda row: row.validation_loss)
    assert (result.loss, result.accuracy) == (best.validation_loss, best.validation_accuracy)


def test_the_rate_in_the_history_is_the_last_stages():
    settings = replace(QUICK, rate_decay=0.1, warm_up=0.0, schedule=Schedule.CONSTANT, epochs=1)
    (row,) = run(loop(settings), settings).history
    assert row.rate == pytest.approx(settings.rate)


def test_the_same_seed_gives_the_same_weights_and_another_others():
    assert_equal(run(loop()), run(loop()))
    other = replace(QUICK, seed=1)
    assert not same(run(loop(other), other).average, run(loop()).average)


@pytest.mark.parametrize("optimizer", list(Optimizer))
@pytest.mark.parametrize("kind", [BatchNorm.FROZEN, BatchNorm.UPDATED])
def test_a_run_stopped_after_any_epoch_or_within_one_ends_the_same(
    optimizer: Optimizer, kind: BatchNorm, tmp_path: Path
):
    settings = replace(
        QUICK, optimizer=optimizer, batch_norm=kind, dropout=0.2, mixup=0.3, cutmix=0.5, epochs=3
    )
    expected = run(loop(settings), settings)
    for stop in range(1, 9):
        count = 0

        def interrupt(epoch: int, last: int, done: int, total: int, stop: int = stop) -> None:
            nonlocal count
            count += done > 0
            if count == stop:
                raise KeyboardInterrupt

        folder = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            run(loop(settings, checkpoint=folder, on_steps=interrupt), settings)
        told: list[Epoch] = []
        found = run(loop(settings, checkpoint=folder, on_epoch=into(told)), settings)
        assert_equal(found, expected)
        assert len(told) == 3 - (stop - 1) // 3  # 3 steps an epoch: what was done is not redone


def test_a_run_stopped_by_its_watcher_ends_the_same(tmp_path: Path):
    def stop(row: Epoch, last: int) -> None:
        assert last == QUICK.epochs
        if row.epoch == 2:
            raise KeyboardInterrupt

    expected = run(loop())
    with pytest.raises(KeyboardInterrupt):
        run(loop(checkpoint=tmp_path, on_epoch=stop))
    assert_equal(run(loop(checkpoint=tmp_path)), expected)
    # Done is done.
    told: list[Epoch] = []
    assert_equal(run(loop(checkpoint=tmp_path, on_epoch=into(told))), expected)
    assert not told


def test_the_closing_phase_trains_on_everything_and_goes_on_counting(tmp_path: Path):
    one = loop(checkpoint=tmp_path)
    search = run(one)
    closing = {"phase": Phase.CLOSING, "weights": search.best, "epochs": 2, "first_epoch": 5}
    closed = run(one, **closing)
    assert [row.epoch for row in (*search.history, *closed.history)] == [1, 2, 3, 4, 5, 6]
    assert [row.validation_loss for row in closed.history] == [None, None]
    assert same(closed.best, closed.average)
    assert_equal(run(loop(checkpoint=tmp_path), **closing), closed)


@pytest.mark.parametrize("damage", ["cut short", "empty", "other bytes"])
def test_a_damaged_checkpoint_is_ignored(damage: str, tmp_path: Path):
    expected = run(loop(checkpoint=tmp_path))
    file = tmp_path / "search.safetensors"
    content = file.read_bytes()
    file.write_bytes({"cut short": content[:-7], "empty": b"", "other bytes": b"x" * 100}[damage])
    told: list[Epoch] = []
    assert_equal(run(loop(checkpoint=tmp_path, on_epoch=into(told))), expected)
    assert len(told) == 4


def test_a_checkpoint_comes_back_and_an_older_one_survives_a_failed_write(tmp_path: Path):
    path = tmp_path / "deep" / "one.safetensors"
    write_checkpoint(path, {"a": torch.arange(6.0).view(2, 3).T}, {"epoch": 3})
    tensors, facts = read_checkpoint(path)
    assert tensors["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert facts == {"epoch": 3}
    assert read_checkpoint(tmp_path / "none") is None
    with pytest.raises(TypeError):
        write_checkpoint(path, {}, {"epoch": object()})
    assert read_checkpoint(path)[1] == {"epoch": 3}


def test_without_progress_it_stops_early():
    settings = replace(QUICK, rate=1e-8, patience=2, epochs=50)
    found = run(loop(settings), settings)
    assert 2 < len(found.history) < 50
    assert found.epochs_since_best == 2
    best = min(found.history, key=lambda row: row.validation_loss)
    assert best.epoch == len(found.history) - 2


def test_without_averaging_the_last_weights_count():
    settings = replace(QUICK, averaging=0.0, epochs=2)
    one = loop(settings)
    found = run(one, settings)
    assert same(found.average, dict(one.network.state_dict()))
    averaged = loop()
    assert not same(run(averaged).average, dict(averaged.network.state_dict()))


@pytest.mark.parametrize("stage", [PIXELS, "stem"])
def test_all_tricks_work_together(stage: str):
    settings = replace(
        QUICK, mixup=0.4, cutmix=1.0, smoothing=0.1, dropout=0.3, clip=0.1, rate_decay=0.7,
        mixed_precision=True, epochs=2, batch_norm=BatchNorm.UPDATED,
    )  # fmt: skip
    one = loop(settings, stage=stage)
    found = run(one, settings)
    assert all(np.isfinite([row.loss, row.validation_loss]).all() for row in found.history)
    assert all(value.dtype is not torch.bfloat16 for value in found.best.values())
    before = loop(settings, stage=stage).weights()
    changed = {name for name in before if not torch.equal(before[name], found.best[name])}
    assert {"head.weight", "tail.graph.top.0.weight", "tail.graph.top.1.running_mean"} <= changed
    assert ("tail.graph.stem.0.weight" in changed) == (stage == PIXELS)


def test_frozen_moments_stay_and_updated_ones_follow():
    for kind in (BatchNorm.FROZEN, BatchNorm.UPDATED):
        settings = replace(QUICK, batch_norm=kind, epochs=1)
        one = loop(settings)
        before = one.weights()["tail.graph.top.1.running_mean"]
        found = run(one, settings).average["tail.graph.top.1.running_mean"]
        assert torch.equal(before, found) == (kind is BatchNorm.FROZEN)


def test_an_absurd_rate_leaves_the_best_weights_finite():
    settings = replace(QUICK, rate=10.0, optimizer=Optimizer.SGD, clip=1e6)
    found = run(loop(settings), settings)
    assert all(torch.isfinite(value).all() for value in found.best.values())
    assert len(found.history) < QUICK.epochs or np.isfinite(found.history[-1].loss)
    closed = loop(settings)
    result = run(
        closed, settings, rows=np.arange(24), validation=VALIDATION[:0], phase=Phase.CLOSING
    )
    assert all(torch.isfinite(value).all() for value in result.best.values())


@pytest.mark.parametrize("longest", [1e-3, 0.05, 1e6])
def test_a_gradient_is_shortened_and_never_lengthened(longest: float):
    def gradient(settings: TuningSettings) -> torch.Tensor:
        one = loop(settings)
        run(one, settings, rows=ROWS[: settings.batch])  # a single step, so nothing else differs
        return torch.cat([p.grad.flatten() for p in one.network.parameters()])

    settings = replace(QUICK, epochs=1, clip=1e6)
    plain, clipped = gradient(settings), gradient(replace(settings, clip=longest))
    assert float(plain.norm()) > 0.05
    assert float(clipped.norm()) == pytest.approx(min(longest, float(plain.norm())), rel=1e-4)
    assert torch.allclose(clipped / clipped.norm(), plain / plain.norm(), atol=1e-5)
