"""The server's own interface: /v1/models, and images to /v1/models/NAME/predict."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from headstart.serving.admission import Body
from headstart.serving.errors import RequestError
from headstart.serving.explanations import Drawing, Method
from headstart.serving.parameters import refuse_unknown_parameters
from headstart.serving.predictions import Predicted
from headstart.serving.replica import Replica
from headstart.serving.request_images import SentImage, images_of
from headstart.serving.schemas import (
    ALL_ERRORS,
    PREDICT_BODY,
    Baseline,
    ErrorAnswer,
    ModelDescription,
    Models,
    ModelSummary,
    Predictions,
    errors,
)
from headstart.serving.service import Service, service_of

_SMALL = 256 * 1024
"""Bytes of a form or of JSON that are read at once, without a thread."""

router = APIRouter(tags=["headstart"], dependencies=[Depends(refuse_unknown_parameters)])


@router.head("/v1/models", include_in_schema=False)
@router.get("/v1/models", responses=errors())
async def models(request: Request) -> Models:
    """List the models."""
    served = service_of(request).models
    return Models(models=[_summary(one.name, one.current) for one in served.values()])


@router.head("/v1/models/{name}", include_in_schema=False)
@router.get("/v1/models/{name}", responses=errors(404))
async def model(request: Request, name: str) -> ModelDescription:
    """Describe a model: its card, classes, accuracy and limits."""
    replica = service_of(request).replica(name)
    return ModelDescription(
        **_summary(name, replica).model_dump(),
        card=replica.card,
        description=replica.description,
        explain=Method.of(replica),
    )


def _summary(name: str, replica: Replica) -> ModelSummary:
    found = replica.model
    interval, (label, share) = found.accuracy.interval, found.baseline
    return ModelSummary(
        name=name,
        version=replica.version,
        classes=list(found.classes),
        accuracy=found.accuracy.value,
        interval=(interval.low, interval.high) if interval else None,
        baseline=Baseline(label=label, accuracy=share),
    )


@router.post(
    "/v1/models/{name}/predict",
    response_model=Predictions,
    responses={
        **ALL_ERRORS,
        200: {"content": {"image/png": {}}, "description": "Predictions, or an explanation."},
        422: {
            "model": Predictions | ErrorAnswer,
            "description": "No image could be read, or a parameter is wrong.",
        },
        501: {"model": ErrorAnswer},
    },
    openapi_extra=PREDICT_BODY,
)
async def predict(
    request: Request,
    name: str,
    top: Annotated[int, Query(ge=1, le=10_000, description="Number of classes.")] = 5,
    explain: Annotated[
        Method | None,
        Query(
            description="Also draw what the prediction depends on: a map of colors, or, of a model "
            "that sees images in tiles, the places that decided. With 'Accept: image/png', the "
            "drawing of a single image is the answer."
        ),
    ] = None,
) -> Response:
    """Predict the classes of images. An image that cannot be read does not affect the others."""
    service = service_of(request)
    with (
        service.admission.request(),
        service.admission.body() as reader,
        service.replica(name).use() as replica,
    ):
        if explain is not None:
            _check_method(name, replica, explain)
        images = await _images(service, await reader.read(request))
        found = await service.predict(name, replica, images)
        entries = [one.as_dict(replica, top=top, unknown=service.unknown) for one in found]
        if explain is not None and any(one.answer for one in found):
            drawn = await _explained(service, replica, found)
            if len(drawn) == 1 and drawn[0] and "image/png" in request.headers.get("accept", ""):
                return Response(drawn[0].png, media_type="image/png")
            for entry, drawing in zip(entries, drawn, strict=True):
                if drawing is not None:
                    entry["explanation"] = drawing.as_dict()
    document = {"model": name, "version": replica.version, "predictions": entries}
    status = 200
    if not any(one.answer for one in found):
        document["error"] = f"no image could be read: {found[0].error}"
        status = 422
    return Response(json.dumps(document), status, media_type="application/json")


def _check_method(name: str, replica: Replica, method: Method) -> None:
    if method is not (suits := Method.of(replica)):
        what = "sees images in tiles" if suits is Method.PLACES else "does not see images in tiles"
        raise RequestError(
            422, f"model {name} {what}, so it cannot be explained by {method}; use explain={suits}"
        )


async def _images(service: Service, body: Body) -> list[SentImage]:
    most = service.settings.max_images
    if body.content_type.startswith("image/") or len(body.content) < _SMALL:
        return images_of(body, most)
    return await asyncio.to_thread(images_of, body, most)


async def _explained(
    service: Service, replica: Replica, found: list[Predicted]
) -> list[Drawing | None]:
    if len(found) > 8:
        raise RequestError(413, f"{len(found)} images are too many to explain; send 8 at most")
    timeout = service.settings.timeout
    return await service.explanations.draw(replica, found, timeout=timeout)
