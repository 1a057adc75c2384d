"""A server of the same network as everyone writes it: FastAPI with timm.

    python benchmarks/fastapi_server.py PORT

Weights are random: they do not change the speed.
"""

import io
import sys

import torch
from PIL import Image

from headstart.backbones.vision_ops import import_torchvision

import_torchvision("timm")  # where its compiled part does not fit PyTorch, timm cannot be imported
import timm  # noqa: E402

NETWORK = "tf_efficientnet_lite0"


class Classifier:
    """The network, and the preprocessing that timm states for it."""

    def __init__(self) -> None:
        self.network = timm.create_model(NETWORK, pretrained=False, num_classes=2).eval()
        config = timm.data.resolve_model_data_config(self.network)
        self.transform = timm.data.create_transform(**config, is_training=False)

    def prepare(self, content: bytes) -> torch.Tensor:
        """Decode an image: (3, H, W)."""
        return self.transform(Image.open(io.BytesIO(content)).convert("RGB"))

    @torch.inference_mode()
    def predict(self, pixels: torch.Tensor) -> list[dict]:
        """Return the label and the probability of each image, (N, 3, H, W)."""
        top = self.network(pixels).softmax(1).max(1)
        pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        return [{"label": label, "probability": p} for label, p in pairs]


def fastapi(port: int) -> None:
    """Answer one image at a time, in FastAPI's threads."""
    import uvicorn
    from fastapi import FastAPI, UploadFile

    app, classifier = FastAPI(), Classifier()

    @app.post("/predict")
    def predict(request: UploadFile) -> dict:
        return classifier.predict(classifier.prepare(request.file.read())[None])[0]

    uvicorn.run(app, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    fastapi(int(sys.argv[1]))
