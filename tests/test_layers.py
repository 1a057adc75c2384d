"""Imports go only downwards, and nothing heavy is imported before it is needed."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import headstart

PACKAGE = Path(headstart.__file__).parent

# A module imports from lower layers, and from its own package. What only labels types
# (TYPE_CHECKING) is free; what a function imports counts.
LAYERS = (
    {"types", "errors"},
    {"digests", "files", "machine", "wording"},
    {
        "corruptions",
        "curation",
        "descriptors",
        "download",
        "images",
        "metrics",
        "prefetch",
        "preprocessing",
        "segments",
        "splits",
    },
    {
        "augmentation",
        "cache",
        "compaction",
        "report",
        "backbones",
        "backbones.backbone",
        "backbones.catalogue",
        "backbones.checkpoint",
        "backbones.cut",
        "backbones.download",
        "backbones.imagenet",
        "backbones.keras",
        "backbones.keras_backend",
        "backbones.keras_graph",
        "backbones.keras_network",
        "backbones.keras_weights",
        "backbones.lite",
        "backbones.staged",
        "backbones.stages",
        "backbones.tensors",
        "backbones.timm",
        "backbones.torchvision",
        "backbones.tracing",
        "backbones.vision_ops",
        "heads",
        "heads.calibration",
        "heads.candidates",
        "heads.curvature",
        "heads.differentiable",
        "heads.families",
        "heads.head",
        "heads.logme",
        "heads.rows",
        "heads.selection",
        "heads.softmax",
        "heads.streaming",
        "heads.trials",
    },
    {
        "baselines",
        "engines",
        "engines.engine",
        "engines.moments",
        "engines.openvino",
        "engines.pytorch",
        "learning_curve",
        "stat_index",
        "store",
    },
    {
        "cost",
        "datasets",
        "datasets.archives",
        "datasets.dataset",
        "datasets.entries",
        "datasets.folders",
        "datasets.images",
        "datasets.layouts",
        "datasets.named",
        "datasets.png",
        "datasets.staging",
        "datasets.tables",
        "familiarity",
        "feature_rows",
        "untrained",
        "verdict",
    },
    {
        "attacks",
        "attacks.apgd",
        "attacks.fgsm",
        "attacks.goal",
        "attacks.minimum_norm",
        "attacks.pgd",
        "attacks.search",
        "attacks.threat",
        "activations",
        "attribution",
        "attribution.baselines",
        "attribution.faithfulness",
        "attribution.gradcam",
        "attribution.integrated",
        "attribution.method",
        "attribution.occlusion",
        "attribution.placement",
        "choices",
        "features",
        "model",
        "partition",
        "resizing",
        "synthesis",
        "synthesis.ascent",
        "synthesis.objective",
        "synthesis.parametrisation",
        "synthesis.transforms",
        "vocabulary",
    },
    {"training", "paired", "prediction", "card", "sampling", "sources", "subject"},
    {
        "finetuning",
        "finetuning.checkpoint",
        "finetuning.decision",
        "finetuning.depth",
        "finetuning.examples",
        "finetuning.invariance",
        "finetuning.loop",
        "finetuning.network",
        "finetuning.optimisation",
        "finetuning.precision",
        "finetuning.preparation",
        "finetuning.settings",
        "finetuning.trunk",
    },
    {
        "bundle",
        "comparison",
        "comparison.choice",
        "comparison.contest",
        "comparison.entrant",
        "comparison.pairs",
        "comparison.result",
        "feature_maps",
        "study",
        "plots",
        "plots.canvas",
        "plots.comparison",
        "plots.feature_maps",
        "plots.finetuning",
        "plots.overlays",
        "plots.pages",
        "plots.results",
        "plots.robustness",
        "plots.sheets",
        "plots.transfer",
    },
    {"finetune"},
    {
        "adversary",
        "classifier",
        "explanation",
        "imagination",
        "reporting",
        "robustness",
        "transfer",
    },
    {
        "cli",
        "cli.app",
        "cli.attack",
        "cli.catalogue",
        "cli.compare",
        "cli.console",
        "cli.explain",
        "cli.features",
        "cli.finetune",
        "cli.finetuned",
        "cli.imagine",
        "cli.left_out",
        "cli.options",
        "cli.prediction",
        "cli.robustness",
        "cli.training",
        "cli.transfer",
    },
    {"__main__"},
)
LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}
WITHOUT_TORCH = ("curation", "metrics", "report", "splits")


def module_names() -> dict[str, Path]:
    """Every module, by its name below `headstart`; `headstart/__init__.py` itself is "" ."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = module_names()


def imported(path: Path) -> Iterator[str]:
    """Full names of what a module imports anywhere, but for types alone."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            # `from headstart.cli import options` imports a module, `from x import name` a name.
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = full.removeprefix("headstart.") in MODULES
                yield full if is_module else str(node.module)
        pending.extend(ast.iter_child_nodes(node))


def own(path: Path) -> set[str]:
    return {
        name.removeprefix("headstart.") for name in imported(path) if name.startswith("headstart.")
    }


def test_the_table_lists_every_module_once():
    listed = [module for modules in LAYERS for module in modules]
    assert sorted(listed) == sorted(set(MODULES) - {""})


@pytest.mark.parametrize("module", sorted(set(MODULES) - {""}))
def test_a_module_imports_only_from_below_or_its_own_package(module: str):
    package = module.partition(".")[0]
    upwards = [
        name
        for name in own(MODULES[module])
        if LEVEL[name] >= LEVEL[module] and name.partition(".")[0] != package
    ]
    assert upwards == []


def test_the_package_itself_imports_nothing_until_asked():
    assert own(MODULES[""]) == set()


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_numbers_and_reports_never_reach_torch(module: str):
    reached, pending = set(), [module]
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending.extend(own(MODULES[name]))
    outside = {name.partition(".")[0] for one in reached for name in imported(MODULES[one])}
    assert outside.isdisjoint({"torch", "torchvision", "timm", "keras"})


def test_only_plots_knows_matplotlib():
    users = {
        module
        for module, path in MODULES.items()
        if any(name.partition(".")[0] == "matplotlib" for name in imported(path))
    }
    assert {module.partition(".")[0] for module in users} == {"plots"}


_PROBE = """
import contextlib, io, json, sys
from headstart.cli.app import run

loaded = {}
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()):
        code = run(arguments)
    assert code == 0, (arguments, code)
    loaded[arguments[0]] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded(
    photos: Path, new_photos: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """Packages in memory after each verb, run one after the other in one new process."""
    root = tmp_path_factory.mktemp("probe")
    cache = ["--cache", str(root / "cache")]
    verbs = [
        ["--help"],
        ["backbones", "--json"],
        ["info", str(model)],
        ["predict", str(model), str(new_photos), *cache],
        ["evaluate", str(model), str(new_photos), *cache],
        ["fit", str(photos), "--stage", "head", "--out", str(root / "model"), *cache],
        ["transfer", str(photos), "--out", str(root / "transfer"), *cache],
        ["evaluate", str(model), str(new_photos), "--out", str(root / "report"), *cache],
    ]
    command = [sys.executable, "-W", "error", "-c", _PROBE, json.dumps(verbs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "verb", ["--help", "backbones", "info", "predict", "evaluate", "fit", "transfer"]
)
def test_no_verb_imports_torch_for_the_embedded_backbone(verb: str, loaded: dict[str, list[str]]):
    assert {"torch", "torchvision", "timm", "keras"}.isdisjoint(loaded[verb])


def test_help_imports_nothing_heavy(loaded: dict[str, list[str]]):
    heavy = {"openvino", "sklearn", "scipy", "matplotlib", "PIL", "jinja2", "rich"}
    assert heavy.isdisjoint(loaded["--help"])


def test_predict_imports_neither_scikit_learn_nor_matplotlib(loaded: dict[str, list[str]]):
    assert {"sklearn", "scipy", "matplotlib"}.isdisjoint(loaded["predict"])
