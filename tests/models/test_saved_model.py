"""A saved model comes back as it was, and replaces nothing but a model."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from headstart.backbones import load_backbone
from headstart.backbones.lite_architecture import VARIANTS, tensor_shapes
from headstart.evaluation.breakdown import recalls_by_class
from headstart.heads.families import FAMILIES
from headstart.heads.logistic import LinearHead
from headstart.models.model_card import model_card
from headstart.models.model_folder import CARD, MANIFEST
from headstart.models.saved_model import SCHEMA, describe, load_model, save_model
from tests.models.saved_models import arrays_of, contents
from tests.models.trained_models import (
    UNKNOWN,
    calibration,
    features,
    make_model,
    make_novelty,
)

KINDS = list(FAMILIES)


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
        assert loaded.accuracy == model.accuracy
        assert loaded.accuracy_by_stage == model.accuracy_by_stage
        assert list(loaded.accuracy_by_stage) == list(model.accuracy_by_stage)
        assert describe(loaded) == describe(model)

    @pytest.mark.parametrize("with_calibration", [True, False])
    def test_prediction_sets_are_the_same(self, with_calibration, tmp_path):
        model = make_model()
        if not with_calibration:
            model = replace(model, calibration=None)
        save_model(model, tmp_path / "m")
        loaded = load_model(tmp_path / "m")
        assert (loaded.calibration is not None) is with_calibration
        if with_calibration:
            p = model.probabilities(features())
            np.testing.assert_array_equal(
                loaded.prediction_sets(p, 0.8), model.prediction_sets(p, 0.8)
            )

    def test_an_unknown_accuracy_stays_unknown(self, tmp_path):
        save_model(make_model(accuracy=UNKNOWN, accuracy_by_stage={}), tmp_path / "m")
        assert load_model(tmp_path / "m").accuracy == UNKNOWN

    def test_labels_are_text_in_a_manifest_that_does_not_say(self, saved):
        manifest = json.loads((saved / MANIFEST).read_text())
        assert manifest.pop("label_type") == "str"
        (saved / MANIFEST).write_text(json.dumps(manifest))
        assert load_model(saved).label_type == "str"

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
        assert (saved / CARD).read_text() == model_card(make_model())

    def test_no_path_and_no_machine_is_written(self, tmp_path):
        weights = tmp_path / "weights.safetensors"
        places = tensor_shapes(VARIANTS["efficientnet-lite0"])
        save_file({name: np.zeros(shape, np.float32) for name, shape in places}, weights)
        used = load_backbone("efficientnet-lite0", weights=weights).weights
        origin = replace(make_model().origin, source=used.source, weights=used.digest)
        save_model(make_model(origin=origin), tmp_path / "m")
        written = contents(tmp_path / "m")
        assert b'"weights.safetensors"' in written[MANIFEST]
        assert not any(str(tmp_path).encode() in content for content in written.values())


def test_the_lowest_recalls_come_back(tmp_path):
    found = recalls_by_class(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), make_model().classes)
    model = make_model(lowest_recalls=found)
    save_model(model, tmp_path / "m")
    assert load_model(tmp_path / "m").lowest_recalls == found
    assert (tmp_path / "m" / CARD).read_text() == model_card(model)


def test_a_model_of_two_classes_comes_back(tmp_path):
    model = make_model()
    assert isinstance(model.head, LinearHead)
    head = replace(
        model.head,
        coefficients=model.head.coefficients[:2],
        intercepts=model.head.intercepts[:2],
    )
    data = replace(model.data, images=(10, 10))
    known = calibration(classes=2)
    two = replace(model, classes=("ant", "bee"), head=head, data=data, calibration=known)
    save_model(two, tmp_path / "m")
    assert load_model(tmp_path / "m").probabilities(features()).shape == (20, 2)


def test_novelty_comes_back(tmp_path):
    model = make_model(novelty=make_novelty())
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert again.novelty is not None
    assert again.novelty.estimate == model.novelty.estimate
    values = features()
    np.testing.assert_array_equal(again.p_values(values), model.p_values(values))
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert manifest["novelty"].keys() == {"rate", "images", "left_out", "by_class", "others"}


def test_without_novelty_there_are_no_p_values(tmp_path):
    save_model(make_model(), tmp_path)
    assert load_model(tmp_path).p_values(features()) is None
