"""Hostile tables: too wide, too long, of odd characters, numbers and encodings, or lying."""

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any, Final

from headstart import open_dataset
from headstart.errors import HeadstartError
from tests.campaign.campaign import Campaign
from tests.campaign.isolation import Bounds, Task, isolated, refusal_fault
from tests.images.kinds import jpeg

_BOUNDS: Final = Bounds(seconds=120, megabytes=1_500, batch=10)
_IMAGES: Final = [f"{kind}{index}.jpg" for kind in "ab" for index in range(4)]
_ROWS: Final = [(name, name[0]) for name in _IMAGES]
_CSV: Final = "image,label\n" + "".join(f"{name},{label}\n" for name, label in _ROWS)
_RECORDS: Final[list[dict[str, Any]]] = [{"image": name, "label": label} for name, label in _ROWS]
_LINES: Final = "".join(f"{json.dumps(record)}\n" for record in _RECORDS)

Write = Callable[[Path], object]
"""Writes a table to a path."""


def _text(text: str, encoding: str = "utf-8", errors: str = "strict") -> Write:
    return lambda path: path.write_bytes(text.encode(encoding, errors))


def _cells(*cells: str) -> Write:
    """Return the writer of a CSV file that has each cell as a name and as a label."""
    rows = "".join(
        f"{cell},a\n{name},{cell}\n" for cell, name in zip(cells, _IMAGES * 9, strict=False)
    )
    return _text(_CSV + rows, errors="surrogatepass")


def _long(line: str, times: int, *, before: str = _CSV, after: str = "") -> Write:
    """Return the writer of a table with a part that is repeated, without holding it."""

    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            file.write(before)
            for _ in range(times // 1_000):
                file.write(line * 1_000)
            file.write(after)

    return write


def _parquet(columns: Callable[[Any], dict[str, Any]], times: int = 1) -> Write:
    """Return the writer of a Parquet file of columns that pyarrow makes, as often as is said."""

    def write(path: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.table(columns(pyarrow))
        with parquet.ParquetWriter(path, table.schema, compression="zstd") as writer:
            for _ in range(times):
                writer.write_table(table)

    return write


def _names(pyarrow: Any, times: int = 1) -> dict[str, Any]:
    return {"image": _IMAGES * times, "label": [name[0] for name in _IMAGES] * times}


def _million_equal(pyarrow: Any) -> dict[str, Any]:
    repeated = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 1_000_000), ["a0.jpg"])
    return {"image": repeated, "label": repeated}


def _far_times(pyarrow: Any) -> dict[str, Any]:
    times = pyarrow.array([2**62, -(2**62), 0, 1, 2, 3, 4, 5], pyarrow.timestamp("us", tz="UTC"))
    return {**_names(pyarrow), "label": times, "time": times}


def _broken_text(pyarrow: Any) -> dict[str, Any]:
    raw = pyarrow.array([b"\xff\xfe\x80"] * len(_IMAGES), pyarrow.binary())
    broken = pyarrow.StringArray.from_buffers(len(raw), *raw.buffers()[1:])
    return {**_names(pyarrow), "label": broken}


def _embedded(pyarrow: Any) -> dict[str, Any]:
    cells = [{"bytes": jpeg()[: 50 * i], "path": "../" * i + "planted.jpg"} for i in range(8)]
    return {"image": cells, "label": [name[0] for name in _IMAGES]}


def _cut(write: Write, share: float) -> Write:
    def cut(path: Path) -> None:
        write(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return cut


_DEEP: Final = "[" * 100_000
_WIDE: Final = ",".join(f"column{index}" for index in range(1_000_000))
TABLES: Final[dict[str, Write]] = {
    "nuls.csv": _cells("a\0b", "\0", "a0.jpg\0.png"),
    "formulas.csv": _cells("=cmd|' /C calc'!A0", "@SUM(1+1)*cmd", "+1", "-1", "\t=1"),
    "outside.csv": _cells("../../../etc/passwd", "/etc/passwd", "/dev/zero", "~/x", "a0.jpg/x"),
    "terminal.csv": _cells("\x1b]0;owned\x07", "\x1b[2J", "\u202ea", "\u2028", "\x85", "\x00"),
    "surrogates.csv": _cells("\ud800", "\udcff.jpg"),
    "latin.csv": _text(_CSV + "ä.jpg,ü\n", "latin-1"),
    "utf-16.csv": _text(_CSV, "utf-16"),
    "utf-16 cut.csv": _cut(_text(_CSV, "utf-16"), 0.51),
    "utf-32.tsv": _text(_CSV.replace(",", "\t"), "utf-32"),
    "shift jis.csv": _text(_CSV + "写真.jpg,猫\n" * 99, "shift-jis"),
    "quotes.csv": _text(_CSV + '"a0.jpg,"a""b\n' * 999 + '"'),
    "same columns.csv": _text("image,label,image,label\n" + "a0.jpg,a,b0.jpg,b\n" * 9),
    "deep.json": _text(_DEEP),
    "deep.jsonl": _text(_LINES + _DEEP + "\n" + '{"a":' * 100_000 + "\n"),
    "numbers.jsonl": _text(
        _LINES
        + "".join(
            f'{{"image": "a0.jpg", "label": {number}}}\n'
            for number in ("1e999", "-0", "NaN", "9" * 5_000, "1" + "0" * 400, "true", "null", "[]")
        )
    ),
    "other keys.json": _text(json.dumps({"rows": _RECORDS, "image": {"a": _RECORDS}})),
    "far times.parquet": _parquet(_far_times),
    "broken text.parquet": _parquet(_broken_text),
    "embedded.parquet": _parquet(_embedded),
    "million columns.csv": _text(f"image,label,{_WIDE}\n" + _CSV.partition("\n")[2]),
    "million columns.jsonl": _text(json.dumps({"image": "a0.jpg", **dict.fromkeys(range(10**6))})),
    "million commas.csv": _text(_CSV + "a0.jpg,a" + "," * 1_000_000 + "\n"),
    "giant cell.csv": _long("x", 200_000_000),
    "giant quoted cell.csv": _long("x\n", 50_000_000, before=_CSV + '"'),
    "giant label.tsv": _long("x", 100_000, before="image\tlabel\na0.jpg\t", after="\nb0.jpg\tb\n"),
    "equal rows.csv": _long("a0.jpg,a\n", 3_000_000),
    "no such files.csv": _long("missing.jpg,a\n", 300_000),
    "blank lines.csv": _long("\n", 50_000_000),
    "many labels.csv": _text(_CSV + "".join(f"a0.jpg,{index}\n" for index in range(200_000))),
    "equal rows.parquet": _parquet(_million_equal, times=60),
}
"""Name -> what writes the table."""


def open_hostile(folder: Path, task: Task) -> str | None:
    """Open the table of a name."""
    name = str(task)
    source, cache = folder / "data", folder / "cache"
    source.mkdir()
    for image in _IMAGES:
        (source / image).write_bytes(jpeg())
    TABLES[name](source / name)
    before = {path for path in folder.rglob("*") if cache not in (path, *path.parents)}
    fault = None
    try:
        open_dataset(source / name, cache=cache)
    except HeadstartError as error:
        fault = refusal_fault(error)
    if {path for path in folder.rglob("*") if cache not in (path, *path.parents)} != before:
        return "wrote a file outside the cache"
    return fault


def _tries(folder: Path, count: int, _chance: Random) -> Iterator[str | None]:
    return isolated(open_hostile, list(TABLES)[:count], folder, _BOUNDS)


def without_parquet() -> str | None:
    """Return why there are no Parquet files here."""
    return None if find_spec("pyarrow") else "the extra 'tables' is not installed"


HOSTILE_TABLES: Final = Campaign(
    kind="hostile tables",
    failure="a file outside the cache, a crash, a hang, over 1.5 GB, or a reason of over 10 kB",
    tries=_tries,
    full=len(TABLES),
    short=12,
    needs=without_parquet,
    slow=True,
)
