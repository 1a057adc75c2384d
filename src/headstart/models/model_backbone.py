"""The backbone of a trained model, with the weights that it was trained with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.backbones import load_backbone
from headstart.backbones.backbone import Backbone
from headstart.backbones.stages import LOGITS
from headstart.errors import BackboneError, NotCachedError, SavedModelError, UserError
from headstart.features.extractor import Extractor, build_extractor
from headstart.features.views import View
from headstart.heads.blend import BlendedHead
from headstart.models.trained_model import BackboneOrigin, Model
from headstart.system.text import join_names
from headstart.types import EngineName, Precision


def build_model_extractor(
    model: Model,
    *,
    weights: Path | None = None,
    engine: EngineName = EngineName.AUTO,
    precision: Precision = Precision.AUTO,
    cache: Path | None = None,
    allow_download: bool = False,
) -> Extractor:
    """Load the backbone that a model was trained on; see `build_extractor` for the arguments.

    A model may come from anyone, so its weights are downloaded only with `allow_download`.

    Raises:
        NotCachedError: The weights are not on this machine, and must not be downloaded.
        SavedModelError: The weights found are not those that the model was trained with.
    """
    require_weights_file(model, weights)
    with _no_unasked_download(model):
        extractor = build_extractor(
            model.origin.backbone,
            weights=weights,
            engine=engine,
            precision=precision,
            cache=cache,
            allow_download=allow_download,
        )
        published = {extractor.backbone.name: extractor.backbone} if weights is None else {}
        for one in model.members[1:]:
            name = one.origin.backbone
            if name not in published:
                published[name] = load_backbone(name, weights=None, allow_download=allow_download)
    others = {one.origin: published[one.origin.backbone] for one in model.members[1:]}
    for origin, backbone in others.items():
        check_origin(origin, backbone)
    extractor = extractor.with_backbone(tuned_backbone(model, extractor.backbone))
    if model.origin.view:
        extractor = extractor.as_view(View.parse(model.origin.view))
    if not others:
        return extractor
    return extractor.with_views(
        {View.parse(origin.name): backbone for origin, backbone in others.items()}
    )


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


def require_weights_file(model: Model, weights: Path | None) -> None:
    """Check that a file is given for a model that was trained with weights from a file.

    Raises:
        SavedModelError: The model needs such a file, and `weights` is None.
    """
    source = model.origin.source
    if weights is None and ":" not in source:  # neither a package nor a URL
        raise SavedModelError(
            f"the model was trained with the weights in a file named {source} (digest "
            f"{model.origin.weights}); give it with --weights FILE"
        )


def require_one_view(model: Model) -> None:
    """Check that a model is a head on one view of the images.

    Raises:
        UserError: It averages several.
    """
    if model.members:
        names = join_names([one.origin.name for one in model.members])
        raise UserError(
            f"this needs a model that sees the images in one way, and the model averages "
            f"{len(model.members)} views ({names}); fit one with --quality fast"
        )


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
    check_origin(model.origin, backbone)
    widths = {stage.name: stage.width for stage in backbone.stages} | {LOGITS: len(backbone.labels)}
    stages, head = model.origin.stages, model.head
    first = head.members[0] if isinstance(head, BlendedHead) else head
    if not widths.keys() >= set(stages) or sum(widths[one] for one in stages) != first.width:
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
        raise SavedModelError(
            f"the model was trained on {origin.backbone} with weights {origin.weights} (from "
            f"{origin.source}), but the weights found here are {weights.digest} (from "
            f"{weights.source}); give the right ones with --weights FILE"
        )


def tuned_backbone(model: Model, backbone: Backbone) -> Backbone:
    """Return the network that a model runs on: the backbone with the fine-tuned weights, if any.

    The backbone is the model's as published, or what this function returned.

    Raises:
        SavedModelError: The backbone is not the model's, or the model is damaged.
    """
    if model.tuning is not None and backbone.weights.digest == model.tuning.weights:
        return backbone
    check_weights(model, backbone)
    if model.tuning is None:
        return backbone
    try:
        tuned = backbone.with_tensors({**backbone.tensors(), **model.tail})
    except BackboneError as error:
        raise SavedModelError(f"the model is damaged ({error}); copy or fit it again") from error
    if tuned.weights.digest != model.tuning.weights:
        raise SavedModelError(
            f"the digest of the model's weights is {tuned.weights.digest}, but its manifest says "
            f"{model.tuning.weights}; the model is damaged: copy or fit it again"
        )
    return tuned
