"""The settings of training a head."""

from dataclasses import dataclass

import numpy as np

from headstart.errors import UserError
from headstart.heads.families import head_family


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """The settings of training a head.

    Attributes:
        head: Name of the head's family in `headstart.heads.families.FAMILIES`.
        stages: Names of the stages whose features the head uses; empty to select them by
            cross-validation. `LOGITS` stands for the network's own logits, as a last stage.
        balance: Weight all classes equally, regardless of their number of images.
        hold_out: Share of the images kept aside for testing, in [0, 1); 0 to cross-validate. A
            data set with a test or validation part of its own is tested on that part.
        seed: Random seed of the folds and of the held-out share.
    """

    head: str = "logistic"
    stages: tuple[str, ...] = ()
    balance: bool = False
    hold_out: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        head_family(self.head)  # raises an error for an unknown name before any work is done
        if isinstance(self.seed, bool) or not isinstance(self.seed, int | np.integer):
            raise UserError(f"seed is {self.seed!r}; give a whole number")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}; give 0 or more")
        if not isinstance(self.balance, bool | np.bool_):
            raise UserError(f"balance is {self.balance!r}; give True or False")
