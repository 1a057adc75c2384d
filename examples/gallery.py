"""Makes docs/gallery.md and its pictures.

    python examples/gallery.py docs

Everything comes from the embedded backbone, the embedded data and the photos that scikit-image
ships, so that anyone can make the page again. The JSON that the verbs print stands in the page.
"""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import skimage.data
from PIL import Image

from headstart.cli.app import run

WIDTH = 1100  # pixels of a picture in the page


def call(*arguments: str) -> dict:
    """Run a verb and read the JSON that it prints."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = run([*arguments, "--json"])
    if code:
        raise SystemExit(f"headstart {' '.join(arguments)} exited with {code}")
    return json.loads(text.getvalue())


def keep(source: Path, target: Path) -> None:
    """A picture of the page, no wider than the page."""
    with Image.open(source) as image:
        small = image.convert("RGB")
        small.thumbnail((WIDTH, 10 * WIDTH))
        small.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


def features(photo: Path, pictures: Path, work: Path) -> str:
    """What the stages extract."""
    call("features", str(photo), "--filters", "--out", str(work / "features"))
    keep(work / "features" / "overview.png", pictures / "features.png")
    keep(work / "features" / "filters.png", pictures / "filters.png")
    return """## What the network extracts

```sh
headstart features cat.png --filters --out features
```

From edges and colors to parts, a row a stage:

![feature maps](gallery/features.png)

The filters of its first layer:

![filters](gallery/filters.png)
"""


def imagine(pictures: Path, work: Path) -> str:
    """Ideal pictures."""
    classes = ["Siamese cat", "zebra", "goldfish", "strawberry", "teapot"]
    made = call("imagine", *classes, "--out", str(work / "ideal.png"))
    keep(work / "ideal.png", pictures / "ideal.png")
    lowest = min(one["probability"] for one in made["pictures"])
    return f"""## Its ideal pictures

```sh
headstart imagine {" ".join(f'"{name}"' for name in classes)} --out ideal.png
```

Each file, read back by `headstart classify`, has its class with a probability of at least
{int(lowest * 1000) / 1000}:

![ideal pictures](gallery/ideal.png)
"""


def attack(photo: Path, pictures: Path, work: Path) -> str:
    """A cat that counts as a dog."""
    made = call("attack", str(photo), "--to", "dog", "--out", str(work / "dog.png"))
    keep(Path(made["comparison"]), pictures / "attack.png")
    before, after = (
        f"{r['label']} ({r['probability']:.3f})" for r in (made["before"], made["after"])
    )
    levels = round(made["linf"] * 255)
    return f"""## A cat that it takes for a dog

```sh
headstart attack cat.png --to dog --epsilon 4/255 --out dog.png
```

No number of the picture changes by more than {levels} of 255. After {made["steps"]} steps
{before} becomes {after},
read back from the saved file:

![attack](gallery/attack.png)
"""


def explain(photo: Path, pictures: Path, work: Path) -> str:
    """What a prediction looked at."""
    made = call("explain", "efficientnet-lite0", str(photo), "--out", str(work / "explained"))
    keep(work / "explained" / f"{photo.stem}.png", pictures / "explain.png")
    rows = "\n".join(
        f"| {one['method']} | {one['deletion']:.3f} | {one['insertion']:.3f} |"
        for one in made["images"][0]["maps"]
    )
    moved = made["images"][0]["maps"][0]
    chance = f"{moved['random_deletion']:.3f} | {moved['random_insertion']:.3f}"
    return f"""## What a prediction looked at

```sh
headstart explain efficientnet-lite0 cat.png --out explained
```

![explanations](gallery/explain.png)

A map deserves trust if taking away what it marks lowers the probability faster than taking away
anything (deletion), and showing it raises it faster (insertion):

| method | deletion, lower is better | insertion, higher is better |
|---|---|---|
{rows}
| grad-cam, its map in wrong places | {chance} |
"""


def robustness(pictures: Path, work: Path) -> str:
    """How little it takes."""
    call("fit", "digits", "--holdout", "0.2", "--out", str(work / "model"))
    folder = work / "robustness"
    call("robustness", str(work / "model"), "digits", "--images", "40", "--out", str(folder))
    keep(folder / "robustness.png", pictures / "robustness.png")
    return """## How little it takes

```sh
headstart fit digits --holdout 0.2 --out digits-model
headstart robustness digits-model digits --images 40 --out robustness
```

![robustness](gallery/robustness.png)
"""


def main(docs: Path) -> None:
    """Write the page and its pictures."""
    pictures = docs / "gallery"
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        os.environ.setdefault("HEADSTART_CACHE", str(work / "cache"))
        photo = Path(
            shutil.copy(Path(skimage.data.__file__).parent / "chelsea.png", work / "cat.png")
        )
        parts = [
            features(photo, pictures, work),
            imagine(pictures, work),
            attack(photo, pictures, work),
            explain(photo, pictures, work),
            robustness(pictures, work),
        ]
    page = """# Gallery

Made by `make gallery` with the embedded backbone. The photo is Chelsea, the cat that scikit-image
ships (by Stefan van der Walt, CC0).

"""
    (docs / "gallery.md").write_text(page + "\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
