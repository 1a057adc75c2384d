"""The schemas allow what commands print, and nothing else; tests/cli checks real outputs."""

import json
from dataclasses import replace
from typing import NamedTuple

import pytest
from jsonschema import Draft202012Validator, ValidationError, validate
from website.json_schemas import OUTPUTS, json_schema, schema_text

from headstart.evaluation.conformal import Coverage
from headstart.evaluation.report import build_report
from headstart.system.serialization import json_text
from headstart.types import Interval, Skipped
from website import json_schemas


@pytest.mark.parametrize("command", OUTPUTS)
def test_they_are_schemas_with_a_description_of_every_key(command: str) -> None:
    schema = json.loads(schema_text(command))
    Draft202012Validator.check_schema(schema)
    for name, definition in schema["$defs"].items():
        assert definition["description"], name
        for key, value in definition["properties"].items():
            assert value["description"], f"{name}.{key}"


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
    entries = schema["$defs"]["ImagePrediction"]
    assert entries["required"] == ["image"]
    document = dict.fromkeys(("cost", "coverage", "drift", "estimated_accuracy"))
    found = {"image": "a.jpg", "error": "truncated"}
    validate({**document, "counts": {}, "skipped": [], "predictions": [found]}, schema)
    with pytest.raises(ValidationError):
        validate(
            {**document, "counts": {}, "skipped": [], "predictions": [{"error": "truncated"}]},
            schema,
        )


class Converted(NamedTuple):
    value: int

    def as_dict(self) -> dict[str, int]:
        return {"other": self.value}


def test_what_converts_itself_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(json_schemas.OUTPUTS, "made-up", Converted)
    with pytest.raises(TypeError, match="there is no schema for"):
        json_schema("made-up")
