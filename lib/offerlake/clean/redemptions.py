"""Which offers were used."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.clean.accounts import refuse_test_accounts
from offerlake.clean.parse import Parser, Reading
from offerlake.clean.quarantine import Cleaned, expect, first_wins, refuse_unknown, settle, typed
from offerlake.config import CleanSettings
from offerlake.schemas import table

FEED, JOB = "redemptions", "clean_redemptions"


def clean_redemptions(
    raw: DataFrame,
    *,
    offers: DataFrame,
    users: DataFrame,
    settings: CleanSettings,
    reading: Reading,
    quote: int,
    expected: Sequence[Column] = (),
) -> Cleaned:
    """Cleans the redemptions. One of an offer that nobody knows is refused.

    Args:
        raw: `raw_redemptions`.
        offers: Silver `offers`: which ids are known.
        users: Silver `users`, likewise.
        settings: Of cleaning.
        reading: How the feed's values are written.
        quote: Characters of a refused value that its reason quotes.
        expected: Further reasons to refuse a typed record: a string, or null.
    """
    kept = expect(parsed(raw, settings, Parser(reading, quote)), expected)
    kept = refuse_test_accounts(kept, settings.test_users, quote=quote)
    kept = refuse_unknown(first_wins(kept, ["redemption_id"]), "offer_id", offers, quote=quote)
    if settings.unknown_users == "quarantine":
        kept = refuse_unknown(kept, "user_id", users, quote=quote)
    kept = kept.withColumn("redeemed_date", F.to_date("redeemed_at"))
    return settle(table("redemptions"), FEED, JOB, kept)


def parsed(raw: DataFrame, settings: CleanSettings, parse: Parser) -> DataFrame:
    """Types the raw records."""
    used = parse.instant("redeemed_at", required=True)
    cells = (
        parse.text("redemption_id", required=True),
        parse.text("user_id", required=True),
        parse.text("offer_id", required=True),
        parse.text("coupon_id"),
        used,
        parse.arrival(used, skew_minutes=settings.clock_skew_minutes),
        parse.text("order_id"),
        parse.money("value", top=settings.max_money),
    )
    return typed(raw, FEED, cells)
