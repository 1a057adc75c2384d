"""The images in a request: as its body, in the parts of a form, or as base64 in JSON."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from headstart.serving.admission import Body
from headstart.serving.errors import RequestError
from headstart.system.text import pluralize

_FEW_VALUES: Final = 100_000
_MAX_NAME: Final = 200
_PIECE: Final = 2**18
"""Bytes that are handled at once, a multiple of four. In between, other threads may run: Python's
functions on bytes keep its lock, and good requests would wait for megabytes of a stranger's."""


@dataclass(frozen=True, slots=True)
class SentImage:
    """An image in a request.

    Attributes:
        content: The content of an image file; None if it was not sent as one.
        name: The name of the file, if it was sent with one.
        error: What is wrong with how it was sent.
    """

    content: bytes | None
    name: str | None = None
    error: str | None = None


def images_of(body: Body, max_images: int) -> list[SentImage]:
    """Return the images in a request, at least one.

    Raises:
        RequestError: The request has none, too many, or cannot be read.
    """
    kind, options = _content_type(body.content_type)
    if kind == "multipart/form-data":
        found = _from_form(body.content, options.get("boundary", b""), max_images)
    elif kind == "application/json":
        found = _from_json(body.content)
    elif kind.startswith("image/") or kind in ("application/octet-stream", "application/dicom", ""):
        found = [SentImage(body.content)] if body.content else []
    else:
        raise RequestError(
            415,
            f"the content type {kind[:100]!r} is not accepted; send an image as image/jpeg or the "
            "like, a form with files as multipart/form-data, or JSON as application/json",
        )
    if not found:
        raise RequestError(400, "the request has no image; send at least one")
    if len(found) > max_images:
        raise _too_many(max_images)
    return found


def parse_json(content: bytes, max_values: int = _FEW_VALUES) -> Any:
    """Return a JSON document.

    Values take many times the memory of their text, and time in which nothing else happens.

    Args:
        content: Its text.
        max_values: Most values in it.

    Raises:
        RequestError: It is none, or has too many values.
    """
    if _number_of_values(content) > max_values:
        raise RequestError(
            413, f"the JSON has more than {max_values:,} values; send images as files, or binary"
        )
    try:
        return json.loads(content)
    except RecursionError:
        raise RequestError(400, "the JSON is nested too deeply") from None
    except ValueError as error:
        raise RequestError(400, f"the request is not JSON: {error}"[:300]) from None


def _number_of_values(content: bytes) -> int:
    """Return a bound for the number of values in a JSON document."""
    levels = np.frombuffer(content, np.uint8)  # unlike `bytes.count`, NumPy releases Python's lock
    pieces = (levels[start : start + _PIECE] for start in range(0, len(levels), _PIECE))
    return sum(int(np.count_nonzero(one == sign)) for one in pieces for sign in b",:[{")


def from_base64(text: object) -> SentImage:
    """Return an image that was sent as base64, with or without "data:...;base64," before it."""
    if not isinstance(text, str):
        return SentImage(None, error="it is not text; send the image as base64")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    pieces = (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))
    try:
        if len(text) % 4 or "=" in text[:-2]:
            raise ValueError("wrong length, or an end within it")
        return SentImage(b"".join(b64decode(one, validate=True) for one in pieces))
    except (binascii.Error, ValueError):
        return SentImage(None, error="it is not valid base64; encode the content of an image file")


def _content_type(header: str) -> tuple[str, dict[str, bytes]]:
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(header)
    return kind.decode("latin-1").strip().lower(), {
        key.decode("latin-1"): value for key, value in options.items()
    }


def _from_json(content: bytes) -> list[SentImage]:
    document = parse_json(content)
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list):
        raise RequestError(
            400, 'the JSON has no list "images"; send {"images": ["base64 of a file", ...]}'
        )
    return list(map(from_base64, images))


def _from_form(content: bytes, boundary: bytes, max_images: int) -> list[SentImage]:
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser

    form = _Form(max_images)
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]
        parser.write(content)
        parser.finalize()
    except FormParserError as error:
        raise RequestError(400, f"the form cannot be read: {error}"[:300]) from None
    if not form.ended:
        raise RequestError(400, "the form ends before its last boundary")
    return form.images


@dataclass
class _Form:
    """Collects the files of a form; other fields are ignored.

    Args:
        max_images: Most files, and as many other fields.
    """

    max_images: int
    images: list[SentImage] = field(default_factory=list)
    ended: bool = False
    _parts: int = 0
    _headers: dict[str, bytes] = field(default_factory=dict)
    _header: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _content: bytearray = field(default_factory=bytearray)

    def callbacks(self) -> Mapping[str, Any]:
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_of_header,
            "on_part_data": lambda data, start, end: self._content.extend(data[start:end]),
            "on_part_end": self._end_of_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > 2 * self.max_images:
            raise _too_many(self.max_images)
        self._headers, self._content = {}, bytearray()

    def _end_of_header(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _end_of_part(self) -> None:
        disposition = self._headers.get("content-disposition", b"")
        _, options = _content_type(disposition.decode("latin-1"))
        if "filename" in options:
            name = options["filename"].decode("utf-8", "replace")[:_MAX_NAME]
            self.images.append(SentImage(bytes(self._content), name))
            if len(self.images) > self.max_images:
                raise _too_many(self.max_images)

    def _end(self) -> None:
        self.ended = True


def _too_many(most: int) -> RequestError:
    return RequestError(
        413, f"the request has more than {pluralize(most, 'image')}; send fewer at a time"
    )
