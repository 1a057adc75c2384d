"""The website is written with what its extra installs; `make docs` installs nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

OTHER_EXTRAS = [
    *("captum", "fastapi", "imagecodecs", "jsonschema", "jupytext", "keras", "nbclient"),
    *("nbformat", "onnx", "onnxruntime", "onnxscript", "pandas", "pillow_heif", "pyarrow"),
    *("pydicom", "pytest", "tifffile", "uvicorn", "watchfiles"),
]
WRITE = """
import sys
for name in sys.argv[1:]:
    sys.modules[name] = None
from website import build
build.api_reference(), build.command_reference(), build.quizzes()
for name in (*build.OUTPUTS, *build.FILES):
    build.schema_text(name)
"""


def test_generated_pages_need_no_other_extra() -> None:
    command = [sys.executable, "-c", WRITE, *OTHER_EXTRAS]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
