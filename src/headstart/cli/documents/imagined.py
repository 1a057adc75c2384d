"""The document of `headstart imagine`."""

from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from headstart.cli.imagine import SynthesisMethod

ImaginedImage = TypedDict(  # "class" is no name in Python
    "ImaginedImage",
    {
        "class": NotRequired[str],
        "target": NotRequired[str],
        "method": SynthesisMethod,
        "backbone": str,
        "label": str,
        "probability": float,
        "label_probability": float,
        "seed": int,
        "steps": int,
        "seconds": float,
        "out": Path,
        "frames": NotRequired[Path],
    },
)
ImaginedImage.__doc__ = """An imagined image.

    Attributes:
        class: The class or group that it should show; not for a channel.
        target: The channel or unit that it should show; not for a class.
        method: What `--method` said.
        backbone: Name of the backbone.
        label: The most probable class of the saved file.
        probability: Probability of the class, or of all in the group; of `label` for a channel.
        label_probability: Probability of `label` alone.
        seed: Seed of the initial noise.
        steps: Number of steps.
        seconds: Duration of the synthesis.
        out: The file that was written.
        frames: The animation; only with `--frames`.
    """
ImagineDocument = TypedDict(
    "ImagineDocument",
    {
        "class": NotRequired[str],
        "target": NotRequired[str],
        "method": SynthesisMethod,
        "backbone": str,
        "label": NotRequired[str],
        "probability": NotRequired[float],
        "label_probability": NotRequired[float],
        "seed": int,
        "steps": NotRequired[int],
        "seconds": float,
        "out": Path,
        "frames": NotRequired[Path],
        "pictures": Sequence[ImaginedImage],
        "views": Sequence[str],
    },
)
ImagineDocument.__doc__ = """The document of `headstart imagine --json`.

    Attributes:
        class: As in the only image; left out if there are several.
        target: The same.
        method: What `--method` said.
        backbone: Name of the backbone.
        label: As in the only image; left out if there are several.
        probability: The same.
        label_probability: The same.
        seed: What `--seed` said, the seed of the first image.
        steps: As in the only image; left out if there are several.
        seconds: Duration of all syntheses.
        out: What `--out` said.
        frames: As in the only image; left out if there are several.
        pictures: One for each image.
        views: Names of the views that the images are imagined for.
    """
