"""A saved model comes back as it was, or not at all."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save, save_file

from headstart import bundle
from headstart.backbones import lite, load_backbone
from headstart.bundle import CARD, MANIFEST, SCHEMA, check_target, describe, load_model, save_model
from headstart.card import card
from headstart.digests import bytes_digest
from headstart.errors import BundleError, HeadstartError
from headstart.types import HeadKind
from tests.models import UNKNOWN, features, make_model

KINDS = list(HeadKind)


@pytest.fixture
def saved(tmp_path):
    """The folder of a model."""
    save_model(make_model(), tmp_path / "model")
    return tmp_path / "model"


def arrays_of(folder):
    """The one file with arrays."""
    (path,) = folder.glob("model-*.safetensors")
    return path


def change(folder, **entries):
    """Change entries of the manifest; None deletes one."""
    path = folder / MANIFEST
    content = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({key: v for key, v in content.items() if v is not None}))


def rewrite(folder, **arrays):
    """Change arrays, with the file's name made to fit: as a tool would, not as an accident."""
    content = save({**load_file(arrays_of(folder)), **arrays})
    arrays_of(folder).unlink()
    name = f"model-{bytes_digest(content)[:16]}.safetensors"
    (folder / name).write_bytes(content)
    change(folder, arrays=name)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(folder):
    """What `load_model` says; a sentence that names the place and what to do."""
    with pytest.raises(BundleError) as caught:
        load_model(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert ";" in message
    return message


class TestRoundTrip:
    @pytest.mark.parametrize("kind", KINDS)
    def test_predictions_are_equal_to_the_bit(self, kind, tmp_path):
        model = make_model(kind)
        save_model(model, tmp_path / "m")
        loaded = load_model(tmp_path / "m")
        values = features()
        expected = model.probabilities(values)
        assert loaded.probabilities(values).tobytes() == expected.tobytes()
        np.testing.assert_allclose(expected.sum(1), 1, rtol=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_everything_else_comes_back_too(self, kind, tmp_path):
        model = make_model(kind)
        save_model(model, tmp_path / "m")
        loaded = load_model(tmp_path / "m")
        assert loaded.head.kind is kind
        assert loaded.data.digests.tolist() == model.data.digests.tolist()
        for name in ("classes", "temperature", "setting", "balanced", "seed", "origin"):
            assert getattr(loaded, name) == getattr(model, name)
        assert loaded.measured == model.measured
        assert loaded.by_stage == model.by_stage
        assert list(loaded.by_stage) == list(model.by_stage)
        assert describe(loaded) == describe(model)

    def test_an_unknown_accuracy_stays_unknown(self, tmp_path):
        save_model(make_model(measured=UNKNOWN, by_stage={}), tmp_path / "m")
        assert load_model(tmp_path / "m").measured == UNKNOWN

    def test_it_knows_the_images_it_was_trained_on(self, saved):
        model = load_model(saved)
        mine = model.data.digests[3].tobytes().hex()
        assert model.data.contains((mine, "00" * 16)).tolist() == [True, False]


class TestFiles:
    @pytest.mark.parametrize("kind", KINDS)
    def test_the_same_model_gives_the_same_bytes_anywhere_at_any_time(self, kind, tmp_path):
        for name in ("one", "two"):
            save_model(make_model(kind), tmp_path / "deep" / name)
        again = load_model(tmp_path / "deep" / "one")
        save_model(again, tmp_path / "three")
        first = contents(tmp_path / "deep" / "one")
        assert contents(tmp_path / "deep" / "two") == first
        assert contents(tmp_path / "three") == first

    def test_there_is_a_manifest_a_card_and_arrays_and_no_pickle(self, saved):
        names = sorted(path.name for path in saved.iterdir())
        assert names[0] == CARD == "README.md"
        assert names[2] == MANIFEST
        assert re.fullmatch(r"model-[0-9a-f]{16}\.safetensors", names[1])
        assert len(names) == 3
        # Protocols 2 and up start with 0x80 and a small number.
        assert not any(content.startswith(b"\x80") for content in contents(saved).values())

    def test_the_manifest_is_json_with_a_schema_version(self, saved):
        manifest = json.loads((saved / MANIFEST).read_text())
        assert manifest["format"] == "headstart model"
        assert manifest["schema_version"] == SCHEMA
        assert manifest.pop("arrays") == arrays_of(saved).name
        assert manifest == describe(load_model(saved))

    def test_the_card_is_the_models(self, saved):
        assert (saved / CARD).read_text() == card(make_model())

    def test_no_path_and_no_machine_is_written(self, tmp_path):
        weights = tmp_path / "weights.safetensors"
        places = lite._places(lite._VARIANTS["efficientnet-lite0"])
        save_file({name: np.zeros(shape, np.float32) for name, shape in places}, weights)
        used = load_backbone("efficientnet-lite0", weights=weights).weights
        origin = replace(make_model().origin, source=used.source, weights=used.digest)
        save_model(make_model(origin=origin), tmp_path / "m")
        written = contents(tmp_path / "m")
        assert b'"weights.safetensors"' in written[MANIFEST]
        assert not any(str(tmp_path).encode() in content for content in written.values())


class TestOverwriting:
    def test_a_new_model_replaces_the_old_one_and_leaves_one_arrays_file(self, saved):
        save_model(make_model(HeadKind.KNN), saved)
        assert load_model(saved).head.kind is HeadKind.KNN
        assert len(list(saved.iterdir())) == 3

    def test_files_of_others_stay(self, saved):
        others = ["notes.txt", "model-best.safetensors", "model-0123.safetensors"]
        for name in others:
            (saved / name).write_text("mine")
        save_model(make_model(seed=1), saved)
        assert [(saved / name).read_text() for name in others] == ["mine"] * 3
        assert len(list(saved.iterdir())) == 6

    def test_saving_the_same_again_changes_nothing(self, saved):
        before = contents(saved)
        save_model(make_model(), saved)
        assert contents(saved) == before

    @pytest.mark.parametrize("call", [1, 2, 3])
    def test_whatever_is_cut_off_the_old_model_still_loads(self, saved, call, monkeypatch):
        calls = []
        write = bundle.write_file

        def failing(path, content):
            calls.append(path)
            if len(calls) == call:
                raise HeadstartError("the disk is full")
            write(path, content)

        monkeypatch.setattr(bundle, "write_file", failing)
        with pytest.raises(HeadstartError, match="the disk is full"):
            save_model(make_model(HeadKind.KNN, seed=1), saved)
        old = load_model(saved)
        assert old.seed == 0
        assert old.probabilities(features()).tobytes() == (
            make_model().probabilities(features()).tobytes()
        )
        # The next attempt clears up.
        monkeypatch.setattr(bundle, "write_file", write)
        save_model(make_model(HeadKind.KNN, seed=1), saved)
        assert load_model(saved).seed == 1
        assert len(list(saved.iterdir())) == 3

    def test_cut_off_before_the_old_arrays_are_deleted_the_new_model_loads(
        self, saved, monkeypatch
    ):
        def stopped(*_, **__):
            raise KeyboardInterrupt

        # `write_file` deletes its drafts, so only the deletion of the arrays may be cut off.
        with monkeypatch.context() as patch:
            patch.setattr(type(saved), "unlink", stopped)
            patch.setattr(bundle, "write_file", lambda path, content: path.write_bytes(content))
            with pytest.raises(KeyboardInterrupt):
                save_model(make_model(seed=1), saved)
        assert load_model(saved).seed == 1

    def test_a_place_that_cannot_be_written_is_an_error_with_a_sentence(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(HeadstartError, match=re.escape(str(tmp_path))):
            save_model(make_model(), tmp_path / "file" / "model")


class TestTarget:
    def test_a_new_an_empty_and_a_models_folder_are_right(self, saved, tmp_path):
        (tmp_path / "empty").mkdir()
        for folder in (saved, tmp_path / "empty", tmp_path / "new" / "deep"):
            check_target(folder)

    def test_a_folder_of_other_things_is_refused_and_untouched(self, tmp_path):
        (tmp_path / "photo.jpg").write_text("")
        for refuse in (check_target, lambda folder: save_model(make_model(), folder)):
            with pytest.raises(BundleError, match="holds files and no model; name a new folder"):
                refuse(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]

    @pytest.mark.parametrize("content", [b"", b"{}", b'{"format": "layers-model"}', b"\xff\x00"])
    def test_a_model_json_of_another_tool_is_not_overwritten(self, tmp_path, content):
        (tmp_path / MANIFEST).write_bytes(content)
        with pytest.raises(BundleError, match="holds files and no model"):
            save_model(make_model(), tmp_path)
        assert contents(tmp_path) == {MANIFEST: content}

    def test_a_damaged_model_may_be_replaced(self, saved):
        manifest = saved / MANIFEST
        manifest.write_bytes(manifest.read_bytes()[:200])
        save_model(make_model(), saved)
        load_model(saved)

    def test_a_file_is_refused(self, tmp_path):
        (tmp_path / "model").write_text("")
        with pytest.raises(BundleError, match="is a file; name a folder"):
            check_target(tmp_path / "model")


class TestDamage:
    def test_a_folder_that_is_not_there(self, tmp_path):
        assert "is not a folder; give the folder that" in refusal(tmp_path / "nowhere")

    def test_a_file_instead_of_a_folder(self, saved):
        assert "is not a folder" in refusal(saved / MANIFEST)

    def test_an_empty_folder(self, tmp_path):
        assert "holds no model.json; give the folder" in refusal(tmp_path)

    def test_a_folder_where_the_manifest_should_be(self, tmp_path):
        (tmp_path / MANIFEST).mkdir()
        assert "holds no model.json" in refusal(tmp_path)

    def test_a_manifest_without_arrays(self, saved):
        arrays_of(saved).unlink()
        assert "missing or damaged" in refusal(saved)

    @pytest.mark.parametrize("version", [SCHEMA + 1, 10**30])
    def test_a_newer_schema_says_upgrade_whatever_else_it_holds(self, saved, version):
        change(saved, schema_version=version, head="transformer", new=[1], arrays=None)
        message = refusal(saved)
        assert "newer headstart" in message
        assert "pip install --upgrade headstart" in message

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
        assert "is damaged: its bytes are not those written" in refusal(saved)

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
            {"temperature": float("inf")},
            {"temperature": float("nan")},
            {"setting": float("nan")},
            {"seed": None},
            {"seed": 0.5},
            {"balanced": None},
            {"origin": {}},
            {"measured": {"accuracy": 2, "interval": None, "images": 1, "estimate": "unknown"}},
            {"measured": {"accuracy": 1, "interval": None, "images": -1, "estimate": "unknown"}},
            {"measured": {"accuracy": 1, "interval": [0], "images": 1, "estimate": "unknown"}},
            {"surplus": 1},
        ],
        ids=str,
    )
    def test_a_manifest_that_does_not_fit(self, saved, entries):
        change(saved, **entries)
        assert "damaged" in refusal(saved) or "does not fit" in refusal(saved)

    @pytest.mark.parametrize("part", ["origin", "data", "measured"])
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
            {"head.labels": np.full(30, -1)},
            {"head.labels": np.full(30, 0.5)},
            {"head.neighbours": np.array([0])},
            {"head.classes": np.array([2])},
            {"head.classes": np.array([10**15])},
            {"head.scale": np.zeros(8, np.float32)},
        ],
        ids=str,
    )
    def test_numbers_that_make_no_sense(self, arrays, tmp_path):
        save_model(make_model(HeadKind.KNN), tmp_path / "m")
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

    @pytest.mark.parametrize("kind", KINDS)
    def test_random_changes_give_the_model_or_a_sentence_and_nothing_else(
        self, kind, tmp_path_factory
    ):
        folder = tmp_path_factory.mktemp("m") / "model"
        save_model(make_model(kind), folder)
        original = contents(folder)
        arrays = arrays_of(folder).name

        @settings(deadline=None, max_examples=150)
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
            except BundleError as error:
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


def test_a_model_of_two_classes_comes_back(tmp_path):
    model = make_model()
    head = replace(
        model.head,
        coefficients=model.head.coefficients[:2],
        intercepts=model.head.intercepts[:2],
    )
    data = replace(model.data, images=(10, 10))
    two = replace(model, classes=("ant", "bee"), head=head, data=data)
    save_model(two, tmp_path / "m")
    assert load_model(tmp_path / "m").probabilities(features()).shape == (20, 2)
