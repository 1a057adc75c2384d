"""Embedded networks that tests of commands share: reading and compiling one takes 0.3 s."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from headstart.backbones.backbone import Backbone
from headstart.backbones.lite import LiteBackbone, LiteSource
from headstart.engines import choose
from headstart.engines.engine import Engine, EnginePlan
from headstart.features.extractor import configuration_key

_load, _build = LiteSource.load, choose.build_engine
_MOST = 4
"""Engines to keep, each of which takes some 100 MB."""
_engines: dict[Any, Engine] = {}


@cache
def _published(source: LiteSource, name: str) -> LiteBackbone:
    return _load(source, name, weights=None, allow_download=False)


def load(
    self: LiteSource, name: str, *, weights: Path | None, allow_download: bool
) -> LiteBackbone:
    """In place of `LiteSource.load`: the same object for the same name."""
    if weights is None:
        return _published(self, name)
    return _load(self, name, weights=weights, allow_download=allow_download)


def build_engine(backbone: Backbone, plan: EnginePlan, **options: Any) -> Engine:
    """In place of `choose.build_engine`: the same engine for the same network and options."""

    def build() -> Engine:
        return _build(backbone, plan, **options)

    if not isinstance(backbone, LiteBackbone):
        return build()
    given = tuple((name, str(value)) for name, value in sorted(options.items()))
    return _kept((configuration_key(backbone, plan), given), build)


def _kept(key: Any, build: Callable[[], Engine]) -> Engine:
    if key not in _engines:
        if len(_engines) == _MOST:
            del _engines[next(iter(_engines))]
        _engines[key] = build()
    return _engines[key]
