"""Models are replaced while they answer, and no request is lost."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import SavedModelError, UnreadableImageError
from headstart.models.online_prediction import PreparedImage
from headstart.models.saved_model import load_model, save_model
from headstart.models.trained_model import AccuracyEstimate
from headstart.serving import replica, service
from headstart.serving.replica import Replica, ServedModel
from headstart.serving.service import Service
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


def number_of_loads(server: Running, result: str) -> float:
    counted: float = server.service.metrics.loads.labels("textures", result)._value.get()
    return counted


def is_replaced(served: ServedModel, former: Replica) -> bool:
    return served.current is not former


def has_ended(former: Replica) -> bool:
    return not any(one.is_alive() for one in former._batcher._threads)


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
        # A slow save may be loaded twice: the card is written after what is answered with.
        until(lambda: served.current.version not in versions)
        versions.add(served.current.version)
        until(partial(has_ended, before))
    done.set()
    for client in clients:
        client.join()
    assert set(statuses) == {200}


def test_a_damaged_folder_changes_nothing(
    run: Callable[..., Running],
    own: Path,
    new_photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(service, "_LOOK_EVERY", 0.02)
    server = run(served=own)
    served = server.service.models["textures"]
    content, before = files(new_photos)[0].read_bytes(), served.current
    refused = server.service.metrics.loads.labels("textures", "refused")
    change(own, temperature=-1)
    until(lambda: refused._value.get() == 1)
    monkeypatch.setattr(logging.getLogger("headstart.serving"), "propagate", True)
    shutil.rmtree(own)
    until(lambda: served.is_missing)
    time.sleep(0.1)
    assert served.current is before
    assert ask(server, content)[0] == 200
    assert caplog.text.count("the folder of model textures is gone") == 1


def test_a_model_for_which_memory_lacks_is_tried_again(
    run: Callable[..., Running], own: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service, "_LOOK_EVERY", 0.02)
    monkeypatch.setattr(service, "_TRY_EVERY", 0.1)
    server = run(served=own)
    served = server.service.models["textures"]
    before = served.current

    def fail(*arguments: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(replica, "load_model", fail)
        change(own, temperature=2.0)
        until(lambda: number_of_loads(server, "refused") >= 2)
    until(lambda: is_replaced(served, before))
    assert served.current.model.temperature == 2


def test_a_model_that_cannot_be_loaded_stops_the_start(folder: Path, tmp_path: Path):
    from tests.serving.conftest import serve

    with pytest.raises(SavedModelError, match="is not a folder"):
        serve(tmp_path / "none")


def test_a_model_is_loaded_when_it_is_there_completely(
    run: Callable[..., Running], own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service, "_LOOK_EVERY", 0.02)
    server = run(served=own)
    served = server.service.models["textures"]
    before = served.current
    new = Path(shutil.copytree(own, tmp_path / "new"))
    change(new, temperature=2.0)
    (arrays,) = own.glob("*.safetensors")
    own.rename(tmp_path / "old")
    own.mkdir()
    time.sleep(0.1)
    shutil.copy(new / "model.json", own)
    until(lambda: number_of_loads(server, "refused") >= 1)
    assert served.current is before
    shutil.copy(new / arrays.name, own)
    until(lambda: is_replaced(served, before))
    assert served.current.model.temperature == 2


def test_no_failure_ends_the_watch(
    run: Callable[..., Running], own: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service, "_LOOK_EVERY", 0.02)
    server = run(served=own)
    served = server.service.models["textures"]
    before = served.current

    def fail(*arguments: object) -> None:
        raise RuntimeError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(replica, "load_model", fail)
        change(own, temperature=2.0)
        until(lambda: number_of_loads(server, "refused") == 1)
    change(own, temperature=3.0)
    until(lambda: is_replaced(served, before))
    last = served.current
    server.close()
    assert has_ended(last)


def test_the_version_is_of_everything_that_answers(folder: Path):
    model = load_model(folder)
    assert model.novelty is not None
    detector = model.novelty.detector
    other = replace(detector, temperature=2 * detector.temperature)
    changed = [
        replace(model, tail={"weight": np.ones(1, np.float32)}),
        replace(model, novelty=replace(model.novelty, detector=other)),
        replace(model, temperature=2 * model.temperature),
    ]
    assert len({model.digest, *(one.digest for one in changed)}) == 4
    same = replace(model, accuracy=AccuracyEstimate.unknown())
    assert same.digest == model.digest


def test_an_image_that_nobody_waits_for_is_not_decoded(
    service: Service, new_photos: Path, monkeypatch: pytest.MonkeyPatch
):
    served = service.replica("textures")
    content, started, go = files(new_photos)[0].read_bytes(), threading.Event(), threading.Event()
    plain, decoded = served._predictor.prepare, []

    def prepare(one: bytes) -> PreparedImage:
        started.set()
        assert go.wait(10)
        decoded.append(one)
        return plain(one)

    monkeypatch.setattr(served._predictor, "prepare", prepare)
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(service._decoders, "small", pool)
        first = served.predict(content)
        assert started.wait(10)
        second, third = served.predict(content), served.predict(b"none")
        assert first.cancel()  # also while it is decoded
        assert second.cancel()
        go.set()
        with pytest.raises(UnreadableImageError):
            third.result(10)
    assert decoded == [content, b"none"]
