from pathlib import Path

from headstart.features.note_index import NoteIndex
from headstart.images.notes import ImageNote

ONE, OTHER = "1" * 32, "2" * 32
RAW, REDUCED = ImageNote.RAW_PREVIEW, ImageNote.REDUCED_BIT_DEPTH


def filled(root: Path | None) -> NoteIndex:
    index = NoteIndex(root)
    index.add(ONE, [REDUCED])
    index.add(OTHER, [])
    index.save()
    return index


def test_notes_are_found_again(tmp_path: Path):
    filled(tmp_path).add(OTHER, [RAW])  # not saved
    assert NoteIndex(tmp_path).of([ONE, OTHER, ONE]) == {REDUCED: {ONE}}
    again = filled(tmp_path)
    again.add(OTHER, [RAW])
    again.save()
    assert NoteIndex(tmp_path).of([OTHER]) == {RAW: {OTHER}}
    assert len((tmp_path / "index" / "notes-1").read_text().splitlines()) == 2


def test_without_a_cache_or_one_that_can_be_written(tmp_path: Path):
    assert filled(None).of([ONE]) == {REDUCED: {ONE}}
    (tmp_path / "index").write_text("in the way")
    assert filled(tmp_path).of([ONE]) == {REDUCED: {ONE}}


def test_lines_that_are_not_understood_are_ignored(tmp_path: Path):
    filled(tmp_path)
    with (tmp_path / "index" / "notes-1").open("ab") as file:
        file.write(b"\xff\n" + OTHER.encode() + b" of-a-later-version\n" + OTHER.encode())
    assert NoteIndex(tmp_path).of([ONE, OTHER]) == {REDUCED: {ONE}}
