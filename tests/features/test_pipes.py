"""Pipes among the files of a cache are never read and never waited for."""

import os
from pathlib import Path

import pytest

from headstart.backbones.tensors import read_tensors
from headstart.errors import BackboneError
from headstart.features.note_index import NoteIndex
from headstart.images.notes import ImageNote
from headstart.system.cache_folder import TAG, cache_folder, is_tagged

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


def test_notes(tmp_path: Path):
    pipe(cache_folder(tmp_path, "index") / "notes-1")
    notes = NoteIndex(tmp_path)
    notes.add("0" * 32, [next(iter(ImageNote))])
    notes.save()
    assert notes.of(["0" * 32])


def test_the_tag_of_a_folder(tmp_path: Path):
    folder = cache_folder(tmp_path, "index")
    assert is_tagged(folder)
    pipe(folder / TAG)
    assert not is_tagged(folder)


def test_weights(tmp_path: Path):
    for name in ("w.safetensors", "w.pth"):
        with pytest.raises(BackboneError, match="there is no weights file"):
            read_tensors(pipe(tmp_path / name))


@pytest.mark.slow
def test_a_checkpoint_of_fine_tuning(tmp_path: Path):
    from headstart.finetuning.checkpoint import read_checkpoint

    assert read_checkpoint(pipe(tmp_path / "run.safetensors")) is None
