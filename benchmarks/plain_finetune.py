"""Full fine-tuning in plain PyTorch: timm, a DataLoader with two workers, eager float32.

A whole timm EfficientNet-Lite0 with ImageNet weights and a new last layer is trained with AdamW,
warm-up and cosine decay, on random crops and (without --no-flip) horizontal flips. The weights and
the files are those of headstart. The script prints one JSON line. It uses headstart only to read
the old file format of the weights.

    python benchmarks/plain_finetune.py FOLDER_WITH_TRAIN_AND_TEST [--epochs 10] [--no-flip]
"""

import argparse
import json
import math
import time

started = time.perf_counter()

from plain_recipe import WORKERS, network, timm  # noqa: E402 - imports are part of the time

assert timm  # after it, torchvision can be imported with any build of PyTorch

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
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="folder with train/ and test/")
    parser.add_argument("--epochs", type=int, default=10, help="passes over the training images")
    parser.add_argument("--no-flip", action="store_true", help="do not mirror images at random")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
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

    def factor(step: int) -> float:
        warm_up = step / (WARM_UP * steps)
        return min(warm_up, 0.5 + 0.5 * math.cos(math.pi * step / steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
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
    correct = 0
    with torch.inference_mode():
        for pixels, labels in DataLoader(tested, BATCH, num_workers=WORKERS):
            correct += int((model(pixels).argmax(1) == labels).sum())
    result = {
        "accuracy": correct / len(tested),
        "images": len(images),
        "tested": len(tested),
        "epochs": options.epochs,
        "seconds": trained,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
