"""The schemas allow what commands print, and nothing else; tests/cli checks real outputs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from jsonschema import Draft202012Validator, ValidationError, validate
from website.json_schemas import FILES, OUTPUTS, json_schema, schema_text

from headstart.cli.commands import Commands
from headstart.evaluation.conformal import Coverage
from headstart.evaluation.report import build_report
from headstart.models.saved_model import save_model
from headstart.models.trained_model import FineTuning
from headstart.system.serialization import json_text
from headstart.types import Interval, Skipped
from tests.models.trained_models import estimate, make_model, make_novelty


@pytest.mark.parametrize("name", [*OUTPUTS, *FILES])
def test_they_are_schemas_with_a_description_of_every_key(name: str) -> None:
    schema = json.loads(schema_text(name))
    Draft202012Validator.check_schema(schema)
    for part, definition in {name: schema, **schema["$defs"]}.items():
        if "properties" in definition:
            assert definition["description"], part
        for key, value in definition.get("properties", {}).items():
            assert value["description"], f"{part}.{key}"


def test_every_command_with_json_has_a_schema() -> None:
    commands = {name: {one.name for one in command.params} for name, command in Commands().items()}
    # serve writes a log with --json; its interface describes itself.
    documented = {name for name, options in commands.items() if "as_json" in options} - {"serve"}
    assert documented == {*OUTPUTS}


def report(**changes: object) -> dict[str, object]:
    of_class = Coverage(
        target=0.9,
        value=1.0,
        interval=Interval(0.3, 1.0),
        images=2,
        mean_set_size=1.0,
        by_class={},
    )
    made = build_report(
        [[0.9, 0.1], [0.2, 0.8]],
        [0, 1],
        ["ant", "bee"],
        skipped=[Skipped("a.jpg", "truncated")],
        coverage=replace(of_class, by_class={"ant": of_class}),
    )
    return json.loads(json_text(made)) | changes


def test_a_report_has_its_schema() -> None:
    validate(report(), json_schema("evaluate"))


@pytest.mark.parametrize(
    "changes",
    [{"accuracy": "high"}, {"more": 1}, {"interval": [0.5]}, {"skipped": [{"path": "a.jpg"}]}],
)
def test_another_document_has_not(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        validate(report(**changes), json_schema("evaluate"))


def test_a_prediction_or_an_error() -> None:
    schema = json_schema("predict")
    entries = schema["$defs"]["PredictionDocument"]
    assert entries["required"] == ["image"]
    document = dict.fromkeys(("cost", "coverage", "drift", "estimated_accuracy"))
    found = {"image": "a.jpg", "error": "truncated"}
    validate({**document, "counts": {}, "skipped": [], "predictions": [found]}, schema)
    with pytest.raises(ValidationError):
        validate(
            {**document, "counts": {}, "skipped": [], "predictions": [{"error": "truncated"}]},
            schema,
        )


def test_the_manifest_of_a_model(tmp_path: Path) -> None:
    tuning = FineTuning(
        depth=2,
        cut="stage5",
        epochs=3,
        share=0.5,
        weights="0" * 32,
        probe=estimate(7, 10),
        tuned=estimate(8, 10),
    )
    save_model(make_model(tuning=tuning, novelty=make_novelty()), tmp_path / "model")
    manifest = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    validate(manifest, json_schema("model"))
    with pytest.raises(ValidationError):
        validate({**manifest, "classes": ["ant"]}, json_schema("model"))


class Converted(NamedTuple):
    value: int

    def as_dict(self) -> dict[str, int]:
        return {"other": self.value}


def test_what_converts_itself_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OUTPUTS, "made-up", Converted)
    with pytest.raises(TypeError, match="there is no schema for"):
        json_schema("made-up")
