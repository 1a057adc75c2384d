"""The peer that headstart is measured against runs, and is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_photos

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def test_the_plain_recipe_learns(tmp_path: Path) -> None:
    write_photos(tmp_path / "train", 8)
    write_photos(tmp_path / "test", 3, first=50)
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "plain_recipe.py"), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["accuracy"] > 0.9
    assert result["tested"] > 0
