"""Adversarial attacks: small changes of an image that change its predicted class.

Every attack maximizes `AttackGoal.objective` within a `Threat`; attacks differ in how they step.
They take a callable from pixels in [0, 1] to logits, and depend on neither files nor class names.
"""

from headstart.inspection.attacks.apgd import APGD
from headstart.inspection.attacks.attack import Attack, AttackGoal, AttackResult, AttackState
from headstart.inspection.attacks.minimum_norm import MinimumNorm
from headstart.inspection.attacks.pgd import FGSM, PGD
from headstart.inspection.attacks.threat import Threat
from headstart.types import Norm

ATTACKS: dict[str, type[Attack]] = {
    "apgd": APGD,
    "pgd": PGD,
    "fgsm": FGSM,
    "minimum-norm": MinimumNorm,
}
"""Attacks by name. To add one: `ATTACKS["mine"] = Mine`; its fields are its options."""

__all__ = [
    "APGD",
    "ATTACKS",
    "FGSM",
    "PGD",
    "Attack",
    "AttackGoal",
    "AttackResult",
    "AttackState",
    "MinimumNorm",
    "Norm",
    "Threat",
]
