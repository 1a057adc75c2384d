"""AutoGluon's `MultiModalPredictor` with one of its presets, as in its documentation.

It runs in an environment of its own, without headstart, as it needs an older timm. CHECKPOINT is a
folder with the weights that all tools use, which replace the preset's, and with their description.

    python benchmarks/autogluon_recipe.py FOLDER_WITH_TRAIN_AND_TEST CHECKPOINT [--preset NAME]
        [--limit SECONDS]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

started = time.perf_counter()

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("folder", type=Path, help="folder with train/ and test/")
parser.add_argument("checkpoint", type=Path, help="folder with the weights of the network")
parser.add_argument("--preset", default="medium_quality", help="AutoGluon's preset")
parser.add_argument("--limit", type=float, help="seconds after which training ends")
options = parser.parse_args()  # before the imports, so that --help needs no packages

import pandas as pd  # noqa: E402 - imports are part of the time
from autogluon.multimodal import MultiModalPredictor  # noqa: E402


def table(part: str) -> pd.DataFrame:
    """Return the images and labels of a part."""
    files = sorted(path for path in (options.folder / part).rglob("*") if path.is_file())
    return pd.DataFrame({"image": map(str, files), "label": [path.parent.name for path in files]})


def main() -> None:
    """Train on FOLDER/train, test on FOLDER/test."""
    train, test = table("train"), table("test")
    with tempfile.TemporaryDirectory() as work:
        predictor = MultiModalPredictor(
            label="label", presets=options.preset, path=f"{work}/model", verbosity=0
        )
        predictor.fit(
            train,
            seed=0,
            time_limit=options.limit,
            hyperparameters={
                "model.names": ["timm_image"],
                "model.timm_image.checkpoint_name": str(options.checkpoint),
            },
        )
        predicted = predictor.predict(test, as_pandas=False)
    result = {
        "accuracy": float((predicted == test["label"].to_numpy()).mean()),
        "images": len(train) + len(test),
        "tested": len(test),
        "seconds": time.perf_counter() - started,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
