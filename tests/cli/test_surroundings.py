"""A user without a home folder or name, in an ASCII locale, without a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_VERBS = """
import pwd, socket, sys

def unknown(*_): raise KeyError("uid not found")
def closed(*_, **__): raise socket.gaierror(-3, "Temporary failure in name resolution")

pwd.getpwuid = pwd.getpwnam = unknown
socket.getaddrinfo = closed
from headstart.cli.app import run

photos, new = sys.argv[1:]
for words, expected in (
    (["fit", photos, "--stage", "head", "--report", "report"], 0),  # --out is in the project file
    (["predict", "mod\\u00e8le".encode().decode("ascii", "surrogateescape"), new], 0),
    (["cache"], 0),
    (["fit", "ants-bees", "--out", "other"], 1),
    (["fit", photos, "--out=~/model"], 2),
    (["--install-completion", "bash"], 1),
):
    code = run(words)
    assert code == expected, (words, code)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Windows and macOS have no such locale")
def test_nothing_is_called_a_bug(photos: Path, new_photos: Path, tmp_path: Path) -> None:
    (tmp_path / "headstart.toml").write_bytes('[fit]\nout = "modèle"\n'.encode())
    kept = {"PATH", "OMP_NUM_THREADS", "VIRTUAL_ENV"}
    surroundings = {name: value for name, value in os.environ.items() if name in kept}
    done = subprocess.run(
        [sys.executable, "-c", _VERBS, str(photos), str(new_photos)],
        env={
            **surroundings,
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "TMPDIR": str(tmp_path),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "This is a bug" not in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "modèle" / "model.json").is_file()
    for said in (
        "there is no home folder, so the cache is in",
        "no connection (Temporary failure in name resolution)",
        "there is no home folder for ~/model",
        "there is no home folder; set HOME to a folder",
    ):
        assert said in done.stderr
