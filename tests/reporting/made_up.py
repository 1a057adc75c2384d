"""Folders of results as commands write them, made up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.evaluation.report import METRICS, build_report, predictions_table, write_csv
from headstart.reporting.results_folder import ResultsFolder
from headstart.system.serialization import write_json
from headstart.types import Conflict, Skipped

EVIL = '<script>document.title = "run"</script>\u202e\udcff&'
CLASSES = ("ant", "bee", EVIL)
FIGURES = ("confusion.png", "reliability.png", "accuracy_by_stage.png")


def write_evaluation(folder: Path, *, images: int = 60, figures: bool = True) -> Path:
    """A test on images of three classes, four in five of them right, with odd names."""
    rng = np.random.default_rng(0)
    truth = np.arange(images) % 3
    predicted = np.where(rng.random(images) < 0.8, truth, (truth + 1) % 3)
    p = np.full((images, 3), 0.1)
    p[np.arange(images), predicted] = rng.uniform(0.5, 0.8, images)
    p /= p.sum(axis=1, keepdims=True)
    paths = [folder / "images" / f"{label}" / f"<i>{n}&.png" for n, label in enumerate(truth)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (int(rng.integers(256)), 90, 40)).save(path)
    paths[int(np.flatnonzero(predicted != truth)[0])].unlink()
    found = build_report(
        p,
        truth,
        CLASSES,
        skipped=[Skipped(EVIL, "not an image")] * 2,
        conflicts=[Conflict(("a.png", "b.png"), ("ant", EVIL))],
        seen=1,
    )
    out = folder / "out"
    write_json(out / METRICS, found)
    write_csv(predictions_table(paths, truth, p, CLASSES), out / "predictions.csv")
    for name in FIGURES if figures else ():
        Image.new("RGB", (300, 150), "white").save(out / name, dpi=(150, 150))
    ResultsFolder(out).write_command(f"headstart evaluate model '{EVIL}' --out out")
    return out


def write_comparison(folder: Path) -> Path:
    backbones = [
        {
            "name": name, "accuracy": right, "interval": [right - 0.05, right + 0.05],
            "images": 90, "complete": True, "stages": ["head"], "images_per_second": None,
            "core_milliseconds": cost, "pass_images_per_second": None, "engine": "openvino",
            "precision": "f32", "parameters": 4_600_000, "multiply_adds": None,
            "memory_bytes": None, "license": "MIT", "top1": None, "frontier": True,
        }
        for name, right, cost in (("small", 0.8, 2.0), ("large", 0.9, 30.0))
    ]  # fmt: skip
    choice = {"accuracy": 0.88, "interval": [0.8, 0.93], "images": 90}
    document = {
        "data": "photos", "images": 90, "classes": ["ant", "bee"], "backbones": backbones,
        "recommendation": {
            "backbone": "large", "sentence": "Use large: it is better", "choice": choice,
            "against": {},
        },
        "left_out": [{"name": "huge", "reason": "its weights are not here"}],
        "skipped": [{"path": "x.txt", "reason": "not an image"}], "conflicts": [],
        "duplicates": 3, "cores": 2,
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "comparison.json").write_text(json.dumps(document))
    return folder


def write_transfer(folder: Path) -> Path:
    def score(right: float, **more: object) -> dict[str, object]:
        return {"accuracy": right, "interval": [right - 0.05, right + 0.05], "images": 80, **more}

    document = {
        "data": "photos", "backbone": "tiny", "images": 80, "classes": ["ant", "bee"],
        "stages": [score(0.7, name="early"), score(0.8, name="late")],
        "chosen": score(0.82, stages=["early", "late"]),
        "raw_pixels": score(0.85, classifier="SVM"),
        "descriptors": score(0.6, classifier="SVM"),
        "random_weights": score(0.5, chosen=["early"]),
        "gain": {"value": 0.32, "interval": [0.2, 0.44]},
        "negative_transfer": {"found": True, "beat_last": ["raw_pixels"], "beat_chosen": []},
        "learning_curve": {"points": [score(0.7, draws=4) | {"images": 12.5}], "fit": None},
        "advice": {"sentence": "Fine-tune it.", "command": "headstart finetune photos --out m"},
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "transfer.json").write_text(json.dumps(document))
    return folder
