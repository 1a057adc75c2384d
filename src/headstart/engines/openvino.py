"""OpenVINO: an inference engine for inference, 5 to 12 times eager PyTorch on a CPU."""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.engines.engine import EnginePlan
from headstart.errors import BackboneError
from headstart.types import EngineName, Floats, Pixels

BATCH = 8
"""Images a batch. 4 to 32 differ by a tenth in speed; small ones waste least at the end."""


class ConversionError(BackboneError):
    """OpenVINO cannot run this network."""


@cache
def openvino_core() -> Any:
    """Return the one OpenVINO of this process."""
    return _silent_openvino().Core()


def _silent_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    `headstart/__init__.py` keeps the telemetry from being imported; where the program had imported
    OpenVINO before headstart, its own stub takes the telemetry's place here.
    """
    import openvino

    with suppress(ImportError):  # builds without the converter have no telemetry
        from openvino.tools.ovc import telemetry_stub

        for name, module in list(sys.modules.items()):
            if name.startswith("openvino.tools.ovc.") and hasattr(module, "tm"):
                setattr(module, "tm", telemetry_stub)  # noqa: B010 - mypy knows no such attribute
    return openvino


def has_bfloat16() -> bool:
    """Whether this processor computes in bf16 at full speed."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVINOEngine:
    """Runs a backbone on the CPU, several batches at once.

    A picture's features do not depend on the batch it is in, nor on its place there (tested):
    features computed on different days are the same.

    Raises:
        ConversionError: the network has an operation that OpenVINO lacks.
    """

    def __init__(self, backbone: Backbone, plan: EnginePlan) -> None:
        self.plan = plan
        self.batch = BATCH
        side = backbone.preprocessing.crop
        self._shape = (BATCH, side, side, 3)
        hints = {"INFERENCE_PRECISION_HINT": str(plan.precision), "PERFORMANCE_HINT": "THROUGHPUT"}
        graph = _graph(backbone, list(self._shape))
        try:
            compiled = openvino_core().compile_model(graph, "CPU", hints)
        except RuntimeError as error:
            raise _cannot(backbone, error) from error
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [compiled.create_infer_request() for _ in range(count + 1)]
        self._outputs = len(compiled.outputs)

    def stream(self, batches: Iterable[Pixels]) -> Generator[list[Floats], None, None]:
        """See `Engine.stream`."""
        free = deque(self._requests)
        running: deque[tuple[Any, int]] = deque()
        try:
            for pixels in batches:
                if not free:
                    yield self._collect(*(oldest := running.popleft()))
                    free.append(oldest[0])
                request = free.popleft()
                request.start_async([self._padded(pixels)])
                running.append((request, len(pixels)))
            while running:
                yield self._collect(*running.popleft())
        finally:
            for request, _ in running:  # the consumer stopped early
                request.wait()

    def _padded(self, pixels: Pixels) -> Pixels:
        if len(pixels) == self.batch:
            return pixels
        padded = np.zeros(self._shape, np.uint8)
        padded[: len(pixels)] = pixels
        return padded

    def _collect(self, request: Any, count: int) -> list[Floats]:
        request.wait()
        return [
            np.array(request.get_output_tensor(index).data[:count], dtype=np.float32)
            for index in range(self._outputs)
        ]


def _graph(backbone: Backbone, shape: list[int]) -> Any:
    """The network as an OpenVINO graph for batches of this shape."""
    if backbone.graph is None:
        return _converted(backbone, shape)
    graph = backbone.graph()
    graph.reshape(shape)
    return graph


def _converted(backbone: Backbone, shape: list[int]) -> Any:
    """A PyTorch network, by way of torch.export."""
    import torch

    from headstart.engines.pytorch import FromBytes

    network = FromBytes(backbone.network())
    example = torch.zeros(shape, dtype=torch.uint8)
    try:
        # Both libraries warn of what they themselves will change one day.
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(network, (example,), strict=False)
            return _silent_openvino().convert_model(exported)
    except Exception as error:  # both libraries raise whatever they meet
        raise _cannot(backbone, error) from error


def _cannot(backbone: Backbone, error: Exception) -> ConversionError:
    reason = next(iter(str(error).strip().splitlines()), repr(error))
    return ConversionError(
        f"OpenVINO cannot run {backbone.name} ({reason[:200]}); use --engine {EngineName.PYTORCH}"
    )
