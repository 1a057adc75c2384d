import pytest

from headstart.datasets.folders import open_folder
from headstart.datasets.own_folders import RESULTS_MARK, mark_results


def make(root, *names, content=b"x"):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.mark.parametrize(
    "files",
    [
        ("metrics.json", "predictions.csv", "confusion.png"),
        ("comparison.json", "comparison.csv", "comparison.png"),
        ("robustness.json", "robustness.png"),
        ("transfer.json", "transfer.png"),
        ("audit.json", "audit.csv", "image.jpg"),
        (RESULTS_MARK, "overview.png"),
    ],
)
def test_reports_are_no_classes(tmp_path, files):
    make(tmp_path, "cats/1.jpg", "dogs/2.jpg", *(f"report/{name}" for name in files))
    found = open_folder(tmp_path)
    assert found.classes == ("cats", "dogs")
    assert [(one.path, one.reason) for one in found.skipped] == [
        (str(tmp_path / "report"), "results of headstart, not photos")
    ]


def test_other_json_files_are_no_reason_to_drop_a_class(tmp_path):
    make(tmp_path, "cats/model.json", "cats/metrics.json", content=b"{}")
    make(tmp_path, "cats/CACHEDIR.TAG", "cats/1.jpg", "dogs/2.jpg")
    assert open_folder(tmp_path).classes == ("cats", "dogs")


def test_only_a_new_folder_is_marked_as_results(tmp_path):
    make(tmp_path, "cats/1.jpg", "dogs/2.jpg")
    mark_results(tmp_path / "cats")
    mark_results(tmp_path / "new")
    make(tmp_path, "new/3.png")
    assert open_folder(tmp_path).classes == ("cats", "dogs")
