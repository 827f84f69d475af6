"""The click log: typed, each event once, in sessions, without bots."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.clean.accounts import refuse_test_accounts
from offerlake.clean.bots import known_agent, suspicion
from offerlake.clean.identities import attributed
from offerlake.clean.parse import Parser
from offerlake.clean.quarantine import (
    FLAGS,
    Cleaned,
    apart,
    expect,
    first_wins,
    mark_known,
    mark_products,
    refuse,
    refuse_unknown,
    settle,
    typed,
)
from offerlake.clean.rules import Rules
from offerlake.clean.sessions import with_sessions
from offerlake.schemas import table
from offerlake.schemas.silver import EVENT_TYPES

FEED, JOB = "clicks", "clean_clicks"


def clean_clicks(
    raw: DataFrame,
    *,
    products: DataFrame,
    users: DataFrame,
    rules: Rules,
    identities: DataFrame | None = None,
    large: bool = False,
    parts: int = 1,
) -> Cleaned:
    """Cleans the click log.

    Events are made unique first, then cut into sessions, each visitor's by a pause; then a bot's sessions are refused
    whole. Two shuffles: by event, and by visitor.

    Args:
        raw: `raw_clicks`.
        products: Silver `products`: which ids are known.
        users: Silver `users`, likewise.
        identities: Silver `identities`; None: the source has none.
        rules: By what records are judged.
        large: Whether `raw` is, see `first_wins`.
        parts: See `with_sessions`.
    """

    def judged(some: DataFrame) -> DataFrame:
        typed = expect(parsed(some, rules.parse), rules.expected)
        return attributed(typed, identities, F.coalesce("user_id", "anonymous_id"))

    kept = first_wins(raw, judged, [rules.parse.text("event_id")], large=large)
    strict = rules.settings.unknown_products == "quarantine"
    kept = mark_products(kept, products, strict=strict, quote=rules.quote)
    if rules.settings.unknown_users == "quarantine":
        kept = refuse_unknown(kept, "user_id", users, quote=rules.quote)
    browser = F.coalesce(F.concat(F.lit("browser:"), "anonymous_id"), F.concat(F.lit("user:"), "user_id"))
    kept = with_sessions(
        kept,
        visitor=apart(browser),
        gap_minutes=rules.settings.session_gap_minutes,
        marks=known_agent(rules.settings),
        breaks=rules.settings.session_breaks,
        parts=parts,
    )
    kept = refuse_test_accounts(kept, rules)
    found = suspicion(rules.settings)
    kept = refuse(kept, found.score >= rules.settings.bot_score, *found.reasons)
    kept = mark_known(kept, "user_id", users, flag=FLAGS["unknown_users"])
    return settle(table("clicks"), FEED, JOB, kept, flags=FLAGS, happened="event_time")


def parsed(raw: DataFrame, parse: Parser) -> DataFrame:
    """Types the raw records."""
    happened = parse.instant("event_time", required=True)
    user, browser = parse.text("user_id"), parse.text("anonymous_id")
    rate = parse.exchange(happened.value)
    nobody = F.when(user.value.isNull() & browser.value.isNull(), F.lit("missing:user_id and anonymous_id"))
    cells = (
        parse.text("event_id", required=True),
        user,
        browser,
        happened,
        parse.arrival(happened),
        parse.choice("event_type", EVENT_TYPES),
        parse.text("product_id"),
        parse.text("offer_id"),
        parse.text("query"),
        parse.money("price", rate),
        parse.integer("quantity", low=0, high=parse.settings.max_quantity),
        parse.text("channel"),
        parse.text("device"),
        parse.text("referrer"),
    )
    return typed(raw, FEED, cells, [nobody, rate.problem])
