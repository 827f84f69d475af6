"""What the jobs that clean a feed have in common: by what they judge, and how they keep what they decided."""

from __future__ import annotations

from pyspark.sql import DataFrame

from offerlake.clean.quarantine import Cleaned
from offerlake.clean.rules import Rules
from offerlake.config import Settings
from offerlake.ingest.mapping import load_source
from offerlake.job import Context
from offerlake.quality.rows import refusals


def rules_of(ctx: Context, feed: str, *, table: str | None = None) -> Rules:
    """By what a feed's records are judged.

    Args:
        ctx: The job's.
        feed: The feed.
        table: Its silver table, where that has another name.

    Raises:
        ConfigError: The mapping or the expectations are wrong.
    """
    settings = ctx.settings
    quote = settings.ingest.max_value_chars
    expected = refusals(settings.quality, table or feed, quote=quote)
    return Rules(settings.clean, load_source(settings.run.source).feed(feed), quote, expected)


def has_identities(settings: Settings) -> bool:
    """Whether the source has the feed `identities`."""
    return "identities" not in load_source(settings.run.source).none


def identities(ctx: Context) -> DataFrame | None:
    """The table `identities`; None where the source has no such feed."""
    return ctx.read("identities") if has_identities(ctx.settings) else None


def keep(ctx: Context, cleaned: Cleaned) -> None:
    """Decides on every record once, writes quarantine before the table, and notes the counts.

    Raises:
        DataError: A column cannot be read in any record.
    """
    with cleaned.held() as counts:
        quarantined = ctx.write("quarantine", cleaned.quarantined, where={"job": cleaned.job})
        rows = ctx.write(cleaned.contract.name, cleaned.good)
        ctx.count(rows_in=counts["rows_in"], rows_out=rows, duplicates=counts["duplicates"], quarantined=quarantined)
        for name, number in counts.items():
            ctx.metric(f"clean.{cleaned.feed}.{name}", number)
