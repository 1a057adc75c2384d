import importlib
import warnings

import pytest

from headstart.backbones.vision_ops import import_timm


def test_a_notebook_shows_no_warning_of_progress_bars(monkeypatch: pytest.MonkeyPatch):
    timm, load = import_timm("this test"), importlib.import_module

    def warn(name: str):
        if name == "timm":  # as tqdm does in a kernel without ipywidgets
            warnings.warn("IProgress not found. Please update jupyter and ipywidgets", stacklevel=1)
        return load(name)

    monkeypatch.setattr(importlib, "import_module", warn)
    assert import_timm("this test") is timm
