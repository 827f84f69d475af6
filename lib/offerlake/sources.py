"""A source before it is ingested: what of it maps, what fails and why; samples of files to draft a mapping from."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from offerlake import files
from offerlake.clean.feeds import PARSED
from offerlake.clean.orders import LIST_PRICE
from offerlake.clean.parse import Parser
from offerlake.config import Settings
from offerlake.errors import ConfigError, DataError, EnvironmentProblem
from offerlake.ingest.draft import Sample
from offerlake.ingest.feed import new_files
from offerlake.ingest.kafka import explained as of_topic
from offerlake.ingest.kafka import read_some
from offerlake.ingest.landing import explained, literal
from offerlake.ingest.mapping import NEVER_NONE, POSITION, Feed, Source
from offerlake.ingest.messages import read_messages
from offerlake.ingest.readers import read_files
from offerlake.ingest.records import quoted, text_of
from offerlake.schemas import MONEY, table
from offerlake.schemas.bronze import FEEDS

_ENDINGS = {"csv": "csv", "tsv": "csv", "txt": "csv", "dat": "csv", "jsonl": "jsonl", "ndjson": "jsonl",
            "json": "jsonl", "parquet": "parquet", "avro": "avro"}  # fmt: skip
_ENDING = re.compile(rf"\.({'|'.join(_ENDINGS)})(\.(gz|zst|bz2))?$", re.IGNORECASE)


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
        files: Its files in the landing folder; 0 of a topic.
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
        """Whether more than half of the records can be used, if there are any."""
        return not self.error and (not self.records or 2 * self.usable > self.records)


def check(spark: SparkSession, source: Source, settings: Settings, *, rows: int) -> list[FeedLook]:
    """Looks at the first records of each feed's first and last file, or of its topic, as ingesting and cleaning would.

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
    quote = settings.ingest.max_value_chars
    found, others = 0, 0
    records: list[Row] = []
    try:
        if feed.topic:
            records, others = _messages(spark, name, feed, settings, rows)
        groups = [] if feed.topic else new_files(spark, name, feed, landing, ())
        ends = [(group, file) for group, its in groups for file in dict.fromkeys((its[0], its[-1]))]
        found = sum(len(its) for _, its in groups)
        for group, file in ends:
            with explained(name, file.name):
                frame = read_files(spark, name, group, [file], quote=quote).frame.where(~F.col("_blank"))
                records += frame.where(~F.col("_other")).limit(-(-rows // len(ends))).collect()
                others += frame.where("_other").count() if group.only else 0
        readable = [row for row in records if not row["_reasons"]]
        raw = _as_raw(spark, name, readable)
        if not feed.has_prices:  # then it is the catalogue's; whether that has one is not looked at
            raw = raw.withColumn(LIST_PRICE, F.lit(0).cast(MONEY))
        with explained(name):
            typed = PARSED[name](raw, Parser(feed, quote, settings.clean)).collect()
    except (DataError, EnvironmentProblem) as error:
        return FeedLook(name, found, error=f"{error.message} {error.fix}")
    if not records and (others or name in NEVER_NONE):
        what = f"all {others} records are left to other feeds by only." if others else "its files have no records."
        return FeedLook(name, found, others=others, error=f"feed {name}: {what}")
    return FeedLook(
        name,
        found,
        records=len(records),
        usable=sum(row["_status"] == "good" for row in typed),
        others=others,
        columns=tuple(_columns(name, feed, readable, [*records, *typed])),
    )


def _messages(spark: SparkSession, name: str, feed: Feed, settings: Settings, rows: int) -> tuple[list[Row], int]:
    """Some messages of the feed's topic as records, and how many of them are other feeds'."""
    kafka = settings.ingest.kafka
    with of_topic(name, feed.topic, kafka):
        some = read_some(spark, feed.topic, kafka).limit(rows)
        read = read_messages(some, name, feed, quote=settings.ingest.max_value_chars).frame.collect()
    return [row for row in read if not row["_other"]], sum(row["_other"] for row in read)


def _as_raw(spark: SparkSession, name: str, records: Sequence[Row]) -> DataFrame:
    contract = table(f"raw_{name}")
    now = datetime.now(tz=UTC)
    made = []
    for number, row in enumerate(records, start=1):
        place = {"source": "sample", "source_position": str(number), "loaded_at": now, "loaded_date": now.date()}
        told = {ours: f"sample#{number}" if value == POSITION else value for ours, value in row.asDict().items()}
        made.append(tuple({**told, **place}[column] for column in contract.names))
    return spark.createDataFrame(made, contract.struct)


def _columns(name: str, feed: Feed, records: Sequence[Row], judged: Sequence[Row]) -> Iterator[ColumnLook]:
    """A line a column, then one for reasons that name none."""
    wrong: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for row in judged:
        first: dict[str, str] = {}
        for reason in row["_reasons"]:
            code, _, rest = reason.partition(":")
            named = re.split(r"[=, ]", rest)[0]
            first.setdefault(named if named in FEEDS[name] else code, reason)
        wrong.update(first.keys())
        examples = {**first, **examples}
    mapped = {ours for group in feed.groups for ours in (*group.columns, *group.constants)}
    for ours in FEEDS[name]:
        filled = sum(row[ours] is not None for row in records)
        lacking = "no record has it" if records and ours in feed.columns and not filled else ""
        if filled or wrong[ours] or ours in mapped:
            yield ColumnLook(ours, _source(ours, feed), filled, wrong[ours], examples.get(ours, lacking))
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
    """The first records of files; files whose names differ by numbers only, such as days, are one sample.

    Args:
        spark: The session.
        places: Files, Delta tables, and folders, whose files are meant.
        landing: The folder that a mapping's paths begin at.
        rows: Records of each file.

    Returns:
        The samples; one without columns is of a file that nobody can read, and has a note.

    Raises:
        ConfigError: A place does not exist, is outside `landing`, or is a file of no format that is known.
        DataError: A file cannot be read.
    """
    read = []
    for place in _each(places):
        if not place.resolve().is_relative_to(landing.resolve()):
            raise ConfigError(f"{place} is not below {landing}", fix="Give --landing a folder above all files.")
        path = place.resolve().relative_to(landing.resolve()).as_posix()
        with explained("of the draft", place.name):
            read.append(_sample(spark, place, path, rows))
    alike: dict[str, list[Sample]] = {}
    for sample in read:
        alike.setdefault(_pattern(sample.path) if sample.columns else sample.path, []).append(sample)
    merged = []
    for pattern, same in alike.items():
        taken = {sample.path for sample in read if sample.columns and _matches(sample.path, pattern)}
        whole = taken == {sample.path for sample in same} and len({sample.format for sample in same}) == 1
        merged += [_merged(pattern, same)] if whole else [_merged(sample.path, [sample]) for sample in same]
    return merged


def _merged(pattern: str, same: Sequence[Sample]) -> Sample:
    columns = dict.fromkeys(column for sample in same for column in sample.columns)
    pattern = "*".join(literal(piece) for piece in pattern.split("*"))
    return replace(same[0], path=pattern, columns=tuple(columns), rows=[row for sample in same for row in sample.rows])


def _pattern(path: str) -> str:
    """A path with * for each number, and for what stands after = in a folder's name; its ending stays."""
    *folders, file = path.split("/")
    ending = _ENDING.search(file)
    stem, rest = (file[: ending.start()], ending[0]) if ending else (file, "")
    parts = [re.sub(r"=.*", "=*", folder) if "=" in folder else _starred(folder) for folder in folders]
    return "/".join([*parts, _starred(stem) + rest])


def _starred(name: str) -> str:
    return re.sub(r"\d[\dT:._-]*", "*", name)


def _matches(path: str, pattern: str) -> bool:
    """Whether a path is one of the pattern's: * stays within a folder's name."""
    return re.fullmatch("[^/]*".join(map(re.escape, pattern.split("*"))), path) is not None


def _each(places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        if not place.exists():
            raise ConfigError(f"{place} does not exist", fix="Give files or folders of raw logs.")
        if place.is_file() and not _ENDING.search(place.name):
            known = ", ".join(sorted(_ENDINGS))
            raise ConfigError(f"{place}: its ending says nothing", fix=f"Name it by what it is: {known}.")
        yield from _below(place)


def _below(place: Path) -> Iterator[Path]:
    """The files and Delta tables in a folder, however deep; what hides or has no known ending is left out."""
    if place.is_file() or (place / "_delta_log").is_dir():
        yield place
        return
    for inner in sorted(place.iterdir()):
        if inner.name[0] not in "._" and (inner.is_dir() or _ENDING.search(inner.name)):
            yield from _below(inner)


def _sample(spark: SparkSession, place: Path, path: str, rows: int) -> Sample:
    ending = _ENDING.search(place.name)
    form = "delta" if place.is_dir() or ending is None else _ENDINGS[ending[1].lower()]
    uri = files.qualified(spark, str(place.absolute()))
    if form in ("csv", "jsonl"):
        lines = [row[0] for row in spark.read.text(literal(uri)).limit(rows + 1).collect()]
        if any(letter in line for line in lines for letter in "\ufffd\x00"):
            return Sample(path, form, (), [], note="is not written in UTF-8")
        return _csv(path, lines) if form == "csv" else _jsonl(path, lines)
    frame = spark.read.format(form).load(uri if form == "delta" else literal(uri))
    texts = frame.select(*(text_of(F.col(quoted(field.name)), field).alias(field.name) for field in frame.schema))
    return Sample(path, form, tuple(frame.columns), [row.asDict() for row in texts.limit(rows).collect()])


def _csv(path: str, lines: Sequence[str]) -> Sample:
    first = (lines[0] if lines else "").removeprefix("\ufeff")
    separator = max(",;\t|", key=first.count)
    try:
        read = [cells for cells in csv.reader([first, *lines[1:]], delimiter=separator) if cells]
    except csv.Error as error:
        return Sample(path, "csv", (), [], note=f"cannot be read: {error}")
    cells = tuple(read[0]) if read else ()
    # A record has a number or a time somewhere, a header's words begin with none.
    bare = any(re.match(r"\s*[-+]?\d", cell) for cell in cells)
    header = tuple(f"c{number}" for number in range(1, len(cells) + 1)) if bare else ()
    columns = header or cells
    rows = [dict(zip(columns, row, strict=False)) for row in (read if header else read[1:])]
    breaks = any(line.count('"') % 2 for line in lines)
    note = "" if cells else "is empty"
    return Sample(path, "csv", columns, rows, separator, header, multi_line=breaks, note=note)


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
    return Sample(path, "jsonl", tuple(columns), records, note="" if columns else "has no line that is a JSON object")


def _flat(record: dict[str, Any], above: str = "") -> Iterator[tuple[str, str | None]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value if value is None or isinstance(value, str) else json.dumps(value)
