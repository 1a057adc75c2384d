import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.auditing import audit as audit_module
from headstart.auditing.audit import Audit, audit
from headstart.auditing.issue import IssueKind
from headstart.auditing.report_folder import write_audit
from headstart.datasets import open_dataset
from headstart.datasets.review import apply_review
from headstart.datasets.tables.table_file import read_rows
from headstart.features.extractor import Extractor
from headstart.system.serialization import to_json
from tests.conftest import picture, write_photos

pytestmark = pytest.mark.slow

Tiny = Callable[..., Extractor]
ODD = 'com,ma "quoted" <b>\nline.jpg'


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 20 pictures, one in a wrong folder, a copy, a blank and a broken one."""
    root = write_photos(tmp_path_factory.mktemp("audit") / "data", 20)
    shutil.move(root / "checks" / "003.png", root / "noise" / "wrong.png")
    picture("stripes", 5).reduce(2).save(root / "stripes" / ODD, "JPEG")
    Image.new("RGB", (100, 100), (128, 128, 128)).save(root / "noise" / "blank.png")
    (root / "checks" / "broken.png").write_bytes(b"broken")
    return root


@pytest.fixture
def found(data: Path, tiny: Tiny) -> Audit:
    return audit(open_dataset(data), tiny())


def names(found: Audit, kind: IssueKind) -> list[str]:
    return [Path(one.path).name for one in found.of_kind(kind)]


def test_everything_planted_is_found(found: Audit):
    assert names(found, IssueKind.WRONG_LABEL)[0] == "wrong.png"
    assert found.of_kind(IssueKind.WRONG_LABEL)[0].suggested_label == "checks"
    groups = [{one.path, one.other_path} for one in found.of_kind(IssueKind.COPY)]
    assert any({Path(path).name for path in group} == {ODD, "005.png"} for group in groups)
    assert names(found, IssueKind.BLANK) == ["blank.png"]
    assert names(found, IssueKind.UNREADABLE) == ["broken.png"]
    assert found.images == 62
    assert sum(found.counts.values()) == len(found.issues)


def test_the_same_inputs_give_the_same_findings(data: Path, tiny: Tiny, found: Audit):
    again = audit(open_dataset(data), tiny(cache=None))
    assert again.issues == found.issues


def test_a_sample_chooses_the_stages(
    data: Path, tiny: Tiny, found: Audit, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audit_module, "_SAMPLE", 40)
    monkeypatch.setattr(audit_module, "_SAMPLE_PER_CLASS", 1)
    sampled = audit(open_dataset(data), tiny())
    assert sampled.label_check is not None
    assert found.label_check is not None
    assert len(sampled.label_check.rows) == len(found.label_check.rows)
    assert sampled.surroundings is not None
    assert sampled.surroundings.accuracy.images <= 43
    assert names(sampled, IssueKind.WRONG_LABEL)[0] == "wrong.png"


def test_copies_are_never_in_different_folds(
    data: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
):
    seen = {}

    def spy(rows, y, folds, **more):
        seen["folds"] = folds
        return label_probabilities(rows, y, folds, **more)

    label_probabilities = audit_module.label_probabilities
    monkeypatch.setattr(audit_module, "label_probabilities", spy)
    result = audit(open_dataset(data), tiny())
    assert result.label_check is not None
    dataset = open_dataset(data)
    paths = [
        dataset.paths[row] for row in range(len(dataset)) if "broken" not in str(dataset.paths[row])
    ]
    folds = {
        paths[row].name: fold
        for row, fold in zip(result.label_check.rows, seen["folds"], strict=True)
        if paths[row].parent.name == "stripes"
    }
    assert folds[ODD] == folds["005.png"]


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_are_audited_as_far_as_it_goes(tmp_path: Path, tiny: Tiny, count: int):
    found = audit(open_dataset(write_photos(tmp_path / "few", count)), tiny())
    assert found.images == 3 * count
    assert (found.label_check is None) == (count == 1)
    assert found.surroundings is None


def test_one_class_is_audited_without_labels(tmp_path: Path, tiny: Tiny):
    data = write_photos(tmp_path / "one", 12, kinds=("noise",))
    found = audit(open_dataset(data, require_classes=1), tiny())
    assert found.label_check is None


def test_the_folder_has_a_table_a_summary_and_a_page(found: Audit, tmp_path: Path):
    write_audit(found, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "audit.csv", "audit.json", "index.html"
    ]  # fmt: skip
    rows = [values for _, values in read_rows(tmp_path / "out" / "audit.csv")[0]]
    assert list(rows[0]) == [
        "path", "kind", "score", "label", "suggested_label", "evidence", "action"
    ]  # fmt: skip
    assert [(row["path"], row["kind"]) for row in rows] == [
        (one.path, one.kind) for one in found.issues
    ]
    summary = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert summary == json.loads(json.dumps(to_json(found)))
    assert summary["kinds"] == found.counts


def test_the_page_is_complete_and_escaped(found: Audit, tmp_path: Path):
    write_audit(found, tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    shown = [one for one in found.issues if one.path and one.kind is not IssueKind.UNREADABLE]
    pictures = len(shown) + sum(bool(one.other_path) for one in shown)
    assert page.count("data:image/jpeg;base64,") == pictures
    assert all(kind in page.lower() for kind in ("probably wrong", "copies", "blank", "cannot be"))


def test_a_long_list_is_cut_on_the_page_only(
    found: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("headstart.auditing.page._SHOWN", 1)
    write_audit(found, tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert page.count("<strong>") == len(found.counts)
    assert len(read_rows(tmp_path / "audit.csv")[0]) == len(found.issues)


def test_findings_are_in_order(found: Audit):
    kinds = list(IssueKind)
    order = [(kinds.index(one.kind), -one.score) for one in found.issues]
    assert order == sorted(order)
    assert np.isfinite([one.score for one in found.issues]).all()


def test_images_that_a_review_drops_are_not_unreadable(data: Path, tiny: Tiny, tmp_path: Path):
    table = tmp_path / "audit.csv"
    dropped = data / "noise" / "blank.png"
    table.write_text(f"path,label,action\n{dropped},noise,drop\n")
    found = audit(apply_review(open_dataset(data), table), tiny())
    assert names(found, IssueKind.UNREADABLE) == ["broken.png"]
    assert not found.of_kind(IssueKind.BLANK)


def test_identical_images_with_different_labels_are_both_listed(tmp_path: Path, tiny: Tiny):
    data = write_photos(tmp_path / "data", 8)
    shutil.copy(data / "checks" / "003.png", data / "noise" / "same.png")
    found = audit(open_dataset(data), tiny())
    both = found.of_kind(IssueKind.LABEL_CONFLICT)
    suggested = {Path(one.path).name: one.suggested_label for one in both}
    assert suggested == {"003.png": "", "same.png": "checks"}
    assert {one.path for one in both}.isdisjoint(one.path for one in found.of_kind(IssueKind.COPY))
