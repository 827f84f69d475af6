"""The offers of the test shop and what one use of each costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import DataFrame, SparkSession

KINDS = ("percent_off", "amount_off", "free_shipping", "gift", "points", "content")
TYPICAL_ORDER = 60.0
"""Money; turns an amount into a share of the price in the effect's formula."""
SCALE = 0.12
"""The depth at which 1 − 1/e of the lift is reached."""
NONE = "none"


@dataclass(frozen=True)
class Offer:
    """One offer.

    Attributes:
        offer_id: Its id.
        kind: One of KINDS.
        depth: percent_off: share of the price; others: money; None for content.
        scope: Index of the category it is for; None: all.
        min_spend: Order value from which it can be used, in whole money.
        fixed_cost: Of one use, in money: goods, postage, points.
        channels: It may go out on; empty: any.
    """

    offer_id: str
    kind: str
    depth: float | None
    scope: int | None = None
    min_spend: int = 0
    fixed_cost: float = 0.0
    channels: tuple[str, ...] = ()

    @property
    def strength(self) -> float:
        """1 − exp(−depth equivalent / 0.12): a share for percent_off, money over the typical order for the others."""
        if self.kind == "percent_off":
            equivalent = self.depth or 0.0
        elif self.kind == "content":
            equivalent = 0.05
        else:
            equivalent = (self.depth or 0.0) / TYPICAL_ORDER
        return 1.0 - math.exp(-equivalent / SCALE)

    def channel(self, contact_cost: Mapping[str, float]) -> str:
        """The cheapest channel it may go out on, ties by name."""
        return min(self.channels or tuple(contact_cost), key=lambda name: (contact_cost.get(name, 0.0), name))


OFFERS = (
    Offer("PCT05", "percent_off", 0.05),
    Offer("PCT10", "percent_off", 0.10),
    Offer("PCT20", "percent_off", 0.20),
    Offer("PCT30", "percent_off", 0.30, channels=("email",)),
    Offer("SPORTS15", "percent_off", 0.15, scope=3, channels=("email", "app")),
    Offer("ELECTRO25", "percent_off", 0.25, scope=4, channels=("email",)),
    Offer("AMT05", "amount_off", 5.0, min_spend=30, channels=("email", "app")),
    Offer("AMT12", "amount_off", 12.0, min_spend=60, channels=("email",)),
    Offer("SHIP", "free_shipping", 4.9, fixed_cost=4.9),
    Offer("GIFT", "gift", 6.0, fixed_cost=4.0, channels=("email",)),
    Offer("POINTS", "points", 3.75, fixed_cost=2.5, channels=("app",)),
    Offer("CONTENT", "content", None, channels=("email", "app")),
)
"""The arms of the experiment, besides nothing."""

EXPIRED = Offer("SPRING25", "percent_off", 0.25, channels=("email",))
"""Its dates lie in the past; it is never sent."""

MIN_SPENDS = tuple(sorted({offer.min_spend for offer in OFFERS if offer.min_spend}))
"""The order values from which an offer counts, in whole money."""


def arms(spark: SparkSession, contact_cost: Mapping[str, float]) -> DataFrame:
    """The arms as a frame to join: 13 rows, nothing first.

    Returns:
        arm (int from 0: nothing), offer_id, kind_index, strength, scope_index (−1: all), percent, amount_cents,
        fixed_cents, spend_index (place in MIN_SPENDS, −1: none), min_cents, channel, contact_cost. Where nothing is
        sent kind_index is −1 and channel null.
    """
    rows: list[tuple[object, ...]] = [(0, NONE, -1, 0.0, -1, 0.0, 0, 0, -1, 0, None, 0.0)]
    for number, offer in enumerate(OFFERS, start=1):
        channel = offer.channel(contact_cost)
        percent = (offer.depth or 0.0) if offer.kind == "percent_off" else 0.0
        amount = (offer.depth or 0.0) if offer.kind == "amount_off" else 0.0
        rows.append(
            (
                number,
                offer.offer_id,
                KINDS.index(offer.kind),
                offer.strength,
                -1 if offer.scope is None else offer.scope,
                percent,
                round(amount * 100),
                round(offer.fixed_cost * 100),
                MIN_SPENDS.index(offer.min_spend) if offer.min_spend else -1,
                offer.min_spend * 100,
                channel,
                contact_cost.get(channel, 0.0),
            )
        )
    return spark.createDataFrame(
        rows,
        "arm int, offer_id string, kind_index int, strength double, scope_index int, percent double,"
        " amount_cents bigint, fixed_cents bigint, spend_index int, min_cents bigint, channel string,"
        " contact_cost double",
    )


def offer_feed(spark: SparkSession, *, start: datetime, end: datetime, categories: tuple[str, ...]) -> DataFrame:
    """The feed `offers` in raw shape, the expired one among them; valid from `start` to a year after `end`."""
    day = timedelta(days=1)

    def row(offer: Offer, since: datetime, until: datetime) -> tuple[object, ...]:
        scoped = offer.scope is not None
        return (
            offer.offer_id,
            int((since - day).timestamp() * 1000),
            offer.kind,
            offer.depth,
            "category" if scoped else "all",
            [categories[offer.scope]] if offer.scope is not None else [],
            float(offer.min_spend) if offer.min_spend else None,
            offer.fixed_cost or None,
            list(offer.channels) or None,
            _iso(since),
            _iso(until),
            None,
        )

    rows = [row(offer, start, end + 365 * day) for offer in OFFERS]
    rows.append(row(EXPIRED, start - 120 * day, start - 30 * day))
    return spark.createDataFrame(
        rows,
        "offer_id string, created_ms bigint, kind string, depth double, scope string, scope_values array<string>,"
        " min_spend double, cost_per_redemption double, channels array<string>, valid_from string, valid_to string,"
        " max_redemptions int",
    )


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
