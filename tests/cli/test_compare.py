"""headstart compare, with made-up costs: test_cost.py measures real ones."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from headstart.backbones import Backbone, ladder
from headstart.cli.options import DatasetOptions, RuntimeOptions
from headstart.cli.summary import layer_text
from headstart.comparison import successive_halving
from headstart.comparison.candidates import candidate_names
from headstart.comparison.cost import Cost
from headstart.engines import EnginePlan
from headstart.errors import BackboneError, DownloadError, NotCachedError
from headstart.features.extractor import Extractor
from headstart.features.views import View
from headstart.types import EngineName
from tests.cli.conftest import Cli, one_sentence
from tests.conftest import KINDS, write_photos

pytestmark = pytest.mark.slow

LITES = ("efficientnet-lite0", "efficientnet-lite1")


@pytest.fixture(autouse=True)
def _made_up_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure_cost(
        backbone: Backbone, plan: EnginePlan, *, requested: EngineName, view: View | None
    ) -> Cost:
        assert plan.engine is not EngineName.AUTO
        assert requested is EngineName.AUTO
        cost = {"a": 1.5, "b": 3.0}.get(backbone.name, 4.0)
        return Cost(images_per_second=2000 / cost, milliseconds=cost, memory_bytes=100_000_000)

    monkeypatch.setattr(successive_halving, "measure_cost", measure_cost)
    monkeypatch.setattr(successive_halving, "measure_costs", lambda *_, **__: {})  # nor decoding


@pytest.fixture
def tinies(tiny: Callable[..., Extractor], monkeypatch: pytest.MonkeyPatch) -> None:
    """ "a" and "b" are here, "far" and "farther" can be fetched, "gone" cannot, "broken" does not
    fit, no other exists."""
    fetched = set()

    def check_name(name: str, *, allow_code: bool) -> None:
        if name not in ("a", "b", "far", "farther", "gone", "broken"):
            raise BackboneError(f"there is no backbone {name!r}; did you mean 'a'?")

    def opened(_options: RuntimeOptions, name: str, *, allow_download: bool) -> Extractor:
        if name == "broken":
            raise BackboneError("these weights do not fit broken")
        if name in ("far", "farther", "gone") and name not in fetched:
            if not allow_download:
                raise NotCachedError("not here", addresses=[f"https://x.example/{name}"])
            if name == "gone":
                raise DownloadError("cannot download gone")
            fetched.add(name)
        extractor = tiny()
        return replace(extractor, backbone=replace(extractor.backbone, name=name), warnings=[])

    sizes = {"far": 46_830_571, "farther": None, "gone": 1_000_000}
    monkeypatch.setattr(RuntimeOptions, "extractor", opened)
    monkeypatch.setattr("headstart.backbones.check_name", check_name)
    monkeypatch.setattr("headstart.comparison.backbone_trial._parameters", lambda _backbone: None)
    monkeypatch.setattr(
        "headstart.backbones.download_size",
        lambda error: sizes[error.addresses[0].rpartition("/")[2]],
    )


def test_the_embedded_backbones_as_they_are(cli: Cli, photos: Path, tmp_path: Path):
    arguments = ["compare", photos, "--backbones", ",".join(LITES), "--json"]
    outcome = cli(*arguments, "--out", tmp_path / "out")
    assert (outcome.code, outcome.err) == (0, "")
    said = outcome.document
    assert (said["data"], said["images"], said["classes"]) == ("photos", 24, list(KINDS))
    rows = {row["name"]: row for row in said["backbones"]}
    assert set(rows) == set(LITES)
    for row in rows.values():
        assert row["interval"][0] <= row["accuracy"] <= row["interval"][1]
        assert row["images"] == 24
        assert row["images_per_second"] > 0
        assert row["core_milliseconds"] > 0
        assert row["license"] == "Apache-2.0"
    assert rows[LITES[0]]["parameters"] == 4_652_008
    assert rows[LITES[1]]["multiply_adds"] == 631_000_000
    assert rows[LITES[0]]["top1"] == 0.751
    assert said["left_out"] == []
    chosen = rows[said["recommendation"]["backbone"]]
    assert (said["largest_class"]["class"], said["largest_class"]["images"]) == ("checks", 8)
    assert said["largest_class"]["difference"] == pytest.approx(chosen["accuracy"] - 1 / 3)
    assert said["recommendation"]["sentence"].startswith("Use efficientnet-lite")
    assert json.loads((tmp_path / "out" / "comparison.json").read_text("utf-8")) == said


def test_by_default_all_that_need_no_download(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", "/nowhere")
    monkeypatch.setenv("HF_HOME", "/nowhere")
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    assert set(LITES) <= set(candidate_names(None))
    assert all(name.startswith("efficientnet-lite") for name in candidate_names(None))
    rungs = [rung.name for rung in ladder()]
    assert candidate_names(None, allow_download=True) == [*candidate_names(None), *rungs]


@pytest.mark.usefixtures("tinies")
class TestWithMadeUpCosts:
    def test_a_person_is_told_the_same(self, cli: Cli, own: Path, tmp_path: Path):
        (own / "noise" / "broken.jpg").touch()
        outcome = cli("compare", own, "--backbones", "b, a,,a", "--out", tmp_path / "out")
        assert (outcome.code, outcome.err) == (0, "")
        lines = outcome.out.splitlines()
        header = (
            "backbone accuracy 95% interval images layer core-ms images/s parameters "
            "multiply-adds memory license top-1"
        )
        assert " ".join(lines[0].split()) == header
        assert lines[1].startswith("*  a ")
        assert "1.5     1,333           -              -  100 MB  MIT          -" in lines[1]
        assert lines[2].startswith("   b ")
        for text in (
            "data      own: 24 images, 3 classes",
            f"skipped   1 file; all in {tmp_path / 'out' / 'comparison.json'}",
            f"          {own / 'noise' / 'broken.jpg'} (empty file)",
            "advice    Use a: ",
            "b with 1.000 is within noise of it",
            "choice    accuracy 1.000",
            f"written   {tmp_path / 'out'}",
        ):
            assert text in outcome.out
        with Image.open(tmp_path / "out" / "comparison.png") as picture:
            assert picture.width > 1000
        page = (tmp_path / "out" / "report.html").read_text()
        assert "Backbones compared on own" in page
        assert "1 file could not be used (1 empty file)" in page
        with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["name"] for row in rows] == ["a", "b"]
        assert (rows[0]["memory_bytes"], rows[0]["top1"]) == ("100000000", "")
        # Its own folder may be used again.
        assert cli("compare", own, "--backbones", "a", "--out", tmp_path / "out").code == 0

    def test_the_same_seed_gives_the_same_picture_and_numbers(
        self, cli: Cli, photos: Path, tmp_path: Path
    ):
        arguments = ("compare", photos, "--backbones", "a,b", "--seed", 4, "--balance")
        for name in ("first", "second"):
            cli(*arguments, "--out", tmp_path / name)
        first, second = (tmp_path / name / "comparison.png" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()

    def test_what_is_not_here_is_left_out(self, cli: Cli, photos: Path):
        outcome = cli("compare", photos, "--backbones", "a,far,broken", "--json")
        assert outcome.code == 0
        assert [row["name"] for row in outcome.document["backbones"]] == ["a"]
        assert outcome.document["left_out"] == [
            {
                "name": "far",
                "reason": "its weights are not on this machine; add --allow-download (in Python, "
                "allow_download=True) to fetch them",
            },
            {"name": "broken", "reason": "these weights do not fit broken"},
        ]
        assert "warning: far is excluded: its weights are not on this machine" in outcome.err
        assert "warning: broken is excluded" in outcome.err
        sentence = outcome.document["recommendation"]["sentence"]
        assert "it was not compared with any other backbone" in sentence

    def test_an_unknown_name_is_a_mistake_before_any_work(
        self, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.delattr(DatasetOptions, "open")  # no data are looked for
        outcome = cli("compare", "nowhere", "--backbones", "a,nonsense", "--json")
        assert (outcome.code, one_sentence(outcome)) == (2, True)
        assert "there is no backbone 'nonsense'; did you mean 'a'?" in outcome.err

    def test_sizes_are_stated_before_anything_is_fetched(self, cli: Cli, photos: Path):
        arguments = ("compare", photos, "--backbones", "a,far,farther,gone", "--json")
        outcome = cli(*arguments, "--allow-download")
        assert outcome.code == 0
        assert {row["name"] for row in outcome.document["backbones"]} == {"a", "far", "farther"}
        assert outcome.document["left_out"] == [{"name": "gone", "reason": "cannot download gone"}]
        assert outcome.err.splitlines()[:4] == [
            "headstart: will download far: 47 MB",
            "headstart: will download farther: size unknown",
            "headstart: will download gone: 1 MB",
            "headstart: will download 48 MB in total, plus those of unknown size",
        ]
        assert "gone is excluded" in outcome.err

    def test_nothing_to_compare_is_a_mistake_that_says_what_to_do(self, cli: Cli, photos: Path):
        outcome = cli("compare", photos, "--backbones", "far,farther")
        assert outcome.code == 2
        assert one_sentence(outcome)
        assert "far: its weights are not on this machine; add --allow-download" in outcome.err
        outcome = cli("compare", photos, "--backbones", "broken")
        assert (outcome.code, one_sentence(outcome)) == (2, True)
        outcome = cli("compare", photos, "--backbones", " , ")
        assert (outcome.code, one_sentence(outcome)) == (2, True)
        assert "separate names by commas" in outcome.err

    def test_a_folder_of_photos_is_no_place_for_results(self, cli: Cli, own: Path):
        outcome = cli("compare", own, "--backbones", "a", "--out", own)
        assert outcome.code == 2
        assert one_sentence(outcome)
        assert "is among the images in" in outcome.err

    def test_one_class_is_refused(self, cli: Cli, tmp_path: Path):
        write_photos(tmp_path / "one", 3, kinds=("noise",))
        outcome = cli("compare", tmp_path / "one", "--backbones", "a")
        assert (outcome.code, one_sentence(outcome)) == (2, True)


@pytest.mark.parametrize(
    ("stages", "text"),
    [
        (("head",), "head"),
        (("blocks.5", "head"), "blocks.5 + head"),
        (("blocks.2", "blocks.3", "blocks.4"), "blocks.2 to blocks.4"),
    ],
)
def test_stages_take_little_room(stages: tuple[str, ...], text: str):
    assert layer_text(stages) == text
