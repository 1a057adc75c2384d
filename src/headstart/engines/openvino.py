"""OpenVINO: the engine on a CPU, 5 to 12 times as fast as eager PyTorch."""

import sys
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.engines.engine import BatchQueue, Engine, EnginePlan
from headstart.errors import BackboneError
from headstart.system.memory import check_address_space, is_out_of_memory
from headstart.system.process_local import ProcessLocal
from headstart.types import EngineName, Floats, Pixels

_CONVERTER = "openvino.tools.ovc"
BATCH = 2
"""Images per batch. Larger ones are at most 4% faster, and one image alone takes a whole batch."""

_ADDRESS_SPACE = 256 * 2**20
"""Bytes below which OpenVINO's threads abort the process rather than fail."""


class ConversionError(BackboneError):
    """OpenVINO cannot run this network."""


_core: ProcessLocal[Any] = ProcessLocal()


def openvino_core() -> Any:
    """Return the OpenVINO core of this process."""
    if _core.value is None:
        _core.value = _silent_openvino().Core()
    return _core.value


def _silent_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    `headstart/__init__.py` prevents the import of the telemetry; if the program imported OpenVINO
    before headstart, the telemetry is replaced here by OpenVINO's own stub.
    """
    if "openvino" not in sys.modules:
        return _without_converter()
    import openvino

    if _CONVERTER not in sys.modules:
        return openvino
    with suppress(ImportError):  # builds without the converter have no telemetry
        from openvino.tools.ovc import telemetry_stub

        for name, module in list(sys.modules.items()):
            if name.startswith("openvino.tools.ovc.") and hasattr(module, "tm"):
                setattr(module, "tm", telemetry_stub)  # noqa: B010 - for mypy
    return openvino


def _without_converter() -> Any:
    """Import OpenVINO, but its converter only when it is used: that takes half as long."""
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        del sys.modules[_CONVERTER]
    if not hasattr(openvino, "convert_model"):  # for programs that use OpenVINO themselves
        openvino.convert_model = _convert_model
    return openvino


def _convert_model(*arguments: Any, **options: Any) -> Any:
    from openvino.tools.ovc import convert_model

    return convert_model(*arguments, **options)


def has_bfloat16() -> bool:
    """Return whether this processor computes in bf16 at full speed."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVINOEngine(Engine):
    """Runs a backbone on the CPU, several batches at once.

    The features of an image depend neither on the batch nor on the position in it (tested), so
    that images added later get the same features.

    Raises:
        ConversionError: The network has an operation that OpenVINO lacks.
    """

    def __init__(self, backbone: Backbone, plan: EnginePlan) -> None:
        self.plan = plan
        self.batch = BATCH
        side = backbone.preprocessing.crop
        self._shape = (BATCH, side, side, 3)
        hints = {"INFERENCE_PRECISION_HINT": str(plan.precision), "PERFORMANCE_HINT": "THROUGHPUT"}
        check_address_space(_ADDRESS_SPACE)
        graph = _graph(backbone, list(self._shape))
        try:
            compiled = openvino_core().compile_model(graph, "CPU", hints)
        except RuntimeError as error:
            raise _conversion_error(backbone, error) from error
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [compiled.create_infer_request() for _ in range(count + 1)]
        self._outputs = len(compiled.outputs)

    def queue(self) -> BatchQueue:
        """See `Engine.queue`."""
        return _RequestQueue(self._requests, self._shape)


class _RequestQueue:
    """Batches in the requests of a compiled network; see `BatchQueue`."""

    def __init__(self, requests: Sequence[Any], shape: tuple[int, int, int, int]) -> None:
        self._free = deque(requests)
        self._running: deque[tuple[Any, int]] = deque()
        self._shape = shape

    def put(self, pixels: Pixels) -> list[list[Floats]]:
        done = [] if self._free else [self._oldest()]
        request = self._free.popleft()
        request.start_async([self._padded(pixels)])
        self._running.append((request, len(pixels)))
        return done

    def finish(self) -> Iterator[list[Floats]]:
        while self._running:
            yield self._oldest()

    def close(self) -> None:
        while self._running:
            self._running.popleft()[0].wait()

    def _padded(self, pixels: Pixels) -> Pixels:
        if len(pixels) == self._shape[0]:
            return pixels
        padded = np.zeros(self._shape, np.uint8)
        padded[: len(pixels)] = pixels
        return padded

    def _oldest(self) -> list[Floats]:
        request, count = self._running.popleft()
        request.wait()
        self._free.append(request)
        return [
            np.array(tensor.data[:count], dtype=np.float32) for tensor in request.output_tensors
        ]


def _graph(backbone: Backbone, shape: list[int]) -> Any:
    """The network as an OpenVINO graph for batches of this shape, if need be by torch.export."""
    if backbone.has_graph:
        graph = backbone.graph()
        graph.reshape(shape)
        return graph
    import torch

    from headstart.engines.pytorch import FromBytes

    network = FromBytes(backbone.network(), peaks=backbone.peaks)
    example = torch.zeros(shape, dtype=torch.uint8)
    try:
        # Both libraries warn about future changes of their own.
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(network, (example,), strict=False)
            return _silent_openvino().convert_model(exported)
    except Exception as error:  # both libraries raise exceptions of many kinds
        raise _conversion_error(backbone, error) from error


def _conversion_error(backbone: Backbone, error: Exception) -> ConversionError:
    if is_out_of_memory(error):  # another engine needs even more
        raise MemoryError(f"not enough memory to run {backbone.name}") from error
    reason = next(iter(str(error).strip().splitlines()), repr(error))
    return ConversionError(
        f"OpenVINO cannot run {backbone.name} ({reason[:200]}); use --engine {EngineName.PYTORCH}"
    )
