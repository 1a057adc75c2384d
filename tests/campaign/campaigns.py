"""All campaigns, in the order of the report."""

from typing import Final

from tests.campaign.campaign import Campaign
from tests.campaign.inputs import INPUTS
from tests.campaign.processes import PROCESS

CAMPAIGNS: Final[tuple[Campaign, ...]] = (*PROCESS, *INPUTS)
