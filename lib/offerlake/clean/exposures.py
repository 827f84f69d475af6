"""What was shown to whom."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.clean.accounts import refuse_test_accounts
from offerlake.clean.identities import attributed
from offerlake.clean.parse import Parser
from offerlake.clean.quarantine import Cleaned, expect, first_wins, refuse_unknown, settle, typed
from offerlake.clean.rules import Rules
from offerlake.schemas import table

FEED, JOB = "exposures", "clean_exposures"
_MAX_SLOT = 10_000


def clean_exposures(
    raw: DataFrame,
    *,
    offers: DataFrame,
    users: DataFrame,
    rules: Rules,
    identities: DataFrame | None = None,
    large: bool = False,
) -> Cleaned:
    """Cleans the exposures. One of an offer that nobody knows is refused: nothing can be learnt from it.

    Args:
        raw: `raw_exposures`.
        offers: Silver `offers`: which ids are known.
        users: Silver `users`, likewise.
        identities: Silver `identities`; None: the source has none.
        rules: By what records are judged.
        large: Whether `raw` is, see `first_wins`.
    """

    def judged(some: DataFrame) -> DataFrame:
        typed = attributed(expect(parsed(some, rules.parse), rules.expected), identities, F.col("user_id"))
        return refuse_test_accounts(typed, rules)

    kept = first_wins(raw, judged, [rules.parse.text("exposure_id")], large=large)
    kept = refuse_unknown(kept, "offer_id", offers, quote=rules.quote)
    if rules.settings.unknown_users == "quarantine":
        kept = refuse_unknown(kept, "user_id", users, quote=rules.quote)
    return settle(table("exposures"), FEED, JOB, kept, happened="shown_at")


def parsed(raw: DataFrame, parse: Parser) -> DataFrame:
    """Types the raw records."""
    shown = parse.instant("shown_at", required=True)
    propensity = parse.double("propensity", low=0, high=1)
    cells = (
        parse.text("exposure_id", required=True),
        parse.text("assignment_id"),
        parse.text("user_id", required=True),
        parse.text("offer_id"),
        shown,
        parse.arrival(shown),
        parse.text("channel"),
        parse.integer("position", low=1, high=_MAX_SLOT),
        propensity.refuse("range", propensity.value <= 0, parse.shown("propensity")),
        parse.text("policy", required=True),
        parse.text("run_id"),
    )
    return typed(raw, FEED, cells)
