"""What was shown to whom."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.clean.accounts import refuse_test_accounts
from offerlake.clean.parse import Parser, Reading
from offerlake.clean.quarantine import Cleaned, expect, first_wins, refuse_unknown, settle, typed
from offerlake.config import CleanSettings
from offerlake.schemas import table

FEED, JOB = "exposures", "clean_exposures"
_MAX_SLOT = 10_000


def clean_exposures(
    raw: DataFrame,
    *,
    offers: DataFrame,
    users: DataFrame,
    settings: CleanSettings,
    reading: Reading,
    quote: int,
    expected: Sequence[Column] = (),
) -> Cleaned:
    """Cleans the exposures. One of an offer that nobody knows is refused: nothing can be learnt from it.

    Args:
        raw: `raw_exposures`.
        offers: Silver `offers`: which ids are known.
        users: Silver `users`, likewise.
        settings: Of cleaning.
        reading: How the feed's values are written.
        quote: Characters of a refused value that its reason quotes.
        expected: Further reasons to refuse a typed record: a string, or null.
    """
    kept = expect(parsed(raw, settings, Parser(reading, quote)), expected)
    kept = refuse_test_accounts(kept, settings.test_users, quote=quote)
    kept = refuse_unknown(first_wins(kept, ["exposure_id"]), "offer_id", offers, quote=quote)
    if settings.unknown_users == "quarantine":
        kept = refuse_unknown(kept, "user_id", users, quote=quote)
    return settle(table("exposures"), FEED, JOB, kept.withColumn("shown_date", F.to_date("shown_at")))


def parsed(raw: DataFrame, settings: CleanSettings, parse: Parser) -> DataFrame:
    """Types the raw records."""
    shown = parse.instant("shown_at", required=True)
    propensity = parse.double("propensity", low=0, high=1)
    cells = (
        parse.text("exposure_id", required=True),
        parse.text("assignment_id"),
        parse.text("user_id", required=True),
        parse.text("offer_id"),
        shown,
        parse.arrival(shown, skew_minutes=settings.clock_skew_minutes),
        parse.text("channel"),
        parse.integer("position", low=1, high=_MAX_SLOT),
        propensity.refuse("range", propensity.value <= 0, parse.shown("propensity")),
        parse.text("policy", required=True),
        parse.text("run_id"),
    )
    return typed(raw, FEED, cells)
