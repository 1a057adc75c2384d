"""Full fine-tuning as everyone writes it: timm, a DataLoader with two workers, eager float32.

All of a timm EfficientNet-Lite0 is trained with AdamW on a warm-up and a cosine, from ImageNet's
weights and a new last layer, on random crops (flipped too, unless told not to). It gets the same
weights and the same files as headstart, prints one JSON line, and uses nothing of headstart but
the reader of the weights' old file format.

    python benchmarks/plain_finetune.py FOLDER_WITH_TRAIN_AND_TEST [--epochs 10] [--no-flip]
"""

import argparse
import json
import math
import time

started = time.perf_counter()

from plain_recipe import WORKERS, network, timm  # noqa: E402 - imports are part of the time

assert timm  # with it torchvision can be imported beside any build of PyTorch

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from torchvision import transforms  # noqa: E402
from torchvision.datasets import ImageFolder  # noqa: E402

BATCH = 32
RATE = 5e-4
WARM_UP = 0.1


def main() -> None:
    """Train on FOLDER/train, test on FOLDER/test after the last epoch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--no-flip", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    model = network()
    plain = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    crop = transforms.RandomResizedCrop(
        224, (0.5, 1), (0.9, 1.1), interpolation=transforms.InterpolationMode.BICUBIC
    )
    flip = [] if options.no_flip else [transforms.RandomHorizontalFlip()]
    images = ImageFolder(
        f"{options.folder}/train", transforms.Compose([crop, *flip, *plain.transforms[2:]])
    )
    model.reset_classifier(len(images.classes))
    loader = DataLoader(images, BATCH, shuffle=True, num_workers=WORKERS, drop_last=True)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.05)
    steps = options.epochs * len(loader)

    def rate(step: int) -> float:
        warm = step / (WARM_UP * steps)
        return min(warm, 0.5 + 0.5 * math.cos(math.pi * step / steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for _ in range(options.epochs):
        model.train()
        for pixels, labels in loader:
            loss = nn.functional.cross_entropy(model(pixels), labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    trained = time.perf_counter() - started
    model.eval()
    tested = ImageFolder(f"{options.folder}/test", plain)
    right = 0
    with torch.inference_mode():
        for pixels, labels in DataLoader(tested, BATCH, num_workers=WORKERS):
            right += int((model(pixels).argmax(1) == labels).sum())
    result = {
        "accuracy": right / len(tested),
        "images": len(images),
        "tested": len(tested),
        "epochs": options.epochs,
        "seconds": trained,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
