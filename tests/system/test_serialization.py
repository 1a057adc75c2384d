import csv
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.system.serialization import csv_text, json_text, to_json, write_json
from headstart.types import Interval, Precision, Skipped


@dataclass(frozen=True)
class Inner:
    interval: Interval
    kind: Precision


@dataclass(frozen=True, slots=True, eq=False)
class Outer:
    path: Path
    inner: Inner
    rows: tuple[Skipped, ...]
    counts: np.ndarray
    share: np.float32
    right: np.bool_
    names: frozenset[str]
    by_kind: dict[Precision, float]
    missing: None = None


class Derived:
    def as_dict(self) -> dict[str, Any]:
        return {"interval": Interval(0, 1), "file": Path("b")}


def test_a_result_becomes_plain_data():
    outer = Outer(
        path=Path("a/b"),
        inner=Inner(Interval(0.25, 0.5), Precision.FLOAT32),
        rows=(Skipped("c", "damaged"),),
        counts=np.array([[1, 2], [3, 4]]),
        share=np.float32(0.5),
        right=np.bool_(True),
        names=frozenset({"x"}),
        by_kind={Precision.BFLOAT16: 1.5},
    )
    found = to_json(outer)
    assert found == {
        "path": "a/b",
        "inner": {"interval": [0.25, 0.5], "kind": "f32"},
        "rows": [{"path": "c", "reason": "damaged"}],
        "counts": [[1, 2], [3, 4]],
        "share": 0.5,
        "right": True,
        "names": ["x"],
        "by_kind": {"bf16": 1.5},
        "missing": None,
    }
    assert type(found["inner"]["kind"]) is str
    assert type(next(iter(found["by_kind"]))) is str
    assert json.loads(json_text(outer)) == found


def test_fields_can_be_left_out():
    assert to_json(Skipped("a", "damaged"), without=["path"]) == {"reason": "damaged"}


def test_derived_values_are_converted_too():
    assert to_json([Derived()]) == [{"interval": [0, 1], "file": "b"}]


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), np.float32("inf")])
def test_what_is_not_finite_is_null(value: float):
    assert to_json({"loss": value}) == {"loss": None}
    assert to_json(np.array([value, 1.0])) == [None, 1.0]


def test_what_json_cannot_express_is_refused():
    with pytest.raises(TypeError, match="no form for a object"):
        to_json(object())


def test_a_file_holds_the_document_and_the_bytes_of_names(tmp_path: Path):
    write_json(tmp_path / "new" / "a.json", {"path": "caf\udce9", "label": "é"})
    content = (tmp_path / "new" / "a.json").read_bytes()
    assert content == b'{\n  "path": "caf\\udce9",\n  "label": "\xc3\xa9"\n}\n'
    assert os.fsencode(json.loads(content)["path"]) == b"caf\xe9"


def test_csv_can_be_read_back():
    rows: list[list[object]] = [["a", 1], ["x\ry", ""], ["x\ny", 'q"'], ["", ","]]
    read = list(csv.reader(io.StringIO(csv_text(rows), newline="")))
    assert read == [[str(cell) for cell in row] for row in rows]
