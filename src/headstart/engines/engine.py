"""What runs a frozen network."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol

from headstart.types import EngineName, Floats, Pixels, Precision


class Engine(Protocol):
    """Runs one backbone."""

    @property
    def plan(self) -> EnginePlan:
        """What it runs on."""
        ...

    @property
    def batch(self) -> int:
        """Images a batch, at most."""
        ...

    def stream(self, batches: Iterable[Pixels]) -> Generator[list[Floats], None, None]:
        """Run batches; while one is computed the next may be prepared.

        Close the generator when leaving it early: the engine is then ready for another stream.

        Args:
            batches: (n, H, W, 3) each, 1 <= n <= `batch`, in the size the backbone expects.

        Yields:
            For each batch in turn: one (n, width) array a stage, then the logits (n, classes).
        """
        ...


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """An engine and the arithmetic it is asked for.

    Attributes:
        engine: not AUTO.
        precision: not AUTO.
        device: "cpu", "cuda" or "mps".
    """

    engine: EngineName
    precision: Precision
    device: str = "cpu"

    def identity(self) -> str:
        """All of it that may change a feature's last digits: part of the cache's key."""
        package = "openvino" if self.engine is EngineName.OPENVINO else "torch"
        return f"{self.engine} {version(package)} {self.precision} {self.device}"
