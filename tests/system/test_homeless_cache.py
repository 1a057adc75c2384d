"""The cache of a user without a home folder, as in a container that runs with any user's number."""

import os
import tempfile
from pathlib import Path

import platformdirs
import pytest

from headstart.backbones.download import keras_home
from headstart.errors import UserError
from headstart.features.extractor import build_extractor
from headstart.system.cache_folder import cache_root, expand_home, homeless_warning

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows always knows a home folder")


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user with neither HOME nor an entry in the list of users."""

    def unknown(*_args: object, **_options: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("HEADSTART_CACHE")
    monkeypatch.setattr(platformdirs, "user_cache_path", unknown)
    monkeypatch.setattr(Path, "expanduser", lambda self: unknown() if "~" in str(self) else self)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"headstart-{os.getuid()}"


def test_is_among_the_temporary_files_and_says_so(homeless: Path):
    assert cache_root() == homeless
    assert str(homeless) in str(homeless_warning())
    extractor = build_extractor("efficientnet-lite0")
    assert extractor.cache == homeless
    assert extractor.warnings == [homeless_warning()]


def test_may_be_named(homeless: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert cache_root(tmp_path) == tmp_path
    assert build_extractor("efficientnet-lite0", cache=tmp_path).warnings == []
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "named"))
    assert cache_root() == tmp_path / "named" != homeless
    assert homeless_warning() is None


def test_needs_no_folder_for_temporary_files(homeless: Path, monkeypatch: pytest.MonkeyPatch):
    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert cache_root().name == homeless.name


def test_no_home_is_made_up_for_what_the_user_named(
    homeless: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(UserError, match="there is no home folder for ~/cache; set HOME, or"):
        expand_home(Path("~/cache"))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    assert keras_home() == homeless / ".keras"


def test_a_user_with_a_home_is_not_warned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("HEADSTART_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert homeless_warning() is None
    assert expand_home(Path("~/cache")) == tmp_path / "cache"
