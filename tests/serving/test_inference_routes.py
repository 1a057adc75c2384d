"""The Open Inference Protocol, spoken by a public client of it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from headstart.images.decode import decode
from headstart.models.prediction import Predictions
from headstart.serving.tensors import INFERENCE_HEADER
from tests.conftest import files
from tests.serving.conftest import Running

INFER = "/v2/models/textures/infer"


@pytest.fixture
def triton(run: Callable[..., Running]) -> Any:
    http = pytest.importorskip("tritonclient.http")
    client = http.InferenceServerClient(run().address)
    yield client
    client.close()


def test_health_and_metadata(triton: Any):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("textures")
    assert not triton.is_model_ready("cats")
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = triton.get_model_metadata("textures")
    assert [one["datatype"] for one in metadata["inputs"]] == ["BYTES", "UINT8"]
    (version,) = metadata["versions"]
    assert triton.is_model_ready("textures", version)
    assert not triton.is_model_ready("textures", "1")


@pytest.mark.parametrize("binary", [True, False])
def test_image_files(triton: Any, new_photos: Path, expected: Predictions, binary: bool):
    from tritonclient.http import InferInput, InferRequestedOutput

    contents = [one.read_bytes() for one in files(new_photos)[:6]]
    tensor = InferInput("image", [6], "BYTES")
    sent = contents if binary else [b64encode(one) for one in contents]
    tensor.set_data_from_numpy(np.array(sent, dtype=object), binary_data=binary)
    names = ("label", "probabilities", "novelty", "known")
    wanted = [InferRequestedOutput(name, binary_data=binary) for name in names]
    found = triton.infer("textures", [tensor], outputs=wanted, request_id="17")
    check(found, expected, 6)
    assert found.get_response()["id"] == "17"


@pytest.mark.parametrize("binary", [True, False])
def test_pixels(triton: Any, new_photos: Path, expected: Predictions, binary: bool):
    from tritonclient.http import InferInput

    row = next(row for row, path in enumerate(files(new_photos)) if path.suffix == ".png")
    pixels = np.asarray(decode(files(new_photos)[row]))[np.newaxis]
    tensor = InferInput("pixels", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels, binary_data=binary)
    found = triton.infer("textures", [tensor])  # all outputs, binary
    p = found.as_numpy("probabilities")
    np.testing.assert_allclose(p, expected.probabilities[row : row + 1], rtol=1e-5)


def check(found: Any, expected: Predictions, count: int) -> None:
    p = expected.probabilities[:count]
    np.testing.assert_allclose(found.as_numpy("probabilities"), p, rtol=1e-5)
    labels = [one.decode() if isinstance(one, bytes) else one for one in found.as_numpy("label")]
    assert labels == [expected.classes[row] for row in p.argmax(axis=1)]
    assert expected.novelty is not None
    np.testing.assert_allclose(found.as_numpy("novelty"), expected.novelty[:count], rtol=1e-6)
    np.testing.assert_array_equal(found.as_numpy("known"), expected.novelty[:count] > 0.05)


def tensor(**changed: Any) -> bytes:
    plain = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["aGVsbG8="]}
    return json.dumps({"inputs": [plain | changed]}).encode()


@pytest.mark.parametrize(
    ("status", "content", "headers"),
    [
        (400, b"{}", {}),
        (400, b"[]", {}),
        (400, b'{"inputs": [{}, {}]}', {}),
        (400, tensor(name="x"), {}),
        (400, tensor(shape=[2]), {}),
        (400, tensor(shape=[]), {}),
        (400, tensor(shape=[1] * 9), {}),
        (400, tensor(shape=[10**30]), {}),
        (400, tensor(shape=None), {}),
        (400, tensor(datatype="FP32"), {}),
        (400, tensor(data=None), {}),
        (400, tensor(data=[[[[["x"]]]]]), {}),
        (400, tensor(data=[], shape=[0]), {}),
        (413, tensor(data=["eA=="] * 9, shape=[9]), {}),
        (422, tensor(), {}),
        (422, tensor(data=["%"]), {}),
        (400, tensor(datatype="UINT8", shape=[1, 1, 1, 3], data=[1, 2, 256]), {}),
        (400, tensor(datatype="UINT8", shape=[1, 1, 1, 3], data=[1, 2, -1]), {}),
        (400, tensor(datatype="UINT8", shape=[1, 1, 1, 3], data=[1, 2, 0.5]), {}),
        (400, tensor(datatype="UINT8", shape=[1, 1, 1, 3], data=[1, [2], 3, 4]), {}),
        (400, tensor(datatype="UINT8", shape=[1, 1, 1, 3], data=[]), {}),
        (400, tensor(datatype="UINT8", shape=[1, 3], data=[1, 2, 3]), {}),
        (400, tensor(), {INFERENCE_HEADER: "x"}),
        (400, tensor(), {INFERENCE_HEADER: "100000"}),
        (400, tensor(parameters={"binary_data_size": 3}), {}),
        (400, tensor(parameters={"binary_data_size": 0}, shape=[1]), {}),
        (400, b"{" + b"[," * 3_000, {}),
    ],
)
def test_what_cannot_be_used_is_answered_in_words(
    client: TestClient, status: int, content: bytes, headers: dict[str, str]
):
    answer = client.post(INFER, content=content, headers=headers)
    assert answer.status_code == status
    assert 10 < len(answer.json()["error"]) < 400


def test_binary_data_that_end_early(client: TestClient):
    head = tensor(parameters={"binary_data_size": 6}, data=None)
    content = head + b"\x09\x00\x00\x00ab"
    answer = client.post(INFER, content=content, headers={INFERENCE_HEADER: str(len(head))})
    assert answer.status_code == 400
    assert "within an element" in answer.json()["error"]


def test_an_output_that_does_not_exist(client: TestClient, new_photos: Path):
    data = b64encode(files(new_photos)[0].read_bytes()).decode()
    document = json.loads(tensor(data=[data]))
    for outputs, message in (([{"name": "x"}], "choose from label"), ([{}], "no name")):
        answer = client.post(INFER, json=document | {"outputs": outputs})
        assert answer.status_code == 400
        assert message in answer.json()["error"]
