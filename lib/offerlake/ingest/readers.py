"""Readers of landing files: what they give is in `offerlake.ingest.records`."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from offerlake.errors import DataError, nearest
from offerlake.ingest.landing import File, explained, paths, plain
from offerlake.ingest.mapping import Feed, claimed, needed
from offerlake.ingest.records import (
    Records,
    extra_of,
    first_keys,
    json_records,
    leaves,
    mapped,
    no_kinds,
    nothing,
    refusal,
    text_of,
    together,
)

_BROKEN = "_broken"


def read_files(
    spark: SparkSession, name: str, feed: Feed, files: Sequence[File], *, quote: int, seen: Collection[str] = ()
) -> Records:
    """Reads files of one feed that are alike.

    Args:
        spark: The session.
        name: The feed.
        feed: Its mapping, one of its groups.
        files: At least one.
        quote: Characters of a refused record that its reason quotes.
        seen: The source's columns that are known.

    Raises:
        DataError: A file with a header or a schema lacks a column, has no header, or one twice.
    """
    if feed.format == "jsonl":
        lines = spark.read.text(paths(files)).select("value", *_place())
        known = seen or first_keys(spark.read.text(paths(files[:1])))
        return Records(json_records(lines, name, feed, quote=quote, seen=known), needed(name, feed), {})
    if feed.format == "csv":
        return _csv(spark, name, feed, files, quote)
    return _typed(spark, name, feed, files)


def _csv(spark: SparkSession, name: str, feed: Feed, files: Sequence[File], quote: int) -> Records:
    by_header: dict[tuple[str, ...], list[File]] = {}
    kinds: dict[tuple[str, str], str] = {}
    for file, header in _headers(spark, name, feed, files).items():
        _note(kinds, file, ((column, "string") for column in header))
        by_header.setdefault(header, []).append(file)
    frames = []
    for header, same in sorted(by_header.items()):
        names = [f"c{number}" for number in range(len(header))]
        schema = T.StructType([T.StructField(column, T.StringType()) for column in (*names, _BROKEN)])
        rows = spark.read.csv(
            paths(same),
            schema=schema,
            sep=feed.separator,
            header=not feed.header,
            enforceSchema=True,
            escape='"',
            multiLine=feed.multi_line,
            mode="PERMISSIVE",
            columnNameOfCorruptRecord=_BROKEN,
        )
        # The decoder puts U+FFFD for bytes that are not UTF-8. All columns are looked at, so none is pruned.
        garbled = F.concat_ws("", *names).contains("\ufffd")
        broken = F.when(F.col(_BROKEN).isNotNull(), F.lit("malformed_csv")).when(garbled, F.lit("encoding"))
        line = F.coalesce(F.col(_BROKEN), F.concat_ws(feed.separator, *names))
        theirs = {column: F.col(position) for column, position in zip(header, names, strict=True)}
        frames.append(
            rows.select(*names, _BROKEN, *_place()).select(
                "_file",
                "_block",
                "_order",
                F.lit(False).alias("_blank"),
                F.when(broken.isNotNull(), refusal(broken, line, quote)).otherwise(nothing()).alias("_reasons"),
                F.when(broken.isNotNull(), line).alias("_record"),
                no_kinds(),
                *mapped(name, feed, theirs, read=broken.isNull()),
                extra_of(name, feed, theirs),
            )
        )
    return Records(together(frames), {}, kinds)


def _note(kinds: dict[tuple[str, str], str], file: File, columns: Iterable[tuple[str, str]]) -> None:
    for column in columns:
        kinds.setdefault(column, file.name)


def _headers(spark: SparkSession, name: str, feed: Feed, files: Sequence[File]) -> dict[File, tuple[str, ...]]:
    """Each file's own header, checked; read in one pass over the lines, unless the mapping has it."""
    if feed.header:
        _check_header(name, feed, files[0], feed.header)
        return dict.fromkeys(files, feed.header)
    lines = spark.read.text(paths(files)).select("value", *_place())
    first = F.min_by("value", F.struct("_block", "_order"))
    found = {plain(row[0]): row[1] for row in lines.groupBy("_file").agg(first).collect()}
    headers = {}
    for file in files:
        line = found.get(file.path, "").removeprefix("\ufeff")
        try:
            header = tuple(next(csv.reader([line], delimiter=feed.separator), []))
        except csv.Error as error:
            raise DataError(f"feed {name}: file {file.name}: its header: {error}", fix="Land it again.") from None
        if not line.strip():
            raise DataError(f"feed {name}: file {file.name} is empty", fix="Land it again, with a header at least.")
        _check_header(name, feed, file, header)
        headers[file] = header
    return headers


def _check_header(name: str, feed: Feed, file: File, header: tuple[str, ...]) -> None:
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DataError(f"feed {name}: file {file.name}: column {twice[0]!r} is there twice", fix="Rename one.")
    if any(letter in column for column in header for letter in "\ufffd\x00"):
        raise DataError(f"feed {name}: file {file.name} is not written in UTF-8", fix="Convert it, and land it again.")
    check_columns(name, feed, file, header)


def _typed(spark: SparkSession, name: str, feed: Feed, files: Sequence[File]) -> Records:
    """Files that know their columns: Parquet, Avro, and those of a Delta table as it stands."""
    by_schema: dict[str, list[File]] = {}
    kinds: dict[tuple[str, str], str] = {}
    for file in files:
        with explained(name, file.name):
            schema = _open(spark, feed, [file]).schema
        check_columns(name, feed, file, [path for path, _ in leaves(schema)])
        _note(kinds, file, ((field.name, field.dataType.simpleString()) for field in schema.fields))
        by_schema.setdefault(schema.json(), []).append(file)
    frames = []
    for _, same in sorted(by_schema.items()):
        rows = _open(spark, feed, same)
        theirs = {path: text_of(F.col(called), field) for path, (called, field) in leaves(rows.schema)}
        # Only Parquet files number their rows themselves.
        row = (F.lit(0).cast("long").alias("_block"), F.col("_metadata.row_index").alias("_order"))
        place = (_place()[0], *row) if feed.format == "parquet" else _place()
        frames.append(
            rows.select(
                *place,
                F.lit(False).alias("_blank"),
                nothing().alias("_reasons"),
                F.lit(None).cast("string").alias("_record"),
                no_kinds(),
                *mapped(name, feed, theirs, read=F.lit(True)),
                extra_of(name, feed, {field.name: theirs[field.name] for field in rows.schema.fields}),
            )
        )
    return Records(together(frames), {}, kinds)


def _open(spark: SparkSession, feed: Feed, files: Sequence[File]) -> DataFrame:
    if feed.format == "delta":
        table = spark.read.format("delta").load(files[0].table)
        return table.where(F.col("_metadata.file_path").isin([file.uri for file in files]))
    # A page of Parquet whose bits have flipped may be read as other values: where its writer left a sum, it is checked.
    return spark.read.format(feed.format).option("parquet.page.verify-checksum.enabled", "true").load(paths(files))


def _place() -> tuple[Column, Column, Column]:
    return (
        F.col("_metadata.file_path").alias("_file"),
        F.col("_metadata.file_block_start").alias("_block"),
        F.monotonically_increasing_id().alias("_order"),
    )


def check_columns(name: str, feed: Feed, file: File, there: Sequence[str]) -> None:
    """Raises a DataError where a file, or a schema, lacks a column that the mapping names or no row can do without."""
    asked = {ours: theirs for ours, theirs in claimed(name, feed).items() if ours in feed.columns}
    for ours, theirs in {**asked, **needed(name, feed)}.items():
        for column in theirs:
            if column not in there:
                raise DataError(
                    f"feed {name}: file {file.name} has no column {column!r}, mapped to {ours}",
                    fix=nearest(column, there),
                )
    for column in feed.only:
        if column not in there:
            raise DataError(
                f"feed {name}: file {file.name} has no column {column!r}, in only", fix=nearest(column, there)
            )
