"""A source before it is ingested: what of it maps, what fails and why; samples of files to draft a mapping from."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from offerlake import files
from offerlake.clean.feeds import PARSED
from offerlake.clean.parse import Parser
from offerlake.config import Settings
from offerlake.errors import ConfigError, DataError
from offerlake.ingest.draft import Sample
from offerlake.ingest.landing import explained, find
from offerlake.ingest.mapping import POSITION, Feed, Source
from offerlake.ingest.readers import read_files, text_of
from offerlake.schemas import MONEY, table
from offerlake.schemas.bronze import FEEDS

_ENDINGS = {"csv": "csv", "tsv": "csv", "txt": "csv", "dat": "csv", "jsonl": "jsonl", "ndjson": "jsonl",
            "json": "jsonl", "parquet": "parquet", "avro": "avro"}  # fmt: skip
_PACKED = ("gz", "zst", "bz2")


@dataclass(frozen=True)
class ColumnLook:
    """One column of ours in a sample.

    Attributes:
        name: The column.
        source: What it is made of: names of the source's columns, a constant, or nothing.
        filled: Records that have something there.
        refused: Records in which it is wrong.
        example: A reason for one of those.
    """

    name: str
    source: str
    filled: int
    refused: int
    example: str


@dataclass(frozen=True)
class FeedLook:
    """One feed in a sample.

    Attributes:
        name: The feed.
        files: Its files in the landing folder.
        records: Records looked at, without `others`.
        usable: Those of them that pass.
        others: Further ones, which the mapping leaves to other feeds.
        error: Why it could not be looked at, and what to do; or nothing.
        columns: Each column that the mapping speaks of or the source has.
    """

    name: str
    files: int
    records: int = 0
    usable: int = 0
    others: int = 0
    error: str = ""
    columns: tuple[ColumnLook, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether more than half of the records can be used."""
        return not self.error and 2 * self.usable > self.records


def check(spark: SparkSession, source: Source, settings: Settings, *, rows: int) -> list[FeedLook]:
    """Looks at the first records of each feed's first and last file as ingesting and cleaning would.

    What other records or other feeds say (duplicates, unknown ids) is not looked at.

    Args:
        spark: The session.
        source: The mapping.
        settings: Where the landing folder is, and what cleaning allows.
        rows: Records of each feed.
    """
    landing = files.qualified(spark, settings.run.landing)
    return [_look(spark, name, source.feeds[name], landing, settings, rows) for name in FEEDS if name in source.feeds]


def _look(spark: SparkSession, name: str, feed: Feed, landing: str, settings: Settings, rows: int) -> FeedLook:
    found, rows_read = 0, []
    try:
        for group in feed.groups:
            there = find(spark, landing, name, group.path, table=group.format == "delta")
            found += len(there)
            some = [there[0], there[-1]] if len(there) > 1 else there
            with explained(name):
                frame = read_files(spark, name, group, some, quote=settings.ingest.max_value_chars).frame
                rows_read += frame.where(~F.col("_blank")).limit(-(-rows // len(feed.groups))).collect()
    except DataError as error:
        return FeedLook(name, found, error=f"{error.message} {error.fix}")
    records = [row for row in rows_read if not row["_other"]]
    readable = [row for row in records if not row["_reasons"]]
    raw = _as_raw(spark, name, readable)
    if not feed.has_prices:
        raw = raw.withColumn(
            "_list_price", F.lit(0).cast(MONEY)
        )  # the catalogue's; whether it has one is not looked at
    typed = PARSED[name](raw, settings.clean, Parser(feed, settings.ingest.max_value_chars)).collect()
    reasons = [reason for row in (*records, *typed) for reason in row["_reasons"]]
    return FeedLook(
        name,
        found,
        records=len(records),
        usable=sum(row["_status"] == "good" for row in typed),
        others=len(rows_read) - len(records),
        columns=tuple(_columns(name, feed, readable, reasons)),
    )


def _as_raw(spark: SparkSession, name: str, records: Sequence[Row]) -> DataFrame:
    contract = table(f"raw_{name}")
    now = datetime.now(tz=UTC)
    made = [
        tuple(
            {**row.asDict(), "source": "", "source_position": str(number), "loaded_at": now}[c] for c in contract.names
        )
        for number, row in enumerate(records, start=1)
    ]
    return spark.createDataFrame(made, contract.struct)


def _columns(name: str, feed: Feed, records: Sequence[Row], reasons: Sequence[str]) -> Iterator[ColumnLook]:
    """A line a column, then one for reasons that name none."""
    wrong: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for reason in reasons:
        code, _, rest = reason.partition(":")
        named = re.split(r"[=, ]", rest)[0]
        place = named if named in FEEDS[name] else code
        wrong[place] += 1
        examples.setdefault(place, reason)
    for ours in FEEDS[name]:
        filled = sum(row[ours] is not None for row in records)
        if filled or wrong[ours] or ours in feed.columns or ours in feed.constants:
            yield ColumnLook(ours, _source(ours, feed), filled, wrong[ours], examples.get(ours, ""))
    for place in sorted(wrong.keys() - set(FEEDS[name])):
        yield ColumnLook("the record", "", len(records), wrong[place], examples[place])


def _source(ours: str, feed: Feed) -> str:
    """What a column is made of, in words."""
    said = []
    for group in feed.groups:
        if ours in group.constants:
            constant = group.constants[ours]
            said.append("left out" if constant is None else f"always {constant!r}")
        elif group.columns.get(ours) == (POSITION,):
            said.append("the record's place")
        else:
            said.append(" | ".join(group.source_columns(ours)))
    return "; ".join(dict.fromkeys(said))


def samples(spark: SparkSession, places: Sequence[Path], landing: Path, *, rows: int) -> list[Sample]:
    """The first records of files, those that are alike (of one folder, with the same columns) as one.

    Args:
        spark: The session.
        places: Files, Delta tables, and folders, whose files are meant.
        landing: The folder that a mapping's paths begin at.
        rows: Records of each.

    Raises:
        ConfigError: A place does not exist, is outside `landing`, or has no format that is known.
        DataError: A file cannot be read.
    """
    alike: dict[tuple[str, str, tuple[str, ...]], list[Sample]] = {}
    for place in _each(places):
        if not place.resolve().is_relative_to(landing.resolve()):
            raise ConfigError(f"{place} is not below {landing}", fix="Give --landing a folder above all files.")
        path = place.resolve().relative_to(landing.resolve()).as_posix()
        with explained("of the draft", place.name):
            sample = _sample(spark, place, path, rows)
        folder, _, file = path.rpartition("/")
        alike.setdefault((folder, file.partition(".")[2], sample.columns), []).append(sample)
    merged = []
    for (folder, ending, _), same in alike.items():
        first = same[0]
        if len(same) > 1:
            stem = _common([sample.path.rpartition("/")[2] for sample in same])
            pattern = "/".join(part for part in (folder, f"{stem}*.{ending}") if part)
            every = [row for sample in same for row in sample.rows]
            first = Sample(pattern, first.format, first.columns, every, first.separator, first.header)
        merged.append(first)
    return merged


def _common(names: Sequence[str]) -> str:
    """What file names begin with alike."""
    shortest = min(names, key=len)
    count = next((k for k, letter in enumerate(shortest) if any(n[k] != letter for n in names)), len(shortest))
    return re.sub(r"[\d.]+$", "", shortest[:count])


def _each(places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        if not place.exists():
            raise ConfigError(f"{place} does not exist", fix="Give files or folders of raw logs.")
        if place.is_file() or (place / "_delta_log").is_dir():
            yield place
        else:
            yield from _each(sorted(inner for inner in place.iterdir() if inner.name[0] not in "._"))


def _sample(spark: SparkSession, place: Path, path: str, rows: int) -> Sample:
    form = _format(place)
    uri = files.qualified(spark, str(place.absolute()))
    if form in ("csv", "jsonl"):
        lines = [row[0] for row in spark.read.text(uri).limit(rows + 1).collect()]
        return _csv(path, lines) if form == "csv" else _jsonl(path, lines)
    frame = spark.read.format(form).load(uri)
    texts = frame.select(*(text_of(F.col(f"`{field.name}`"), field).alias(field.name) for field in frame.schema))
    return Sample(path, form, tuple(frame.columns), [row.asDict() for row in texts.limit(rows).collect()])


def _format(place: Path) -> str:
    if place.is_dir():
        return "delta"
    endings = [ending.lower() for ending in place.name.split(".")[1:]]
    named = next((ending for ending in reversed(endings) if ending not in _PACKED), "")
    if named not in _ENDINGS:
        raise ConfigError(
            f"{place}: nothing is known of .{named}", fix=f"Name it by what it is: {', '.join(sorted(_ENDINGS))}."
        )
    return _ENDINGS[named]


def _csv(path: str, lines: Sequence[str]) -> Sample:
    first = (lines[0] if lines else "").removeprefix("\ufeff")
    separator = max(",;\t|", key=first.count)
    read = [cells for cells in csv.reader([first, *lines[1:]], delimiter=separator) if cells]
    cells = tuple(read[0]) if read else ()
    # A header's words begin with a letter, all of them; a record has a number or a time.
    header = (
        () if all(re.match(r"\s*[A-Za-z_]", cell) for cell in cells) else tuple(f"c{k + 1}" for k in range(len(cells)))
    )
    columns = header or cells
    rows = [dict(zip(columns, row, strict=False)) for row in (read if header else read[1:])]
    return Sample(path, "csv", columns, rows, separator, header)


def _jsonl(path: str, lines: Sequence[str]) -> Sample:
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(dict(_flat(record)))
    columns = dict.fromkeys(key for record in records for key in record)
    return Sample(path, "jsonl", tuple(columns), records)


def _flat(record: dict[str, Any], above: str = "") -> Iterator[tuple[str, str | None]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value if value is None or isinstance(value, str) else json.dumps(value)
