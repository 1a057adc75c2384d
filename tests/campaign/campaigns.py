"""All campaigns, in the order of the report."""

from typing import Final

from tests.campaign.archives import HOSTILE_ARCHIVES
from tests.campaign.campaign import Campaign
from tests.campaign.concurrency import CONCURRENCY
from tests.campaign.folders import BROKEN_FILES
from tests.campaign.full_disks import FULL_DISKS
from tests.campaign.kills import KILLS
from tests.campaign.models import MUTATED_MODELS
from tests.campaign.pictures import MUTATED_PICTURES
from tests.campaign.tables import HOSTILE_TABLES
from tests.campaign.two_users import TWO_USERS
from tests.campaign.weights import DAMAGED_WEIGHTS

CAMPAIGNS: Final[tuple[Campaign, ...]] = (
    *KILLS,
    *FULL_DISKS,
    *CONCURRENCY,
    *TWO_USERS,
    BROKEN_FILES,
    MUTATED_PICTURES,
    MUTATED_MODELS,
    DAMAGED_WEIGHTS,
    HOSTILE_ARCHIVES,
    HOSTILE_TABLES,
)
