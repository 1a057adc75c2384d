"""The documents of explain, attack, features and robustness."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from headstart.inspection.feature_maps import Channel
from headstart.models.deciding_places import DecidingPlace
from headstart.types import ClassProbability, Conflict, Interval, Norm, Skipped


class MapDocument(TypedDict):
    """The map of one attribution method, and how faithful it is.

    Attributes:
        method: Name of the method.
        stage: The stage that it looks at; null for the pixels.
        deletion: Score while the most relevant pixels are removed; lower is better.
        insertion: Score while they are inserted into a blurred image; higher is better.
        random_deletion: Mean deletion score of shifted maps.
        random_insertion: Mean insertion score of shifted maps.
        trustworthy: Whether both scores are better than those of shifted maps.
        overlay: The file with the map over the image.
    """

    method: str
    stage: str | None
    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float
    trustworthy: bool
    overlay: Path


class Explained(TypedDict):
    """An image, its prediction, and the class that is explained.

    Attributes:
        image: The path, as it was given.
        label: The most probable class.
        probability: Its probability, in [0, 1].
        explained: The class that is explained: the most probable one, or that of `--class`.
        explained_probability: Its probability, in [0, 1].
        sheet: The file with all maps.
        maps: One for each method.
        where: The places that decided, of models that see tiles.
        marked: The copy with these places marked; null if there is none.
    """

    image: Path
    label: str
    probability: float
    explained: str
    explained_probability: float
    sheet: NotRequired[Path]
    maps: NotRequired[Sequence[MapDocument]]
    where: NotRequired[Sequence[DecidingPlace]]
    marked: NotRequired[Path | None]


class LeftOut(TypedDict):
    """A file that could not be read.

    Attributes:
        image: The path, as it was given.
        reason: Why.
    """

    image: str
    reason: str


class ExplainDocument(TypedDict):
    """The document of `headstart explain --json`.

    Attributes:
        backbone: Name of the backbone.
        views: Names of its views; not with tiles.
        seed: What `--seed` said; not with tiles.
        images: One for each image that could be read.
        skipped: Files that could not be read, with reasons.
    """

    backbone: str
    views: NotRequired[Sequence[str]]
    seed: NotRequired[int]
    images: Sequence[Explained]
    skipped: Sequence[LeftOut]


class AttackDocument(TypedDict):
    """The document of `headstart attack --json`.

    Attributes:
        success: Whether the saved file is predicted as wanted; with `--jpeg`, both files.
        before: The most probable class of the image.
        after: That of the saved file.
        jpeg: That of the result as JPEG; null without `--jpeg`.
        linf: Largest change of any channel of any pixel, in [0, 1].
        l2: Euclidean norm of the change, of pixels in [0, 1].
        steps: Number of gradients computed.
        seconds: Duration of the attack.
        to: The wanted class; null for any other one.
        method: Name of the attack.
        norm: What measures the change.
        confidence: The probability that was asked for, or null.
        backbone: Name of the backbone.
        views: Names of its views.
        seed: What `--seed` said.
        image: The image, as it was given.
        out: The file that was written.
        comparison: The figure that was written.
        jpeg_out: The JPEG that was written; null without `--jpeg`.
    """

    success: bool
    before: ClassProbability
    after: ClassProbability
    jpeg: ClassProbability | None
    linf: float
    l2: float
    steps: int
    seconds: float
    to: str | None
    method: str
    norm: Norm
    confidence: float | None
    backbone: str
    views: Sequence[str]
    seed: int
    image: Path
    out: Path
    comparison: Path
    jpeg_out: Path | None


class FiltersDocument(TypedDict):
    """The filters of the first convolution.

    Attributes:
        layer: Its name.
        count: Number of filters.
        height: Height of a filter.
        width: Width of a filter.
        file: The figure of them.
    """

    layer: str
    count: int
    height: int
    width: int
    file: str


class StageDocument(TypedDict):
    """The strongest channels of a stage.

    Attributes:
        name: Name of the stage.
        channels: Number of its channels.
        height: Height of a map; 1 in fully connected layers.
        width: Width of a map.
        ranked: The strongest channels, in descending order.
        file: The figure of them.
    """

    name: str
    channels: int
    height: int
    width: int
    ranked: Sequence[Channel]
    file: str


class FeaturesDocument(TypedDict):
    """The document of `headstart features --json`.

    Attributes:
        image: The image, as it was given.
        backbone: Name of the backbone.
        view: Name of the view of the image.
        overview: The figure of all stages, in the folder of `--out`, as are all files.
        stages: Shallow to deep.
        filters: Only with `--filters`, if the network has a convolution.
    """

    image: Path
    backbone: str
    view: str
    overview: str
    stages: Sequence[StageDocument]
    filters: NotRequired[FiltersDocument]


class TestedAccuracy(TypedDict):
    """An accuracy.

    Attributes:
        accuracy: Share of the images that are predicted correctly.
        interval: Its 95% interval.
        images: Number of images.
        correct: Number of images that are predicted correctly.
    """

    accuracy: float
    interval: Interval
    images: int
    correct: int


class AttackedAccuracy(TestedAccuracy):
    """The accuracy under attack.

    Attributes:
        epsilon: Size of the change, for pixels from 0 to 1.
        epsilon_255: The same for pixels from 0 to 255.
    """

    epsilon: float
    epsilon_255: float


class CorruptedAccuracy(TestedAccuracy):
    """The accuracy on corrupted images.

    Attributes:
        strength: From 1 to 5.
    """

    strength: int


class AttackedImage(TypedDict):
    """What the attack did to one image.

    Attributes:
        image: Its path.
        label: Its class.
        wrong_at: The smallest size at which it is misclassified; null if it never is.
    """

    image: str
    label: str
    wrong_at: float | None


class RobustnessDocument(TypedDict):
    """The document of `headstart robustness --json`, and of robustness.json.

    Attributes:
        backbone: Name of the backbone.
        views: Names of its views.
        model: The folder of the model; null for a network by its name.
        data: Name of the data set.
        images: Number of images that were tested.
        available: Number of images that could be tested.
        norm: What measures the changes.
        steps: Steps of the attack per start.
        restarts: Number of starts of the attack.
        seed: What `--seed` said.
        clean: The accuracy without changes.
        attack: The accuracy at each size of the change, in ascending order.
        corruptions: The accuracies under each corruption, at strengths from 1 to 5.
        corruption_accuracy: The mean of these.
        by_image: The smallest change that each image is misclassified at.
        skipped: Files that could not be used, with reasons.
        conflicts: Identical files with different labels, which were left out.
        seen: Number of images that were left out because the model was trained on them.
    """

    backbone: str
    views: Sequence[str]
    model: Path | None
    data: str
    images: int
    available: int
    norm: Norm
    steps: int
    restarts: int
    seed: int
    clean: TestedAccuracy
    attack: Sequence[AttackedAccuracy]
    corruptions: Mapping[str, Sequence[CorruptedAccuracy]]
    corruption_accuracy: float
    by_image: Sequence[AttackedImage]
    skipped: Sequence[Skipped]
    conflicts: Sequence[Conflict]
    seen: int
