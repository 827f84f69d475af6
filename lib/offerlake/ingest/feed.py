"""One feed from landing files to the rows of its bronze table and of the quarantine."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from offerlake.errors import DataError, nearest
from offerlake.ingest.landing import File, check_packed, explained, find, plain
from offerlake.ingest.mapping import NEVER_NONE, POSITION, Feed
from offerlake.ingest.readers import read_files
from offerlake.ingest.records import Kinds, Records, kinds_seen, together
from offerlake.schemas import table

JOB = "ingest"


@dataclass(frozen=True)
class Batch:
    """What the new files of a feed hold, or messages of its topic.

    Attributes:
        good: Rows of `raw_<feed>`.
        quarantined: Records that cannot be read, as rows of `quarantine`.
        rows: Records in all.
        refused: Those that cannot be read.
        others: Further records in the files, which the mapping leaves to other feeds.
        kinds: The source's columns and what they are there.
        files: New files.
        without_rows: Names of those without a record.
        with_rows: Names of the others.
        held: What is cached until the batch has been written.
    """

    good: DataFrame
    quarantined: DataFrame
    rows: int
    refused: int
    others: int
    kinds: Kinds
    held: DataFrame
    files: int = 0
    without_rows: tuple[str, ...] = ()
    with_rows: tuple[str, ...] = ()


def read_feed(
    spark: SparkSession,
    name: str,
    feed: Feed,
    *,
    landing: str,
    known: Collection[str],
    loaded_at: datetime,
    quote: int,
    seen: Collection[str] = (),
    most: int | None = None,
) -> Batch | None:
    """Reads the files of a feed that have not been ingested yet.

    Args:
        spark: The session.
        name: The feed.
        feed: Its mapping.
        landing: Full URI of the landing folder.
        known: Names of files whose rows are in the bronze table.
        loaded_at: The time of the load.
        quote: Characters of a refused record that its reason quotes.
        seen: The source's columns that are known.
        most: Files to read at once, those with the first names; None: all.

    Returns:
        The batch, or None where no file is new.

    Raises:
        DataError: There is no file, a file cannot be read or lacks a column, or a feed that is needed has no rows.
    """
    groups = _first(new_files(spark, name, feed, landing, known), most)
    files = [file for _, group in groups for file in group]
    if not files:
        return None
    with explained(name):
        read = [read_files(spark, name, group, its, quote=quote, seen=seen) for group, its in groups]
        # Parsed once: the survey, the quarantine and the table each read it again. What an attempt in this process that
        # failed has kept of files by these names would stand for what lies there now.
        held = together([records.frame for records in read]).unpersist().persist(StorageLevel.DISK_ONLY)
        survey = _survey(held, {ours for records in read for ours in records.present})
    for records, (group, its) in zip(read, groups, strict=True):
        _check_present(name, group, its, held, records, survey)
    rows = sum(row["rows"] for row in survey)
    refused = sum(row["refused"] for row in survey)
    if not rows - refused and not known and name in NEVER_NONE:
        raise DataError(
            f"feed {name}: {len(files)} files, {refused} records, none that can be used",
            fix=f"Land {name} with rows: without them nothing can be assigned.",
        )
    called = {file.path: file.name for file in files}
    kinds = {column: source for records in read for column, source in records.kinds.items()}
    if any(group.format == "jsonl" for group, _ in groups):
        names = {row["_file"]: called[plain(row["_file"])] for row in survey}
        kinds |= kinds_seen(held, F.col("_file"), names)
    filled = {plain(row["_file"]) for row in survey if row["rows"]}
    check_packed(spark, name, [file for file in files if file.path not in filled])
    counts = {"rows": rows, "refused": refused, "others": sum(row["others"] for row in survey)}
    batch = batch_of(name, feed, _numbered(spark, held, files, survey), held, counts, kinds=kinds, loaded_at=loaded_at)
    return replace(
        batch,
        files=len(files),
        without_rows=tuple(file.name for file in files if file.path not in filled),
        with_rows=tuple(file.name for file in files if file.path in filled),
    )


def batch_of(
    name: str,
    feed: Feed,
    placed: DataFrame,
    held: DataFrame,
    counts: Mapping[str, int],
    *,
    kinds: Kinds,
    loaded_at: datetime,
) -> Batch:
    """What records come to that know their place.

    Args:
        name: The feed.
        feed: Its mapping.
        placed: The records with `source` and `source_position`; those of other feeds left out.
        held: What is cached until the batch has been written.
        counts: rows, refused and others.
        kinds: The source's columns and what they are there.
        loaded_at: The time of the load.
    """
    positioned = {ours for group in feed.groups for ours, theirs in group.columns.items() if theirs == (POSITION,)}
    place = F.concat_ws("#", "source", "source_position")
    rows = placed.withColumns(
        {
            "loaded_at": F.lit(loaded_at),
            "loaded_date": F.lit(loaded_at.date()),
            **{ours: F.when(F.col(ours) == POSITION, place).otherwise(F.col(ours)) for ours in sorted(positioned)},
        }
    )
    fine = F.size("_reasons") == 0
    return Batch(
        good=table(f"raw_{name}").select(rows.where(fine)),
        quarantined=_quarantined(name, rows.where(~fine)),
        rows=counts["rows"],
        refused=counts["refused"],
        others=counts["others"],
        kinds=kinds,
        held=held,
    )


def _first(groups: list[tuple[Feed, list[File]]], most: int | None) -> list[tuple[Feed, list[File]]]:
    if most is None:
        return groups
    first = sorted((file.name for _, its in groups for file in its))[:most]
    cut = [(group, [file for file in its if file.name in first]) for group, its in groups]
    return [(group, its) for group, its in cut if its]


def new_files(
    spark: SparkSession, name: str, feed: Feed, landing: str, known: Collection[str]
) -> list[tuple[Feed, list[File]]]:
    """Each group of the feed with its files that are not `known`; no group without any.

    Raises:
        DataError: A group has no files at all, or a file is in two groups.
    """
    taken: dict[str, str] = {}
    groups = []
    for group in feed.groups:
        found = find(spark, landing, name, group.path, table=group.format == "delta")
        for file in found:
            if file.name in taken:
                raise DataError(
                    f"feed {name}: file {file.name} is in two parts, {taken[file.name]} and {group.path}",
                    fix="Give each part of the mapping its own files.",
                )
            taken[file.name] = group.path
        new = [file for file in found if file.name not in known]
        if new:
            groups.append((group, new))
    return groups


def _survey(held: DataFrame, present: Collection[str]) -> list[Row]:
    """One row a split: how many lines and records it has, and which columns that have to be there are."""
    record = ~F.col("_blank") & ~F.col("_other")
    return (
        held.groupBy("_file", "_block")
        .agg(
            F.min("_order").alias("first"),
            F.count(F.lit(1)).alias("lines"),
            F.count_if(record).alias("rows"),
            F.count_if(F.size("_reasons") > 0).alias("refused"),
            F.count_if("_other").alias("others"),
            F.count_if("_asked").alias("asked"),
            *(F.count(ours).alias(f"has_{ours}") for ours in sorted(present)),
        )
        .orderBy("_file", "_block")
        .collect()
    )


def _check_present(
    name: str, group: Feed, files: list[File], held: DataFrame, records: Records, survey: list[Row]
) -> None:
    """In JSON lines a column is there if some record of the file has it."""
    for file in files:
        splits = [row for row in survey if plain(row["_file"]) == file.path]
        if sum(row["others"] for row in splits) and not sum(row["asked"] for row in splits):
            raise DataError(
                f"feed {name}: file {file.name}: no record has all that only asks: {', '.join(group.only)}",
                fix="Look at the names in only.",
            )
        if not sum(row["rows"] - row["refused"] for row in splits):
            continue
        for ours, theirs in records.present.items():
            if not any(row[f"has_{ours}"] for row in splits):
                there = (
                    held.where(F.col("_file") == splits[0]["_file"]).select(F.explode(F.map_keys("extra"))).distinct()
                )
                keys = sorted(row[0] for row in there.limit(100).collect())
                said = ", ".join(theirs)
                raise DataError(
                    f"feed {name}: file {file.name} has no key {said!r}, mapped to {ours}",
                    fix=nearest(said, keys) if keys else f"Map {ours} to a key of its records.",
                )


def _numbered(spark: SparkSession, held: DataFrame, files: list[File], survey: list[Row]) -> DataFrame:
    """Adds `source`, and `source_position`: the running number of the line or record in its file, from 1.

    It depends on neither how Spark splits the files nor which files are read together.
    """
    names = {file.path: file.name for file in files}
    before: dict[str, int] = {}
    rows: list[tuple[Any, ...]] = []
    for row in survey:
        uri = row["_file"]
        rows.append((uri, row["_block"], names[plain(uri)], before.get(uri, 0) - row["first"] + 1))
        before[uri] = before.get(uri, 0) + row["lines"]
    splits = spark.createDataFrame(rows, "_file string, _block bigint, source string, _add bigint")
    position = (F.col("_order") + F.col("_add")).cast("string")
    return (
        held.join(F.broadcast(splits), on=["_file", "_block"], how="inner")
        .where(~F.col("_blank") & ~F.col("_other"))
        .withColumn("source_position", position)
    )


def _quarantined(name: str, refused: DataFrame) -> DataFrame:
    key = F.concat_ws("\x1f", F.lit(name), F.lit(JOB), "source", "source_position")
    return table("quarantine").select(
        refused.select(
            F.lower(F.hex(F.xxhash64(key))).alias("record_id"),
            F.lit(name).alias("feed"),
            F.lit(JOB).alias("job"),
            F.col("_reasons").alias("reasons"),
            F.col("_record").alias("record"),
            "source",
            "source_position",
            "loaded_at",
            "loaded_date",
            F.col("loaded_date").alias("day"),
        )
    )
