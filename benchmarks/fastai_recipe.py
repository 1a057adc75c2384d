"""fastai's `vision_learner` on a frozen network, as in its documentation.

A fifth of FOLDER/train is the validation set. Images are squished to 224 pixels and augmented by
`aug_transforms`; the head is trained by the frozen epochs of `fine_tune` at its default learning
rate. The weights, with their mean and standard deviation, and the files are those of headstart.

    python benchmarks/fastai_recipe.py FOLDER_WITH_TRAIN_AND_TEST [--epochs 1]
"""

import argparse
import json
import time
from pathlib import Path

started = time.perf_counter()

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("folder", type=Path, help="folder with train/ and test/")
parser.add_argument("--epochs", type=int, default=1, help="epochs with a frozen network")
options = parser.parse_args()  # before the imports, so that --help needs no packages

from plain_recipe import WORKERS, network, timm  # noqa: E402 - imports are part of the time

assert timm  # after it, torchvision can be imported with any build of PyTorch

from fastai.vision.all import (  # noqa: E402
    ImageDataLoaders,
    Normalize,
    Resize,
    ResizeMethod,
    accuracy,
    aug_transforms,
    get_image_files,
    set_seed,
    vision_learner,
)


def main() -> None:
    """Train on FOLDER/train, test on FOLDER/test."""
    set_seed(0)
    weights = network()
    loaders = ImageDataLoaders.from_folder(
        options.folder / "train",
        valid_pct=0.2,
        seed=0,
        item_tfms=Resize(224, ResizeMethod.Squish),
        batch_tfms=[*aug_transforms(), Normalize.from_stats([0.5] * 3, [0.5] * 3)],
        num_workers=WORKERS,
    )
    learner = vision_learner(loaders, "tf_efficientnet_lite0", metrics=accuracy, pretrained=False)
    learner.model[0].model.load_state_dict(weights.state_dict())
    files = get_image_files(options.folder / "test")
    with learner.no_bar():
        learner.fine_tune(0, freeze_epochs=options.epochs)
        probabilities, _ = learner.get_preds(dl=learner.dls.test_dl(files))
    names = [learner.dls.vocab[int(one)] for one in probabilities.argmax(1)]
    correct = sum(file.parent.name == name for file, name in zip(files, names, strict=True))
    result = {
        "accuracy": correct / len(files),
        "images": len(loaders.train_ds) + len(loaders.valid_ds) + len(files),
        "tested": len(files),
        "seconds": time.perf_counter() - started,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
