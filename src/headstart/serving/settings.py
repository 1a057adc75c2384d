"""Settings of a server: address, limits and keys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from headstart.errors import UserError
from headstart.system.option import Advanced, Option
from headstart.system.text import pluralize

_SHORTEST_KEY: Final = 16


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """How models are served.

    Attributes:
        host: Address to listen on. The default is reachable from this machine alone.
        port: Port to listen on; 0 for any free one.
        workers: Number of processes. Each loads all models.
        max_bytes: Largest request in bytes, with all its images.
        max_pixels: Largest image in pixels.
        max_images: Most images in a request.
        queue: Most images and requests that are worked on or wait, in each process. What comes
            beyond that is answered with 429.
        timeout: Seconds for sending a request, and again for answering it.
        api_key_file: File with a key a line; a request must have one of them, except for the page
            and the health.
        cors: Origin whose web pages may use the server, such as https://example.org; repeat the
            option for several.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Option(low=0, high=65_535)] = 8000
    workers: Annotated[int, Option(low=1, high=256)] = 1
    max_bytes: Annotated[int, Option(low=1_000, high=1_000_000_000)] = 32_000_000
    max_pixels: Annotated[int, Option(low=1, high=220_000_000)] = 50_000_000
    max_images: Annotated[int, Option(low=1, high=10_000)] = 64
    queue: Annotated[int, Option(low=1, high=100_000)] = 128
    timeout: Annotated[float, Option(low=0.1, high=3_600)] = 30.0
    api_key_file: Annotated[Path | None, Option(unset="no key is needed")] = None
    cors: Annotated[list[str] | None, Advanced(unset="none")] = None

    def check(self) -> None:
        """Check what the bounds of single options do not.

        Raises:
            UserError: Settings contradict each other, an origin is not one, or there are no keys in
                their file.
        """
        self.api_keys()
        if self.max_images > self.queue:
            raise UserError(
                f"--max-images {self.max_images} is more than --queue {self.queue}, so that such a "
                "request would never be accepted; make the queue longer"
            )
        for origin in self.cors or ():
            if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
                raise UserError(
                    f"--cors {origin} is not an origin; give one such as https://example.org, "
                    "without a path or a final '/'"
                )

    def api_keys(self) -> tuple[bytes, ...]:
        """Return the keys of the file; none if no key is needed.

        Raises:
            UserError: The file cannot be read, or has no key, or one that is easily guessed.
        """
        path = self.api_key_file
        if path is None:
            return ()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise UserError(
                f"cannot read --api-key-file {path}: {reason}; give a file with a key a line"
            ) from error
        lines = map(str.strip, text.splitlines())
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys:
            raise UserError(f"--api-key-file {path} has no key; write one key per line")
        if short := [key for key in keys if len(key) < _SHORTEST_KEY]:
            raise UserError(
                f"a key in --api-key-file {path} has {pluralize(len(short[0]), 'character')}; use "
                f"at least {_SHORTEST_KEY}, such as from: openssl rand -hex 32"
            )
        return tuple(key.encode() for key in keys)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model to serve.

    Attributes:
        name: Its name in URLs.
        folder: The folder of the saved model.
    """

    name: str
    folder: Path

    @classmethod
    def parse(cls, text: str) -> ModelSource:
        """Read "FOLDER", whose name is the model's, or "NAME=FOLDER".

        Raises:
            UserError: The name does not fit into a URL.
        """
        name, equals, folder = text.partition("=")
        if not equals or Path(text).exists():
            folder, name = text, Path(text).resolve().name
        if not name or not all(one.isascii() and (one.isalnum() or one in "._-") for one in name):
            raise UserError(
                f"{name!r} cannot be part of a URL; name the model with letters, digits, '.', '_' "
                f"and '-': NAME={folder or 'FOLDER'}"
            )
        return cls(name, Path(folder))


def model_sources(texts: list[str]) -> tuple[ModelSource, ...]:
    """Read the models to serve.

    Raises:
        UserError: Two have the same name, or one does not fit into a URL.
    """
    sources = tuple(map(ModelSource.parse, texts))
    names = [one.name for one in sources]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(
            f"two models are named {twice[0]!r}; name one of them otherwise: NAME=FOLDER"
        )
    return sources
