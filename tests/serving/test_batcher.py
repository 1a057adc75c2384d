"""Images of concurrent requests are predicted in batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from headstart.models.online_prediction import OnlinePredictions, PreparedImage
from headstart.serving import batcher
from headstart.serving.batcher import Answer, Batcher


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


class Slow:
    """A predictor of images that are numbers, which waits for a signal."""

    lanes = 1

    def __init__(self) -> None:
        self.go, self.batches = threading.Event(), []

    def next_batch(self, waiting: int) -> int:
        return 4 if waiting >= 4 else 1

    def predict(self, images: Any) -> OnlinePredictions:
        assert self.go.wait(10)
        self.batches.append(len(images))
        values = np.array([one.crops[None].ravel() for one in images], np.float32)
        if (values < 0).any():
            raise ValueError("a negative one")
        return OnlinePredictions(values, None)


def image(value: int) -> PreparedImage:
    return PreparedImage({None: np.array([[[[value]]]])})


def put(running: Batcher, value: int) -> Future[Answer]:
    future: Future[Answer] = Future()
    running.put(image(value), future)
    return future


class TestBatcher:
    def test_batches_grow_with_the_load_and_everything_is_done_at_the_end(self):
        predictor, seen = Slow(), []
        running = Batcher(predictor, on_batch=seen.append)
        first = put(running, 0)
        until(lambda: seen == [1])  # it did not wait for others
        others = [put(running, value) for value in range(1, 10)]
        running.close()
        predictor.go.set()
        values = [one.result(10).probabilities.item() for one in (first, *others)]
        assert values == list(range(10))
        assert seen == predictor.batches == [1, 4, 4, 1]
        running._threads[0].join(10)
        assert not running._threads[0].is_alive()

    def test_a_failure_is_told_and_the_lane_goes_on(self):
        predictor = Slow()
        predictor.go.set()
        running = Batcher(predictor, on_batch=lambda count: None)
        with pytest.raises(ValueError, match="negative"):
            put(running, -1).result(10)
        assert put(running, 5).result(10).probabilities.item() == 5
        running.close()

    def test_large_images_wait_before_they_are_put(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(batcher, "_HELD", 2 * image(0).nbytes)
        predictor, seen = Slow(), []
        running = Batcher(predictor, on_batch=seen.append)
        put(running, 0)
        until(lambda: seen == [1])
        waiting = [put(running, value) for value in (1, 2)]
        late: list[Future[Answer]] = []
        thread = threading.Thread(target=lambda: late.append(put(running, 3)))
        thread.start()
        time.sleep(0.05)
        assert not late
        predictor.go.set()
        thread.join(10)
        assert [one.result(10).probabilities.item() for one in (*waiting, *late)] == [1, 2, 3]
        running.close()

    def test_what_nobody_waits_for_is_not_predicted(self):
        predictor, seen = Slow(), []
        running = Batcher(predictor, on_batch=seen.append)
        first = put(running, 0)
        until(lambda: seen == [1])
        unwanted = [put(running, value) for value in range(1, 5)]
        last = put(running, 5)
        assert all(one.cancel() for one in unwanted)
        predictor.go.set()
        assert [one.result(10).probabilities.item() for one in (first, last)] == [0, 5]
        assert seen == [1, 1]
        running.close()

    def test_at_the_end_nobody_waits_forever(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(batcher, "_HELD", image(0).nbytes)
        predictor, seen = Slow(), []
        running = Batcher(predictor, on_batch=seen.append)
        put(running, 0)
        until(lambda: seen == [1])
        accepted, late = put(running, 1), Future[Answer]()
        thread = threading.Thread(target=running.put, args=(image(2), late), daemon=True)
        thread.start()
        running.close()
        thread.join(5)
        assert not thread.is_alive()
        assert late.cancelled()
        assert put(running, 3).cancelled()
        predictor.go.set()
        assert accepted.result(10).probabilities.item() == 1
