"""The drop for the marketing system: who is to be contacted with what, in part files with a manifest.

A drop lies at ROOT/<as_of>/<run_id>. It is written to a folder of its own beside it and renamed when it is whole, so
whoever sees `manifest.json` sees all of it. It holds the rows with an offer only: whoever gets nothing, by the model's
choice, in the holdout or for want of consent, is not to be contacted, and his data have no business in another system.
The whole log of the assignment is the table `user_offers`.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Literal

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from offerlake import files
from offerlake.errors import DataError

COLUMNS = (
    "assignment_id",
    "run_id",
    "user_id",
    "rank",
    "offer_id",
    "kind",
    "depth",
    "channel",
    "product_ids",
    "valid_from",
    "valid_to",
    "reasons",
)
"""What a receiver needs to send an offer and to send `assignment_id` back; no scores of people."""

MANIFEST = "manifest.json"
_FORMULA = r"^[=+\-@\t\r\n]"


def drop_path(root: str, *, as_of: date, run_id: str) -> str:
    """Where a run's drop lies."""
    return f"{root.rstrip('/')}/{as_of.isoformat()}/{run_id}"


def published_runs(spark: SparkSession, root: str, *, as_of: date) -> set[str]:
    """Runs of a day whose drops are there, whole."""
    day = f"{root.rstrip('/')}/{as_of.isoformat()}"
    found = [name for name in files.names(spark, day) if not name.startswith(".")]
    return {name for name in found if files.exists(spark, f"{day}/{name}/{MANIFEST}")}


def write_drop(
    rows: DataFrame, root: str, *, as_of: date, run_id: str, form: Literal["csv", "jsonl"], rows_per_file: int
) -> dict[str, object]:
    """Writes a run's drop and returns its manifest; where the same is there already, it stays as it is.

    Files are split by a hash of the user and sorted by user within, so a run gives the same bytes again. In CSV, text
    that a spreadsheet would take for a formula (it begins with = + - @, a tab or a line break) gets an apostrophe
    in front, line breaks become spaces, and lists are joined by `|`.

    Args:
        rows: `user_offers` of the run.
        root: Folder or URI.
        as_of: The run's day.
        run_id: The run.
        form: csv (with a header, quoted as RFC 4180 has it) or jsonl (one JSON object a line).
        rows_per_file: Rows of a file, about.

    Raises:
        DataError: The run has no rows at all, or a drop of this run with another content is there.
    """
    spark = rows.sparkSession
    target = drop_path(root, as_of=as_of, run_id=run_id)
    total, sent = rows.agg(F.count("user_id"), F.count("offer_id")).collect()[0]
    if not total:
        raise DataError(f"user_offers: run {run_id} has no rows", fix="Run assign_offers with the same settings first.")
    draft = f"{root.rstrip('/')}/{as_of.isoformat()}/.{run_id}.writing"
    files.delete(spark, draft)
    parts = _write_parts(rows, f"{draft}/parts", form=form, count=-(-sent // rows_per_file))
    for number, name in enumerate(parts):
        files.rename(spark, f"{draft}/parts/{name}", f"{draft}/{_part_name(number, form)}")
    files.delete(spark, f"{draft}/parts")
    manifest: dict[str, object] = {
        "run_id": run_id,
        "as_of": as_of.isoformat(),
        "format": form,
        "columns": list(COLUMNS),
        "rows": sent,
        "users": total,
        "files": _checksums(spark, draft, [_part_name(n, form) for n in range(len(parts))], form=form),
    }
    content = json.dumps(manifest, indent=2, sort_keys=True).encode()
    if run_id in published_runs(spark, root, as_of=as_of):
        files.delete(spark, draft)
        if files.read_bytes(spark, f"{target}/{MANIFEST}") != content:
            raise DataError(
                f"drop {target}: holds another assignment of run {run_id}",
                fix="It is what has been sent: give another folder as run.publish, or the lake that it came from.",
            )
        return manifest
    files.write_bytes(spark, f"{draft}/{MANIFEST}", content)
    files.rename(spark, draft, target)
    return manifest


def _write_parts(rows: DataFrame, path: str, *, form: Literal["csv", "jsonl"], count: int) -> list[str]:
    """Writes the rows with an offer to `count` files; returns their names in order."""
    spark = rows.sparkSession
    if count == 0:
        return []
    chosen = rows.where(F.col("offer_id").isNotNull()).select(*COLUMNS)
    placed = chosen.repartition(count, "user_id").sortWithinPartitions("user_id", "rank")
    if form == "csv":
        text = placed.select([_cell(field).alias(field.name) for field in placed.schema])
        text.write.options(header=True, escape='"', ignoreLeadingWhiteSpace=False, ignoreTrailingWhiteSpace=False).csv(
            path
        )
    else:
        placed.write.option("ignoreNullFields", False).json(path)
    return [name for name in files.names(spark, path) if name.startswith("part-")]


def _cell(field: T.StructField) -> Column:
    value = F.col(field.name)
    if isinstance(field.dataType, T.ArrayType):
        value = F.array_join(value, "|")
    elif isinstance(field.dataType, T.TimestampType):
        return F.date_format(value, "yyyy-MM-dd'T'HH:mm:ss'Z'")
    elif not isinstance(field.dataType, T.StringType):
        return value
    flat = F.regexp_replace(value, r"[\r\n]+", " ")
    return F.when(value.rlike(_FORMULA), F.concat(F.lit("'"), flat)).otherwise(flat)


def _part_name(number: int, form: str) -> str:
    return f"part-{number:05}.{form}"


def _checksums(spark: SparkSession, folder: str, names: list[str], *, form: str) -> list[dict[str, object]]:
    """Name, bytes, rows and SHA-256 of each part file, worked out where the files are read."""
    if not names:
        return []
    paths = [f"{folder}/{name}" for name in names]
    name = F.element_at(F.split("path", "/"), -1)
    lines = F.size(F.split(F.decode("content", "UTF-8"), "\n")) - 1 - (1 if form == "csv" else 0)
    found = (
        spark.read.format("binaryFile")
        .load(paths)
        .select(
            name.alias("name"),
            F.col("length").alias("bytes"),
            lines.alias("rows"),
            F.sha2("content", 256).alias("sha256"),
        )
        .collect()
    )
    return [row.asDict() for row in sorted(found, key=lambda row: str(row["name"]))]
