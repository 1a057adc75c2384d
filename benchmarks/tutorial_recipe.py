"""torchvision's transfer-learning tutorial: the network as a fixed feature extractor.

As in the tutorial: random crops and flips, batches of 4, 4 workers, and SGD with a learning rate of
0.001, momentum 0.9 and a decay by 10 after 7 epochs; only the last layer is trained. The weights,
with their mean and standard deviation, and the files are those of headstart. The test runs once,
after the last epoch.

    python benchmarks/tutorial_recipe.py FOLDER_WITH_TRAIN_AND_TEST [--epochs 1]
"""

import argparse
import json
import time

started = time.perf_counter()

from plain_recipe import network, timm  # noqa: E402 - imports are part of the time

assert timm  # after it, torchvision can be imported with any build of PyTorch

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from torchvision import transforms  # noqa: E402
from torchvision.datasets import ImageFolder  # noqa: E402

BATCH, WORKERS = 4, 4


def main() -> None:
    """Train on FOLDER/train, test on FOLDER/test."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="folder with train/ and test/")
    parser.add_argument("--epochs", type=int, default=1, help="passes over the training images")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = network()
    plain = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    augmentation = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
    images = ImageFolder(
        f"{options.folder}/train", transforms.Compose([*augmentation, *plain.transforms[2:]])
    )
    tested = ImageFolder(f"{options.folder}/test", plain)
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.reset_classifier(len(images.classes))
    optimizer = torch.optim.SGD(model.classifier.parameters(), lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    for _ in range(options.epochs):
        model.train()
        for pixels, labels in DataLoader(images, BATCH, shuffle=True, num_workers=WORKERS):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(pixels), labels).backward()
            optimizer.step()
        schedule.step()
    model.eval()
    correct = 0
    with torch.inference_mode():
        for pixels, labels in DataLoader(tested, BATCH, num_workers=WORKERS):
            correct += int((model(pixels).argmax(1) == labels).sum())
    result = {
        "accuracy": correct / len(tested),
        "images": len(images) + len(tested),
        "tested": len(tested),
        "seconds": time.perf_counter() - started,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
