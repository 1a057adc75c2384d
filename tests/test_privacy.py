"""Nothing is sent anywhere, and nothing is written outside the places the user knows of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# Python tells audit hooks of every connection, look-up and write before it happens. Loopback and
# the allowed folders pass; anything else is reported and refused.
_WATCH = """
import json, os, sys, tempfile

allowed = [os.path.realpath(root) for root in json.loads(os.environ["ALLOWED"])]
log = os.environ["OUTSIDE"]
here = {"127.0.0.1", "::1", "localhost", None, ""}

def refuse(what):
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a") as file:
        file.write(what + "\\n")
    raise OSError("refused by the test: " + what)

def inside(path):
    if isinstance(path, int):  # a descriptor that is open already
        return True
    path = os.path.realpath(os.fsdecode(path))
    return path.startswith("/dev/") or any(
        path == root or path.startswith(root + os.sep) for root in allowed
    )

busy = False

def watch(event, args):
    global busy
    if busy:
        return
    busy = True
    try:
        if event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] not in here:
            refuse(f"{event} {args[1]}")
        elif event in ("socket.getaddrinfo", "socket.gethostbyname") and args[0] not in here:
            refuse(f"{event} {args[0]}")
        elif event == "urllib.Request":
            refuse(f"{event} {args[0]}")
        elif event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            inside(args[0]) or refuse(f"{event} {args[0]}")
        elif event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink"):
            inside(args[0]) or refuse(f"{event} {args[0]}")
    finally:
        busy = False

sys.addaudithook(watch)
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("privacy")


def run(desk: Path, *command: str, work: Path) -> None:
    """Run Python as a user would, whose home is empty and whose machine is no CI's."""
    home, temporary, hooks = desk / "home", desk / "tmp", desk / "hooks"
    for folder in (home, temporary, hooks, work):
        folder.mkdir(exist_ok=True)
    (hooks / "sitecustomize.py").write_text(_WATCH)
    outside = desk / "outside.txt"
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "SYSTEMROOT")}
    environment = {
        **kept,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "TMPDIR": str(temporary),
        "TEMP": str(temporary),
        "PYTHONPATH": os.pathsep.join([str(hooks), *filter(None, sys.path)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ALLOWED": json.dumps([str(work), str(temporary), str(outside)]),
        "OUTSIDE": str(outside),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        env=environment,
        cwd=work,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = outside.read_text() if outside.exists() else ""
    assert said == ""
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == []  # also what no hook sees: native code


def test_no_verb_connects_or_writes_elsewhere(
    photos: Path, new_photos: Path, model: Path, desk: Path
):
    work = desk / "verbs"
    cache = ["--cache", str(work / "cache")]
    verbs = [
        ["fit", str(photos), "--out", str(work / "model"), "--report", str(work / "report")],
        ["predict", str(model), str(new_photos)],
        ["evaluate", str(model), str(new_photos), "--out", str(work / "evaluation")],
        ["classify", str(next(new_photos.rglob("*.jpg")))],
        ["transfer", str(photos), "--out", str(work / "transfer")],
        ["compare", str(photos), "--backbones", "efficientnet-lite0", "--out", str(work / "c")],
    ]
    for verb in verbs:
        run(desk, "-m", "headstart", *verb, *cache, work=work)


@pytest.mark.parametrize("first", ["headstart", "openvino"])
def test_nor_does_the_library_whatever_is_imported_first(first: str, photos: Path, desk: Path):
    """Also through the converter, which reports of its own; OpenVINO alone is the program's own."""
    pytest.importorskip("torch")
    work = desk / f"library-{first}"
    code = f"""
import sys
from pathlib import Path

if {first == "openvino"}:  # as in a program that uses OpenVINO itself
    sys.modules["openvino_telemetry"] = None
    import openvino
    from openvino.tools.ovc import telemetry_utils

    class Telemetry:
        def __init__(self, *args, **named): raise OSError("telemetry was started")

    del sys.modules["openvino_telemetry"]
    for module in [m for n, m in sys.modules.items() if n.startswith("openvino.tools.ovc.")]:
        if hasattr(module, "tm"):
            module.tm = type("tm", (), {{"Telemetry": Telemetry}})
from headstart import Classifier, open_dataset

photos = open_dataset(Path({str(photos)!r}), cache=Path("cache"))
Classifier(cache="cache").fit(photos)

import torch
from headstart.backbones import load_backbone
from headstart.engines import build_engine, make_plan
from headstart.types import EngineName

weights = Path("weights.safetensors")
if not weights.exists():
    from safetensors.torch import save_file
    from headstart.backbones.vision_ops import import_torchvision
    save_file(import_torchvision('test').models.get_model("squeezenet1_1").state_dict(), weights)
backbone = load_backbone("torchvision:squeezenet1_1", weights=weights)
engine = build_engine(backbone, make_plan(EngineName.OPENVINO), requested=EngineName.OPENVINO)
assert "openvino_telemetry" not in sys.modules or sys.modules["openvino_telemetry"] is None
"""
    run(desk, "-c", code, work=work)
