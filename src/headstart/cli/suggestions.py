"""What to suggest for a command or option that does not exist: close spellings, other tools' words.

"train" is `fit` here, and "--gpu" is `--device cuda`. Options of other commands are found by
themselves: `--epochs` is one of `finetune`.
"""

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

_VERBS: Final = {
    "fit": "train training learn teach build create new start run trainer",
    "evaluate": "test testing eval val validate validation score accuracy metrics measure",
    "predict": "infer inference recognize detect label guess apply forward",
    "classify": "imagenet zero-shot",
    "finetune": "fine-tune fine_tune tune retrain transfer-learning",
    "compare": "search select automl benchmark choose leaderboard",
    "audit": "clean check lint dedupe duplicates deduplicate quality mislabeled outliers",
    "info": "show describe card model model-card summary inspect",
    "backbones": "models networks architectures list zoo",
    "datasets": "data dataset download",
    "export": "convert save onnx openvino torchscript freeze",
    "serve": "deploy api server host",
    "watch": "monitor sort",
    "explain": "gradcam grad-cam heatmap saliency attribution why interpret visualize",
    "features": "activations feature-maps featuremaps filters layers embed embeddings extract",
    "attack": "adversarial fool perturb",
    "imagine": "dream deepdream generate synthesize",
    "robustness": "robust corruptions noise",
    "transfer": "transferability",
    "cache": "clear purge",
    "--help": "help man usage",
    "--version": "version",
}
"""Words of other tools for each command."""
_OPTIONS: Final = {
    "--device cuda": "gpu cuda use-gpu gpus accelerator",
    "--device cpu": "cpu no-gpu no-cuda use-cpu",
    "--device mps": "mps",
    "--device": "devices",
    "--backbone": "model arch architecture network net base-model pretrained-model encoder m",
    "--out": "output output-dir outdir out-dir save save-dir save-path dest o model-dir",
    "--holdout": "test-size test-split val-split validation-split split val-size test-fraction "
    "valid-pct val test validation",
    "--seed": "random-state random-seed rng",
    "--balance": "class-weight class-weights balanced weighted",
    "--head": "classifier clf head-type",
    "--stage": "layer layers block feature-layer",
    "--rate": "lr learning-rate base-lr",
    "--epochs": "epoch num-epochs n-epochs max-epochs",
    "--batch": "batch-size bs",
    "--top": "topk top-k k num-classes",
    "--quality best": "best accurate slow",
    "--quality fast": "fast quick",
    "--format csv": "csv to-csv",
    "--json": "format-json as-json output-json",
    "--min-probability": "threshold confidence min-confidence conf",
    "--by copy": "copy",
    "--by move": "move",
    "--unknown": "threshold reject ood",
    "--label-column": "label target-column y labels",
    "--image-column": "filename-column path-column x",
    "--group-by": "groups group grouped-by",
    "--epsilon": "eps strength",
    "--epsilons": "epsilon eps",
    "--to": "target target-class",
    "--steps": "iterations iters num-steps n-steps iter max-iter",
    "--class": "target-class category",
    "--cache": "cache-dir cachedir",
    "--allow-download": "download",
    "--size": "image-size img-size imgsz resolution",
    "--views": "image-size img-size imgsz resolution input-size size",
    "--half": "fp16 float16 quantize",
    "--int8": "quantized",
    "--debug": "verbose v traceback",
    "--force": "overwrite f exist-ok yes",
}
"""Words of other tools for each option, without dashes. What exists depends on the command."""
_PERCENT: Final = re.compile(r"'([\d.]+) *%' .*\bnumber\b.*")
"""How Typer says that a percentage is not a number."""
_SHARE: Final = re.compile(r"'([\d.]+)' must be at most (1|0\.\d+)\.?$")
"""How headstart says that a share is too large."""
_COMMA: Final = re.compile(r"'(\d+),(\d+)' is not a number$")
"""How headstart says that a number has a decimal comma."""
_MISSING: Final = re.compile(r"missing option '(--\w+)'", re.IGNORECASE)
"""How click says that an option is missing."""
_OUT: Final = {
    "fit": "model",
    "finetune": "tuned",
    "compare": "comparison",
    "explain": "explained",
    "attack": "adversarial.png",
    "imagine": "ideal.png",
    "export": "model.onnx",
}
"""What --out may be, where it is not the name of the command."""
_EXTRA: Final = re.compile(r"got unexpected extra arguments?(?:\(s\))? \((\S+)[ )]", re.IGNORECASE)
"""How click says that there are too many arguments."""
_CUTOFF: Final = 0.7
"""How close a spelling must be; difflib's default of 0.6 takes --epochs for --depth."""
_SLIP: Final = 0.8
"""How close a word of another tool must be; they are many."""


def other_verb(word: str, commands: Iterable[str]) -> str | None:
    """Return what to use instead of a command that does not exist, as a clause; None if unknown.

    Args:
        word: What was given for a command.
        commands: The names of all commands.
    """
    known = list(commands)
    folded = word.casefold().replace("_", "-")
    meant = [verb for verb, words in _VERBS.items() if folded in words.split()]
    found = [verb for verb in meant if verb in known or verb.startswith("--")]
    if not found and os.path.isdir(word):  # noqa: PTH112 - no error for what cannot be a path
        return f"to train on these images, run headstart fit {shlex.quote(word)} --out model"
    if not found and os.path.isfile(word):  # noqa: PTH113
        return f"to see what an image shows, run headstart classify {shlex.quote(word)}"
    found = found or get_close_matches(folded, known, 2) or _misspelled(folded, known)
    return f"did you mean {' or '.join(f'headstart {verb}' for verb in found)}?" if found else None


def _misspelled(word: str, known: Sequence[str]) -> list[str]:
    """Return the command for another tool's word that this one is a slip of; at most one."""
    words = {one: verb for verb, words in _VERBS.items() for one in words.split() if verb in known}
    return [words[one] for one in get_close_matches(word, words, 1, _SLIP)]


def other_option(name: str, own: Iterable[str], commands: Mapping[str, Any]) -> str | None:
    """Return what to use instead of an option that does not exist, as a clause; None if unknown.

    Args:
        name: The option as it was given, such as "--gpu".
        own: The options of the command it was given to.
        commands: All commands by name.
    """
    mine = set(own)
    theirs = {verb: set(options_of_command(one)) for verb, one in commands.items()}
    asked = [name, *_synonyms(name)]
    for option in asked[1:]:
        if option.split()[0] in mine:
            return f"did you mean {option}?"
    for option in asked:
        if having := [verb for verb, names in theirs.items() if option.split()[0] in names]:
            which = _all_of([f"'headstart {verb}'" for verb in having[:3]])
            many = f"{which} {'has' if len(having) == 1 else 'have'} {option}"
            return f"only {many}" if len(having) <= 3 else f"{many}, but not this command"
    if close := get_close_matches(name, sorted(mine), 2, _CUTOFF):
        return f"did you mean {' or '.join(close)}?"
    every = sorted({one for names in theirs.values() for one in names})
    if close := get_close_matches(name, every, 1, _CUTOFF):
        having = [verb for verb, names in theirs.items() if close[0] in names]
        return f"'headstart {having[0]}' has {close[0]}"
    return None


def with_number(message: str) -> str:
    """Return an error about a percentage or a decimal comma with the number to write instead.

    A share that is too large counts as a percentage if it would be valid as one. Other errors are
    returned as they are.
    """

    def said(found: re.Match[str]) -> str:
        return f"'{found[1]}%' is not a number; write {float(found[1]) / 100:g}"

    if (found := _SHARE.search(message)) and 1 < float(found[1]) <= 100 * float(found[2]):
        return f"{message}; write {float(found[1]) / 100:g}"
    if found := _COMMA.search(message):
        return f"{message}; write {found[1]}.{found[2]}"
    return _PERCENT.sub(said, message)


def too_many_arguments(message: str, context: Any) -> str | None:
    """Return an error about arguments that a command does not take, and what to do; else None.

    Args:
        message: What click says.
        context: click's context of the command that they were given to.
    """
    if not (found := _EXTRA.match(message)):
        return None
    command = context.command
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    if not arguments:
        return f"unexpected '{found[1]}'; {command.name} takes no arguments"
    takes = " ".join(one.metavar for one in arguments)
    which = ", and DATA is one folder with a folder for each class" * takes.endswith("DATA")
    return (
        f"unexpected '{found[1]}' after '{context.params[arguments[-1].name]}'; {command.name} "
        f"takes {takes}{which}; quote names with spaces"
    )


def missing_option(message: str, context: Any) -> str:
    """Return an error about an option that is missing with what to write; others as they are.

    Args:
        message: What click says.
        context: click's context of the command.
    """
    if not (found := _MISSING.match(message)):
        return message
    from headstart.models.model_folder import MANIFEST

    value = _OUT.get(context.command.name, context.command.name)
    if found[1] == "--model":
        given = [str(one) for one in context.params.values() if one]
        model = next((one for one in given if Path(one, MANIFEST).is_file()), None)
        value = f"{shlex.quote(model)} FOLDER" if model else "MODEL"
    return f"{message.rstrip('.')}; write {found[1]} {value}"


def argument_in_place(name: str, command: Any) -> str | None:
    """Return what to write for an option that is an argument of the command, as a clause.

    Args:
        name: The option as it was given, such as "--data".
        command: The command it was given to.
    """
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    for one in arguments:
        if name == f"--{one.name}":
            usage = " ".join(argument.metavar for argument in arguments)
            return f"{one.metavar} is an argument: headstart {command.name} {usage}"
    return None


def options_of_command(command: Any) -> Iterator[str]:
    """Yield all names of a command's options."""
    for one in command.params:
        if one.param_type_name == "option":
            yield from (*one.opts, *one.secondary_opts)


def _all_of(names: Sequence[str]) -> str:
    """Return names as a list in a sentence: "a", "a and b" or "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _synonyms(name: str) -> list[str]:
    word = name.lstrip("-").casefold().replace("_", "-")
    own = f"--{word}"  # --image_column is --image-column
    return [own] * (own != name) + [
        option for option, words in _OPTIONS.items() if word in words.split()
    ]
