"""Campaigns with killed and concurrent processes, full disks and several users."""

from typing import Final

from tests.campaign.campaign import Campaign

PROCESS: Final[tuple[Campaign, ...]] = ()
