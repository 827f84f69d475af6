"""Which other ids users have, and whose events are whose by them."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.clean.parse import Parser
from offerlake.clean.quarantine import Cleaned, expect, settle, typed, versions
from offerlake.clean.rules import Rules
from offerlake.schemas import table

FEED, JOB = "identities", "clean_identities"


def clean_identities(raw: DataFrame, *, rules: Rules) -> Cleaned:
    """Cleans the identities: every version that names another user.

    Args:
        raw: `raw_identities`.
        rules: By what records are judged.
    """
    kept = expect(parsed(raw, rules.parse), rules.expected)
    return settle(table("identities"), FEED, JOB, versions(kept, "alias"))


def parsed(raw: DataFrame, parse: Parser) -> DataFrame:
    """Types the raw records."""
    return typed(
        raw, FEED, (parse.text("alias", required=True), parse.known_since(), parse.text("user_id", required=True))
    )


def attributed(events: DataFrame, identities: DataFrame | None, alias: Column) -> DataFrame:
    """Gives events to the users whose alias they name.

    The newest version that had arrived before the event did counts, else the first. `arrived_at` becomes the later of
    the event's and the version's: before that nobody knew that it was this user's. One join, by the alias.

    Args:
        events: user_id, arrived_at and whatever more.
        identities: The table `identities`; None: the source has none.
        alias: The id that an event names; what is no alias stays as it is.
    """
    if identities is None:
        return events
    told = F.array_sort(F.collect_list(F.struct("arrived_at", "user_id")))
    versions_of = identities.groupBy(F.col("alias").alias("_id")).agg(told.alias("_versions"))
    before = F.filter("_versions", lambda version: version["arrived_at"] <= F.col("arrived_at"))
    found = F.coalesce(F.try_element_at(before, F.lit(-1)), F.try_element_at("_versions", F.lit(1)))
    joined = events.join(versions_of, alias == F.col("_id"), how="left").withColumn("_found", found)
    return joined.withColumns(
        {
            "user_id": F.coalesce("_found.user_id", "user_id"),
            # greatest passes over nulls: without an alias, and where there is no arrival, it is the event's own
            "arrived_at": F.when(F.col("arrived_at").isNotNull(), F.greatest("arrived_at", "_found.arrived_at")),
        }
    ).drop("_id", "_versions", "_found")
