"""The files of a saved model: replacing them, interrupting that, and reading meanwhile."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.errors import HeadstartError, SavedModelError
from headstart.models import model_folder
from headstart.models.model_card import model_card
from headstart.models.model_folder import CARD, MANIFEST, ModelFolder
from headstart.models.saved_model import load_model, save_model
from tests.models.saved_models import arrays_of, contents
from tests.models.trained_models import make_model


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "model"
    save_model(make_model(), folder)
    return folder


def aged(*paths):
    """Make files older than those that another process may still need."""
    for path in paths:
        os.utime(path, (1, 1))


class TestOverwriting:
    def test_a_new_model_replaces_the_old_one_and_leaves_one_arrays_file(self, saved):
        aged(arrays_of(saved))
        save_model(make_model("knn"), saved)
        assert load_model(saved).head.kind == "knn"
        assert len(list(saved.iterdir())) == 3

    def test_arrays_that_another_process_may_still_read_stay_for_a_minute(self, saved):
        young = arrays_of(saved)
        save_model(make_model("knn"), saved)
        assert young.exists()
        aged(young)
        save_model(make_model("knn"), saved)
        assert not young.exists()

    def test_what_a_killed_process_left_is_removed(self, saved):
        left, others = saved / f".{16 * 'a'}.tmp", saved / "mine.tmp"
        for path in (left, others):
            path.touch()
            os.utime(path, (1, 1))
        save_model(make_model(), saved)
        assert (left.exists(), others.exists()) == (False, True)

    def test_files_of_others_stay(self, saved):
        aged(arrays_of(saved))
        others = ["notes.txt", "model-best.safetensors", "model-0123.safetensors"]
        for name in others:
            (saved / name).write_text("mine")
        aged(*(saved / name for name in others))
        save_model(make_model(seed=1), saved)
        assert [(saved / name).read_text() for name in others] == ["mine"] * 3
        assert len(list(saved.iterdir())) == 6

    def test_saving_the_same_again_changes_nothing(self, saved):
        before = contents(saved)
        save_model(make_model(), saved)
        assert contents(saved) == before

    @pytest.mark.parametrize(("call", "seed"), [(1, 0), (2, 0), (3, 1)])
    def test_whatever_is_cut_off_a_whole_model_loads(self, saved, call, seed, monkeypatch):
        calls = []
        write = model_folder.atomic_write

        def failing(path, content, **options):
            calls.append(path)
            if len(calls) == call:
                raise HeadstartError("the disk is full")
            write(path, content, **options)

        aged(arrays_of(saved))
        with monkeypatch.context() as patch:
            patch.setattr(model_folder, "atomic_write", failing)
            with pytest.raises(HeadstartError, match="the disk is full"):
                save_model(make_model("knn", seed=1), saved)
        assert load_model(saved).seed == seed
        # The next attempt clears up.
        save_model(make_model("knn", seed=1), saved)
        assert load_model(saved).seed == 1
        assert len(list(saved.iterdir())) == 3
        assert (saved / CARD).read_text() == model_card(make_model("knn", seed=1))

    @pytest.mark.slow
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_first_write_killed_before_any_operation_does_not_block_the_folder(self, tmp_path):
        script = [sys.executable, "-m", "tests.models.interrupted_save", str(tmp_path)]
        killed = int(subprocess.run(script, capture_output=True, check=True).stdout)
        assert killed > 10
        for number in range(killed):
            ModelFolder(tmp_path / str(number)).check_target()
            save_model(make_model(), tmp_path / str(number))
            assert load_model(tmp_path / str(number)).seed == 0

    def test_a_place_that_cannot_be_written_is_an_error_with_a_sentence(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(HeadstartError, match=re.escape(str(tmp_path))):
            save_model(make_model(), tmp_path / "file" / "model")


class TestTarget:
    def test_a_new_an_empty_and_a_models_folder_are_right(self, saved, tmp_path):
        (tmp_path / "empty").mkdir()
        for folder in (saved, tmp_path / "empty", tmp_path / "new" / "deep"):
            ModelFolder(folder).check_target()

    def test_a_folder_of_other_things_is_refused_and_untouched(self, tmp_path):
        (tmp_path / "photo.jpg").write_text("")
        check = ModelFolder(tmp_path).check_target
        for refuse in (check, lambda: save_model(make_model(), tmp_path)):
            with pytest.raises(
                SavedModelError, match="contains files but no model; choose a new folder"
            ):
                refuse()
        assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]

    def test_a_first_model_that_another_process_writes_meanwhile_is_a_model(
        self, tmp_path, monkeypatch
    ):
        folder, listed, listing = tmp_path / "new", [], Path.iterdir
        folder.mkdir()

        def iterdir(path):
            if path == folder and not listed:
                listed.append(path)
                save_model(make_model(), folder)
            return listing(path)

        monkeypatch.setattr(Path, "iterdir", iterdir)
        ModelFolder(folder).check_target()
        assert listed

    @pytest.mark.parametrize("content", [b"", b"{}", b'{"format": "layers-model"}', b"\xff\x00"])
    def test_a_model_json_of_another_tool_is_not_overwritten(self, tmp_path, content):
        (tmp_path / MANIFEST).write_bytes(content)
        with pytest.raises(SavedModelError, match="contains files but no model"):
            save_model(make_model(), tmp_path)
        assert contents(tmp_path) == {MANIFEST: content}

    def test_a_damaged_model_may_be_replaced(self, saved):
        manifest = saved / MANIFEST
        manifest.write_bytes(manifest.read_bytes()[:200])
        save_model(make_model(), saved)
        load_model(saved)

    def test_a_file_is_refused(self, tmp_path):
        (tmp_path / "model").write_text("")
        with pytest.raises(SavedModelError, match="is a file; choose a folder"):
            ModelFolder(tmp_path / "model").check_target()


_WRITE = """
import sys
from pathlib import Path
from headstart.models.saved_model import save_model
from tests.models.trained_models import make_model

for seed in range(40):
    save_model(make_model(seed=seed), Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_model_loads_while_two_processes_replace_it(saved):
    command = [sys.executable, "-c", _WRITE, str(saved)]
    loads, patient = 0, model_folder._GRACE
    assert patient >= 60
    with subprocess.Popen(command) as one, subprocess.Popen(command) as other:
        while one.poll() is None or other.poll() is None:
            load_model(saved)
            loads += 1
    assert (one.returncode, other.returncode) == (0, 0)
    assert loads > 40
    assert (saved / CARD).read_text() == model_card(load_model(saved))


def test_a_model_replaced_between_its_two_files_is_read_again(saved, monkeypatch):
    read = ModelFolder.read_arrays

    def replaced(self, name):
        monkeypatch.undo()
        save_model(make_model("knn", seed=1), saved)
        (saved / name).unlink()
        return read(self, name)

    monkeypatch.setattr(ModelFolder, "read_arrays", replaced)
    assert load_model(saved).seed == 1


class TestHostileFiles:
    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    @pytest.mark.parametrize("name", [MANIFEST, "arrays"])
    def test_a_pipe_is_not_waited_for(self, saved, name):
        path = arrays_of(saved) if name == "arrays" else saved / name
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(SavedModelError, match="not a regular file"):
            load_model(saved)

    @pytest.mark.parametrize("name", [MANIFEST, "arrays"])
    def test_a_device_is_not_read(self, saved, name):
        path = arrays_of(saved) if name == "arrays" else saved / name
        path.unlink()
        path.symlink_to("/dev/zero")
        with pytest.raises(SavedModelError, match="not a regular file"):
            load_model(saved)

    @pytest.mark.parametrize("header", [b"", b"\xff" * 8, (2).to_bytes(8, "little") + b"{}"])
    def test_a_file_larger_than_it_says_is_not_read(self, saved, header):
        path = arrays_of(saved)
        path.write_bytes(header)
        os.truncate(path, 3 * 2**40)  # a sparse file of 3 TB
        with pytest.raises(SavedModelError, match="is damaged"):
            load_model(saved)

    def test_a_huge_manifest_is_refused(self, saved):
        os.truncate(saved / MANIFEST, 2**31)
        with pytest.raises(SavedModelError, match="larger than"):
            load_model(saved)
