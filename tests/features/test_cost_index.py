import json

import pytest

from headstart.features import cost_index
from headstart.features.cost_index import Cost, CostIndex, cost_key, on_any_device

KEY = cost_key("tiny@32", "0" * 32, "openvino", "f32", "cpu")
OTHER = cost_key("b", "1", "pytorch", "f32", "cuda")


def test_costs_are_kept_and_replaced(tmp_path):
    CostIndex(tmp_path).save({KEY: Cost(1.5, 2.0), OTHER: Cost(0.0, 9.5)})
    CostIndex(tmp_path).save({KEY: Cost(1.0, 3.0)})
    found = CostIndex(tmp_path).load()
    assert found == {KEY: Cost(1.0, 3.0), OTHER: Cost(0.0, 9.5)}
    assert found[KEY].total == 4.0
    CostIndex(tmp_path).save({KEY: Cost(1.0, 3.0, 2.5)})
    assert CostIndex(tmp_path).load()[KEY].total == 8.5


def test_devices_have_costs_of_their_own(tmp_path):
    name, index = ("a b.onnx", "1", "pytorch", "f32"), CostIndex(tmp_path)
    index.save({cost_key(*name, "cpu"): Cost(1.0, 9.0), KEY: Cost(1.0, 2.0)})
    index.save({cost_key(*name, "cuda"): Cost(1.0, 1.0)})
    found = index.load()
    assert len(found) == 3
    assert on_any_device(found)[cost_key(*name)] == Cost(1.0, 1.0)
    index.save({cost_key(*name, "cpu"): Cost(1.0, 9.0)})
    assert on_any_device(index.load())[cost_key(*name)] == Cost(1.0, 9.0)


def test_nothing_is_kept_without_a_cache_or_where_it_cannot_be_written(tmp_path):
    CostIndex(None).save({KEY: Cost(1.0, 2.0)})
    assert CostIndex(None).load() == {}
    (tmp_path / "index").write_text("a file")
    CostIndex(tmp_path).save({KEY: Cost(1.0, 2.0)})
    assert CostIndex(tmp_path).load() == {}


def test_another_machine_measures_for_itself(tmp_path, monkeypatch):
    CostIndex(tmp_path).save({KEY: Cost(1.0, 2.0)})
    monkeypatch.setattr(cost_index.platform, "node", lambda: "elsewhere")
    assert CostIndex(tmp_path).load() == {}
    CostIndex(tmp_path).save({OTHER: Cost(1.0, 2.0)})
    assert list(CostIndex(tmp_path).load()) == [OTHER]


@pytest.mark.parametrize(
    "entry",
    [
        [1.0],
        [1.0, 2.0, 3.0, 4.0],
        [1.0, 2.0, "3"],
        [1.0, "2"],
        [1.0, True],
        [-1.0, 2.0],
        [1.0, 1e9],
        3,
        None,
        [1.0, None],
    ],
)
def test_impossible_costs_are_ignored(tmp_path, entry):
    CostIndex(tmp_path).save({KEY: Cost(1.0, 2.0)})
    file = tmp_path / "index" / "costs-2.json"
    document = json.loads(file.read_text())
    file.write_text(json.dumps(document | {"costs": {KEY: entry}}))
    assert CostIndex(tmp_path).load() == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"machine": 1}', "\x00", "[" * 100_000])
def test_a_damaged_file_is_ignored_and_replaced(tmp_path, text):
    CostIndex(tmp_path).save({KEY: Cost(1.0, 2.0)})
    (tmp_path / "index" / "costs-2.json").write_text(text)
    assert CostIndex(tmp_path).load() == {}
    CostIndex(tmp_path).save({OTHER: Cost(1.0, 2.0)})
    assert list(CostIndex(tmp_path).load()) == [OTHER]


def test_the_oldest_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(cost_index, "_MAX_ENTRIES", 2)
    for name in "abc":
        CostIndex(tmp_path).save({name: Cost(1.0, 2.0)})
    assert list(CostIndex(tmp_path).load()) == ["b", "c"]
