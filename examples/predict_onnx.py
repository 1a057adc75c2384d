"""Predict images with a file that `headstart export` wrote; needs onnxruntime and Pillow alone.

python examples/predict_onnx.py model.onnx photo.jpg ...
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def decode(path: str) -> np.ndarray:
    """Return an upright RGB image, (H, W, 3) uint8."""
    image = ImageOps.exif_transpose(Image.open(path))
    return np.asarray(image.convert("RGB"))


def main(model: str, *paths: str) -> None:
    """Print the class of each image, its probability, and whether it is of a known class."""
    session = onnxruntime.InferenceSession(model)
    classes = json.loads(session.get_modelmeta().custom_metadata_map["headstart.classes"])
    names = [output.name for output in session.get_outputs()]
    for path in paths:
        found = dict(zip(names, session.run(names, {"image": decode(path)}), strict=True))
        label = int(found["label"])
        known = "" if found.get("known", True) else "  (unknown?)"
        print(f"{path}  {classes[label]}  {found['probabilities'][label]:.4f}{known}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
