"""headstart info, backbones, classes, datasets and cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from headstart.cli import options as shared
from headstart.cli.console import facts, paragraph, print_json, say, say_markdown, table
from headstart.cli.summary import cost_text, total_cost
from headstart.system.option import Option
from headstart.system.text import pluralize

if TYPE_CHECKING:
    from headstart.cli.documents.catalog import ClassDocument


def info(
    model: shared.ModelFolder, *, folder: shared.Cache = None, as_json: shared.Json = False
) -> None:
    """Print a model card: data, license, accuracy, limits; and what a prediction costs here."""
    from headstart.features.cost_index import CostIndex, on_any_device
    from headstart.models.model_card import model_card
    from headstart.models.saved_model import describe, load_model
    from headstart.system.cache_folder import cache_root

    trained = load_model(model)
    known = on_any_device(CostIndex(cache_root(folder)).load())
    origins = [one.origin for one in trained.all_members]
    found = {origin.name: known.get(origin.cost_key) for origin in origins}
    costs = {name: None if one is None else one.total for name, one in found.items()}
    if not as_json:
        say_markdown(model_card(trained).rstrip("\n"))
        say(f"\nCost: {cost_text(costs) or 'not measured on this machine yet; predict does it'}")
        return
    document = describe(trained) | {
        "accuracy": trained.accuracy,
        "accuracy_by_stage": trained.accuracy_by_stage,
        "cost": total_cost(costs),
    }
    if trained.members:
        pairs = zip(document["members"], origins, strict=True)
        document["members"] = [one | {"cost": costs[origin.name]} for one, origin in pairs]
        document |= {"head": None, "setting": None}  # each member has its own
    if tuning := trained.tuning:
        document["tuning"] |= {"probe": tuning.probe, "tuned": tuning.tuned}
    print_json(document)


def backbones(*, ladder: bool = False, as_json: shared.Json = False) -> None:
    """List well-known pre-trained networks.

    Options:
        ladder: List the networks that transfer best at their cost by published results.
    """
    from headstart.backbones import list_backbones

    if ladder:
        _ladder(as_json=as_json)
        return
    found = list_backbones()
    if as_json:
        print_json(found)
        return
    table(
        ["name", "parameters", "multiply-adds", "input", "top-1", "license", "local", "source"],
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
        least=[7, 3, 2, 5],
    )
    say("")
    paragraph(
        "Any other network: torchvision:NAME, timm:NAME, keras:NAME, hf-hub:ORG/NAME, FILE.onnx; "
        "with --allow-code also FILE.pt2, or MODULE:ATTRIBUTE of your own Python code"
    )
    say("Stronger ones, to download: --ladder")


def _ladder(*, as_json: bool) -> None:
    from headstart.backbones import ladder

    found = ladder()
    if as_json:
        print_json(found)
        return
    header = ["name", "parameters", "multiply-adds", "input", "ImageNet", "", "license"]
    table(
        [*header, "gated", "local", "figure from"],
        [
            [
                one.name,
                f"{one.parameters / 1e6:.1f} M",
                f"{one.multiply_adds / 1e9:.2f} G",
                str(one.input_size),
                f"{one.figure:.3f}",
                f"{one.measure} at {one.figure_size}",
                one.license,
                "yes" if one.gated else "no",
                "yes" if one.on_this_machine else "no",
                one.reference,
            ]
            for one in found
        ],
        right={1, 2, 3, 4},
        least=[9, 7, 3, 2, 6, 8, 1],
    )
    say("")
    paragraph(
        "Figures of different kinds cannot be compared; 'headstart compare DATA --allow-download' "
        "measures these networks on your images."
    )


def classes(
    word: Annotated[
        str | None, Option(metavar="WORD", help="Part of a name, an index or a group.")
    ] = None,
    *,
    as_json: shared.Json = False,
) -> None:
    """List or search the classes of ImageNet, their indices, and groups of them."""
    from headstart.backbones.imagenet_names import (
        imagenet_classes,
        imagenet_groups,
        search_classes,
    )

    names, groups = imagenet_classes(), imagenet_groups()
    found = range(len(names)) if word is None else search_classes(word)
    listed: list[ClassDocument] = [
        {
            "index": index,
            "name": names[index],
            "groups": [group for group, members in groups.items() if index in members],
        }
        for index in found
    ]
    shown = {
        group: members for group, members in groups.items() if not set(found).isdisjoint(members)
    }
    if as_json:
        print_json({"classes": listed, "groups": shown})
        return
    table(
        ["index", "class", "groups"],
        [[str(one["index"]), one["name"], ", ".join(one["groups"])] for one in listed],
        right={0},
    )
    say("")
    for group, members in shown.items():
        say(f"group {group!r}: {pluralize(len(members), 'class', 'classes')}")
    say("A name, an index or a group is a CLASS of imagine, and of attack --to.")


def datasets(*, as_json: shared.Json = False) -> None:
    """List the data sets that are available by name."""
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
        least=[3],
    )


def cache(*, clear: bool = False, folder: shared.Cache = None, as_json: shared.Json = False) -> int:
    """Show the size of the cache by kind of data, or clear it.

    Options:
        clear: Delete everything in the cache.
    """
    from headstart.features.cache_usage import clear as remove
    from headstart.features.cache_usage import usage
    from headstart.system.cache_folder import cache_root
    from headstart.system.download import readable_size
    from headstart.system.serialization import to_json

    root = cache_root(folder)
    freed = remove(root) if clear else None
    used = usage(root)
    if as_json:
        document = {"folder": root, **to_json(used), "total_bytes": used.total_bytes}
        print_json(document if freed is None else {**document, "freed_bytes": freed})
        return used.total_bytes
    images = f", {pluralize(sum(one.rows for one in used.features), 'image')}"
    facts(
        [
            ("folder", str(root)),
            ("freed", None if freed is None else readable_size(freed)),
            *(
                (kind, readable_size(size) + (images if kind == "features" else ""))
                for kind, size in used.bytes.items()
            ),
            ("total", readable_size(used.total_bytes)),
        ],
        width=13,
    )
    return used.total_bytes
