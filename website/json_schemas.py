"""JSON schemas of what commands print with `--json`, and of the files that they write.

They are made from the types of the results, and of the documents in `headstart.cli.documents`.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from headstart.auditing.audit import Audit
from headstart.backbones.ladder import Rung
from headstart.backbones.source import BackboneInfo
from headstart.cli.documents import catalog, handover, imagined, inspection, prediction, training
from headstart.comparison.result import Comparison
from headstart.evaluation.report import Report
from headstart.quiz.quizzes import Quiz
from headstart.transfer.result import TransferReport
from website.manifest_schema import info_schema, manifest_schema
from website.type_schema import Schema, type_schema

OUTPUTS: Final[dict[str, Any]] = {
    "audit": Audit | training.FitDocument,  # with --apply
    "fit": training.FitDocument,
    "info": None,
    "predict": prediction.PredictDocument,
    "classify": prediction.ClassifyDocument,
    "evaluate": Report,
    "backbones": Sequence[BackboneInfo] | Sequence[Rung],
    "compare": Comparison,
    "transfer": TransferReport,
    "finetune": training.FineTuneDocument,
    "features": inspection.FeaturesDocument,
    "explain": inspection.ExplainDocument,
    "attack": inspection.AttackDocument,
    "imagine": imagined.ImagineDocument,
    "robustness": inspection.RobustnessDocument,
    "classes": catalog.ClassesDocument,
    "quiz": Quiz | Sequence[Quiz],
    "report": handover.ReportDocument,
    "export": handover.ExportDocument,
    "verify": handover.VerifyDocument,
    "datasets": Sequence[catalog.DatasetDocument],
    "cache": catalog.CacheDocument,
}
"""The type of what a command prints with `--json`, by the command's name.

`info` prints the manifest of a model, which pydantic describes.
"""
FILES: Final[dict[str, tuple[str, Any]]] = {
    "model": ("model.json", None),
    "training": ("training.json", prediction.TrainingFile),
}
"""The files that no command prints with `--json`: name and type, by the name of the schema."""


def json_schema(name: str) -> Schema:
    """Return a schema.

    Args:
        name: a key of `OUTPUTS` for what a command prints with `--json`, or one of `FILES`.

    Returns:
        A JSON schema (draft 2020-12) that allows no other properties.

    Raises:
        TypeError: a type in it has no schema, such as a class that converts itself.
    """
    definitions: dict[str, Schema] = {}
    if name == "model":
        schema = manifest_schema()
        definitions = schema.pop("$defs")
    elif name == "info":
        schema = info_schema(definitions)
    else:
        kind = OUTPUTS[name] if name in OUTPUTS else FILES[name][1]
        schema = type_schema(kind, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": FILES[name][0] if name in FILES else f"headstart {name} --json",
        "$defs": definitions,
    }


def schema_text(name: str) -> str:
    """Return the schema as the text of a file."""
    return json.dumps(json_schema(name), indent=2) + "\n"


def list_of_schemas() -> str:
    """Return links to all schemas, as Markdown."""
    titles = {name: f"headstart {name} --json" for name in OUTPUTS}
    titles |= {name: file for name, (file, _) in FILES.items()}
    return "\n".join(f"- [`{title}`](schemas/{name}.schema.json)" for name, title in titles.items())
