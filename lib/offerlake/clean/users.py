"""The customers: versions of users."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.clean.accounts import refuse_test_accounts
from offerlake.clean.parse import Cell, Parser
from offerlake.clean.quarantine import Cleaned, expect, settle, typed, versions
from offerlake.clean.rules import Rules
from offerlake.schemas import table

FEED, JOB = "users", "clean_users"


def clean_users(raw: DataFrame, *, rules: Rules) -> Cleaned:
    """Cleans the users: every version that says something new; columns that the mapping does not name are attributes.

    A consent that is not known stays so: what that counts as is the decision's to say.

    Args:
        raw: `raw_users`.
        rules: By what records are judged.
    """
    kept = expect(parsed(raw, rules.parse), rules.expected)
    kept = refuse_test_accounts(kept, rules)
    return settle(table("users"), FEED, JOB, versions(kept, "user_id"))


def parsed(raw: DataFrame, parse: Parser) -> DataFrame:
    """Types the raw records."""
    cells = (
        parse.text("user_id", required=True),
        parse.known_since(),
        parse.instant("signup_time"),
        parse.text("gender"),
        parse.text("age_band"),
        parse.text("region"),
        parse.boolean("consent_marketing"),
        parse.boolean("consent_profiling"),
        Cell.of("attributes", F.col("extra")),
    )
    return typed(raw, FEED, cells)
