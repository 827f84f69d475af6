"""The test shop: raw feeds of a shop whose every user's answer to every offer is known."""

from __future__ import annotations

from offerlake.simulate.shop import Summary, check_shop, simulate_shop

__all__ = ["Summary", "check_shop", "simulate_shop"]
