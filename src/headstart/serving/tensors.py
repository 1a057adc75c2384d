"""Tensors of the Open Inference Protocol: in JSON, and as its extension for binary data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np

from headstart.serving.errors import RequestError
from headstart.serving.request_images import SentImage, from_base64, parse_json
from headstart.system.text import pluralize
from headstart.types import Pixels

INFERENCE_HEADER: Final = "inference-header-content-length"
"""The header with the length of the JSON before binary data."""
_MAX_VALUES: Final = 1_000_000
"""Values in the JSON, which may be the pixels of images."""
_MAX_DIMENSIONS: Final = 4
_MAX_LENGTH: Final = 2**31
_DTYPES: Final = {"FP32": "<f4", "BOOL": "?"}


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """An output that a request names.

    Attributes:
        name: Its name.
        binary: Whether it is wanted as binary data.
    """

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """A request for inference.

    Attributes:
        id: What the answer repeats; None if there is none.
        images: The images.
        outputs: What is wanted; None for everything.
        binary: Whether outputs are wanted as binary data where they do not say it.
    """

    id: str | None
    images: list[SentImage]
    outputs: list[WantedOutput] | None
    binary: bool


def read_request(content: bytes, header_length: int | None) -> InferenceRequest:
    """Read a request.

    Args:
        content: The body.
        header_length: Length of its JSON, if binary data follow.

    Raises:
        RequestError: It is none, or its input is not one of those that models have.
    """
    length = len(content) if header_length is None else header_length
    if not 0 <= length <= len(content):
        raise RequestError(400, f"{INFERENCE_HEADER} is {length}, but the body has {len(content)}")
    document = parse_json(content[:length], _MAX_VALUES)
    inputs = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise RequestError(400, 'the request needs "inputs": a list of one tensor, "image"')
    tensor = inputs[0]
    if tensor.get("name") not in ("image", "pixels"):
        raise RequestError(
            400, f"there is no input {str(tensor.get('name'))[:100]!r}; give 'image' or 'pixels'"
        )
    data = content[length:]
    size = _parameters(tensor).get("binary_data_size")
    if size is not None and size != len(data):
        sent = pluralize(len(data), "byte")
        raise RequestError(400, f"binary_data_size is {size}, but {sent} followed the JSON")
    images = _images(tensor, data if size is not None else None)
    parameters = _parameters(document)
    wanted = document.get("outputs")
    binary = bool(parameters.get("binary_data_output", False))
    return InferenceRequest(
        id=str(document["id"])[:200] if "id" in document else None,
        images=images,
        outputs=None if not wanted else list(_wanted(wanted, binary)),
        binary=binary,
    )


def _parameters(document: Mapping[str, Any]) -> Mapping[str, Any]:
    found = document.get("parameters")
    return found if isinstance(found, dict) else {}


def _wanted(outputs: object, binary: bool) -> Iterator[WantedOutput]:
    if not isinstance(outputs, list):
        raise RequestError(400, '"outputs" is not a list of tensors')
    for one in outputs:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise RequestError(400, 'one of the "outputs" has no name')
        yield WantedOutput(one["name"], bool(_parameters(one).get("binary_data", binary)))


def _images(tensor: Mapping[str, Any], data: bytes | None) -> list[SentImage]:
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or not 0 < len(shape) <= _MAX_DIMENSIONS
        or not all(type(one) is int and 0 <= one < _MAX_LENGTH for one in shape)
    ):
        raise RequestError(400, "the input has no shape, a list of one to four whole numbers")
    kind = tensor.get("datatype")
    if kind == "BYTES":
        if data is None:
            values = _flat(tensor.get("data"))
            images = list(map(from_base64, values))
        else:
            images = [SentImage(one) for one in _elements(data)]
        if len(images) != prod(shape):
            sent = pluralize(len(images), "image")
            raise RequestError(400, f"the shape is {shape}, but the data contain {sent}")
        return images
    if kind != "UINT8":
        raise RequestError(
            400,
            f"the datatype {str(kind)[:50]!r} is not accepted; send image files as BYTES, or "
            "pixels as UINT8",
        )
    if not (len(shape) == 4 and shape[3] == 3 and all(shape)):
        raise RequestError(400, f"the shape is {shape}; send pixels as [images, height, width, 3]")
    return [SentImage(_as_file(one)) for one in _pixels(tensor, shape, data)]


def _pixels(tensor: Mapping[str, Any], shape: list[int], data: bytes | None) -> Pixels:
    count = prod(shape)
    if data is None:
        try:
            numbers = np.array(_flat(tensor.get("data")))
        except (TypeError, ValueError):
            numbers = np.array("")
        whole = numbers.dtype.kind == "i" and numbers.size and numbers.min() >= 0
        if not whole or numbers.max() > 255:
            raise RequestError(400, "the data must be whole numbers from 0 to 255")
        pixels = numbers.astype(np.uint8)
    else:
        pixels = np.frombuffer(data, np.uint8)
    if len(pixels) != count:
        sent = pluralize(len(pixels), "number")
        raise RequestError(400, f"the shape is {shape}, but the data contain {sent}")
    return pixels.reshape(shape)


def _as_file(pixels: Pixels) -> bytes:
    """Return (H, W, 3) as the content of an image file without compression."""
    return b"P6 %d %d 255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()


def _flat(data: object) -> list[Any]:
    """Return the elements of lists in lists."""
    if not isinstance(data, list):
        raise RequestError(400, 'the input has no "data", a list')
    for _ in range(_MAX_DIMENSIONS):
        if not any(isinstance(one, list) for one in data):
            return data
        data = [item for one in data for item in (one if isinstance(one, list) else [one])]
    raise RequestError(400, f"the data have more than {_MAX_DIMENSIONS} dimensions")


def _elements(data: bytes) -> Iterator[bytes]:
    """Yield the elements of a BYTES tensor: each after its length."""
    start = 0
    while start < len(data):
        stop = start + 4 + int.from_bytes(data[start : start + 4], "little")
        if start + 4 > len(data) or stop > len(data):
            raise RequestError(400, "the binary data end within an element")
        yield data[start + 4 : stop]
        start = stop


def write_response(
    head: Mapping[str, Any],
    outputs: Mapping[str, tuple[str, np.ndarray]],
    request: InferenceRequest,
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON if binary data follow.

    Args:
        head: Entries of the JSON before the outputs.
        outputs: By name, the datatype and the values.
        request: What is wanted.

    Raises:
        RequestError: There is no such output.
    """
    wanted = request.outputs or [WantedOutput(name, request.binary) for name in outputs]
    described, parts = [], []
    for one in wanted:
        if one.name not in outputs:
            raise RequestError(
                400, f"there is no output {one.name[:100]!r}; choose from {', '.join(outputs)}"
            )
        kind, values = outputs[one.name]
        entry: dict[str, Any] = {"name": one.name, "datatype": kind, "shape": list(values.shape)}
        if one.binary:
            parts.append(_binary(kind, values))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            entry["data"] = values.ravel().tolist()
        described.append(entry)
    document = json.dumps({**head, "outputs": described}).encode()
    return b"".join([document, *parts]), len(document) if parts else None


def _binary(kind: str, values: np.ndarray) -> bytes:
    if kind == "BYTES":
        texts = [str(one).encode() for one in values.ravel()]
        return b"".join(len(one).to_bytes(4, "little") + one for one in texts)
    return values.astype(_DTYPES[kind]).tobytes()
