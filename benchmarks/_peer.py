"""What the peers of clean_featurize.py share: their options, and how they say what became of the records."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from offerlake.config import Settings, load_settings

THREADS = 2
# As in offerlake.schemas.silver, which loads Spark.
EVENT_TYPES = (
    "view", "search", "add_to_cart", "remove_from_cart", "checkout", "purchase", "offer_view", "offer_click",
    "content_view",
)  # fmt: skip
OFFER_KINDS = (
    "percent_off", "amount_off", "free_shipping", "gift", "points", "content", "bundle", "buy_x_get_y", "coupon_book",
)  # fmt: skip
SCOPES = ("all", "category", "brand", "products")
DAY_PARTS = ("night", "morning", "afternoon", "evening")
"""Six hours each, from midnight on."""
CLICKS = {
    "views": "view", "carts": "add_to_cart", "cart_removals": "remove_from_cart", "searches": "search",
    "offer_views": "offer_view", "offer_clicks": "offer_click", "content_views": "content_view",
}  # fmt: skip
"""Sums of clicks to the kind of event that they count."""
YEAR = 364
"""The usual window, in days."""
WINDOWS = {
    "sessions": (7, 28, 84, YEAR), "views": (28, 84, YEAR), "carts": (28, 84, YEAR), "cart_removals": (84,),
    "searches": (84, YEAR), "offer_views": (84, YEAR), "offer_clicks": (84, YEAR), "content_views": (84,),
    "orders": (28, 84, 336, YEAR), "money": (28, 84, 336, YEAR), "exposures": (28, 84, YEAR), "used": (84, YEAR),
}  # fmt: skip
"""Sums to their windows in days, where these are others than YEAR alone."""
COUNTS = {
    "orders": (28, 84, YEAR), "units": (YEAR,), "coupon_lines": (YEAR,), "sessions": (7, 28, 84, YEAR),
    "views": (28, 84, YEAR), "carts": (28, 84, YEAR), "cart_removals": (84,), "searches": (84,), "offer_views": (84,),
    "offer_clicks": (84,), "content_views": (84,), "exposures": (28, 84, YEAR), "redemptions": (YEAR,),
    "ignored": (84,),
}  # fmt: skip
"""Sums to the windows over which they are features as they are."""
EVENT_WORDS = {"pageview": "view", "offer_impression": "offer_view"}
"""The shop's words for two kinds of events, as in conf/sources/shop.yaml."""


@dataclass(frozen=True)
class Task:
    """What a peer has to do.

    Attributes:
        bronze: Folder of the raw tables.
        out: Folder for what it makes.
        as_of: The day of the features.
        settings: Ours.
    """

    bronze: Path
    out: Path
    as_of: date
    settings: Settings

    @property
    def midnight(self) -> datetime:
        """What had happened and arrived before it counts."""
        return datetime.combine(self.as_of, time(), UTC)

    @property
    def app_channels(self) -> list[str]:
        """The channels that are the shop's app, in small letters."""
        return [name.lower() for name in self.settings.features.app_channels]

    @property
    def agents(self) -> str:
        """The pattern of known programs, for engines that cannot look back: not after "cu" is after anything else."""
        return self.settings.clean.bot_agents.replace("(?<!cu)", "(^.?|[^c].|.[^u])")

    def raw(self, feed: str) -> str:
        """The files of a raw table, in a folder for each day of loading."""
        return f"{self.bronze}/raw_{feed}/*/*.parquet"

    def write_counts(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Writes what became of each feed's records, see `_outcome.Outcome`."""
        (self.out / "counts.json").write_text(json.dumps(counts), encoding="utf-8")


def parse_task() -> Task:
    """The command line of a peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bronze", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--as-of", type=date.fromisoformat, required=True)
    options = parser.parse_args()
    return Task(options.bronze, options.out, options.as_of, load_settings(["local"]))
