"""Choose the engine that runs a frozen network, and compile it when it is first needed."""

import ctypes
import logging
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

from headstart.backbones.backbone import Backbone
from headstart.engines.device import check_device
from headstart.engines.engine import Engine, EnginePlan
from headstart.errors import BackboneError, MissingExtraError, NoTorchFormError, UserError
from headstart.system.machine import cores
from headstart.system.process_local import ProcessLocal
from headstart.types import Device, EngineName, Precision

_log = logging.getLogger(__name__)


def make_plan(
    engine: EngineName = EngineName.AUTO,
    precision: Precision = Precision.AUTO,
    device: Device = Device.AUTO,
) -> EnginePlan:
    """Choose what is AUTO: PyTorch on a GPU if there is one, else OpenVINO on the CPU.

    A precision of AUTO becomes bf16 where that is fast, else f32.

    Raises:
        MissingExtraError: The engine is not installed.
        BackboneError: The machine lacks the precision.
        UserError: The machine lacks the device, or the engine does not run on it.
    """
    gpu = _chosen_gpu(engine, device)
    if engine is EngineName.AUTO:
        engine = EngineName.PYTORCH if gpu else EngineName.OPENVINO
    if engine is EngineName.OPENVINO:
        from headstart.engines.openvino import has_bfloat16

        native = has_bfloat16()
        if precision is Precision.BFLOAT16 and not native:
            raise BackboneError(
                "this processor does not support bf16; use --precision f32, which is as fast here"
            )
        if precision is Precision.AUTO:
            precision = Precision.BFLOAT16 if native else Precision.FLOAT32
        return EnginePlan(engine, precision)
    if find_spec("torch") is None:
        raise MissingExtraError("--engine pytorch", extra="torch")
    if precision is Precision.AUTO:
        precision = Precision.BFLOAT16 if gpu == "cuda" else Precision.FLOAT32
    return EnginePlan(engine, precision, gpu or "cpu")


def _chosen_gpu(engine: EngineName, device: Device) -> str | None:
    if device is Device.CPU:
        return None
    if device is Device.AUTO:
        return _gpu() if engine is not EngineName.OPENVINO else None
    if engine is EngineName.OPENVINO:
        raise UserError(
            f"--engine openvino runs on the CPU only; remove it, or remove --device {device}"
        )
    check_device(device)
    return str(device)


def build_engine(
    backbone: Backbone,
    plan: EnginePlan,
    *,
    requested: EngineName = EngineName.AUTO,
    batches: Sequence[int] = (),
) -> Engine:
    """Compile a backbone.

    Args:
        backbone: The network to compile.
        plan: The engine and precision to use.
        requested: The engine that the user requested. If it is AUTO, another engine is used if the
            planned one fails: eager PyTorch if OpenVINO cannot convert the network, OpenVINO if
            packages for the PyTorch form are missing. `Engine.plan` is the one in use.
        batches: Sizes of batches to compile it for; by default the best one for many images.

    Raises:
        ConversionError: OpenVINO was requested and cannot run this network.
        MissingExtraError: The network's PyTorch form needs a package that is not installed.
        NoTorchFormError: PyTorch was requested, and only OpenVINO runs this network.
    """
    from headstart.engines.openvino import BATCH, ConversionError, OpenVINOEngine

    batches = batches or (BATCH,)
    if plan.engine is EngineName.OPENVINO:
        try:
            return OpenVINOEngine(backbone, plan, batches=batches)
        except ConversionError as error:
            if requested is not EngineName.AUTO:
                raise
            _log.info("%s", error)
            plan = EnginePlan(EngineName.PYTORCH, Precision.FLOAT32)
    try:
        from headstart.engines.pytorch import PyTorchEngine

        return PyTorchEngine(backbone, plan)
    except (MissingExtraError, NoTorchFormError) as error:
        if requested is not EngineName.AUTO or not backbone.has_graph:
            raise
        _log.info("%s", error)
        return OpenVINOEngine(backbone, make_plan(EngineName.OPENVINO), batches=batches)


class LazyEngine:
    """The engine of one backbone.

    Args:
        backbone: The network to compile.
        plan: The planned engine and precision.
        requested: The engine that the user named; see `build_engine`.
        warn: Called with a sentence for the user if another engine than the planned one is used.
        batches: Sizes of batches; see `build_engine`.

    Attributes:
        plan: The plan in effect: the planned one until `get` has to use another engine.
    """

    def __init__(
        self,
        backbone: Backbone,
        plan: EnginePlan,
        *,
        requested: EngineName,
        warn: Callable[[str], None],
        batches: Sequence[int] = (),
    ) -> None:
        self.plan = plan
        self._backbone = backbone
        self._requested = requested
        self._warn = warn
        self._batches = batches
        self._engine: ProcessLocal[Engine] = ProcessLocal()

    def get(self) -> Engine:
        """Return the compiled network; the first call in a process compiles it."""
        return self._engine.get(self._build)

    def _build(self) -> Engine:
        engine = build_engine(
            self._backbone, self.plan, requested=self._requested, batches=self._batches
        )
        actual = engine.plan
        if actual.engine is not self.plan.engine:
            self._warn(
                f"{self.plan.engine} cannot run {self._backbone.name} here; "
                f"{actual.engine} runs it instead"
            )
        self.plan = actual
        return engine

    def release(self) -> None:
        """Free the compiled network and its memory; `get` compiles it again."""
        self._engine.value = None

    @property
    def compiles_in_parallel(self) -> bool:
        """Whether the network is still to be compiled, and can be beside others: in OpenVINO."""
        waiting = self._engine.value is None
        return waiting and self.plan.engine is EngineName.OPENVINO and self._backbone.has_graph


def compile_together(engines: Iterable[LazyEngine]) -> None:
    """Compile at the same time those networks for which this is possible, as one core does each."""
    waiting = [engine for engine in engines if engine.compiles_in_parallel]
    if len(waiting) < 2:
        return
    from headstart.engines.openvino import openvino_core

    openvino_core()  # made once, before several threads need it
    with ThreadPoolExecutor(min(len(waiting), cores()), thread_name_prefix="compile") as pool:
        list(pool.map(LazyEngine.get, waiting))


def _gpu() -> str | None:
    """Return the GPU that PyTorch would use, without importing PyTorch, which takes seconds."""
    if find_spec("torch") is None:
        return None
    if sys.platform == "darwin":
        return "mps" if platform.machine() == "arm64" else None
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int()
        found = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    except (OSError, AttributeError):
        return None
    if not (found and count.value):
        return None
    import torch  # a driver is not enough: this may be the CPU build of PyTorch

    return "cuda" if torch.cuda.is_available() else None
