"""An exported file, opened with the library that runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from headstart.errors import MissingExtraError, UserError
from headstart.exporting.description import FileDescription
from headstart.exporting.file_format import IMAGE, Format, InputForm, crops_name
from headstart.images.preprocessing import prepare
from headstart.types import Floats, Pixels


class FileAnswer(NamedTuple):
    """What a file says of an image.

    Attributes:
        probabilities: (K,) float32.
        label: Index of the most probable class.
        novelty: Share of images of known classes at least as unusual; None if it cannot tell.
        known: Whether that is above the rate; None likewise.
    """

    probabilities: Floats
    label: int
    novelty: float | None
    known: bool | None


class ExportedFile(ABC):
    """A file that `export` wrote, ready to run.

    Attributes:
        description: What the file says of itself.
        runtime: Name and version of the library that runs it.
    """

    description: FileDescription
    runtime: str

    @abstractmethod
    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run it on its inputs by name; return its outputs by name."""

    def predict(self, image: Pixels) -> FileAnswer:
        """Return the answer for an upright RGB image (H, W, 3) uint8."""
        if self.description.input is InputForm.IMAGE:
            return _answer(self.run({IMAGE: image}))
        crops = {
            crops_name(place): prepare(Image.fromarray(image), how)[np.newaxis]
            for place, how in enumerate(self.description.preprocessing)
        }
        return _answer({name: value[0] for name, value in self.run(crops).items()})


class OnnxFile(ExportedFile):
    """An ONNX file in onnxruntime."""

    def __init__(self, file: Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtraError(f"{file}, an ONNX file,", extra="export") from None

        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others compute
        self._session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
        entries = self._session.get_modelmeta().custom_metadata_map
        self.description = FileDescription.read(entries, file)
        self.runtime = f"onnxruntime {onnxruntime.__version__}"
        self._names = [one.name for one in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `ExportedFile.run`."""
        found = self._session.run(self._names, dict(inputs))
        return dict(zip(self._names, found, strict=True))


class OpenVinoFile(ExportedFile):
    """An intermediate representation in OpenVINO, in float32."""

    def __init__(self, file: Path) -> None:
        import openvino

        from headstart.engines.openvino import openvino_core

        model = openvino_core().read_model(file)
        self.description = FileDescription.read(_entries(model), file)
        self._model = openvino_core().compile_model(
            model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        self.runtime = f"openvino {openvino.__version__.partition('-')[0]}"

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `ExportedFile.run`."""
        found = self._model(dict(inputs))
        return {one.get_any_name(): np.array(value) for one, value in found.items()}


class TorchFile(ExportedFile):
    """A program of torch.export in PyTorch."""

    def __init__(self, file: Path) -> None:
        try:
            import torch
        except ImportError:
            raise MissingExtraError(f"{file}, a program of PyTorch,", extra="torch") from None

        from headstart.exporting.torch_program import ENTRIES, read_entries

        extra = {ENTRIES: ""}
        program = torch.export.load(file, extra_files=extra)
        self.description = FileDescription.read(read_entries(extra[ENTRIES]), file)
        self._module = program.module()
        self.runtime = f"torch {torch.__version__.partition('+')[0]}"

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `ExportedFile.run`."""
        import torch

        with torch.inference_mode():
            found = self._module(*(torch.from_numpy(np.array(one)) for one in inputs.values()))
        names = FileAnswer._fields
        return {name: value.numpy() for name, value in zip(names, found, strict=False)}


_FILES: dict[Format, type[ExportedFile]] = {
    Format.ONNX: OnnxFile,
    Format.OPENVINO: OpenVinoFile,
    Format.TORCH: TorchFile,
}


def open_exported(file: Path) -> ExportedFile:
    """Open a file that `export` wrote.

    Raises:
        UserError: It is missing, is not one, or is damaged.
        MissingExtraError: The library that runs it is not installed.
    """
    kind = Format.of(file)
    if not file.is_file():
        raise UserError(f"there is no file {file}; check the path")
    try:
        return _FILES[kind](file)  # type: ignore[call-arg]
    except (UserError, ImportError, MemoryError):
        raise
    except Exception as error:  # every library raises exceptions of its own
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise UserError(f"{file} cannot be read ({reason}); export the model again") from error


def _entries(model: Any) -> dict[str, str]:
    """Return the entries of an OpenVINO model, which keeps those of an ONNX file under this."""
    if not model.has_rt_info(["framework"]):
        return {}
    found = model.get_rt_info(["framework"]).value
    return {name: str(getattr(value, "value", value)) for name, value in found.items()}


def _answer(outputs: Mapping[str, np.ndarray]) -> FileAnswer:
    novelty, known = outputs.get("novelty"), outputs.get("known")
    return FileAnswer(
        probabilities=np.asarray(outputs["probabilities"], np.float32),
        label=int(outputs["label"]),
        novelty=None if novelty is None else float(novelty),
        known=None if known is None else bool(known),
    )
