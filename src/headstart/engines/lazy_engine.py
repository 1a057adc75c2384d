"""An engine that is compiled when it is first needed."""

from __future__ import annotations

from collections.abc import Callable

from headstart.backbones.backbone import Backbone
from headstart.engines.choose import build_engine
from headstart.engines.engine import Engine, EnginePlan
from headstart.types import EngineName


class LazyEngine:
    """The engine of one backbone.

    Args:
        backbone: The network to compile.
        plan: The planned engine and precision.
        requested: The engine that the user requested; see `build_engine`.
        warn: Called with a message if an engine other than the planned one is used.

    Attributes:
        plan: The plan in effect: the planned one until `get` has to use another engine.
    """

    def __init__(
        self,
        backbone: Backbone,
        plan: EnginePlan,
        *,
        requested: EngineName,
        warn: Callable[[str], None],
    ) -> None:
        self.plan = plan
        self._backbone = backbone
        self._requested = requested
        self._warn = warn
        self._engine: Engine | None = None

    def get(self) -> Engine:
        """Return the compiled network; the first call compiles it."""
        if self._engine is None:
            self._engine = build_engine(self._backbone, self.plan, requested=self._requested)
            actual = self._engine.plan
            if actual.engine is not self.plan.engine:
                self._warn(
                    f"{self.plan.engine} cannot run {self._backbone.name} here; "
                    f"{actual.engine} runs it instead"
                )
            self.plan = actual
        return self._engine

    def release(self) -> None:
        """Free the compiled network and its memory; `get` compiles it again."""
        self._engine = None
