"""The interface of engines, which run a frozen network on batches of pixels."""

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
        """The engine, precision and device in use."""
        ...

    @property
    def batch(self) -> int:
        """The largest number of images per batch."""
        ...

    def stream(self, batches: Iterable[Pixels]) -> Generator[list[Floats], None, None]:
        """Run batches; while one is computed, the next may be prepared.

        Close the generator when leaving it early, so that the engine can run another stream.

        Args:
            batches: (n, H, W, 3) uint8 each, 1 <= n <= `batch`, in the size that the backbone
                expects.

        Yields:
            For each batch, one (n, width) float32 array per stage, then the logits (n, classes).
        """
        ...


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """An engine, a numeric precision and a device.

    Attributes:
        engine: OPENVINO or PYTORCH, not AUTO.
        precision: FLOAT32 or BFLOAT16, not AUTO.
        device: "cpu", "cuda" or "mps".
    """

    engine: EngineName
    precision: Precision
    device: str = "cpu"

    def identity(self) -> str:
        """Return everything that may change a feature's last digits, for the cache key."""
        package = "openvino" if self.engine is EngineName.OPENVINO else "torch"
        return f"{self.engine} {version(package)} {self.precision} {self.device}"
