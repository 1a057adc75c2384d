"""The public surface, and facts about the package that are stated once."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

import headstart

ROOT = Path(__file__).parents[1]


def test_the_public_names_are_these_and_can_be_had() -> None:
    assert set(headstart.__all__) == {*headstart._HOMES, "__version__"}
    for name in headstart.__all__:
        assert getattr(headstart, name) is not None


def test_no_folder_has_the_name_of_a_function() -> None:
    # Whoever imports something from such a folder would replace the function by it.
    folders = {path.parent.name for path in (ROOT / "src" / "headstart").glob("*/__init__.py")}
    assert folders.isdisjoint(headstart.__all__)


def test_figures_are_found() -> None:
    assert "plots" in dir(headstart)
    assert callable(headstart.plots.confusion_matrix)


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Clasifier'; did you mean Classif"):
        headstart.Clasifier  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no attribute 'xyz'; see dir\(headstart\)"):
        headstart.xyz  # noqa: B018


@pytest.mark.slow
def test_python_does_not_repeat_the_suggestion() -> None:
    command = [sys.executable, "-c", "import headstart; headstart.Clasifier"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.casefold().count("did you mean") == 1


def test_the_version_is_stated_in_the_package_and_in_citations_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/headstart/__init__.py"
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, flags=re.MULTILINE) == [headstart.__version__]
    guides = (ROOT / "docs" / "guides" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"version = \{(.+)\}", guides) == [headstart.__version__]
    source = ROOT / "src" / "headstart"
    stated = [
        path
        for path in source.rglob("*.py")
        if f'"{headstart.__version__}"' in path.read_text(encoding="utf-8")
    ]
    assert stated == [source / "__init__.py"]


def test_every_pinned_version_is_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    needed = chain(project["dependencies"], *extras)
    wanted = {re.split(r"[\[>=]", name)[0] for name in needed}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    assert pinned == wanted - {"headstart"}


_WITHOUT_TORCH = """
import importlib.abc, pydoc, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

sys.meta_path.insert(0, Hidden())
import headstart
assert "measure_transfer" in pydoc.render_doc(headstart, renderer=pydoc.plaintext)
assert not hasattr(headstart, "explain") and not hasattr(headstart, "IdealImage")
assert headstart.fit.__doc__
try:
    headstart.attack
except headstart.UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_without_pytorch_the_rest_is_documented() -> None:
    command = [sys.executable, "-c", _WITHOUT_TORCH]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("headstart.attack needs the extra 'torch'")
