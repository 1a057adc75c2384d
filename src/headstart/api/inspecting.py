"""Look inside a network: explanations, attacks, ideal images, feature maps, robustness.

All of it needs PyTorch. A network is a model, a fitted classifier or the folder of a model; or a
backbone, by its name, its file, or as a module with its `preprocessing`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Unpack

from headstart.api.inputs import Data, give_warnings, open_data
from headstart.api.networks import Loading, Network, open_network
from headstart.errors import UserError
from headstart.images.decode import open_image
from headstart.images.preprocessing import prepare
from headstart.inspection.adversarial_file import AdversarialImage, attack_file
from headstart.inspection.attack_choice import chosen_attack, chosen_method, chosen_threat
from headstart.inspection.attacks import APGD, Attack, Threat
from headstart.inspection.explanation import Explainer, Explanation, predict_files
from headstart.inspection.feature_maps import TOP, FeatureMaps, first_filters, stage_maps
from headstart.inspection.ideal_image import IdealImage, synthesize
from headstart.inspection.labeled_sample import draw_sample
from headstart.inspection.receptive_fields import receptive_fields
from headstart.inspection.robustness import measure_robustness
from headstart.inspection.robustness_result import Robustness
from headstart.inspection.synthesis.recipe import BEST, CHANNEL, LESSON, SynthesisRecipe
from headstart.inspection.synthesis_target import Target, class_target, unit_target
from headstart.models.image_inputs import image_files
from headstart.models.image_sources import AnyImage, Images
from headstart.models.network_options import enum_member
from headstart.system.cache_folder import cache_root
from headstart.system.progress import progress
from headstart.types import Norm

_RECIPES = {"best": BEST, "lesson": LESSON}
_QUALITY = 90
_FRAMES = 40


def explain(
    network: Network,
    images: Images,
    *,
    methods: Sequence[str] = (),
    class_name: str | None = None,
    stage: str | None = None,
    seed: int = 0,
    verbose: bool | None = None,
    **loading: Unpack[Loading],
) -> list[Explanation]:
    """Show which pixels predictions depend on, and test the maps.

    Args:
        network: A model, a fitted classifier or the folder of a model; or a backbone, by its name
            or file, or as a module.
        images: Images, as for `headstart.Classifier`: files, an `ImageDataset`, or images in
            memory, which are written to the cache. Those that cannot be read are left out, with a
            warning.
        methods: Attribution methods, such as "grad-cam"; by default all.
        class_name: The class to explain; by default the predicted one.
        stage: The stage whose activations Grad-CAM uses.
        seed: Random seed of the shifted maps that each map is compared with.
        verbose: Whether to show progress; None does so in terminals and notebooks only.
        loading: `preprocessing` of a module; `weights`, `device`, `allow_download` and
            `allow_code`, as for `headstart.Classifier.load`.

    Returns:
        An explanation of each readable image; `plot()` draws its maps.

    Raises:
        DataError: No image can be read, or there is no such class.
        MissingExtraError: PyTorch, or captum for a method that needs it, is not installed.
        UserError: A method is unknown, or the model sees images in tiles.

    Example:
        >>> import headstart
        >>> (found,) = headstart.explain("model", ["new.jpg"], methods=["grad-cam"])
        >>> found.prediction.explained
        'cat'
    """
    opened = open_network(network, **loading)
    explainer = Explainer(opened, methods, stage=stage, seed=seed)
    predictions, skipped = predict_files(opened, _files(images), explain=class_name)
    found = []
    with progress(verbose=verbose) as bars:
        bar = bars.bar("images", "images")
        for done, prediction in enumerate(predictions, start=1):
            found.append(explainer.explain(prediction))
            bar(done, len(predictions))
    give_warnings(f"{one.path} is left out: {one.reason}" for one in skipped)
    return found


def attack(
    network: Network,
    image: AnyImage,
    *,
    to: str | None = None,
    norm: str = Norm.LINF.value,
    epsilon: float | None = None,
    method: str | Attack | None = None,
    steps: int | None = None,
    restarts: int | None = None,
    momentum: float | None = None,
    confidence: float | None = None,
    jpeg: bool = False,
    out: str | Path | None = None,
    seed: int = 0,
    **loading: Unpack[Loading],
) -> AdversarialImage:
    """Change an image slightly so that the network misclassifies it.

    Args:
        network: As for `explain`.
        image: An image: a file, a Pillow image, an array or bytes.
        to: The class to imitate, or a group of ImageNet classes such as "cat"; by default any.
        norm: "linf" or "l2", which measures the change.
        epsilon: Largest change of pixels in [0, 1]; by default 4/255, and for l2 the smallest that
            works.
        method: "apgd", "pgd", "fgsm", "minimum-norm", or an attack of
            `headstart.inspection.attacks`.
        steps: Number of steps per start at most.
        restarts: Number of starts.
        momentum: Momentum of "pgd".
        confidence: Probability that the class that wins must have, in [0, 1); None goes on until
            it wins.
        jpeg: Whether the image must fool the network also as a JPEG of quality 90.
        out: The PNG file to write, with `jpeg` also a JPEG beside it; None keeps no file.
        seed: Random seed of the starts.
        loading: As for `explain`.

    Returns:
        The image before and after; `success` tells whether it is misclassified. `plot()` shows it.

    Raises:
        DataError: There is no such class, or the image is already predicted as `to`.
        MissingExtraError: PyTorch is not installed.
        UnreadableImageError: The image cannot be read.
        UserError: A setting is impossible.

    Example:
        >>> import headstart
        >>> found = headstart.attack("model", "new.jpg", epsilon=16 / 255, steps=5)
        >>> found.linf <= 16 / 255
        True
    """
    (file,), kind = _files([image]), enum_member(Norm, norm, "norm")
    open_image(file)  # before the network is loaded, which takes time
    if isinstance(method, Attack):
        name, search = "", method
    else:
        name = chosen_method(method, kind, epsilon)
        search = chosen_attack(name, steps=steps, restarts=restarts, momentum=momentum)
    threat: Threat = chosen_threat(kind, epsilon, name, file)
    opened = open_network(network, **loading)
    with _kept(out) as path:
        return attack_file(
            opened,
            file,
            out=path,
            to=to,
            attack=search,
            threat=threat,
            confidence=confidence,
            jpeg=(path.with_suffix(".jpg"), _QUALITY) if jpeg else None,
            seed=seed,
        )


def imagine(
    network: Network,
    classes: str | Iterable[str] = (),
    *,
    stage: str | None = None,
    channel: int | None = None,
    at: tuple[int, int] | None = None,
    view: str | None = None,
    method: str | SynthesisRecipe = "best",
    steps: int | None = None,
    tv: float | None = None,
    size: int | None = None,
    start: AnyImage | None = None,
    count: int = 1,
    frames: bool = False,
    out: str | Path | None = None,
    seed: int = 0,
    verbose: bool | None = None,
    **loading: Unpack[Loading],
) -> tuple[IdealImage, ...]:
    """Synthesize the images that maximize classes, or a channel.

    Args:
        network: As for `explain`.
        classes: Names of classes, ImageNet indices such as "281", or groups such as "cat"; or none,
            with a `stage` and a `channel`.
        stage: The stage of the channel to maximize instead of a class.
        channel: The channel, counted from 0.
        at: Row and column of a single unit of the channel.
        view: Of a model with several views, the one whose network has the stage.
        method: "best", "lesson", or a recipe of `headstart.inspection.synthesis.recipe`.
        steps: Steps of gradient ascent.
        tv: Weight of the total variation.
        size: Width and height in pixels; by default those of the network's input, for "best" at
            least 384.
        start: The image to start from instead of noise.
        count: Number of images per class, each with a seed of its own.
        frames: Whether to write an animation beside the PNG file.
        out: The PNG file to write; several images get numbers. None keeps no file.
        seed: Random seed of the first image.
        verbose: Whether to show progress; None does so in terminals and notebooks only.
        loading: As for `explain`.

    Returns:
        The images, `count` of each class in turn; `pixels` is each as an array, (H, W, 3) uint8.

    Raises:
        BackboneError: There is no such stage.
        DataError: There is no such class.
        MissingExtraError: PyTorch is not installed.
        UserError: Settings contradict each other.

    Example:
        >>> import headstart
        >>> (found,) = headstart.imagine("model", "dog", steps=2, size=64)
        >>> found.pixels.shape
        (64, 64, 3)
    """
    names = [classes] if isinstance(classes, str) else list(dict.fromkeys(classes))
    if bool(names) == (stage is not None) or (stage is None) != (channel is None):
        raise UserError(
            "give either classes, such as 'zebra', or a stage and a channel, such as "
            "stage='stage_5', channel=0"
        )
    if isinstance(method, str) and method not in _RECIPES:
        raise UserError(f"there is no method {method!r}; choose from {', '.join(_RECIPES)}")
    if frames and out is None:
        raise UserError("frames are written beside out; give a file, such as out='zebra.png'")
    opened = open_network(network, **loading)
    targets: list[Target] = [class_target(opened, name) for name in names]
    if stage is not None and channel is not None:
        targets = [unit_target(opened, stage, channel, at, view=view)]
    recipe = _RECIPES[method] if isinstance(method, str) else method
    if recipe is BEST and stage is not None:
        recipe = CHANNEL
    with progress(verbose=verbose) as bars, _kept(out) as path:
        return synthesize(
            opened,
            targets,
            recipe.with_settings(steps=steps, tv=tv),
            out=path,
            seeds=range(seed, seed + count),
            size=size,
            start=None if start is None else _files([start])[0],
            frames=_FRAMES if frames else 0,
            progress=bars.bar("steps", "steps"),
        )


def feature_maps(
    network: Network,
    image: AnyImage,
    *,
    stages: Sequence[str] = (),
    top: int = TOP,
    filters: bool = False,
    fields: bool = False,
    view: str | None = None,
    **loading: Unpack[Loading],
) -> FeatureMaps:
    """Compute the strongest feature maps of an image at each stage of a network.

    Args:
        network: As for `explain`.
        image: An image: a file, a Pillow image, an array or bytes.
        stages: Names of stages; by default all.
        top: Number of channels per stage.
        filters: Whether to return the filters of the first layer too.
        fields: Whether to return receptive fields too: the part of the image that the middle of
            each stage's maps depends on.
        view: Of a model with several views, the one whose network to show.
        loading: As for `explain`.

    Returns:
        The maps; `plot()` draws them, `plot(stage=...)` those of one stage, and `plot(kind=...)`
            the "filters" or the "fields".

    Raises:
        BackboneError: There is no such stage.
        MissingExtraError: PyTorch is not installed.
        UnreadableImageError: The image cannot be read.

    Example:
        >>> import headstart
        >>> found = headstart.feature_maps("efficientnet-lite0", "new.jpg", top=4)
        >>> found.stages[0].maps.shape[0]
        4
    """
    (file,) = _files([image])
    original = open_image(file)
    shown = open_network(network, **loading).differentiable.view(view)
    pixels = prepare(original, shown.preprocessing)
    return FeatureMaps(
        network=shown.name,
        image=file.name if isinstance(image, str | os.PathLike) else "the image",
        pixels=pixels,
        stages=stage_maps(shown, pixels, stages=stages, top=top),
        filters=first_filters(shown.network) if filters else None,
        fields=receptive_fields(shown, stages) if fields else None,
    )


def robustness(
    network: Network,
    data: Data,
    *,
    images: int = 200,
    norm: str = Norm.LINF.value,
    epsilons: Sequence[float] | None = None,
    steps: int = 50,
    restarts: int = 1,
    seed: int = 0,
    verbose: bool | None = None,
    cache: str | Path | None = None,
    **loading: Unpack[Loading],
) -> Robustness:
    """Measure accuracy under attacks and image corruptions.

    Args:
        network: As for `explain`.
        data: A data set, or the path or name of one; if it has a test part, only that is used.
        images: Number of images to test, balanced over the classes.
        norm: "linf" or "l2", which measures changes.
        epsilons: Sizes of the change, of pixels in [0, 1]; by default 0 to 8/255, for l2 0 to 4.
        steps: Steps of the attack per start.
        restarts: Number of starts; more make the attack stronger.
        seed: Random seed of the sample, the attack, noise and fog.
        verbose: Whether to show progress; None does so in terminals and notebooks only.
        cache: The cache folder, as for `headstart.Classifier`.
        loading: As for `explain`.

    Returns:
        The accuracies; `plot()` draws them.

    Raises:
        DataError: The network knows none of the classes, no image is left, or an epsilon is
            impossible.
        MissingExtraError: PyTorch is not installed.

    Example:
        >>> import headstart
        >>> found = headstart.robustness(
        ...     "model", "test-photos/", images=2, epsilons=[4 / 255], steps=2
        ... )
        >>> len(found.sample)
        2
    """
    kind = enum_member(Norm, norm, "norm")
    opened = open_network(network, **loading)
    with progress(verbose=verbose) as bars:
        sample = draw_sample(
            open_data(data, bars, cache=cache, require_classes=1).test_images(),
            opened.differentiable,
            model=opened.model,
            images=images,
            seed=seed,
            progress=bars.bar("images", "images"),
        )
        return measure_robustness(
            opened,
            sample,
            norm=kind,
            epsilons=epsilons,
            attack=APGD(steps=steps, restarts=restarts),
            seed=seed,
            on_steps=bars.bar("attacking", "steps"),
            on_images=bars.bar("corrupting", "images"),
        )


def _files(images: Images) -> list[Path]:
    return image_files(images, cache=cache_root(None))


@contextmanager
def _kept(out: str | Path | None) -> Iterator[Path]:
    """Provide the file to write, or one that is deleted."""
    if out is not None:
        yield Path(out)
        return
    with TemporaryDirectory(prefix="headstart-") as folder:
        yield Path(folder) / "image.png"
