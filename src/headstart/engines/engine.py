"""The interface of engines, which run a frozen network on batches of pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol

from headstart.types import EngineName, Floats, Pixels, Precision


class BatchQueue(Protocol):
    """Batches that a network computes; their outputs are returned in the order of the batches."""

    def put(self, pixels: Pixels) -> list[list[Floats]]:
        """Start a batch; return the outputs of those that it had to wait for, if any.

        Batches and outputs are as in `Engine.stream`.
        """
        ...

    def finish(self) -> Iterator[list[Floats]]:
        """Yield the outputs of the batches that are running."""
        ...

    def close(self) -> None:
        """Drop the batches that are running, so that the engine can serve another queue."""
        ...


class Engine(ABC):
    """Runs one backbone.

    Attributes:
        plan: The engine, precision and device in use.
        batch: The largest number of images per batch.
        lanes: Number of batches that it computes at the same time.
    """

    plan: EnginePlan
    batch: int
    lanes: int = 1

    @abstractmethod
    def queue(self) -> BatchQueue:
        """Return an empty queue, which one thread uses; other threads may use further ones.

        A thread closes it before it uses another one or a stream.
        """

    def next_batch(self, waiting: int) -> int:
        """Return how many of the images that wait are best run next, 1 to `batch`."""
        return min(waiting, self.batch)

    def stream(self, batches: Iterable[Pixels]) -> Generator[list[Floats], None, None]:
        """Run batches; while one is computed, the next may be prepared.

        Close the generator when leaving it early, so that the engine can run another stream.

        Args:
            batches: (n, H, W, 3) uint8 each, 1 <= n <= `batch`, in the size that the backbone
                expects.

        Yields:
            For each batch, one (n, width) float32 array for each of the backbone's `outputs`, then
            the logits (n, classes).
        """
        with closing(self.queue()) as queue:
            for pixels in batches:
                yield from queue.put(pixels)
            yield from queue.finish()


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
