"""Models are replaced while they answer, and no request is lost."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.errors import SavedModelError
from headstart.models.online_prediction import OnlinePredictions, PreparedImage
from headstart.models.saved_model import load_model, save_model
from headstart.serving import lanes, service
from headstart.serving.lanes import Answer, Lanes
from headstart.serving.replica import Replica, ServedModel
from tests.conftest import files
from tests.models.saved_models import change
from tests.serving.conftest import Running


def ask(server: Running, content: bytes) -> tuple[int, bytes]:
    connection = HTTPConnection(server.host, server.port, timeout=10)
    connection.request("POST", "/v1/models/textures/predict", content)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_replaced(served: ServedModel, former: Replica) -> bool:
    return served.current is not former


def has_ended(replica: Replica) -> bool:
    return not any(one.is_alive() for one in replica._lanes._threads)


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy of the model that the test may change."""
    return Path(shutil.copytree(folder, tmp_path / "textures"))


def test_a_changed_folder_is_loaded_without_a_lost_request(
    run: Callable[..., Running], own: Path, new_photos: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service, "_LOOK_EVERY", 0.02)
    server = run(served=own)
    served = server.service.models["textures"]
    content = files(new_photos)[0].read_bytes()
    statuses: list[int] = []
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            statuses.append(ask(server, content)[0])

    clients = [threading.Thread(target=load) for _ in range(3)]
    for client in clients:
        client.start()
    versions = {served.current.version}
    model = load_model(own)
    for temperature in (1.5, 2.5):
        before = served.current
        save_model(replace(model, temperature=temperature), own)
        until(partial(is_replaced, served, before))
        versions.add(served.current.version)
        until(partial(has_ended, before))
    done.set()
    for client in clients:
        client.join()
    assert len(versions) == 3
    assert set(statuses) == {200}


def test_a_damaged_folder_changes_nothing(
    run: Callable[..., Running], own: Path, new_photos: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service, "_LOOK_EVERY", 0.02)
    server = run(served=own)
    served = server.service.models["textures"]
    content, before = files(new_photos)[0].read_bytes(), served.current
    refused = server.service.metrics.loads.labels("textures", "refused")
    change(own, temperature=-1)
    until(lambda: refused._value.get() == 1)
    shutil.rmtree(own)
    time.sleep(0.1)
    assert served.current is before
    assert ask(server, content)[0] == 200


def test_a_model_that_cannot_be_loaded_stops_the_start(folder: Path, tmp_path: Path):
    from tests.serving.conftest import serve

    with pytest.raises(SavedModelError, match="is not a folder"):
        serve(tmp_path / "none")


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


def put(lane: Lanes, value: int) -> Future[Answer]:
    future: Future[Answer] = Future()
    lane.put(image(value), future)
    return future


class TestLanes:
    def test_batches_grow_with_the_load_and_everything_is_done_at_the_end(self):
        predictor, seen = Slow(), []
        lane = Lanes(predictor, on_batch=seen.append)
        first = put(lane, 0)
        until(lambda: seen == [1])  # it did not wait for others
        others = [put(lane, value) for value in range(1, 10)]
        lane.close()
        predictor.go.set()
        values = [one.result(10).probabilities.item() for one in (first, *others)]
        assert values == list(range(10))
        assert seen == predictor.batches == [1, 4, 4, 1]
        lane._threads[0].join(10)
        assert not lane._threads[0].is_alive()

    def test_a_failure_is_told_and_the_lane_goes_on(self):
        predictor = Slow()
        predictor.go.set()
        lane = Lanes(predictor, on_batch=lambda count: None)
        with pytest.raises(ValueError, match="negative"):
            put(lane, -1).result(10)
        assert put(lane, 5).result(10).probabilities.item() == 5
        lane.close()

    def test_large_images_wait_before_they_are_put(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(lanes, "_HELD", 2 * image(0).nbytes)
        predictor, seen = Slow(), []
        lane = Lanes(predictor, on_batch=seen.append)
        put(lane, 0)
        until(lambda: seen == [1])
        waiting = [put(lane, value) for value in (1, 2)]
        late: list[Future[Answer]] = []
        thread = threading.Thread(target=lambda: late.append(put(lane, 3)))
        thread.start()
        time.sleep(0.05)
        assert not late
        predictor.go.set()
        thread.join(10)
        assert [one.result(10).probabilities.item() for one in (*waiting, *late)] == [1, 2, 3]
        lane.close()
