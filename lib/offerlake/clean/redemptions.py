"""Which offers were used."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.clean.accounts import refuse_test_accounts
from offerlake.clean.identities import attributed
from offerlake.clean.parse import Parser
from offerlake.clean.quarantine import Cleaned, expect, first_wins, refuse_unknown, settle, typed
from offerlake.clean.rules import Rules
from offerlake.schemas import table

FEED, JOB = "redemptions", "clean_redemptions"


def clean_redemptions(
    raw: DataFrame,
    *,
    offers: DataFrame,
    users: DataFrame,
    rules: Rules,
    identities: DataFrame | None = None,
    large: bool = False,
) -> Cleaned:
    """Cleans the redemptions. One of an offer that nobody knows is refused.

    Args:
        raw: `raw_redemptions`.
        offers: Silver `offers`: which ids are known.
        users: Silver `users`, likewise.
        identities: Silver `identities`; None: the source has none.
        rules: By what records are judged.
        large: Whether `raw` is, see `first_wins`.
    """

    def judged(some: DataFrame) -> DataFrame:
        typed = attributed(expect(parsed(some, rules.parse), rules.expected), identities, F.col("user_id"))
        return refuse_test_accounts(typed, rules)

    kept = first_wins(raw, judged, [rules.parse.text("redemption_id")], large=large)
    kept = refuse_unknown(kept, "offer_id", offers, quote=rules.quote)
    if rules.settings.unknown_users == "quarantine":
        kept = refuse_unknown(kept, "user_id", users, quote=rules.quote)
    return settle(table("redemptions"), FEED, JOB, kept, happened="redeemed_at")


def parsed(raw: DataFrame, parse: Parser) -> DataFrame:
    """Types the raw records."""
    used = parse.instant("redeemed_at", required=True)
    rate = parse.exchange(used.value)
    cells = (
        parse.text("redemption_id", required=True),
        parse.text("user_id", required=True),
        parse.text("offer_id", required=True),
        parse.text("coupon_id"),
        used,
        parse.arrival(used),
        parse.text("order_id"),
        parse.money("value", rate),
    )
    return typed(raw, FEED, cells, [rate.problem])
