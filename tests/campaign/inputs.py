"""Campaigns with damaged and hostile input."""

from typing import Final

from tests.campaign.campaign import Campaign

INPUTS: Final[tuple[Campaign, ...]] = ()
