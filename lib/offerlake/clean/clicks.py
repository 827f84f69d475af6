"""The click log: typed, each event once, in sessions, without bots."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.clean.accounts import refuse_test_accounts
from offerlake.clean.bots import known_agent, suspicion
from offerlake.clean.parse import Parser, Reading
from offerlake.clean.quarantine import (
    Cleaned,
    apart,
    expect,
    first_wins,
    mark_products,
    refuse,
    refuse_unknown,
    settle,
    typed,
)
from offerlake.clean.sessions import with_sessions
from offerlake.config import CleanSettings
from offerlake.schemas import table
from offerlake.schemas.silver import EVENT_TYPES

FEED, JOB = "clicks", "clean_clicks"


def clean_clicks(
    raw: DataFrame,
    *,
    products: DataFrame,
    users: DataFrame,
    settings: CleanSettings,
    reading: Reading,
    quote: int,
    expected: Sequence[Column] = (),
) -> Cleaned:
    """Cleans the click log.

    Events are made unique first, then cut into sessions, each visitor's by a pause; then a bot's sessions are refused
    whole. Two shuffles: by event, and by visitor.

    Args:
        raw: `raw_clicks`.
        products: Silver `products`: which ids are known.
        users: Silver `users`, likewise.
        settings: Of cleaning.
        reading: How the feed's values are written.
        quote: Characters of a refused value that its reason quotes.
        expected: Further reasons to refuse a typed record: a string, or null.
    """
    kept = expect(parsed(raw, settings, Parser(reading, quote)), expected)
    strict = settings.unknown_products == "quarantine"
    kept = mark_products(first_wins(kept, ["event_id"]), products, strict=strict, quote=quote)
    if settings.unknown_users == "quarantine":
        kept = refuse_unknown(kept, "user_id", users, quote=quote)
    browser = F.coalesce(F.concat(F.lit("browser:"), "anonymous_id"), F.concat(F.lit("user:"), "user_id"))
    kept = with_sessions(
        kept, visitor=apart(browser), gap_minutes=settings.session_gap_minutes, marks=known_agent(settings)
    )
    kept = refuse_test_accounts(kept, settings.test_users, quote=quote)
    found = suspicion(settings)
    kept = refuse(kept, found.score >= settings.bot_score, *found.reasons)
    kept = kept.withColumn("event_date", F.to_date("event_time"))
    return settle(table("clicks"), FEED, JOB, kept)


def parsed(raw: DataFrame, settings: CleanSettings, parse: Parser) -> DataFrame:
    """Types the raw records."""
    happened = parse.instant("event_time", required=True)
    user, browser = parse.text("user_id"), parse.text("anonymous_id")
    nobody = F.when(user.value.isNull() & browser.value.isNull(), F.lit("missing:user_id and anonymous_id"))
    cells = (
        parse.text("event_id", required=True),
        user,
        browser,
        happened,
        parse.arrival(happened, skew_minutes=settings.clock_skew_minutes),
        parse.choice("event_type", EVENT_TYPES),
        parse.text("product_id"),
        parse.text("offer_id"),
        parse.text("query"),
        parse.money("price", top=settings.max_money),
        parse.integer("quantity", low=0, high=settings.max_quantity),
        parse.text("channel"),
        parse.text("device"),
        parse.text("referrer"),
    )
    return typed(raw, FEED, cells, [nobody])
