"""The natural next step after each command, as a command line with the paths of this run.

Capital letters stand for what is not known yet: IMAGES, PHOTOS, CLASS, LESSON.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from headstart.cli.options import DatasetOptions
from headstart.types import DEFAULT_BACKBONE

_OPENING: Final = ("predict", "evaluate", "fit", "explain", "attack", "serve")
"""Commands that may open a network that is code."""
_LOADING: Final = ("explain", "attack")
"""Commands that follow for the same network, whose weights may be in a file."""
_ANOTHER: Final = "efficientnet-lite2"
"""A network that needs no download, other than the default."""
Given = Mapping[str, Any]
"""The values of a command's arguments and options by parameter."""


class NextStep(NamedTuple):
    """A command and what it is for."""

    purpose: str
    words: tuple[Any, ...]

    @property
    def command(self) -> str:
        """The command as it is typed."""
        words = [str(word) for word in ("headstart", *self.words)]
        return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)

    def __str__(self) -> str:
        return f"next, {self.purpose}: {self.command}"


def next_step(verb: str, given: Given, found: Any = None) -> NextStep | None:
    """Return what most users do after a command; None if nothing follows.

    Args:
        verb: The command that succeeded.
        given: The values that it ran with.
        found: What it returned: the recommended backbone of `compare`, the number of issues of
            `audit`, None if there is only one class, whether `fit` tested the model.
    """
    step = _STEPS[verb](given, found) if verb in _STEPS else None
    return step and NextStep(step.purpose, (*step.words, *_same_options(step.words, given)))


def _same_options(words: tuple[Any, ...], given: Given) -> Iterator[Any]:
    """Yield the options that the next command needs to read the same images and network."""
    if given.get("data") in words:
        names = given.keys() & {one.name for one in fields(DatasetOptions)}
        reading = DatasetOptions(**{name: given[name] for name in names})
        for option, value in reading.arguments().items():
            if option not in words:
                yield from (option, value)
    if words[0] in _LOADING and (weights := given.get("weights")):
        yield from ("--weights", weights)
    if given.get("allow_code") and words[0] in _OPENING:
        yield "--allow-code"


def _predict(given: Given, model: Any) -> NextStep:
    del given
    return NextStep("predict new images", ("predict", model, "IMAGES"))


def _after_fit(given: Given, tested: bool) -> NextStep:
    if tested:
        return _predict(given, given["out"])
    words = ("fit", given["data"], "--out", given["out"])
    return NextStep("add images of each class, and train again to learn the accuracy", words)


def _after_finetune(given: Given, _: Any) -> NextStep:
    return NextStep(
        "test it on photos that it has not seen", ("evaluate", given["out"], "TEST-PHOTOS")
    )


def _after_audit(given: Given, issues: Any) -> NextStep | None:
    data, out = given["data"], given["out"]
    if given["apply"]:
        return _after_fit(given, tested=True)
    if issues is None:  # nothing can be trained on one class
        return None
    if not issues:
        return NextStep("train on these images", ("fit", data, "--out", "model"))
    table = Path(out, "audit.csv")
    purpose = f"write drop or relabel in the column action of {table}, and train on what it says"
    return NextStep(purpose, ("fit", data, "--review", table, "--out", "model"))


def _after_predict(given: Given, _: Any) -> NextStep | None:
    if given["output"] not in (None, "table"):
        return None
    model, image = given["model"], given["images"][0]
    if _can_explain() and image.is_file():  # neither a folder nor moved into one
        return _explain(model, image)
    return NextStep("measure how often it is right", ("evaluate", model, "TEST-PHOTOS"))


def _after_classify(given: Given, _: Any) -> NextStep | None:
    if given["output"] not in (None, "table"):
        return None
    return NextStep("train on classes of your own", ("fit", "PHOTOS", "--out", "model"))


def _after_evaluate(given: Given, _: Any) -> NextStep:
    if given["out"] is None:
        words = ("evaluate", given["model"], given["data"], "--out", "evaluation")
        return NextStep("see the images that it gets most wrong", words)
    return _predict(given, given["model"])


def _after_info(given: Given, _: Any) -> NextStep:
    return _predict(given, given["model"])


def _after_compare(given: Given, backbone: Any) -> NextStep:
    option = "--views" if "@" in str(backbone) else "--backbone"  # the former has a size
    chosen = () if backbone in (None, DEFAULT_BACKBONE) else (option, backbone)
    return NextStep("train on this network", ("fit", given["data"], *chosen, "--out", "model"))


def _after_backbones(_: Given, __: Any) -> NextStep:
    words = ("compare", "PHOTOS", "--out", "comparison")
    return NextStep("measure which suits your images", words)


def _after_report(given: Given, _: Any) -> NextStep | None:
    if given["show"]:
        return None
    out = ("--out", given["out"]) if given["out"] else ()
    return NextStep("see the page in a browser", ("report", given["folder"], *out, "--open"))


def _after_features(given: Given, _: Any) -> NextStep | None:
    network = given["model"] or given["backbone"] or DEFAULT_BACKBONE
    return _explain(network, given["image"]) if _can_explain() else None


def _after_explain(given: Given, _: Any) -> NextStep:
    from headstart.datasets.unpacking import is_archive

    model, (image, *_rest) = given["model"], given["images"]
    name = () if model == DEFAULT_BACKBONE else ("--model", model)
    if name and not Path(model).exists():
        name = ("--backbone", model)
    several = image.is_dir() or is_archive(image)
    words = ("attack", "IMAGE" if several else image, *name, "--out", "adversarial.png")
    return NextStep("see how small a change fools it", words)


def _after_attack(given: Given, _: Any) -> NextStep | None:
    network = given["model"] or given["backbone"] or DEFAULT_BACKBONE
    return _explain(network, given["out"]) if _can_explain() else None


def _after_robustness(given: Given, _: Any) -> NextStep:
    network = ("--model" if Path(given["model"]).exists() else "--backbone", given["model"])
    words = ("attack", "IMAGE", *network, "--out", "adversarial.png")
    return NextStep("see such a change of one image", words)


def _after_imagine(given: Given, _: Any) -> NextStep:
    other = DEFAULT_BACKBONE if given["backbone"] == _ANOTHER else _ANOTHER
    words = ("classify", given["out"], "--backbone", other)
    return NextStep("ask another network what it shows", words)


def _after_classes(_: Given, __: Any) -> NextStep:
    return NextStep("see a network's ideal image", ("imagine", "CLASS", "--out", "ideal.png"))


def _after_export(given: Given, _: Any) -> NextStep:
    consent = ("--allow-code",) if given["out"].suffix.lower() == ".pt2" else ()
    words = ("verify", given["out"], given["data"] or "PHOTOS", *consent)
    return NextStep("check the file again where it is used", words)


def _after_verify(given: Given, _: Any) -> NextStep | None:
    if given["model"] is None:
        return None
    return NextStep("answer requests with the same model", ("serve", given["model"]))


def _after_datasets(_: Given, __: Any) -> NextStep:
    return NextStep("train on one of them", ("fit", "digits", "--out", "digits-model"))


def _after_cache(given: Given, used: int | None) -> NextStep | None:
    return None if given["clear"] or not used else NextStep("free this space", ("cache", "--clear"))


def _after_quiz(_: Given, lesson: int | None) -> NextStep:
    if lesson is None:
        return NextStep("take the quiz of a lesson", ("quiz", "LESSON"))
    from headstart.quiz import list_quizzes

    if lesson + 1 not in {one.number for one in list_quizzes()}:
        return NextStep("choose another quiz", ("quiz",))
    return NextStep("take the quiz of the next lesson", ("quiz", lesson + 1))


def _explain(network: Any, image: Any) -> NextStep:
    return NextStep("see which pixels decide", ("explain", network, image, "--out", "explained"))


def _can_explain() -> bool:
    return all(find_spec(name) is not None for name in ("torch", "captum"))


_STEPS: Final[dict[str, Callable[[Given, Any], NextStep | None]]] = {
    "fit": _after_fit,
    "evaluate": _after_evaluate,
    "predict": _after_predict,
    "classify": _after_classify,
    "info": _after_info,
    "finetune": _after_finetune,
    "audit": _after_audit,
    "compare": _after_compare,
    "backbones": _after_backbones,
    "report": _after_report,
    "features": _after_features,
    "explain": _after_explain,
    "attack": _after_attack,
    "robustness": _after_robustness,
    "imagine": _after_imagine,
    "classes": _after_classes,
    "export": _after_export,
    "verify": _after_verify,
    "quiz": _after_quiz,
    "datasets": _after_datasets,
    "cache": _after_cache,
}
"""`transfer` recommends a step itself; `serve` and `watch` end when someone stops them."""
