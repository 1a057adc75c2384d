"""Write the weights that all tools use as a checkpoint in the format of timm and AutoGluon.

python benchmarks/plain_checkpoint.py FOLDER
"""

import argparse
import json
from pathlib import Path

from plain_recipe import network, timm


def save_checkpoint(folder: Path) -> None:
    """Write the weights of EfficientNet-Lite0, without its classifier, and their description."""
    import torch

    model = network()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    description = {
        "architecture": "tf_efficientnet_lite0",
        "num_features": model.num_features,
        "pretrained_cfg": timm.data.resolve_data_config({}, model=model),
    }
    (folder / "config.json").write_text(json.dumps(description), encoding="utf-8")


def main() -> None:
    """Write the checkpoint to FOLDER."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder to write to")
    save_checkpoint(parser.parse_args().folder)


if __name__ == "__main__":
    main()
