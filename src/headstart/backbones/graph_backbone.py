"""Backbones that are defined by an OpenVINO graph: networks of the user's own, without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from headstart.backbones.backbone import Backbone, Stage, Tensors, Weights
from headstart.backbones.graph_stages import Activation, find_graph_stages
from headstart.errors import BackboneError, NoTorchFormError
from headstart.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    from headstart.backbones.staged import StagedNetwork

_CHANNELS = 3


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphBackbone(Backbone):
    """A network that only OpenVINO runs.

    Attributes:
        model: `openvino.Model` from normalized pixels to one output; never changed, only copied.
        activations: the tensors of `stages`, in the same order.
        output: the tensor of the network's own output.
        file: the file that it was read from; None if it was given in Python.
    """

    model: Any
    activations: tuple[Activation, ...]
    output: Activation
    file: Path | None

    @property
    def address(self) -> str:
        """See `Backbone.address`."""
        return self.name if self.file is None else str(self.file)

    @property
    def has_graph(self) -> bool:
        """Always True."""
        return True

    @property
    def channels_first(self) -> bool:
        """Whether the input of `model` is (N, 3, H, W), not (N, H, W, 3)."""
        return _is_channels_first(self.model)

    @property
    def any_size(self) -> bool:
        """See `Backbone.any_size`; the graph is tried at another size."""
        try:
            _, stages, output = analyzed(self.model, self.other_side)
        except BackboneError:
            return False
        before = [(one.node, one.width) for one in (*self.activations, self.output)]
        return [(one.node, one.width) for one in (*stages, output)] == before

    def network(self) -> StagedNetwork:
        """See `Backbone.network`.

        Raises:
            NoTorchFormError: always.
        """
        raise NoTorchFormError(
            f"{self.name} runs only in OpenVINO, so nothing that needs gradients or PyTorch works "
            "with it; use a network of torchvision or timm, or give the module to "
            "headstart.Classifier in Python"
        )

    def tensors(self) -> Tensors:
        """See `Backbone.tensors`.

        Raises:
            NoTorchFormError: always; the weights are inside the graph.
        """
        raise NoTorchFormError(
            f"the weights of {self.name} cannot be taken out of its file; use a network of "
            "torchvision or timm"
        )

    def refill(self, tensors: Tensors, weights: Weights) -> GraphBackbone:
        """See `Backbone.refill`.

        Raises:
            NoTorchFormError: always.
        """
        del tensors, weights
        raise NoTorchFormError(f"{self.name} takes no other weights than those in its file")

    def graph(self, *, until: str | None = None) -> Any:
        """See `Backbone.graph`."""
        import openvino as ov
        from openvino import opset13 as op
        from openvino.preprocess import PrePostProcessor

        model = self.model.clone()
        side = self.preprocessing.crop
        model.reshape(_input_shape(model, side, batch=-1))
        tensors = {node.get_friendly_name(): node.output(0) for node in model.get_ordered_ops()}

        def pooled(one: Activation, reduce: Any = op.reduce_mean) -> Any:
            found = tensors[one.node]
            return (
                reduce(found, op.constant(np.array(one.axes)), False)
                if one.axes
                else (op.reshape(found, op.constant(np.array([0, -1])), True))
            )

        kept = list(self.activations)
        if until is not None:
            kept = kept[: [stage.name for stage in self.stages].index(until) + 1]
            flat = op.reshape(tensors[kept[-1].node], op.constant(np.array([0, -1])), True)
        outputs = [pooled(one) for one in kept]
        if until is None and self.peaks:
            outputs += [pooled(one, op.reduce_max) for one in kept]
        outputs.append(pooled(self.output) if until is None else flat)
        results = [op.result(op.convert(one, "f32")) for one in outputs]
        model = ov.Model(results, model.get_parameters())
        steps = PrePostProcessor(model)
        source = steps.input()
        source.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        source.model().set_layout(ov.Layout("NCHW" if _is_channels_first(model) else "NHWC"))
        mean, std = self.preprocessing.mean, self.preprocessing.std
        source.preprocess().convert_element_type(ov.Type.f32).mean(
            [255 * one for one in mean]
        ).scale([255 * one for one in std])
        return steps.build()


def read_graph(
    model: Any,
    *,
    name: str,
    weights: Weights,
    preprocessing: Preprocessing,
    file: Path | None = None,
    structure: str = "",
) -> GraphBackbone:
    """Make a backbone of an `openvino.Model`; see `GraphBackbone` for the arguments.

    Raises:
        BackboneError: it is not a network from one image to one output, or takes another size.
    """
    _use_distinct_names(model)
    try:
        prepared, activations, output = analyzed(model, preprocessing.crop)
    except BackboneError as error:
        raise BackboneError(f"{name} cannot be used as a backbone: {error}") from error
    count = output.width if activations[-1] != output else 0
    return GraphBackbone(
        name=name,
        preprocessing=preprocessing,
        stages=tuple(Stage(one.name, one.width) for one in activations),
        labels=tuple(f"class {index}" for index in range(count)),
        weights=weights,
        stated=preprocessing,
        structure=structure,
        model=prepared,
        activations=activations,
        output=output,
        file=file,
    )


def analyzed(model: Any, side: int) -> tuple[Any, tuple[Activation, ...], Activation]:
    """Return the model, its stages and its output for images of this side.

    Raises:
        BackboneError: it does not take such images, or has no stages.
    """
    from openvino.passes import ConstantFolding, Manager

    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise BackboneError(
            f"it has {len(model.inputs)} inputs and {len(model.outputs)} outputs; export it with "
            "one of each"
        )
    found = model.clone()
    shape = _input_shape(found, side, batch=1)
    try:
        found.reshape(shape)
        static = found.clone()
        found.reshape(_input_shape(found, side, batch=2))  # not exported for one image only
        manager = Manager()
        manager.register_pass(ConstantFolding())
        manager.run_passes(static)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise BackboneError(
            f"it does not take batches of images of {side} x {side} pixels "
            f"({lines[-1][:200] if lines else 'unknown reason'}); export it with a dynamic batch "
            "and for the size that its preprocessing states"
        ) from error
    return model, *find_graph_stages(static)


def _input_shape(model: Any, side: int, *, batch: int) -> Any:
    """Return the shape of the input for images of this side.

    Raises:
        BackboneError: the input is not an RGB image.
    """
    import openvino as ov

    sides = (_CHANNELS, side, side) if _is_channels_first(model) else (side, side, _CHANNELS)
    return ov.PartialShape([batch, *sides])


def _is_channels_first(model: Any) -> bool:
    """Whether the input is (N, 3, H, W), not (N, H, W, 3).

    Raises:
        BackboneError: it is neither.
    """
    kind, shape = model.inputs[0].get_element_type(), model.inputs[0].get_partial_shape()
    if kind.is_real() and shape.rank.is_static and shape.rank.get_length() == 4:
        for axis in (1, 3):
            if shape[axis].is_static and shape[axis].get_length() == _CHANNELS:
                return axis == 1
    raise BackboneError(
        f"its input is {kind.get_type_name()} {shape}; it must be floats (N, 3, H, W) or "
        "(N, H, W, 3)"
    )


def _use_distinct_names(model: Any) -> None:
    seen: set[str] = set()
    for node in model.get_ordered_ops():
        name = node.get_friendly_name()
        while node.get_friendly_name() in seen:
            name += "'"
            node.set_friendly_name(name)
        seen.add(name)
