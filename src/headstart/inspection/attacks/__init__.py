"""Adversarial pictures: small changes that make a network say something else.

Every attack maximizes `AttackGoal.gain` inside a `Threat`; they differ in how they
step. They take a callable from pixels in [0, 1] to logits and know nothing of files or classes.
"""

from headstart.inspection.attacks.apgd import APGD
from headstart.inspection.attacks.fgsm import FGSM
from headstart.inspection.attacks.goal import AttackGoal
from headstart.inspection.attacks.minimum_norm import MinimumNorm
from headstart.inspection.attacks.pgd import PGD
from headstart.inspection.attacks.search import Attack, AttackResult
from headstart.inspection.attacks.threat import Threat
from headstart.types import Norm

__all__ = [
    "APGD",
    "FGSM",
    "PGD",
    "Attack",
    "AttackGoal",
    "AttackResult",
    "MinimumNorm",
    "Norm",
    "Threat",
]
