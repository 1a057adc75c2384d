"""The examples of CONTRIBUTING.md work as they are: each adds something from outside."""

import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from headstart.backbones.catalog import SOURCES
from headstart.cli.formats import FORMATS
from headstart.heads.families import FAMILIES

EXAMPLES = re.findall(
    r"## (Add [^\n]+)\n.*?```python\n(.*?)```",
    (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    re.DOTALL,
)


def registry(title: str) -> MutableMapping[str, Any]:
    from headstart.inspection.attacks import ATTACKS
    from headstart.inspection.attribution import ATTRIBUTION_METHODS

    registries: dict[str, MutableMapping[str, Any]] = {
        "Add an attack": ATTACKS,
        "Add a head": FAMILIES,
        "Add a backbone source": SOURCES,
        "Add an explanation method": ATTRIBUTION_METHODS,
        "Add an output format": FORMATS,
    }
    return registries[title]


def test_there_is_one_of_each() -> None:
    assert len(EXAMPLES) == len({title for title, _ in EXAMPLES}) == 5


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_an_example_registers_one_more(title: str, code: str) -> None:
    known = registry(title)
    before = dict(known)
    try:
        exec(compile(code, "CONTRIBUTING.md", "exec"), {"__name__": "example"})
        assert len(known) == len(before) + 1
    finally:
        for name in known.keys() - before.keys():
            del known[name]
