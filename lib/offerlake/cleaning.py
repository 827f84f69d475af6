"""What the jobs that clean a feed have in common: by what they judge, on which records, and how they keep it.

A record's fate may depend on others that come later: of its key, session or product. So nothing is added to what was
decided once. The days to which new records belong, and `clean.look_back_days` before them, are decided anew from bronze
and replaced: made again, in whatever parts the records came, the tables are the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.clean.parse import with_typed
from offerlake.clean.quarantine import Cleaned, day_of
from offerlake.clean.rules import Rules
from offerlake.config import Settings
from offerlake.ingest.mapping import load_source
from offerlake.job import Context
from offerlake.ledger import code_version, files_hash
from offerlake.quality.rows import refusals
from offerlake.tables import Note, Since, Slice

_LARGE = 1_000_000
_A_PART = 500_000  # records that a task sorts in memory
_NONE_NEW = date(9999, 12, 31)
_OLDEST = date(1970, 1, 1)  # where something happened before it, all is decided anew


@dataclass(frozen=True)
class Part:
    """The records of a feed that a run decides on.

    Attributes:
        raw: They, and so many of the days before that each finds those of its key and session.
        since: The first day that is decided anew; None: all.
        note: What the table is told: up to which version of bronze, and by which rules, it was made.
    """

    raw: DataFrame
    since: date | None
    note: Note

    @cached_property
    def rows(self) -> int:
        """How many they are."""
        return self.raw.count()

    @property
    def large(self) -> bool:
        """Whether there are so many records that what a further plan takes is nothing beside a shuffle of them."""
        return self.rows >= _LARGE

    @property
    def parts(self) -> int:
        """Into how many parts they are shuffled, at least, where they are sorted whole."""
        return self.rows // _A_PART


def part_of(ctx: Context, feed: str, *, table: str, happened: str, rules: Rules) -> Part:
    """What is to be decided on of a feed of events.

    All, unless the setting `clean.look_back_days` is given and the table was made by the same rules.

    Args:
        ctx: The job's.
        feed: The feed.
        table: Its silver table.
        happened: Its column that says when.
        rules: By what its records are judged.
    """
    name = f"raw_{feed}"
    raw = ctx.read(name)
    version = ctx.inputs[name]
    settings = ctx.settings
    by = hashlib.sha256(f"{settings.clean.model_dump_json()}|{files_hash(settings)}|{code_version()}".encode())
    note: Note = {"raw": version, "rules": by.hexdigest()[:12]}
    days = settings.clean.look_back_days
    told = None if days is None else ctx.lake.note(table)
    if days is None or told is None or told.get("rules") != note["rules"]:
        return Part(raw, None, note)
    new = ctx.lake.added(name, after=int(told["raw"]), to=version)
    if new is None:
        return Part(raw, None, note)
    moment = rules.parse.instant(happened)
    earliest = F.min(day_of(moment.value))
    known = F.when(earliest.isNotNull(), F.greatest(earliest, F.lit(_OLDEST)))
    first = with_typed(new, [moment]).agg(known).collect()[0][0]
    if first == _OLDEST:
        return Part(raw, None, note)
    since = (first or _NONE_NEW) - timedelta(days=days)
    # What happened on a day was loaded on the day before it at the earliest.
    loaded = F.col("loaded_date") >= F.lit(since - timedelta(days=days + 1))
    return Part(raw.where(loaded), since, note)


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


def keep(ctx: Context, cleaned: Cleaned, part: Part | None = None) -> None:
    """Decides on every record once, writes quarantine before the table, and notes the counts.

    The ledger's are of what was decided in this run, and so are the metrics of reasons and unknown ids; the metrics
    rows_in, rows_out, duplicates and quarantined are of all records.

    Args:
        ctx: The job's.
        cleaned: The outcome.
        part: Which records were decided on; None: all.

    Raises:
        DataError: A column cannot be read in any record.
    """
    since = part.since if part else None
    decided = cleaned.since(since) if since else cleaned
    day = cleaned.contract.partition
    with decided.held() as (held, counts):
        refused: Slice = {"job": cleaned.job, **({"day": Since(since)} if since else {})}
        quarantined = ctx.write("quarantine", held.quarantined, where=refused)
        rows = ctx.write(
            cleaned.contract.name,
            held.good,
            where={day: Since(since)} if since and day else None,
            note=part.note if part else None,
        )
        ctx.count(rows_in=counts["rows_in"], rows_out=rows, duplicates=counts["duplicates"], quarantined=quarantined)
        told = counts | (_of_all(ctx, cleaned) if since else {})
        for name, number in told.items():
            ctx.metric(f"clean.{cleaned.feed}.{name}", number)


def _of_all(ctx: Context, cleaned: Cleaned) -> dict[str, int]:
    """The counts of all records: Delta knows them, but for those of quarantine."""
    refused = (F.col("feed") == cleaned.feed) & (F.col("job") == cleaned.job)
    every = ctx.read(f"raw_{cleaned.feed}").count()
    out = ctx.lake.read(cleaned.contract.name).count()
    quarantined = ctx.lake.read("quarantine").where(refused).count()
    return {
        "rows_in": every,
        "rows_out": out,
        "duplicates": every - out - quarantined,
        "quarantined": quarantined,
    }
