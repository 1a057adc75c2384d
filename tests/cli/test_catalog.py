from pathlib import Path

import pytest

from tests.cli.conftest import Cli, one_sentence

pytestmark = pytest.mark.slow


class TestInfo:
    def test_prints_the_card(self, cli: Cli, model: Path):
        outcome = cli("info", model)
        assert (outcome.code, outcome.err) == (0, "")
        card = (model / "README.md").read_text(encoding="utf-8")
        assert outcome.out.startswith(card.rstrip())
        assert outcome.out.splitlines()[-1].startswith("Cost: not measured on this machine yet")
        for text in ("efficientnet-lite0", "Apache-2.0", "accuracy", "stripes", "## Limits"):
            assert text in outcome.out

    def test_gives_the_manifest_as_json(self, cli: Cli, model: Path):
        document = cli("info", model, "--json").document
        assert document["schema_version"] == 3
        assert document["classes"] == ["checks", "noise", "stripes"]

    def test_measures_are_those_of_fit(self, cli: Cli, photos: Path, tmp_path: Path):
        fitted = cli("fit", photos, "--out", tmp_path / "model", "--json").document
        document = cli("info", tmp_path / "model", "--json").document
        assert document["accuracy"]["interval"] == fitted["interval"]
        assert document["accuracy_by_stage"] == fitted["accuracy_by_stage"]

    def test_refuses_what_is_no_model(self, cli: Cli, photos: Path):
        outcome = cli("info", photos)
        assert outcome.code == 2
        assert one_sentence(outcome)


class TestBackbones:
    KEYS = (
        "name",
        "source",
        "parameters",
        "multiply_adds",
        "input_size",
        "top1",
        "license",
        "on_this_machine",
    )

    def test_json_holds_all_that_the_contract_names(self, cli: Cli):
        found = cli("backbones", "--json").document
        assert all(set(one) >= set(self.KEYS) for one in found)
        first = found[0]
        assert (first["name"], first["on_this_machine"]) == ("efficientnet-lite0", True)
        assert {"torchvision:resnet50", "torchvision:vgg16"} <= {one["name"] for one in found}

    def test_the_table_has_a_line_for_each(self, cli: Cli):
        lines = cli("backbones").out.splitlines()
        assert lines[0].split()[:2] == ["name", "parameters"]
        assert len(lines) == len(cli("backbones", "--json").document) + 4

    def test_the_ladder(self, cli: Cli):
        found = cli("backbones", "--ladder", "--json").document
        assert found[0]["name"] == "timm:tiny_vit_5m_224.dist_in22k_ft_in1k"
        assert (found[0]["figure"], found[0]["measure"]) == (0.807, "fine-tuned")
        assert (found[0]["license"], found[0]["gated"]) == ("Apache-2.0", False)
        assert set(found[0]) >= {"parameters", "multiply_adds", "input_size", "reference"}
        lines = cli("backbones", "--ladder").out.splitlines()
        assert len(lines) == len(found) + 3
        assert "linear at 224" in "\n".join(lines)


class TestClasses:
    def test_all_with_their_indices_and_groups(self, cli: Cli):
        found = cli("classes", "--json").document
        assert [one["index"] for one in found["classes"]] == list(range(1000))
        assert found["classes"][281] == {"index": 281, "name": "tabby", "groups": ["cat"]}
        assert found["groups"]["cat"] == list(range(281, 288))

    def test_a_search(self, cli: Cli):
        outcome = cli("classes", "cat")
        assert (outcome.code, outcome.err) == (0, "")
        lines = outcome.out.splitlines()
        assert lines[0].split() == ["index", "class", "groups"]
        assert ["281", "tabby", "cat"] in [line.split() for line in lines]
        assert "group 'cat': 7 classes" in lines
        assert max(map(len, lines)) <= 80
        assert [one["name"] for one in cli("classes", "340", "--json").document["classes"]] == [
            "zebra"
        ]

    def test_nothing_found(self, cli: Cli):
        outcome = cli("classes", "zebrra")
        assert outcome.code == 2
        assert one_sentence(outcome)
        assert "did you mean 'zebra'" in outcome.err


class TestDatasets:
    def test_lists_those_known_by_name(self, cli: Cli):
        found = {one["name"]: one for one in cli("datasets", "--json").document}
        expected = {"digits", "textiles", "cats-vs-dogs", "oxford-pets", "ants-bees", "mnist"}
        assert found.keys() >= expected | {"cifar10"}
        assert found["digits"]["embedded"]
        assert all(one["license"] for one in found.values())
        assert "1,797" in cli("datasets").out


class TestCache:
    def test_shows_and_clears_what_is_kept(self, cli: Cli, photos: Path, tmp_path: Path):
        cache = tmp_path / "kept"
        cli("fit", photos, "--out", tmp_path / "model", "--stage", "head", "--cache", cache)
        shown = cli("cache", "--cache", cache, "--json").document
        assert shown["folder"] == str(cache)
        (features,) = shown["features"]
        assert features["rows"] == 24
        assert list(shown["bytes"]) == [
            *("features", "activations", "choices", "archives", "datasets", "images"),
            *("index", "fonts"),
        ]
        assert shown["total_bytes"] == sum(shown["bytes"].values())
        assert shown["bytes"]["features"] >= features["bytes"] > 0
        cleared = cli("cache", "--cache", cache, "--clear", "--json").document
        assert cleared["freed_bytes"] > 0
        assert cleared["total_bytes"] == 0
        said = cli("fit", photos, "--out", tmp_path / "model", "--stage", "head", "--cache", cache)
        assert "0 of them from the cache" in said.out

    def test_is_where_the_variable_says(self, cli: Cli, tmp_path: Path):
        outcome = cli("cache")
        assert outcome.code == 0
        assert f"folder       {tmp_path / 'cache'}" in outcome.out
        assert "datasets     0 bytes" in outcome.out
        assert "freed" in cli("cache", "--clear").out
