"""The layouts of labeled images that `headstart fit` reads."""

import csv
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, one_sentence
from tests.conftest import KINDS, files

pytestmark = pytest.mark.slow

QUICK = ("--stage", "head")


class TestSources:
    def test_a_table_with_columns_of_other_names(self, cli: Cli, photos: Path, tmp_path: Path):
        table = tmp_path / "table.csv"
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "picture", "what"])
            for place, path in enumerate(files(photos)):
                writer.writerow([place, path, path.parent.name])
        columns = ("--image-column", "picture", "--label-column", "what")
        outcome = cli("fit", table, "--out", tmp_path / "model", *QUICK, *columns, "--json")
        assert outcome.document["images"] == 24
        assert outcome.document["classes"] == list(KINDS)

    def test_a_table_of_names_without_ending(self, cli: Cli, photos: Path, tmp_path: Path):
        """Labels may have slashes, which are no folders; fine-tuning finds the images again."""
        ids = {path: f"{path.parent.name}-{path.stem}" for path in files(photos)}
        (tmp_path / "all").mkdir()
        for path, name in ids.items():
            shutil.copy(path, tmp_path / "all" / f"{name}.jpg")
        rows = [f"{name},photo/{path.parent.name}\n" for path, name in ids.items()]
        (tmp_path / "labels.csv").write_text("id,breed\n" + "".join(rows))
        where = ("--image-folder", tmp_path / "all", "--image-suffix", ".jpg")
        model, again = tmp_path / "model", tmp_path / "again"
        outcome = cli("fit", tmp_path / "labels.csv", "--out", model, *QUICK, *where, "--json")
        assert outcome.document["classes"] == [f"photo/{kind}" for kind in KINDS]
        assert "nested" not in outcome.err
        tuned = cli("finetune", model, "--out", again, "--recipe", "probe", "--json")
        assert (tuned.code, tuned.document["images"]) == (0, 24)
        outcome = cli("fit", tmp_path / "labels.csv", "--out", model, *QUICK, "--json")
        assert outcome.code == 2
        assert f"add --image-folder {tmp_path / 'all'}" in outcome.err

    def test_a_table_with_images_inside(self, cli: Cli, photos: Path, tmp_path: Path):
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        images = [{"bytes": path.read_bytes(), "path": path.name} for path in files(photos)]
        labels = [path.parent.name for path in files(photos)]
        table = tmp_path / "t.parquet"
        parquet.write_table(pyarrow.table({"image": images, "label": labels}), table)
        report = tmp_path / "report"
        model = tmp_path / "m"
        outcome = cli("fit", table, "--out", model, *QUICK, "--report", report, "--json")
        assert outcome.document["images"] == 24
        with (report / "predictions.csv").open(newline="") as file:
            places = [Path(row["path"]) for row in csv.DictReader(file)]
        stems = {f"{row}-{path.stem}" for row, path in enumerate(files(photos), start=1)}
        assert {path.stem for path in places} == stems
        assert {path.parent.name for path in places} == {"t.parquet"}

    def test_a_zip(self, cli: Cli, photos: Path, tmp_path: Path):
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
            for path in files(photos):
                archive.write(path, path.relative_to(photos.parent))
        outcome = cli("fit", tmp_path / "photos.zip", "--out", tmp_path / "m", *QUICK, "--json")
        assert outcome.document["images"] == 24

    def test_columns_are_for_tables(self, cli: Cli, photos: Path, tmp_path: Path):
        outcome = cli("fit", photos, "--out", tmp_path / "m", "--image-column", "x")
        assert outcome.code == 2
        assert one_sentence(outcome)
