"""Campaigns with killed and concurrent processes, full disks and several users."""

from typing import Final

from tests.campaign.campaign import Campaign
from tests.campaign.concurrency import CONCURRENCY
from tests.campaign.kills import KILLS

PROCESS: Final[tuple[Campaign, ...]] = (*KILLS, *CONCURRENCY)
