"""Write ONNX files by hand, field by field, as the package onnx is not needed for anything else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn


class TinyNet(nn.Module):
    """Two resolutions, a sum of branches, and a classifier of five classes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.fourth = nn.Conv2d(16, 16, 3, padding=1)
        self.fc = nn.Linear(16, 5)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.first(x).relu()
        shallow = (x + self.second(x)).relu()
        return shallow, self.fourth(self.third(shallow).relu()).relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.maps(x)[1].mean((2, 3)))


class Op(NamedTuple):
    kind: str
    inputs: Sequence[str]
    output: str
    attributes: Mapping[str, int | Sequence[int]] = {}


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: Any) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    value = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, 2)
    return _field(1, name) + b"".join(_field(8, one) for one in value) + _field(20, 7)


def _tensor(name: str, array: np.ndarray, elsewhere: str | None) -> bytes:
    dims = b"".join(_field(1, side) for side in array.shape)
    head = dims + _field(2, 1) + _field(8, name)
    if elsewhere is None:
        return head + _field(9, array.astype("<f4").tobytes())
    return head + _field(13, _field(1, "location") + _field(2, elsewhere)) + _field(14, 1)


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    sides = b"".join(_field(1, _field(1 if isinstance(s, int) else 2, s)) for s in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, sides)))


def onnx_bytes(
    ops: Sequence[Op],
    tensors: Mapping[str, np.ndarray],
    *,
    shape: Sequence[int | str] = ("N", 3, 32, 32),
    outputs: Sequence[str] = ("logits",),
    elsewhere: str | None = None,
) -> bytes:
    """A model from "x" of this shape; `elsewhere` is the file that its weights claim to be in."""
    nodes = b"".join(
        _field(
            1,
            b"".join(_field(1, one) for one in op.inputs)
            + _field(2, op.output)
            + _field(3, op.output)
            + _field(4, op.kind)
            + b"".join(_field(5, _attribute(*one)) for one in op.attributes.items()),
        )
        for op in ops
    )
    weights = b"".join(_field(5, _tensor(*one, elsewhere)) for one in tensors.items())
    ends = b"".join(_field(12, _value(name, ["N", "K"])) for name in outputs)
    graph = nodes + _field(2, "g") + weights + _field(11, _value("x", shape)) + ends
    return _field(1, 8) + _field(8, _field(1, "") + _field(2, 17)) + _field(7, graph)


def _convolution(name: str, source: str, stride: int) -> Op:
    options = {"strides": [stride] * 2, "pads": [1] * 4, "kernel_shape": [3, 3]}
    return Op("Conv", [source, f"{name}.weight", f"{name}.bias"], name, options)


TINY = (
    _convolution("first", "x", 2),
    Op("Relu", ["first"], "a"),
    _convolution("second", "a", 1),
    Op("Add", ["a", "second"], "sum"),
    Op("Relu", ["sum"], "shallow"),
    _convolution("third", "shallow", 2),
    Op("Relu", ["third"], "b"),
    _convolution("fourth", "b", 1),
    Op("Relu", ["fourth"], "deep"),
    Op("GlobalAveragePool", ["deep"], "pooled"),
    Op("Flatten", ["pooled"], "flat"),
    Op("Gemm", ["flat", "fc.weight", "fc.bias"], "logits", {"transB": 1}),
)
STATED = {
    "size": 40,
    "crop": 32,
    "interpolation": "bilinear",
    "mean": [0.4, 0.5, 0.6],
    "std": [0.2, 0.25, 0.3],
}


def weights_of(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy() for name, value in model.state_dict().items()}


def write_tiny(folder: Path, *, stated: Mapping[str, Any] | None = STATED, seed: int = 0) -> Path:
    """net.onnx in a folder, and beside it net.toml, unless `stated` is None."""
    file = folder / "net.onnx"
    file.write_bytes(onnx_bytes(TINY, weights_of(TinyNet(seed))))
    if stated is not None:
        write_stated(file, stated)
    return file


def write_program(folder: Path, *, seed: int = 0) -> Path:
    """net.pt2 in a folder, and beside it net.toml."""
    pixels, sizes = torch.zeros(2, 3, 32, 32), ({0: torch.export.Dim("n")},)
    program = torch.export.export(TinyNet(seed).eval(), (pixels,), dynamic_shapes=sizes)
    file = folder / "net.pt2"
    torch.export.save(program, file)
    write_stated(file, STATED)
    return file


def write_stated(network: Path, stated: Mapping[str, Any]) -> None:
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in stated.items()]
    network.with_suffix(".toml").write_text("\n".join(lines))
