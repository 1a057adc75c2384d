"""The registry of head families; add your own with `FAMILIES["name"] = MyFamily()`."""

from headstart.errors import UserError
from headstart.heads.centroid import CentroidFamily
from headstart.heads.discriminant import DiscriminantFamily
from headstart.heads.head import HeadFamily
from headstart.heads.knn import KnnFamily
from headstart.heads.logistic import LogisticFamily

FAMILIES: dict[str, HeadFamily] = {
    "logistic": LogisticFamily(),
    "centroid": CentroidFamily(),
    "knn": KnnFamily(),
    "discriminant": DiscriminantFamily(),
}


def head_family(name: str) -> HeadFamily:
    """Look up a family by its name.

    Raises:
        UserError: no family has this name.
    """
    if name not in FAMILIES:
        raise UserError(f"there is no head {name!r}; choose one of {', '.join(FAMILIES)}")
    return FAMILIES[name]
