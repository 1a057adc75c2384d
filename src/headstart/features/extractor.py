"""From image files to features, once.

One pass reads each file, and only those whose features the store lacks are decoded and run. Reading
and decoding go on in threads while the network computes; what is finished goes to the store every
few seconds, so that an interrupted pass goes on where it stopped.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from headstart.backbones import load_backbone
from headstart.backbones.backbone import LOGITS, Backbone
from headstart.engines import Engine, EnginePlan, LazyEngine, make_plan
from headstart.errors import BackboneError, StoreError, UnreadableImageError
from headstart.features.buffer import FeatureRows
from headstart.features.path_index import PathIndex
from headstart.features.store import FeatureStore
from headstart.images.preprocessing import LEAST
from headstart.images.reading import EncodedImage
from headstart.system.cache_folder import cache_root
from headstart.system.digests import bytes_digest, hasher
from headstart.system.prefetch import prefetched
from headstart.types import (
    EngineName,
    Floats,
    Labels,
    Pixels,
    Precision,
    ProgressCallback,
    Skipped,
    no_progress,
)

_NETWORKS = ("timm", "torch", "torchvision")
"""Packages that define networks; the embedded ones are defined here."""
_FORMAT = "1"
"""Changes when features mean something else: old ones are then not found any more."""
_ATTEMPTS = 3
"""How often a pass begins anew: once for another engine, and if someone clears the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What a backbone makes of images.

    Attributes:
        values: by stage, (N, width) float32.
        rows: (N,) which of the paths asked for; those that could not be read are missing.
        digests: N digests of the files' bytes, 32 hex digits each.
        skipped: the files that could not be read.
        plan: what ran them.
        cached: images, copies included, whose features were there before.
        computed: images that were run through the network now.
        seconds: wall-clock time of the pass.
    """

    values: Mapping[str, Floats]
    rows: Labels
    digests: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    plan: EnginePlan
    cached: int
    computed: int
    seconds: float

    def __len__(self) -> int:
        return len(self.rows)

    def identities(self) -> list[str]:
        """For each image a name that it shares with those the network cannot tell from it.

        A copy with another comment, or as PNG instead of BMP, has other bytes and the same
        pixels, so the same features to the last bit.
        """
        hashes = [hasher() for _ in self.digests]
        for values in self.values.values():
            for one, row in zip(hashes, np.ascontiguousarray(values), strict=True):
                one.update(row)
        return [one.hexdigest() for one in hashes]


@dataclass(frozen=True, slots=True)
class Extractor:
    """A backbone with everything that is needed to compute features of image files.

    Immutable, so that the compiled network always belongs to `backbone`: for another network
    make another extractor with `with_backbone` or `dataclasses.replace`.

    Attributes:
        backbone: The frozen network.
        plan: The planned engine and precision; `effective_plan` says what is really used.
        cache: The cache folder; None stores nothing.
        requested_engine: The engine that the user named; see `build_engine`.
        warnings: Collects sentences for the user, such as that the disk is full. Extractors
            derived from this one add to the same list.
    """

    backbone: Backbone
    plan: EnginePlan
    cache: Path | None
    requested_engine: EngineName = EngineName.AUTO
    warnings: list[str] = field(default_factory=list, compare=False)
    # `init=False`: `replace` cannot hand the engine of one backbone on to another.
    _engine: LazyEngine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        engine = LazyEngine(
            self.backbone,
            self.plan,
            requested=self.requested_engine,
            warn=self.warnings.append,
        )
        object.__setattr__(self, "_engine", engine)

    def with_backbone(self, backbone: Backbone) -> Extractor:
        """Return an extractor for another network that uses the engine in effect here."""
        return replace(self, backbone=backbone, plan=self.effective_plan)

    def extract(
        self,
        paths: Sequence[Path],
        *,
        stages: Sequence[str] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Features:
        """Features of image files.

        Args:
            paths: files, in any order; identical ones are run once.
            stages: names of those wanted, `LOGITS` among them if the network's own logits are;
                all stages, without the logits, by default.
            progress: called with (done, total).

        Returns:
            Features in the order of `paths`, less the files that cannot be read.

        Raises:
            BackboneError: a stage that the backbone does not have.
            StoreError: the kept features vanish again and again.
        """
        started = time.perf_counter()
        wanted = list(stages) if stages else [stage.name for stage in self.backbone.stages]
        if unknown := [stage for stage in wanted if stage not in self.widths()]:
            raise BackboneError(
                f"{self.backbone.name} has no stage {unknown[0]!r}; its stages are "
                f"{', '.join(self.widths())}"
            )
        vanished = None
        for _ in range(_ATTEMPTS):
            work = _Pass(self, list(paths), wanted, progress)
            # The network may turn out to need another engine, whose features are kept elsewhere:
            # then we look there first.
            if work.run():
                try:
                    return work.result(started)
                except StoreError as error:  # cleared by another process since
                    vanished = error
        raise vanished or StoreError(f"no engine runs {self.backbone.name} to the end")

    @property
    def effective_plan(self) -> EnginePlan:
        """`plan`, or what is used instead since the planned engine failed to run the network."""
        return self._engine.plan

    def engine(self) -> Engine:
        """Return the compiled network; the first call compiles it."""
        return self._engine.get()

    def release(self) -> None:
        """Free the compiled network and its memory; it is compiled again when next needed."""
        self._engine.release()

    def widths(self) -> dict[str, int]:
        """Numbers an image, by stage, and of the logits."""
        named = {stage.name: stage.width for stage in self.backbone.stages}
        return {**named, LOGITS: len(self.backbone.labels)} if self.backbone.labels else named

    def store(self) -> FeatureStore | None:
        """Where this configuration's features are kept."""
        if self.cache is None:
            return None
        key = configuration_key(self.backbone, self.effective_plan)
        return FeatureStore(self.cache, key=key, widths=self.widths())


def build_extractor(
    backbone: str,
    *,
    weights: Path | None = None,
    engine: EngineName = EngineName.AUTO,
    precision: Precision = Precision.AUTO,
    cache: Path | None = None,
    allow_download: bool = True,
) -> Extractor:
    """Load a backbone and choose an engine for it.

    Args:
        backbone: Name of the backbone; see `headstart.backbones.load_backbone`.
        weights: A file with the weights, instead of those that belong to the name.
        engine: The engine to use; AUTO chooses by what the machine has.
        precision: Numeric precision of the frozen network; AUTO chooses by engine and machine.
        cache: The cache folder; by default HEADSTART_CACHE or the platform's.
        allow_download: Whether weights that are not on this machine may be downloaded.

    Raises:
        BackboneError: There is no such backbone, its weights do not fit, or the machine lacks the
            precision.
        DownloadError: The weights cannot be downloaded, or may not be.
        MissingExtraError: The engine or the backbone needs a package that is not installed.
    """
    return Extractor(
        backbone=load_backbone(backbone, weights=weights, allow_download=allow_download),
        plan=make_plan(engine, precision),
        cache=cache_root(cache),
        requested_engine=engine,
    )


def configuration_key(backbone: Backbone, plan: EnginePlan) -> str:
    """32 hex digits over everything that may change a feature, the images apart."""
    description = {
        "format": _FORMAT,
        # The same tensors can stand in networks that differ in what has none: an activation.
        "backbone": backbone.name,
        "weights": backbone.weights.digest,
        "preprocessing": asdict(backbone.preprocessing),
        "decoded": LEAST,
        "stages": [asdict(stage) for stage in backbone.stages],
        "engine": plan.identity(),
        # What decodes and resizes, and what defines a network that is not our own.
        "libraries": {
            name: _version(name)
            for name in ("pillow", "pillow-heif", *(() if backbone.graph else _NETWORKS))
        },
    }
    text = json.dumps(description, sort_keys=True)
    return bytes_digest(text.encode())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class _Pass:
    """One run of `Extractor.extract`."""

    def __init__(
        self,
        extractor: Extractor,
        paths: list[Path],
        stages: list[str],
        progress: ProgressCallback | None,
    ) -> None:
        self.extractor, self.paths, self.stages = extractor, paths, stages
        self.report = progress or no_progress
        self.rows = FeatureRows(extractor.store(), extractor.widths(), extractor.warnings)
        self.index = PathIndex(extractor.cache) if extractor.cache else None
        self.digests: list[str | None] = [None] * len(paths)
        self.skipped: list[Skipped] = []
        self.fresh: set[str] = set()
        self.done = 0

    def run(self) -> bool:
        """Look up, compute and keep; False if the engine changed on the way."""
        if self.index is not None:
            self.digests = [self.index.digest(path) for path in self.paths]
        held = self.rows.held([d for d in self.digests if d is not None], self.stages)
        todo = [row for row, digest in enumerate(self.digests) if digest not in held]
        self.done = len(self.paths) - len(todo)
        self.report(self.done, len(self.paths))
        plan = self.extractor.effective_plan
        work = self._pictures(todo)
        try:
            # Only a picture that the store lacks brings the network to life.
            for first in work:
                if self.extractor.engine().plan != plan:
                    return False
                self._compute(itertools.chain([first], work))
        finally:  # also on Ctrl-C: what is computed is kept
            work.close()
            self.rows.flush()
            if self.index is not None:
                self.index.save()
        return True

    def _compute(self, pictures: Iterator[tuple[str, Pixels]]) -> None:
        engine = self.extractor.engine()
        sent: deque[list[str]] = deque()

        def batches() -> Iterator[Pixels]:
            while batch := list(itertools.islice(pictures, engine.batch)):
                sent.append([digest for digest, _ in batch])
                yield np.stack([pixels for _, pixels in batch])

        with closing(engine.stream(batches())) as stream:
            for outputs in stream:
                digests = sent.popleft()
                self.rows.add(digests, outputs)
                self.done += len(digests)
                self.report(self.done, len(self.paths))

    def _pictures(self, todo: Sequence[int]) -> Generator[tuple[str, Pixels], None, None]:
        """Prepared pictures that the store lacks, each once, decoded ahead by threads."""
        for row, result in prefetched(self._read, todo):
            if isinstance(result, Skipped):
                self.digests[row] = None
                self.skipped.append(result)
            else:
                digest, pixels = result
                self.digests[row] = digest
                if pixels is not None and digest not in self.fresh:
                    self.fresh.add(digest)
                    yield digest, pixels
                    continue
            self.done += 1
            self.report(self.done, len(self.paths))

    def _read(self, row: int) -> tuple[str, Pixels | None] | Skipped:
        """In a thread: a file's digest, and its pixels if the store lacks it."""
        path = self.paths[row]
        try:
            taken, status = time.time_ns(), _status(path)
            image = EncodedImage.read(path)
            digest = image.digest()
            if self.index is not None and status is not None:
                self.index.remember(path, status, digest, taken=taken)
            # Where the index knew the content, the store was asked already.
            if digest != self.digests[row] and self.rows.held([digest], self.stages):
                return digest, None
            return digest, image.prepared(self.extractor.backbone.preprocessing)
        except UnreadableImageError as error:
            return Skipped(str(path), str(error))

    def result(self, started: float) -> Features:
        rows = [row for row, digest in enumerate(self.digests) if digest is not None]
        digests = tuple(digest for digest in self.digests if digest is not None)
        return Features(
            values=self.rows.gather(digests, self.stages),
            rows=np.array(rows, dtype=np.int64),
            digests=digests,
            skipped=tuple(self.skipped),
            plan=self.extractor.effective_plan,
            cached=sum(digest not in self.fresh for digest in digests),
            computed=len(self.fresh),
            seconds=time.perf_counter() - started,
        )


def _status(path: Path) -> os.stat_result | None:
    """What a file looked like before it was read; why there is none, the reading will tell."""
    try:
        return path.stat()
    except (OSError, ValueError):
        return None
