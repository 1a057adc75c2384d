"""Adversarial attacks of headstart: on image files, and against foolbox and torchattacks.

    python benchmarks/attacks.py PHOTOS [--images 100] [--peers FOLDER] [--write docs/attacks.md]

PHOTOS is a folder of photos of dogs; those that the network classifies as a dog are attacked to
become cats. The other libraries are compared on preprocessed images, because they cannot attack
files: the same network, norm, epsilon and steps, one after the other within each round. FOLDER
contains their packages (see the Makefile).
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
from headstart.inspection.adversarial_file import attack_file
from headstart.inspection.attacks import APGD, PGD, Attack, AttackGoal, Norm, Threat
from headstart.inspection.inspected_network import InspectedNetwork

EPSILON, STEPS, BATCH = 4 / 255, 10, 16
COMPARED = 32  # photos in the comparison, because the peers make all steps on each
NEVER = float("inf")  # a confidence that no image reaches, so all steps are made


def dogs(study: InspectedNetwork, folder: Path, count: int) -> list[Path]:
    """Return the first photos that the network classifies as a dog."""
    paths = find_images([folder])
    predictions = study.predict(paths)
    members = set(find_classes("dog", study.differentiable.classes))
    right = np.isin(predictions.probabilities.argmax(1), list(members))
    return [paths[row] for row in predictions.rows[right]][:count]


def whole_path(study: InspectedNetwork, photos: list[Path]) -> str:
    """Attack every photo file towards "cat", save it and read it back; return a table."""
    rows = ["| attack | success | 95% interval | seconds, median | longest | steps, median |"]
    rows.append("|---|---|---|---|---|---|")
    for name, jpeg in (("APGD", False), ("APGD, surviving JPEG at quality 90", True)):
        seconds, steps, successes = [], [], 0
        with tempfile.TemporaryDirectory() as scratch:
            for photo in photos:
                found = attack_file(
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
    """The network as a module, which the peers require."""

    def __init__(self, study: InspectedNetwork) -> None:
        super().__init__()
        self.logits = study.differentiable.logits
        self.register_buffer("anywhere", torch.zeros(1))
        self.register_parameter("unused", nn.Parameter(torch.zeros(1)))

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute logits (B, K) of pixels (B, 3, H, W)."""
        return self.logits(pixels)


def contenders(study: InspectedNetwork) -> dict[str, Callable[[Tensor, Tensor, bool], Tensor]]:
    """Return functions (pixels, labels, whether to make all steps) -> attacked pixels, by name."""
    import_torchvision("the peers")
    import foolbox
    import torchattacks

    module = Module(study).eval()
    theirs = foolbox.PyTorchModel(module, bounds=(0, 1))
    classes = len(study.differentiable.classes)
    threat = Threat(Norm.LINF, EPSILON, levels=None)

    def own(attack: Attack) -> Callable[[Tensor, Tensor, bool], Tensor]:
        def run(x: Tensor, y: Tensor, full: bool) -> Tensor:
            goal = AttackGoal.untargeted(y, classes=classes)
            confidence = NEVER if full else 0.0
            return attack.run(
                study.differentiable.logits, x, goal, threat, confidence=confidence
            ).pixels

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
    """Measure milliseconds per image and step, and the success with the same number of steps."""
    pixels = np.stack([prepare(decode(p), study.differentiable.preprocessing) for p in photos])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous() / 255
    with torch.no_grad():
        y = study.differentiable.logits(x).argmax(1)
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
            logits = study.differentiable.logits(found)
        margins = AttackGoal.untargeted(y, classes=logits.shape[1]).margin(logits)
        cost = statistics.median(seconds[name]) / STEPS / BATCH * 1000
        rows.append(
            f"| {name} | {cost:.1f} | {int((margins > 0).sum())} of {len(x)} "
            f"| margin {float(margins.min()):.2f} |"
        )
        print(rows[-1], flush=True)
    return "\n".join(rows)


def main() -> None:
    """Run the benchmark, print the tables and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path, help="folder with photos of dogs")
    parser.add_argument("--images", type=int, default=100, help="number of photos to attack")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of the comparison")
    parser.add_argument("--peers", type=Path, help="folder with foolbox and torchattacks")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    study = InspectedNetwork(load_backbone())
    photos = dogs(study, options.photos, options.images)
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
            f"of {options.rounds} rounds, alternating between the attacks, with all steps. For the "
            f"success rate, headstart stops working on an image once the attack succeeds.\n\n"
            f"{against_peers(study, photos[:COMPARED], options.rounds)}\n"
        )
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
