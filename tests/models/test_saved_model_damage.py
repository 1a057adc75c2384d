"""A model that is damaged, too new or not one is refused in a sentence."""

import builtins
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from headstart.errors import SavedModelError
from headstart.heads.families import FAMILIES
from headstart.models.model_folder import MANIFEST
from headstart.models.saved_model import SCHEMA, load_model, save_model
from headstart.system.digests import bytes_digest
from tests.models.saved_models import arrays_of, change, contents, refusal, rewrite
from tests.models.trained_models import features, make_model, make_novelty
from tests.properties import examples

KINDS = list(FAMILIES)


class TestDamage:
    def test_a_folder_that_is_not_there(self, tmp_path):
        assert "is not a folder; give the folder that" in refusal(tmp_path / "nowhere")

    def test_a_file_instead_of_a_folder(self, saved):
        assert "is not a folder" in refusal(saved / MANIFEST)

    def test_an_empty_folder(self, tmp_path):
        assert "contains no model.json; give the folder" in refusal(tmp_path)

    @pytest.mark.parametrize("view", ["tiny@9", "other@32", " tiny@64", "tiny@whole "])
    def test_a_view_that_is_none_of_the_backbone(self, saved, view):
        origin = json.loads((saved / MANIFEST).read_text())["origin"]
        change(saved, origin=origin | {"view": "tiny@64"})
        load_model(saved)
        change(saved, origin=origin | {"view": view})
        assert f"does not fit {MANIFEST}" in refusal(saved)

    @pytest.mark.parametrize("digest", ["../../x", "A" * 32, "0" * 31, "0" * 32 + "\n"])
    def test_weights_that_are_no_digest(self, saved, digest):
        origin = json.loads((saved / MANIFEST).read_text())["origin"]
        change(saved, origin=origin | {"weights": digest})
        assert "'origin.weights' is" in refusal(saved)

    def test_a_head_with_an_endless_name(self, saved):
        change(saved, head="x" * 10**6)
        assert len(refusal(saved)) < 1_000

    @pytest.mark.parametrize("kind", KINDS)
    def test_arrays_of_booleans(self, tmp_path, kind):
        folder = tmp_path / "model"
        save_model(make_model(kind), folder)
        name = next(name for name in load_file(arrays_of(folder)) if name.startswith("head."))
        rewrite(folder, **{name: load_file(arrays_of(folder))[name] > 0})
        assert "has the number format bool" in refusal(folder)

    def test_arrays_with_an_endless_fault(self, saved):
        header = b'{"' + b"x" * 10**6 + b'":0}'
        content = len(header).to_bytes(8, "little") + header
        arrays_of(saved).unlink()
        name = f"model-{bytes_digest(content)[:16]}.safetensors"
        (saved / name).write_bytes(content)
        change(saved, arrays=name)
        assert len(refusal(saved)) < 1_000

    def test_distances_that_overflow(self, tmp_path):
        save_model(make_model(novelty=make_novelty()), tmp_path / "model")
        arrays = load_file(arrays_of(tmp_path / "model"))
        huge = np.full_like(arrays["novelty.center"], 1e30)
        rewrite(tmp_path / "model", **{"novelty.center": huge})
        with pytest.raises(SavedModelError, match="distances between images are not finite"):
            load_model(tmp_path / "model").p_values(features())

    def test_a_folder_where_the_manifest_should_be(self, tmp_path):
        (tmp_path / MANIFEST).mkdir()
        assert "contains no model.json" in refusal(tmp_path)

    def test_a_manifest_without_arrays(self, saved):
        arrays_of(saved).unlink()
        assert "is missing; copy or fit" in refusal(saved)

    @pytest.mark.parametrize("name", [MANIFEST, "model-*.safetensors"])
    def test_a_file_that_may_not_be_read_is_not_called_damaged(self, saved, monkeypatch, name):
        (closed,) = saved.glob(name)
        opened = open

        def refuse(path, *arguments, **options):  # chmod does not keep root out
            if path == closed:
                raise PermissionError(13, "Permission denied", str(path))
            return opened(path, *arguments, **options)

        monkeypatch.setattr(builtins, "open", refuse)
        assert refusal(saved) == f"cannot read {closed}: Permission denied; make it readable"

    @pytest.mark.parametrize(
        "broken",
        [
            {"novelty.temperature": np.zeros(1)},
            {"novelty.means": np.zeros((2, 10), np.float16)},
            {"novelty.center": np.zeros(3, np.float32)},
        ],
    )
    def test_a_novelty_detector_that_does_not_fit_the_head(self, tmp_path, broken):
        save_model(make_model(novelty=make_novelty()), tmp_path)
        rewrite(tmp_path, **broken)
        assert "does not fit model.json" in refusal(tmp_path)

    def test_a_novelty_detector_without_arrays(self, saved, tmp_path):
        save_model(make_model(novelty=make_novelty()), tmp_path / "other")
        manifest = json.loads((tmp_path / "other" / MANIFEST).read_text())
        change(saved, novelty=manifest["novelty"])
        assert "does not fit model.json" in refusal(saved)

    def test_a_head_cannot_ask_for_memory_for_classes_without_examples(self, tmp_path):
        save_model(make_model("knn"), tmp_path)
        rewrite(tmp_path, **{"head.classes": np.array([10**9])})
        assert "do not fit the labels" in refusal(tmp_path)

    def test_weights_that_overflow_are_not_probabilities(self, saved):
        name = next(name for name in load_file(arrays_of(saved)) if name.endswith("coefficients"))
        rewrite(saved, **{name: np.full_like(load_file(arrays_of(saved))[name], 3e38)})
        with pytest.raises(SavedModelError, match="logits are not finite"):
            load_model(saved).probabilities(features())

    @pytest.mark.parametrize("version", [SCHEMA + 1, 10**30])
    def test_a_newer_schema_says_upgrade_whatever_else_it_holds(self, saved, version):
        change(saved, schema_version=version, head="transformer", new=[1], arrays=None)
        message = refusal(saved)
        assert "newer version of headstart" in message
        assert "pip install --upgrade headstart" in message

    def test_an_older_schema_says_fit_again_whatever_else_it_holds(self, saved):
        change(saved, schema_version=SCHEMA - 1, head="transformer", old=[1], arrays=None)
        message = refusal(saved)
        assert "older version of headstart" in message
        assert "fit the model again" in message

    @pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
    def test_a_truncated_manifest(self, saved, share):
        content = (saved / MANIFEST).read_bytes()
        (saved / MANIFEST).write_bytes(content[: int(share * len(content))])
        assert "is damaged" in refusal(saved)

    def test_a_manifest_that_is_no_text(self, saved):
        (saved / MANIFEST).write_bytes(b"\xff\xfe\x00")
        assert "is damaged" in refusal(saved)

    def test_a_manifest_nested_without_end(self, saved):
        (saved / MANIFEST).write_text("[" * 100_000)
        assert "is damaged" in refusal(saved)

    @pytest.mark.parametrize("share", [0, 0.5, 0.99])
    def test_truncated_arrays(self, saved, share):
        content = arrays_of(saved).read_bytes()
        arrays_of(saved).write_bytes(content[: int(share * len(content))])
        assert "is damaged: its content has changed" in refusal(saved)

    @pytest.mark.parametrize("place", [0, 9, 500, -1])
    def test_one_flipped_bit_in_the_arrays(self, saved, place):
        content = bytearray(arrays_of(saved).read_bytes())
        content[place] ^= 1
        arrays_of(saved).write_bytes(content)
        assert "is damaged" in refusal(saved)

    @pytest.mark.parametrize(
        "name",
        [
            "../model-0123456789abcdef.safetensors",
            "/etc/passwd",
            "model-0123456789abcdef.safetensors\n",
            "model-0123456789abcdef.safetensors/../x",
            "",
            ".",
        ],
    )
    def test_arrays_are_only_read_from_the_folder_itself(self, saved, name):
        shutil.copy(arrays_of(saved), saved.parent)
        change(saved, arrays=name)
        assert "is damaged" in refusal(saved)

    @pytest.mark.parametrize(
        "entries",
        [
            {"format": "another model"},
            {"schema_version": 0},
            {"schema_version": "one"},
            {"classes": ["ant", "bee"]},
            {"classes": ["ant"]},
            {"classes": []},
            {"classes": ["a", "b", "c", "d"]},
            {"head": "centroid"},
            {"head": "knn"},
            {"head": "forest"},
            {"temperature": 0},
            {"temperature": -1},
            {"temperature": 1e-9},
            {"temperature": 51},
            {"classes": ["ant", "ant", "bee"]},
            {"classes": ["ant", "", "bee"]},
            {"temperature": float("inf")},
            {"temperature": float("nan")},
            {"setting": float("nan")},
            {"seed": None},
            {"seed": 0.5},
            {"balanced": None},
            {"origin": {}},
            {"accuracy": {"value": 2, "interval": None, "images": 1, "method": "unknown"}},
            {"accuracy": {"value": 1, "interval": None, "images": -1, "method": "unknown"}},
            {"accuracy": {"value": 1, "interval": [0], "images": 1, "method": "unknown"}},
            {"surplus": 1},
            {"label_type": "int64"},
            {"label_type": "bool"},
            {"label_type": "date"},
        ],
        ids=str,
    )
    def test_a_manifest_that_does_not_fit(self, saved, entries):
        change(saved, **entries)
        assert "damaged" in refusal(saved) or "does not fit" in refusal(saved)

    @pytest.mark.parametrize(
        ("entries", "said"),
        [
            (
                {"temperature": -1},
                "'temperature' is -1: Input should be greater than or equal to 0.02",
            ),
            ({"seed": None}, "the entry 'seed' is missing"),
            ({"surplus": 1}, "the entry 'surplus' is unknown"),
            (
                {"accuracy": {"value": 2, "interval": None, "images": 1, "method": "unknown"}},
                "'accuracy.value' is 2: Input should be less than or equal to 1",
            ),
        ],
        ids=str,
    )
    def test_the_entry_and_its_fault_are_named_in_a_line(self, saved, entries, said):
        change(saved, **entries)
        assert refusal(saved).startswith(f"{saved / MANIFEST} is damaged: {said}; ")

    @pytest.mark.parametrize("part", ["origin", "data", "accuracy"])
    def test_a_surplus_entry_within_a_part(self, saved, part):
        manifest = json.loads((saved / MANIFEST).read_text())
        change(saved, **{part: {**manifest[part], "surplus": 1}})
        assert "surplus" in refusal(saved)

    def test_no_stages(self, saved):
        origin = json.loads((saved / MANIFEST).read_text())["origin"]
        change(saved, origin={**origin, "stages": []})
        assert "stages" in refusal(saved)

    def test_counts_for_another_number_of_classes(self, saved):
        data = json.loads((saved / MANIFEST).read_text())["data"]
        change(saved, data={**data, "images": [1, 2]})
        assert "does not fit" in refusal(saved)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_arrays_with_numbers_that_are_none(self, kind, value, tmp_path):
        save_model(make_model(kind), tmp_path / "original")
        for name, array in load_file(arrays_of(tmp_path / "original")).items():
            if array.dtype != np.float32:
                continue
            folder = tmp_path / name
            shutil.copytree(tmp_path / "original", folder)
            broken = array.copy()
            broken.flat[-1] = value
            rewrite(folder, **{name: broken})
            assert "does not fit" in refusal(folder)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        "shape", [(), (0,), (1,), (3,), (2, 8), (4, 7), (0, 0), (2, 2, 2)], ids=str
    )
    def test_arrays_of_another_shape(self, kind, shape, tmp_path):
        save_model(make_model(kind), tmp_path / "original")
        for name, array in load_file(arrays_of(tmp_path / "original")).items():
            if array.shape == shape:
                continue
            folder = tmp_path / name
            shutil.copytree(tmp_path / "original", folder)
            rewrite(folder, **{name: np.ones(shape, array.dtype)})
            assert "does not fit" in refusal(folder)

    @pytest.mark.parametrize(
        "arrays",
        [
            {"head.labels": np.full(30, 3)},
            {"calibration.labels": np.full(30, 3, np.uint16)},
            {"calibration.misfit": np.full(29, 0.5, np.float16)},
            {"calibration.surplus": np.full(30, 0.5, np.float16)},
            {"head.labels": np.full(30, -1)},
            {"head.labels": np.full(30, 0.5)},
            {"head.neighbors": np.array([0])},
            {"head.classes": np.array([2])},
            {"head.classes": np.array([10**15])},
            {"head.scale": np.zeros(8, np.float32)},
        ],
        ids=str,
    )
    def test_numbers_that_make_no_sense(self, arrays, tmp_path):
        save_model(make_model("knn"), tmp_path / "m")
        rewrite(tmp_path / "m", **arrays)
        assert "does not fit" in refusal(tmp_path / "m")

    def test_training_digests_of_another_kind(self, saved):
        rewrite(saved, training_digests=np.zeros((30, 16), np.float32))
        assert "does not fit" in refusal(saved)

    def test_a_missing_array(self, saved):
        arrays = load_file(arrays_of(saved))
        del arrays["head.intercepts"]
        content = save(arrays)
        arrays_of(saved).unlink()
        name = f"model-{bytes_digest(content)[:16]}.safetensors"
        (saved / name).write_bytes(content)
        change(saved, arrays=name)
        assert "intercepts" in refusal(saved)

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", KINDS)
    def test_random_changes_give_the_model_or_a_sentence_and_nothing_else(
        self, kind, tmp_path_factory
    ):
        folder = tmp_path_factory.mktemp("m") / "model"
        save_model(make_model(kind), folder)
        original = contents(folder)
        arrays = arrays_of(folder).name

        @examples(150)
        @given(
            st.sampled_from([MANIFEST, arrays]),
            st.lists(
                st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(min_size=1, max_size=3)),
                min_size=1,
                max_size=4,
            ),
        )
        def check(name, edits):
            content = bytearray(original[name])
            for place, removed, inserted in edits:
                at = int(place * len(content))
                content[at : at + removed] = inserted
            (folder / name).write_bytes(content)
            try:
                loaded = load_model(folder)
            except SavedModelError as error:
                assert str(folder) in str(error)  # noqa: PT017 # either way is right
            else:
                # Only what a person may edit has changed, such as a name.
                assert name == MANIFEST or content == original[name]
                assert np.isfinite(loaded.probabilities(original_features(loaded))).all()
            finally:
                (folder / name).write_bytes(original[name])

        def original_features(loaded):
            return dict(zip(loaded.origin.stages, features().values(), strict=True))

        check()
