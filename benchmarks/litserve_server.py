"""A server of the same network as everyone writes it: LitServe with timm, with batches.

python benchmarks/litserve_server.py PORT
"""

import sys

import litserve
import torch
from fastapi import UploadFile

from fastapi_server import Classifier


class Api(litserve.LitAPI):
    """What LitServe asks for: how images are read, predicted together, and answered."""

    def setup(self, device: str) -> None:
        """Load the network."""
        del device
        self.classifier = Classifier()

    def decode_request(self, request: UploadFile) -> torch.Tensor:
        """Decode an image."""
        return self.classifier.prepare(request.file.read())

    def batch(self, inputs: list) -> torch.Tensor:
        """Put images together."""
        return torch.stack(inputs)

    def predict(self, x: torch.Tensor) -> list:
        """Predict images."""
        return self.classifier.predict(x)

    def unbatch(self, output: list) -> list:
        """Return the predictions of single images."""
        return output

    def encode_response(self, output: dict) -> dict:
        """Return what becomes JSON."""
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=8, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
