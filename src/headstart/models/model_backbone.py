"""The backbone of a trained model, with the weights that it was trained with."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from headstart.backbones import load_backbone
from headstart.backbones.backbone import MODULE, Backbone
from headstart.backbones.stages import LOGITS
from headstart.errors import BackboneError, NotCachedError, SavedModelError, UserError
from headstart.features.extractor import Extractor, build_extractor
from headstart.features.views import Frame, View
from headstart.features.weights_location import find_weights_location, save_weights_location
from headstart.heads.blend import BlendedHead
from headstart.heads.head import Head
from headstart.models.trained_model import BackboneOrigin, Model
from headstart.system.cache_folder import cache_root
from headstart.types import Device, EngineName, Precision


def build_model_extractor(
    model: Model,
    *,
    weights: Path | None = None,
    engine: EngineName = EngineName.AUTO,
    precision: Precision = Precision.AUTO,
    device: Device = Device.AUTO,
    cache: Path | None = None,
    allow_download: bool = False,
    allow_code: bool = False,
    backbone: Backbone | None = None,
) -> Extractor:
    """Load the backbone that a model was trained on; see `build_extractor` for the arguments.

    A `backbone` that is given is used where its weights are those of the model.

    A model may come from anyone, so its weights are downloaded only with `allow_download`,
    and a network that is code is opened only with `allow_code`.

    Raises:
        NotCachedError: The weights are not on this machine, and must not be downloaded.
        SavedModelError: The weights found are not those that the model was trained with.
    """
    members = [one.origin for one in model.members] or [model.origin]
    in_files = [one.weights for one in members if one.in_file]
    given = in_files[0] if in_files else members[0].weights  # the one that `weights` belongs to
    loaded = {} if backbone is None else {backbone.weights.digest: backbone}
    with _no_unasked_download(model):
        for origin in members:
            if origin.weights not in loaded:
                if backbone is not None and origin.backbone.startswith(MODULE):
                    check_origin(origin, backbone)  # no other place has it
                file = weights if origin.weights == given else None
                loaded[origin.weights] = _load(
                    origin, file, cache, allow_download=allow_download, allow_code=allow_code
                )
    first = tuned_backbone(model, loaded[members[0].weights])
    extractor = build_extractor(
        first, engine=engine, precision=precision, device=device, cache=cache
    )
    if model.origin.view:
        extractor = extractor.as_view(View.parse(model.origin.view))
    others = further_backbones(model, loaded)
    return extractor.with_views(others) if others else extractor


def further_backbones(model: Model, loaded: Mapping[str, Backbone]) -> dict[View, Backbone]:
    """Return the networks of a model's further views.

    Args:
        model: The model.
        loaded: The published networks by the digests of their weights.

    Raises:
        SavedModelError: A network is not that of a member, or lacks the stages of its head, or the
            weights of a fine-tuned member are damaged.
    """
    found = {}
    heads = model.head.members if isinstance(model.head, BlendedHead) else ()
    for origin, head in zip([one.origin for one in model.members], heads, strict=True):
        published = loaded[origin.weights]
        _check_head(origin, head, published)
        # Several heads may be on one view.
        if origin.name != model.origin.name:
            view = View.parse(origin.name)
            found[view] = _with_tail(model, published) if view.tuned else published
    return found


def _load(
    origin: BackboneOrigin,
    file: Path | None,
    cache: Path | None,
    *,
    allow_download: bool,
    allow_code: bool,
) -> Backbone:
    """Load the network of one member, from this file or from where its weights were."""
    if file is None and origin.in_file:
        file = find_weights_location(cache_root(cache), origin.weights)
        if file is None:
            raise SavedModelError(
                f"the model was trained with the weights in a file named {origin.source} (digest "
                f"{origin.weights}); give it with --weights FILE"
            )
    found = load_backbone(
        origin.backbone,
        weights=file,
        allow_download=allow_download,
        preprocessing=origin.preprocessing,
        allow_code=allow_code,
    )
    if file is not None:
        save_weights_location(cache_root(cache), found.weights.digest, file)
    return found


@contextmanager
def _no_unasked_download(model: Model) -> Iterator[None]:
    try:
        yield
    except NotCachedError as error:
        raise NotCachedError(
            f"the weights of the model's backbone {model.origin.backbone} are not on this machine; "
            "allow their download with --allow-download (in Python, allow_download=True), or give "
            "their file with --weights FILE",
            addresses=error.addresses,
        ) from error


def check_differentiable(model: Model) -> None:
    """Check that gradients lead through all views of a model to the image.

    Raises:
        UserError: A view shows the image in parts.
    """
    for one in model.all_members:
        if one.origin.view and not View.parse(one.origin.view).frame.differentiable:
            raise UserError(
                f"this needs gradients of the image, and none lead through the view "
                f"{one.origin.name} of the model; fit a model without it, such as with --quality "
                f"fast"
            )


def check_weights(model: Model, backbone: Backbone) -> None:
    """Check that a backbone is the one that a model was trained on.

    Raises:
        SavedModelError: The backbone has other weights, or lacks the head's stages.
    """
    head = model.head
    _check_head(model.origin, head.members[0] if isinstance(head, BlendedHead) else head, backbone)


def _check_head(origin: BackboneOrigin, head: Head, backbone: Backbone) -> None:
    """Check that a published network is the one of a member, and that its head fits it."""
    check_origin(origin, backbone)
    tiled = View.parse(origin.name).frame is Frame.TILES
    outputs = replace(backbone, peaks=tiled).outputs
    widths = {stage.name: stage.width for stage in outputs} | {LOGITS: len(backbone.labels)}
    stages = origin.stages
    if not widths.keys() >= set(stages) or sum(widths[one] for one in stages) != head.width:
        raise SavedModelError(
            f"the model's stages ({', '.join(stages)}) do not fit its head and {backbone.name}; "
            "the model is damaged: copy or fit it again"
        )


def check_origin(origin: BackboneOrigin, backbone: Backbone) -> None:
    """Check that a backbone has the weights that a head was trained on.

    Raises:
        SavedModelError: It has others.
    """
    weights = backbone.weights
    if weights.digest != origin.weights:
        is_code = origin.source == origin.backbone and not origin.in_file
        remedy = "let the code give those" if is_code else "give the right ones with --weights FILE"
        if origin.backbone.startswith(MODULE):
            remedy = "give the module that it was trained on"
        raise SavedModelError(
            f"the model was trained on {origin.backbone} with weights {origin.weights} (from "
            f"{origin.source}), but the weights found here are {weights.digest} (from "
            f"{weights.source}); {remedy}"
        )


def tuned_backbone(model: Model, backbone: Backbone) -> Backbone:
    """Return the network that a model, or its first member, runs on, fine-tuned if it is.

    The backbone is the model's as published, or what this function returned.

    Raises:
        SavedModelError: The backbone is not the model's, or the model is damaged.
    """
    tuning = None if model.members else model.tuning  # of members, a later one is fine-tuned
    if tuning is not None and backbone.weights.digest == tuning.weights:
        return backbone
    check_weights(model, backbone)
    return backbone if tuning is None else _with_tail(model, backbone)


def _with_tail(model: Model, backbone: Backbone) -> Backbone:
    """Return the published network with the fine-tuned weights of the model."""
    expected = model.tuning.weights if model.tuning else "none"
    try:
        tuned = backbone.with_tensors({**backbone.tensors(), **model.tail})
    except BackboneError as error:
        raise SavedModelError(f"the model is damaged ({error}); copy or fit it again") from error
    if tuned.weights.digest != expected:
        raise SavedModelError(
            f"the digest of the model's weights is {tuned.weights.digest}, but its manifest says "
            f"{expected}; the model is damaged: copy or fit it again"
        )
    return tuned
