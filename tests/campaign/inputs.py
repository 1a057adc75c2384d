"""Campaigns with damaged and hostile input."""

from typing import Final

from tests.campaign.archives import HOSTILE_ARCHIVES
from tests.campaign.campaign import Campaign
from tests.campaign.folders import BROKEN_FILES
from tests.campaign.models import MUTATED_MODELS
from tests.campaign.pictures import MUTATED_PICTURES
from tests.campaign.tables import HOSTILE_TABLES
from tests.campaign.weights import DAMAGED_WEIGHTS

INPUTS: Final[tuple[Campaign, ...]] = (
    BROKEN_FILES,
    MUTATED_PICTURES,
    MUTATED_MODELS,
    DAMAGED_WEIGHTS,
    HOSTILE_ARCHIVES,
    HOSTILE_TABLES,
)
