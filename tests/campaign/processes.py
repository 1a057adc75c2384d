"""Campaigns with killed and concurrent processes, full disks and several users."""

from typing import Final

from tests.campaign.campaign import Campaign
from tests.campaign.concurrency import CONCURRENCY
from tests.campaign.full_disks import FULL_DISKS
from tests.campaign.kills import KILLS
from tests.campaign.two_users import TWO_USERS

PROCESS: Final[tuple[Campaign, ...]] = (*KILLS, *FULL_DISKS, *CONCURRENCY, *TWO_USERS)
