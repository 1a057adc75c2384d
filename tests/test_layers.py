"""Imports go only downwards, and nothing heavy is imported before it is needed."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import headstart

PACKAGE = Path(headstart.__file__).parent

# Top down; a folder imports only from those below it. What only labels types (TYPE_CHECKING) is
# free; what a function imports counts.
LAYERS = (
    "__main__",
    "cli",
    "serving",
    "api",
    "reporting",
    "plots",
    "transfer",
    "finetuning",
    "exporting",
    "comparison",
    "auditing",
    "inspection",
    "models",
    "series",
    "datasets",
    "features",
    "engines",
    "novelty",
    "heads",
    "backbones",
    "evaluation",
    "pages",
    "images",
    "quiz",
    "system",
    "types",
    "errors",
)
WITHOUT_TORCH = ("series", "datasets", "evaluation", "heads", "novelty")


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
        name.removeprefix("headstart").removeprefix(".")
        for name in imported(path)
        if name.partition(".")[0] == "headstart"
    }


def folder(module: str) -> str:
    return module.partition(".")[0]


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The first circle among modules that import each other; empty if there is none."""
    try:
        tuple(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_every_folder_has_its_layer():
    assert {folder(module) for module in MODULES} - {""} == set(LAYERS)


@pytest.mark.parametrize("module", sorted(set(MODULES) - {""}))
def test_a_module_imports_only_from_below_or_its_own_folder(module: str):
    below = LAYERS[LAYERS.index(folder(module)) :]
    # `headstart` itself is above all: its names are for users.
    assert [name for name in own(MODULES[module]) if folder(name) not in below] == []


@pytest.mark.slow
def test_no_modules_import_each_other_in_a_circle():
    assert circle({module: own(path) for module, path in MODULES.items()}) == []


def test_a_circle_inside_a_folder_is_seen(tmp_path: Path):
    (tmp_path / "a.py").write_text("def f():\n    from headstart.heads.b import x\n")
    (tmp_path / "b.py").write_text("from headstart.heads import a\n")
    arrows = {f"heads.{path.stem}": own(path) for path in tmp_path.glob("*.py")}
    assert set(circle({"heads": set(), **arrows} | {"heads.b": {"heads.a"}})) == {
        "heads.a",
        "heads.b",
    }


def test_the_package_itself_imports_nothing_until_asked():
    assert own(MODULES[""]) == set()


@pytest.mark.parametrize("layer", WITHOUT_TORCH)
def test_data_heads_and_metrics_never_reach_torch(layer: str):
    reached, pending = set(), [module for module in MODULES if folder(module) == layer]
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
    loaded[arguments[0]] = sorted(sys.modules)
print(json.dumps(loaded))
"""


def of_headstart(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "headstart"}


def run_probe(verbs: list[list[str]]) -> dict[str, set[str]]:
    """Return the modules in memory after each verb, run one after the other in a new process."""
    command = [sys.executable, "-W", "error", "-c", _PROBE, json.dumps(verbs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return {verb: set(names) for verb, names in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def loaded(
    photos: Path, new_photos: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, set[str]]:
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
    return run_probe(verbs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "verb", ["--help", "backbones", "info", "predict", "evaluate", "fit", "transfer"]
)
def test_no_verb_imports_torch_for_the_embedded_backbone(verb: str, loaded: dict[str, set[str]]):
    assert {"torch", "torchvision", "timm", "keras"}.isdisjoint(loaded[verb])


@pytest.mark.slow
def test_help_imports_nothing_heavy(loaded: dict[str, set[str]]):
    heavy = {"numpy", "openvino", "pydantic", "sklearn", "scipy", "matplotlib", "PIL", "jinja2"}
    assert (heavy | {"rich"}).isdisjoint(loaded["--help"])
    assert len(of_headstart(loaded["--help"])) <= 70


@pytest.mark.slow
def test_predicting_an_image_imports_only_what_it_needs(model: Path, photos: Path, tmp_path: Path):
    image = next(photos.rglob("*.jpg"))
    found = run_probe([["predict", str(model), str(image), "--cache", str(tmp_path)]])["predict"]
    assert {"sklearn", "scipy", "matplotlib", "jinja2", "rich"}.isdisjoint(found)
    unneeded = {
        "cli.fit",
        "datasets.folders",
        "datasets.tables",
        "finetuning",
        "heads.trials",
        "images.tiff",
        "serving",
        "series.detection",
    }
    assert {f"headstart.{name}" for name in unneeded}.isdisjoint(found)
    assert len(of_headstart(found)) <= 160
