"""headstart's attacks: through the whole path, and against foolbox and torchattacks.

    python benchmarks/attacks.py PHOTOS [--pictures 100] [--peers FOLDER] [--write docs/attacks.md]

PHOTOS is a folder of photos of dogs; those that the network takes for a dog become "cats". The
peers are compared on the prepared pictures, where they can work too: the same network, norm,
epsilon and steps, in turn within each round. FOLDER holds them (see the Makefile).
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from headstart.backbones import load_backbone
from headstart.backbones.imagenet_names import find_classes
from headstart.backbones.vision_ops import import_torchvision
from headstart.datasets.unlabeled import find_images
from headstart.evaluation.metrics import wilson
from headstart.images.decode import decode
from headstart.images.preprocessing import prepare
from headstart.inspection.adversarial_file import attack_picture
from headstart.inspection.attacks import APGD, PGD, Attack, AttackGoal, Norm, Threat
from headstart.inspection.inspected_network import InspectedNetwork

EPSILON, STEPS, BATCH = 4 / 255, 10, 16
COMPARED = 32  # photos in the comparison, since the peers take all steps on each
NEVER = float("inf")  # a confidence that no picture reaches: all steps are taken


def dogs(study: InspectedNetwork, folder: Path, count: int) -> list[Path]:
    """The first photos that the network takes for a dog."""
    paths = find_images([folder])
    predictions = study.read(paths)
    members = set(find_classes("dog", study.subject.classes))
    right = np.isin(predictions.probabilities.argmax(1), list(members))
    return [paths[row] for row in predictions.rows[right]][:count]


def whole_path(study: InspectedNetwork, photos: list[Path]) -> str:
    """Every photo to "cat" through the resizing, saved, read back."""
    rows = ["| attack | success | 95% interval | seconds, median | longest | steps, median |"]
    rows.append("|---|---|---|---|---|---|")
    for name, jpeg in (("APGD", False), ("APGD, surviving JPEG at quality 90", True)):
        seconds, steps, successes = [], [], 0
        with tempfile.TemporaryDirectory() as scratch:
            for photo in photos:
                found = attack_picture(
                    study,
                    photo,
                    out=Path(scratch) / "a.png",
                    to="cat",
                    attack=APGD(steps=100),
                    threat=Threat(Norm.LINF, EPSILON),
                    jpeg=(Path(scratch) / "a.jpg", 90) if jpeg else None,
                )
                successes += found.success
                seconds.append(found.seconds)
                steps.append(found.steps)
        interval = wilson(successes, len(photos))
        rows.append(
            f"| {name} | {successes} of {len(photos)} | {interval.low:.3f} to {interval.high:.3f} "
            f"| {statistics.median(seconds):.2f} | {max(seconds):.2f} "
            f"| {statistics.median(steps):.0f} |"
        )
        print(rows[-1], flush=True)
    return "\n".join(rows)


class Module(nn.Module):
    """The network as the peers want it."""

    def __init__(self, study: InspectedNetwork) -> None:
        super().__init__()
        self.logits = study.subject.logits
        self.register_buffer("anywhere", torch.zeros(1))
        self.register_parameter("unused", nn.Parameter(torch.zeros(1)))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits."""
        return self.logits(pixels)


def contenders(study: InspectedNetwork) -> dict[str, Callable[[Tensor, Tensor, bool], Tensor]]:
    """(pixels, labels, all steps or stop when reached) to attacked pixels, by name."""
    import_torchvision("the peers")
    import foolbox
    import torchattacks

    module = Module(study).eval()
    theirs = foolbox.PyTorchModel(module, bounds=(0, 1))
    classes = len(study.subject.classes)
    threat = Threat(Norm.LINF, EPSILON, levels=None)

    def own(attack: Attack) -> Callable[[Tensor, Tensor, bool], Tensor]:
        def run(x: Tensor, y: Tensor, full: bool) -> Tensor:
            goal = AttackGoal.away(y, classes=classes)
            confidence = NEVER if full else 0.0
            return attack.run(study.subject.logits, x, goal, threat, confidence=confidence).pixels

        return run

    pgd = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=STEPS, random_start=False)
    torch_pgd = torchattacks.PGD(module, EPSILON, EPSILON / 4, STEPS, random_start=False)
    torch_mi = torchattacks.MIFGSM(module, EPSILON, EPSILON / 4, STEPS, decay=0.75)
    torch_apgd = torchattacks.APGD(module, "Linf", EPSILON, STEPS)
    return {
        "headstart PGD": own(PGD(steps=STEPS, momentum=0, step=0.25)),
        "foolbox LinfPGD": lambda x, y, _: pgd(theirs, x, y, epsilons=EPSILON)[1],
        "torchattacks PGD": lambda x, y, _: torch_pgd(x, y),
        "headstart PGD, momentum 0.75": own(PGD(steps=STEPS)),
        "torchattacks MI-FGSM, decay 0.75": lambda x, y, _: torch_mi(x, y),
        "headstart APGD": own(APGD(steps=STEPS)),
        "torchattacks APGD": lambda x, y, _: torch_apgd(x, y),
    }


def against_peers(study: InspectedNetwork, photos: list[Path], rounds: int) -> str:
    """Milliseconds a picture and step, and success with the same number of steps."""
    pixels = np.stack([prepare(decode(p), study.subject.preprocessing) for p in photos])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous() / 255
    with torch.no_grad():
        y = study.subject.logits(x).argmax(1)
    runs = contenders(study)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run(x[:BATCH], y[:BATCH], True)
            seconds[name].append(time.perf_counter() - started)
    rows = [
        f"| attack, {STEPS} steps | ms per image and step | success | for the hardest image |",
        "|---|---|---|---|",
    ]
    for name, run in runs.items():
        found = torch.cat(
            [run(x[i : i + BATCH], y[i : i + BATCH], False) for i in range(0, len(x), BATCH)]
        ).detach()
        assert (found - x).abs().max() <= EPSILON + 1e-6
        with torch.no_grad():
            logits = study.subject.logits(found)
        margins = AttackGoal.away(y, classes=logits.shape[1]).margin(logits)
        cost = statistics.median(seconds[name]) / STEPS / BATCH * 1000
        rows.append(
            f"| {name} | {cost:.1f} | {int((margins > 0).sum())} of {len(x)} "
            f"| margin {float(margins.min()):.2f} |"
        )
        print(rows[-1], flush=True)
    return "\n".join(rows)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, help="folder of foolbox and torchattacks")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    study = InspectedNetwork(load_backbone())
    photos = dogs(study, options.photos, options.pictures)
    text = (
        f"# Attacks, measured\n\n"
        f"`efficientnet-lite0`, L-infinity {round(EPSILON * 255)}/255, {len(photos)} photos that "
        f"it classifies as a dog. PyTorch {version('torch')}, threads: "
        f"{torch.get_num_threads()}.\n\n"
        f"## Targeted: any cat, in the original size, saved as PNG and read back\n\n"
        f"{whole_path(study, photos)}\n"
    )
    if options.peers:
        sys.path.append(str(options.peers))
        text += (
            f"\n## Against foolbox and torchattacks\n\nUntargeted, on {COMPARED} preprocessed "
            f"images in batches of {BATCH}, with the same network for all. The time is the median "
            f"of {options.rounds} rounds, taken in turn, in which all steps are made. For the "
            f"success rate, headstart stops working on an image once the attack succeeds.\n\n"
            f"{against_peers(study, photos[:COMPARED], options.rounds)}\n"
        )
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
