"""headstart info, backbones, datasets and cache: what there is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from headstart.cli import options as shared
from headstart.cli.console import print_json, say, table
from headstart.system.text import pluralize


def info(model: shared.ModelFolder, as_json: shared.Json = False) -> None:
    """Print a model's card: data, backbone and license, accuracy, classes, limits."""
    from headstart.models.model_card import model_card
    from headstart.models.saved_model import describe, load_model

    trained = load_model(model)
    if as_json:
        document = describe(trained)
        document["accuracy"] = trained.accuracy.as_dict()
        document["accuracy_by_stage"] = {
            name: one.as_dict() for name, one in trained.accuracy_by_stage.items()
        }
        if trained.tuning:
            probe, tuned = trained.tuning.probe.as_dict(), trained.tuning.tuned.as_dict()
            document["tuning"] |= {"probe": probe, "tuned": tuned}
        print_json(document)
    else:
        say(model_card(trained).rstrip("\n"))


def backbones(as_json: shared.Json = False) -> None:
    """List the well-known pre-trained networks."""
    from headstart.backbones import list_backbones

    found = list_backbones()
    if as_json:
        print_json([asdict(one) for one in found])
        return
    header = ["name", "parameters", "multiply-adds", "input", "top-1", "license", "here", "source"]
    table(
        header,
        [
            [
                one.name,
                f"{one.parameters / 1e6:.1f} M",
                f"{one.multiply_adds / 1e9:.2f} G",
                str(one.input_size),
                f"{one.top1:.3f}",
                one.license,
                "yes" if one.on_this_machine else "no",
                one.source,
            ]
            for one in found
        ],
        right={1, 2, 3, 4},
    )
    say("")
    others = "torchvision:NAME, timm:NAME, keras:NAME and hf-hub:ORG/NAME"
    say(f"Also: {others} for every network there.")


def datasets(as_json: shared.Json = False) -> None:
    """List the data sets that are known by name."""
    from headstart.datasets import list_datasets

    found = list_datasets()
    if as_json:
        print_json(
            [
                {
                    "name": one.name,
                    "title": one.title,
                    "images": one.images,
                    "classes": one.classes,
                    "download_bytes": one.size,
                    "license": one.license,
                    "split": one.split,
                    "embedded": one.embedded,
                }
                for one in found
            ]
        )
        return
    table(
        ["name", "images", "classes", "download", "license", "title"],
        [
            [
                one.name,
                f"{one.images:,}",
                str(one.classes),
                f"{one.size / 1e6:,.0f} MB" if one.size else "-",
                one.license,
                one.title,
            ]
            for one in found
        ],
        right={1, 2, 3},
    )


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all that is kept.")] = False,
    folder: shared.CacheFolder = None,
    as_json: shared.Json = False,
) -> None:
    """Show what is kept from earlier runs, or clear it."""
    from headstart.features.cache_usage import clear as remove
    from headstart.features.cache_usage import usage
    from headstart.system.cache_folder import cache_root
    from headstart.system.download import readable_size

    root = cache_root(folder)
    freed = remove(root) if clear else None
    used = usage(root)
    if as_json:
        document = {"folder": str(root), **asdict(used), "total_bytes": used.total_bytes}
        print_json(document if freed is None else {**document, "freed_bytes": freed})
        return
    say(f"folder       {root}")
    if freed is not None:
        say(f"freed        {readable_size(freed)}")
    images = f", {pluralize(sum(one.rows for one in used.features), 'image')}"
    for kind, size in used.bytes.items():
        say(f"{kind:<12} {readable_size(size)}{images if kind == 'features' else ''}")
    say(f"total        {readable_size(used.total_bytes)}")
