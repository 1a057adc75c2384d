"""OpenVINO: the engine on a CPU, 5 to 12 times as fast as eager PyTorch."""

import sys
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import repeat
from queue import Empty, SimpleQueue
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
    return _core.get(lambda: _silent_openvino().Core())


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

    The features of an image depend neither on the other images of a batch nor on its position among
    them (tested), so that images added later get the same features. The size of the batches may
    change the last digits on processors without AVX-512.

    Args:
        backbone: The network.
        plan: The precision.
        batches: The sizes of batches to compile it for. Smaller ones beside the largest save time
            where few images come at once: other numbers of images are padded to the next size.

    Raises:
        ConversionError: The network has an operation that OpenVINO lacks.
    """

    def __init__(
        self, backbone: Backbone, plan: EnginePlan, *, batches: Sequence[int] = (BATCH,)
    ) -> None:
        self.plan = plan
        self.batch = max(batches)
        side = backbone.preprocessing.crop
        check_address_space(_ADDRESS_SPACE)
        shapes = [(size, side, side, 3) for size in sorted(batches)]
        graphs = [_graph(backbone, list(shape)) for shape in shapes]
        openvino_core()  # made once, before several threads need it
        try:
            with ThreadPoolExecutor(len(shapes), thread_name_prefix="compile") as pool:
                self._compiled = list(pool.map(_Compiled, graphs, shapes, repeat(plan)))
        except RuntimeError as error:
            raise _conversion_error(backbone, error) from error
        self.lanes = self._compiled[-1].lanes

    def queue(self) -> BatchQueue:
        """See `Engine.queue`."""
        return _RequestQueue(self._compiled)

    def next_batch(self, waiting: int) -> int:
        """See `Engine.next_batch`: the largest batch that needs no padding, if there is one."""
        full = [one.shape[0] for one in self._compiled if one.shape[0] <= waiting]
        return full[-1] if full else waiting


class _Compiled:
    """A network for batches of one size.

    Attributes:
        shape: Of a batch, (N, H, W, 3).
        idle: Requests, one of which runs a batch.
        lanes: Number of requests that run at the same time.
    """

    def __init__(self, graph: Any, shape: tuple[int, int, int, int], plan: EnginePlan) -> None:
        hints = {"INFERENCE_PRECISION_HINT": str(plan.precision), "PERFORMANCE_HINT": "THROUGHPUT"}
        compiled = openvino_core().compile_model(graph, "CPU", hints)
        self.shape = shape
        self.lanes: int = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self.idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.lanes + 1):
            self.idle.put(compiled.create_infer_request())

    def padded(self, pixels: Pixels) -> Pixels:
        """Return a whole batch that starts with these images."""
        if len(pixels) == self.shape[0]:
            return pixels
        padded = np.zeros(self.shape, np.uint8)
        padded[: len(pixels)] = pixels
        return padded


class _RequestQueue:
    """Batches in the requests of a compiled network; see `BatchQueue`."""

    def __init__(self, compiled: Sequence[_Compiled]) -> None:
        self._compiled = compiled
        self._running: deque[tuple[_Compiled, Any, int]] = deque()

    def put(self, pixels: Pixels) -> list[list[Floats]]:
        compiled = next(one for one in self._compiled if one.shape[0] >= len(pixels))
        done = []
        while True:
            with suppress(Empty):
                # What other queues run is waited for only if this one runs nothing.
                request = compiled.idle.get(block=not self._running)
                break
            done.append(self._oldest())
        try:
            request.start_async([compiled.padded(pixels)])
        except BaseException:
            compiled.idle.put(request)
            raise
        self._running.append((compiled, request, len(pixels)))
        return done

    def finish(self) -> Iterator[list[Floats]]:
        while self._running:
            yield self._oldest()

    def close(self) -> None:
        while self._running:
            compiled, request, _ = self._running.popleft()
            request.wait()
            compiled.idle.put(request)

    def _oldest(self) -> list[Floats]:
        compiled, request, count = self._running.popleft()
        try:
            request.wait()
            return [
                np.array(tensor.data[:count], dtype=np.float32) for tensor in request.output_tensors
            ]
        finally:
            compiled.idle.put(request)


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
