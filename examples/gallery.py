"""Makes docs/gallery.md and its images.

    python examples/gallery.py docs

Everything comes from the embedded backbone, the embedded data and the photos that scikit-image
ships, so that anyone can make the page again. Each command on the page is the one that ran, and the
numbers come from its JSON.
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

WIDTH = 1100  # pixels of an image on the page


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
    command = "headstart attack cat.png --to dog --epsilon 4/255 --out dog.png"
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


def robustness(images: Path) -> str:
    """The section on robustness."""
    fit = "headstart fit digits --holdout 0.2 --out digits-model"
    command = "headstart robustness digits-model digits --images 40 --out robustness"
    call(fit)
    call(command)
    keep("robustness/robustness.png", images / "robustness.png")
    return f"""## Robustness

```sh
{fit}
{command}
```

![robustness](gallery/robustness.png)
"""


def main(docs: Path) -> None:
    """Write the page and its images."""
    images = docs.resolve() / "gallery"
    images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        os.environ.setdefault("HEADSTART_CACHE", str(Path(scratch) / "cache"))
        shutil.copy(Path(skimage.data.__file__).parent / "chelsea.png", "cat.png")
        sections = [part(images) for part in (features, imagine, attack, explain, robustness)]
    page = """# Gallery

Made by `make gallery` with the embedded backbone. The photo shows Chelsea, the cat that
scikit-image ships (by Stefan van der Walt, CC0).

"""
    (images.parent / "gallery.md").write_text(page + "\n".join(sections), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
