"""Servers of the same network as everyone writes them: FastAPI with timm, and LitServe with timm.

    python benchmarks/serving_peers.py fastapi|litserve PORT

Weights are random: they do not change the speed.
"""

import io
import sys

import timm
import torch
from PIL import Image

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
    """FastAPI: one image at a time, in its threads."""
    import uvicorn
    from fastapi import FastAPI, UploadFile

    app, classifier = FastAPI(), Classifier()

    @app.post("/predict")
    def predict(request: UploadFile) -> dict:
        return classifier.predict(classifier.prepare(request.file.read())[None])[0]

    uvicorn.run(app, port=port, log_level="warning", access_log=False)


def litserve(port: int) -> None:
    """LitServe, with batches."""
    import litserve
    from fastapi import UploadFile

    class Api(litserve.LitAPI):
        def setup(self, device: str) -> None:
            del device
            self.classifier = Classifier()

        def decode_request(self, request: UploadFile) -> torch.Tensor:
            return self.classifier.prepare(request["request"].file.read())

        def batch(self, inputs: list) -> torch.Tensor:
            return torch.stack(inputs)

        def predict(self, x: torch.Tensor) -> list:
            return self.classifier.predict(x)

        def unbatch(self, output: list) -> list:
            return output

        def encode_response(self, output: dict) -> dict:
            return output

    api = Api(max_batch_size=8, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(port=port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    {"fastapi": fastapi, "litserve": litserve}[sys.argv[1]](int(sys.argv[2]))
