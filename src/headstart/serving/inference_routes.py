"""The Open Inference Protocol, version 2, which clients of Triton, KServe and others speak."""

from __future__ import annotations

import asyncio
from importlib.metadata import version as package_version
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from headstart.models.answers import is_known
from headstart.serving.errors import RequestError
from headstart.serving.predictions import Predicted
from headstart.serving.replica import Replica
from headstart.serving.schemas import ALL_ERRORS, INFER_BODY, errors
from headstart.serving.service import service_of
from headstart.serving.tensors import INFERENCE_HEADER, read_request, write_response
from headstart.system.text import pluralize

router = APIRouter(tags=["Open Inference Protocol"])


@router.head("/v2/health/live", include_in_schema=False)
@router.get("/v2/health/live")
async def live() -> dict[str, bool]:
    """Report that the server is running."""
    return {"live": True}


@router.head("/v2/health/ready", include_in_schema=False)
@router.get("/v2/health/ready")
async def ready() -> dict[str, bool]:
    """Report that all models can answer; before that, requests wait for their answer."""
    return {"ready": True}


@router.get("/v2", responses=errors())
async def server() -> dict[str, Any]:
    """Describe the server."""
    return {
        "name": "headstart",
        "version": package_version("headstart"),
        "extensions": ["binary_tensor_data"],
    }


@router.get("/v2/models/{name}", responses=errors(404))
@router.get("/v2/models/{name}/versions/{version}", responses=errors(404))
async def metadata(request: Request, name: str, version: str | None = None) -> dict[str, Any]:
    """Describe the tensors of a model. Give one input: image files, or pixels of the same size."""
    replica = service_of(request).replica(name, version)
    classes = len(replica.model.classes)
    return {
        "name": name,
        "versions": [replica.version],
        "platform": "headstart",
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": [-1]},
            {"name": "pixels", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
        ],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]},
            {"name": "novelty", "datatype": "FP32", "shape": [-1]},
            {"name": "known", "datatype": "BOOL", "shape": [-1]},
        ],
        "parameters": {"classes": list(replica.model.classes)},
    }


@router.get("/v2/models/{name}/ready", responses=errors(404))
@router.get("/v2/models/{name}/versions/{version}/ready", responses=errors(404))
async def model_ready(request: Request, name: str, version: str | None = None) -> dict[str, Any]:
    """Report that a model can answer."""
    service_of(request).replica(name, version)
    return {"name": name, "ready": True}


@router.post("/v2/models/{name}/infer", responses=ALL_ERRORS, openapi_extra=INFER_BODY)
@router.post(
    "/v2/models/{name}/versions/{version}/infer", responses=ALL_ERRORS, openapi_extra=INFER_BODY
)
async def infer(request: Request, name: str, version: str | None = None) -> Response:
    """Predict image files (BYTES) or pixels (UINT8); tensors are JSON or binary.

    In JSON, image files are base64. Pixels are images of 8-bit RGB, [images, height, width, 3].
    """
    service = service_of(request)
    length = request.headers.get(INFERENCE_HEADER)
    if length is not None and not length.isdecimal():
        raise RequestError(400, f"{INFERENCE_HEADER} is not a number")
    with (
        service.admission.request(),
        service.admission.body() as reader,
        service.replica(name, version).use() as replica,
    ):
        body = await reader.read(request)
        wanted = await asyncio.to_thread(
            read_request, body.content, None if length is None else int(length)
        )
        most = service.settings.max_images
        if not 0 < len(wanted.images) <= most:
            raise RequestError(
                413 if wanted.images else 400,
                f"the request has {pluralize(len(wanted.images), 'image')}; send 1 to {most:,}",
            )
        found = await service.predict(name, replica, wanted.images)
    for row, one in enumerate(found):
        if one.answer is None:  # a tensor has no place for what is wrong with one of the images
            raise RequestError(422, f"image {row} cannot be read: {one.error}")
    head = {"model_name": name, "model_version": replica.version}
    if wanted.id is not None:
        head["id"] = wanted.id
    outputs = _outputs(replica, found, service.unknown)
    content, header_length = write_response(head, outputs, wanted)
    if header_length is None:
        return Response(content, media_type="application/json")
    return Response(
        content,
        media_type="application/octet-stream",
        headers={INFERENCE_HEADER: str(header_length)},
    )


def _outputs(
    replica: Replica, found: list[Predicted], unknown: float | None
) -> dict[str, tuple[str, np.ndarray]]:
    """Return the outputs of N images; without a test, there is neither novelty nor known."""
    answers = [one.answer for one in found if one.answer]
    p = np.stack([one.probabilities for one in answers])
    labels = np.array([replica.model.classes[row] for row in p.argmax(axis=1)])
    outputs = {"label": ("BYTES", labels), "probabilities": ("FP32", p)}
    known = [is_known(one.novelty, unknown) for one in answers]
    if all(one.novelty is not None for one in answers):
        outputs["novelty"] = ("FP32", np.array([one.novelty for one in answers], np.float32))
    if all(one is not None for one in known):
        outputs["known"] = ("BOOL", np.array(known))
    return outputs
