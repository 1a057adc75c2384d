"""The ladder: networks that transfer best at their cost by published results, the cheapest first.

They need a download, and PyTorch. Their published figures are of different kinds (top-1 accuracy on
ImageNet after fine-tuning, of a linear classifier, or without training), so that only figures of
one kind can be compared; `headstart compare` measures them on the user's images.
"""

from dataclasses import dataclass
from typing import Final

from headstart.backbones.download import hub_files
from headstart.backbones.source import published_weights

_PERMISSIVE: Final = ("Apache-2.0", "MIT")
_CLIMBED: Final = 7_000_000_000
"""Multiply-adds of the largest network that is tried unasked: 17 times the default one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A network of the ladder, at the size that it is recommended for.

    Attributes:
        name: the view, for `--views` and `headstart compare`: a name for `load_backbone`, with the
            size after "@" if it is not that of the weights.
        parameters: number of parameters.
        multiply_adds: number of multiply-adds per image, attention included.
        input_size: side of the input in pixels.
        license: license of the weights: SPDX identifier, or the publisher's name for it.
        gated: whether the download needs an account that has accepted its terms.
        figure: published accuracy on ImageNet, 0 to 1.
        measure: how that was measured: "fine-tuned", "linear" or "zero-shot".
        figure_size: side of the input in pixels that it was measured at.
        reference: URL of the figure.
        on_this_machine: whether loading needs no download.
    """

    name: str
    parameters: int
    multiply_adds: int
    input_size: int
    license: str
    gated: bool
    figure: float
    measure: str
    figure_size: int
    reference: str
    on_this_machine: bool

    @property
    def climbed(self) -> bool:
        """Whether it is tried unasked: neither gated, nor restricted in its use, nor large."""
        free = not self.gated and self.license in _PERMISSIVE
        return free and self.multiply_adds <= _CLIMBED


def ladder() -> tuple[Rung, ...]:
    """List the ladder, the cheapest network first."""
    return tuple(
        Rung(
            name=name,
            parameters=int(row["parameters"]),
            multiply_adds=int(row["multiply_adds"]) * 1_000_000,
            input_size=int(row["input_size"]),
            license=row["license"],
            gated=row["gated"] == "yes",
            figure=round(float(row["figure"]) / 100, 5),
            measure=row["measure"],
            figure_size=int(row["figure_size"]),
            reference=row["reference"],
            on_this_machine=_is_here(name),
        )
        for name, row in published_weights("ladder").items()
    )


def _is_here(name: str) -> bool:
    files = hub_files(f"timm/{name.removeprefix('timm:').partition('@')[0]}")
    return any(file.suffix in (".safetensors", ".bin") for file in files)
