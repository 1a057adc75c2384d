"""What requests and answers look like, for the documentation at /docs and /openapi.json."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field


class ErrorAnswer(BaseModel):
    """What was wrong with a request."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"error": "there is no model 'cat'; choose from pets"}]}
    )

    error: str = Field(description="A sentence, with what to do next.")


class Guess(BaseModel):
    """A class and its probability."""

    label: str
    probability: float = Field(ge=0, le=1)


class Place(BaseModel):
    """A place in the image by which the model decided."""

    box: list[int] = Field(description="Left, top, right and bottom in the upright image's pixels.")
    share: float = Field(ge=0, le=1, description="Its share among all places that decided.")


class Explained(BaseModel):
    """What the prediction depends on."""

    method: str
    png: str = Field(description="Base64 of a PNG file: the image with a map of colors, or marks.")
    places: list[Place] | None = Field(
        None, description="Of a model that sees images in tiles; none if no place alone decided."
    )


class ImagePrediction(BaseModel):
    """The prediction for an image, or why there is none."""

    name: str | None = Field(None, description="The name that the file was sent with.")
    label: str | None = Field(None, description="The most probable class.")
    probability: float | None = Field(None, ge=0, le=1, description="Its probability.")
    known: bool | None = Field(
        None, description="Whether the image looks like one of the classes; null if not known."
    )
    novelty: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of images of the known classes that look at least as unusual.",
    )
    top: list[Guess] | None = Field(None, description="The most probable classes.")
    explanation: Explained | None = None
    error: str | None = Field(None, description="Why the image could not be read.")


class Predictions(BaseModel):
    """The predictions for the images of a request, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "pets",
                    "version": "5f0c6a1d2b3e4f50",
                    "predictions": [
                        {
                            "name": "a.jpg",
                            "label": "cat",
                            "probability": 0.98,
                            "known": True,
                            "novelty": 0.61,
                            "top": [
                                {"label": "cat", "probability": 0.98},
                                {"label": "dog", "probability": 0.02},
                            ],
                        },
                        {"name": "b.jpg", "error": "truncated"},
                    ],
                }
            ]
        }
    )

    model: str
    version: str = Field(description="Changes when the model is replaced.")
    predictions: list[ImagePrediction]
    error: str | None = Field(None, description="Given if none of the images could be read.")


class Baseline(BaseModel):
    """What always answering the largest class gets right."""

    label: str = Field(description="The largest class of the training images.")
    accuracy: float = Field(ge=0, le=1, description="Its share of them.")


class ModelSummary(BaseModel):
    """A model that is served."""

    name: str
    version: str
    classes: list[str]
    accuracy: float | None = Field(description="Expected on new images; null if it is unknown.")
    interval: tuple[float, float] | None = Field(description="95% interval of the accuracy.")
    baseline: Baseline


class Models(BaseModel):
    """The models that are served."""

    models: list[ModelSummary]


class ModelDescription(ModelSummary):
    """A model, with its card."""

    card: str = Field(description="The model card as Markdown.")
    explain: str = Field(description="The value of ?explain= that suits the model.")
    description: dict[str, Any] = Field(description="The manifest, as in `headstart info --json`.")


_BINARY: Final = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
PREDICT_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "An image, a form with image files, or JSON with images as base64.",
        "content": {
            "image/*": _BINARY,
            "application/octet-stream": _BINARY,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "byte"},
                        }
                    },
                },
                "example": {"images": ["iVBORw0KGgoAAAANSUhEUgAAAAE="]},
            },
        },
    }
}
_TENSOR: Final = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string", "enum": ["image", "pixels"]},
        "datatype": {"type": "string", "enum": ["BYTES", "UINT8"]},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {}},
    },
}
INFER_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A request of the Open Inference Protocol.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "id": {"type": "string"},
                        "inputs": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 1,
                            "items": _TENSOR,
                        },
                        "outputs": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {"name": {"type": "string"}},
                            },
                        },
                        "parameters": {"type": "object"},
                    },
                },
                "example": {
                    "inputs": [
                        {
                            "name": "image",
                            "datatype": "BYTES",
                            "shape": [1],
                            "data": ["iVBORw0KGgoAAAANSUhEUgAAAAE="],
                        }
                    ]
                },
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of answers that are errors."""
    return {status: {"model": ErrorAnswer} for status in (401, *statuses)}


ALL_ERRORS: Final = errors(400, 404, 408, 413, 415, 422, 429, 500, 503)
"""Of routes that take images."""
