"""Offers that may be used only so often: `max_redemptions`, in expectation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.decide.allocate import cut, micro, tie
from offerlake.decide.hull import MICRO
from offerlake.windows import known_before, midnight

_MOST_WORTH = 1e12


@dataclass(frozen=True)
class Limit:
    """What a pair must be worth to keep its offer.

    Attributes:
        offer_id: The offer.
        price: λ at which worth was measured.
        key: Worth per use, in millionths of money, has to be larger than this …
        tie: … or equal, and the user's tie at least this.
    """

    offer_id: str
    price: float
    key: int
    tie: int


def remaining(offers: DataFrame, redemptions: DataFrame, *, as_of: date) -> dict[str, int]:
    """Uses that are left of each offer with a limit, 0 at least; offers that are out and not used yet do not count.

    Args:
        offers: offer_id, max_redemptions (null: no limit); one row an offer.
        redemptions: The table `redemptions`; those that had happened and arrived before `as_of` count.
        as_of: The UTC day.
    """
    limited = offers.where(F.col("max_redemptions").isNotNull()).select("offer_id", "max_redemptions").collect()
    if not limited:
        return {}
    known = known_before(F.lit(midnight(as_of)), happened=F.col("redeemed_at"), arrived=F.col("arrived_at"))
    used = {row["offer_id"]: row["count"] for row in redemptions.where(known).groupBy("offer_id").count().collect()}
    return {row["offer_id"]: max(0, row["max_redemptions"] - used.get(row["offer_id"], 0)) for row in limited}


def rooms(left: Mapping[str, int], explored: DataFrame) -> dict[str, float]:
    """Uses that are left for the model: `left` without what explorers are expected to use.

    Args:
        left: What `remaining` gives.
        explored: offer_id, p_redeem of what explorers get.
    """
    if not left:
        return {}
    rows = explored.groupBy("offer_id").agg(F.sum(micro(F.col("p_redeem"))).alias("used")).collect()
    used = {row["offer_id"]: row["used"] / MICRO for row in rows}
    return {offer: max(0.0, uses - used.get(offer, 0.0)) for offer, uses in left.items()}


def tighten(chosen: DataFrame, room: Mapping[str, float], *, price: float) -> list[Limit]:
    """Limits for the offers that would be used more often than there is room.

    They are kept for those to whom they are worth most per use: (value − λ · cost) / p_redeem.

    Args:
        chosen: What the model gives: user_id, offer_id, value, cost, p_redeem.
        room: Offer to the expected uses that are left.
        price: λ of that assignment.
    """
    uses = chosen.groupBy("offer_id").agg(F.sum(micro(F.col("p_redeem"))).alias("uses")).collect()
    over = sorted(row["offer_id"] for row in uses if row["uses"] > room.get(row["offer_id"], float("inf")) * MICRO)
    found = []
    for offer in over:
        ranked = chosen.where(F.col("offer_id") == offer).select(
            _worth(price).alias("key"),
            tie().alias("tie"),
            F.lit(0.0).alias("ratio"),
            micro(F.col("p_redeem")).alias("spend"),
        )
        edge = cut(ranked, room[offer])
        found.append(Limit(offer, price, edge.key, edge.tie))
    return found


def within(limits: Sequence[Limit]) -> Column:
    """True where a pair (user_id, offer_id, value, cost, p_redeem) keeps its offer."""
    keeps = F.lit(True)
    for limit in limits:
        worth = _worth(limit.price)
        enough = (worth > limit.key) | ((worth == limit.key) & (tie() >= limit.tie))
        keeps = keeps & ((F.col("offer_id") != limit.offer_id) | enough)
    return keeps


def _worth(price: float) -> Column:
    surplus = F.greatest(F.col("value") - F.lit(price) * F.col("cost"), F.lit(0.0))
    per_use = F.coalesce(F.try_divide(surplus, F.col("p_redeem")), F.lit(_MOST_WORTH))
    return F.floor(F.least(per_use, F.lit(_MOST_WORTH)) * MICRO).cast("bigint")
