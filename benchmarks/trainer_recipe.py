"""Hugging Face's `Trainer` on a frozen network.

timm's EfficientNet-Lite0 in `TimmWrapperForImageClassification` with everything but the classifier
frozen. Batch size (16) and warm-up are those of the image classification guide; the learning rate
is 1e-3, because the guide's 5e-5 is meant for training the whole network. The weights and the files
are those of headstart.

    python benchmarks/trainer_recipe.py FOLDER_WITH_TRAIN_AND_TEST [--epochs 3]
"""

import argparse
import json
import tempfile
import time

started = time.perf_counter()

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("folder", help="folder with train/ and test/")
parser.add_argument("--epochs", type=int, default=3, help="passes over the training images")
options = parser.parse_args()  # before the imports, so that --help needs no packages

from plain_recipe import WORKERS, network, timm  # noqa: E402 - imports are part of the time

assert timm  # after it, torchvision can be imported with any build of PyTorch

import torch  # noqa: E402
from torchvision import transforms  # noqa: E402
from torchvision.datasets import ImageFolder  # noqa: E402
from transformers import (  # noqa: E402
    PrinterCallback,
    TimmWrapperConfig,
    TimmWrapperForImageClassification,
    Trainer,
    TrainingArguments,
)


def collate(batch: list) -> dict[str, torch.Tensor]:
    """Return a batch under the argument names of the model."""
    pixels, labels = zip(*batch, strict=True)
    return {"pixel_values": torch.stack(pixels), "labels": torch.tensor(labels)}


def main() -> None:
    """Train on FOLDER/train, test on FOLDER/test."""
    weights = network()
    plain = timm.data.create_transform(**timm.data.resolve_data_config({}, model=weights))
    augmentation = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip()]
    images = ImageFolder(
        f"{options.folder}/train", transforms.Compose([*augmentation, *plain.transforms[2:]])
    )
    tested = ImageFolder(f"{options.folder}/test", plain)
    config = TimmWrapperConfig(
        architecture="tf_efficientnet_lite0", num_labels=len(images.classes), do_pooling=True
    )
    model = TimmWrapperForImageClassification(config)
    missing, unexpected = model.timm_model.load_state_dict(weights.state_dict(), strict=False)
    assert not unexpected
    assert all(name.startswith("classifier.") for name in missing), missing
    for parameter in model.parameters():
        parameter.requires_grad = False
    for parameter in model.timm_model.get_classifier().parameters():
        parameter.requires_grad = True
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=options.epochs,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=16,
            learning_rate=1e-3,
            warmup_steps=0.1,
            dataloader_num_workers=WORKERS,
            remove_unused_columns=False,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=0,
        )
        trainer = Trainer(model, arguments, data_collator=collate, train_dataset=images)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        predicted = trainer.predict(tested).predictions.argmax(1)
    correct = int((predicted == torch.tensor(tested.targets).numpy()).sum())
    result = {
        "accuracy": correct / len(tested),
        "images": len(images) + len(tested),
        "tested": len(tested),
        "seconds": time.perf_counter() - started,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
