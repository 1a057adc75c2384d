"""What is recommended, for evidence of every kind."""

import shlex
from dataclasses import replace

import pytest

from headstart.backbones import list_backbones
from headstart.evaluation.paired_tests import PairedTest
from headstart.transfer.advice import UNKNOWN_COST, Action, Evidence, better_backbone, recommend
from headstart.transfer.learning_curve import SampleCost

STAGES = (*(f"blocks.{index}" for index in range(7)), "head")
NOTHING = PairedTest(difference=0.0, low=-0.01, high=0.01, wins=0, losses=0)
GAIN = PairedTest(difference=0.07, low=0.04, high=0.1, wins=40, losses=5)
DEAR = SampleCost(images=None, low=800, high=None)
CHEAP = SampleCost(images=300, low=200, high=None)

FITTING = Evidence(
    images=500, classes=5, accuracy=0.96, stages=STAGES, chosen=("head",), stage_gain=NOTHING,
    beaten_by=(), sample_cost=DEAR,
)  # fmt: skip
EARLIER = replace(FITTING, chosen=STAGES[2:7], stage_gain=GAIN, accuracy=0.9)


def advice(
    evidence: Evidence, *, data: str = "photos", options=None, backbone="efficientnet-lite0"
):
    return recommend(
        evidence, data=data, options=options, backbone=backbone, known=list_backbones()
    )


@pytest.mark.parametrize(
    ("evidence", "action", "depth"),
    [
        (FITTING, Action.KEEP_PROBE, None),
        (replace(FITTING, sample_cost=None), Action.KEEP_PROBE, None),
        (replace(FITTING, accuracy=0.995, sample_cost=CHEAP), Action.KEEP_PROBE, None),
        (replace(FITTING, sample_cost=CHEAP), Action.COLLECT_MORE, None),
        (replace(FITTING, sample_cost=CHEAP, images=250), Action.KEEP_PROBE, None),
        (replace(FITTING, accuracy=0.86), Action.HIGHER_QUALITY, None),
        (EARLIER, Action.FINE_TUNE, 5),
        (replace(EARLIER, chosen=("blocks.5",)), Action.FINE_TUNE, 3),
        (replace(EARLIER, chosen=("blocks.1",)), Action.FINE_TUNE, 2),
        (replace(EARLIER, beaten_by=("raw pixels",)), Action.FINE_TUNE, 5),
        (replace(FITTING, beaten_by=("raw pixels",)), Action.FINE_TUNE, 8),
        (replace(EARLIER, accuracy=0.985), Action.EARLIER_STAGES, None),
        (replace(EARLIER, classes=10), Action.EARLIER_STAGES, None),
        (replace(EARLIER, stage_gain=NOTHING, accuracy=0.96), Action.EARLIER_STAGES, None),
    ],
)
def test_the_first_question_that_is_answered_decides(evidence, action, depth):
    found = advice(evidence)
    assert (found.action, found.depth) == (action, depth)
    assert found.sentence.endswith(".")
    assert found.command.startswith("headstart ")


def test_sentences_give_the_evidence():
    found = advice(replace(EARLIER, beaten_by=("raw pixels", "descriptors")))
    assert found.sentence == (
        "Fine-tune the 5 stages up to blocks.6: the head on blocks.2 to blocks.6 beats the last "
        "layer by 7.0 points (4.0 to 10.0), and raw pixels and descriptors beat the last layer, so "
        "the last stages do not suit these images."
    )
    alone = advice(replace(EARLIER, chosen=STAGES[:1]))
    assert alone.sentence.startswith("Fine-tune blocks.0: the head on blocks.0 beats")


@pytest.mark.parametrize("accuracy", [0.96, 0.86])
@pytest.mark.parametrize("price", [None, DEAR, replace(CHEAP, images=900), CHEAP])
def test_what_more_images_would_buy_is_said_in_the_words_of_their_price(price, accuracy):
    sentence = advice(replace(FITTING, sample_cost=price, accuracy=accuracy)).sentence
    assert sentence.endswith(f"and {price or UNKNOWN_COST}.")


def test_a_network_that_fits_but_is_often_wrong_sees_more_or_is_replaced():
    wrong = replace(EARLIER, stage_gain=NOTHING, accuracy=0.747)
    found = advice(wrong, options={"--classes-from": "first"})
    assert found.sentence == (
        "Try larger images and further heads: 25.3% are wrong, the head on blocks.2 to blocks.6 is "
        f"not significantly better than the last layer, and {DEAR}."
    )
    assert found.command == (
        "headstart fit photos --quality balanced --classes-from first --out model"
    )
    chosen = advice(wrong, options={"--backbone": "efficientnet-lite1"})
    assert chosen.action is Action.ANOTHER_BACKBONE
    assert chosen.sentence.startswith("Try another backbone: 25.3% are wrong, the head on")


def test_an_unproven_graft_is_not_called_the_last_layer():
    found = advice(replace(EARLIER, stage_gain=NOTHING, accuracy=0.96))
    assert "no earlier stage is better" not in found.sentence
    assert "Train the head on blocks.2 + " in found.sentence


def test_commands_can_be_run_as_they_stand():
    options = {"--backbone": "timm:x", "--weights": "my file", "--image-column": "file"}
    kept = advice(FITTING, data="my photos", options=options)
    assert shlex.split(kept.command) == [
        "headstart", "fit", "my photos", "--backbone", "timm:x", "--weights", "my file",
        "--image-column", "file", "--out", "model",
    ]  # fmt: skip
    flagged = advice(FITTING, options={"--backbone": "net.pt2", "--allow-code": ""})
    assert flagged.command.endswith(" --backbone net.pt2 --allow-code --out model")
    tuned = advice(EARLIER)
    assert tuned.command == "headstart finetune photos --depth 5 --out model"
    grafted = advice(replace(EARLIER, accuracy=0.985, chosen=STAGES[5:7]))
    assert grafted.command == ("headstart fit photos --stage blocks.5 --stage blocks.6 --out model")
    other = advice(replace(FITTING, accuracy=0.86), options=options, backbone="timm:x")
    assert shlex.split(other.command)[3:] == [
        "--backbone", "NAME", "--image-column", "file", "--out", "model"
    ]  # fmt: skip


def test_the_next_backbone_is_better_and_the_cheapest_of_those_at_hand():
    known = list_backbones()
    here = next(info for info in known if info.name == "efficientnet-lite0")
    found = better_backbone("efficientnet-lite0", known)
    assert found is not None
    assert found.top1 >= here.top1 + 0.02
    assert found.on_this_machine
    best = max(known, key=lambda info: info.top1)
    assert better_backbone(best.name, known) is None
    assert better_backbone("timm:unheard", known) is None


def test_plain_classifiers_that_do_as_well_are_named():
    one, two = ("descriptors",), ("raw pixels", "descriptors")
    found = advice(replace(EARLIER, stage_gain=NOTHING, matched_by=two)).sentence
    assert "but raw pixels and descriptors without pre-training do as well as the head" in found
    assert "suit these images" not in found
    found = advice(replace(FITTING, matched_by=one)).sentence
    assert "but descriptors without pre-training do as well as the head" in found
