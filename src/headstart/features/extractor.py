"""Compute features of image files, running each image through the network once.

Features that the store lacks are computed and stored every few seconds, so that an interrupted
extraction continues where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from headstart.backbones import load_backbone
from headstart.backbones.backbone import Backbone
from headstart.backbones.stages import LOGITS, check_stages
from headstart.engines import Engine, EnginePlan, LazyEngine, compile_together, make_plan
from headstart.errors import StoreError
from headstart.features.buffer import FeatureBuffer
from headstart.features.cost_index import cost_key
from headstart.features.extraction import ExtractionPass, Features
from headstart.features.note_index import NoteIndex
from headstart.features.path_index import PathIndex
from headstart.features.several_views import stages_by_view
from headstart.features.store import FeatureStore
from headstart.features.view_pass import ViewPass
from headstart.features.views import View, qualified
from headstart.features.weights_location import save_weights_location
from headstart.images.notes import ImageNote
from headstart.images.preprocessing import DECODE_FACTOR, Preprocessing
from headstart.images.presentation import CenterCrop, Presentation
from headstart.images.source import ImageContent, ImageSource
from headstart.system.cache_folder import cache_root, homeless_warning
from headstart.system.digests import bytes_digest
from headstart.types import Device, EngineName, Precision, ProgressCallback, no_progress

_DECODERS = ("pillow", "pillow-heif", "imagecodecs", "pydicom", "tifffile")
"""Packages that decode and resize images."""
_NETWORKS = ("keras", "timm", "torch", "torchvision")
"""Packages that define networks; the embedded ones are defined here."""
_HELD = 128 * 2**20
"""Bytes of images in memory that are extracted at once."""
_FORMAT = "5"
"""To be changed when features are computed differently, so that stored ones are ignored."""


@dataclass(frozen=True, slots=True)
class Extractor:
    """A backbone, an engine and a cache, to compute features of image files.

    Immutable, so that the compiled network always belongs to `backbone`. For another network make
    another extractor, with `with_backbone` or `dataclasses.replace`.

    Attributes:
        backbone: The frozen network.
        plan: The planned engine and precision; `effective_plan` says what is really used.
        cache: The cache folder; None stores nothing.
        requested_engine: The engine that the user requested; see `build_engine`.
        requested_device: The device that the user requested.
        warnings: Warnings for the user, such as that the disk is full. Extractors derived from this
            one add to the same list.
        view: The view that `backbone` has the preprocessing of; None for its own.
        others: By view, extractors of further views of the same images. Their stages are named as
            `headstart.features.views.qualified` does.
        batches: Sizes of batches; see `build_engine`.
    """

    backbone: Backbone
    plan: EnginePlan
    cache: Path | None
    requested_engine: EngineName = EngineName.AUTO
    requested_device: Device = Device.AUTO
    warnings: list[str] = field(default_factory=list, compare=False)
    view: View | None = None
    others: Mapping[View, Extractor] = field(default_factory=dict)
    batches: tuple[int, ...] = ()
    _noted: dict[ImageNote, set[str]] = field(default_factory=dict, repr=False, compare=False)
    # `init=False`: `replace` cannot hand the engine of one backbone on to another.
    _engine: LazyEngine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        engine = LazyEngine(
            self.backbone,
            self.plan,
            requested=self.requested_engine,
            warn=self.warnings.append,
            batches=self.batches,
        )
        object.__setattr__(self, "_engine", engine)

    def with_backbone(self, backbone: Backbone) -> Extractor:
        """Return an extractor for another network that uses the engine in effect here."""
        return replace(self, backbone=backbone, plan=self.effective_plan, view=None, others={})

    def with_views(self, backbones: Mapping[View, Backbone]) -> Extractor:
        """Return an extractor that also shows the images to other networks, or in other ways.

        Args:
            backbones: By view, the networks, with preprocessing of their own.
        """
        others = {
            view: self.with_backbone(backbone).as_view(view) for view, backbone in backbones.items()
        }
        return replace(self, others=others, plan=self.effective_plan)

    def with_batches(self, *sizes: int) -> Extractor:
        """Return an extractor that runs batches of these sizes; see `build_engine`."""
        others = {view: replace(one, batches=sizes) for view, one in self.others.items()}
        return replace(self, batches=sizes, others=others)

    def as_view(self, view: View) -> Extractor:
        """Return an extractor that shows images to this network in another way."""
        own = self.with_backbone(view.of(self.backbone))
        return replace(own, view=view)

    def only(self, views: Sequence[View | None]) -> Extractor:
        """Return an extractor for some of the views, the first of them first; each counts once."""
        first = self if views[0] is None else self.others[views[0]]
        further = [view for view in views if view and view != views[0]]
        found = replace(first, others={view: self.others[view] for view in further})
        object.__setattr__(found, "_engine", first._engine)  # of the same network
        return found

    def extract(
        self,
        sources: Sequence[ImageSource],
        *,
        stages: Sequence[str] | None = None,
        progress: ProgressCallback = no_progress,
    ) -> Features:
        """Compute the features of images, in their order, or find them in the store.

        Args:
            sources: Image files, or the contents of some, in any order; identical ones are run
                through the network once.
            stages: Names of the stages needed, and `LOGITS` for the network's own logits; by
                default all stages of all views without the logits.
            progress: Called with (done, total) images, where each view of an image counts.

        Raises:
            BackboneError: The backbone lacks one of the stages.
            StoreError: The stored features are deleted again and again.
        """
        started = time.perf_counter()
        every = self.by_view
        wanted = stages_by_view({view: one.backbone for view, one in every.items()}, stages)
        deleted = None
        # One more pass for each other engine, and one more if the cache is cleared.
        for _ in range(len(wanted) + 2):
            work = ExtractionPass(
                sources,
                {view: every[view]._view_pass(names) for view, names in wanted.items()},
                index=PathIndex(self.cache) if self.cache else None,
                notes=NoteIndex(self.cache),
                progress=progress,
            )
            # If another engine has to be used, its features may already be in the store.
            if work.run():
                try:
                    found = work.result(started)
                except StoreError as error:  # another process has cleared the cache
                    deleted = error
                else:
                    self._warn_of(found.notes)
                    return found
        raise deleted or StoreError(f"no engine can run {self.backbone.name}")

    def extract_stream(
        self,
        sources: Iterable[ImageSource],
        *,
        stages: Sequence[str] | None = None,
        progress: ProgressCallback = no_progress,
    ) -> Features:
        """Compute the features of images of which not all are in memory at once; see `extract`.

        Args:
            sources: As for `extract`; they are consumed as memory permits.
            stages: As for `extract`.
            progress: As for `extract`; the total grows with each part.
        """
        parts: list[Features] = []
        counts: list[int] = []

        def advance(done: int, total: int) -> None:
            progress(sum(counts) + done, sum(counts) + total)

        for part in _parts(sources):
            parts.append(self.extract(part, stages=stages, progress=advance))
            counts.append(len(part))
        return Features.joined(parts, counts)

    def _view_pass(self, stages: Sequence[str]) -> ViewPass:
        """Return what a pass needs of this view."""
        check_stages(self.backbone.name, self._own_widths(), stages)
        return ViewPass(
            stages,
            engine=self._engine,
            presentation=self.presentation,
            buffer=FeatureBuffer(self.store(), self._own_widths(), self.warnings),
        )

    @property
    def presentation(self) -> Presentation:
        """How images are shown to the network."""
        if self.view is None:
            return CenterCrop(self.backbone.preprocessing)
        return self.view.presentation(self.backbone)

    def _warn_of(self, notes: Mapping[ImageNote, frozenset[str]]) -> None:
        """Keep one warning for each kind of note, about all images that were extracted so far."""
        for note, digests in notes.items():
            noted = self._noted.setdefault(note, set())
            with suppress(ValueError):
                self.warnings.remove(note.sentence(len(noted)))
            noted |= digests
            self.warnings.append(note.sentence(len(noted)))

    @property
    def by_view(self) -> dict[View | None, Extractor]:
        """The extractor of each view; None is the first view, which is this one's own."""
        return {None: self} | dict(self.others)

    @property
    def name(self) -> str:
        """The name of the view, or of the backbone."""
        return str(self.view) if self.view else self.backbone.name

    @property
    def cost_key(self) -> str:
        """The name of this view's cost in a `CostIndex`."""
        plan = self.effective_plan
        digest = self.backbone.weights.digest
        return cost_key(self.name, digest, plan.engine, plan.precision, plan.device)

    @property
    def effective_plan(self) -> EnginePlan:
        """`plan`, or what is used instead since the planned engine failed to run the network."""
        return self._engine.plan

    def engine(self) -> Engine:
        """Return the compiled network; the first call compiles it."""
        return self._engine.get()

    def compile(self) -> None:
        """Compile the networks of all views now, side by side, rather than when first needed."""
        compile_together(one._engine for one in self.by_view.values())
        for one in self.by_view.values():
            one.engine()

    def release(self) -> None:
        """Free the compiled networks and their memory; they are compiled again when needed."""
        self._engine.release()
        for other in self.others.values():
            other.release()

    def widths(self) -> dict[str, int]:
        """Return the number of features of each stage of all views, and of the logits if any."""
        found = self._own_widths()
        for view, other in self.others.items():
            own = other._own_widths()
            found |= {qualified(view, stage): width for stage, width in own.items()}
        return found

    def _own_widths(self) -> dict[str, int]:
        widths = {stage.name: stage.width for stage in self.backbone.outputs}
        return {**widths, LOGITS: len(self.backbone.labels)} if self.backbone.labels else widths

    def store(self) -> FeatureStore | None:
        """Return the store of this configuration's features; None without a cache."""
        if self.cache is None:
            return None
        shown = type(self.presentation).__name__
        key = configuration_key(self.backbone, self.effective_plan, presentation=shown)
        return FeatureStore(self.cache, key=key, widths=self._own_widths())


def build_extractor(
    backbone: str | Backbone,
    *,
    weights: Path | None = None,
    preprocessing: Preprocessing | None = None,
    engine: EngineName = EngineName.AUTO,
    precision: Precision = Precision.AUTO,
    device: Device = Device.AUTO,
    cache: Path | None = None,
    allow_download: bool = True,
    allow_code: bool = False,
) -> Extractor:
    """Load a backbone, unless it is given, and choose an engine for it.

    The backbone, weights, preprocessing and what is allowed are as in `load_backbone`, engine,
    precision and device as in `make_plan`. The cache folder is HEADSTART_CACHE or the platform's by
    default.

    Raises:
        BackboneError: There is no such backbone, its weights do not fit, or the machine lacks the
            precision.
        DownloadError: The weights cannot be downloaded, or may not be.
        MissingExtraError: The engine or the backbone needs a package that is not installed.
    """
    if isinstance(backbone, str):
        backbone = load_backbone(
            backbone,
            weights=weights,
            allow_download=allow_download,
            preprocessing=preprocessing,
            allow_code=allow_code,
        )
    if file := weights or (Path(backbone.address) if backbone.address != backbone.name else None):
        save_weights_location(cache_root(cache), backbone.weights.digest, file)
    return Extractor(
        backbone=backbone,
        plan=make_plan(engine, precision, device),
        cache=cache_root(cache),
        # A network that cannot run on the GPU that was asked for must not run on the CPU instead.
        requested_engine=engine if device in (Device.AUTO, Device.CPU) else EngineName.PYTORCH,
        requested_device=device,
        warnings=[warning] if cache is None and (warning := homeless_warning()) else [],
    )


def _parts(sources: Iterable[ImageSource]) -> Iterator[list[ImageSource]]:
    """Yield lists of images whose contents take little more than `_HELD` bytes.

    The last list, which may be empty, has the rest.
    """
    part: list[ImageSource] = []
    held = 0
    for source in sources:
        if held >= _HELD:
            yield part
            part, held = [], 0
        part.append(source)
        held += len(source.content) if isinstance(source, ImageContent) else 0
    yield part


def configuration_key(
    backbone: Backbone, plan: EnginePlan, *, presentation: str = CenterCrop.__name__
) -> str:
    """Return 32 hex digits over everything that may change a feature, apart from the image.

    Args:
        backbone: The network.
        plan: How it is run.
        presentation: Name of the class that makes the network's input.
    """
    description = {
        "format": _FORMAT,
        # The same tensors may be used in networks that differ in a part without any: an activation.
        "backbone": backbone.name,
        "weights": backbone.weights.digest,
        "preprocessing": asdict(backbone.preprocessing),
        "presentation": presentation,
        "decoded": DECODE_FACTOR,
        **({"structure": backbone.structure} if backbone.structure else {}),
        "stages": [asdict(stage) for stage in backbone.outputs],
        "engine": plan.identity(),
        "libraries": {
            name: _version(name)
            for name in (*_DECODERS, *(() if backbone.has_graph else _NETWORKS))
        },
    }
    return bytes_digest(json.dumps(description, sort_keys=True).encode())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
