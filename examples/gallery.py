"""Makes docs/gallery.md and its images.

    python examples/gallery.py docs [PART ...]

Parts are features, attack, and others below; by default all are made again, otherwise the others
stay as they are. Everything comes from the embedded backbone, the embedded data and the photos that
scikit-image ships, so that anyone can make the page again. Each command on the page is the one that
ran, and the numbers come from its JSON.
"""

import contextlib
import io
import json
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import skimage.data
from PIL import Image

from headstart.cli.app import run

WIDTH = 1200  # pixels of an image on the page, the width of most figures


def call(command: str) -> dict:
    """Run a command as it is shown, and read its JSON."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = run([*shlex.split(command)[1:], "--json"])
    if code:
        raise SystemExit(f"{command} exited with {code}")
    return json.loads(text.getvalue())


def keep(source: str | Path, target: Path) -> None:
    """Copy an image, no wider than the page."""
    with Image.open(source) as image:
        small = image.convert("RGB")
        small.thumbnail((WIDTH, 10 * WIDTH))
        small.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


def features(images: Path) -> str:
    """The section on feature maps."""
    command = "headstart features cat.png --filters --out features"
    call(command)
    keep("features/overview.png", images / "features.png")
    keep("features/filters.png", images / "filters.png")
    return f"""## What the network extracts

```sh
{command}
```

From edges and colors to parts of objects, one row per stage:

![feature maps](gallery/features.png)

The filters of the first layer:

![filters](gallery/filters.png)
"""


def imagine(images: Path) -> str:
    """The section on ideal images."""
    classes = '"Siamese cat" "zebra" "goldfish" "strawberry" "teapot"'
    command = f"headstart imagine {classes} --out ideal.png"
    made = call(command)
    keep("ideal.png", images / "ideal.png")
    lowest = min(one["probability"] for one in made["pictures"])
    return f"""## Ideal images of classes

```sh
{command}
```

The network assigns each saved image to its class with a probability of at least
{int(lowest * 1000) / 1000}:

![ideal images](gallery/ideal.png)
"""


def attack(images: Path) -> str:
    """The section on a cat that is classified as a dog."""
    command = "headstart attack cat.png --to dog --epsilon 4/255 --confidence 0.9 --out dog.png"
    made = call(command)
    keep(made["comparison"], images / "attack.png")
    before, after = (
        f"{r['label']} ({r['probability']:.3f})" for r in (made["before"], made["after"])
    )
    levels = round(made["linf"] * 255)
    return f"""## A cat that it classifies as a dog

```sh
{command}
```

No pixel value changes by more than {levels} of 255. After {made["steps"]} steps, {before} becomes
{after}, according to the saved file:

![attack](gallery/attack.png)
"""


def explain(images: Path) -> str:
    """The section on explanations."""
    command = "headstart explain efficientnet-lite0 cat.png --out explained"
    made = call(command)
    keep("explained/cat.png", images / "explain.png")
    rows = "\n".join(
        f"| {one['method']} | {one['deletion']:.3f} | {one['insertion']:.3f} |"
        for one in made["images"][0]["maps"]
    )
    moved = made["images"][0]["maps"][0]
    chance = f"{moved['random_deletion']:.3f} | {moved['random_insertion']:.3f}"
    return f"""## What a prediction depends on

```sh
{command}
```

![explanations](gallery/explain.png)

A map deserves trust if removing the pixels that it marks lowers the probability faster than
removing other pixels (deletion), and showing them raises it faster (insertion):

| method | deletion, lower is better | insertion, higher is better |
|---|---|---|
{rows}
| grad-cam, its map moved elsewhere | {chance} |
"""


def report(images: Path) -> str:
    """The section on the figures of `fit` and `evaluate`."""
    command = "headstart fit digits --holdout 0.2 --out digits-model --report report"
    made = call(command)
    for name in ("confusion", "accuracy_by_stage", "reliability", "most_wrong"):
        keep(f"report/{name}.png", images / f"{name}.png")
    return f"""## How good a model is

```sh
{command}
```

The accuracy on {made["tested_images"]} held-out images is {made["accuracy"]:.3f}.
`evaluate` draws the same figures of other images. Which classes are confused:

![confusion](gallery/confusion.png)

Which stages of the network the head uses, and how good it is on each of them:

![accuracy by stage](gallery/accuracy_by_stage.png)

Whether the probabilities can be trusted:

![reliability](gallery/reliability.png)

The most confident errors, with their files:

![most wrong](gallery/most_wrong.png)
"""


def compare(images: Path) -> str:
    """The section on comparing networks."""
    command = "headstart compare digits --out comparison"
    call(command)
    keep("comparison/comparison.png", images / "comparison.png")
    return f"""## Which network suits the images

```sh
{command}
```

![comparison](gallery/comparison.png)
"""


def transfer(images: Path) -> str:
    """The section on how well a network transfers."""
    command = "headstart transfer digits --images 300 --out transfer"
    call(command)
    keep("transfer/transfer.png", images / "transfer.png")
    return f"""## Does it transfer?

```sh
{command}
```

![transfer](gallery/transfer.png)
"""


def finetune(images: Path) -> str:
    """The section on fine-tuning."""
    command = "headstart finetune digits --depth 2 --epochs 4 --views 2 --holdout 0.7 --out tuned"
    call(command)
    keep("tuned/curves.png", images / "curves.png")
    return f"""## Fine-tuning

```sh
{command}
```

![curves](gallery/curves.png)
"""


def robustness(images: Path) -> str:
    """The section on robustness."""
    command = "headstart robustness digits-model digits --images 20 --steps 6 --out robustness"
    if not Path("digits-model").exists():
        call("headstart fit digits --holdout 0.2 --out digits-model")
    call(command)
    keep("robustness/robustness.png", images / "robustness.png")
    return f"""## Robustness

```sh
{command}
```

![robustness](gallery/robustness.png)
"""


PARTS = {
    "## What the network extracts": features,
    "## Ideal images of classes": imagine,
    "## A cat that it classifies as a dog": attack,
    "## What a prediction depends on": explain,
    "## How good a model is": report,
    "## Which network suits the images": compare,
    "## Does it transfer?": transfer,
    "## Fine-tuning": finetune,
    "## Robustness": robustness,
}


def main(docs: Path, wanted: list[str]) -> None:
    """Write the page and its images, or some parts of it again."""
    images, page = docs.resolve() / "gallery", docs.resolve() / "gallery.md"
    images.mkdir(parents=True, exist_ok=True)
    old = page.read_text(encoding="utf-8").split("\n## ")[1:] if page.is_file() else []
    sections = {f"## {one.splitlines()[0]}": f"## {one.strip()}\n" for one in old}
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        os.environ.setdefault("HEADSTART_CACHE", str(Path(scratch) / "cache"))
        shutil.copy(Path(skimage.data.__file__).parent / "chelsea.png", "cat.png")
        for heading, part in PARTS.items():
            if not wanted or part.__name__ in wanted:
                sections[heading] = part(images)
    begin = """# Gallery

Made by `make gallery` with the embedded backbone and data. The photo shows Chelsea, the cat that
scikit-image ships (by Stefan van der Walt, CC0). All figures have [one
style](../src/headstart/plots/style.py), which is readable in print and for color-blind readers.

"""
    found = [sections[heading] for heading in PARTS if heading in sections]
    page.write_text(begin + "\n".join(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
